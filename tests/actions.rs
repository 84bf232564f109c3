//! Scripts, edits and requests in the run core: what is intended, what follows from what came of it, and the way back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::path::Path;
use std::sync::Arc;

use cutover::cloud::{Call, Effect, Failure, FailureKind, Splice};
use cutover::drill::operator::Operator;
use cutover::plan::load::load_path;
use cutover::plan::{Action, FaultKind, Plan, Text, sha256_hex};
use cutover::run::command::Command;
use cutover::run::entry::{Entry, JobRef};
use cutover::run::event::Event;
use cutover::run::runbook::{Facts, Source, runbook};
use cutover::run::snapshot::{StepState, Verdict};
use cutover::run::state::CallState;

use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;
const FILE: &str = "config/app.json";
const BEFORE: &str = "{\n  \"url\": \"https://old.example.com\",\n  \"region\": \"eu-west-1\"\n}\n";

fn changed(change: impl Fn(&mut Plan)) -> Stand {
    let loaded = load_path(Path::new("tests/plans/valid/actions")).unwrap();
    let mut plan = loaded.plan;
    change(&mut plan);
    Stand::of(Arc::new(plan), &loaded.scenarios[0], 7)
}

fn stand() -> Stand {
    changed(|_| {})
}

/// Driven until a step is done.
fn after(step: &str) -> Stand {
    let mut stand = stand();
    assert!(stand.drive(&mut Operator::new(7), |s| s.is_done(step)), "{:#?}", stand.tail());
    stand
}

fn start(stand: &mut Stand, step: &str) {
    stand.must(Command::Start { step: step.into() });
}

fn state(stand: &Stand, step: &str) -> StepState {
    stand.core.run.steps[stand.core.plan.step_named(step).unwrap()].state
}

fn reason(stand: &Stand, step: &str) -> String {
    stand.core.run.steps[stand.core.plan.step_named(step).unwrap()].reason.clone()
}

fn calls(stand: &Stand, step: &str) -> Vec<Call> {
    let job = JobRef::Step(step.into());
    stand.core.run.calls.values().filter(|call| call.job == job).map(|call| call.call.clone()).collect()
}

fn file(stand: &Stand) -> String {
    stand.world.file(FILE).unwrap().to_owned()
}

/// Takes one step back, and ends the hold that this leaves.
fn take_back(stand: &mut Stand, step: &str) {
    stand.must(Command::PrepareUndo { step: step.into() });
    assert!(stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())), "{:#?}", stand.tail());
    let offer = stand.snapshot().offer.unwrap();
    stand.must(Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None });
    assert!(stand.run_until(MINUTE, |s| state(s, step) == StepState::Undone), "{:#?}", stand.tail());
    stand.must(Command::Continue);
}

/// Somebody else writes into the file.
fn somebody_edits(stand: &mut Stand, old: &str, new: &str) {
    let text = file(stand);
    let at = text.find(old).unwrap();
    let after = text.replacen(old, new, 1);
    let splices = vec![Splice { at, old: old.into(), new: new.into() }];
    let call = Call::EditFile { file: FILE.into(), before: sha256_hex(&text), after: sha256_hex(&after), splices };
    let effect = Effect::Send { id: 9_998, sending: 1, token: "somebody".into(), call, text: None };
    assert!(matches!(stand.world.perform(stand.now, &effect).1, Event::Sent { result: Ok(_), .. }));
    assert_eq!(file(stand), after);
}

#[test]
fn values_of_earlier_steps_reach_later_ones() {
    let stand = after("list");
    let arn = "arn:aws:kms:eu-central-1:000000000000:key/1";
    let Call::CreateChangeSet { parameters, .. } = &calls(&stand, "stack")[0] else { panic!("a change set") };
    assert_eq!(parameters, &[("Key".to_owned(), arn.to_owned())]);
    assert!(file(&stand).contains("\"url\": \"https://x.example.com\""), "{}", file(&stand));
    let Call::RunScript { env, .. } = &calls(&stand, "report")[0] else { panic!("a script") };
    assert_eq!(env, &[("VERSION".to_owned(), "7".to_owned())]);
    // They are in the journal, so an engine that takes over knows them.
    assert_eq!(stand.fold().run.output(&stand.core.plan, "key", "ARN"), Some(arn));
    assert_eq!(stand.fold().run.output(&stand.core.plan, "stack", "Url"), Some("https://x.example.com"));
}

