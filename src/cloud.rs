//! The seam between the run core and the world: what may be asked of a backend and what it answers.
//!
//! The core only ever builds these values; a backend (AWS, or the simulated cloud) performs them and hands
//! the answers back as events. Both backends speak exactly this language, which is why a drill exercises
//! the same code as a live run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::plan::{Action, Asks, Expect, MetricSource, MonitorId, Plan, ROUTE53_REGION, RecordSet, Source, Text};

/// Unix time in milliseconds. In a drill it is virtual.
pub type Millis = i64;

/// Something that changes the world. An intent carrying it is durable before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    /// Route 53 `ChangeResourceRecordSets`: all or nothing, and because every record that is replaced is
    /// named in `delete` exactly as it was read, a compare-and-swap (rule 10).
    ChangeRecords {
        /// Hosted zone id.
        zone: String,
        /// The record sets as they were read.
        delete: Vec<RecordSet>,
        /// The record sets as they shall be.
        create: Vec<RecordSet>,
    },
    /// CloudFormation `CreateChangeSet`.
    CreateChangeSet {
        /// Region.
        region: String,
        /// Stack name.
        stack: String,
        /// Name of the change set.
        change_set: String,
        /// Whether the stack is new (then the change set type is CREATE).
        create: bool,
        /// SHA-256 (hex) of the template; its text comes with the effect and stays out of the journal.
        template_sha256: String,
        /// Parameters.
        parameters: Vec<(String, String)>,
        /// Capabilities.
        capabilities: Vec<String>,
    },
    /// CloudFormation `ExecuteChangeSet`.
    ExecuteChangeSet {
        /// Region.
        region: String,
        /// Stack name.
        stack: String,
        /// Name of the change set.
        change_set: String,
    },
    /// CloudFormation `DeleteStack`.
    DeleteStack {
        /// Region.
        region: String,
        /// Stack id if known, else its name (a deleted stack is found by its id only, rule 21).
        stack: String,
    },
    /// Route 53 `UpdateHealthCheck` of `Inverted` (never `Disabled`, which counts as healthy: rule 1). The version
    /// makes it a compare-and-swap (rule 34).
    UpdateHealthCheck {
        /// Health check id.
        id: String,
        /// `HealthCheckVersion` as it was read.
        version: i64,
        /// What `Inverted` shall be.
        inverted: bool,
    },
    /// CloudWatch `PutMetricData` of one value: the data-plane switch, which a health check made beforehand watches
    /// (rule 5). The same value again changes nothing.
    PutMetric {
        /// Region.
        region: String,
        /// Namespace.
        namespace: String,
        /// Metric name.
        metric: String,
        /// Dimensions, sorted by name.
        dimensions: Vec<(String, String)>,
        /// Value in millionths.
        value: i64,
    },
    /// A bash script of the plan, on the machine of the engine.
    RunScript {
        /// The job it belongs to, by name.
        job: String,
        /// SHA-256 (hex) of the script; its text comes with the effect and stays out of the journal.
        script_sha256: String,
        /// What it is given in its environment.
        env: Vec<(String, String)>,
        /// Names of the secrets that it is given; their values are in no journal.
        secrets: Vec<String>,
        /// Names of the values that it may give for later steps.
        outputs: Vec<String>,
        /// How long it may take, in milliseconds.
        timeout_ms: i64,
        /// How long it has between TERM and KILL, in milliseconds.
        grace_ms: i64,
    },
    /// Replacements in a file of the working tree: a compare-and-swap of its whole content.
    EditFile {
        /// Path relative to the working tree.
        file: String,
        /// SHA-256 (hex) of the file as it was read.
        before: String,
        /// SHA-256 (hex) of the file as it shall be.
        after: String,
        /// The replacements, in order: each one's place counts in the text that the ones before it leave.
        splices: Vec<Splice>,
    },
    /// An HTTP request of the plan.
    MakeRequest {
        /// The job it belongs to, by name.
        job: String,
        /// The request, with everything but the secrets filled in.
        request: HttpCall,
    },
}

/// One replacement in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    /// Where, in bytes.
    pub at: usize,
    /// What is there.
    pub old: String,
    /// What shall be there.
    pub new: String,
}

/// A text after replacements; `None` where it is another text than the one they were made for.
#[must_use]
pub fn spliced(text: &str, splices: &[Splice]) -> Option<String> {
    let mut text = text.to_owned();
    for Splice { at, old, new } in splices {
        let end = at.checked_add(old.len())?;
        if text.get(*at..end)? != old {
            return None;
        }
        text.replace_range(*at..end, new);
    }
    Some(text)
}

