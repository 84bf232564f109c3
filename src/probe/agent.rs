//! The agent on a remote vantage point: reads one job, writes what it measures, ends when nobody wants it any more.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Prober;
use super::wire::{Job, Line, PROTOCOL};

/// Longest job, in bytes.
const JOB_BYTES_MAX: u64 = 1024 * 1024;
/// Most targets of one job.
const TARGETS_MAX: usize = 2_000;
/// Shortest interval, in milliseconds: an agent is no load generator.
const EVERY_MIN_MS: u64 = 100;
/// How often an agent says that it is well.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Serves one job. It ends when the input ends or is silent for longer than the job says, or when nobody reads the
/// output.
///
/// # Errors
/// Reading or writing failed, or the system gives no threads.
pub async fn agent(input: impl AsyncRead + Unpin, mut output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut input = BufReader::new(input);
    let mut text = String::new();
    (&mut input).take(JOB_BYTES_MAX).read_line(&mut text).await?;
    let job = match job(&text) {
        Ok(job) => job,
        Err(why) => return say(&mut output, &Line::Refused { protocol: PROTOCOL, why }).await,
    };
    let (prober, mut outcomes) = Prober::launch(&job.targets, None)?;
    say(&mut output, &Line::start(&job.targets)).await?;
    let mut alive = interval(ALIVE_EVERY);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let silence = job.silence_ms.map(Duration::from_millis);
    let mut heard = Instant::now();
    let mut rest = [0; 256];
    loop {
        let line = tokio::select! {
            read = input.read(&mut rest) => {
                if read? == 0 {
                    return Ok(());
                }
                heard = Instant::now();
                continue;
            }
            outcome = outcomes.recv() => match outcome {
                Some(outcome) => Line::of(outcome, &job.targets),
                None => return Err(std::io::Error::other("the probing thread has ended")),
            },
            _ = alive.tick() => Line::Alive { done_us: i64::try_from(prober.started().elapsed().as_micros()).unwrap_or(i64::MAX) },
            () = async { sleep_until(heard + silence.unwrap_or_default()).await }, if silence.is_some() => return Ok(()),
        };
        say(&mut output, &line).await?;
    }
}

fn job(text: &str) -> Result<Job, String> {
    // Another version's job may look quite different: its number is looked at before anything else.
    let any: serde_json::Value = serde_json::from_str(text).map_err(|e| format!("the job is no JSON: {e}"))?;
    let asked = any.get("protocol").and_then(serde_json::Value::as_u64);
    if asked != Some(u64::from(PROTOCOL)) {
        let asked = asked.map_or_else(|| "none".to_owned(), |version| version.to_string());
        return Err(format!("it asks for protocol {asked}, this release speaks {PROTOCOL}"));
    }
    let job: Job = serde_json::from_value(any).map_err(|e| format!("the job cannot be read: {e}"))?;
    if job.targets.is_empty() || job.targets.len() > TARGETS_MAX {
        return Err(format!("a job has 1 to {TARGETS_MAX} targets"));
    }
    if let Some(target) = job.targets.iter().find(|t| t.every_ms < EVERY_MIN_MS || !(1..=60_000).contains(&t.timeout_ms)) {
        return Err(format!("{}: an interval is at least {EVERY_MIN_MS} ms, a time-out at most a minute", target.url));
    }
    Ok(job)
}

async fn say(output: &mut (impl AsyncWrite + Unpin), line: &Line) -> std::io::Result<()> {
    output.write_all(line.json().as_bytes()).await?;
    output.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_looked_at_before_it_is_taken() {
        let with = |rest: &str| job(&format!(r#"{{"protocol":1,"targets":[{{"url":"http://a/"{rest}}}]}}"#));
        assert_eq!(with(r#","every_ms":1000"#).unwrap().targets[0].timeout_ms, 5_000);
        for (text, why) in [
            ("Last login: today", "no JSON"),
            ("", "no JSON"),
            (r#"{"protocol":7,"aims":[]}"#, "asks for protocol 7, this release speaks 1"),
            (r#"{"targets":[]}"#, "asks for protocol none"),
            (r#"{"protocol":1,"targets":[]}"#, "1 to 2000 targets"),
        ] {
            let error = job(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(with(r#","every_ms":1"#).unwrap_err().contains("at least 100 ms"));
        assert!(with("").unwrap_err().contains("every_ms"));
    }
}