#[test]
fn no_secret_is_in_the_journal() {
    let stand = after("list");
    let Call::MakeRequest { request, .. } = &calls(&stand, "ask")[0] else { panic!("a request") };
    assert_eq!(request.headers[0].1.to_string(), "Bearer ${secret.API_KEY}");
    let Call::RunScript { secrets, env, .. } = &calls(&stand, "key")[0] else { panic!("a script") };
    assert_eq!((secrets.as_slice(), env.len()), (["API_KEY".to_owned()].as_slice(), 1));
}

#[test]
fn what_is_missing_fails_the_step_that_needs_it() {
    let mut stand = stand();
    stand.must(Command::DoneByHand { step: "key".into(), reason: "made in the console".into() });
    assert!(stand.run_until(MINUTE, |s| s.is_done("key")), "{:#?}", stand.tail());
    start(&mut stand, "stack");
    assert!(stand.run_until(MINUTE, |s| state(s, "stack") == StepState::Failed));
    assert_eq!(reason(&stand, "stack"), "it needs the output ARN of the step 'key', which has given none");
    assert!(calls(&stand, "stack").is_empty());
}

/// Driven to a step whose script is turned away, because the credentials have expired.
fn turned_away(change: impl Fn(&mut Plan)) -> Stand {
    let mut stand = changed(|plan| {
        let step = plan.step_named("report").unwrap();
        let Action::Shell(script) = &mut plan.steps[step].action else { panic!("a script") };
        script.control_planes = vec!["eu-central-1".into()];
        change(plan);
    });
    assert!(stand.drive(&mut Operator::new(7), |s| s.is_done("ask")), "{:#?}", stand.tail());
    stand.inject(FaultKind::CredentialsExpire { notice_ms: 0 });
    start(&mut stand, "report");
    assert!(stand.run_until(MINUTE, |s| s.core.run.hold.is_some()), "{:#?}", stand.tail());
    let reason = &stand.core.run.hold.as_ref().unwrap().reason;
    assert!(reason.starts_with("credentials: exit code 254") && reason.contains("ExpiredToken"), "{reason}");
    stand
}

fn sendings(stand: &Stand, step: &str) -> u32 {
    let job = JobRef::Step(step.into());
    stand.core.run.calls.values().filter(|call| call.job == job).map(|call| call.sendings).sum()
}

#[test]
fn a_script_without_credentials_holds_the_run_and_is_run_again_when_somebody_says_so() {
    let mut stand = turned_away(|_| {});
    stand.run_for(30 * MINUTE);
    assert_eq!(sendings(&stand, "report"), 1, "it is not run again unasked");
    assert!(!matches!(state(&stand, "report"), StepState::Failed | StepState::Done));
    stand.must(Command::Continue);
    assert!(stand.run_until(10 * MINUTE, |s| s.is_done("report")), "{:#?}", stand.tail());
    assert_eq!(sendings(&stand, "report"), 2);
}

#[test]
fn an_engine_that_dies_before_it_holds_for_credentials_holds_when_it_is_back() {
    let stand = turned_away(|_| {});
    let held = stand.log.iter().rposition(|draft| matches!(draft.entry, Entry::Held { .. })).unwrap();
    let log = stand.log[..held].to_vec();
    let mut stand = Stand::taken_over(Arc::clone(&stand.core.plan), stand.world, stand.now, log);
    assert!(stand.run_until(MINUTE, |s| s.core.run.hold.is_some()), "{:#?}", stand.tail());
    assert!(stand.core.run.hold.as_ref().unwrap().reason.contains("log in, then continue"), "{:#?}", stand.core.run.hold);
    stand.run_for(30 * MINUTE);
    assert_eq!(sendings(&stand, "report"), 1);
}

