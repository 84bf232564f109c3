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

/// The days of the plan as a screen shows them: date, steps done, actual, slip.
fn days(stand: &Stand) -> Vec<String> {
    let line = |day: &cutover::run::snapshot::DayView| {
        let today = if day.today { ">" } else { "" };
        let steps = format!("{}/{}", day.done, day.steps.len());
        format!("{today}{} {} {} {steps} {} [{}] {}", day.day, day.weekday, day.date, day.hours, day.actual, day.slip_days)
    };
    stand.snapshot().calendar.days.iter().map(line).collect()
}

/// The plan's steps on five days: the first on day 1, the shift of its window on day 6, two on day 7, the last on day 9.
fn over_days() -> Stand {
    changed("calm", |plan| {
        (plan.days, plan.phases[0].last_day) = (9, 9);
        for (step, day) in plan.steps.iter_mut().zip([1, 6, 7, 7, 9]) {
            step.day = day;
        }
        plan.steps[1].windows = weekend();
    })
}

#[test]
fn each_day_has_its_line_and_the_end_follows_from_what_is_left() {
    let mut stand = over_days();
    assert!(stand.drive(&mut Operator::new(5), |s| s.is_done("baseline")));
    let calendar = stand.snapshot().calendar;
    assert!(calendar.today.starts_with("day 1 of 9, Mon 2026-01-05 "), "{}", calendar.today);
    assert_eq!((calendar.zone.as_str(), calendar.days.len()), ("Europe/Berlin", 9));
    let window = &calendar.windows[0];
    assert_eq!(
        (window.steps.as_slice(), window.left, window.open, window.opens),
        ([1].as_slice(), 1, false, Some(weekend_opens()))
    );
    assert!(window.words.starts_with("shut, opens Sat 2026-01-10 22:00 CET (in 5d"), "{}", window.words);
    // No step is left before day 6, whose own waits for its window; the last one begins with its own day.
    let last = stand.core.plan.steps[4].expected_ms;
    let end = calendar.end;
    assert_eq!((end.earliest, end.slip_days), (Some(EPOCH + 8 * DAY - 9 * 60 * MINUTE + last), 0));
    assert!(end.words.starts_with("planned Tue 2026-01-13; at the earliest Tue 2026-01-13 00:"), "{}", end.words);
    let lines = days(&stand);
    assert!(lines[0].starts_with(">1 Mon 2026-01-05 1/1  [09:") && lines[0].ends_with("] 0"), "{lines:#?}");
    assert_eq!(lines[1], "2 Tue 2026-01-06 0/0  [] 0");
    assert_eq!(lines[5], "6 Sat 2026-01-10 0/1 22:00-04:00 [] 0");

    // On Monday of the second week the shift is two days late, and its window has just shut.
    stand.run_for(weekend_opens() + 30 * 60 * MINUTE + MINUTE - stand.now);
    let calendar = stand.snapshot().calendar;
    assert!(calendar.today.starts_with("day 8 of 9, Mon 2026-01-12 04:01 CET"), "{}", calendar.today);
    assert_eq!(
        days(&stand)[5..],
        [
            "6 Sat 2026-01-10 0/1 22:00-04:00 [] 2",
            "7 Sun 2026-01-11 0/2  [] 1",
            ">8 Mon 2026-01-12 0/0  [] 0",
            "9 Tue 2026-01-13 0/1  [] 0"
        ]
    );
    let opens = weekend_opens() + 7 * DAY;
    assert_eq!((calendar.windows[0].opens, calendar.windows[0].shuts), (Some(opens), None));
    let left: i64 = stand.core.plan.steps[1..].iter().map(|step| step.expected_ms).sum();
    assert_eq!((calendar.end.earliest, calendar.end.slip_days), (Some(opens + left), 4));
    assert!(calendar.end.words.ends_with(", 4 days late)"), "{}", calendar.end.words);

    // In the window the step goes on, and the end moves only when it takes longer than it should.
    stand.run_for(opens - stand.now);
    assert_eq!(
        stand.snapshot().calendar.windows[0].words,
        "open until Sun 2026-01-18 04:00 CET (in 6h), opens again Sun 2026-01-18 22:00 CET (in 1d)"
    );
    stand.must(Command::Start { step: "shift-10".into() });
    stand.run_for(MINUTE);
    assert_eq!(stand.snapshot().calendar.end.earliest, Some(opens + left));
    assert!(stand.drive(&mut Operator::new(5), |s| s.core.run.finished.is_some()), "{:#?}", stand.tail());
    let calendar = stand.snapshot().calendar;
    let at = stand.core.run.finished.unwrap().1;
    assert_eq!((calendar.end.ended, calendar.end.earliest), (Some(at), None));
    assert!(calendar.end.words.starts_with("completed Sat 2026-01-17 22:"), "{}", calendar.end.words);
    assert_eq!(calendar.windows[0].left, 0);
    assert!(calendar.today.starts_with("day 13, 4 days after the last of the plan, "), "{}", calendar.today);
    let of_the_shift = &calendar.days[5];
    assert!(of_the_shift.actual.starts_with("01-17 22:00 - 22:"), "{}", of_the_shift.actual);
    assert_eq!((of_the_shift.actual_short.as_str(), of_the_shift.slip_days), ("01-17", 7));
    // What has ended slips no further.
    stand.run_for(3 * DAY);
    assert_eq!(stand.snapshot().calendar.days, calendar.days);
}

#[test]
fn no_end_is_promised_where_none_follows() {
    // The window never opens: an hour of one night only, and that night's clocks leave it out.
    let mut stand = over_days();
    stand.core.replay(stand.now, "driver", &Entry::DayOne { date: "2026-01-08".into() });
    assert!(stand.snapshot().calendar.today.starts_with("day 1 is in 3 days, Mon 2026-01-05 "));
    let mut plan = (*stand.core.plan).clone();
    plan.steps[1].windows[0].days = [false; 7];
    stand.core.plan = Arc::new(plan);
    let calendar = stand.snapshot().calendar;
    assert_eq!(calendar.end.earliest, None);
    assert!(calendar.end.words.ends_with("no end in sight: a window does not open in the two weeks before it is needed"));
    assert_eq!(calendar.windows[0].words, "shut, and does not open in the next two weeks");
    // While something is taken back, and after.
    let mut stand = changed("region-outage", |_| ());
    let back = |s: &Stand| s.core.run.active_rollback().is_some();
    assert!(stand.drive(&mut Operator::new(5), back), "{:#?}", stand.tail());
    assert!(stand.snapshot().calendar.end.words.ends_with("no end in sight while something is taken back"));
    assert_eq!(stand.snapshot().calendar.end.earliest, None);
    assert!(stand.drive(&mut Operator::new(5), |s| s.core.run.finished.is_some()), "{:#?}", stand.tail());
    assert!(stand.snapshot().calendar.end.words.starts_with("rolled back Mon 2026-01-05 "));
    // What was not begun when it ended slips no further.
    let slips = |stand: &Stand| stand.snapshot().steps.iter().map(|step| step.calendar.slip_days).collect::<Vec<_>>();
    assert!(stand.core.run.next_step().is_some());
    let then = slips(&stand);
    stand.run_for(3 * DAY);
    assert_eq!(slips(&stand), then);
}
