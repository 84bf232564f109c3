//! The command line as its users know it: help, exit codes, the drill's JSON, and the commands that README.md shows.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use cutover::cli::Cli;
use cutover::journal::{DATABASE, Draft, Lease, Record, Spool};
use serde_json::Value;
use tempfile::TempDir;

/// What a command has said and how it ended.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn expect(self, code: i32, says: &str) -> Ended {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        assert!(self.out.contains(says) || self.err.contains(says), "'{says}' is not said:\n{}\n{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}:\n{}\n{}", self.out, self.err))
    }
}

/// A folder for runs, and a way to give commands that use it and nothing of the machine's own.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    fn file(&self, name: &str, text: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn cutover(&self, args: &[&str]) -> Ended {
        self.cutover_in(args, &[])
    }

    /// The same with more in the environment.
    fn cutover_in(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_cutover"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("CUTOVER_STATE_DIR", self.runs())
            // Without this the search for credentials asks the machine it runs on.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(env.iter().copied())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// A headless drill of the small plan.
    fn drill(&self, more: &[&str]) -> Ended {
        self.cutover(&[&["drill", "failover-drill", "--auto", "--json"], more].concat())
    }

    /// A small plan whose second gate never opens.
    fn shut(&self) -> String {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/failover-drill.yaml")).unwrap();
        let shut = text.replace("below: 250ms, for: 2m", "below: 1ms, for: 2m");
        assert_ne!(shut, text);
        self.file("shut.yaml", shut.as_bytes())
    }
}

#[test]
fn lints_are_listed_and_explained() {
    let desk = Desk::new();
    let explained = desk.cutover(&["check", "--explain", "ttl-not-lowered"]).expect(0, "ttl-not-lowered (warning, rule 7)");
    assert!(explained.out.contains("Trips it:"), "{}", explained.out);
    let list = desk.cutover(&["check", "--explain"]).expect(0, "alias-ttl");
    assert_eq!(list.out.lines().count(), cutover::plan::lint::all().count());
    desk.cutover(&["check", "--explain", "ttl-not-lowerd"]).expect(2, "did you mean 'ttl-not-lowered'?");
    desk.cutover(&["check", "--explain", "xyzzy"]).expect(2, "there is no lint 'xyzzy' (`cutover check --explain`");
    desk.cutover(&["check"]).expect(2, "PLAN");
    desk.cutover(&["check", "medzen", "--explain", "alias-ttl"]).expect(2, "cannot be used with");
}

#[test]
fn help_is_what_it_was() {
    let desk = Desk::new();
    let help = |command: &str| {
        let args: Vec<&str> = [command, "--help"].into_iter().filter(|a| !a.is_empty()).collect();
        format!("$ cutover {}\n{}\n", args.join(" "), desk.cutover(&args).expect(0, "Usage").out)
    };
    let all: String =
        ["", "drill", "run", "rollback", "runbook", "status", "check", "schema", "log", "probe"].into_iter().map(help).collect();
    insta::assert_snapshot!("help", all);
}

#[test]
fn a_start_that_lets_a_step_fall_on_a_day_without_its_window_is_warned_of() {
    let desk = Desk::new();
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/valid/windows.yaml");
    let plan = plan.to_str().unwrap();
    desk.cutover(&["check", plan]).expect(0, "0 warning(s)");
    // Day 1 is a Monday: day 6 is a Saturday, and day 9 a Tuesday.
    let warned = desk.cutover(&["check", plan, "--start", "2026-01-05"]).expect(0, "1 warning(s)");
    let wanted = "window-off-day: `never` is on day 9, Tue 2026-01-13, and its window Sat-Sun 22:00-04:00 Europe/Berlin is shut";
    assert!(warned.err.contains(wanted), "{}", warned.err);
    desk.cutover(&["check", plan, "--start", "2026-02-30"]).expect(2, "--start");
    desk.cutover(&["run", plan, "--start", "tomorrow"]).expect(2, "--start");
}

