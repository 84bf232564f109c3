//! What only drills look at: the simulated world before the plan starts, and what goes wrong in it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Condition, MonitorId, Quantity, RecordSet, StepId, Unit, format_ms};

/// The simulated world before the plan starts, and how a bare drill begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrillWorld {
    /// What the zones hold.
    pub records: Vec<(String, RecordSet)>,
    /// Health checks that exist.
    pub health_checks: Vec<DrillHealthCheck>,
    /// Stacks that exist: region, name, status.
    pub stacks: Vec<(String, String, String)>,
    /// Users' requests per second.
    pub requests_per_second: u32,
    /// Vantage point → region → round trip in microseconds.
    pub latency: BTreeMap<String, BTreeMap<String, i64>>,
    /// What each `metric` monitor reads.
    pub metrics: BTreeMap<MonitorId, DrillMetric>,
    /// Metrics that nobody publishes before a step has enabled them: from a quarter of an hour after it on (rule 14).
    pub metrics_after: BTreeMap<MonitorId, StepId>,
    /// How long one stack operation takes, in milliseconds, when the plan does not say per stack.
    pub stack_ms: i64,
    /// The working tree that `edit` steps change: path and text of each file, sorted by path.
    pub files: Vec<(String, String)>,
    /// How a bare interactive drill begins.
    pub opening: Option<Opening>,
}

/// A Route 53 health check. It is unhealthy while anything that it follows fails; `inverted` turns that round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrillHealthCheck {
    /// Its id.
    pub id: String,
    /// It probes the service in this region.
    pub endpoint: Option<String>,
    /// It follows a metric that somebody writes: the data-plane switch.
    pub switch: Option<DrillSwitch>,
    /// `Disabled`: it counts as always healthy (rule 1).
    pub disabled: bool,
    /// `Inverted` (rule 2).
    pub inverted: bool,
}

/// The metric that a health check follows, and the value that makes it fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillSwitch {
    /// Region of the metric.
    pub region: String,
    /// Namespace.
    pub namespace: String,
    /// Metric name.
    pub metric: String,
    /// Dimensions, sorted by name.
    pub dimensions: Vec<(String, String)>,
    /// The check fails at this value, in millionths, and above.
    pub fails_at: i64,
}

/// What a `metric` monitor reads in a drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DrillMetric {
    /// Requests per minute that arrive in a region.
    Requests(String),
    /// Share of requests that fail in a region.
    Errors(String),
    /// Replication lag, with its usual value in microseconds; faults raise it.
    Lag(i64),
    /// `ReplicaLag` of a read replica (rule 16).
    ReplicaLag {
        /// Its usual value in microseconds.
        usual_us: i64,
        /// What it says when it does not replicate.
        database: Database,
        /// Nothing is written to the primary: `PostgreSQL`'s lag then drifts up to five minutes.
        idle: bool,
    },
    /// What waits to be replicated: grows with the lag of another monitor.
    Pending {
        /// The monitor that reads the lag.
        behind: MonitorId,
        /// How many arrive per second, in millionths.
        per_second: i64,
    },
    /// `HealthCheckStatus` of a health check: 1 healthy, 0 not; published in us-east-1 only (rule 33).
    HealthCheck(String),
    /// A constant, in millionths of the base unit.
    Value(i64),
}

/// What a database says of a replica that does not replicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// `MySQL` and `MariaDB`: -1.
    Mysql,
    /// `PostgreSQL`: the age of the last replayed transaction, which grows.
    Postgresql,
}

/// How a bare interactive drill begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The scenario's name.
    pub scenario: String,
    /// The step that is next when the person takes over; everything before is done by the simulator.
    pub until: StepId,
    /// Virtual seconds per real second.
    pub speed: u32,
}

