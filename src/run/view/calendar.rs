//! The calendar of a run: which date each day of the plan is, and how far a step has slipped.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::plan::Step;
use crate::plan::window::{date_at, opening_on};
use crate::run::decide::Ctx;
use crate::run::snapshot::{CalendarView, StepState};
use crate::run::state::StepRun;
use crate::run::window;

/// What is the same for all steps.
pub struct Calendar {
    zone: TimeZone,
    first: Date,
    today: Date,
    /// The date up to which what has not begun slips: today, or that on which the run ended.
    last: Date,
}

impl Calendar {
    /// The calendar of a run. Day 1 is what was said when the run began, or else the date on which that was.
    #[must_use]
    pub fn of(ctx: Ctx<'_>) -> Calendar {
        let zone = ctx.plan.zone();
        // A run without an entry would begin now.
        let started = if ctx.run.entries == 0 { ctx.now } else { ctx.run.started };
        let first = ctx.run.day_one.unwrap_or_else(|| date_at(&zone, started));
        let ended = ctx.run.finished.map_or(ctx.now, |(_, at)| at);
        Calendar { today: date_at(&zone, ctx.now), last: date_at(&zone, ended), first, zone }
    }

    /// The day of the plan that it is today, from 1; 0 before the first.
    #[must_use]
    pub fn day(&self) -> u32 {
        u32::try_from(self.days_in() + 1).unwrap_or(0)
    }

    /// Whose clocks it is read on.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// How many days it is from day 1 to today; less than 0 before it.
    #[must_use]
    pub fn days_in(&self) -> i64 {
        days_from(self.first, self.today)
    }

    /// The date of a day of the plan, counted from 1.
    #[must_use]
    pub fn date(&self, day: u32) -> Date {
        self.first.checked_add(i64::from(day.saturating_sub(1)).days()).unwrap_or(self.first)
    }

    /// A step's place in it.
    #[must_use]
    pub fn step(&self, step: &Step, run: &StepRun) -> CalendarView {
        let planned = self.date(step.day);
        CalendarView {
            date: planned.to_string(),
            window: window::text(&step.windows),
            opens: opening_on(&step.windows, &self.zone, planned),
            began: run.first_started,
            ended: run.ended.filter(|_| run.state == StepState::Done),
            slip_days: self.slip_days(step, run),
        }
    }

    /// How many days later than planned a step was begun (less than 0: earlier), or how many it is late by now.
    #[must_use]
    pub fn slip_days(&self, step: &Step, run: &StepRun) -> i64 {
        let planned = self.date(step.day);
        match run.first_started {
            Some(at) => days_from(planned, date_at(&self.zone, at)),
            None if run.state.is_over() => 0,
            None => days_from(planned, self.last).max(0),
        }
    }
}

/// How many days it is from one date to another; less than 0 when the other comes first.
#[must_use]
pub fn days_from(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}
