//! An engine and a cockpit in one process, with the link between them.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::engine::{Backend, Ended, Engine};
use crate::exit::{Exit, Failed};
use crate::link::Link;
use crate::link::socket::Door;
use crate::run::snapshot::{Outcome, Snapshot, Status};
use crate::ui;

/// How many commands may wait for the engine.
const COMMANDS: usize = 64;

/// Opens the cockpit on an engine until the person leaves. The engine is given back, everything durable.
///
/// The first frame is painted before `prepare` is called, which may take its time. Meanwhile a script may command the
/// engine through the socket in the run's folder.
///
/// # Errors
/// When the terminal fails, or another engine took the run.
pub async fn open<B: Backend, P: Future<Output = Engine<B>>>(
    engine: Engine<B>,
    ascii: bool,
    folder: &Path,
    prepare: impl FnOnce(Engine<B>) -> P,
) -> Result<(Engine<B>, ui::Exit), Failed> {
    let (commands, requests) = mpsc::channel(COMMANDS);
    let (publish, snapshots) = watch::channel(Arc::new(engine.snapshot()));
    let door = Door::open(folder).inspect_err(|error| tracing::warn!(%error, "no script can command this run")).ok();
    let served = (snapshots.clone(), commands.downgrade());
    let options = ui::Options { ascii, color: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) };
    let screen = async move {
        let (guard, mut terminal) = ui::terminal::Guard::open()?;
        let exit = ui::run(&mut terminal, Link { snapshots, commands }, options).await;
        drop(guard);
        exit
    };
    let work = async move {
        // The screen paints what there is before the engine does anything that takes time.
        tokio::task::yield_now().await;
        let mut engine = prepare(engine).await;
        let ended = engine.run(requests, &publish).await;
        (engine, ended)
    };
    let guests = async {
        if let Some(door) = &door {
            door.serve(served.0, served.1).await;
        }
        // Guests keep nothing alive: the cockpit decides when it is over.
        std::future::pending::<()>().await;
    };
    let (exit, (mut engine, ended)) = tokio::select! {
        both = async { tokio::join!(screen, work) } => both,
        () = guests => unreachable!("guests never end"),
    };
    engine.settle().await;
    if let Ended::Fenced(why) = ended {
        return Err(Failed::new(Exit::Busy, why));
    }
    match exit {
        Ok(exit) => Ok((engine, exit)),
        Err(error) => Err(Failed::new(Exit::Internal, format!("the terminal: {error}"))),
    }
}

/// The exit code that a run's state asks for.
#[must_use]
pub fn exit_of(snapshot: &Snapshot) -> Exit {
    match snapshot.status {
        Status::Finished(Outcome::Completed) => Exit::Done,
        Status::Finished(Outcome::RolledBack) => Exit::RolledBack,
        _ => Exit::NotComplete,
    }
}
