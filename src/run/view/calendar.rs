//! The calendar of a run: which date each day of the plan is, and how far things have slipped.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::cloud::Millis;
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
}

impl Calendar {
    /// The calendar of a run. Day 1 is what was said when the run began, or else the date on which that was.
    #[must_use]
    pub fn of(ctx: Ctx<'_>) -> Calendar {
        let zone = ctx.plan.zone();
        let first = ctx.run.day_one.unwrap_or_else(|| date_at(&zone, ctx.run.started));
        Calendar { today: date_at(&zone, ctx.now), first, zone }
    }

    /// The day of the plan that it is today, from 1; 0 before the first.
    #[must_use]
    pub fn day(&self) -> u32 {
        u32::try_from(days_from(self.first, self.today) + 1).unwrap_or(0)
    }

    /// A step's place in it.
    #[must_use]
    pub fn step(&self, step: &Step, run: &StepRun) -> CalendarView {
        let planned = self.first.checked_add(i64::from(step.day.saturating_sub(1)).days()).unwrap_or(self.first);
        let began = |at: Millis| days_from(planned, date_at(&self.zone, at));
        let slip_days = match run.first_started {
            Some(at) => began(at),
            None if run.state.is_over() => 0,
            None => days_from(planned, self.today).max(0),
        };
        CalendarView {
            date: planned.to_string(),
            window: window::text(&step.windows),
            opens: opening_on(&step.windows, &self.zone, planned),
            began: run.first_started,
            ended: run.ended.filter(|_| run.state == StepState::Done),
            slip_days,
        }
    }
}

fn days_from(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}
