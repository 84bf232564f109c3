//! Key scripts: what a sequence of keys sends to the engine.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{
    ASCII, backing_off, calm, change_set, checklist, conflicted, control_plane_away, failed, finished, keys, offered, outage,
    paint, proof_missing, rollback_conflicted, rollback_failed, shut, stale,
};
use cutover::plan::FaultKind;
use cutover::run::command::{Command, DrillCommand, Reply, Verb};
use cutover::run::snapshot::Snapshot;
use cutover::ui::app::{Action, App};
use cutover::ui::dialog::Dialog;
use cutover::ui::keymap::Key;

/// A cockpit under test: every key comes a second after the one before, unless a test says otherwise.
struct Desk {
    app: App,
    now_ms: u64,
}

impl Desk {
    fn new(snapshot: &Snapshot) -> Self {
        let mut app = App::new(&ASCII);
        app.observe(snapshot, 0);
        Desk { app, now_ms: 0 }
    }

    fn press(&mut self, script: &str, snapshot: &Snapshot) -> Vec<Action> {
        self.press_every(1_000, script, snapshot)
    }

    fn press_every(&mut self, step_ms: u64, script: &str, snapshot: &Snapshot) -> Vec<Action> {
        let mut out = Vec::new();
        for key in keys(script) {
            self.now_ms += step_ms;
            out.extend(self.app.handle(key, snapshot, self.now_ms));
        }
        out
    }

    fn see(&mut self, snapshot: &Snapshot) {
        self.now_ms += 50;
        self.app.observe(snapshot, self.now_ms);
    }
}

fn sent(script: &str, snapshot: &Snapshot) -> Vec<Command> {
    commands(Desk::new(snapshot).press(script, snapshot))
}

fn commands(actions: Vec<Action>) -> Vec<Command> {
    actions
        .into_iter()
        .filter_map(|action| match action {
            Action::Send(command) => Some(command),
            _ => None,
        })
        .collect()
}

fn hold() -> Command {
    Command::Hold { reason: "by hand".into() }
}

fn prepare() -> Command {
    Command::PrepareRollback { name: None }
}

#[test]
fn a_step_is_started_with_n_and_then_a_capital_y_only() {
    let snapshot = calm();
    let start = Command::Start { step: "half".into() };
    assert_eq!(sent("nY", &snapshot), [start]);
    for script in ["n<enter>", "ny", "nn", "n<esc>Y", "Y", "n<tab>", "<enter>", "n<c-c>Y"] {
        assert_eq!(sent(script, &snapshot), [], "{script}");
    }
}

#[test]
fn a_blocked_step_says_why_and_opens_nothing() {
    let snapshot = common::blocked();
    let mut desk = Desk::new(&snapshot);
    assert_eq!(desk.press("nY", &snapshot), []);
    assert!(desk.app.dialog().is_none());
    assert_eq!(desk.press("n", &snapshot), []);
    assert!(desk.app.notice().unwrap().text.contains("recordings lag"));
}

#[test]
fn keys_typed_ahead_confirm_nothing() {
    let snapshot = offered();
    let mut desk = Desk::new(&outage());
    assert_eq!(commands(desk.press_every(100, "R", &snapshot)), [prepare()]);
    desk.see(&snapshot);
    assert_eq!(desk.press_every(60, "YYYY", &snapshot), [], "within the dead time");
    let confirm = Command::ConfirmRollback { name: "immediate".into(), offer: "f1".into(), word: None };
    assert_eq!(commands(desk.press_every(200, "Y", &snapshot)), [confirm]);
    assert_eq!(desk.press("Y", &snapshot), [], "once is enough");
}

