//! The plan: what one plan file says, with every reference resolved and every quantity typed.
//!
//! Nothing here reads a file or a clock. [`load`] turns YAML into a [`Plan`] or into all the errors it
//! found at once. Things that are looked up while a run goes on (monitors, steps, conditions) are numbered
//! by their place in the plan's vectors, so that the hot path never compares strings.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::about::About;
pub use self::action::{
    Action, Edit, Expect, HealthCheck, Item, RecordKey, Records, Replacement, Request, Script, Shift, StackAction, StackChange,
    StandIn, Switch, Want,
};
pub use self::dns::{DnsServer, DnsSource, DnsTarget, DnsType, ZoneServers};
pub use self::drill::{
    Database, DrillHealthCheck, DrillMetric, DrillSwitch, DrillWorld, Fault, FaultAt, FaultKind, Lost, Opening, Scenario,
};
pub use self::heartbeat::{Heartbeat, HeartbeatTo};
pub use self::math::Math;
pub use self::quantity::{Quantity, Unit, format_ms};
pub use self::record::{AliasTarget, RecordSet};
pub use self::text::{Part, Text};
pub use self::window::Window;

pub mod about;
pub mod action;
pub mod claims;
pub mod dns;
pub mod drill;
pub mod heartbeat;
pub mod lint;
pub mod load;
pub mod math;
pub mod quantity;
pub mod record;
pub mod text;
pub mod window;

/// The number of a monitor: its index in [`Plan::monitors`].
pub type MonitorId = usize;
/// The number of a condition: its index in [`Plan::conditions`].
pub type ConditionId = usize;
/// The number of a step: its index in [`Plan::steps`].
pub type StepId = usize;

/// Where Route 53's control plane is (rule 5).
pub const ROUTE53_REGION: &str = "us-east-1";

/// SHA-256 in hex: how files, templates and scripts are told from others.
#[must_use]
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// One plan file, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Short name, `[a-z0-9-]+`; also how a built-in plan is called on the command line.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// The AWS account (12 digits) the plan belongs to; a live run refuses any other.
    pub account: String,
    /// Length of the plan in days; days are numbered from 1.
    pub days: u32,
    /// The regions that take part, in the order of the file.
    pub regions: Vec<Region>,
    /// What the migration promises.
    pub objectives: Objectives,
    /// How downtime is measured.
    pub availability: Availability,
    /// The record that carries the users' traffic, and how it is observed.
    pub traffic: Option<Traffic>,
    /// The vantage points that the plan declares, in the order of the file; `local` is not among them.
    pub vantages: Vec<Vantage>,
    /// What is called while the engine of a live run lives.
    pub heartbeat: Option<Heartbeat>,
    /// Everything observed, in the order of the file.
    pub monitors: Vec<Monitor>,
    /// Every condition of every gate, verify and soak.
    pub conditions: Vec<Condition>,
    /// The phases, in order.
    pub phases: Vec<Phase>,
    /// All steps in the order in which they run (file order, moved only where `needs` asks for it).
    pub steps: Vec<Step>,
    /// The named ways to safety, in the order of the file.
    pub rollbacks: Vec<Rollback>,
    /// Names of environment variables that scripts and requests may be given. Their values are never written down.
    pub secrets: Vec<String>,
    /// What it says beside its steps.
    pub about: About,
    /// How the simulated cloud looks before the plan starts. Live runs ignore it.
    pub drill: DrillWorld,
    /// The files the plan is made of, for the run's pin.
    pub manifest: Manifest,
}

/// The files that make up a plan and one hash over all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Path relative to the plan's folder, and the SHA-256 (hex) of the file's bytes, sorted by path.
    pub files: Vec<(String, String)>,
    /// SHA-256 (hex) over the list of files; the run is pinned to it.
    pub hash: String,
}

/// A region and the part it plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The AWS name, such as `eu-central-1`.
    pub name: String,
    /// `source`, `primary` or `secondary`.
    pub role: Role,
    /// What people call it, such as `Frankfurt`; the AWS name when the plan does not say.
    pub label: String,
}

/// The part a region plays in the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Where the traffic is before the plan starts.
    Source,
    /// Where the traffic shall be when the plan has ended.
    Primary,
    /// Takes part, but is neither of the two.
    Secondary,
}

