//! An engine and a cockpit in one process, with the link between them.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::engine::{Backend, Ended, Engine};
use crate::exit::{Exit, Failed};
use crate::link::Link;
use crate::link::socket::Door;
use crate::run::snapshot::{Outcome, Snapshot, Status};
use crate::ui::{self, cast::Tape};

/// How many commands may wait for the engine.
const COMMANDS: usize = 64;

/// Opens the cockpit on an engine until the person leaves. The engine is given back, everything durable.
///
/// What is shown goes onto the tape too. The first frame is painted before `prepare` is called, which may take its time.
/// Meanwhile a script may command the engine through the socket in the run's folder.
///
/// # Errors
/// When the terminal fails, or another engine took the run.
pub async fn open<B: Backend, P: Future<Output = Engine<B>>>(
    mut engine: Engine<B>,
    ascii: bool,
    tape: Option<Tape>,
    folder: &Path,
    prepare: impl FnOnce(Engine<B>) -> P,
) -> Result<(Engine<B>, ui::Exit), Failed> {
    let unsaid = Unsaid::default();
    // Standard error that is not the screen's terminal can have the entries at once.
    if io::stderr().is_terminal() {
        engine.last_resort(Box::new(unsaid.clone()));
    }
    let (commands, requests) = mpsc::channel(COMMANDS);
    let (publish, snapshots) = watch::channel(Arc::new(engine.snapshot()));
    let door = Door::open(folder).inspect_err(|error| tracing::warn!(%error, "no script can command this run")).ok();
    let served = (snapshots.clone(), commands.downgrade());
    let options = options(ascii);
    let screen = async move {
        let (guard, mut terminal) = ui::terminal::Guard::open(tape.clone())?;
        let exit = ui::run(&mut terminal, Link { snapshots, commands }, options, tape).await;
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
    unsaid.say();
    end(&mut engine).await;
    if let Ended::Fenced(why) = ended {
        return Err(Failed::new(Exit::Busy, why));
    }
    match exit {
        Ok(exit) => Ok((engine, exit)),
        Err(error) => Err(Failed::new(Exit::Internal, format!("the terminal: {error}"))),
    }
}

/// Makes durable what can be, and says where the rest stands.
pub async fn end<B: Backend>(engine: &mut Engine<B>) {
    engine.try_again().await;
    if let Some(why) = engine.failed() {
        let spool = engine.snapshot().ledger.spool;
        eprintln!("the journal cannot be written: {why}");
        eprintln!("{} entries are in the spool; they join the journal when the run is opened again", spool.entries);
        if spool.told > 0 {
            eprintln!("{} entries stand above, on standard error, and nowhere else: keep them", spool.told);
        }
    }
}

/// What goes to standard error once the screen has been given back: written earlier it would spoil the screen, and
/// the screen's next frame would wipe it away.
#[derive(Debug, Clone, Default)]
struct Unsaid(Arc<Mutex<Vec<u8>>>);

impl Unsaid {
    fn say(&self) {
        let held = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // There is nobody left to tell.
        let _ = io::stderr().write_all(&held);
    }
}

impl Write for Unsaid {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How the screen looks here.
#[must_use]
pub fn options(ascii: bool) -> ui::Options {
    ui::Options { ascii, color: std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) }
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