#[test]
fn an_engine_in_a_region_of_its_plan_is_warned_of() {
    let desk = Desk::new();
    let fargate = [("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"), ("AWS_REGION", "eu-central-1")];
    let warned = desk.cutover_in(&["check", "failover-drill"], &fargate).expect(0, "1 warning(s)");
    assert!(warned.err.contains("engine-in-region: this machine is in eu-central-1"), "{}", warned.err);
    let report = desk.cutover_in(&["check", "failover-drill", "--json"], &fargate).expect(0, "").json();
    assert!(report["warnings"][0]["message"].as_str().unwrap().starts_with("engine-in-region"), "{report:#}");
    // Away from the plan's regions, and on a machine whose owner works with one of them, all is well.
    desk.cutover_in(&["check", "failover-drill"], &[fargate[0], ("AWS_REGION", "us-east-2")]).expect(0, "0 warning(s)");
    desk.cutover_in(&["check", "failover-drill"], &fargate[1..]).expect(0, "0 warning(s)");
}

#[test]
fn a_drill_by_name_servers_completes_and_has_no_heartbeat() {
    let desk = Desk::new();
    let plan = "tests/plans/valid/names.yaml";
    let drilled = desk.cutover(&["drill", plan, "--auto", "--json"]).expect(0, "completed");
    assert!(
        drilled.err.contains("heartbeat: a live run would call https://alarm.example.org/ping/names every 1m; a drill does not")
    );
    let head = drilled.json()["journal_head"].clone();
    assert_eq!(desk.cutover(&["drill", plan, "--auto", "--json"]).expect(0, "completed").json()["journal_head"], head);
    assert_ne!(desk.cutover(&["drill", plan, "--auto", "--json", "--seed", "8"]).json()["journal_head"], head);
    let run = drilled.json()["run"].as_str().unwrap().to_owned();
    let log = desk.cutover(&["log", &run, "--json"]).expect(0, "").out;
    assert!(log.contains("moved 100% (wanted last > 90%)") || log.contains("moved 9"), "{log}");

    let report = desk.cutover(&["check", plan, "--json"]).expect(0, "").json();
    assert_eq!(report["heartbeat"], serde_json::json!({ "url": "https://alarm.example.org/ping/names", "every_ms": 60_000 }));
    assert_eq!(report["api"]["calls"].as_array().unwrap().len(), 1, "name servers are no API of the cloud: {report:#}");
    desk.cutover(&["check", plan]).expect(0, "heartbeat calls every 1m: https://alarm.example.org/ping/names");
}

#[test]
fn a_plans_own_programs_are_shown_before_they_are_started() {
    let desk = Desk::new();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/valid/names.yaml")).unwrap();
    let canary = desk.folder.path().join("started");
    let command = format!("heartbeat: {{command: [touch, \"{}\"]}}\n", canary.display());
    let with = text.lines().map(|l| if l.starts_with("heartbeat:") { command.trim() } else { l }).collect::<Vec<_>>().join("\n");
    let plan = desk.file("programs.yaml", with.as_bytes());
    desk.cutover(&["check", &plan]).expect(0, "heartbeat runs every 1m: touch ");
    let refused = desk.cutover(&["run", &plan]).expect(2, "--yes");
    assert!(refused.err.contains("heartbeat runs every 1m: touch "), "{}", refused.err);
    assert!(!desk.runs().exists() || desk.cutover(&["status", "--json"]).json().as_array().unwrap().is_empty());
    // With it the run goes as far as it can without credentials.
    let agreed = desk.cutover(&["run", &plan, "--yes"]).expect(7, "credentials");
    assert!(agreed.err.contains("touch "), "{}", agreed.err);
    assert!(!canary.exists());
    // What only calls a URL starts nothing here.
    let quiet = desk.cutover(&["run", "tests/plans/valid/names.yaml"]).expect(7, "credentials");
    assert!(!quiet.err.contains("starts these programs"), "{}", quiet.err);
}

