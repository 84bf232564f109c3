//! What a script or a request says: all of it in a file beside the run, its end for the screen.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::cloud::CallId;

/// The folder within the run's.
pub const FOLDER: &str = "output";
/// So many lines are kept for the screen.
const LINES_MAX: usize = 200;
/// Longest line that is kept for the screen, in characters.
const CHARS_MAX: usize = 500;
/// Most bytes of one file: a script that prints without end must not fill the volume that the journal is on.
const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The output of one call.
#[derive(Debug)]
pub struct Output {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: Option<File>,
    written: usize,
    lines: VecDeque<String>,
}

impl Output {
    /// An output whose text goes into a file of the run's folder, which only its owner may read.
    pub fn create(folder: &Path, id: CallId, job: &str) -> Result<Output, String> {
        let path = path(folder, &format!("{id:04}-{}.log", file_name(job)))?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok(Output { kept: Mutex::new(Kept { file: Some(file), written: 0, lines: VecDeque::new() }) })
    }

    /// Takes in a line; secrets are masked in it already. In the file it stands as it is, on the screen without anything
    /// that moves a cursor or changes a colour.
    pub fn line(&self, line: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.written <= FILE_BYTES_MAX {
            kept.written += line.len() + 1;
            let text = if kept.written <= FILE_BYTES_MAX { line } else { "[what follows is not kept: it is too much]" };
            // A full disk must not end a script: its end is what the screen shows, and the journal says what came of it.
            if let Some(file) = &mut kept.file
                && writeln!(file, "{text}").is_err()
            {
                kept.file = None;
            }
        }
        if kept.lines.len() == LINES_MAX {
            kept.lines.pop_front();
        }
        kept.lines.push_back(shown(line));
    }

    /// The newest lines, oldest first.
    pub fn tail(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// The newest line that says something.
    pub fn last(&self) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().rev().find(|line| !line.trim().is_empty()).cloned()
    }
}

/// A file in the output folder, which is made if need be.
pub fn path(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = folder.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    Ok(folder.join(name))
}

/// A job's name as part of a file's.
fn file_name(job: &str) -> String {
    job.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(80).collect()
}

/// A line as it is shown: without escape sequences and control characters, and not without end.
pub fn shown(line: &str) -> String {
    let plain = anstream::adapter::strip_str(line).to_string();
    let one = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    plain.chars().map(one).take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_shown_and_all_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::create(folder.path(), 7, "undo a/b").unwrap();
        for n in 0..300 {
            output.line(&format!("line {n}"));
        }
        assert_eq!(output.tail().len(), LINES_MAX);
        assert_eq!(output.last().unwrap(), "line 299");
        let text = fs::read_to_string(folder.path().join("output/0007-undo_a_b.log")).unwrap();
        assert_eq!(text.lines().count(), 300);
    }

    #[test]
    fn nothing_draws_on_the_terminal() {
        assert_eq!(shown("a\u{1b}[31mred\u{1b}[0m\tb\u{1b}]0;title\u{7}c\rd\u{8}\u{9b}2J"), "ared bc\u{fffd}d\u{fffd}2J");
        assert_eq!(shown(&"x".repeat(10_000)).len(), CHARS_MAX);
    }
}
