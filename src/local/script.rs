//! Bash scripts: a process group of their own, a bounded environment, and an end in every case.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::output::{self, Output};
use super::secrets::Secrets;
use super::{Settings, refused};
use crate::cloud::{Failure, FailureKind, Receipt};
use crate::plan::format_ms;
use crate::probe::Group;

/// How long a `done-if` may take, in milliseconds.
pub const DONE_IF_MS: i64 = 60_000;
/// Variables of the engine's environment that a script sees; those that end with `*` by their beginning.
const ALLOWED: [&str; 24] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SSH_AUTH_SOCK",
    "AWS_*",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ALL_PROXY",
];
/// Longest line that is taken as one, in bytes; a longer one comes in parts.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Most bytes that a script may give for later steps.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;
/// How long it is waited for output after the end of a script: what it left behind may hold the pipe for ever.
const DRAIN: Duration = Duration::from_secs(2);
/// So many of its last lines are looked at for the reason why a script failed.
const LAST_LINES: usize = 10;
/// What tools say when credentials have expired or there are none.
const NO_CREDENTIALS: [&str; 9] = [
    "(ExpiredToken)",
    "(ExpiredTokenException)",
    "(RequestExpired)",
    "(InvalidClientTokenId)",
    "(UnrecognizedClientException)",
    "Unable to locate credentials",
    "Token has expired",
    "token included in the request is expired",
    "session has expired",
];
/// How the file ends that names a running script's process group.
const GROUP: &str = "group";

/// A script and what it gets.
pub struct Task<'a> {
    pub settings: &'a Settings,
    /// How its files begin.
    pub name: String,
    pub job: &'a str,
    pub text: &'a str,
    pub env: &'a [(String, String)],
    pub secrets: &'a [(String, String)],
    /// Names that it may give values.
    pub outputs: &'a [String],
    pub timeout_ms: i64,
    pub grace_ms: i64,
}

/// How a script ended.
enum End {
    Exited(ExitStatus),
    TimedOut,
    Stopped,
}

/// Runs a script to its end.
pub async fn run(
    task: Task<'_>,
    secrets: &Secrets,
    output: &Output,
    mut stopped: watch::Receiver<bool>,
) -> Result<Receipt, Failure> {
    let folder = &task.settings.folder;
    let values = write_file(folder, &format!("{}.values", task.name), "").map_err(refused)?;
    let (mut child, pipe) = start(&task, Some(&values)).map_err(refused)?;
    let group = Group::of(&child);
    let marked = mark(folder, &task.name, &child);
    let reading = read(pipe, secrets, output);
    tokio::pin!(reading);
    let limit = Duration::from_millis(u64::try_from(task.timeout_ms).unwrap_or(0));
    let mut drained = false;
    let end = {
        let ending = async {
            tokio::select! {
                status = child.wait() => status.map(End::Exited),
                () = sleep(limit) => Ok(End::TimedOut),
                // The sender goes only together with whoever waits here.
                Ok(_) = stopped.wait_for(|stop| *stop) => Ok(End::Stopped),
            }
        };
        tokio::pin!(ending);
        loop {
            tokio::select! {
                end = &mut ending => break end,
                () = &mut reading, if !drained => drained = true,
            }
        }
    };
    let end = end.map_err(|error| unknown(format!("bash: {error}")))?;
    if !matches!(end, End::Exited(_)) {
        terminate(&mut child, task.grace_ms).await;
    }
    // Whatever it started and left behind ends with it.
    drop(group);
    if !drained {
        let _ = timeout(DRAIN, reading).await;
    }
    drop(marked);
    let last = output.last().map(|line| format!(": {line}")).unwrap_or_default();
    let result = match end {
        End::TimedOut => Err(refused(format!("ended after {}, its timeout{last}", format_ms(task.timeout_ms)))),
        End::Stopped => Err(refused("ended: nobody waits for it any more".into())),
        End::Exited(status) if status.success() => given(&values, task.outputs, secrets).map_err(refused),
        End::Exited(status) => {
            let kind = if wants_credentials(&output.tail()) { FailureKind::Credentials } else { FailureKind::Refused };
            Err(Failure { kind, message: format!("{}{last}", words(status)) })
        }
    };
    // It may hold what is not meant to be kept.
    let _ = fs::remove_file(&values);
    result.map(|outputs| Receipt { id: String::new(), outputs })
}

/// Whether a `done-if` ends with 0.
pub async fn is_done(task: Task<'_>, secrets: &Secrets) -> Result<bool, Failure> {
    let output = Output::create(&task.settings.folder, 0, &format!("done-if-{}", task.job)).map_err(refused)?;
    let (mut child, pipe) = start(&task, None).map_err(refused)?;
    let _group = Group::of(&child);
    let limit = Duration::from_millis(u64::try_from(task.timeout_ms).unwrap_or(0));
    let ended = timeout(limit, async { tokio::join!(child.wait(), timeout(limit, read(pipe, secrets, &output))).0 }).await;
    match ended {
        Ok(Ok(status)) => Ok(status.success()),
        Ok(Err(error)) => Err(unknown(format!("done-if: {error}"))),
        Err(_) => Err(refused(format!("done-if has not ended after {}", format_ms(task.timeout_ms)))),
    }
}

fn unknown(message: String) -> Failure {
    Failure { kind: FailureKind::Unknown, message }
}

