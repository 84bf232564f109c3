//! `cutover probe` as a process: accuracy, its schedule, its lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{EXPIRES, Exact, certificate, tls_serving};

fn cutover() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command to its end; its exit code and its lines.
fn lines(command: &mut Command) -> (i32, Vec<Value>) {
    let done = command.output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    (done.status.code().unwrap(), text.lines().map(parse).collect())
}

fn probe(args: &[&str]) -> (i32, Vec<Value>) {
    lines(cutover().args(["probe", "--json"]).args(args))
}

fn samples(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["kind"] == "sample").collect()
}

fn number(line: &Value, key: &str) -> i64 {
    line[key].as_i64().unwrap_or_else(|| panic!("{key} of {line}"))
}

fn sorted(mut numbers: Vec<i64>) -> Vec<i64> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn known_delays_are_measured() {
    for delay_ms in [5, 20, 100, 500] {
        let server = Exact::start(Duration::from_millis(delay_ms), None);
        let count = if delay_ms < 100 { "25" } else { "11" };
        let (code, lines) = probe(&[&server.url(), "--every", "60ms", "--count", count]);
        assert_eq!(code, 0, "{lines:?}");
        let seen = sorted(samples(&lines).iter().map(|line| number(line, "first_byte_us")).collect());
        let held = sorted(server.held());
        assert_eq!(seen.len(), held.len());
        // Against what the server really took, since on a busy machine it sleeps longer than it was told to. There the
        // best of them says how exact a measurement is, and the median must not be far; tests/live compares with others.
        let (best_us, error_us) = (seen[0] - held[0], seen[seen.len() / 2] - held[held.len() / 2]);
        println!("{delay_ms} ms: median {} us, error {error_us} us, of the best {best_us} us", seen[seen.len() / 2]);
        assert!((-50..1_500).contains(&best_us), "{delay_ms} ms: {seen:?}, the server took {held:?}");
        assert!((-50..15_000).contains(&error_us), "{delay_ms} ms: {seen:?}, the server took {held:?}");
        let summary = &lines.last().unwrap()["targets"][0];
        let median = number(&summary["phases"]["first-byte"], "p50_us");
        assert!((median - seen[seen.len() / 2]).abs() <= median / 5_000 + 1, "{median}, {seen:?}");
    }
}

/// A closed loop would see one slow answer and send nothing meanwhile. Here every request that was due while the server
/// stalled is sent in time, and waits as long as a user would have.
#[test]
fn a_server_that_stalls_shows_in_the_percentiles() {
    let server = Exact::start(Duration::from_millis(1), Some((20, Duration::from_secs(2))));
    let (code, lines) = probe(&[&server.url(), "--every", "50ms", "--count", "100"]);
    assert_eq!(code, 0);
    let seen = samples(&lines);
    assert_eq!(seen.len(), 100);
    let slow = seen.iter().filter(|line| number(line, "from_due_us") > 1_000_000).count();
    assert!((16..=24).contains(&slow), "{slow} of about 20 requests waited for more than a second");
    // The schedule went on: the k-th slow one waited 50 ms less than the one before it.
    let waits = sorted(seen.iter().map(|line| number(line, "from_due_us")).collect());
    assert!((1_900_000..2_600_000).contains(&waits[99]) && waits[98] > 1_800_000, "{waits:?}");
    let from_due = &lines.last().unwrap()["targets"][0]["phases"]["from-due"];
    assert!(number(from_due, "p99_us") > 1_800_000, "{from_due}");
    assert!(number(from_due, "p95_us") > 1_500_000, "{from_due}");
    assert!(number(from_due, "p50_us") < 1_000_000, "{from_due}");
}