/// A drill's script: what goes wrong, and what should come of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scenario {
    /// Its name; the file's stem.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// What the drill is meant to show.
    pub hypothesis: String,
    /// What normal looks like: all of it must hold when the first fault begins, or the drill shows nothing.
    pub steady_state: Vec<Condition>,
    /// What goes wrong and when.
    pub faults: Vec<Fault>,
    /// The drill is given up when any of these holds.
    pub abort: Vec<Condition>,
    /// The outcome that the hypothesis predicts: `completed`, `rolled_back` or `held`.
    pub expect: String,
    /// The rollback that it predicts; any when not said.
    pub expect_rollback: Option<String>,
    /// Users are served again within this time, in milliseconds.
    pub expect_rto_ms: Option<i64>,
    /// SHA-256 (hex) of the file; part of a drill's genesis.
    pub hash: String,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: FaultAt,
    /// How long it lasts in milliseconds; for good when not said.
    pub for_ms: Option<i64>,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// When a fault begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAt {
    /// Milliseconds after the start of the run.
    Elapsed(i64),
    /// Milliseconds after the first mutating call of this step was accepted, or after it started if it makes none.
    Step(StepId, i64),
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A region answers nothing: probes fail, its share of requests fails.
    RegionDown(String),
    /// Replication lag of a monitor rises to this many microseconds.
    Lag(MonitorId, i64),
    /// A region's control plane answers nothing; in us-east-1 that is Route 53's as well (rule 5). Its data plane goes on.
    ControlPlaneAway(String),
    /// What a monitor watches is not replicated any more: its lag grows.
    ReplicationStopped(MonitorId),
    /// A region answers badly.
    Brownout {
        /// Region.
        region: String,
        /// Share of requests that fail, in millionths.
        errors_ppm: i64,
        /// By how much the others are slower, in microseconds.
        latency_us: i64,
    },
    /// The next creation or update of a stack fails (rule 20).
    StackFails {
        /// Region.
        region: String,
        /// Stack name.
        stack: String,
    },
    /// Calls and queries are refused because there are too many.
    Throttle {
        /// Share of them, in millionths.
        share_ppm: i64,
    },
    /// Of mutating calls no answer comes.
    LoseAnswers {
        /// Share of them, in millionths.
        share_ppm: i64,
        /// What is lost on its way.
        lost: Lost,
    },
    /// Mutating calls take effect and are answered later than anybody waits.
    LateAnswers {
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// The credentials expire; somebody has logged in again when the fault ends (rule 31).
    CredentialsExpire {
        /// How long before it is known at the latest, in milliseconds.
        notice_ms: i64,
    },
    /// Somebody changes a weight through the console, once.
    ThirdPartyEdit {
        /// Hosted zone id.
        zone: String,
        /// Record name.
        record: String,
        /// Set identifier.
        set: String,
        /// The weight that it gets.
        weight: u8,
    },
}

/// What of a call is lost on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lost {
    /// The request: it was never applied.
    Request,
    /// The answer: it was applied.
    Answer,
    /// One or the other.
    #[default]
    Either,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |micros: i64| Quantity { micros, unit: Unit::Share };
        match self {
            FaultKind::RegionDown(region) => write!(f, "{region} down"),
            FaultKind::Lag(_, micros) => write!(f, "lag {}s", micros / 1_000_000),
            FaultKind::ControlPlaneAway(region) => write!(f, "control plane of {region} away"),
            FaultKind::ReplicationStopped(_) => f.write_str("replication stopped"),
            FaultKind::Brownout { region, errors_ppm, latency_us } => {
                write!(f, "{region} answers badly: {} fail, {} slower", share(*errors_ppm), format_ms(latency_us / 1_000))
            }
            FaultKind::StackFails { region, stack } => write!(f, "the next change of stack {stack} in {region} fails"),
            FaultKind::Throttle { share_ppm } => write!(f, "{} of calls and queries throttled", share(*share_ppm)),
            FaultKind::LoseAnswers { share_ppm, lost } => match lost {
                Lost::Request => write!(f, "{} of calls lost", share(*share_ppm)),
                Lost::Answer => write!(f, "answers of {} of calls lost", share(*share_ppm)),
                Lost::Either => write!(f, "{} of calls or their answers lost", share(*share_ppm)),
            },
            FaultKind::LateAnswers { by_ms } => write!(f, "calls late by {}", format_ms(*by_ms)),
            FaultKind::CredentialsExpire { .. } => f.write_str("credentials expire"),
            FaultKind::ThirdPartyEdit { record, set, weight, .. } => {
                write!(f, "somebody gives {set} of {record} the weight {weight}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_older_journals_hold_keep_their_form() {
        for (kind, text) in [
            (FaultKind::RegionDown("eu-west-1".into()), r#"{"region-down":"eu-west-1"}"#),
            (FaultKind::Lag(3, 17), r#"{"lag":[3,17]}"#),
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), text);
            assert_eq!(serde_json::from_str::<FaultKind>(text).unwrap(), kind);
        }
        assert_eq!(FaultKind::RegionDown("eu-west-1".into()).to_string(), "eu-west-1 down");
    }
}