/// Starts bash on a file with the script's text. Both outputs go into one pipe, so their order is kept.
fn start(task: &Task<'_>, values: Option<&Path>) -> Result<(Child, OwnedFd), String> {
    let settings = task.settings;
    let file = write_file(&settings.folder, &format!("{}.sh", task.name), task.text)?;
    let (reader, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    let second = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;
    let mut command = Command::new("bash");
    command
        .args(["--noprofile", "--norc", "-euo", "pipefail"])
        .arg(&file)
        .current_dir(&settings.workdir)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_allowed)))
        .envs(task.env.iter().map(|(name, value)| (name, value)))
        .envs(task.secrets.iter().map(|(name, value)| (name, value)))
        .env("CUTOVER_RUN", &settings.run)
        .env("CUTOVER_STEP", task.job)
        .stdin(Stdio::null())
        .stdout(Stdio::from(writer))
        .stderr(Stdio::from(second))
        // A group of its own: what a person presses at the terminal is not meant for it, and what it starts ends with it.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(plan) = &settings.plan {
        command.env("CUTOVER_PLAN", plan);
    }
    if let Some(values) = values {
        command.env("CUTOVER_OUTPUT", values);
    }
    let child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("bash, or the working tree {}, is not there", settings.workdir.display()),
        _ => format!("bash cannot be started: {error}"),
    })?;
    // Dropping the command closes our ends of the pipe, so that it ends with the script.
    Ok((child, OwnedFd::from(reader)))
}

fn is_allowed(name: &str) -> bool {
    ALLOWED.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *allowed,
    })
}

/// Writes a file of the output folder that only its owner may read, and gives its absolute path.
fn write_file(folder: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let path = output::path(folder, name)?;
    let mut options = OpenOptions::new();
    let file = options.create(true).write(true).truncate(true).mode(0o600).open(&path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes())).and_then(|()| path.canonicalize());
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Takes in what comes out of the pipe, line by line, until it is closed.
async fn read(pipe: OwnedFd, secrets: &Secrets, output: &Output) {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else { return };
    let mut line: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        line.extend_from_slice(&buffer[..count]);
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = line.drain(..=end).collect();
            output.line(&secrets.masked(String::from_utf8_lossy(&whole[..end]).trim_end_matches('\r')));
        }
        // A line without an end is cut, but not in the middle of what may be a secret: half of it stays for the next part.
        if line.len() > LINE_BYTES_MAX {
            let masked = secrets.masked(&String::from_utf8_lossy(&line));
            let half = masked.floor_char_boundary(masked.len() / 2);
            output.line(&masked[..half]);
            line = masked.as_bytes()[half..].to_vec();
        }
    }
    if !line.is_empty() {
        output.line(&secrets.masked(&String::from_utf8_lossy(&line)));
    }
}

/// TERM to the whole group, then KILL after the grace.
async fn terminate(child: &mut Child, grace_ms: i64) {
    if let Some(leader) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        let _ = kill_process_group(leader, Signal::TERM);
        let grace = Duration::from_millis(u64::try_from(grace_ms).unwrap_or(0));
        if timeout(grace, child.wait()).await.is_err() {
            let _ = kill_process_group(leader, Signal::KILL);
            let _ = timeout(DRAIN, child.wait()).await;
        }
    }
}

/// The values that a script gave: `NAME=value`, a line each. Names that it did not announce are left out.
fn given(values: &Path, names: &[String], secrets: &Secrets) -> Result<BTreeMap<String, String>, String> {
    let large = fs::metadata(values).is_ok_and(|meta| meta.len() > OUTPUT_BYTES_MAX);
    if large {
        return Err(format!("it gave more than {} KiB of values", OUTPUT_BYTES_MAX >> 10));
    }
    let text = fs::read_to_string(values).map_err(|error| format!("its values cannot be read: {error}"))?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let found: BTreeMap<String, String> =
        pairs.filter(|(name, _)| names.iter().any(|n| n == name)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    for name in names {
        match found.get(name) {
            None => {
                return Err(format!("it ended well and did not give {name}: it has to write NAME=value into $CUTOVER_OUTPUT"));
            }
            Some(value) if secrets.is_in(value) => {
                return Err(format!("the value that it gave for {name} holds a secret, which would get into the journal"));
            }
            Some(_) => {}
        }
    }
    Ok(found)
}

/// Whether a script ended because nobody is logged in any more: so its last lines say, in the words of the AWS CLI and of
/// other tools made with its SDKs.
fn wants_credentials(lines: &[String]) -> bool {
    let end = &lines[lines.len().saturating_sub(LAST_LINES)..];
    end.iter().any(|line| NO_CREDENTIALS.iter().any(|said| line.contains(said)))
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// The file that tells the next engine which process group this one has started. It goes with this.
struct Mark(Option<PathBuf>);

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // One that stays names a process that is gone, which is looked at before anything is ended.
            let _ = fs::remove_file(path);
        }
    }
}

fn mark(folder: &Path, name: &str, child: &Child) -> Mark {
    let text = child.id().and_then(|id| Some(format!("{id} {}", started(id)?)));
    Mark(text.and_then(|text| write_file(folder, &format!("{name}.{GROUP}"), &text).ok()))
}

/// When a process was started, in ticks since boot: its number alone may have been given to another one. The name before
/// it may hold blanks and brackets, so it is counted from behind the last bracket.
fn started(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Ends the scripts that an engine left running which is no more.
pub fn end_left(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder.join(output::FOLDER)) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|e| e == GROUP)) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let parsed = text.split_once(' ').and_then(|(id, ticks)| Some((id.parse::<u32>().ok()?, ticks.parse::<u64>().ok()?)));
        if let Some((id, ticks)) = parsed
            && started(id) == Some(ticks)
            && let Some(leader) = i32::try_from(id).ok().and_then(Pid::from_raw)
        {
            tracing::warn!(id, "ending a script that an earlier engine left running");
            let _ = kill_process_group(leader, Signal::TERM);
            for _ in 0..20 {
                if started(id) != Some(ticks) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            let _ = kill_process_group(leader, Signal::KILL);
        }
        let _ = fs::remove_file(&path);
    }
}
