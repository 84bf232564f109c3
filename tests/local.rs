//! Scripts and requests, really run: what they are given, what comes of them, and that they end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use cutover::cloud::{Answer, Call, Failure, FailureKind, HttpCall, Query, Receipt};
use cutover::local::{Local, Settings};
use cutover::plan::{Expect, Part, Text, Want};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// This process has it in its environment from the start, because nothing sets one up while threads run.
const SECRET: &str = "CARGO_MANIFEST_DIR";

struct Machine {
    folder: tempfile::TempDir,
    local: Local,
}

impl Machine {
    fn new() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tree")).unwrap();
        let local = Machine::local(folder.path());
        Machine { folder, local }
    }

    fn local(folder: &Path) -> Local {
        Local::new(Settings {
            folder: folder.to_path_buf(),
            workdir: folder.join("tree"),
            run: "run-1".into(),
            plan: None,
            secrets: vec![SECRET.into(), "NOT_THERE_AT_ALL".into()],
        })
    }

    async fn run(&self, id: u64, text: &str, change: impl FnOnce(&mut Call)) -> Result<Receipt, Failure> {
        let call = script(text, change);
        self.local.send(id, &call, Some(text)).await
    }

    /// What is in a run's folder, in one text.
    fn everything(&self) -> String {
        let files = std::fs::read_dir(self.folder.path().join("output")).unwrap();
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

fn script(text: &str, change: impl FnOnce(&mut Call)) -> Call {
    let script_sha256 = Sha256::digest(text).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let mut call = Call::RunScript {
        job: "step".into(),
        script_sha256,
        env: Vec::new(),
        secrets: Vec::new(),
        outputs: Vec::new(),
        timeout_ms: 20_000,
        grace_ms: 500,
    };
    change(&mut call);
    call
}

fn given(call: &mut Call, given_env: &[(&str, &str)], given_secrets: &[&str], given_outputs: &[&str]) {
    let Call::RunScript { env, secrets, outputs, .. } = call else { return };
    *env = given_env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    *secrets = given_secrets.iter().map(|n| (*n).to_owned()).collect();
    *outputs = given_outputs.iter().map(|n| (*n).to_owned()).collect();
}

fn limits(call: &mut Call, of_timeout_ms: i64) {
    if let Call::RunScript { timeout_ms, .. } = call {
        *timeout_ms = of_timeout_ms;
    }
}

#[tokio::test]
async fn a_script_runs_in_the_working_tree_and_its_output_is_kept_in_order() {
    let machine = Machine::new();
    let text = "echo one; echo two >&2; echo \"three $CUTOVER_RUN $CUTOVER_STEP\"; touch here; printf 'no end'";
    machine.run(3, text, |_| {}).await.unwrap();
    assert_eq!(machine.local.output(3), ["one", "two", "three run-1 step", "no end"]);
    assert!(machine.folder.path().join("tree/here").exists());
    let log = std::fs::read_to_string(machine.folder.path().join("output/0003-step.log")).unwrap();
    assert_eq!(log, "one\ntwo\nthree run-1 step\nno end\n");
}

#[tokio::test]
async fn a_script_stops_at_its_first_failure_and_says_how_it_ended() {
    let machine = Machine::new();
    let why = machine.run(1, "echo before; false | true; echo after", |_| {}).await.unwrap_err();
    assert_eq!((why.kind, why.message.as_str()), (FailureKind::Refused, "exit code 1: before"));
    assert_eq!(machine.run(2, "echo $NOT_SET_ANYWHERE", |_| {}).await.unwrap_err().kind, FailureKind::Refused);
    assert_eq!(machine.run(3, "kill -9 $$", |_| {}).await.unwrap_err().message, "ended by signal 9");
    assert_eq!(machine.run(4, "exit 7", |_| {}).await.unwrap_err().message, "exit code 7");
}

#[tokio::test]
async fn a_script_that_lacks_credentials_says_so_in_the_words_of_its_tools() {
    let machine = Machine::new();
    let of_the_cli = "An error occurred (ExpiredToken) when calling the CreateKey operation: The security token is expired";
    let why = machine.run(1, &format!("echo '{of_the_cli}' >&2; exit 254"), |_| {}).await.unwrap_err();
    assert_eq!((why.kind, why.message), (FailureKind::Credentials, format!("exit code 254: {of_the_cli}")));
    let text = "echo 'Unable to locate credentials. You can configure credentials by running \"aws login\".' >&2; echo; exit 253";
    assert_eq!(machine.run(2, text, |_| {}).await.unwrap_err().kind, FailureKind::Credentials);
    // Neither another error, nor one long before the end, nor a script that ends well.
    let denied = "echo 'An error occurred (AccessDenied) when calling the CreateKey operation: no' >&2; exit 254";
    assert_eq!(machine.run(3, denied, |_| {}).await.unwrap_err().kind, FailureKind::Refused);
    let before = format!("echo '{of_the_cli}'; for n in $(seq 20); do echo $n; done; exit 1");
    assert_eq!(machine.run(4, &before, |_| {}).await.unwrap_err().kind, FailureKind::Refused);
    machine.run(5, &format!("echo '{of_the_cli}'"), |_| {}).await.unwrap();
}

#[tokio::test]
async fn values_reach_a_script_as_they_are_and_change_no_command() {
    let machine = Machine::new();
    let nasty = "$(touch pwned) `touch pwned` '; touch pwned; \"\n\u{1b}[2J";
    let text = "printf '%s' \"$VALUE\" > value; echo \"$VALUE\"";
    machine.run(1, text, |call| given(call, &[("VALUE", nasty)], &[], &[])).await.unwrap();
    let tree = machine.folder.path().join("tree");
    assert_eq!(std::fs::read_to_string(tree.join("value")).unwrap(), nasty);
    assert!(!tree.join("pwned").exists());
    assert!(machine.local.output(1).iter().all(|line| !line.contains('\u{1b}')), "nothing draws on the terminal");
}

#[tokio::test]
async fn the_environment_is_an_allow_list() {
    let machine = Machine::new();
    // Cargo sets this for every test; a script has no business with it.
    assert!(std::env::var("CARGO_PKG_NAME").is_ok());
    machine.run(1, "env", |_| {}).await.unwrap();
    let seen = machine.local.output(1);
    assert!(seen.iter().any(|line| line.starts_with("PATH=")), "{seen:?}");
    assert!(!seen.iter().any(|line| line.starts_with("CARGO_")), "{seen:?}");
}

#[tokio::test]
async fn a_secret_is_given_and_comes_out_nowhere() {
    let machine = Machine::new();
    let value = std::env::var(SECRET).unwrap();
    let text = format!("test -n \"${SECRET}\"; echo \"key ${SECRET} end\"; echo \"${SECRET}\" >&2; exit 3");
    let why = machine.run(1, &text, |call| given(call, &[], &[SECRET], &[])).await.unwrap_err();
    assert_eq!(why.message, format!("exit code 3: [{SECRET}]"));
    assert_eq!(machine.local.output(1), [format!("key [{SECRET}] end"), format!("[{SECRET}]")]);
    assert!(!machine.everything().contains(&value));
    // Nor does it get into the journal as a value for later steps.
    let text = format!("echo \"KEY=${SECRET}\" >> \"$CUTOVER_OUTPUT\"");
    let why = machine.run(2, &text, |call| given(call, &[], &[SECRET], &["KEY"])).await.unwrap_err();
    assert!(why.message.contains("holds a secret"), "{}", why.message);
    assert!(!machine.everything().contains(&value));
    let why = machine.run(3, "true", |call| given(call, &[], &["NOT_THERE_AT_ALL"], &[])).await.unwrap_err();
    assert!(why.message.contains("NOT_THERE_AT_ALL is not in the environment"), "{}", why.message);
}

#[tokio::test]
async fn what_a_script_gives_becomes_values() {
    let machine = Machine::new();
    let text = "echo 'ARN=arn:aws:kms:$(id)=x' >> $CUTOVER_OUTPUT; echo OTHER=1 >> $CUTOVER_OUTPUT";
    let receipt = machine.run(1, text, |call| given(call, &[], &[], &["ARN"])).await.unwrap();
    assert_eq!(receipt.outputs.into_iter().collect::<Vec<_>>(), [("ARN".to_owned(), "arn:aws:kms:$(id)=x".to_owned())]);
    let why = machine.run(2, "true", |call| given(call, &[], &[], &["ARN"])).await.unwrap_err();
    assert!(why.message.contains("did not give ARN"), "{}", why.message);
}

/// True while any process holds this text on its command line.
fn is_running(text: &str) -> bool {
    let out = std::process::Command::new("pgrep").args(["-f", text]).output().unwrap();
    out.status.success()
}

#[tokio::test]
async fn a_time_limit_ends_the_whole_group() {
    let machine = Machine::new();
    let begin = Instant::now();
    // Neither the script nor its child listens to TERM.
    let text = "trap '' TERM; (trap '' TERM; exec sleep 61.25) & echo started; sleep 61.25; echo never";
    let why = machine.run(1, text, |call| limits(call, 1_000)).await.unwrap_err();
    assert_eq!(why.message, "ended after 1s, its timeout: started");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(!is_running("sleep 61.25"));
}

#[tokio::test]
async fn a_script_that_is_told_to_end_ends_and_may_clean_up() {
    let machine = Machine::new();
    let text = "trap 'echo cleaned; exit 1' TERM; echo started; sleep 62.25 & wait";
    let call = script(text, |_| {});
    let local = machine.local.clone();
    let running = tokio::spawn(async move { local.send(5, &call, Some(text)).await });
    while machine.local.output(5).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    machine.local.stop(5);
    let why = running.await.unwrap().unwrap_err();
    assert_eq!(why.message, "ended: nobody waits for it any more");
    assert_eq!(machine.local.output(5), ["started", "cleaned"]);
    assert!(!is_running("sleep 62.25"));
}

#[tokio::test]
async fn a_child_that_left_the_group_holds_nobody_up() {
    let machine = Machine::new();
    let begin = Instant::now();
    machine.run(1, "setsid sleep 8.75 & echo done", |_| {}).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    assert_eq!(machine.local.output(1), ["done"]);
}

#[tokio::test]
async fn an_engine_that_is_gone_leaves_no_script_behind() {
    let machine = Machine::new();
    let call = script("echo started; sleep 63.25", |_| {});
    let local = machine.local.clone();
    // What the next engine finds after a kill -9 of this one: the mark, and the process.
    let text = "echo started; sleep 63.25";
    let running = tokio::spawn(async move { local.send(9, &call, Some(text)).await });
    while machine.local.output(9).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(machine.folder.path().join("output/0009.group").exists());
    assert!(is_running("sleep 63.25"));
    let folder = machine.folder.path().to_path_buf();
    tokio::task::spawn_blocking(move || Machine::local(&folder)).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap_err().message, "ended by signal 15: started");
    assert!(!is_running("sleep 63.25"));
}