#[test]
fn usage_is_2() {
    let desk = Desk::new();
    desk.cutover(&[]).expect(2, "Usage");
    desk.cutover(&["bogus"]).expect(2, "unrecognized subcommand");
    desk.cutover(&["drill", "--json"]).expect(2, "--auto");
    desk.cutover(&["drill", "--auto", "--scenario", "nope"]).expect(2, "region-outage");
    desk.cutover(&["probe"]).expect(2, "<URL>");
    desk.cutover(&["probe", "ftp://example.com/"]).expect(2, "no http:// or https:// URL");
    desk.cutover(&["probe", "--every", "5", "http://example.com/"]).expect(2, "write it as in 500ms");
    desk.cutover(&["probe", "--agent", "--json"]).expect(2, "cannot be used with");
    desk.cutover(&["log", "nope"]).expect(2, "no such run");
    desk.cutover(&["status", "nope"]).expect(2, "no such run");
    desk.cutover(&["rollback", "nope", "immediate"]).expect(2, "no such run");
    desk.cutover(&["runbook", "nope"]).expect(2, "no such run");
}

#[test]
fn a_plan_that_is_wrong_is_3() {
    let desk = Desk::new();
    let wrong = "tests/plans/invalid/wrong-unit.yaml";
    desk.cutover(&["check", wrong]).expect(3, "wrong-unit.yaml:19:49");
    desk.cutover(&["drill", wrong, "--auto"]).expect(3, "wrong-unit.yaml:19:49");
    desk.cutover(&["check", "no/such/plan.yaml"]).expect(3, "no such file");
    let report = desk.cutover(&["check", wrong, "--json"]).expect(3, "").json();
    assert_eq!(report["ok"], false);
    assert_eq!(report["errors"][0]["line"], 19);
    let fine = desk.cutover(&["check", "medzen", "--json"]).expect(0, "").json();
    assert_eq!((&fine["ok"], &fine["plan"]), (&true.into(), &"medzen".into()));
}

#[test]
fn noise_is_refused_at_once() {
    let desk = Desk::new();
    // Printable and not, in no order, always the same.
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(10 << 20).collect();
    let begin = Instant::now();
    desk.cutover(&["check", &desk.file("noise.yaml", &noise)]).expect(3, "noise.yaml");
    assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
}

#[test]
fn a_headless_drill_says_what_the_readme_promises() {
    let report = Desk::new().drill(&[]).expect(0, "").json();
    let fields: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let promised = [
        "downtime_budget_seconds",
        "downtime_seconds",
        "failed_requests",
        "given_up",
        "journal_entries",
        "journal_head",
        "outcome",
        "plan",
        "rollback",
        "rpo_seconds",
        "rto",
        "rto_seconds",
        "run",
        "scenario",
        "seed",
        "simulated",
        "steady_state",
        "steps",
        "virtual_seconds",
    ];
    assert_eq!(fields, promised);
    assert_eq!(report["outcome"], "completed");
    assert_eq!(report["steps"]["done"], report["steps"]["total"]);
    assert_eq!(report["rollback"], Value::Null);
    assert_eq!(report["failed_requests"], 0);
    assert_eq!(report["journal_head"].as_str().unwrap().len(), 64);
    for field in promised {
        assert!(readme().contains(&format!("`{field}`")), "README.md does not explain {field}");
    }
}

#[test]
fn the_whole_migration_takes_its_21_days_and_no_time() {
    let report = Desk::new().cutover(&["drill", "--auto", "--json"]).expect(0, "").json();
    assert_eq!((&report["plan"], &report["outcome"]), (&"medzen".into(), &"completed".into()));
    // Its last steps are due on day 21, which begins after 20 days.
    let days = report["virtual_seconds"].as_f64().unwrap() / 86_400.0;
    assert!((20.0..21.5).contains(&days), "{days} days");
}

#[test]
fn an_outage_is_rolled_back_which_is_5() {
    let report = Desk::new().cutover(&["drill", "--auto", "--json", "--scenario", "region-outage"]).expect(5, "").json();
    assert_eq!(report["outcome"], "rolled_back");
    assert!(report["rollback"]["name"].is_string() && report["rollback"]["seconds"].as_i64().unwrap() > 0);
    let parts: i64 = ["detect", "decide", "act", "recover"].iter().map(|part| report["rto"][part].as_i64().unwrap()).sum();
    let whole = report["rto_seconds"].as_i64().unwrap();
    // Each part is cut to whole seconds.
    assert!((whole - 4..=whole).contains(&parts), "{parts} of {whole}");
    assert!(report["rpo_seconds"].is_i64() && report["downtime_seconds"].as_i64().unwrap() > 0);
}