#[test]
fn a_script_without_credentials_that_says_it_is_done_is_not_run_again() {
    let mut stand = turned_away(|plan| {
        let step = plan.step_named("report").unwrap();
        let Action::Shell(script) = &mut plan.steps[step].action else { panic!("a script") };
        script.done_if = Some("true".into());
    });
    stand.run_for(30 * MINUTE);
    // Somebody has done it meanwhile.
    stand.says_done = Some(true);
    stand.must(Command::Continue);
    assert!(stand.run_until(MINUTE, |s| s.is_done("report")), "{:#?}", stand.tail());
    assert_eq!(sendings(&stand, "report"), 1);
}

#[test]
fn an_output_that_holds_a_value_like_a_command_is_only_a_value() {
    let evil = "https://x/$(touch pwned)\";`id`";
    let mut stand = changed(|plan| {
        let step = plan.step_named("stack").unwrap();
        plan.steps[step].stand_in.outputs = vec![("Url".into(), evil.into())];
    });
    assert!(stand.drive(&mut Operator::new(7), |s| s.is_done("edit")), "{:#?}", stand.tail());
    assert!(file(&stand).contains(evil));
    let mut stand = changed(|plan| {
        let step = plan.step_named("stack").unwrap();
        plan.steps[step].stand_in.outputs = vec![("Url".into(), "a\u{1b}[2J\nb".into())];
    });
    assert!(stand.drive(&mut Operator::new(7), |s| state(s, "edit") == StepState::Failed), "{:#?}", stand.tail());
    assert!(reason(&stand, "edit").contains("control characters"), "{}", reason(&stand, "edit"));
    assert_eq!(file(&stand), BEFORE);
}