#[tokio::test]
async fn output_without_end_is_bounded_on_the_screen() {
    let machine = Machine::new();
    machine.run(1, "seq 1 5000; head -c 100000 /dev/zero | tr '\\0' x", |_| {}).await.unwrap();
    let shown = machine.local.output(1);
    assert_eq!(shown.len(), 200);
    assert!(shown.iter().all(|line| line.chars().count() <= 500));
}

#[tokio::test]
async fn a_script_says_itself_whether_it_is_done() {
    let machine = Machine::new();
    let ask = |script: &str| Query::DoneIf {
        job: "step".into(),
        script: script.into(),
        env: vec![("A".into(), "1".into())],
        secrets: vec![],
    };
    assert_eq!(machine.local.ask(&ask("test \"$A\" = 1")).await, Ok(Answer::DoneIf(true)));
    assert_eq!(machine.local.ask(&ask("test -e here")).await, Ok(Answer::DoneIf(false)));
}

#[tokio::test]
async fn another_script_than_the_plan_was_pinned_to_is_not_run() {
    let machine = Machine::new();
    let call = script("echo good", |_| {});
    let why = machine.local.send(1, &call, Some("echo evil; touch here")).await.unwrap_err();
    assert!(why.message.contains("not the one that the plan was pinned to"));
    assert!(!machine.folder.path().join("tree/here").exists());
}

