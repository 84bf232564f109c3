//! Where a plan's files come from, and which paths a plan may name.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::PathBuf;

use super::problem::is_unseen;

/// Largest file that is read, in bytes. A plan of 10,000 steps has three million.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most files in the working tree of a drill.
pub const TREE_FILES_MAX: usize = 500;

/// A folder with plan files in it. Paths are relative to it and separated by `/`.
pub trait Files {
    /// The bytes of a file. An implementation may stop after [`FILE_BYTES_MAX`] + 1 bytes: more is refused anyway.
    ///
    /// # Errors
    /// As the storage reports them; [`ErrorKind::NotFound`] where there is no such file.
    fn read(&self, path: &str) -> Result<Vec<u8>>;

    /// The names (not paths) of the files in a folder, sorted; none when there is no such folder.
    fn list(&self, dir: &str) -> Vec<String>;

    /// The paths of the files in a folder and in all folders below it, as seen from that folder, sorted; none when there is
    /// no such folder, and from a source that has no folders. Links to folders are not followed.
    fn walk(&self, _dir: &str) -> Vec<String> {
        Vec::new()
    }
}

/// A folder on disk.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The files below `root`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.root.join(path);
        // A named pipe or a device would block or never end, so that only regular files are opened.
        let meta = std::fs::metadata(&path)?;
        if meta.is_dir() {
            return Err(Error::new(ErrorKind::IsADirectory, "it is a folder, not a file"));
        }
        if !meta.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(&path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.root.join(dir)) else { return Vec::new() };
        let mut names: Vec<String> = entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn walk(&self, dir: &str) -> Vec<String> {
        let (mut found, mut waiting) = (Vec::new(), vec![String::new()]);
        while let Some(below) = waiting.pop() {
            let Ok(entries) = std::fs::read_dir(self.root.join(dir).join(&below)) else { continue };
            for entry in entries.filter_map(Result::ok) {
                let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
                let path = if below.is_empty() { name } else { format!("{below}/{name}") };
                if kind.is_dir() { waiting.push(path) } else { found.push(path) }
            }
            // A folder with more than that is not what a drill needs, and whoever reads the list says so.
            if found.len() > TREE_FILES_MAX {
                break;
            }
        }
        found.sort();
        found
    }
}

/// Checks that a path named in a plan stays inside the plan's folder; gives the reason when it does not.
pub(super) fn check_path(path: &str) -> std::result::Result<(), &'static str> {
    if path.is_empty() {
        return Err("the path is empty");
    }
    if path.contains('\\') {
        return Err("folders in a path are separated by `/`");
    }
    if path.starts_with('/') || path.contains(':') {
        return Err("the path must be relative to the plan's folder");
    }
    if path.chars().any(char::is_control) {
        return Err("the path holds control characters");
    }
    if path.chars().any(is_unseen) {
        return Err("the path holds characters that cannot be seen: it would not be the path that somebody reads");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("the path must not hold `.`, `..` or empty parts: a plan reads only what is in its folder");
    }
    Ok(())
}

/// The error of a read in words for people.
pub(super) fn read_error(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "it may not be read (permission denied)".to_owned(),
        _ => error.to_string(),
    }
}

/// The text of a plan file, or why it cannot be one.
pub(super) fn to_text(bytes: &[u8]) -> std::result::Result<&str, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {} MiB, which is more than any plan needs", FILE_BYTES_MAX >> 20));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| format!("the file is not UTF-8 text (byte {} is not part of a character)", e.valid_up_to() + 1))?;
    // YAML may begin with a byte order mark; it is no part of the text, and every position counts from behind it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}')) {
        Some(at) => Err(format!("the file is not plain text (control character after {at} bytes)")),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for good in ["vars.yaml", "templates/api.yaml", "a..b.yaml"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./x", "C:/x", "a\\b", "a\nb"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_text_is_text() {
        assert_eq!(to_text("\u{feff}a: 1\n".as_bytes()), Ok("a: 1\n"));
        assert!(to_text(&[0xff, 0xfe, 0]).unwrap_err().contains("UTF-8"));
        assert!(to_text(b"a\0b").unwrap_err().contains("control"));
        assert!(to_text(&vec![b'a'; FILE_BYTES_MAX + 1]).unwrap_err().contains("4 MiB"));
    }
}