/// What the migration promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objectives {
    /// Share of time the service must be up, in millionths (99.9 % is 999 000).
    pub availability_ppm: i64,
    /// Longest acceptable time to recover, in milliseconds.
    pub rto_ms: i64,
    /// Longest acceptable loss of data, in milliseconds.
    pub rpo_ms: i64,
}

/// How downtime is measured (rule 39).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Availability {
    /// So many vantage points must see a bad minute; more than half of them when the plan does not say.
    pub quorum: Option<usize>,
    /// How much of the error budget was spent before the run began, in milliseconds.
    pub burnt_ms: i64,
    /// The `http` monitors that see the service as users do, through DNS; that of [`Traffic::service`] when the plan does
    /// not say.
    pub service: Vec<MonitorId>,
    /// Region, and the `http` monitors that are pinned to it, past DNS.
    pub regions: Vec<(String, Vec<MonitorId>)>,
}

impl Availability {
    /// How many of so many vantage points are a quorum.
    #[must_use]
    pub fn quorum_of(&self, vantages: usize) -> usize {
        self.quorum.unwrap_or(vantages / 2 + 1)
    }

    /// Every monitor that downtime is measured with.
    pub fn monitors(&self) -> impl Iterator<Item = MonitorId> + '_ {
        self.service.iter().chain(self.regions.iter().flat_map(|(_, monitors)| monitors)).copied()
    }
}

/// The record set that carries users' traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Hosted zone id.
    pub zone: String,
    /// Record name without the final dot.
    pub record: String,
    /// Record type, `A` or `CNAME` mostly.
    pub kind: String,
    /// Set identifier → region it leads to, in the order of the file.
    pub targets: Vec<(String, String)>,
    /// Region → monitor that counts requests there: the traffic that is really *seen*.
    pub seen: Vec<(String, MonitorId)>,
    /// The `http` monitor that sees the service as users do, through DNS: the clock of an outage reads it.
    pub service: Option<MonitorId>,
}

/// A place from which `http` monitors measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vantage {
    /// Its key in the plan.
    pub name: String,
    /// What it is: a server in that country is not a person there (rule 38).
    pub is: String,
    /// The command that gives a clean pipe to `cutover probe --agent` there, program first; empty when the plan has none,
    /// and then nothing is measured from there in a live run.
    pub command: Vec<String>,
}

/// Something observed on a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    /// Its key in the plan.
    pub name: String,
    /// One line for people; the name when the plan does not say.
    pub title: String,
    /// What is observed.
    pub source: Source,
    /// The region it is read in, if it belongs to one.
    pub region: Option<String>,
    /// Interval while something depends on it, in milliseconds.
    pub every_ms: i64,
    /// Alert when breached.
    pub limit: Option<Limit>,
    /// A breach of the limit holds the run.
    pub holds: bool,
}

/// What a monitor observes.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Status of a CloudFormation stack.
    Stack {
        /// Stack name.
        stack: String,
    },
    /// A CloudWatch metric, or an expression of several.
    Metric(MetricSource),
    /// Whether a Route 53 health check is healthy, as CloudWatch tells it (rule 6), with what it makes of that itself.
    HealthCheck {
        /// Health check id.
        id: String,
        /// Its `HealthCheckStatus`: 1 healthy, 0 not.
        status: MetricSource,
    },
    /// One HTTP request per interval.
    Http(HttpSource),
    /// What name servers answer when they are asked for a name.
    Dns(DnsSource),
}

/// A number that CloudWatch tells. `s3-replication` and `rds-replica` monitors become one as well, with their namespace and
/// dimensions filled in, the former also with the region that rule 14 asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSource {
    /// What CloudWatch is asked for.
    pub asks: Asks,
    /// Period in milliseconds (whole seconds, at least 60 000 for AWS's own metrics).
    pub period_ms: i64,
    /// What the numbers are; decides how they are read and shown.
    pub unit: Unit,
    /// How many millionths of the base unit (second, share, piece) one unit of the metric is:
    /// 1 000 000 for seconds and counts, 1 000 for milliseconds, 10 000 for percent.
    pub scale: i64,
    /// True for `s3-replication` latency: an absent value is "no data", never zero.
    pub replication: bool,
    /// True where no data means zero (failed operations, rule 14).
    pub absent_is_zero: bool,
}