#[test]
fn another_plan_of_calls_has_to_be_seen_before_it_is_confirmed() {
    let mut snapshot = offered();
    let mut desk = Desk::new(&outage());
    desk.press("R", &snapshot);
    snapshot.offer.as_mut().unwrap().fingerprint = None;
    desk.see(&snapshot);
    assert_eq!(desk.press("Y", &snapshot), [], "the records are still being read");
    snapshot.offer.as_mut().unwrap().fingerprint = Some("f2".into());
    assert_eq!(desk.press("Y", &snapshot), [], "not shown yet");
    desk.see(&snapshot);
    assert_eq!(desk.press_every(100, "Y", &snapshot), [], "shown too recently");
    assert_eq!(commands(desk.press("Y", &snapshot)).len(), 1);
    snapshot.offer.as_mut().unwrap().fingerprint = Some("f3".into());
    desk.see(&snapshot);
    assert_eq!(desk.press_every(100, "Y", &snapshot), [], "shown again with other calls");
    let confirm = Command::ConfirmRollback { name: "immediate".into(), offer: "f3".into(), word: None };
    assert_eq!(commands(desk.press("Y", &snapshot)), [confirm]);
}

#[test]
fn a_rollback_past_a_one_way_step_wants_the_region_typed() {
    let mut snapshot = offered();
    snapshot.offer.as_mut().unwrap().confirm_word = Some("eu-west-1".into());
    let mut desk = Desk::new(&outage());
    desk.press("R", &snapshot);
    desk.see(&snapshot);
    assert_eq!(desk.press("Y<bs>eu-west-Y<bs>1<enter>", &snapshot), []);
    let word = Some("eu-west-1".to_owned());
    let confirm = Command::ConfirmRollback { name: "immediate".into(), offer: "f1".into(), word };
    assert_eq!(commands(desk.press("Y", &snapshot)), [confirm]);
}

#[test]
fn a_digit_chooses_another_rollback_and_only_what_is_then_shown_can_be_confirmed() {
    let mut snapshot = offered();
    let named = |name: &str| Command::PrepareRollback { name: Some(name.into()) };
    let mut desk = Desk::new(&outage());
    desk.press("R", &snapshot);
    desk.see(&snapshot);
    assert_eq!(commands(desk.press("1", &snapshot)), [], "it is shown already");
    assert_eq!(commands(desk.press("9", &snapshot)), [], "no rollback has that key");
    assert_eq!(commands(desk.press("2", &snapshot)), [named("switch")]);
    assert_eq!(desk.press("Y", &snapshot), [], "the other one is asked for and not shown yet");
    desk.see(&snapshot);
    assert_eq!(desk.press("Y", &snapshot), [], "what is seen is still the one before");
    let offer = snapshot.offer.as_mut().unwrap();
    (offer.name, offer.fingerprint) = ("switch".into(), Some("s1".into()));
    desk.see(&snapshot);
    assert_eq!(desk.press_every(100, "Y", &snapshot), [], "shown too recently");
    let confirm = Command::ConfirmRollback { name: "switch".into(), offer: "s1".into(), word: None };
    assert_eq!(commands(desk.press("Y", &snapshot)), [confirm]);
    assert_eq!(commands(desk.press("1", &snapshot)), [], "not after the confirmation");
}

#[test]
fn a_refused_choice_goes_back_to_what_was_shown_and_says_why() {
    let snapshot = offered();
    let mut desk = Desk::new(&outage());
    desk.press("R", &snapshot);
    desk.see(&snapshot);
    desk.press("3", &snapshot);
    let prepare = Command::PrepareRollback { name: Some("forward".into()) };
    desk.app.replied(&prepare, Reply::Refused("no such thing".into()), desk.now_ms);
    assert!(desk.app.dialog().is_some());
    assert_eq!(desk.press("Y", &snapshot), [], "it has to be looked at again");
    desk.see(&snapshot);
    let painted = common::text(&paint(&desk.app, &snapshot, 120, 40));
    assert!(painted.contains("refused: no such thing"), "{painted}");
    let confirm = Command::ConfirmRollback { name: "immediate".into(), offer: "f1".into(), word: None };
    assert_eq!(commands(desk.press("Y", &snapshot)), [confirm]);
}

