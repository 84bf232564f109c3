//! The heartbeat: it goes out while the engine's loop goes round, and says so when it does not arrive.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cutover::commands::drill::build;
use cutover::drill::Drill;
use cutover::engine::Engine;
use cutover::journal::Meta;
use cutover::link::Request;
use cutover::live::heartbeat::begin;
use cutover::plan::{Heartbeat, HeartbeatTo};
use cutover::run::command::Command;
use cutover::run::snapshot::{AlertView, Level, Snapshot};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

/// Answers every request with a status, and counts them.
struct Alarm {
    url: String,
    calls: Arc<AtomicUsize>,
    status: Arc<AtomicUsize>,
}

impl Alarm {
    fn start(status: usize) -> Alarm {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ping/secret", listener.local_addr().unwrap());
        let (calls, status) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(status)));
        let (counted, said) = (Arc::clone(&calls), Arc::clone(&status));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 4_096];
                let length = stream.read(&mut asked).unwrap_or(0);
                assert!(asked[..length].starts_with(b"GET /ping/secret HTTP/1.1\r\n"));
                counted.fetch_add(1, Ordering::SeqCst);
                let status = said.load(Ordering::SeqCst);
                let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Alarm { url, calls, status }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// An engine whose loop goes round as a cockpit's does.
struct Stand {
    engine: Engine<Drill>,
    _folder: TempDir,
}

impl Stand {
    fn new(to: HeartbeatTo, every_ms: i64) -> Stand {
        let loaded = cutover::builtin::find("failover-drill").unwrap();
        let scenario = loaded.scenarios.iter().find(|s| s.name == "calm").unwrap().clone();
        let meta = Meta {
            run_id: "TEST".into(),
            plan_name: loaded.plan.name.clone(),
            plan_ref: loaded.plan.name.clone(),
            plan_hash: loaded.plan.manifest.hash.clone(),
            drill: true,
            scenario: Some("calm".into()),
            seed: Some(7),
            day_one: None,
            created_at: 0,
            cutover_version: "test".into(),
            workdir: ".".into(),
        };
        let folder = tempfile::tempdir().unwrap();
        let mut engine =
            build(&loaded, &scenario, &folder.path().join("run"), &meta, "auto".into()).map_err(|f| f.message).unwrap();
        engine.backend.set_speed(1);
        engine.keep_beating(begin(&Heartbeat { to, every_ms }));
        Stand { engine, _folder: folder }
    }

    /// Lets the loop go round while something is looked at.
    async fn while_it_runs<T>(
        &mut self,
        look: impl AsyncFnOnce(watch::Receiver<Arc<Snapshot>>, mpsc::Sender<Request>) -> T,
    ) -> T {
        let (commands, requests) = mpsc::channel(8);
        let (publish, snapshots) = watch::channel(Arc::new(self.engine.snapshot()));
        tokio::select! {
            ended = self.engine.run(requests, &publish) => panic!("{ended:?}"),
            seen = look(snapshots, commands) => seen,
        }
    }
}

fn trouble(snapshot: &Snapshot) -> Option<&AlertView> {
    snapshot.alerts.iter().find(|alert| alert.text.starts_with("the heartbeat does not get out"))
}

