//! A recording of the cockpit as an asciicast, version 2: a header, then what was written to the terminal and when.
//!
//! The alternate screen is left out: a player shows the last frame when the recording is over, and a terminal into which
//! one was poured is as usable as before. The clipboard and the bell of whoever plays it are left alone too.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

/// A player shortens pauses to this many seconds.
const IDLE_SECONDS: f64 = 2.0;
/// No cursor, and an empty screen to paint on.
const BEGIN: &str = "\x1b[?25l\x1b[0m\x1b[2J\x1b[H";

/// What is known when a recording begins.
#[derive(Debug, Clone)]
pub struct Head {
    /// Columns of the screen.
    pub width: u16,
    /// Rows of the screen.
    pub height: u16,
    /// Unix time in seconds.
    pub timestamp: u64,
    /// What it shows.
    pub title: String,
    /// The terminal's type, as the environment names it.
    pub term: String,
}

/// A recording that is being written. After the first error nothing more is written, and [`Cast::end`] says what it was.
pub struct Cast {
    out: Box<dyn Write + Send>,
    height: u16,
    last: Duration,
    failed: Option<io::Error>,
}

impl std::fmt::Debug for Cast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cast").field("last", &self.last).field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Cast {
    /// Writes the header.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: Box<dyn Write + Send>, head: &Head) -> io::Result<Cast> {
        let mut cast = Cast { out, height: head.height, last: Duration::ZERO, failed: None };
        let line = json!({
            "version": 2,
            "width": head.width,
            "height": head.height,
            "timestamp": head.timestamp,
            "idle_time_limit": IDLE_SECONDS,
            "title": head.title,
            "env": { "TERM": head.term },
        });
        cast.line(&line.to_string());
        cast.output(Duration::ZERO, BEGIN.as_bytes());
        match cast.failed.take() {
            Some(error) => Err(error),
            None => Ok(cast),
        }
    }

    /// Something was written to the terminal at this time since the beginning. Times never run backwards.
    pub fn output(&mut self, at: Duration, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.event(at, "o", &String::from_utf8_lossy(bytes));
        }
    }

    /// The screen has another size from now on.
    pub fn resize(&mut self, at: Duration, width: u16, height: u16) {
        self.height = height;
        self.event(at, "r", &format!("{width}x{height}"));
    }

    /// Gives the cursor back below the last frame, which stays.
    ///
    /// # Errors
    /// The first error that there was since the beginning: the recording ends there.
    pub fn end(&mut self, at: Duration) -> io::Result<()> {
        let row = self.height;
        self.event(at, "o", &format!("\x1b[0m\x1b[{row};1H\x1b[?25h"));
        self.failed.take().map_or(Ok(()), Err)
    }

    fn event(&mut self, at: Duration, kind: &str, data: &str) {
        self.last = at.max(self.last);
        let seconds = Duration::from_millis(u64::try_from(self.last.as_millis()).unwrap_or(u64::MAX)).as_secs_f64();
        self.line(&json!([seconds, kind, data]).to_string());
    }

    /// One line in one piece, so that a recording that is cut off by a crash can still be played.
    fn line(&mut self, line: &str) {
        if self.failed.is_none() {
            let written = self.out.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.out.flush());
            self.failed = written.err();
        }
    }
}

/// A recording in real time, shared by everything that writes to the terminal.
#[derive(Debug, Clone)]
pub struct Tape {
    cast: Arc<Mutex<Cast>>,
    since: Instant,
}

impl Tape {
    /// Time counts from now.
    #[must_use]
    pub fn new(cast: Cast) -> Tape {
        Tape { cast: Arc::new(Mutex::new(cast)), since: Instant::now() }
    }

    fn with<T>(&self, write: impl FnOnce(&mut Cast, Duration) -> T) -> T {
        // A panic elsewhere leaves a recording as good as it was.
        write(&mut self.cast.lock().unwrap_or_else(PoisonError::into_inner), self.since.elapsed())
    }

    /// The screen has another size from now on.
    pub fn resize(&self, width: u16, height: u16) {
        self.with(|cast, at| cast.resize(at, width, height));
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// As [`Cast::end`].
    pub fn end(&self) -> io::Result<()> {
        self.with(Cast::end)
    }
}

/// Writes to a terminal, and to a recording if there is one. What is written is held back until it is flushed, so that a
/// frame is one piece in both.
#[derive(Debug)]
pub struct Tee<W> {
    to: W,
    tape: Option<Tape>,
    held: Vec<u8>,
}

impl<W> Tee<W> {
    /// A writer that records what it writes.
    #[must_use]
    pub fn new(to: W, tape: Option<Tape>) -> Tee<W> {
        Tee { to, tape, held: Vec::new() }
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        self.to.write_all(&held)?;
        self.to.flush()?;
        if let Some(tape) = &self.tape {
            tape.with(|cast, at| cast.output(at, &held));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn head() -> Head {
        Head { width: 80, height: 24, timestamp: 1_767_600_000, title: "a \"drill\"".into(), term: "xterm".into() }
    }

    #[test]
    fn a_header_and_one_line_for_each_event() {
        let file = Shared::default();
        let mut cast = Cast::begin(Box::new(file.clone()), &head()).unwrap();
        cast.output(Duration::from_millis(1_500), "é\x1b[1m".as_bytes());
        cast.output(Duration::from_millis(1_600), b"");
        cast.resize(Duration::from_secs(2), 100, 30);
        // A clock that was set back does not take the recording back.
        cast.output(Duration::from_secs(1), b"late");
        cast.end(Duration::from_secs(3)).unwrap();
        let text = file.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "{\"env\":{\"TERM\":\"xterm\"},\"height\":24,\"idle_time_limit\":2.0,\"timestamp\":1767600000,\
             \"title\":\"a \\\"drill\\\"\",\"version\":2,\"width\":80}"
        );
        assert_eq!(lines[2], "[1.5,\"o\",\"é\\u001b[1m\"]");
        assert_eq!(lines[3], "[2.0,\"r\",\"100x30\"]");
        assert_eq!(lines[4], "[2.0,\"o\",\"late\"]");
        assert!(lines[5].contains("[30;1H"), "the cursor goes below the last frame: {}", lines[5]);
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn what_is_written_is_recorded_frame_by_frame_and_goes_to_the_terminal_unchanged() {
        let (file, screen) = (Shared::default(), Shared::default());
        let tape = Tape::new(Cast::begin(Box::new(file.clone()), &head()).unwrap());
        let mut tee = Tee::new(screen.clone(), Some(tape.clone()));
        write!(tee, "one ").unwrap();
        write!(tee, "frame").unwrap();
        assert_eq!(screen.text(), "", "held back until the frame is whole");
        tee.flush().unwrap();
        tee.flush().unwrap();
        tape.end().unwrap();
        assert_eq!(screen.text(), "one frame");
        assert_eq!(file.text().lines().count(), 4, "{}", file.text());
        assert!(file.text().contains("\"one frame\"]"), "{}", file.text());
    }

    #[test]
    fn a_full_disk_ends_the_recording_and_nothing_else() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(Cast::begin(Box::new(Full(0)), &head()).is_err());
        let tape = Tape::new(Cast::begin(Box::new(Full(2)), &head()).unwrap());
        let screen = Shared::default();
        let mut tee = Tee::new(screen.clone(), Some(tape.clone()));
        for _ in 0..3 {
            tee.write_all(b"frame").unwrap();
            tee.flush().unwrap();
        }
        assert_eq!(screen.text(), "frameframeframe", "the cockpit goes on");
        assert_eq!(tape.end().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