impl Source {
    /// What CloudWatch is asked for, where it is.
    #[must_use]
    pub fn metric(&self) -> Option<&MetricSource> {
        match self {
            Source::Metric(metric) | Source::HealthCheck { status: metric, .. } => Some(metric),
            Source::Stack { .. } | Source::Http(_) | Source::Dns(_) => None,
        }
    }
}

impl MetricSource {
    /// The metrics that are asked for, each with the name it has in an expression; a metric by itself has none. Each of
    /// them is billed.
    pub fn metrics(&self) -> impl Iterator<Item = (Option<&str>, &Metric)> {
        let (one, inputs) = match &self.asks {
            Asks::Metric(metric) => (Some((None, metric)), [].as_slice()),
            Asks::Math(math) => (None, math.inputs.as_slice()),
        };
        one.into_iter().chain(inputs.iter().map(|(name, metric)| (Some(name.as_str()), metric)))
    }
}

/// What CloudWatch is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// A metric.
    Metric(Metric),
    /// What an expression makes of several.
    Math(Math),
}

/// A CloudWatch metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// For example `AWS/S3`.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Dimensions, sorted by name.
    pub dimensions: Vec<(String, String)>,
    /// CloudWatch statistic, such as `Maximum`, `Sum`, `p95`.
    pub stat: String,
}

/// One HTTP request per interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSource {
    /// `http://` or `https://` URL.
    pub url: String,
    /// Connect here (`host:port`) instead of where DNS says; TLS name and Host header stay the URL's.
    pub connect_to: Option<String>,
    /// Expected status; 200 when the plan does not say.
    pub status: u16,
    /// Time-out of the whole request in milliseconds.
    pub timeout_ms: i64,
    /// Which part of the request the latency statistics are about.
    pub measure: Measure,
    /// Vantage point; `local` is the machine the engine runs on.
    pub from: String,
    /// Whether every request has a connection of its own.
    pub connection: Connection,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// Which addresses of the host are tried.
    pub family: Family,
}

/// Whether every request has a connection of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// A first visit each time: name, connect, handshake.
    #[default]
    Fresh,
    /// The next request of somebody who is there already; a new connection only when the old one is gone or busy.
    Kept,
}

/// The version of HTTP that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// What the server chooses in the TLS handshake; HTTP/1.1 without TLS.
    #[default]
    Any,
    /// HTTP/1.1.
    #[serde(rename = "http1.1")]
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
}

/// Which addresses of a host are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// All of them, IPv4 first.
    #[default]
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// Which part of an HTTP request is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// TCP connect: the network.
    Connect,
    /// From the request's first byte sent to the answer's first byte: the service.
    FirstByte,
    /// Everything: DNS, connect, TLS, answer.
    Total,
}

/// An alert limit of a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Statistic over the last minute (or three intervals, whichever is longer).
    pub stat: Stat,
    /// Breached when the statistic is above this.
    pub above: Quantity,
}

/// A statistic over a window of samples; percentiles are nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stat {
    /// Newest sample.
    Last,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Mean.
    Avg,
    /// Sum.
    Sum,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    P99,
    /// Share of failed probes in millionths.
    Errors,
}

/// A monitor, a statistic and a limit, and how long it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What is read.
    pub monitor: MonitorId,
    /// What must be true of it.
    pub test: Test,
    /// Statistics are taken over samples no older than this, in milliseconds.
    pub over_ms: i64,
    /// It must have held without a break for this long, in milliseconds (0: at once).
    pub for_ms: i64,
    /// At least this many samples while it held.
    pub samples: u32,
}

/// What a condition tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// The monitor's state is this word.
    Is(State),
    /// The statistic is strictly below the limit.
    Below(Stat, Quantity),
    /// The statistic is strictly above the limit.
    Above(Stat, Quantity),
}

/// The state words that `is:` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A stack is usable and its last change succeeded; a probe's last three requests were answered as expected.
    Healthy,
    /// A stack is not there.
    Absent,
}

