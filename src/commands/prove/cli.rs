//! The AWS CLI, for the services that have no client here. It is started without a shell, with the environment as it is.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest time of one call. A list of many pages is one call.
const LIMIT: Duration = Duration::from_mins(1);
/// Calls at the same time: each is a process that takes a second to start.
const AT_ONCE: usize = 2;

/// Why the CLI gave no answer.
#[derive(Debug)]
pub struct Refusal {
    /// The service's code, such as `NoSuchBucket`; empty where it did not come to that.
    pub code: String,
    /// For people, on one line.
    pub message: String,
}

/// The program.
#[derive(Debug)]
pub struct Cli {
    path: PathBuf,
    slots: Semaphore,
}

impl Cli {
    /// The CLI, if it is on the path.
    pub fn find() -> Option<Cli> {
        on_path("aws").map(|path| Cli { path, slots: Semaphore::new(AT_ONCE) })
    }

    /// Asks for something that changes nothing.
    pub async fn ask(&self, arguments: &[&str]) -> Result<serde_json::Value, Refusal> {
        let asked = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let refused = |code: &str, why: String| Refusal { code: code.to_owned(), message: format!("aws {asked}: {why}") };
        let _slot = self.slots.acquire().await;
        let mut command = Command::new(&self.path);
        command.args(arguments).args(["--output", "json"]).stdin(Stdio::null()).kill_on_drop(true);
        let ended = match timeout(LIMIT, command.output()).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return Err(refused("", format!("cannot be started: {error}"))),
            Err(_) => return Err(refused("", format!("has not ended after {} s", LIMIT.as_secs()))),
        };
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word");
            let code =
                line.split_once("error occurred (").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(code, _)| code);
            return Err(refused(code, line.trim().chars().take(300).collect()));
        }
        serde_json::from_slice(&ended.stdout).map_err(|error| refused("", format!("its answer is no JSON: {error}")))
    }
}

/// Where a program is on the path, if it is there and may be run.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let may_run = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(may_run)
}