#[test]
fn digits_inside_a_word_that_is_typed_choose_nothing() {
    let snapshot = conflicted();
    let mut desk = Desk::new(&outage());
    desk.press("R", &snapshot);
    desk.see(&snapshot);
    assert_eq!(desk.press("eu-west-1", &snapshot), []);
    let word = Some("eu-west-1".to_owned());
    let confirm = Command::ConfirmRollback { name: "immediate".into(), offer: "f1".into(), word };
    assert_eq!(commands(desk.press("Y", &snapshot)), [confirm], "not armed is a warning and no lock");
}

#[test]
fn a_rollback_that_meets_somebody_elses_change_asks_by_itself_and_once() {
    let snapshot = rollback_conflicted();
    let mut desk = Desk::new(&outage());
    desk.see(&snapshot);
    let painted = common::text(&paint(&desk.app, &snapshot, 120, 40));
    assert!(painted.contains("Replace somebody else's change?") && painted.contains("weight 70"), "{painted}");
    // Put away, it does not come back for the same difference; c brings it back.
    assert_eq!(desk.press("<esc>", &snapshot), []);
    desk.see(&snapshot);
    assert!(desk.app.dialog().is_none());
    assert_eq!(commands(desk.press("cY", &snapshot)), [Command::Continue]);
    // Another difference is another question.
    let mut other = snapshot.clone();
    other.work.as_mut().unwrap().conflict.as_mut().unwrap().now = "nothing".into();
    desk.see(&other);
    assert!(desk.app.dialog().is_some());
}

#[test]
fn backing_off_is_shown_before_it_is_done() {
    let snapshot = backing_off();
    let mut desk = Desk::new(&outage());
    assert_eq!(commands(desk.press("b", &snapshot)), [Command::PrepareBackOff]);
    desk.see(&snapshot);
    assert_eq!(desk.press("b<enter>", &snapshot), []);
    assert_eq!(commands(desk.press("12", &snapshot)), [], "the rollbacks are chosen in their own dialog");
    let confirm = Command::ConfirmRollback { name: "undo half".into(), offer: "b1".into(), word: None };
    assert_eq!(commands(desk.press("Y", &snapshot)), [confirm]);
    assert_eq!(sent("b<esc>", &snapshot), [Command::PrepareBackOff, Command::CancelRollback]);
    assert_eq!(sent("bR", &snapshot), [Command::PrepareBackOff, prepare()], "the rollback is one key away");
    assert_eq!(sent("b", &calm()), [], "nothing to take back");
}

#[test]
fn a_choice_wants_a_reason_a_second_look_and_a_capital_y() {
    let reason = || "seen by hand".to_owned();
    let cases = [
        ("O", shut(), Command::Override { step: "half".into(), reason: reason() }),
        ("s", failed(), Command::Skip { step: "half".into(), reason: reason() }),
        ("d", failed(), Command::DoneByHand { step: "half".into(), reason: reason() }),
        ("s", rollback_failed(), Command::Skip { step: "full-delete-chime".into(), reason: reason() }),
        ("O", proof_missing(), Command::Override { step: "full-delete-chime".into(), reason: reason() }),
    ];
    for (key, snapshot, command) in cases {
        assert_eq!(sent(&format!("{key} seen by hand <enter>Y"), &snapshot), std::slice::from_ref(&command), "{key}");
        assert_eq!(sent(&format!("{key}seen bo<bs>y hand<enter><bs><bs>d<enter>Y"), &snapshot), [command], "{key}");
        for script in
            ["Y", "<enter>Y", "  <enter>Y", "why<enter>", "why<enter><enter>", "why<enter>y", "why<enter><esc>Y", "why<esc>Y"]
        {
            assert_eq!(sent(&format!("{key}{script}"), &snapshot), [], "{key}{script}");
        }
    }
}

#[test]
fn keys_typed_ahead_of_the_second_look_confirm_nothing() {
    let snapshot = shut();
    let mut desk = Desk::new(&snapshot);
    assert_eq!(desk.press_every(20, "Owhy<enter>YYY", &snapshot), [], "as a paste into a terminal that does not mark it would");
    assert_eq!(commands(desk.press("Y", &snapshot)).len(), 1);
}

