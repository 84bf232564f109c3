//! When things are planned and when they were done, and the window in which a step may be started.

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
