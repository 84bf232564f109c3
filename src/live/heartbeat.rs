//! The heartbeat, on the outside: one call for each time that the engine says so, and no call without.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::system_now;
use crate::engine::{Heart, Pulse};
use crate::plan::{Connection, Family, Heartbeat, HeartbeatTo, HttpSource, Measure, Protocol};
use crate::probe::{Group, LOCAL, Probe};

/// Longest time that one call may take.
const LIMIT: Duration = Duration::from_secs(8);

/// Begins to listen for the engine's heartbeats. It ends with the engine.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn begin(heartbeat: &Heartbeat) -> Heart {
    let (heart, pulse) = Heart::new(Duration::from_millis(u64::try_from(heartbeat.every_ms).unwrap_or(0)));
    tokio::spawn(carry(pulse, heartbeat.to.clone()));
    heart
}

async fn carry(mut pulse: Pulse, to: HeartbeatTo) {
    let probe = matches!(to, HeartbeatTo::Url(_)).then(Probe::new);
    while pulse.next().await.is_some() {
        let result = match (&to, &probe) {
            (HeartbeatTo::Url(url), Some(probe)) => get(probe, url).await,
            (HeartbeatTo::Command(command), _) => run(command).await,
            (HeartbeatTo::Url(_), None) => Ok(()),
        };
        if let Err(why) = &result {
            tracing::warn!("the heartbeat does not get out: {why}");
        }
        pulse.called(system_now(), result);
    }
}

async fn get(probe: &Probe, url: &str) -> Result<(), String> {
    let source = HttpSource {
        url: url.to_owned(),
        connect_to: None,
        status: 200,
        timeout_ms: i64::try_from(LIMIT.as_millis()).unwrap_or(i64::MAX),
        measure: Measure::Total,
        from: LOCAL.to_owned(),
        connection: Connection::Fresh,
        protocol: Protocol::Any,
        family: Family::Any,
    };
    let sample = probe.sample(&source).await;
    match (sample.status, sample.error) {
        (_, None) | (Some(200..=299), _) => Ok(()),
        (_, Some(why)) => Err(why),
    }
}

async fn run(command: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Err("there is no command".to_owned()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: what a person presses at the terminal is not meant for it, and what it starts ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    let _group = Group::of(&child);
    match timeout(LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => Err(format!("{program} has not ended after {}s", LIMIT.as_secs())),
    }
}
