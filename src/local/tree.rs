//! Files of the working tree: read as text, replaced as a whole or not at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::cloud::Splice;
use crate::plan::sha256_hex;

/// Largest file that is edited, in bytes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The text of a file.
pub fn read(workdir: &Path, file: &str) -> Result<String, String> {
    text_of(&inside(workdir, file)?, file)
}

/// Makes replacements in a file, if it is what they were made for. Nothing happens when they were made already.
pub fn replace(workdir: &Path, file: &str, before: &str, after: &str, splices: &[Splice]) -> Result<(), String> {
    let path = inside(workdir, file)?;
    let text = text_of(&path, file)?;
    let now = sha256_hex(&text);
    if now == after {
        return Ok(());
    }
    let new = if now == before { crate::cloud::spliced(&text, splices) } else { None };
    let Some(new) = new.filter(|new| sha256_hex(new) == after) else {
        return Err(format!("{file} was changed after it was read: nothing was written"));
    };
    write(&path, new.as_bytes()).map_err(|error| format!("{file} cannot be written: {error}"))
}

/// The path of a file that is really in the working tree: a link that leads out of it is refused.
fn inside(workdir: &Path, file: &str) -> Result<PathBuf, String> {
    let root = workdir.canonicalize().map_err(|error| format!("the working tree {}: {error}", workdir.display()))?;
    let path = root.join(file).canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {file} in the working tree {}", root.display()),
        _ => format!("{file}: {error}"),
    })?;
    if path.starts_with(&root) { Ok(path) } else { Err(format!("{file} leads out of the working tree {}", root.display())) }
}

fn text_of(path: &Path, file: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{file} cannot be read: {error}");
    let meta = fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(format!("{file} is not a file"));
    }
    if meta.len() > BYTES_MAX {
        return Err(format!("{file} has more than {} MiB", BYTES_MAX >> 20));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| format!("{file} is no UTF-8 text (byte {})", error.utf8_error().valid_up_to() + 1))
}

/// Writes beside the file and renames: whoever reads sees the old text or the new one, and a crash leaves one of them.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mode = fs::metadata(path)?.permissions();
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.cutover-{}", std::process::id()));
    let written = (|| {
        // What is there under this name is left from a process that died, or a link that somebody laid: it is not followed.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&fresh)?;
        file.set_permissions(mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // It is ours, and nobody will look for it.
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn one(at: usize, old: &str, new: &str) -> Vec<Splice> {
        vec![Splice { at, old: old.into(), new: new.into() }]
    }

    #[test]
    fn a_file_is_swapped_and_swapped_back() {
        let tree = tempfile::tempdir().unwrap();
        let path = tree.path().join("a.json");
        fs::write(&path, "region: eu-west-1\r\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = sha256_hex(read(tree.path(), "a.json").unwrap());
        let after = sha256_hex("region: eu-central-1\r\n");
        let there = one(8, "eu-west-1", "eu-central-1");
        replace(tree.path(), "a.json", &before, &after, &there).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "region: eu-central-1\r\n");
        // A second sending of the same call finds it done.
        replace(tree.path(), "a.json", &before, &after, &there).unwrap();
        replace(tree.path(), "a.json", &after, &before, &one(8, "eu-central-1", "eu-west-1")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"region: eu-west-1\r\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_changed_meanwhile_is_not_overwritten() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("a"), "one").unwrap();
        let (before, after) = (sha256_hex("one"), sha256_hex("two"));
        fs::write(tree.path().join("a"), "one, and mine").unwrap();
        let why = replace(tree.path(), "a", &before, &after, &one(0, "one", "two")).unwrap_err();
        assert_eq!(why, "a was changed after it was read: nothing was written");
        assert_eq!(fs::read_to_string(tree.path().join("a")).unwrap(), "one, and mine");
    }

    #[test]
    fn a_name_is_a_name_whatever_it_looks_like() {
        let names =
            ["$(touch pwned)", "-rf", "it's \"it\"`touch pwned`;", "a b\tc", "*", "~", "%s", "&& touch pwned", "#x", "{a,b}"];
        for name in names {
            let tree = tempfile::tempdir().unwrap();
            for beside in names.iter().chain(&["rf", "a"]) {
                fs::write(tree.path().join(beside), "one").unwrap();
            }
            replace(tree.path(), name, &sha256_hex("one"), &sha256_hex("two"), &one(0, "one", "two")).unwrap();
            let changed = |path: &Path| fs::read_to_string(path).unwrap() == "two";
            let files: Vec<PathBuf> = fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            let found: Vec<&PathBuf> = files.iter().filter(|path| changed(path)).collect();
            assert_eq!((found, files.len()), (vec![&tree.path().join(name)], names.len() + 2), "{name}");
        }
    }

    #[test]
    fn a_link_under_the_name_of_the_new_file_is_not_followed() {
        let (tree, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(tree.path().join("a"), "one").unwrap();
        fs::write(other.path().join("theirs"), "theirs").unwrap();
        let laid = tree.path().join(format!(".a.cutover-{}", std::process::id()));
        symlink(other.path().join("theirs"), &laid).unwrap();
        replace(tree.path(), "a", &sha256_hex("one"), &sha256_hex("two"), &one(0, "one", "two")).unwrap();
        assert_eq!(fs::read_to_string(tree.path().join("a")).unwrap(), "two");
        assert!(!tree.path().join("a").is_symlink() && !laid.exists());
        assert_eq!(fs::read_to_string(other.path().join("theirs")).unwrap(), "theirs");
    }

    #[test]
    fn nothing_outside_is_touched() {
        let (tree, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("secret"), "x").unwrap();
        symlink(other.path().join("secret"), tree.path().join("link")).unwrap();
        assert!(read(tree.path(), "link").unwrap_err().contains("leads out of the working tree"));
        assert!(read(tree.path(), "none").unwrap_err().contains("there is no file none"));
        fs::write(tree.path().join("bytes"), [0xff, 0xfe]).unwrap();
        assert!(read(tree.path(), "bytes").unwrap_err().contains("UTF-8"));
    }
}