#[test]
fn a_gate_that_stays_shut_is_4() {
    let desk = Desk::new();
    let report = desk.cutover(&["drill", &desk.shut(), "--auto", "--json"]).expect(4, "").json();
    assert_eq!(report["outcome"], "held");
    assert_ne!(report["steps"]["done"], report["steps"]["total"]);
}

#[test]
fn the_seed_decides_everything() {
    let desk = Desk::new();
    let head = |more: &[&str]| desk.drill(more).json()["journal_head"].clone();
    let first = head(&["--seed", "7"]);
    assert_eq!(first, head(&["--seed", "7"]));
    assert_ne!(first, head(&["--seed", "8"]));
}

#[test]
fn a_journal_is_proved_and_what_was_changed_is_8() {
    let desk = Desk::new();
    let report = desk.drill(&[]).expect(0, "").json();
    let (run, head) = (report["run"].as_str().unwrap(), report["journal_head"].as_str().unwrap());
    desk.cutover(&["log", run]).expect(0, "genesis");
    desk.cutover(&["log", run, "--verify"]).expect(0, head);
    desk.cutover(&["log", run, "--verify", "--head", head]).expect(0, head);
    desk.cutover(&["log", run, "--verify", "--head", &"f".repeat(64)]).expect(8, "");
    let entries = desk.cutover(&["log", run, "--json"]).expect(0, "").out.lines().count();
    assert_eq!(report["journal_entries"], entries);

    let copy = desk.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(desk.runs().join(run).join(DATABASE), copy.join(DATABASE)).unwrap();
    let copy_name = copy.to_str().unwrap();
    desk.cutover(&["log", copy_name, "--verify", "--head", head]).expect(0, "ok");
    let database = rusqlite::Connection::open(copy.join(DATABASE)).unwrap();
    // Without the newest entry the chain is whole, and only the head that was kept tells.
    database.execute("DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)", ()).unwrap();
    desk.cutover(&["log", copy_name, "--verify"]).expect(0, "cut off");
    desk.cutover(&["log", copy_name, "--verify", "--head", head]).expect(8, "");
    // One letter of one entry.
    let changed = database.execute("UPDATE entries SET actor = 'Auto' WHERE seq = 3 AND actor = 'auto'", ()).unwrap();
    assert_eq!(changed, 1);
    drop(database);
    desk.cutover(&["log", copy_name, "--verify"]).expect(8, "entry 3");
    desk.cutover(&["status", copy_name]).expect(8, "");
}

#[test]
fn a_run_that_another_engine_has_is_6() {
    let desk = Desk::new();
    let report = desk.cutover(&["drill", &desk.shut(), "--auto", "--json"]).expect(4, "").json();
    let run = report["run"].as_str().unwrap();
    let (lease, _) = Lease::take(&desk.runs().join(run)).unwrap();
    desk.cutover(&["drill", run, "--auto"]).expect(6, "");
    // Looking is free.
    desk.cutover(&["status", run]).expect(0, "baseline");
    desk.cutover(&["log", run, "--verify"]).expect(0, "ok");
    drop(lease);
    desk.cutover(&["drill", run, "--auto"]).expect(4, "held");
}

#[test]
fn a_live_run_without_credentials_is_7() {
    let desk = Desk::new();
    desk.cutover(&["run", "medzen"]).expect(7, "GetCallerIdentity");
    // Nothing is left behind by a run that never began.
    desk.cutover(&["status"]).expect(0, "no runs");
}