#[test]
fn while_a_reason_is_typed_keys_are_text_and_after_it_stopping_is_free_again() {
    let snapshot = shut();
    assert_eq!(sent("OR n Y a", &snapshot), []);
    assert_eq!(sent("Owhy<enter> ", &snapshot), [hold()]);
    assert_eq!(sent("Owhy<enter>R", &snapshot), [prepare()]);
    // What justified it goes away while it is being typed: the rest of the sentence must not become keys.
    let mut desk = Desk::new(&snapshot);
    desk.press("Obecause the", &snapshot);
    let open = calm();
    desk.see(&open);
    assert_eq!(desk.press(" Region is fine nY<enter>Y", &open), []);
    assert!(desk.app.dialog().is_some());
    let painted = common::text(&paint(&desk.app, &open, 100, 30));
    assert!(painted.contains("! not possible any more"), "{painted}");
    // In front of the last key it closes instead, as every other dialog does.
    let mut desk = Desk::new(&snapshot);
    desk.press("Owhy<enter>", &snapshot);
    desk.see(&open);
    assert!(desk.app.dialog().is_none());
    assert_eq!(desk.press("Y", &open), []);
}

#[test]
fn a_choice_that_is_not_possible_says_why_and_opens_nothing() {
    let snapshot = rollback_failed();
    for (key, why) in [("d", "skip its step"), ("O", "nothing waits for its proof")] {
        let mut desk = Desk::new(&snapshot);
        assert_eq!(desk.press(key, &snapshot), []);
        assert!(desk.app.dialog().is_none(), "{key}");
        assert!(desk.app.notice().unwrap().text.contains(why), "{key}");
    }
}

#[test]
fn the_palette_does_what_keys_do_and_nothing_more() {
    let snapshot = shut();
    assert_eq!(sent(":hold<enter>", &snapshot), [hold()]);
    assert_eq!(sent(":.<enter>", &snapshot), [Command::Drill { what: DrillCommand::SkipAhead }], "by its key");
    assert_eq!(sent(":go on<enter>", &snapshot), [], "what asks for a confirmation still does");
    assert_eq!(sent(":go on<enter>Y", &snapshot), [Command::GoOn]);
    assert_eq!(sent(":override<enter>why<enter>Y", &snapshot).len(), 1);
    assert_eq!(sent(":roll<enter>", &snapshot), [prepare()]);
    assert_eq!(sent(":R Y n<esc>", &snapshot), [], "keys are text");
    let mut desk = Desk::new(&snapshot);
    for script in ["w", ":calendar<enter>", ":w<enter>"] {
        assert_eq!(desk.press(script, &snapshot), []);
        assert_eq!(desk.app.dialog(), Some(&Dialog::Calendar), "{script}");
        desk.press("w", &snapshot);
        assert_eq!(desk.app.dialog(), None, "its key puts it away again");
    }
    assert_eq!(desk.press(":about<enter>", &snapshot), []);
    assert_eq!(desk.app.dialog(), Some(&Dialog::About));
    assert_eq!(sent(":xyzzy<enter>Y", &snapshot), [], "nothing is called that");
    assert_eq!(sent(":<esc>hold<enter>", &snapshot), []);
    let mut desk = Desk::new(&snapshot);
    assert_eq!(desk.press_every(20, ":go on<enter>YY", &snapshot), [], "typed ahead");
    let mut desk = Desk::new(&snapshot);
    assert_eq!(desk.press(":next<enter>", &snapshot), []);
    assert!(desk.app.notice().unwrap().text.contains("recordings lag"), "blocked says why");
    assert_eq!(sent(":fault<enter>1Y", &stale()), [], "a live run has no faults to offer");
    assert_eq!(sent(":go on<enter>Y", &common::rehearsing()), []);
}