/// The runbook's script of a rollback, and what comes of it when everything it asks is answered with yes: what it said,
/// and the files of the folder that it ran in.
fn by_runbook(stand: &Stand, rollback: &str) -> (String, String, Vec<String>) {
    let facts =
        Facts { run: "TEST".into(), drill: false, entry: stand.core.run.entries, head: "ab".into(), source: Source::Engine };
    let text = runbook(stand.core.ctx(stand.now), &facts).text();
    let chapter = text.split(&format!("\n## {rollback}: ")).nth(1).unwrap_or_else(|| panic!("{text}"));
    let script = chapter.split("```bash\n").nth(1).unwrap().split("\n```\n").next().unwrap();
    let (folder, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(bin.path().join("aws"), "#!/bin/sh\necho 000000000000\n").unwrap();
    std::fs::set_permissions(bin.path().join("aws"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(bin.path().join("script"), script).unwrap();
    std::fs::write(bin.path().join("answers"), "yes\n".repeat(50)).unwrap();
    let done = std::process::Command::new("bash")
        .arg(bin.path().join("script"))
        .current_dir(folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()))
        .env("TMPDIR", bin.path())
        .stdin(std::fs::File::open(bin.path().join("answers")).unwrap())
        .output()
        .unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    (text, String::from_utf8(done.stderr).unwrap(), files)
}

#[test]
fn a_file_name_like_a_command_is_only_a_name() {
    for name in
        ["$(touch pwned)", "-rf", "it's \"it\"; `touch pwned`; touch pwned #", "日 $HOME *.json", "``", "' ; touch pwned '"]
    {
        let mut stand = changed(|plan| {
            for step in &mut plan.steps {
                if let Action::Edit(edit) = &mut step.action {
                    edit.file = name.into();
                }
            }
            plan.drill.files = vec![(FILE.into(), BEFORE.into()), (name.into(), BEFORE.into())];
        });
        assert!(stand.drive(&mut Operator::new(7), |s| s.is_done("edit-again")), "{name}: {:#?}", stand.tail());
        let edited: Vec<Call> = ["edit", "edit-again"].iter().flat_map(|step| calls(&stand, step)).collect();
        assert!(
            edited.len() == 2 && edited.iter().all(|c| matches!(c, Call::EditFile { file, .. } if file == name)),
            "{edited:?}"
        );
        assert!(stand.world.file(name).unwrap().contains("eu-central-1"));
        assert_eq!(file(&stand), BEFORE, "the file beside it");
        stand.run_for(5 * MINUTE);
        let (text, said, files) = by_runbook(&stand, "back");
        assert!(said.contains(&format!("in the file {name}, replace")), "{name}: {said}\n{text}");
        assert!(said.contains("rollback back is done"), "{name}: {said}\n{text}");
        assert_eq!(files, Vec::<String>::new(), "{name}: {text}");
        for step in ["edit-again", "edit"] {
            take_back(&mut stand, step);
        }
        assert_eq!(stand.world.file(name).unwrap(), BEFORE);
    }
}

#[test]
fn edits_go_back_byte_for_byte_one_by_one() {
    let mut stand = after("edit-again");
    let (both, original) = (file(&stand), BEFORE);
    assert!(both.contains("eu-central-1, eu-west-1"));
    let why = stand.refused(Command::PrepareUndo { step: "edit".into() });
    assert!(why.contains("take back 'edit-again' first"), "{why}");
    for step in ["edit-again", "edit"] {
        take_back(&mut stand, step);
    }
    assert_eq!(file(&stand), original);
    // And forward again.
    assert!(stand.drive(&mut Operator::new(8), |s| s.is_done("edit-again")), "{:#?}", stand.tail());
    assert_eq!(file(&stand), both);
}

#[test]
fn a_rollback_takes_back_every_edit_and_runs_its_script() {
    let mut stand = after("edit-again");
    stand.roll_back("back");
    assert!(stand.run_until(10 * MINUTE, |s| s.core.run.finished.is_some()), "{:#?}", stand.tail());
    assert_eq!(file(&stand), BEFORE);
    assert_eq!(
        stand
            .log
            .iter()
            .filter(
                |d| matches!(&d.entry, Entry::Intent { call: Call::RunScript { job, .. }, .. } if job == "rollback back/tell")
            )
            .count(),
        1
    );
}

#[test]
fn a_file_that_somebody_changed_is_not_put_back_over_it() {
    let mut stand = after("edit-again");
    somebody_edits(&mut stand, "{\n", "{\n  \"mine\": 1,\n");
    let mine = file(&stand);
    stand.must(Command::PrepareUndo { step: "edit-again".into() });
    stand.run_for(MINUTE);
    let offer = stand.snapshot().offer.unwrap();
    assert!(offer.fingerprint.is_none());
    assert!(offer.caution.unwrap().contains("changed since by somebody else"));
    assert_eq!(file(&stand), mine);
}

#[test]
fn a_changed_file_and_a_missing_output_stop_their_own_step_of_a_rollback_and_nothing_before() {
    let mut stand = after("edit-again");
    somebody_edits(&mut stand, "{\n", "{\n  \"mine\": 1,\n");
    let mine = file(&stand);
    stand.must(Command::PrepareRollback { name: Some("back".into()) });
    let shown = stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some()));
    assert!(shown, "a changed file keeps a rollback from being confirmed: {:#?}", stand.snapshot().offer);
    let offer = stand.snapshot().offer.unwrap();
    assert!(offer.caution.unwrap().contains("changed since by somebody else"));
    stand.must(Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None });
    assert!(stand.run_until(MINUTE, |s| s.core.run.hold.is_some()), "{:#?}", stand.tail());
    assert!(stand.core.run.hold.as_ref().unwrap().reason.contains("changed since by somebody else"));
    assert_eq!(file(&stand), mine);
    // Left out with a reason, the rest goes on.
    stand.must(Command::Skip { step: "back/files".into(), reason: "mine stays".into() });
    assert!(stand.run_until(10 * MINUTE, |s| s.core.run.finished.is_some()), "{:#?}", stand.tail());
}

#[test]
fn an_edit_that_does_not_fit_is_refused_with_the_reason() {
    let cases = [("is there more than once", "e"), ("is not there", "no such text")];
    for (why, replace) in cases {
        let mut stand = changed(|plan| {
            let step = plan.step_named("edit").unwrap();
            if let Action::Edit(edit) = &mut plan.steps[step].action {
                edit.changes[0].replace = replace.into();
                edit.changes[0].with = Text::plain("x");
            }
        });
        assert!(stand.drive(&mut Operator::new(7), |s| state(s, "edit") == StepState::Failed), "{:#?}", stand.tail());
        assert!(reason(&stand, "edit").contains(why), "{}", reason(&stand, "edit"));
        assert_eq!(file(&stand), BEFORE);
    }
}