/// A stretch of days with steps in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Its key.
    pub id: String,
    /// One line for people.
    pub title: String,
    /// First day, from 1.
    pub first_day: u32,
    /// Last day, inclusive.
    pub last_day: u32,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its key, unique in the plan; that of a rollback's step is `ROLLBACK/STEP`.
    pub id: String,
    /// Index of its phase.
    pub phase: usize,
    /// The day it belongs to, from 1.
    pub day: u32,
    /// One line for people.
    pub title: String,
    /// Why, or what to mind; may be empty.
    pub note: String,
    /// What it does.
    pub action: Action,
    /// When it may be started: its own windows, else its phase's; empty when at any time. Those of a rollback have none.
    pub windows: Vec<Window>,
    /// Must hold before it starts.
    pub gate: Vec<ConditionId>,
    /// Must hold before it counts as done.
    pub verify: Vec<ConditionId>,
    /// How it is taken back.
    pub undo: Undo,
    /// How long it should take, in milliseconds.
    pub expected_ms: i64,
    /// Who answers for it; may be empty.
    pub owner: String,
    /// Steps that must be done before this one.
    pub needs: Vec<StepId>,
    /// Control planes the action needs, such as `us-east-1` for Route 53 (rule 5).
    pub control_planes: Vec<String>,
    /// How many different people it takes to start it behind a gate that is not open.
    pub override_people: u32,
    /// What stands for it in a drill, where its action is a script or a request.
    pub stand_in: StandIn,
    /// The parts of the plan that it belongs to, by their number in [`About::parts`].
    pub parts: Vec<usize>,
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// By the inverse of what it changed.
    Auto,
    /// It changes nothing that would need one (approvals, checklists, soaks).
    Nothing,
    /// It cannot be taken back; the reason.
    OneWay(String),
    /// By hand or by a rollback; how.
    Manual(String),
    /// By a script of the plan.
    Script(Box<UndoScript>),
}

/// A script that takes a step back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoScript {
    /// The script, as an action.
    pub action: Action,
    /// What stands for it in a drill.
    pub stand_in: StandIn,
}

/// A named way to safety.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// Its key in the plan.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Key on the screen, `1`–`9`.
    pub key: Option<char>,
    /// The region it leads to.
    pub to: String,
    /// It applies once this step has started.
    pub after: Option<StepId>,
    /// It applies until this long after that step started, in milliseconds.
    pub until_ms: Option<i64>,
    /// What is as before when it has run, in words.
    pub restores: String,
    /// How long it should take, in milliseconds.
    pub expected_ms: i64,
    /// Replication back to the region it leads to: without it, what was written elsewhere would stay behind. Asked
    /// for as soon as traffic was sent elsewhere.
    pub replication: Vec<MonitorId>,
    /// It begins by itself when all of these hold and it is armed; empty when only a person may begin it.
    pub auto: Vec<ConditionId>,
    /// What it does, in order. Gates and verifies as with any step; `needs` and `undo` are empty.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The step with this id.
    #[must_use]
    pub fn step_named(&self, id: &str) -> Option<StepId> {
        self.steps.iter().position(|s| s.id == id)
    }

    /// The monitor with this name.
    #[must_use]
    pub fn monitor_named(&self, name: &str) -> Option<MonitorId> {
        self.monitors.iter().position(|m| m.name == name)
    }

    /// What people call a region; its AWS name when the plan has no label for it.
    #[must_use]
    pub fn region_label<'a>(&'a self, name: &'a str) -> &'a str {
        self.regions.iter().find(|r| r.name == name).map_or(name, |r| r.label.as_str())
    }

    /// Whose clocks the calendar of a run is read on: that of the first window, UTC in a plan without any.
    #[must_use]
    pub fn zone(&self) -> jiff::tz::TimeZone {
        self.steps.iter().flat_map(|s| &s.windows).next().map_or(jiff::tz::TimeZone::UTC, |w| w.zone.clone())
    }

    /// The downtime that the availability objective leaves over the whole plan, in milliseconds (rule 26).
    #[must_use]
    pub fn downtime_budget_ms(&self) -> i64 {
        let whole = i64::from(self.days) * 86_400_000;
        whole / 1_000_000 * (1_000_000 - self.objectives.availability_ppm)
            + whole % 1_000_000 * (1_000_000 - self.objectives.availability_ppm) / 1_000_000
    }
}

impl RecordSet {
    /// Name, type and set identifier.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        RecordKey { name: self.name.clone(), kind: self.kind.clone(), set: self.set.clone() }
    }
}