/// An HTTP request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCall {
    /// Method.
    pub method: String,
    /// URL.
    pub url: String,
    /// Connect here (`host:port`) instead of where DNS says.
    pub connect_to: Option<String>,
    /// Header fields; secrets have their places in them.
    pub headers: Vec<(String, Text)>,
    /// Body; secrets have their places in it.
    pub body: Option<Text>,
    /// Time-out of one request in milliseconds.
    pub timeout_ms: i64,
    /// It is made again for so long until its answer is as expected, in milliseconds; 0 for one that may change something.
    pub retry_ms: i64,
    /// What the answer must be like.
    pub expect: Expect,
    /// Values for later steps: name, and JSON path in the answer.
    pub outputs: Vec<(String, String)>,
}

impl Call {
    /// The service's own name of the operation.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Call::ChangeRecords { .. } => "route53 ChangeResourceRecordSets",
            Call::CreateChangeSet { .. } => "cloudformation CreateChangeSet",
            Call::ExecuteChangeSet { .. } => "cloudformation ExecuteChangeSet",
            Call::DeleteStack { .. } => "cloudformation DeleteStack",
            Call::UpdateHealthCheck { .. } => "route53 UpdateHealthCheck",
            Call::PutMetric { .. } => "cloudwatch PutMetricData",
            Call::RunScript { .. } => "script",
            Call::EditFile { .. } => "edit",
            Call::MakeRequest { .. } => "request",
        }
    }

    /// True for what the engine does on its own machine: no region has to answer for it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self, Call::RunScript { .. } | Call::EditFile { .. } | Call::MakeRequest { .. })
    }

    /// The region that must answer for this call to be taken; empty for a local one.
    #[must_use]
    pub fn region(&self) -> &str {
        match self {
            Call::RunScript { .. } | Call::EditFile { .. } | Call::MakeRequest { .. } => "",
            Call::ChangeRecords { .. } | Call::UpdateHealthCheck { .. } => ROUTE53_REGION,
            Call::CreateChangeSet { region, .. }
            | Call::ExecuteChangeSet { region, .. }
            | Call::DeleteStack { region, .. }
            | Call::PutMetric { region, .. } => region,
        }
    }

    /// The region of the control plane that must be up for this call (rule 5); `None` for a call to a data plane and for a
    /// local one.
    #[must_use]
    pub fn control_plane(&self) -> Option<&str> {
        (!matches!(self, Call::PutMetric { .. }) && !self.is_local()).then(|| self.region())
    }

    /// True for a call that moves users' traffic and deletes nothing: in a rollback it is never gated, and it goes on
    /// when the journal cannot be written.
    #[must_use]
    pub fn moves_traffic(&self) -> bool {
        matches!(self, Call::ChangeRecords { .. } | Call::UpdateHealthCheck { .. } | Call::PutMetric { .. })
    }
}

/// What an accepted call gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Route 53 change id, CloudFormation change set or stack id; empty where the service gives none.
    pub id: String,
    /// What a script or a request gave for later steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

impl Receipt {
    /// A receipt that is an id alone.
    #[must_use]
    pub fn of(id: String) -> Receipt {
        Receipt { id, outputs: BTreeMap::new() }
    }
}

/// Something that only reads. Also the key under which the engine remembers that it is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// All record sets of one name, of every type.
    Records {
        /// Hosted zone id.
        zone: String,
        /// Name without the final dot.
        name: String,
    },
    /// Route 53 `GetChange`.
    Change {
        /// Change id.
        id: String,
    },
    /// CloudFormation `DescribeStacks` of one stack.
    Stack {
        /// Region.
        region: String,
        /// Name or id.
        stack: String,
    },
    /// CloudFormation `DescribeStackEvents`, newest first: those newer than `after`; without it the newest hundred.
    StackEvents {
        /// Region.
        region: String,
        /// Name or id.
        stack: String,
        /// Id of the newest event that is known: nothing is read beyond it (rule 21).
        after: Option<String>,
    },
    /// CloudFormation `DescribeChangeSet`.
    ChangeSet {
        /// Region.
        region: String,
        /// Stack name.
        stack: String,
        /// Change set name.
        change_set: String,
    },
    /// Route 53 `GetHealthCheck`.
    HealthCheck {
        /// Health check id.
        id: String,
    },
    /// A file of the working tree.
    File {
        /// Path relative to the working tree.
        file: String,
    },
    /// Whether a script has nothing left to do: its `done-if` ends with 0.
    DoneIf {
        /// The job it belongs to, by name.
        job: String,
        /// Text of the `done-if`.
        script: String,
        /// What it is given in its environment.
        env: Vec<(String, String)>,
        /// Names of the secrets that it is given.
        secrets: Vec<String>,
    },
    /// Until when the credentials are valid. Asks the credentials provider, not a service, unless it has to refresh.
    Credentials,
    /// Read every monitor of one group (see [`poll_groups`]).
    Poll(usize),
}

