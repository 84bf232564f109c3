//! Change windows: outside them a step waits, or is overridden; nothing that goes on is interrupted, and no rollback waits.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use cutover::builtin;
use cutover::drill::EPOCH;
use cutover::drill::operator::Operator;
use cutover::plan::window::is_open;
use cutover::plan::{Plan, Window};
use cutover::run::command::{Command, Verb};
use cutover::run::entry::{Entry, JobRef};
use cutover::run::snapshot::StepState;
use jiff::tz::TimeZone;

use support::Stand;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// `Sat-Sun 22:00-04:00 Europe/Berlin`; a drill begins on a Monday.
fn weekend() -> Vec<Window> {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let days = [false, false, false, false, false, true, true];
    let text = "Sat-Sun 22:00-04:00 Europe/Berlin".into();
    vec![Window { text, days, from_min: 22 * 60, to_min: 4 * 60, zone }]
}

/// Every day, from some minutes after a time for some minutes.
fn daily(at: i64, after: i64, length: i64) -> Vec<Window> {
    let minute = |at: i64| u16::try_from(at / MINUTE % 1_440).unwrap();
    let (from_min, to_min) = (minute(at + after * MINUTE), minute(at + (after + length) * MINUTE));
    vec![Window { text: "daily".into(), days: [true; 7], from_min, to_min, zone: TimeZone::UTC }]
}

fn changed(scenario: &str, change: impl Fn(&mut Plan)) -> Stand {
    let loaded = builtin::find("failover-drill").unwrap();
    let scenario = loaded.scenarios.iter().find(|s| s.name == scenario).unwrap().clone();
    let mut plan = loaded.plan;
    change(&mut plan);
    Stand::of(Arc::new(plan), &scenario, 5)
}

/// Before the first shift, whose window opens at the weekend.
fn shut_out(people: u32) -> Stand {
    let mut stand = changed("calm", |plan| (plan.steps[1].windows, plan.steps[1].override_people) = (weekend(), people));
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("baseline")));
    stand.run_for(10 * MINUTE);
    stand
}

fn state(stand: &Stand, step: usize) -> StepState {
    stand.core.run.steps[step].state
}

fn may(stand: &Stand, verb: Verb) -> bool {
    stand.snapshot().verbs.iter().any(|(v, why)| *v == verb && why.is_none())
}

/// When each step was started, and what the journal says of its window.
fn starts(stand: &Stand) -> Vec<(String, i64, Option<String>)> {
    let start = |draft: &cutover::run::core::Draft| match &draft.entry {
        Entry::Started { job: JobRef::Step(step), evidence, .. } => {
            Some((step.clone(), draft.at, evidence.iter().find(|e| e.contains("window")).cloned()))
        }
        _ => None,
    };
    stand.log.iter().filter_map(start).collect()
}

#[test]
fn outside_its_window_a_step_says_when_it_opens_and_starts_with_a_reason_only() {
    let mut stand = shut_out(1);
    let why = stand.refused(Command::Start { step: "shift-10".into() });
    assert!(
        why.starts_with("outside its window Sat-Sun 22:00-04:00 Europe/Berlin: opens Sat 2026-01-10 22:00 CET (in 5d12h"),
        "{why}"
    );
    let work = stand.snapshot().work.unwrap();
    assert_eq!(work.blocked.as_deref(), Some(why.as_str()));
    let window = work.window.unwrap();
    assert!(!window.open && window.words.starts_with("shut, opens Sat 2026-01-10 22:00 CET"), "{window:?}");
    assert!(!may(&stand, Verb::Next) && may(&stand, Verb::Override));
    stand.refused(Command::Override { step: "shift-10".into(), reason: " ".into() });
    stand.must(Command::Override { step: "shift-10".into(), reason: "nobody is awake anyway".into() });
    assert_eq!(state(&stand, 1), StepState::Running);
    let evidence = starts(&stand).last().unwrap().2.clone().unwrap();
    assert_eq!(evidence, "outside its window Sat-Sun 22:00-04:00 Europe/Berlin");
    assert!(stand.tail().iter().any(|line| line.contains("started OUTSIDE ITS WINDOW: nobody is awake")), "{:#?}", stand.tail());
}