#[test]
fn an_engine_that_died_in_an_edit_does_it_once() {
    // Lost before it was made, and made with its answer lost.
    for swallow in [true, false] {
        let mut stand = after("stack");
        stand.swallow = swallow;
        start(&mut stand, "edit");
        assert!(stand.run_until(MINUTE, |s| !calls(s, "edit").is_empty()));
        stand.crash();
        stand.run_for(2 * MINUTE);
        assert!(stand.is_done("edit"), "{:#?}", stand.tail());
        assert_eq!(file(&stand).matches("eu-central-1").count(), 1);
    }
}

#[test]
fn a_script_that_is_done_already_is_not_run() {
    let mut stand = stand();
    start(&mut stand, "key");
    assert!(stand.run_until(MINUTE, |s| s.is_done("key")), "{:#?}", stand.tail());
    // The same job once more: the machine knows that it was run to its end.
    stand.must(Command::PrepareUndo { step: "key".into() });
    stand.run_for(10_000);
    stand.must(Command::CancelRollback);
    stand.must(Command::Continue);
    let before = calls(&stand, "key").len();
    let mut again = Stand::taken_over(Arc::clone(&stand.core.plan), stand.world.clone(), stand.now, vec![stand.log[0].clone()]);
    start(&mut again, "key");
    assert!(again.run_until(MINUTE, |s| s.is_done("key")), "{:#?}", again.tail());
    assert_eq!((before, calls(&again, "key").len()), (1, 0));
}

#[test]
fn a_script_whose_engine_died_is_never_run_again_blindly() {
    // `key` can tell whether it is done, and it is not; `report` cannot tell.
    for (step, before) in [("key", None), ("report", Some("ask"))] {
        let mut stand = before.map_or_else(stand, after);
        start(&mut stand, step);
        assert!(stand.run_until(MINUTE, |s| !calls(s, step).is_empty()));
        stand.run_for(1_000);
        stand.crash();
        stand.run_for(5_000);
        assert_eq!(state(&stand, step), StepState::Failed, "{:#?}", stand.tail());
        assert!(reason(&stand, step).starts_with("the engine stopped before the answer came"), "{}", reason(&stand, step));
        assert_eq!(calls(&stand, step).len(), 1);
        stand.run_for(10 * MINUTE);
        assert_eq!(calls(&stand, step).len(), 1);
        // A person looks, and says so.
        start(&mut stand, step);
        assert!(stand.run_until(10 * MINUTE, |s| s.is_done(step)), "{:#?}", stand.tail());
    }
}

#[test]
fn a_script_that_came_to_its_end_while_the_engine_was_dead_is_settled() {
    let mut stand = stand();
    start(&mut stand, "key");
    assert!(stand.run_until(MINUTE, |s| !calls(s, "key").is_empty()));
    // The engine is gone for longer than the script takes.
    stand.now += MINUTE;
    stand.crash();
    assert!(stand.run_until(MINUTE, |s| s.is_done("key")), "{:#?}", stand.tail());
    assert!(stand.log.iter().any(|d| d.entry.line() == "call 1 had been applied: its wanted state was found"));
}

#[test]
fn a_script_that_nobody_waits_for_any_more_is_ended() {
    let mut stand = after("ask");
    start(&mut stand, "report");
    assert!(stand.run_until(MINUTE, |s| !calls(s, "report").is_empty()));
    stand.run_for(1_000);
    stand.must(Command::Skip { step: "report".into(), reason: "it hangs".into() });
    stand.run_for(2_000);
    let call = stand.core.run.calls.values().find(|c| c.job == JobRef::Step("report".into())).unwrap();
    assert!(matches!(&call.state, CallState::Refused(why) if why.starts_with("ended")), "{:?}", call.state);
    assert_eq!(state(&stand, "report"), StepState::Skipped);
}

#[test]
fn a_script_takes_its_step_back() {
    let mut stand = after("key");
    stand.must(Command::PrepareUndo { step: "key".into() });
    assert!(stand.run_until(MINUTE, |s| s.snapshot().offer.is_some_and(|o| o.fingerprint.is_some())));
    let offer = stand.snapshot().offer.unwrap();
    stand.must(Command::ConfirmRollback { name: offer.name, offer: offer.fingerprint.unwrap(), word: None });
    assert!(stand.run_until(MINUTE, |s| state(s, "key") == StepState::Undone), "{:#?}", stand.tail());
    let undone = stand.core.run.calls.values().find(|c| c.job == JobRef::Undo("key".into())).unwrap();
    let Call::RunScript { env, .. } = &undone.call else { panic!("a script") };
    assert_eq!(env[0].1, "arn:aws:kms:eu-central-1:000000000000:key/1");
}

