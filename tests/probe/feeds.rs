//! The `http` monitors of a live run: from here, and from vantage points that are down, slow, strange.

use std::time::{Duration, Instant};

use cutover::cloud::{Reading, Value};
use cutover::live::system_now;
use cutover::plan::{Family, HttpSource, Measure, Monitor, Plan, Source, Vantage};
use cutover::probe::Feeds;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::server::{Exact, OK, counting};
use crate::{plan, source};

/// A plan with one monitor, measured from `germany` through a shell script, or from here.
fn plan_of(url: &str, every_ms: i64, script: Option<&str>) -> Plan {
    let from = if script.is_some() { "germany" } else { "local" };
    let http = HttpSource { measure: Measure::FirstByte, from: from.into(), family: Family::Any, ..source(url) };
    let monitor = Monitor { every_ms, ..plan::monitor("api", Source::Http(http)) };
    let vantage = |script: &str| Vantage {
        name: "germany".into(),
        is: "a shell on this machine".into(),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
    };
    Plan { vantages: script.map(vantage).into_iter().collect(), ..plan::plan(vec![monitor]) }
}

fn agent() -> String {
    format!("exec '{}' probe --agent", env!("CARGO_BIN_EXE_cutover"))
}

/// Readings of so long a time, asked for as often as the core would.
async fn watch(feeds: &Feeds, every: Duration, length: Duration) -> Vec<Reading> {
    let begin = Instant::now();
    let mut out = Vec::new();
    while begin.elapsed() < length {
        let asked = Instant::now();
        out.extend(feeds.ask(0, system_now).await);
        sleep(every.saturating_sub(asked.elapsed())).await;
    }
    out
}

fn numbers(readings: &[Reading]) -> Vec<i64> {
    readings.iter().filter_map(|r| if let Value::Number(us) = r.value { Some(us) } else { None }).collect()
}

/// The words of the first reading that says what is wrong.
async fn trouble(script: &str) -> String {
    let plan = plan_of("http://127.0.0.1:9/", 1_000, Some(script));
    let feeds = Feeds::start(&plan, system_now);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_mins(1) {
        for reading in feeds.ask(0, system_now).await {
            match reading.value {
                Value::Missing(why) if why.contains("no sample came") => {}
                Value::Missing(why) => return why,
                other => panic!("a vantage that does not work was read as {other:?}"),
            }
        }
    }
    panic!("nothing was said");
}

#[tokio::test]
async fn a_vantage_point_is_a_command_that_gives_a_pipe() {
    let server = Exact::start(Duration::from_millis(20), None);
    let feeds = Feeds::start(&plan_of(&server.url(), 200, Some(&agent())), system_now);
    let before = system_now();
    let readings = watch(&feeds, Duration::from_millis(200), Duration::from_secs(2)).await;
    let seen = numbers(&readings);
    assert!(seen.len() >= 6, "{readings:?}");
    assert!(seen.iter().all(|us| *us >= 20_000), "{seen:?}");
    assert!(readings.windows(2).all(|pair| pair[0].at < pair[1].at), "{readings:?}");
    assert!(readings.iter().all(|reading| reading.at >= before && reading.at <= system_now() + 5), "{readings:?}");
}

#[tokio::test]
async fn a_vantage_that_cannot_be_reached_says_why() {
    let words =
        trouble("echo 'Warning: added' >&2; echo 'ssh: connect to host x port 22: Connection refused' >&2; exit 255").await;
    assert_eq!(words, "vantage germany is down: exit 255: ssh: connect to host x port 22: Connection refused");
    let mut plan = plan_of("http://127.0.0.1:9/", 1_000, Some(""));
    plan.vantages[0].command = vec!["/nowhere/ssh".into()];
    let feeds = Feeds::start(&plan, system_now);
    let readings = feeds.ask(0, system_now).await;
    let [Reading { value: Value::Missing(words), .. }] = &readings[..] else { panic!("{readings:?}") };
    assert!(words.starts_with("vantage germany is down: /nowhere/ssh cannot be started: No such file"), "{words}");
    plan.vantages[0].command.clear();
    let readings = Feeds::start(&plan, system_now).ask(0, system_now).await;
    let [Reading { value: Value::Missing(words), .. }] = &readings[..] else { panic!("{readings:?}") };
    assert_eq!(words, "vantage germany is not connected: the plan has no command for it");
}