#[test]
fn where_the_plan_asks_for_two_people_one_of_them_does_not_get_around_the_window() {
    let commands = [
        Command::Override { step: "shift-10".into(), reason: "hurry".into() },
        Command::DoneByHand { step: "shift-10".into(), reason: "in the console".into() },
    ];
    for command in commands {
        let mut stand = shut_out(2);
        for _ in 0..2 {
            stand.command_by("ann", command.clone());
            assert_eq!(state(&stand, 1), StepState::Pending, "{:#?}", stand.tail());
        }
        stand.command_by("bob", command);
        assert_ne!(state(&stand, 1), StepState::Pending);
    }
}

#[test]
fn inside_the_screen_says_until_when_and_whether_the_step_fits() {
    let mut stand = shut_out(1);
    let opens = weekend_opens();
    let wait = opens - stand.now;
    stand.run_for(wait - 1);
    assert!(!may(&stand, Verb::Next) && stand.now < opens);
    stand.run_for(1);
    assert!(may(&stand, Verb::Next), "{:?}", stand.snapshot().work.unwrap().blocked);
    let seen = |stand: &Stand| stand.snapshot().work.unwrap().window.unwrap();
    let window = seen(&stand);
    assert_eq!((window.open, window.fits, window.changes), (true, Some(true), Some(opens + 6 * 60 * MINUTE)));
    assert_eq!(window.words, "open until Sun 2026-01-11 04:00 CET (in 6h)");
    let why = stand.refused(Command::Override { step: "shift-10".into(), reason: "why not".into() });
    assert!(why.contains("so is its window"), "{why}");
    // Five minutes are expected: that is said, and does not block.
    stand.run_for((6 * 60 - 4) * MINUTE);
    let window = seen(&stand);
    assert_eq!((window.open, window.fits), (true, Some(false)));
    assert_eq!(window.words, "open until Sun 2026-01-11 04:00 CET (in 4m); what takes about 5m ends after that");
    stand.must(Command::Start { step: "shift-10".into() });
    assert_eq!(starts(&stand).last().unwrap().2.as_deref(), Some("in its window Sat-Sun 22:00-04:00 Europe/Berlin"));
    // It goes on when the window shuts.
    assert!(stand.run_until(60 * MINUTE, |s| s.is_done("shift-10")), "{:#?}", stand.tail());
    assert!(!is_open(&weekend(), stand.now));
}

/// Saturday, 22:00 in Berlin.
fn weekend_opens() -> i64 {
    EPOCH + 5 * DAY + 13 * 60 * MINUTE
}

#[test]
fn an_operator_waits_for_each_window_and_the_whole_run_is_inside() {
    let mut stand = changed("calm", |plan| plan.steps.iter_mut().for_each(|step| step.windows = weekend()));
    assert!(stand.drive(&mut Operator::new(5), |s| s.core.run.finished.is_some()), "{:#?}", stand.tail());
    let starts = starts(&stand);
    assert_eq!(starts.len(), 5);
    assert!(starts.iter().all(|(_, at, _)| is_open(&weekend(), *at)), "{starts:?}");
    assert!(starts[0].1 - weekend_opens() < MINUTE, "as soon as it opens: {starts:?}");
}