/// The same when it is this process that stalls: what was due meanwhile counts from when it was due.
#[test]
fn a_stall_of_our_own_shows_too() {
    let server = Exact::start(Duration::from_millis(1), None);
    let mut command = cutover();
    command.args(["probe", "--json", "--every", "50ms", "--count", "80", &server.url()]);
    let mut child = command.spawn().unwrap();
    let reader = BufReader::new(child.stdout.take().unwrap());
    let mut seen = Vec::new();
    for line in reader.lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if line["n"] == 10 {
            signal(&child, "STOP");
            std::thread::sleep(Duration::from_millis(1_200));
            signal(&child, "CONT");
        }
        seen.push(line);
    }
    assert!(child.wait().unwrap().success());
    let seen = samples(&seen);
    assert_eq!(seen.len(), 80, "nothing that was due is left out");
    for line in &seen {
        // What is due is due at start + n * interval, whatever happened.
        assert_eq!(number(line, "due_us") - number(seen[0], "due_us"), (number(line, "n") - number(seen[0], "n")) * 50_000);
        assert_eq!(number(line, "from_due_us"), number(line, "late_us") + number(line, "total_us"));
    }
    let late = seen.iter().filter(|line| number(line, "from_due_us") > 500_000).count();
    assert!(late >= 10, "{late} of about 14 requests were more than half a second late");
    let longest = seen.iter().map(|line| number(line, "total_us")).max().unwrap();
    assert!(longest < 500_000, "none of them took long once it was sent: {longest}");
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_protocols_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (acceptor, _, pem) = certificate(&["http/1.1"]);
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let (address, connections) = tls_serving(acceptor).await;
    let place = address.to_string();
    let run = move |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (file, place) = (file.clone(), place.clone());
        tokio::task::spawn_blocking(move || {
            let mut command = cutover();
            command.env("SSL_CERT_FILE", file).args(["probe", "--every", "500ms", "--connect-to", &place]).args(args);
            lines(command.arg("--json"))
        })
    };
    let (code, lines) = run(&["https://api.test/", "--count", "4", "--keep"]).await.unwrap();
    assert_eq!(code, 0, "{lines:?}");
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["protocol"], &lines[0]["targets"][0]),
        (&"start".into(), &1.into(), &"https://api.test/".into())
    );
    let seen = samples(&lines);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let days = (EXPIRES - i64::try_from(now).unwrap()).div_euclid(86_400);
    for line in &seen {
        assert_eq!((number(line, "certificate_not_after"), number(line, "certificate_days")), (EXPIRES, days));
        assert_eq!(line["tls_us"].is_null(), line["kept"] == true, "{line}");
    }
    assert_eq!(connections.get(), 1);
    let summary = &lines.last().unwrap()["targets"][0];
    assert_eq!((number(summary, "ok"), number(summary, "kept"), number(summary, "certificate_days")), (4, 3, days));

    // What fails is told by kind, and is no latency. Never an answer: exit code 4.
    let (code, lines) = run(&["https://other.test/", "--count", "3"]).await.unwrap();
    assert_eq!(code, 4);
    let summary = &lines.last().unwrap()["targets"][0];
    assert_eq!((number(summary, "failed"), number(&summary["errors"], "tls: wrong name")), (3, 3));
    assert_eq!(summary["phases"].as_object().unwrap().len(), 0);
}

#[test]
fn ctrl_c_ends_with_a_report() {
    let server = Exact::start(Duration::ZERO, None);
    let mut child = cutover().args(["probe", "--every", "50ms", &server.url()]).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut head = String::new();
    for _ in 0..4 {
        reader.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("    n        dns    connect        tls first-byte      total  status\n    0          -"), "{head}");
    signal(&child, "INT");
    let rest: Vec<String> = reader.lines().map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success());
    let rest = rest.join("\n");
    assert!(rest.contains("p50        p95        p99        max") && rest.contains("  from-due"), "{rest}");
}

#[test]
fn an_agent_serves_one_job_and_ends_with_its_input() {
    let server = Exact::start(Duration::from_millis(5), None);
    let mut child = cutover().args(["probe", "--agent"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let target = format!(r#"{{"url":"{}","every_ms":100,"a_key_of_a_later_release":1}}"#, server.url());
    writeln!(stdin, r#"{{"protocol":1,"targets":[{target},{target}]}}"#).unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&reader.next().unwrap().unwrap()).unwrap();
    let start = next();
    assert_eq!((&start["kind"], &start["protocol"]), (&"start".into(), &1.into()));
    let mut first = [None, None];
    while first.contains(&None) {
        let line = next();
        if line["kind"] == "sample" && line["n"] == 0 {
            first[usize::try_from(number(&line, "target")).unwrap()] = Some(number(&line, "due_us"));
        }
    }
    // Not all at once: the second begins half an interval later.
    assert_eq!(first[1].unwrap() - first[0].unwrap(), 50_000);
    drop(stdin);
    let end = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(end.elapsed() < Duration::from_secs(2), "{:?}", end.elapsed());
}