/// The alert about the heartbeat, as soon as there is one, or as soon as there is none.
async fn wait(snapshots: &mut watch::Receiver<Arc<Snapshot>>, wanted: bool) -> Option<AlertView> {
    let found = snapshots.wait_for(|snapshot| trouble(snapshot).is_some() == wanted);
    let found = timeout(Duration::from_secs(15), found).await.expect("the alert does not change").unwrap().clone();
    trouble(&found).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_out_while_the_loop_goes_round_and_not_when_it_stands() {
    let alarm = Alarm::start(200);
    let mut stand = Stand::new(HeartbeatTo::Url(alarm.url.clone()), 200);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(alarm.calls(), 0, "the engine has not begun");
    stand.while_it_runs(async |_, _commands| sleep(Duration::from_millis(3_200)).await).await;
    let calls = alarm.calls();
    // A loop that has nothing to do goes round once a second.
    assert!((3..=17).contains(&calls), "{calls} calls in 3.2 s");
    // The loop hangs: everything else in the process goes on.
    sleep(Duration::from_secs(1)).await;
    assert!(alarm.calls() <= calls + 1, "one may have been under way");
    let calls = alarm.calls();
    stand.while_it_runs(async |_, _commands| sleep(Duration::from_millis(700)).await).await;
    assert!(alarm.calls() > calls, "it goes round again");
    let calls = alarm.calls();
    drop(stand);
    sleep(Duration::from_millis(700)).await;
    assert!(alarm.calls() <= calls + 1, "the engine has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_is_good_to_know_and_a_success_clears_it() {
    let alarm = Alarm::start(503);
    let mut stand = Stand::new(HeartbeatTo::Url(alarm.url.clone()), 100);
    stand
        .while_it_runs(async |mut snapshots, _commands| {
            let first = wait(&mut snapshots, true).await.unwrap();
            assert_eq!((first.level, first.text.as_str()), (Level::Advisory, "the heartbeat does not get out: status 503"));
            let real = cutover::live::system_now();
            assert!((real - first.since).abs() < 5_000, "{}", real - first.since);
            sleep(Duration::from_millis(500)).await;
            assert_eq!(wait(&mut snapshots, true).await.unwrap().since, first.since, "since when it does not get out at all");
            alarm.status.store(204, Ordering::SeqCst);
            assert_eq!(wait(&mut snapshots, false).await, None);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_says_how() {
    for (command, why) in [
        (vec!["sh", "-c", "exit 3"], "sh: exit status: 3"),
        (vec!["/no/such/program"], "/no/such/program cannot be started: No such file or directory"),
    ] {
        let command = command.into_iter().map(str::to_owned).collect();
        let mut stand = Stand::new(HeartbeatTo::Command(command), 100);
        let alert = stand.while_it_runs(async |mut snapshots, _commands| wait(&mut snapshots, true).await).await.unwrap();
        assert!(alert.text.contains(why), "{}", alert.text);
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("echo beat >> '{}/beats'", folder.path().display());
    let mut stand = Stand::new(HeartbeatTo::Command(vec!["sh".into(), "-c".into(), script]), 100);
    let beats = || std::fs::read_to_string(folder.path().join("beats")).map_or(0, |text| text.lines().count());
    let snapshot = stand
        .while_it_runs(async |snapshots, _commands| {
            let begin = Instant::now();
            while beats() < 3 && begin.elapsed() < Duration::from_secs(10) {
                sleep(Duration::from_millis(20)).await;
            }
            snapshots.borrow().clone()
        })
        .await;
    assert!(beats() >= 3 && trouble(&snapshot).is_none(), "{}", beats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_holds_up_nothing_and_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let script = format!("sleep 300 & echo $! > '{}'; wait", pid.display());
    let mut stand = Stand::new(HeartbeatTo::Command(vec!["sh".into(), "-c".into(), script]), 100);
    stand
        .while_it_runs(async |mut snapshots, commands| {
            for _ in 0..20 {
                let (reply, answer) = oneshot::channel();
                let asked = Instant::now();
                commands.send(Request { command: Command::Acknowledge, reply }).await.unwrap();
                answer.await.unwrap();
                assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
                sleep(Duration::from_millis(50)).await;
            }
            let sleeper = std::fs::read_to_string(&pid).unwrap();
            let alive = |pid: &str| {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                stat.contains("(sleep)") && !stat.contains(") Z ")
            };
            assert!(alive(&sleeper), "one at a time, and the first is still under way");
            let alert = wait(&mut snapshots, true).await.unwrap();
            assert!(alert.text.ends_with("sh has not ended after 8s"), "{}", alert.text);
            sleep(Duration::from_millis(200)).await;
            assert!(!alive(&sleeper), "what it started ends with it");
        })
        .await;
}
