//! Records, health checks and switches that name what an earlier step makes: known when it is made, and checked then.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::Path;
use std::sync::Arc;

use cutover::drill::operator::Operator;
use cutover::plan::load::load_path;
use cutover::plan::{Plan, StandIn};
use cutover::run::command::{Command, Reply};
use cutover::run::ready;
use cutover::run::snapshot::{StepState, Verdict};

use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;
const ZONE: &str = "Z1234567890ABC";
const API: &str = "api.example.com";
const CHECK: &str = "5f0a1d2c-0000-4000-8000-000000000001";

fn stand(change: impl Fn(&mut Plan)) -> Stand {
    let loaded = load_path(Path::new("tests/plans/valid/late")).unwrap();
    let mut plan = loaded.plan;
    change(&mut plan);
    Stand::of(Arc::new(plan), &loaded.scenarios[0], 7)
}

fn drive(stand: &mut Stand, to: &str) {
    assert!(stand.drive(&mut Operator::new(7), |s| s.is_done(to)), "{:#?}", stand.tail());
}

/// What a step's stand-in gives.
fn given(plan: &mut Plan, step: &str, outputs: &[(&str, &str)]) {
    let step = plan.step_named(step).unwrap();
    let outputs = outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    plan.steps[step].stand_in = StandIn { outputs, ..StandIn::default() };
}

/// Drives until the step fails, and says why it did.
fn failure(stand: &mut Stand, step: &str) -> String {
    let id = stand.core.plan.step_named(step).unwrap();
    let failed = stand.drive(&mut Operator::new(7), |s| s.core.run.steps[id].state == StepState::Failed);
    assert!(failed, "{step} does not fail: {:#?}", stand.tail());
    stand.core.run.steps[id].reason.clone()
}

/// What keeps a rollback from being armed.
fn unmet(stand: &Stand, name: &str) -> Vec<String> {
    let rollback = stand.core.plan.rollbacks.iter().find(|r| r.name == name).unwrap();
    let proofs = ready::proofs(stand.core.ctx(stand.now), rollback);
    proofs.iter().filter(|p| p.verdict != Verdict::Pass).map(|p| format!("{}: {:?}", p.what, p.verdict)).collect()
}

#[test]
fn what_a_step_made_is_in_the_records_of_later_ones_and_goes_with_them() {
    let mut stand = stand(|_| {});
    let before = stand.records(ZONE, API);
    drive(&mut stand, "restore");
    let records = stand.records(ZONE, API);
    let frankfurt = records.iter().find(|r| r.set.as_deref() == Some("frankfurt")).unwrap();
    let alias = frankfurt.alias.as_ref().unwrap();
    // As Route 53 keeps a name: in small letters and without the final dot.
    assert_eq!(alias.name, "d-frankfurt0.execute-api.eu-central-1.amazonaws.com");
    assert_eq!((alias.zone.as_str(), frankfurt.health_check.as_deref()), ("Z1U9ULNL0V5AJ3", Some(CHECK)));
    assert!(stand.tail().iter().any(|line| line.contains("invert: done")), "{:#?}", stand.tail());
    stand.roll_back("back");
    assert!(stand.run_until(10 * MINUTE, |s| s.core.run.finished.is_some()), "{:#?}", stand.tail());
    assert_eq!(stand.records(ZONE, API), before);
}

#[test]
fn a_value_that_is_none_fails_the_step_and_sends_nothing() {
    for (step, outputs, why) in [
        ("gateway", vec![("Name", "a b"), ("Zone", "Z1U9ULNL0V5AJ3")], "${outputs.gateway.Name} is 'a b', which is no DNS name"),
        ("gateway", vec![("Name", "a.example.com"), ("Zone", "1")], "${outputs.gateway.Zone} is '1', which is no hosted zone id"),
        ("check", vec![("ID", "x\u{1b}[2J")], "${outputs.check.ID} is 'x\\u{1b}[2J', which is no id"),
        ("check", vec![("ID", "")], "${outputs.check.ID} is '', which is no id"),
    ] {
        let mut stand = stand(|plan| given(plan, step, &outputs));
        assert_eq!(failure(&mut stand, "weighted"), why);
        assert_eq!(stand.records(ZONE, API).len(), 1, "{why}");
    }
}

