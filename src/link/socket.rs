//! The link over a Unix socket in the run's folder: how a script commands an engine that lives in another process.
//!
//! One line of JSON asks, one line answers. The socket belongs to the owner of the run, and the kernel says who is at
//! the other end; anybody else is turned away.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::Request;
use crate::run::command::{Command, Reply};
use crate::run::snapshot::Snapshot;

/// Name of the socket in a run's folder.
pub const SOCKET: &str = "engine.sock";
/// Version of what is said. Another one is refused, with words.
const VERSION: u32 = 1;
/// Longest line that is read, in bytes; a command is far shorter.
const LINE_MAX: u64 = 64 * 1024;
/// Longest path of a socket, in bytes, that every system takes.
const PATH_MAX: usize = 100;

/// The path by which a folder's socket is made and found, and what has to stay open for as long as it is used. A folder of
/// runs may lie deeper than a socket's path may be long; on Linux an open folder has a short path as well.
fn way(folder: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = folder.join(SOCKET);
    if path.as_os_str().len() <= PATH_MAX || !cfg!(target_os = "linux") {
        return Ok((path, None));
    }
    let open = File::open(folder)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())).join(SOCKET), Some(open)))
}

/// What a client says.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    cutover: u32,
    ask: Ask,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ask {
    Command(Command),
    Snapshot,
}

/// What an engine answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answered {
    Reply(Reply),
    Snapshot(Box<Snapshot>),
    Error(String),
}

/// A socket that is listened on. Dropping it takes the file away.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Drop for Door {
    fn drop(&mut self) {
        // A file that is left behind does no harm: nobody answers there, and the next engine replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Door {
    /// Listens in a run's folder. Only the holder of the run's lease may do so.
    ///
    /// # Errors
    /// When the socket cannot be made; elsewhere than on Linux a path of more than about a hundred bytes is one reason.
    pub fn open(folder: &Path) -> io::Result<Door> {
        let path = folder.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (way, _open) = way(folder)?;
        let listener = UnixListener::bind(way)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(&path)?.uid();
        Ok(Door { listener, path, owner })
    }

    /// Serves whoever comes, until the future is dropped or the engine is gone.
    pub async fn serve(&self, snapshots: watch::Receiver<Arc<Snapshot>>, commands: mpsc::WeakSender<Request>) {
        let mut clients = tokio::task::JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let who = stream.peer_cred().map(|peer| peer.uid());
                    if who.is_ok_and(|uid| uid == self.owner) {
                        clients.spawn(client(stream, snapshots.clone(), commands.clone()));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "nobody else can command this run");
                    return;
                }
            }
        }
    }
}

async fn client(stream: UnixStream, snapshots: watch::Receiver<Arc<Snapshot>>, commands: mpsc::WeakSender<Request>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(LINE_MAX)).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let answered = match serde_json::from_str::<Asked>(&line) {
            Ok(Asked { cutover: VERSION, ask: Ask::Snapshot }) => Answered::Snapshot(Box::new((**snapshots.borrow()).clone())),
            Ok(Asked { cutover: VERSION, ask: Ask::Command(command) }) => command_given(&commands, command).await,
            Ok(Asked { cutover, .. }) => {
                Answered::Error(format!("this engine speaks version {VERSION}, and was asked in version {cutover}"))
            }
            Err(error) => Answered::Error(format!("not understood: {error}")),
        };
        let mut text = serde_json::to_string(&answered).unwrap_or_default();
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        lines.get_mut().get_mut().set_limit(LINE_MAX);
    }
}

async fn command_given(commands: &mpsc::WeakSender<Request>, command: Command) -> Answered {
    let (reply, answer) = oneshot::channel();
    let Some(commands) = commands.upgrade() else { return Answered::Error("the engine is going down".into()) };
    if commands.send(Request { command, reply }).await.is_err() {
        return Answered::Error("the engine is going down".into());
    }
    match answer.await {
        Ok(reply) => Answered::Reply(reply),
        Err(_) => Answered::Error("the engine went down before it answered: look at the journal".into()),
    }
}

/// An engine in another process.
#[derive(Debug)]
pub struct Remote {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Remote {
    /// Connects to the engine of a run; `None` when none lives.
    ///
    /// # Errors
    /// When there is a socket that may not be used.
    pub async fn connect(folder: &Path) -> io::Result<Option<Remote>> {
        let (way, _open) = match way(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            way => way?,
        };
        match UnixStream::connect(way).await {
            Ok(stream) => {
                let (read, write) = stream.into_split();
                Ok(Some(Remote { lines: BufReader::new(read).lines(), write }))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives a command.
    ///
    /// # Errors
    /// When the engine is gone or speaks another version; whether the command was carried out is then in the journal.
    pub async fn command(&mut self, command: Command) -> io::Result<Reply> {
        match self.ask(Ask::Command(command)).await? {
            Answered::Reply(reply) => Ok(reply),
            other => Err(odd(other)),
        }
    }

    /// What the screen shows now.
    ///
    /// # Errors
    /// When the engine is gone or speaks another version.
    pub async fn snapshot(&mut self) -> io::Result<Snapshot> {
        match self.ask(Ask::Snapshot).await? {
            Answered::Snapshot(snapshot) => Ok(*snapshot),
            other => Err(odd(other)),
        }
    }

    async fn ask(&mut self, ask: Ask) -> io::Result<Answered> {
        let mut text = serde_json::to_string(&Asked { cutover: VERSION, ask })?;
        text.push('\n');
        self.write.write_all(text.as_bytes()).await?;
        let line = self.lines.next_line().await?;
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the engine has gone");
        Ok(serde_json::from_str(&line.ok_or_else(gone)?)?)
    }
}

fn odd(answered: Answered) -> io::Error {
    match answered {
        Answered::Error(why) => io::Error::other(why),
        Answered::Reply(_) | Answered::Snapshot(_) => io::Error::other("the engine answered something else"),
    }
}