/// What a query gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Answer to [`Query::Records`], sorted.
    Records(Vec<RecordSet>),
    /// Answer to [`Query::Change`]: whether the zone's own servers have it (`INSYNC`, rule 7).
    Change {
        /// True for `INSYNC`.
        in_sync: bool,
    },
    /// Answer to [`Query::Stack`]; `None` when there is no such stack.
    Stack(Option<StackInfo>),
    /// Answer to [`Query::StackEvents`], newest first.
    StackEvents(Vec<StackEvent>),
    /// Answer to [`Query::ChangeSet`]; `None` when there is no such change set.
    ChangeSet(Option<ChangeSetInfo>),
    /// Answer to [`Query::HealthCheck`].
    HealthCheck(HealthCheckInfo),
    /// Answer to [`Query::File`]: its text.
    File(String),
    /// Answer to [`Query::DoneIf`].
    DoneIf(bool),
    /// Answer to [`Query::Credentials`].
    Credentials {
        /// When they expire; `None` when they do not, or nobody knows.
        expires: Option<Millis>,
    },
    /// Answer to [`Query::Poll`].
    Readings(Vec<(MonitorId, Reading)>),
    /// Answer to [`Query::Poll`] of stacks: their statuses, and what else was seen of those that are there.
    Stacks(Vec<(MonitorId, Reading)>, Vec<StackSight>),
}

/// A health check as Route 53 describes it. Whether it is healthy is read from CloudWatch (rule 6), not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckInfo {
    /// `HealthCheckVersion`: it grows with every change.
    pub version: i64,
    /// `Inverted` (rule 2).
    pub inverted: bool,
    /// `Disabled`: it counts as always healthy (rule 1).
    pub disabled: bool,
}

/// The word for a health check that says itself that its endpoint answers: the only one that opens a gate.
pub const CHECK_HEALTHY: &str = "healthy";
/// The word for a health check that checks nothing.
pub const CHECK_DISABLED: &str = "disabled: counts as healthy";
/// How often it is read at most what a health check makes of its endpoint's status, in milliseconds. It changes when
/// somebody changes it, and its status is read every minute beside that.
pub const CHECK_EVERY_MS: i64 = 180_000;

impl HealthCheckInfo {
    /// What a status that CloudWatch tells of this check means (rules 1 and 2). The status is what Route 53 goes by, so
    /// behind an inverted one the endpoint does the opposite.
    #[must_use]
    pub fn word(self, healthy: bool) -> &'static str {
        match (self.disabled, self.inverted, healthy) {
            (true, ..) => CHECK_DISABLED,
            (_, false, true) => CHECK_HEALTHY,
            (_, false, false) => "unhealthy",
            (_, true, true) => "healthy (inverted: the endpoint fails)",
            (_, true, false) => "unhealthy (inverted: the endpoint answers)",
        }
    }
}

/// A stack as CloudFormation describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackInfo {
    /// Stack id (ARN).
    pub id: String,
    /// Status word, such as `CREATE_COMPLETE`.
    pub status: String,
    /// CloudFormation's reason; may be empty.
    pub reason: String,
    /// Its outputs, sorted by name.
    pub outputs: Vec<(String, String)>,
}

/// What a poll sees of a stack beside its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSight {
    /// Whose stack it is.
    pub monitor: MonitorId,
    /// Stack id (ARN).
    pub id: String,
    /// When it was created or updated last.
    pub updated: Option<Millis>,
}

/// One stack event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackEvent {
    /// Event id.
    pub id: String,
    /// When.
    pub at: Millis,
    /// Logical id of the resource.
    pub logical_id: String,
    /// Resource type.
    pub resource_type: String,
    /// Status word.
    pub status: String,
    /// Reason; may be empty.
    pub reason: String,
    /// True when it is about the stack itself and not about a resource in it.
    pub own: bool,
    /// Physical id of the resource: of a nested stack its stack id. Empty before there is one.
    pub physical_id: String,
    /// `ClientRequestToken` of the operation that it belongs to (rule 22); empty when it came without.
    pub token: String,
}