#[test]
fn what_goes_on_by_itself_starts_nothing_outside_and_waits_for_what_opens_soon() {
    let mut stand = changed("calm", |_| ());
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("shift-10")));
    stand.run_for(5 * MINUTE);
    let mut plan = (*stand.core.plan).clone();
    plan.steps[2].windows = daily(stand.now, 0, 3);
    plan.steps[3].windows = daily(stand.now, 0, 3);
    stand.core.plan = Arc::new(plan);
    stand.must(Command::GoOn);
    assert_ne!(state(&stand, 2), StepState::Pending, "{:?}", stand.snapshot().work.unwrap().blocked);
    assert!(stand.run_until(60 * MINUTE, |s| s.is_done("shift-50")), "{:#?}", stand.tail());
    stand.run_for(MINUTE);
    assert_eq!((state(&stand, 3), stand.core.run.going), (StepState::Pending, None));
    assert!(stand.tail().iter().any(|line| line.contains("no longer going on by itself: shift-100: outside its window")));
    stand.run_for(10 * MINUTE);
    assert_eq!(state(&stand, 3), StepState::Pending);

    // A window that opens within the patience for a gate is waited for.
    let mut plan = (*stand.core.plan).clone();
    plan.steps[3].windows = daily(stand.now, 10, 20);
    let opens = (stand.now / MINUTE + 10) * MINUTE;
    stand.core.plan = Arc::new(plan);
    stand.must(Command::GoOn);
    stand.run_for(9 * MINUTE);
    assert_eq!(state(&stand, 3), StepState::Pending);
    stand.run_for(2 * MINUTE);
    assert_ne!(state(&stand, 3), StepState::Pending, "{:#?}", stand.tail());
    assert_eq!(starts(&stand).last().unwrap().1, opens);
}

#[test]
fn a_rollback_is_never_bound_by_a_window() {
    let narrow = |plan: &mut Plan| plan.steps[2].windows = daily(EPOCH, 60, 1);
    let mut stand = changed("region-outage", narrow);
    let windows = stand.core.plan.steps[2].windows.clone();
    let done = |s: &Stand| s.core.run.rollback.as_ref().is_some_and(|r| r.done.is_some());
    assert!(stand.drive(&mut Operator::new(5), done), "{:#?}", stand.tail());
    let rollback = stand.core.run.rollback.clone().unwrap();
    assert!(!is_open(&windows, rollback.confirmed) && !is_open(&windows, rollback.done.unwrap()));
    assert!(rollback.done.unwrap() - rollback.confirmed < 10 * MINUTE);
    assert!(stand.core.plan.rollbacks.iter().flat_map(|r| &r.steps).all(|step| step.windows.is_empty()));
}

#[test]
fn the_calendar_tells_planned_from_actual_and_outlives_the_engine() {
    let mut stand = shut_out(1);
    let calendar = |stand: &Stand, step: usize| stand.snapshot().steps[step].calendar.clone();
    // Nobody said which date day 1 is: the one on which the run began.
    assert_eq!(stand.snapshot().day, 1);
    let (began, shift) = (calendar(&stand, 0), calendar(&stand, 1));
    assert_eq!((began.date.as_str(), began.slip_days, began.window.as_str()), ("2026-01-05", 0, ""));
    assert!(began.began.is_some() && began.ended > began.began && began.opens.is_none());
    let sunday_night = (EPOCH - 9 * 60 * MINUTE, EPOCH - 5 * 60 * MINUTE);
    assert_eq!((shift.opens, shift.window.as_str()), (Some(sunday_night), "Sat-Sun 22:00-04:00 Europe/Berlin"));
    // At midnight in Berlin it is the next day, and what has not begun is a day late.
    stand.run_for(EPOCH + 15 * 60 * MINUTE - stand.now - 1);
    assert_eq!((stand.snapshot().day, calendar(&stand, 1).slip_days), (1, 0));
    stand.run_for(1);
    assert_eq!((stand.snapshot().day, calendar(&stand, 1).slip_days, calendar(&stand, 0).slip_days), (2, 1, 0));
    let entry = Entry::DayOne { date: "2026-01-06".into() };
    let mut other = stand.clone();
    other.core.replay(other.now, "driver", &entry);
    assert_eq!(calendar(&other, 1).opens, None, "not on a Tuesday");

    for (date, day, done, next) in [("2026-01-03", 4, 2, 3), ("2026-01-10", 0, -5, 0)] {
        let entry = Entry::DayOne { date: date.into() };
        let (kind, body) = entry.to_parts();
        stand.core.replay(stand.now, "driver", &Entry::from_parts(&kind, &body).unwrap());
        assert_eq!((stand.snapshot().day, calendar(&stand, 0).slip_days, calendar(&stand, 1).slip_days), (day, done, next));
        assert_eq!(calendar(&stand, 0).date, date);
    }
    let opens = weekend_opens();
    assert_eq!(calendar(&stand, 1).opens, Some((opens, opens + 6 * 60 * MINUTE)));
}
