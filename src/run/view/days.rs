//! The plan day by day: what was planned and what became of it, the windows, and when it ends.

use jiff::civil::Date;

use super::calendar::{Calendar, days_from};
use crate::cloud::Millis;
use crate::plan::window::{Standing, begin_of, clock_at, date_at, opening_on, shown, standing};
use crate::plan::{Action, Step, format_ms};
use crate::run::decide::{Ctx, rolled_back};
use crate::run::snapshot::{DayView, DaysView, EndView, OpeningView, StepState};
use crate::run::window;

/// All of it.
#[must_use]
pub fn days(ctx: Ctx<'_>, calendar: &Calendar) -> DaysView {
    DaysView {
        zone: calendar.zone().iana_name().unwrap_or("UTC").to_owned(),
        today: today(ctx, calendar),
        days: (1..).zip(steps_of_days(ctx)).map(|(number, steps)| day(ctx, calendar, number, steps)).collect(),
        windows: windows(ctx),
        end: end(ctx, calendar),
    }
}

fn today(ctx: Ctx<'_>, calendar: &Calendar) -> String {
    let (days_in, days) = (calendar.days_in(), i64::from(ctx.plan.days));
    let which = match days_in {
        ..0 => format!("day 1 is in {}", count(-days_in)),
        _ if days_in < days => format!("day {} of {days}", days_in + 1),
        _ => format!("day {}, {} after the last of the plan", days_in + 1, count(days_in + 1 - days)),
    };
    format!("{which}, {}", shown(calendar.zone(), ctx.now))
}

/// The steps of each day, the first of which is day 1.
fn steps_of_days(ctx: Ctx<'_>) -> Vec<Vec<usize>> {
    let mut out = vec![Vec::new(); usize::try_from(ctx.plan.days).unwrap_or_default()];
    for (id, step) in ctx.plan.steps.iter().enumerate() {
        let day = usize::try_from(step.day.saturating_sub(1)).unwrap_or_default();
        if let Some(steps) = out.get_mut(day) {
            steps.push(id);
        }
    }
    out
}

fn day(ctx: Ctx<'_>, calendar: &Calendar, number: u32, steps: Vec<usize>) -> DayView {
    let (plan, date) = (ctx.plan, calendar.date(number));
    let of_days = plan.phases.iter().enumerate().filter(|(_, p)| (p.first_day..=p.last_day).contains(&number)).map(|(id, _)| id);
    let mut phases: Vec<usize> = of_days.chain(steps.iter().map(|id| plan.steps[*id].phase)).collect();
    phases.sort_unstable();
    phases.dedup();
    let run = |id: &usize| &ctx.run.steps[*id];
    let done = steps.iter().filter(|id| run(id).state.is_over()).count();
    let began = steps.iter().filter_map(|id| run(id).first_started).min();
    let last = steps.iter().filter_map(|id| run(id).ended).max();
    let ended = last.filter(|_| done == steps.len());
    let slips = steps.iter().map(|id| calendar.slip_days(&plan.steps[*id], run(id)));
    let hours = steps.iter().find_map(|id| opening_on(&plan.steps[*id].windows, calendar.zone(), date));
    let clock = |at: Millis| clock_at(calendar.zone(), at);
    DayView {
        day: number,
        date: date.to_string(),
        weekday: date.strftime("%a").to_string(),
        today: calendar.days_in() + 1 == i64::from(number),
        phases,
        done,
        expected_ms: steps.iter().map(|id| takes(&plan.steps[*id])).sum(),
        hours: hours.map_or_else(String::new, |(opens, shuts)| format!("{}-{}", clock(opens), end_of_day(clock(shuts)))),
        began,
        ended,
        actual: actual(calendar, date, began, ended),
        actual_short: match (began, ended) {
            (_, Some(at)) if date_at(calendar.zone(), at) != date => short(date_at(calendar.zone(), at)),
            (_, Some(_)) => "done".into(),
            (Some(_), None) => "begun".into(),
            (None, None) => String::new(),
        },
        slip_days: slips.max().unwrap_or(0),
        steps,
    }
}

/// When a day's steps were started and done, with the date where it is not the planned one.
fn actual(calendar: &Calendar, planned: Date, began: Option<Millis>, ended: Option<Millis>) -> String {
    let told = |at: Millis, near: Date| {
        let (date, clock) = (date_at(calendar.zone(), at), clock_at(calendar.zone(), at));
        if date == near { clock } else { format!("{} {clock}", short(date)) }
    };
    match (began, ended) {
        (Some(began), Some(ended)) => format!("{} - {}", told(began, planned), told(ended, date_at(calendar.zone(), began))),
        (Some(began), None) => format!("begun {}", told(began, planned)),
        // Every step was left out, or done by hand.
        (None, Some(ended)) => format!("done {}", told(ended, planned)),
        (None, None) => String::new(),
    }
}

