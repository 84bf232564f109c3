//! `--record`: the cockpit as an asciicast. Of a headless drill it is the cockpit as somebody would have seen it.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cockpit;
use crate::cli::Drill as Args;
use crate::cloud::Millis;
use crate::drill::Drill;
use crate::engine::{Backend, Engine};
use crate::exit::{Exit, Failed};
use crate::run::snapshot::StepState;
use crate::ui::cast::{Cast, Head, Tape};
use crate::ui::film::Film;
use crate::ui::terminal;

/// Size of the cockpit that nobody sits at.
const SIZE: (u16, u16) = (120, 40);
/// While users fail or a rollback goes on a frame is taken so often, in milliseconds of the drill.
const GRAVE_MS: i64 = 2_000;
/// While a step goes on so often.
const BUSY_MS: i64 = 60_000;

/// A recording and where it is written.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    cast: Cast,
}

impl Recording {
    /// Begins a recording, if one is asked for: of the terminal as it is, or of a cockpit that nobody sits at.
    ///
    /// # Errors
    /// When the file is there already or cannot be written.
    pub fn begin(args: &Args, plan: &str, scenario: &str, seed: u64) -> Result<Option<Recording>, Failed> {
        let Some(path) = args.record.as_deref() else { return Ok(None) };
        let failed = |error: io::Error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                let said = format!("{} is there already: remove it, or record to another file", path.display());
                return Failed::new(Exit::Usage, said);
            }
            Failed::new(Exit::Usage, format!("cannot record to {}: {error}", path.display()))
        };
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let (width, height) = if args.auto { SIZE } else { terminal::size().map_err(failed)? };
        let head = Head {
            width,
            height,
            timestamp: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            title: format!("cutover drill {plan}, scenario {scenario}, seed {seed} (SIMULATED)"),
            term: std::env::var("TERM").unwrap_or_else(|_| "xterm-256color".to_owned()),
        };
        let cast = Cast::begin(Box::new(file), &head).map_err(failed)?;
        Ok(Some(Recording { path: path.to_owned(), cast }))
    }
}

/// A recording in real time: the tape for the cockpit, and the file's name for [`ended`].
#[must_use]
pub fn live(recording: Option<Recording>) -> (Option<Tape>, PathBuf) {
    recording.map_or_else(|| (None, PathBuf::new()), |recording| (Some(Tape::new(recording.cast)), recording.path))
}

/// Says where the recording is, or why it is not all there.
///
/// # Errors
/// When something could not be written.
pub fn ended(result: io::Result<()>, path: &Path) -> Result<(), Failed> {
    let path = path.display();
    result.map_err(|error| Failed::new(Exit::Internal, format!("the recording {path} is incomplete: {error}")))
}

/// Films a headless drill.
#[derive(Debug)]
pub struct Camera {
    recording: Recording,
    film: Film,
    seen: Option<Seen>,
    failed: Option<io::Error>,
}

/// What a frame was taken of; another frame is worth taking when this changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    at: Millis,
    step: Option<(usize, StepState)>,
    held: bool,
    outages: usize,
    offered: bool,
    finished: bool,
    /// Entries, counted while something is wrong.
    entries: Option<u64>,
}

impl Camera {
    /// A camera for a recording, if there is one.
    ///
    /// # Errors
    /// When no cockpit can be set up.
    pub fn on(recording: Option<Recording>, ascii: bool) -> Result<Option<Camera>, Failed> {
        let Some(recording) = recording else { return Ok(None) };
        let film = Film::new(&cockpit::options(ascii), SIZE.0, SIZE.1)
            .map_err(|error| Failed::new(Exit::Internal, format!("cannot record: {error}")))?;
        Ok(Some(Camera { recording, film, seen: None, failed: None }))
    }

    /// Takes a frame if there is something to see.
    pub fn look(&mut self, engine: &Engine<Drill>) {
        let run = &engine.core.run;
        let offered = engine.core.watch.prepared.is_some();
        let grave = run.open_outage().is_some() || offered || run.active_rollback().is_some();
        let seen = Seen {
            at: engine.backend.now(),
            step: run.next_step().map(|step| (step, run.steps[step].state)),
            held: run.hold.is_some(),
            outages: run.outages.len(),
            offered,
            finished: run.finished.is_some(),
            entries: grave.then_some(run.entries),
        };
        let wanted = self.seen.as_ref().is_none_or(|last| {
            let passed = seen.at - last.at;
            let timely = if grave { passed >= GRAVE_MS } else { run.job.is_some() && passed >= BUSY_MS };
            timely || Seen { at: seen.at, ..last.clone() } != seen
        });
        if wanted && self.failed.is_none() {
            self.failed = self.film.look(engine.snapshot()).err();
            self.seen = Some(seen);
        }
    }

    /// Takes the last frame and writes the recording.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self, engine: &Engine<Drill>) -> Result<PathBuf, Failed> {
        self.seen = None;
        self.look(engine);
        let Recording { path, mut cast } = self.recording;
        let written = self.failed.map_or_else(|| self.film.develop(&mut cast), Err);
        ended(written, &path)?;
        Ok(path)
    }
}