#[test]
fn what_still_works_without_a_region_is_only_to_be_looked_at() {
    let snapshot = control_plane_away();
    let mut desk = Desk::new(&snapshot);
    assert_eq!(desk.press(":without us-east-1<enter>Yjk<enter>", &snapshot), []);
    let painted = common::text(&paint(&desk.app, &snapshot, 120, 40));
    assert!(painted.contains("Without us-east-1"), "{painted}");
    assert_eq!(desk.press("<esc>", &snapshot), []);
    assert!(desk.app.dialog().is_none());
    assert_eq!(sent(":without us-east-1<enter>R", &snapshot), [prepare()], "the rollback is one key away");
}

#[test]
fn esc_puts_the_rollback_away_and_the_dialog_goes_with_its_offer() {
    let snapshot = offered();
    assert_eq!(sent("R<esc>", &snapshot), [prepare(), Command::CancelRollback]);
    let mut desk = Desk::new(&snapshot);
    desk.press("R", &snapshot);
    desk.see(&snapshot);
    desk.see(&outage());
    assert!(desk.app.dialog().is_none());
}

#[test]
fn a_refused_rollback_closes_the_dialog_and_says_why() {
    let snapshot = calm();
    let mut desk = Desk::new(&snapshot);
    desk.press("R", &snapshot);
    desk.app.replied(&prepare(), Reply::Refused("no rollback applies yet".into()), 5_000);
    assert!(desk.app.dialog().is_none());
    assert!(desk.app.notice().unwrap().text.contains("no rollback applies yet"));
}

#[test]
fn stopping_is_free_everywhere_but_in_a_text() {
    let snapshot = calm();
    assert_eq!(sent(" ", &snapshot), [hold()]);
    assert_eq!(sent("n Y", &snapshot), [hold()]);
    assert_eq!(sent("? ", &snapshot), [hold()]);
    assert_eq!(sent("nR", &snapshot), [prepare()]);
    assert_eq!(sent("?R", &snapshot), [prepare()]);
    assert_eq!(sent("R ", &snapshot), [prepare(), hold()]);
    assert_eq!(sent("ma b<enter>", &snapshot), [Command::Note { text: "a b".into() }]);
    assert_eq!(sent("mR<esc>", &snapshot), []);
    let mut desk = Desk::new(&snapshot);
    assert_eq!(commands(desk.press_every(1, "n ", &snapshot)), [hold()], "also within the dead time");
}

#[test]
fn the_other_verbs_have_a_key_and_a_confirmation() {
    let mut snapshot = calm();
    assert_eq!(sent("NY", &snapshot), [Command::GoOn]);
    assert_eq!(sent("u", &snapshot), [Command::PrepareUndo { step: "canary".into() }]);
    assert_eq!(sent("a", &snapshot), []);
    assert_eq!(sent("a", &outage()), [Command::Acknowledge]);
    assert_eq!(sent("c", &snapshot), []);
    snapshot.verbs = vec![(Verb::Continue, None), (Verb::Approve, None)];
    assert_eq!(sent("cc", &snapshot), []);
    assert_eq!(sent("cY", &snapshot), [Command::Continue]);
    assert_eq!(sent("AY", &snapshot), [Command::Approve { step: "half".into() }]);
}

#[test]
fn a_checklist_is_ticked_item_by_item() {
    let snapshot = checklist();
    let tick = |item, done| Command::Tick { step: "half".into(), item, done };
    assert_eq!(sent("i", &snapshot), [tick(1, true)], "the first that is open");
    assert_eq!(sent("ji", &snapshot), [tick(2, true)]);
    assert_eq!(sent("gi", &snapshot), [tick(0, false)]);
    assert_eq!(sent("jjjj<enter>", &snapshot), [tick(2, true)]);
    assert_eq!(sent("1<enter>", &snapshot), [], "enter zooms the other panels");
}

#[test]
fn a_change_set_that_replaces_something_wants_the_region_typed() {
    let mut snapshot = change_set();
    let execute = |word: Option<&str>| Command::Execute { step: "half".into(), word: word.map(Into::into) };
    assert_eq!(sent("nY", &snapshot), []);
    assert_eq!(sent("neu-central-1<enter>", &snapshot), []);
    assert_eq!(sent("neu-central-1Y", &snapshot), [execute(Some("eu-central-1"))]);
    snapshot.work.as_mut().unwrap().confirm_word = None;
    assert_eq!(sent("nY", &snapshot), [execute(None)]);
}