/// A change set as CloudFormation describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSetInfo {
    /// Status word, such as `CREATE_COMPLETE`.
    pub status: String,
    /// CloudFormation's reason; may be empty.
    pub reason: String,
    /// True when it was never executed and can be.
    pub executable: bool,
    /// True when it failed only because there is nothing to change (rule 35).
    pub no_changes: bool,
    /// What would change.
    pub changes: Vec<ResourceChange>,
}

/// One line of a change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// `Add`, `Modify`, `Remove`, `Import`, `Dynamic`.
    pub action: String,
    /// Logical id.
    pub logical_id: String,
    /// Resource type.
    pub resource_type: String,
    /// `True`, `False`, `Conditional` or empty (rule 18).
    pub replacement: String,
}

/// One observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// When the value was true, as its source says (not when it was fetched).
    pub at: Millis,
    /// What was seen.
    pub value: Value,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A number in millionths of the monitor's base unit; of a probe, its latency.
    Number(i64),
    /// A stack's status word; `ABSENT` when there is no such stack.
    Status(String),
    /// A probe that was made and did not succeed: a sample that counts as an error. The kind of failure.
    Failed(String),
    /// Nothing could be seen, and why: never a sample, never zero (rule 32).
    Missing(String),
    /// What each name server said. What number that is, the core says.
    Servers(Vec<ServerAnswer>),
}

/// What one name server said when it was asked for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAnswer {
    /// What the server is called.
    pub server: String,
    /// True for one of the zone's own, which answers with what is in sync and not with what it remembers.
    pub zone: bool,
    /// What it answered; `None` when it did not.
    pub answer: Option<String>,
    /// The region that the answer leads to, if it is one that the plan knows.
    pub region: Option<String>,
    /// How long its answer may still be kept, in seconds, as it said itself.
    pub ttl_s: Option<u32>,
    /// Why there is no answer, or no region.
    pub trouble: Option<String>,
}

/// Why a call or query gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it means for the caller.
    pub kind: FailureKind,
    /// The service's code and message, without secrets.
    pub message: String,
}

/// How the message of a failure begins whose call never left the engine.
pub const NOT_SENT: &str = "not sent: ";

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The service refused it for good: certainly not applied, and asking again will not help.
    Refused,
    /// Too fast, or another change is still going on: certainly not applied, ask again later.
    Throttled,
    /// Credentials expired or missing: certainly not applied; a human has to log in (rule 31).
    Credentials,
    /// Could not even connect: certainly not applied.
    Unreachable,
    /// No answer, a broken answer, or an error on the service's side: it may have been applied (rule 30).
    Unknown,
}

/// The number of a call within a run, from 1.
pub type CallId = u64;

/// What the core wants done. Effects are released only when every entry before them is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "an effect lives for a moment, and most are small")]
pub enum Effect {
    /// Read something.
    Ask(Query),
    /// Change something.
    Send {
        /// Which intent this is.
        id: CallId,
        /// Which sending of it this is, counted from 1; the answer says so too.
        sending: u32,
        /// Idempotency token: a hash of run, step, attempt and ordinal.
        token: String,
        /// What to send.
        call: Call,
        /// The text that belongs to the call and stays out of the journal: a template, a script.
        text: Option<String>,
    },
    /// End a script that nobody waits for any more. Its call is answered all the same.
    Stop {
        /// Which intent it is.
        id: CallId,
        /// Which sending of it is under way.
        sending: u32,
    },
}

/// Monitors that one request reads together: all stacks of a region, all metrics of a region, one probe, one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollGroup {
    /// The region; empty for probes and names.
    pub region: String,
    /// The monitors, by number.
    pub monitors: Vec<MonitorId>,
    /// What they are.
    pub kind: PollKind,
}

/// What a poll group reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollKind {
    /// `DescribeStacks` of a region.
    Stacks,
    /// `GetMetricData` of a region.
    Metrics,
    /// One HTTP probe.
    Probe,
    /// One name, asked of many servers.
    Dns,
}

impl PollKind {
    /// True for a call of the cloud's own API: it takes from its budget, and shows that the region answers.
    #[must_use]
    pub fn is_call(self) -> bool {
        matches!(self, PollKind::Stacks | PollKind::Metrics)
    }
}