/// A server that answers each request with the next of these, and gives back what it was asked.
async fn server(answers: Vec<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer).await.unwrap();
                seen.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&seen).into_owned();
                let length = text
                    .lines()
                    .find_map(|l| l.to_lowercase().strip_prefix("content-length: ").map(|n| n.trim().parse::<usize>().unwrap()));
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
                if count == 0 || body.is_some_and(|have| have >= length.unwrap_or(0)) {
                    break;
                }
            }
            asked.push(String::from_utf8_lossy(&seen).into_owned());
            if !answer.is_empty() {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        asked
    });
    (port, task)
}

fn request(port: u16, change: impl FnOnce(&mut HttpCall)) -> Call {
    let mut request = HttpCall {
        method: "GET".into(),
        url: format!("http://127.0.0.1:{port}/health?a=1"),
        connect_to: None,
        headers: Vec::new(),
        body: None,
        timeout_ms: 3_000,
        retry_ms: 0,
        expect: Expect { status: 200, headers: Vec::new(), json: Vec::new() },
        outputs: Vec::new(),
    };
    change(&mut request);
    Call::MakeRequest { job: "step".into(), request }
}

const GOOD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n{\"region\":\"eu\",\"ok\":true,\"n\":1}";
const BAD: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_request_is_checked_and_gives_values() {
    let machine = Machine::new();
    let (port, asked) = server(vec![GOOD]).await;
    let call = request(port, |request| {
        request.expect.json = vec![("$.region".into(), Want::Is("eu".into())), ("$.ok".into(), Want::Is("true".into()))];
        request.outputs = vec![("REGION".into(), "$.region".into())];
    });
    let receipt = machine.local.send(1, &call, None).await.unwrap();
    assert_eq!(receipt.outputs["REGION"], "eu");
    let asked = asked.await.unwrap().concat();
    assert!(asked.starts_with("GET /health?a=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{asked}");
}

#[tokio::test]
async fn a_secret_in_a_header_is_sent_and_not_shown() {
    let machine = Machine::new();
    let value = std::env::var(SECRET).unwrap();
    let answer: &'static str =
        Box::leak(format!("HTTP/1.1 401 No\r\nContent-Length: {}\r\n\r\nbad key {value}", value.len() + 8).into_boxed_str());
    let (port, asked) = server(vec![answer]).await;
    let secret = || Text(vec![Part::Plain("Bearer ".into()), Part::Secret(SECRET.into())]);
    let call = request(port, |request| {
        request.method = "POST".into();
        request.headers = vec![("Authorization".into(), secret())];
        request.body = Some(Text::plain("{}"));
    });
    let why = machine.local.send(1, &call, None).await.unwrap_err();
    assert_eq!((why.kind, why.message.as_str()), (FailureKind::Refused, "status 401 instead of 200"));
    assert!(asked.await.unwrap().concat().contains(&format!("authorization: Bearer {value}\r\n")));
    assert!(!machine.everything().contains(&value));
    assert!(machine.local.output(1).contains(&format!("bad key [{SECRET}]")), "{:?}", machine.local.output(1));
}

#[tokio::test]
async fn a_request_that_changes_nothing_is_made_again_until_it_is_as_expected() {
    let machine = Machine::new();
    let (port, _asked) = server(vec![BAD, "", GOOD]).await;
    machine.local.send(1, &request(port, |request| request.retry_ms = 20_000), None).await.unwrap();
    let (port, _asked) = server(vec![BAD]).await;
    let why = machine.local.send(2, &request(port, |_| {}), None).await.unwrap_err();
    assert_eq!(why.message, "status 503 instead of 200");
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_may_have_been_taken() {
    let machine = Machine::new();
    let (port, _asked) = server(vec![""]).await;
    let posted = |port| request(port, |request| request.method = "POST".into());
    let why = machine.local.send(1, &posted(port), None).await.unwrap_err();
    assert_eq!(why.kind, FailureKind::Unknown, "{why:?}");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let why = machine.local.send(2, &posted(nobody), None).await.unwrap_err();
    assert_eq!((why.kind, why.message.as_str()), (FailureKind::Refused, "not sent: refused"));
}
