//! The socket in a run's folder: a script commands an engine in another process, and nobody else does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use cutover::link::Request;
use cutover::link::socket::{Door, Remote, SOCKET};
use cutover::run::command::{Command, Reply};
use tokio::sync::{mpsc, watch};

mod common;

/// An engine that holds, and refuses everything else.
fn serve(folder: &Path) -> (mpsc::Sender<Request>, tokio::task::JoinHandle<()>) {
    let door = Door::open(folder).unwrap();
    let (commands, mut requests) = mpsc::channel::<Request>(8);
    let (publish, snapshots) = watch::channel(Arc::new(common::calm()));
    let weak = commands.downgrade();
    let task = tokio::spawn(async move {
        let _publish = publish;
        let answer = async {
            while let Some(Request { command, reply }) = requests.recv().await {
                let said = match command {
                    Command::Hold { reason } => Reply::Ok(format!("held: {reason}")),
                    _ => Reply::Refused("no".into()),
                };
                reply.send(said).unwrap();
            }
        };
        tokio::select! {
            () = answer => {}
            () = door.serve(snapshots, weak) => {}
        }
    });
    (commands, task)
}

#[tokio::test]
async fn a_script_commands_and_sees_what_the_screen_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (_commands, task) = serve(folder.path());
    let mut remote = Remote::connect(folder.path()).await.unwrap().unwrap();
    assert_eq!(remote.command(Command::Hold { reason: "03:00".into() }).await.unwrap(), Reply::Ok("held: 03:00".into()));
    assert_eq!(remote.command(Command::GoOn).await.unwrap(), Reply::Refused("no".into()));
    assert_eq!(remote.snapshot().await.unwrap(), common::calm());
    // Several at a time, each with its own answers.
    let mut other = Remote::connect(folder.path()).await.unwrap().unwrap();
    assert_eq!(other.snapshot().await.unwrap().now, remote.snapshot().await.unwrap().now);
    task.abort();
    let _ = task.await;
    assert!(remote.snapshot().await.is_err(), "the engine has gone");
    assert!(!folder.path().join(SOCKET).exists(), "the socket goes with its engine");
}

#[tokio::test]
async fn only_the_owner_may_open_it_and_what_a_dead_engine_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Remote::connect(folder.path()).await.unwrap().is_none(), "no engine, no socket");
    // What a killed engine leaves behind answers nobody.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET)).unwrap());
    assert!(Remote::connect(folder.path()).await.unwrap().is_none());
    let (_commands, _task) = serve(folder.path());
    assert!(Remote::connect(folder.path()).await.unwrap().is_some());
    let mode = std::fs::metadata(folder.path().join(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_run_may_lie_deeper_than_the_path_of_a_socket_may_be_long() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("runs of a team with a long name".repeat(4)).join("run");
    assert!(Remote::connect(&deep).await.unwrap().is_none(), "no folder, no socket");
    std::fs::create_dir_all(&deep).unwrap();
    assert!(Remote::connect(&deep).await.unwrap().is_none(), "no engine, no socket");
    let (_commands, _task) = serve(&deep);
    assert!(Remote::connect(&deep).await.unwrap().is_some());
    assert_eq!(std::fs::metadata(deep.join(SOCKET)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_and_other_versions_are_answered_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let (_commands, _task) = serve(folder.path());
    let mut stream = UnixStream::connect(folder.path().join(SOCKET)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    for (said, answer) in [
        ("{\"cutover\":2,\"ask\":\"snapshot\"}", "speaks version 1"),
        ("hello", "not understood"),
        ("{\"cutover\":1,\"ask\":{\"command\":{\"do\":\"explode\"}}}", "not understood"),
    ] {
        writeln!(stream, "{said}").unwrap();
        let line = answers.next().unwrap().unwrap();
        assert!(line.contains(answer), "{said}: {line}");
    }
    // A line without an end is not read for ever.
    let endless = vec![b'x'; 1_000_000];
    let _ = stream.write_all(&endless);
    let mut remote = Remote::connect(folder.path()).await.unwrap().unwrap();
    assert_eq!(remote.snapshot().await.unwrap(), common::calm(), "others are served all the same");
}