#[test]
fn a_script_that_fails_fails_its_step_with_its_last_line() {
    let mut stand = changed(|plan| {
        plan.steps[0].stand_in.exit = 3;
        plan.steps[0].stand_in.prints = vec!["no such key".into()];
    });
    start(&mut stand, "key");
    assert!(stand.run_until(MINUTE, |s| state(s, "key") == StepState::Failed));
    assert_eq!(reason(&stand, "key"), "exit code 3: no such key");
}

#[test]
fn a_lost_request_is_made_again_only_if_it_changes_nothing() {
    for (method, outcome) in [("GET", StepState::Done), ("POST", StepState::Failed)] {
        let mut stand = changed(|plan| {
            let step = plan.step_named("ask").unwrap();
            if let Action::Http(request) = &mut plan.steps[step].action {
                request.method = method.into();
            }
        });
        assert!(stand.drive(&mut Operator::new(7), |s| s.is_done("edit-again")), "{:#?}", stand.tail());
        stand.swallow = true;
        start(&mut stand, "ask");
        let id = *stand.core.run.calls.keys().next_back().unwrap();
        stand.swallow = false;
        let lost = Err(Failure { kind: FailureKind::Unknown, message: "no answer: timeout".into() });
        stand.tell(Event::Sent { id, sending: 1, result: lost });
        assert!(stand.run_until(MINUTE, |s| state(s, "ask") == outcome), "{method}: {:#?}", stand.tail());
    }
}

#[test]
fn items_tick_themselves_with_their_evidence_and_stay_ticked() {
    let mut stand = after("report");
    start(&mut stand, "list");
    assert!(
        stand.run_until(5 * MINUTE, |s| s.snapshot().work.is_some_and(|w| w.items[1].1 && w.items[2].1)),
        "{:#?}",
        stand.tail()
    );
    let ticked: Vec<&Vec<String>> = stand
        .log
        .iter()
        .filter_map(|d| if let Entry::Ticked { evidence, .. } = &d.entry { Some(evidence) } else { None })
        .collect();
    assert_eq!(ticked[0], &["edit is done", "edit-again is done"]);
    assert!(ticked[1][0].contains("lag"), "{ticked:?}");
    assert!(!stand.is_done("list"), "one item is for a person");
    let why = stand.refused(Command::Tick { step: "list".into(), item: 1, done: false });
    assert!(why.contains("ticks itself"), "{why}");
    stand.must(Command::Tick { step: "list".into(), item: 0, done: true });
    assert!(stand.run_until(MINUTE, |s| s.is_done("list")));
}

#[test]
fn the_plan_tells_how_far_it_is() {
    let mut stand = after("report");
    stand.run_for(5 * MINUTE);
    let about = stand.snapshot().about;
    assert_eq!(about.parts[0].steps, [("edit".into(), StepState::Done), ("edit-again".into(), StepState::Done)]);
    let verdicts: Vec<Option<Verdict>> = about.success.iter().map(|c| c.verdict.clone()).collect();
    assert_eq!(verdicts, [Some(Verdict::Pass), Some(Verdict::Pass), None]);
    let sums = about.cost.unwrap().sums;
    assert_eq!(sums[1], ("total".into(), 1_500, 1_575, "+5.00 %".into(), true));
    assert_eq!(about.risks[0].steps, [("ask".into(), StepState::Done)]);
    let (_, case) = about.escalation.unwrap().support_case.unwrap();
    assert!(case.starts_with("What happened:\n\nRun STAND of actions"), "{case}");
    // Before, the same is not known.
    let about = stand_before().snapshot().about;
    assert!(
        matches!(&about.success[0].verdict, Some(Verdict::Unknown(why)) if why == "edit is not started"),
        "{:?}",
        about.success[0]
    );
}

fn stand_before() -> Stand {
    stand()
}