/// The poll groups of a plan, always in the same order.
#[must_use]
pub fn poll_groups(plan: &Plan) -> Vec<PollGroup> {
    let mut groups: Vec<PollGroup> = Vec::new();
    for (id, monitor) in plan.monitors.iter().enumerate() {
        let region = monitor.region.clone().unwrap_or_default();
        let kind = match &monitor.source {
            Source::Stack { .. } => PollKind::Stacks,
            Source::Metric(_) | Source::HealthCheck { .. } => PollKind::Metrics,
            Source::Http(_) => PollKind::Probe,
            Source::Dns(_) => PollKind::Dns,
        };
        let shared = kind.is_call().then(|| groups.iter_mut().find(|g| g.kind == kind && g.region == region)).flatten();
        match shared {
            Some(group) => group.monitors.push(id),
            None => groups.push(PollGroup { region, monitors: vec![id], kind }),
        }
    }
    groups
}

/// How far back one `GetMetricData` looks, in milliseconds, unless a period is so long that three of them need more.
const METRIC_WINDOW_MS: i64 = 15 * 60_000;
/// AWS's bounds on the queries and the points of one `GetMetricData` (rule 25).
const METRIC_QUERIES_MAX: usize = 500;
const METRIC_POINTS_MAX: i64 = 100_800;

/// The word for a metric that is there and has given no point lately.
pub const NO_DATA_YET: &str = "no data yet";
/// How often a backend asks at most why a metric is silent, in milliseconds.
pub const LIST_EVERY_MS: i64 = 300_000;
/// The same where silence means zero, so that it is nothing unusual.
pub const LIST_ZERO_EVERY_MS: i64 = 3_600_000;

/// The regions in which a metric of a plan may be: those that take part, and those in which something is read.
#[must_use]
pub fn metric_regions(plan: &Plan) -> Vec<&str> {
    let read = plan.monitors.iter().filter(|m| m.source.metric().is_some()).filter_map(|m| m.region.as_deref());
    let regions: BTreeSet<&str> = plan.regions.iter().map(|r| r.name.as_str()).chain(read).collect();
    regions.into_iter().collect()
}

/// The metrics that one `GetMetricData` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricBatch<'a> {
    /// How far back it looks, in milliseconds.
    pub window_ms: i64,
    /// The metrics.
    pub metrics: Vec<(MonitorId, &'a MetricSource)>,
}

/// How metrics of a region are spread over calls. One call has one window. Usually all periods are short and this is a
/// single call; a metric that comes daily must not make the call ask for days of minutes of all the others. An expression
/// and the metrics that it names are asked for together.
#[must_use]
pub fn metric_batches<'a>(metrics: &[(MonitorId, &'a MetricSource)]) -> Vec<MetricBatch<'a>> {
    let mut by_window: BTreeMap<i64, Vec<(MonitorId, &MetricSource)>> = BTreeMap::new();
    for &(id, source) in metrics {
        by_window.entry(METRIC_WINDOW_MS.max(source.period_ms.saturating_mul(3))).or_default().push((id, source));
    }
    let mut batches: Vec<MetricBatch<'a>> = Vec::new();
    for (window_ms, metrics) in by_window {
        let (mut queries, mut points) = (METRIC_QUERIES_MAX, METRIC_POINTS_MAX);
        for (id, source) in metrics {
            let asked = source.metrics().count() + usize::from(matches!(source.asks, Asks::Math(_)));
            let each = i64::try_from(asked).unwrap_or(i64::MAX).saturating_mul(window_ms / source.period_ms.max(1) + 1);
            match batches.last_mut() {
                Some(batch) if queries + asked <= METRIC_QUERIES_MAX && points + each <= METRIC_POINTS_MAX => {
                    batch.metrics.push((id, source));
                    (queries, points) = (queries + asked, points + each);
                }
                _ => {
                    batches.push(MetricBatch { window_ms, metrics: vec![(id, source)] });
                    (queries, points) = (asked, each);
                }
            }
        }
    }
    batches
}

/// The metrics of a group, with the monitors that they are of.
#[must_use]
pub fn metrics_of<'a>(plan: &'a Plan, group: &PollGroup) -> Vec<(MonitorId, &'a MetricSource)> {
    let metric = |&id: &MonitorId| Some((id, plan.monitors.get(id)?.source.metric()?));
    group.monitors.iter().filter_map(metric).collect()
}

/// The regions to which the rollbacks of a plan will talk, besides Route 53's: those of their stacks, then those of their
/// switches. A connection to each is kept warm with one small call a minute.
#[must_use]
pub fn warm_regions(plan: &Plan) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut stacks, mut switches) = (BTreeSet::new(), BTreeSet::new());
    for step in plan.rollbacks.iter().flat_map(|rollback| &rollback.steps) {
        match &step.action {
            Action::Stack(stack) => stacks.insert(stack.region.as_str()),
            Action::Switch(switch) => switches.insert(switch.region.as_str()),
            _ => false,
        };
    }
    (stacks, switches)
}
