//! The plans that are part of the binary, so that an installed `cutover drill` works in an empty folder.

use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};

use crate::plan::load::{Files, Loaded, Problems, load, load_path};

static PLANS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/plans");

/// Names of the built-in plans.
pub const NAMES: [&str; 2] = ["medzen", "failover-drill"];

/// A folder of the built-in plans.
struct Embedded {
    folder: &'static str,
}

impl Files for Embedded {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = PLANS.get_file(Path::new(self.folder).join(path));
        file.map(|f| f.contents().to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let folder = PLANS.get_dir(Path::new(self.folder).join(dir));
        let names = folder.into_iter().flat_map(Dir::files).filter_map(|f| f.path().file_name()?.to_str());
        names.map(str::to_owned).collect()
    }

    fn walk(&self, dir: &str) -> Vec<String> {
        let root = Path::new(self.folder).join(dir);
        let (mut found, mut waiting): (Vec<String>, Vec<&Dir<'_>>) = (Vec::new(), PLANS.get_dir(&root).into_iter().collect());
        while let Some(folder) = waiting.pop() {
            waiting.extend(folder.dirs());
            let paths = folder.files().filter_map(|f| f.path().strip_prefix(&root).ok()?.to_str());
            found.extend(paths.map(str::to_owned));
        }
        found.sort();
        found
    }
}

/// Loads a plan by path or by the name of a built-in one. A file or folder of that name comes first.
///
/// # Errors
/// Everything that is wrong with the plan.
pub fn find(plan: &str) -> Result<Loaded, Problems> {
    if Path::new(plan).exists() {
        return load_path(Path::new(plan));
    }
    match plan {
        "medzen" => load(&Embedded { folder: "medzen" }, "plan.yaml"),
        "failover-drill" => load(&Embedded { folder: "" }, "failover-drill.yaml"),
        other => load_path(Path::new(other)),
    }
}
