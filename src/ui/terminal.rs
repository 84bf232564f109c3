//! The terminal: entered, and always given back: on leaving, on an error, on a panic, on a signal.

use std::io::{self, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::cast::{Tape, Tee};

/// Columns and rows of the process's own terminal.
///
/// # Errors
/// When there is none.
pub fn size() -> io::Result<(u16, u16)> {
    crossterm::terminal::size()
}

/// The terminal as the cockpit uses it.
pub type Screen = Terminal<CrosstermBackend<Tee<io::Stdout>>>;

/// Longest text that goes to the clipboard; terminals drop longer sequences without a word.
const COPY_BYTES_MAX: usize = 64 * 1024;

static ENTERED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Holds the alternate screen and raw mode, and gives them back when it is dropped.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Enters the alternate screen. A panic anywhere gives the terminal back before its report is printed, so
    /// whatever prints reports has to be installed before.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be switched; it is then as before.
    pub fn enter() -> io::Result<Self> {
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                leave();
                report(info);
            }));
        });
        enter()?;
        Ok(Guard(()))
    }

    /// Enters the alternate screen and gives a terminal to draw on; what is drawn goes onto the tape as well.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be switched or its size cannot be read; it is then as before.
    pub fn open(tape: Option<Tape>) -> io::Result<(Self, Screen)> {
        let guard = Guard::enter()?;
        let screen = Terminal::new(CrosstermBackend::new(Tee::new(io::stdout(), tape)))?;
        Ok((guard, screen))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    ENTERED.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide).inspect_err(|_| leave())
}

/// Gives the terminal back; does nothing when that has been done. Errors are of no use here: the terminal may
/// be gone, and there is nobody left to tell.
fn leave() {
    if ENTERED.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), EndSynchronizedUpdate, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// What the loop wants of a terminal beyond drawing on it; a test has its own.
pub trait Host {
    /// Whether the terminal is still ours: a panic of a background task has given it back.
    fn ours(&self) -> bool;

    /// A frame begins: the terminal shows nothing of it until its end.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be written.
    fn begin_frame(&mut self) -> io::Result<()>;

    /// A frame ends.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be written.
    fn end_frame(&mut self) -> io::Result<()>;

    /// Puts a text on the clipboard.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be written.
    fn copy(&mut self, text: &str) -> io::Result<()>;

    /// Rings the bell.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be written.
    fn bell(&mut self) -> io::Result<()>;

    /// Hands the terminal to the shell, stops the process, and comes back when it is continued.
    ///
    /// # Errors
    ///
    /// When the terminal cannot be switched.
    fn suspend(&mut self) -> io::Result<()>;

    /// The terminal has another size from the next frame on.
    fn resized(&mut self, _width: u16, _height: u16) {}
}

/// The process's own terminal.
#[derive(Debug, Default)]
pub struct Stdout {
    /// Where what is drawn is recorded.
    pub tape: Option<Tape>,
}

impl Host for Stdout {
    fn ours(&self) -> bool {
        ENTERED.load(Ordering::SeqCst)
    }

    fn begin_frame(&mut self) -> io::Result<()> {
        execute!(io::stdout(), BeginSynchronizedUpdate)
    }

    fn end_frame(&mut self) -> io::Result<()> {
        execute!(io::stdout(), EndSynchronizedUpdate)
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), Print(osc52(text)))
    }

    fn bell(&mut self) -> io::Result<()> {
        let mut out = io::stdout();
        out.write_all(b"\x07")?;
        out.flush()
    }

    fn suspend(&mut self) -> io::Result<()> {
        leave();
        // In raw mode Ctrl-Z is a key like any other. Nobody handles SIGTSTP here, so raising it stops the
        // process until SIGCONT, exactly as the shell expects.
        let stopped = signal_hook::low_level::raise(signal_hook::consts::SIGTSTP);
        enter()?;
        stopped
    }

    fn resized(&mut self, width: u16, height: u16) {
        if let Some(tape) = &self.tape {
            tape.resize(width, height);
        }
    }
}

/// The escape sequence that puts a text on the clipboard of the terminal's machine, also over ssh.
#[must_use]
pub fn osc52(text: &str) -> String {
    let mut end = text.len().min(COPY_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("\x1b]52;c;{}\x07", base64(&text.as_bytes()[..end]))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                out.push(char::from(ALPHABET[word >> (18 - 6 * place) & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_base64() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("ö", "w7Y=")] {
            assert_eq!(osc52(text), format!("\x1b]52;c;{encoded}\x07"));
        }
        assert!(osc52(&"ö".repeat(COPY_BYTES_MAX)).len() < COPY_BYTES_MAX * 2);
    }
}
