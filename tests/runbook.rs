//! The runbook: what it says is what the engine would do, its blocks run, and it stands beside every run.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use cutover::cloud::Call;
use cutover::commands::drill::build;
use cutover::commands::runbook::text;
use cutover::drill::Drill;
use cutover::drill::auto::{Until, drive};
use cutover::drill::operator::Operator;
use cutover::engine::{Backend, Engine, RUNBOOK};
use cutover::journal::Meta;
use cutover::plan::load::Loaded;
use cutover::plan::{RecordSet, Scenario};
use cutover::run::core::Core;
use cutover::run::entry::RollbackRef;
use cutover::run::rollback;
use cutover::run::runbook::{Facts, Source, as_left, runbook, written_at_entry};
use cutover::run::snapshot::Level;
use serde_json::{Value, json};

use calm::{SEED, calm};

#[path = "support/calm.rs"]
mod calm;

/// A drill in calm weather that stands before a step.
struct Case {
    loaded: Loaded,
    scenario: Scenario,
    meta: Meta,
    home: tempfile::TempDir,
}

impl Case {
    fn new(plan: &str) -> Case {
        let (loaded, scenario, meta) = calm(plan);
        Case { loaded, scenario, meta, home: tempfile::tempdir().unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("run")
    }

    fn open(&self) -> Engine<Drill> {
        build(&self.loaded, &self.scenario, &self.folder(), &self.meta, "auto".into()).map_err(|f| f.message).unwrap()
    }

    async fn before(&self, step: &str) -> Engine<Drill> {
        let mut engine = self.open();
        let until = self.loaded.plan.step_named(step).unwrap();
        drive(&mut engine, &mut Operator::new(SEED), Until::Step(until)).await;
        engine.settle().await;
        // Long enough for everything that a rollback is about to be read once more.
        let end = engine.backend.now() + 90_000;
        while engine.backend.now() < end {
            let event = engine.backend.pop(engine.wake());
            engine.handle(event);
        }
        engine.settle().await;
        engine
    }
}

/// What a live run in the same state would write.
fn live(engine: &Engine<Drill>, source: Source) -> String {
    let facts = Facts { run: "TEST".into(), drill: false, entry: engine.core.run.entries, head: "ab".into(), source };
    let core = match source {
        Source::Engine => engine.core.clone(),
        Source::Journal => Core { watch: as_left(&engine.core.plan, &engine.core.run), ..engine.core.clone() },
    };
    runbook(core.ctx(engine.backend.now()), &facts).text()
}

/// The script of one rollback.
fn block(text: &str, name: &str) -> String {
    let chapter = text.split(&format!("\n## {name}: ")).nth(1).unwrap_or_else(|| panic!("no chapter {name} in\n{text}"));
    chapter.split("```bash\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// An `aws` that notes what it is asked, keeps the batches and answers as the real one would.
const AWS: &str = r#"#!/bin/bash
echo "$*" >> "$NOTES/calls"
for word in "$@"; do
  case "$word" in file://*) cat "${word#file://}" > "$NOTES/batch-$(ls "$NOTES" | grep -c batch)" ;; esac
done
case "$1 $2" in
  "sts get-caller-identity") echo "$ACCOUNT" ;;
  "route53 change-resource-record-sets") [ -z "$REFUSE" ] || { echo "InvalidChangeBatch" >&2; exit 254; }; echo "/change/C1" ;;
esac
"#;

struct Night {
    folder: tempfile::TempDir,
}

impl Night {
    fn new() -> Night {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(folder.path().join("notes")).unwrap();
        fs::write(bin.join("aws"), AWS).unwrap();
        let mut permissions = fs::metadata(bin.join("aws")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(bin.join("aws"), permissions).unwrap();
        Night { folder }
    }

    fn run(&self, script: &str, account: &str, answers: &str, refuse: &str) -> Output {
        let file = self.folder.path().join("script");
        let typed = self.folder.path().join("answers");
        fs::write(&file, script).unwrap();
        fs::write(&typed, answers).unwrap();
        Command::new("bash")
            .arg(&file)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display()))
            .env("NOTES", self.folder.path().join("notes"))
            .env("TMPDIR", self.folder.path())
            .env("ACCOUNT", account)
            .env("REFUSE", refuse)
            .stdin(Stdio::from(fs::File::open(typed).unwrap()))
            .output()
            .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("notes/calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn batch(&self, number: usize) -> Value {
        let text = fs::read_to_string(self.folder.path().join(format!("notes/batch-{number}"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

/// A record set as the API names its fields, written down a second time and apart from the product.
fn as_api(record: &RecordSet) -> Value {
    let mut set = serde_json::Map::new();
    set.insert("Name".into(), json!(record.name.clone() + "."));
    set.insert("Type".into(), json!(record.kind));
    record.set.as_ref().map(|v| set.insert("SetIdentifier".into(), json!(v)));
    record.weight.map(|v| set.insert("Weight".into(), json!(v)));
    record.ttl.map(|v| set.insert("TTL".into(), json!(v)));
    if !record.values.is_empty() {
        set.insert("ResourceRecords".into(), record.values.iter().map(|v| json!({ "Value": v })).collect());
    }
    if let Some(alias) = &record.alias {
        let target = json!({ "HostedZoneId": alias.zone, "DNSName": alias.name.clone() + ".",
                             "EvaluateTargetHealth": alias.evaluate_health });
        set.insert("AliasTarget".into(), target);
    }
    record.health_check.as_ref().map(|v| set.insert("HealthCheckId".into(), json!(v)));
    Value::Object(set)
}

#[tokio::test]
async fn a_block_sends_what_the_engine_would_send() {
    for (plan, step) in [("failover-drill", "shift-100"), ("medzen", "shift-50")] {
        let case = Case::new(plan);
        let engine = case.before(step).await;
        let ctx = engine.core.ctx(engine.backend.now());
        let offer = rollback::offer(ctx, &RollbackRef::Plan("immediate".into()), i64::MIN);
        let [Call::ChangeRecords { zone, delete, create }] = offer.calls.as_slice() else { panic!("{offer:?}") };
        let account = &case.loaded.plan.account;

        let night = Night::new();
        let script = block(&live(&engine, Source::Engine), "immediate");
        let done = night.run(&script, account, "", "");
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(0), "{said}");
        let batch = night.batch(0);
        let wanted: Vec<Value> = delete
            .iter()
            .map(|r| json!({ "Action": "DELETE", "ResourceRecordSet": as_api(r) }))
            .chain(create.iter().map(|r| json!({ "Action": "CREATE", "ResourceRecordSet": as_api(r) })))
            .collect();
        assert_eq!(batch["Changes"], Value::Array(wanted));
        let calls = night.calls();
        assert_eq!(calls.len(), 4, "{calls:#?}");
        assert!(calls[0].starts_with("sts get-caller-identity"), "{calls:#?}");
        let change = format!("route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch file://");
        assert!(calls[1].starts_with(&change), "{calls:#?}");
        assert_eq!(calls[2], "route53 wait resource-record-sets-changed --id /change/C1");
        assert!(calls[3].contains(&format!("list-resource-record-sets --hosted-zone-id {zone} --query")), "{calls:#?}");
        assert!(said.contains("rollback immediate is done"), "{said}");

        // The journal alone gives the same script: what the run's calls left is what is there.
        assert_eq!(block(&live(&engine, Source::Journal), "immediate"), script);

        let night = Night::new();
        let wrong = night.run(&script, "000000000000", "", "");
        assert_eq!(wrong.status.code(), Some(7));
        assert_eq!(night.calls().len(), 1, "nothing is asked of a wrong account but who it is");
        let night = Night::new();
        let refused = night.run(&script, account, "", "yes");
        assert_ne!(refused.status.code(), Some(0));
        assert_eq!(night.calls().len(), 2, "nothing is waited for when the batch was refused");
    }
}

#[tokio::test]
async fn nothing_is_deleted_without_a_word_and_traffic_moves_first() {
    let case = Case::new("medzen");
    let engine = case.before("shift-50").await;
    let script = block(&live(&engine, Source::Engine), "full");
    let account = &case.loaded.plan.account;
    let deletes = |night: &Night| night.calls().iter().filter(|c| c.contains("delete-stack")).count();

    let night = Night::new();
    let stopped = night.run(&script, account, "", "");
    assert_eq!(stopped.status.code(), Some(4), "{}", String::from_utf8_lossy(&stopped.stderr));
    assert!(night.calls()[1].starts_with("route53 change-resource-record-sets"));
    assert_eq!(deletes(&night), 0);
    let night = Night::new();
    let stopped = night.run(&script, account, "yes\nno\n", "");
    assert_eq!((stopped.status.code(), deletes(&night)), (Some(4), 0));
    let night = Night::new();
    let done = night.run(&script, account, &"yes\n".repeat(100), "");
    assert_eq!((done.status.code(), deletes(&night)), (Some(0), 5), "{}", String::from_utf8_lossy(&done.stderr));
    let calls = night.calls();
    let first_deletion = calls.iter().position(|c| c.contains("delete-stack")).unwrap();
    assert!(
        calls[first_deletion + 1].starts_with("cloudformation wait stack-delete-complete --region eu-central-1 --stack-name")
    );
}

#[tokio::test]
async fn the_way_forward_and_the_switch_are_written_out_too() {
    let case = Case::new("medzen");
    let engine = case.before("shift-50").await;
    let text = live(&engine, Source::Engine);
    let account = &case.loaded.plan.account;
    let night = Night::new();
    assert_eq!(night.run(&block(&text, "forward"), account, "", "").status.code(), Some(0));
    let weights: Vec<i64> = night.batch(0)["Changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["Action"] == "CREATE")
        .map(|c| c["ResourceRecordSet"]["Weight"].as_i64().unwrap())
        .collect();
    assert_eq!(weights, [100, 0]);
    let night = Night::new();
    assert_eq!(night.run(&block(&text, "switch"), account, "", "").status.code(), Some(0));
    let calls = night.calls();
    assert!(calls[1].starts_with("cloudwatch put-metric-data --region eu-west-1 --namespace"), "{calls:#?}");
    assert!(calls[1].contains("\"Value\":1}]"), "{calls:#?}");
}

#[tokio::test]
async fn it_says_what_it_is_about() {
    let case = Case::new("failover-drill");
    let engine = case.before("shift-100").await;
    let text = live(&engine, Source::Engine);
    let hash = &case.loaded.plan.manifest.hash;
    for said in [
        "run TEST",
        hash,
        "123456789012",
        "head ab",
        "- read: api.example.com at 2026-01-05T",
        "the weights before the first shift",
        "this is the one that the rollback key offers now",
        "- state: ARMED",
        "- proved: immediate ARMED",
        "window: since 2026-01-05T",
    ] {
        assert!(text.contains(said), "'{said}' is not in\n{text}");
    }
    assert_eq!(written_at_entry(&text), Some(engine.core.run.entries));
    assert_eq!(written_at_entry("# something else"), None);
    let alone = live(&engine, Source::Journal);
    assert!(alone.contains("read: NOTHING") && alone.contains("not proved") && !alone.contains("- state: ARMED"), "{alone}");

    let early = Case::new("failover-drill");
    let engine = early.before("shift-10").await;
    let text = live(&engine, Source::Engine);
    assert!(text.contains("No rollback applies yet") && text.contains("Not yet: immediate (after shift-10)"), "{text}");
}

#[tokio::test]
async fn it_stands_beside_the_run_and_is_made_from_the_journal_when_it_is_older() {
    let case = Case::new("failover-drill");
    let mut engine = case.before("shift-50").await;
    let file = case.folder().join(RUNBOOK);
    engine.catch_up();
    wait_for(|| file.exists());
    let first = fs::read_to_string(&file).unwrap();
    assert_eq!(written_at_entry(&first), Some(engine.core.run.entries));
    assert!(first.contains("This is the runbook of a drill"), "{first}");
    // While an engine lives, what it wrote is what counts.
    fs::write(&file, "<!-- cutover runbook, entry 1 -->\nold\n").unwrap();
    assert!(text(&case.folder()).map_err(|f| f.message).unwrap().contains("\nold\n"));

    // The next step changes what a rollback would do, and the runbook with it.
    let until = case.loaded.plan.step_named("shift-100").unwrap();
    drive(&mut engine, &mut Operator::new(SEED), Until::Step(until)).await;
    engine.catch_up();
    wait_for(|| fs::read_to_string(&file).is_ok_and(|now| now.contains("weight 50")));
    let entries = engine.core.run.entries;
    engine.close();
    let last = fs::read_to_string(&file).unwrap();
    assert_eq!(written_at_entry(&last), Some(entries));
    assert_eq!(text(&case.folder()).map_err(|f| f.message).unwrap(), last);
    let refuses = Night::new().run(&block(&last, "immediate"), "123456789012", "", "");
    assert_eq!(refuses.status.code(), Some(2), "the runbook of a drill does not run");

    for older in [None, Some(first)] {
        match &older {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let made = text(&case.folder()).map_err(|f| f.message).unwrap();
        assert!(made.contains("read: NOTHING"), "{made}");
        assert_eq!(block(&made, "immediate"), block(&last, "immediate"));
    }
    // Without a journal that can be read, an old one is better than none.
    fs::write(&file, &last).unwrap();
    fs::write(case.folder().join("journal.db"), "this is no database, but it is long enough to look at it").unwrap();
    assert_eq!(text(&case.folder()).map_err(|f| f.message).unwrap(), last);
    fs::remove_file(&file).unwrap();
    assert!(text(&case.folder()).is_err());
}

#[tokio::test]
async fn a_runbook_that_cannot_be_written_is_a_warning_and_no_more() {
    let case = Case::new("failover-drill");
    fs::create_dir_all(case.folder().join(RUNBOOK).join("in the way")).unwrap();
    let mut engine = case.before("shift-50").await;
    engine.catch_up();
    let mut seen = engine.snapshot();
    for _ in 0..200 {
        if seen.alerts.iter().any(|a| a.text.contains("runbook cannot be written")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        engine.catch_up();
        seen = engine.snapshot();
    }
    let alert = seen.alerts.iter().find(|a| a.text.contains("runbook cannot be written")).expect("an alert");
    assert_eq!(alert.level, Level::Advisory);
    engine.close();
}

#[track_caller]
fn wait_for(mut what: impl FnMut() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within five seconds");
}