#[tokio::test]
async fn a_vantage_of_another_version_or_that_talks_nonsense_is_not_listened_to() {
    let words = trouble(r#"read job; echo '{"kind":"start","protocol":2,"cutover":"9.9.9","aims":7}'; sleep 60"#).await;
    assert_eq!(words, "vantage germany is of another version: it speaks protocol 2 (cutover 9.9.9), this release 1");
    let words = trouble("echo 'Last login: Mon Jun 1 on tty1'; sleep 60").await;
    assert_eq!(words, "vantage germany sends what is no sample: Last login: Mon Jun 1 on tty1");
    let words = trouble(r#"echo '{"kind":"refused","protocol":1,"why":"no job"}'; sleep 60"#).await;
    assert_eq!(words, "vantage germany refuses the job: no job");
    let start = r#"read job; echo '{"kind":"start","protocol":1,"cutover":"1","targets":["http://127.0.0.1:9/"]}'"#;
    // Faster than light, of no target, before the start, without an end.
    for line in [sample(-5, 10, 0), sample(50, 10, 0), sample(5, 10, 7)] {
        let words = trouble(&format!("{start}; echo '{line}'; sleep 60")).await;
        assert!(words.starts_with("vantage germany sends what is no sample: {\"kind\":\"sample\""), "{words}");
    }
    let words = trouble(&format!("echo '{}'; sleep 60", sample(5, 10, 0))).await;
    assert!(words.starts_with("vantage germany sends what is no sample"), "{words}");
    let words = trouble("yes | tr -d '\\n'").await;
    assert_eq!(words, "vantage germany sends a line without an end");
    // An old release has no such command.
    let words = trouble("echo \"error: unrecognized subcommand 'probe'\" >&2; echo 'Usage: cutover' >&2; exit 2").await;
    assert_eq!(words, "vantage germany is down: exit 2: error: unrecognized subcommand 'probe'");
}

fn sample(first_byte_us: i64, total_us: i64, target: usize) -> String {
    sample_done(first_byte_us, total_us, target, 1_000_000)
}

fn sample_done(first_byte_us: i64, total_us: i64, target: usize, done_us: i64) -> String {
    format!(
        r#"{{"kind":"sample","target":{target},"url":"x","n":0,"at_ms":0,"due_us":0,"late_us":0,"from_due_us":{total_us},"done_us":{done_us},"first_byte_us":{first_byte_us},"total_us":{total_us},"status":200,"kept":false}}"#
    )
}

/// Two samples that were measured at the same time, of which the second arrives three seconds later: it was true then.
#[tokio::test]
async fn samples_that_come_late_are_not_taken_for_fresh_ones() {
    let start = r#"read job; echo '{"kind":"start","protocol":1,"cutover":"1","targets":["http://127.0.0.1:9/"]}'"#;
    let script = format!(
        "{start}; echo '{}'; sleep 1; echo '{}'; sleep 4; echo '{}'; sleep 60",
        sample_done(5, 10, 0, 1_000_000),
        sample_done(6, 10, 0, 1_500_000),
        sample_done(7, 10, 0, 1_600_000),
    );
    // An interval of 1 s and a time-out of 2 s.
    let feeds = Feeds::start(&plan_of("http://127.0.0.1:9/", 1_000, Some(&script)), system_now);
    let begin = system_now();
    let mut seen = Vec::new();
    while seen.len() < 3 && system_now() - begin < 30_000 {
        seen.extend(
            feeds
                .ask(0, system_now)
                .await
                .into_iter()
                .filter(|reading| !matches!(&reading.value, Value::Missing(why) if why.contains("no sample came"))),
        );
    }
    assert_eq!((&seen[0].value, &seen[1].value), (&Value::Number(5), &Value::Number(6)));
    // Half a second late: as old as it is, and not as new as it came.
    let apart = seen[1].at - seen[0].at;
    assert!((400..800).contains(&apart), "{apart} ms");
    assert_eq!(seen[2].value, Value::Missing("vantage germany is slow: its samples come 4 s late".into()));
}

#[tokio::test]
async fn a_vantage_that_dies_is_missing_until_it_is_back() {
    let server = Exact::start(Duration::from_millis(5), None);
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("again");
    let binary = env!("CARGO_BIN_EXE_cutover");
    // The first one is killed after a second, the second one lives.
    let script = format!(
        "if [ -e '{0}' ]; then exec '{binary}' probe --agent; fi; touch '{0}'; exec timeout -s KILL 1 '{binary}' probe --agent",
        mark.display()
    );
    let feeds = Feeds::start(&plan_of(&server.url(), 200, Some(&script)), system_now);
    let readings = watch(&feeds, Duration::from_millis(200), Duration::from_secs(4)).await;
    let down =
        readings.iter().position(|r| matches!(&r.value, Value::Missing(why) if why.starts_with("vantage germany is down: ")));
    let down = down.unwrap_or_else(|| panic!("{readings:?}"));
    assert!(!numbers(&readings[..down]).is_empty() && !numbers(&readings[down..]).is_empty(), "{readings:?}");
    assert!(matches!(readings.last().unwrap().value, Value::Number(_)), "{readings:?}");
}

#[tokio::test]
async fn a_vantage_that_says_nothing_is_given_up() {
    let words =
        trouble(r#"read job; echo '{"kind":"start","protocol":1,"cutover":"1","targets":["http://127.0.0.1:9/"]}'; sleep 60"#)
            .await;
    assert_eq!(words, "vantage germany is silent: nothing came for 20 s");
}

#[tokio::test]
async fn whatever_a_vantage_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > '{}'; wait", file.display());
    let feeds = Feeds::start(&plan_of("http://127.0.0.1:9/", 1_000, Some(&script)), system_now);
    let pid = loop {
        match std::fs::read_to_string(&file) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => sleep(Duration::from_millis(20)).await,
        }
    };
    let alive = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(alive());
    drop(feeds);
    let begin = Instant::now();
    while alive() {
        assert!(begin.elapsed() < Duration::from_secs(5), "it lives on");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The core asks again when it has an answer; the requests go on meanwhile.
#[tokio::test]
async fn a_slow_answer_does_not_hold_up_the_next_request() {
    let server = Exact::start(Duration::from_millis(1), Some((5, Duration::from_millis(1_500))));
    let feeds = Feeds::start(&plan_of(&server.url(), 200, None), system_now);
    let readings = watch(&feeds, Duration::from_millis(200), Duration::from_secs(5)).await;
    let seen = numbers(&readings);
    let slow: Vec<&i64> = seen.iter().filter(|us| **us > 250_000).collect();
    assert!((5..=9).contains(&slow.len()), "{} of about 7 requests met the stall: {seen:?}", slow.len());
    assert!(seen.len() >= 18, "{seen:?}");
}

#[tokio::test]
async fn who_asks_seldom_gets_one_request_for_each_question() {
    let (address, connections) = counting(TcpListener::bind("127.0.0.1:0").await.unwrap(), OK);
    let mut plan = plan_of(&format!("http://{address}/"), 100, None);
    let Source::Http(http) = &mut plan.monitors[0].source else { unreachable!() };
    http.timeout_ms = 200;
    let feeds = Feeds::start(&plan, system_now);
    for asked in 1..=4 {
        let before = system_now();
        let readings = feeds.ask(0, system_now).await;
        assert!(matches!(&readings[..], [Reading { at, value: Value::Number(_) }] if *at >= before), "{readings:?}");
        assert_eq!(connections.get(), asked);
        sleep(Duration::from_millis(800)).await;
    }
    assert_eq!(connections.get(), 4);
    assert!(Feeds::start(&plan, system_now).ask(7, system_now).await.is_empty(), "no such monitor");
}
