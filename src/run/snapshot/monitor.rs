//! A monitor as a cockpit sees it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Freshness, Level, ServerView};
use crate::plan::{Quantity, Unit};
pub use crate::run::history::{History, Point, Sample};

/// A monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorView {
    /// Name.
    pub name: String,
    /// Title.
    pub title: String,
    /// Region, if it belongs to one.
    pub region: Option<String>,
    /// Kind: `stack`, `metric`, `health-check`, `http`, `dns`.
    pub kind: String,
    /// Newest value for people; for probes median and 95th percentile, for names how many servers moved.
    pub value: String,
    /// What is behind the value, such as the newest event of a stack that moves; may be empty.
    #[serde(default)]
    pub detail: String,
    /// Freshness.
    pub freshness: Freshness,
    /// Gravity of the value against the monitor's limit.
    pub level: Level,
    /// Age of the newest reading.
    pub age_ms: Option<i64>,
    /// The limit, such as `p95 < 20ms`; empty when there is none.
    pub limit: String,
    /// Newest numbers, oldest first, at most 60, in millionths; a failed probe is `None`.
    pub spark: Vec<Option<i64>>,
    /// The limit in millionths, where it is about the numbers themselves: a share of failures is not.
    #[serde(default)]
    pub limit_at: Option<i64>,
    /// What its numbers measure.
    pub unit: Unit,
    /// What each name server of a `dns` monitor said.
    #[serde(default)]
    pub servers: Vec<ServerView>,
    /// For charts. Shared and not copied, and not part of what is written as JSON.
    #[serde(skip)]
    pub chart: ChartView,
}

impl MonitorView {
    /// A number of this monitor for people.
    #[must_use]
    pub fn show(&self, micros: i64) -> String {
        Quantity { micros, unit: self.unit }.to_string()
    }
}

/// What a chart of one monitor is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChartView {
    /// The samples that gates read, oldest first.
    pub samples: Arc<VecDeque<Sample>>,
    /// What was before.
    pub past: Arc<History>,
}