#[test]
fn a_drill_can_be_hurried_and_hurt_and_a_live_run_cannot() {
    let snapshot = calm();
    let drill = |what| Command::Drill { what };
    assert_eq!(
        sent("].[", &snapshot),
        [drill(DrillCommand::Speed(20)), drill(DrillCommand::SkipAhead), drill(DrillCommand::Speed(5))]
    );
    let fault = DrillCommand::Inject(FaultKind::RegionDown("eu-west-1".into()));
    assert_eq!(sent("f2Y", &snapshot), [drill(fault)]);
    assert_eq!(sent("fY", &snapshot), []);
    assert_eq!(sent("f9Y", &snapshot), []);
    assert_eq!(sent("].[f1Y", &stale()), []);
}

#[test]
fn a_dialog_closes_when_what_it_asks_for_is_over() {
    let snapshot = calm();
    let mut desk = Desk::new(&snapshot);
    desk.press("n", &snapshot);
    assert!(desk.app.dialog().is_some());
    desk.see(&outage());
    assert!(desk.app.dialog().is_none());
    assert_eq!(desk.press("Y", &snapshot), []);
}

#[test]
fn leaving_is_asked_unless_the_run_has_ended() {
    let snapshot = calm();
    let quits = |script: &str, snapshot: &Snapshot| Desk::new(snapshot).press(script, snapshot) == [Action::Quit];
    assert!(quits("qY", &snapshot));
    assert!(quits("<c-c><c-c>", &snapshot));
    assert!(!quits("qq", &snapshot));
    assert!(!quits("q<enter>", &snapshot));
    assert!(quits("q", &finished()));
}

#[test]
fn the_shell_and_a_clean_screen_are_one_key_away_from_everywhere() {
    let cases = [
        (calm(), vec!["", "n", "q", ":", ":hold", "m", "?", "f"]),
        (shut(), vec!["O", "Owhy", "Owhy<enter>"]),
        (conflicted(), vec!["R", "Reu-west-1"]),
    ];
    for (snapshot, scripts) in cases {
        for script in scripts {
            let mut desk = Desk::new(&snapshot);
            desk.press(script, &snapshot);
            let open = desk.app.dialog().cloned();
            assert_eq!(desk.press("<c-z>", &snapshot), [Action::Suspend], "{script}");
            assert_eq!(desk.press("<c-l>", &snapshot), [Action::Redraw], "{script}");
            assert_eq!(desk.app.dialog().cloned(), open, "{script}: what was open is open still, and nothing was typed into it");
        }
    }
}

#[test]
fn copying_gives_the_panel_as_text() {
    let snapshot = calm();
    let actions = Desk::new(&snapshot).press("3y", &snapshot);
    let [Action::Copy(text)] = &actions[..] else { panic!("{actions:?}") };
    assert!(text.contains("api from Germany"), "{text}");
}

#[test]
fn the_bell_rings_once_for_each_new_alert() {
    let mut app = App::new(&ASCII);
    assert_eq!(app.observe(&calm(), 0), []);
    let mut snapshot = outage();
    assert_eq!(app.observe(&snapshot, 1), [Action::Bell]);
    assert_eq!(app.observe(&snapshot, 2), []);
    snapshot.alerts[0].acknowledged = true;
    assert_eq!(app.observe(&snapshot, 3), []);
}