#[test]
fn a_drill_is_a_run_like_any_other() {
    let desk = Desk::new();
    let run = desk.drill(&[]).expect(0, "").json()["run"].as_str().unwrap().to_owned();
    let list = desk.cutover(&["status", "--json"]).expect(0, "").json();
    assert_eq!((&list[0]["run"], &list[0]["drill"], &list[0]["finished"]), (&run.as_str().into(), &true.into(), &true.into()));
    let state = desk.cutover(&["status", &run, "--json"]).expect(0, "").json();
    assert_eq!(state["identity"]["run"], run.as_str());
    desk.cutover(&["rollback", &run, "immediate", "--yes"]).expect(2, "drill");
    desk.cutover(&["run", &run]).expect(2, "drill");
}

/// A process that died while the journal could not be written has left a spool.
#[test]
fn what_is_in_the_spool_is_shown_and_joins_the_journal_once() {
    let desk = Desk::new();
    let made = desk.drill(&[]).expect(0, "").json();
    let (run, entries) = (made["run"].as_str().unwrap(), made["journal_entries"].as_u64().unwrap());
    let note =
        Draft { at: 1_767_600_000_000, kind: "note".into(), actor: "anna".into(), body: "{\"text\":\"in the dark\"}".into() };
    let folder = desk.runs().join(run);
    let spooled = |seq| Record::new(seq, 1, note.clone());
    Spool::open(&folder).unwrap().keep(&[spooled(entries + 1), spooled(entries + 2)]).unwrap();

    let log = desk.cutover(&["log", run]).expect(0, "in the dark  [SPOOL: not in the journal yet]").out;
    assert_eq!(log.matches("[SPOOL").count(), 2);
    let last = desk.cutover(&["log", run, "--json"]).out.lines().last().map(str::to_owned).unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&last["spool"], &last["seq"]), (&true.into(), &(entries + 2).into()));
    assert_eq!(desk.cutover(&["log", run, "--verify", "--json"]).expect(0, "").json()["spooled"], 2);
    desk.cutover(&["status", run]).expect(0, "spool: 2 more");
    let seen = desk.cutover(&["status", run, "--json"]).expect(0, "").json();
    assert_eq!((&seen["ledger"]["seq"], &seen["ledger"]["durable"]), (&(entries + 2).into(), &entries.into()));
    desk.cutover(&["runbook", run]).expect(0, "made from the journal alone");

    for _ in 0..2 {
        desk.cutover(&["drill", run, "--auto"]).expect(0, "completed");
        let log = desk.cutover(&["log", run]).expect(0, "in the dark  [LATE: joined 20").out;
        assert_eq!(log.matches("in the dark").count(), 2, "{log}");
    }
    let verified = desk.cutover(&["log", run, "--verify", "--json"]).expect(0, "").json();
    assert_eq!((&verified["ok"], &verified["late"], &verified["spooled"]), (&true.into(), &2.into(), &0.into()));
    let out = folder.join("night.md");
    desk.cutover(&["runbook", run, "-o", out.to_str().unwrap()]).expect(0, "written to");
    assert!(fs::read_to_string(out).unwrap().contains("## immediate: "));

    // One that tells of other entries is no spool of this journal.
    Spool::open(&folder).unwrap().keep(&[spooled(3)]).unwrap();
    desk.cutover(&["status", run]).expect(8, "does not fit the journal");
    desk.cutover(&["drill", run, "--auto"]).expect(8, "does not fit the journal");
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Every `cutover …` and `cargo run -- …` in an indented block of README.md.
fn readme_commands() -> Vec<Vec<String>> {
    let text = readme();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let ours = lines.filter_map(|line| line.strip_prefix("cutover ").or_else(|| line.strip_prefix("cargo run -- ")));
    ours.map(|args| args.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_commands_of_the_readme_exist() {
    let commands = readme_commands();
    assert!(commands.len() >= 8, "README.md shows only {} commands", commands.len());
    for args in commands {
        let line = std::iter::once("cutover").chain(args.iter().map(String::as_str));
        if let Err(error) = Cli::try_parse_from(line) {
            panic!("README.md shows 'cutover {}': {error}", args.join(" "));
        }
    }
}

#[test]
fn the_readme_names_every_exit_code() {
    let text = readme();
    for code in 0..=8 {
        assert!(text.contains(&format!("\n| {code} |")), "exit code {code} is not in README.md");
    }
}