/// Midnight, as the end of a day.
fn end_of_day(clock: String) -> String {
    if clock == "00:00" { "24:00".into() } else { clock }
}

/// A date without its year.
fn short(date: Date) -> String {
    date.strftime("%m-%d").to_string()
}

/// How long a step should take: no soak is shorter than what it waits for.
fn takes(step: &Step) -> i64 {
    match &step.action {
        Action::Soak { for_ms, .. } => step.expected_ms.max(*for_ms),
        _ => step.expected_ms,
    }
}

fn windows(ctx: Ctx<'_>) -> Vec<OpeningView> {
    let mut out: Vec<OpeningView> = Vec::new();
    for (id, step) in ctx.plan.steps.iter().enumerate().filter(|(_, step)| !step.windows.is_empty()) {
        let (text, left) = (window::text(&step.windows), usize::from(!ctx.run.steps[id].state.is_over()));
        if let Some(known) = out.iter_mut().find(|view| view.text == text) {
            known.steps.push(id);
            known.left += left;
            continue;
        }
        let when = |at: Millis| window::when(&step.windows, at, ctx.now);
        let (open, shuts, opens) = match standing(&step.windows, ctx.now) {
            Standing::Shut(opens) => (false, None, opens),
            Standing::Open(None) => (true, None, None),
            Standing::Open(Some(shuts)) => match standing(&step.windows, shuts) {
                Standing::Shut(opens) => (true, Some(shuts), opens),
                Standing::Open(_) => (true, Some(shuts), None),
            },
        };
        let words = match (open, shuts, opens) {
            (true, Some(shuts), Some(opens)) => format!("open until {}, opens again {}", when(shuts), when(opens)),
            (true, Some(shuts), None) => format!("open until {}", when(shuts)),
            (true, None, _) => "always open".into(),
            (false, _, Some(opens)) => format!("shut, opens {}", when(opens)),
            (false, _, None) => "shut, and does not open in the next two weeks".into(),
        };
        out.push(OpeningView { text, steps: vec![id], left, open, opens, shuts, words });
    }
    out
}

fn end(ctx: Ctx<'_>, calendar: &Calendar) -> EndView {
    let (zone, planned) = (calendar.zone(), calendar.date(ctx.plan.days));
    let mut view = EndView { planned: planned.to_string(), ..EndView::default() };
    let plan = format!("planned {}", planned.strftime("%a %Y-%m-%d"));
    if let Some((outcome, at)) = ctx.run.finished {
        view.ended = Some(at);
        view.slip_days = days_from(planned, date_at(zone, at));
        view.words = format!("{} {}; {plan}", outcome.word(), shown(zone, at));
        return view;
    }
    if ctx.run.active_rollback().is_some() || rolled_back(ctx.run) {
        let why = if rolled_back(ctx.run) { "after a rollback" } else { "while something is taken back" };
        view.words = format!("{plan}; no end in sight {why}");
        return view;
    }
    view.earliest = earliest(ctx, calendar);
    let Some(at) = view.earliest else {
        view.words = format!("{plan}; no end in sight: a window does not open in the two weeks before it is needed");
        return view;
    };
    view.slip_days = days_from(planned, date_at(zone, at));
    let slip = match view.slip_days {
        0 => String::new(),
        late @ 1.. => format!(", {} late", count(late)),
        early => format!(", {} early", count(-early)),
    };
    let left = format_ms((at - ctx.now).max(0).saturating_add(59_999) / 60_000 * 60_000);
    view.words = format!("{plan}; at the earliest {} (in {left}{slip})", shown(zone, at));
    view
}

/// When the last step can be done, if nothing is in the way. Steps go one after the other, as the engine takes them.
fn earliest(ctx: Ctx<'_>, calendar: &Calendar) -> Option<Millis> {
    let mut at = ctx.now;
    for (step, run) in ctx.plan.steps.iter().zip(&ctx.run.steps).filter(|(_, run)| !run.state.is_over()) {
        let goes_on = matches!(run.state, StepState::Running | StepState::Verifying);
        if let Some(started) = run.started.filter(|_| goes_on) {
            at = at.max(started.saturating_add(takes(step)));
            continue;
        }
        at = at.max(begin_of(calendar.zone(), calendar.date(step.day)).unwrap_or(at));
        if let Standing::Shut(opens) = standing(&step.windows, at) {
            at = opens?;
        }
        at = at.saturating_add(takes(step));
    }
    Some(at)
}

fn count(days: i64) -> String {
    if days == 1 { "1 day".into() } else { format!("{days} days") }
}