#[test]
fn snapshots_and_commands_survive_json() {
    for snapshot in
        vec![calm(), outage(), conflicted(), stale(), finished(), checklist(), change_set(), shut(), rollback_failed()]
    {
        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    }
    let fault = DrillCommand::Inject(FaultKind::Lag(2, 5));
    let all = [
        Command::Start { step: "a".into() },
        Command::GoOn,
        Command::Tick { step: "a".into(), item: 1, done: true },
        Command::Drill { what: fault },
        Command::Drill { what: DrillCommand::SkipAhead },
        hold(),
        prepare(),
        Command::PrepareBackOff,
        Command::Override { step: "a".into(), reason: "b".into() },
        Command::Skip { step: "a".into(), reason: "b".into() },
        Command::DoneByHand { step: "a".into(), reason: "b".into() },
    ];
    for command in all {
        let json = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
    }
    let reply = Reply::Refused("no".into());
    assert_eq!(serde_json::from_str::<Reply>(&serde_json::to_string(&reply).unwrap()).unwrap(), reply);
}

/// A small generator of its own keeps the script the same on every machine.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn twenty_thousand_random_keys_never_panic_and_three_esc_close_everything() {
    const KEYS: &[char] = &[
        'n', 'N', 'Y', 'R', 'u', 'c', 'A', 'a', 'm', 'i', 'f', '1', '2', '3', '4', '5', '.', '[', ']', '+', 'j', 'k', 'g', 'G',
        'y', '?', 'q', ' ', 'x', '日', '\u{7}', ':', 'O', 's', 'd', 'b', 'w',
    ];
    const OTHERS: &[Key] = &[
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
        Key::Up,
        Key::Down,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Backspace,
        Key::Ctrl('c'),
        Key::Ctrl('u'),
        Key::Ctrl('z'),
        Key::Ctrl('l'),
    ];
    let snapshots = vec![
        calm(),
        common::blocked(),
        outage(),
        offered(),
        stale(),
        finished(),
        checklist(),
        change_set(),
        shut(),
        failed(),
        conflicted(),
        backing_off(),
        rollback_failed(),
        proof_missing(),
        common::in_the_calendar(),
    ];
    let mut app = App::new(&ASCII);
    let mut state = 7;
    let mut pick = |count: usize| usize::try_from(next(&mut state)).unwrap() % count;
    for round in 0..20_000_u64 {
        let snapshot = &snapshots[(usize::try_from(round).unwrap() / 40) % snapshots.len()];
        let now_ms = round * 170;
        if round % 40 == 0 {
            app.observe(snapshot, now_ms);
        }
        let key = if pick(4) == 0 { OTHERS[pick(OTHERS.len())] } else { Key::Char(KEYS[pick(KEYS.len())]) };
        app.handle(key, snapshot, now_ms);
        if round % 5 == 0 {
            let (width, height) = (u16::try_from(pick(170) + 1).unwrap(), u16::try_from(pick(50) + 1).unwrap());
            app.resize(ratatui::layout::Rect::new(0, 0, width, height));
            paint(&app, snapshot, width, height);
        }
        if round % 97 == 0 {
            for _ in 0..3 {
                app.handle(Key::Esc, snapshot, now_ms);
            }
            assert!(app.dialog().is_none());
        }
    }
}

/// A terminal that is not one.
struct Nowhere;