#[test]
fn what_nobody_gave_is_said_by_name() {
    let mut stand = stand(|_| {});
    drive(&mut stand, "gateway");
    let told = stand.command(Command::DoneByHand { step: "check".into(), reason: "it was there".into() });
    let Reply::Ok(told) = told else { panic!("{told:?}") };
    assert!(told.contains("later steps that need ID will fail"), "{told}");
    let why = "it needs the output ID of the step 'check', which has given none";
    assert_eq!(failure(&mut stand, "weighted"), why);
    // Nor is a rollback offered as if it were known.
    assert!(unmet(&stand, "switch").iter().any(|proof| proof.contains(why)), "{:?}", unmet(&stand, "switch"));
    stand.must(Command::PrepareRollback { name: Some("early".into()) });
    stand.run_for(MINUTE);
    let offer = stand.snapshot().offer.unwrap();
    assert_eq!((offer.fingerprint, offer.caution.as_deref()), (None, Some(why)));
}

#[test]
fn whoever_did_it_by_hand_says_what_it_gave() {
    let mut stand = stand(|_| {});
    drive(&mut stand, "gateway");
    assert_eq!(stand.snapshot().work.unwrap().gives, ["ID"]);
    let reason = format!("made in the console, ID={CHECK} and IDLE=1");
    let told = stand.command(Command::DoneByHand { step: "check".into(), reason });
    assert_eq!(told, Reply::Ok("taken as done; its verify decides".into()));
    drive(&mut stand, "weighted");
    let records = stand.records(ZONE, API);
    assert!(records.iter().any(|r| r.health_check.as_deref() == Some(CHECK)), "{records:#?}");
}

#[test]
fn a_switch_is_wired_by_the_check_that_a_step_made() {
    let mut stand = stand(|_| {});
    drive(&mut stand, "restore");
    stand.run_for(2 * MINUTE);
    let found = unmet(&stand, "switch");
    assert!(!found.iter().any(|proof| proof.starts_with("switch is wired")), "{found:?}");
    stand.third_party(|record| record.health_check = None);
    stand.run_for(5 * MINUTE);
    let found = unmet(&stand, "switch");
    let wired = found.iter().find(|proof| proof.starts_with("switch is wired")).unwrap();
    assert!(wired.contains(&format!("does not carry health check {CHECK}")), "{wired}");
}

#[test]
fn an_output_may_stand_where_it_is_known_in_time_and_nowhere_else() {
    let text = std::fs::read_to_string("tests/plans/valid/late/plan.yaml").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy("tests/plans/valid/late/stack.yaml", folder.path().join("stack.yaml")).unwrap();
    let cases = [
        // A step that runs later, an output that there is not, a world before the first step, a name.
        ("health-check: ${outputs.check.ID}", "health-check: ${outputs.restore.ID}", "the output is of a step that runs later"),
        ("${outputs.gateway.Zone}", "${outputs.gateway.Zones}", "the step gives no output `Zones`"),
        (
            "    - id: 5f0a1d2c-0000-4000-8000-000000000001",
            "    - id: ${outputs.check.ID}",
            "`outputs.check.ID` is not known before the run",
        ),
        (
            "            - name: ${api}\n",
            "            - name: ${outputs.gateway.Name}\n",
            "`outputs.gateway.Name` is not known before the run",
        ),
    ];
    for (from, to, why) in cases {
        assert!(text.contains(from), "{from}");
        std::fs::write(folder.path().join("plan.yaml"), text.replacen(from, to, 1)).unwrap();
        let problems = load_path(folder.path()).unwrap_err().to_string();
        assert!(problems.contains(why), "{to}: {problems}");
    }
}
