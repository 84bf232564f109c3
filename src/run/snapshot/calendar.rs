//! When things are planned and when they were done, day by day, and the windows in which steps may be started.

use serde::{Deserialize, Serialize};

use crate::cloud::Millis;

/// A step's place in the calendar.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarView {
    /// The date of its day, `2026-01-11`.
    pub date: String,
    /// Its windows, as the plan says them; empty when it may be started at any time.
    pub window: String,
    /// When its window opens on that date, and when it shuts again; `None` without a window, or when it does not open then.
    pub opens: Option<(Millis, Millis)>,
    /// When it was first started.
    pub began: Option<Millis>,
    /// When it was done; `None` while it is not.
    pub ended: Option<Millis>,
    /// How many days later than planned it was begun (less than 0: earlier), or how many it is late by now.
    pub slip_days: i64,
}

/// The window of the step that is next or goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowView {
    /// As the plan says it.
    pub text: String,
    /// Whether the step may be started now as far as that goes.
    pub open: bool,
    /// When it shuts, or opens.
    pub changes: Option<Millis>,
    /// Whether the step should end before it shuts; `None` while it is shut.
    pub fits: Option<bool>,
    /// All of it in one line, on the clocks of its zone.
    pub words: String,
}

/// The plan day by day. Times in words are on the clocks of its zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaysView {
    /// Whose clocks the days are counted on, such as `Europe/Berlin`.
    pub zone: String,
    /// Which day it is, in words, also before the first and after the last.
    pub today: String,
    /// Every day of the plan, in order.
    pub days: Vec<DayView>,
    /// The windows of its steps, each once.
    pub windows: Vec<OpeningView>,
    /// When it ends.
    pub end: EndView,
}

/// A day of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayView {
    /// Its number, from 1.
    pub day: u32,
    /// Its date, `2026-01-11`.
    pub date: String,
    /// Its day of the week, `Sun`.
    pub weekday: String,
    /// Whether that is today.
    pub today: bool,
    /// Indices of the phases that it belongs to.
    pub phases: Vec<usize>,
    /// Indices of its steps.
    pub steps: Vec<usize>,
    /// How many of its steps are done, or were left out.
    pub done: usize,
    /// How long its steps should take together.
    pub expected_ms: i64,
    /// When a window of its steps opens on that date, and when it shuts again, such as `22:00-04:00`; empty without one.
    pub hours: String,
    /// When the first of its steps was started.
    pub began: Option<Millis>,
    /// When the last of them was done; `None` while one is not.
    pub ended: Option<Millis>,
    /// Both in words, with the date where it is not the planned one; empty before the first was started.
    pub actual: String,
    /// The same in one short word: `begun`, `done`, or the date on which the last was done where that is not the planned one.
    pub actual_short: String,
    /// How many days later than planned the latest of its steps was begun (less than 0: all of them earlier), or is by now.
    pub slip_days: i64,
}

/// Windows that steps share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpeningView {
    /// As the plan says them.
    pub text: String,
    /// Indices of the steps that they are for.
    pub steps: Vec<usize>,
    /// How many of these are still to come.
    pub left: usize,
    /// Whether one of them is open now.
    pub open: bool,
    /// When they open next, also while one is open; `None` when they do not in the next two weeks.
    pub opens: Option<Millis>,
    /// When they shut; `None` while they are shut.
    pub shuts: Option<Millis>,
    /// All of it in one line.
    pub words: String,
}

/// When the run ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// The date of the plan's last day.
    pub planned: String,
    /// When it ended.
    pub ended: Option<Millis>,
    /// When it ends at the earliest: every step takes as long as it should, none begins before its day or outside its
    /// windows, and what is late is caught up with. `None` when it has ended, goes back, or a window never opens.
    pub earliest: Option<Millis>,
    /// How many days after the planned date that is.
    pub slip_days: i64,
    /// All of it in one line.
    pub words: String,
}