impl cutover::ui::terminal::Host for Nowhere {
    fn ours(&self) -> bool {
        true
    }
    fn begin_frame(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn end_frame(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn copy(&mut self, _text: &str) -> std::io::Result<()> {
        Ok(())
    }
    fn bell(&mut self) -> std::io::Result<()> {
        Ok(())
    }
    fn suspend(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_loop_sends_what_keys_ask_for_and_ends_with_its_engine() {
    use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
    use futures_util::StreamExt;
    use std::sync::Arc;

    let (snapshots, watching) = tokio::sync::watch::channel(Arc::new(calm()));
    let (sender, mut requests) = tokio::sync::mpsc::channel(4);
    let link = cutover::link::Link { snapshots: watching, commands: sender };
    let space = Event::Key(KeyEvent::new(KeyCode::Char(' '), KeyModifiers::NONE));
    let paste = Event::Paste("nY".into());
    let events = futures_util::stream::iter([Ok(paste), Ok(space)]).chain(futures_util::stream::pending());
    let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(120, 40)).unwrap();
    let engine = async move {
        let request: cutover::link::Request = requests.recv().await.unwrap();
        assert_eq!(request.command, hold());
        request.reply.send(Reply::Ok("held".into())).unwrap();
        snapshots.send(Arc::new(outage())).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        assert!(requests.try_recv().is_err(), "a paste is no key script");
    };
    let screen = cutover::ui::drive(&mut terminal, link, ASCII, events, Nowhere);
    let (exit, ()) = tokio::join!(screen, engine);
    assert_eq!(exit.unwrap(), cutover::ui::Exit::EngineGone);
    assert!(common::text(terminal.backend().buffer()).contains("OUTAGE"));
}

#[test]
fn a_tick_moves_on_to_the_next_open_item() {
    let mut snapshot = checklist();
    let mut desk = Desk::new(&snapshot);
    let tick = |item| Command::Tick { step: "half".into(), item, done: true };
    assert_eq!(commands(desk.press("i", &snapshot)), [tick(1)]);
    snapshot.work.as_mut().unwrap().items[1].1 = true;
    desk.see(&snapshot);
    assert_eq!(commands(desk.press("i", &snapshot)), [tick(2)], "the one after it, not the same one again");
    // From the last item it goes round to one that was passed over.
    let mut snapshot = checklist();
    snapshot.work.as_mut().unwrap().items[0].1 = false;
    let mut desk = Desk::new(&snapshot);
    assert_eq!(commands(desk.press("jji", &snapshot)), [tick(2)]);
    snapshot.work.as_mut().unwrap().items[2].1 = true;
    desk.see(&snapshot);
    assert_eq!(commands(desk.press("i", &snapshot)), [tick(0)]);
}

#[test]
fn while_the_days_before_are_rehearsed_only_hold_goes_through() {
    let snapshot = common::rehearsing();
    assert_eq!(sent("nYNYARY.fi", &snapshot), []);
    assert_eq!(sent(" ", &snapshot), [hold()]);
}

#[test]
fn after_a_skip_it_is_said_how_far_it_went_and_what_ended_it() {
    let mut snapshot = calm();
    let mut desk = Desk::new(&snapshot);
    desk.press(".", &snapshot);
    desk.see(&snapshot);
    assert!(desk.app.notice().is_none(), "nothing has happened yet");
    snapshot.now += 235_000;
    snapshot.ledger.seq += 1;
    let line = snapshot.journal.last_mut().unwrap();
    (line.seq, line.text) = (snapshot.ledger.seq, "canary: done".into());
    desk.see(&snapshot);
    assert_eq!(desk.app.notice().unwrap().text, "skipped 3m55s ahead: canary: done");
}

#[test]
fn a_confirmed_rollback_closes_its_dialog_without_alarm() {
    let snapshot = offered();
    let mut desk = Desk::new(&outage());
    desk.press("R", &snapshot);
    desk.see(&snapshot);
    desk.press("Y", &snapshot);
    desk.see(&outage());
    assert!(desk.app.dialog().is_none());
    assert_eq!(desk.app.notice().unwrap().text, "confirmed");
}

#[test]
fn going_on_without_journal_and_spool_wants_the_region_typed() {
    let mut snapshot = calm();
    snapshot.verbs = vec![(Verb::Continue, None)];
    snapshot.ledger.failed = Some("the volume is full".into());
    snapshot.ledger.spool.failed = Some("the volume is gone".into());
    snapshot.ledger.spool.word = Some("eu-west-1".into());
    for script in ["cY", "ceu-west-2Y", "ceu-west-1<enter>", "ceu-west-1<esc>"] {
        assert_eq!(sent(script, &snapshot), [], "{script}");
    }
    let word = "eu-west-1".to_owned();
    assert_eq!(sent("ceu-west-1Y", &snapshot), [Command::WithoutJournal { word }]);
    // While a rollback is only shown, its own dialog asks for the word.
    snapshot.offer = offered().offer;
    assert_eq!(sent("cY", &snapshot), [Command::Continue]);
}
