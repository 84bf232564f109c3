//! What a cockpit sees: one value, complete, serialisable, made by the core and never changed by a screen.
//!
//! Times are Unix milliseconds (virtual in a drill), durations milliseconds. Texts are for people; a program
//! reads the typed fields.

use serde::{Deserialize, Serialize};

pub use self::about::{AboutView, CostView, CriterionView, EscalationView, PartView, RiskView};
pub use self::calendar::{CalendarView, DayView, DaysView, EndView, OpeningView, WindowView};
pub use self::monitor::{ChartView, History, MonitorView, Point, Sample};
pub use self::server::ServerView;
use super::command::Verb;
use crate::cloud::Millis;

mod about;
mod calendar;
mod monitor;
mod server;

/// Everything a screen shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Who, where, which run.
    pub identity: Identity,
    /// The run's clock.
    pub now: Millis,
    /// When the run started.
    pub started: Millis,
    /// Day of the run, from 1.
    pub day: u32,
    /// Days in the plan.
    pub days: u32,
    /// Drills only: virtual seconds per real second (0: stopped), and whether the simulator is running ahead.
    pub drill: Option<DrillView>,
    /// What the run as a whole is doing.
    pub status: Status,
    /// The phases.
    pub phases: Vec<PhaseView>,
    /// The steps in order.
    pub steps: Vec<StepView>,
    /// Index of the step that is going on or next; `None` when all are done.
    pub current: Option<usize>,
    /// The current step (or the rollback's current step) in detail.
    pub work: Option<WorkView>,
    /// Traffic by region: asked, in sync, seen.
    pub traffic: Vec<TrafficView>,
    /// Every monitor, in plan order.
    pub monitors: Vec<MonitorView>,
    /// The rollback that applies now.
    pub undo: UndoView,
    /// Every rollback of the plan, in its order.
    pub rollbacks: Vec<RollbackView>,
    /// When the credentials expire, if that is known.
    pub credentials_expire: Option<Millis>,
    /// A rollback was confirmed and has not done all its steps; a hold may stand in its way.
    pub rolling_back: bool,
    /// A rollback of the plan has done all its steps.
    pub rolled_back: bool,
    /// A rollback that is shown and waits for its confirmation.
    pub offer: Option<OfferView>,
    /// The outage that is going on, or the last one.
    pub outage: Option<OutageView>,
    /// Alerts, gravest first.
    pub alerts: Vec<AlertView>,
    /// Downtime allowed by the availability objective over the whole plan.
    pub budget_ms: i64,
    /// Downtime so far, by the clock of the outages.
    pub downtime_ms: i64,
    /// The error budget, as the probes measure it.
    pub availability: AvailabilityView,
    /// The plan day by day: planned and actual, windows, when it ends.
    #[serde(default)]
    pub calendar: DaysView,
    /// What the plan says beside its steps, as it stands.
    #[serde(default)]
    pub about: AboutView,
    /// The newest journal entries, oldest first, at most [`JOURNAL_TAIL`].
    pub journal: Vec<JournalLine>,
    /// State of the journal.
    pub ledger: LedgerView,
    /// The verbs that make sense now: `None` when allowed, or why not.
    pub verbs: Vec<(Verb, Option<String>)>,
    /// How it ended.
    pub result: Option<ResultView>,
}

/// How many journal lines a snapshot carries.
pub const JOURNAL_TAIL: usize = 60;

/// Who, where, which run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// True for a drill, false for a live run.
    pub drill: bool,
    /// Account id, 12 digits.
    pub account: String,
    /// Plan name.
    pub plan: String,
    /// Plan title.
    pub title: String,
    /// First eight hex digits of the plan's hash.
    pub plan_hash: String,
    /// Run id.
    pub run: String,
    /// The region the traffic comes from.
    pub from: String,
    /// The region the traffic goes to.
    pub to: String,
    /// Who drives.
    pub driver: String,
    /// Epoch of the engine's lease.
    pub epoch: u64,
    /// Scenario of a drill.
    pub scenario: Option<String>,
    /// Seed of a drill.
    pub seed: Option<u64>,
}

/// Drill controls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillView {
    /// Virtual seconds per real second; 0 when stopped.
    pub speed: u32,
    /// The simulator is running ahead to this time.
    pub skipping_to: Option<Millis>,
    /// Faults that `f` offers: what to show, and what to send.
    pub faults: Vec<(String, crate::plan::FaultKind)>,
}

/// What the run as a whole is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Waiting for somebody to start the next step.
    Ready,
    /// A step is going on.
    Running,
    /// Nothing new starts.
    Held {
        /// Why.
        reason: String,
        /// Who held it; `engine` when it did so itself.
        by: String,
        /// Since when.
        since: Millis,
    },
    /// A rollback is going on.
    RollingBack {
        /// Its name.
        name: String,
    },
    /// It has ended.
    Finished(Outcome),
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step is done.
    Completed,
    /// A rollback ran to its end.
    RolledBack,
    /// Neither: it stopped somewhere.
    Held,
}

impl Outcome {
    /// The outcome for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::RolledBack => "rolled back",
            Outcome::Held => "held",
        }
    }
}

/// A phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseView {
    /// Title.
    pub title: String,
    /// First day.
    pub first_day: u32,
    /// Last day.
    pub last_day: u32,
    /// Steps done (or skipped).
    pub done: usize,
    /// Steps in it.
    pub total: usize,
}

/// State of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not started.
    Pending,
    /// Its action is going on.
    Running,
    /// Its action is done, its verify does not hold yet.
    Verifying,
    /// Done and verified.
    Done,
    /// Its action failed; it can be tried again.
    Failed,
    /// A rollback or a hold took it off before it was done.
    Interrupted,
    /// It was done, and a rollback took it back.
    Undone,
    /// It was left out.
    Skipped,
}

impl StepState {
    /// The state for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            StepState::Pending => "not started",
            StepState::Running => "running",
            StepState::Verifying => "verifying",
            StepState::Done => "done",
            StepState::Failed => "failed",
            StepState::Interrupted => "interrupted",
            StepState::Undone => "taken back",
            StepState::Skipped => "skipped",
        }
    }

    /// True when the steps after it may go on.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, StepState::Done | StepState::Skipped)
    }
}

/// A step, for the plan panel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Index of its phase.
    pub phase: usize,
    /// Planned day.
    pub day: u32,
    /// Kind of action, the plan's word.
    pub action: String,
    /// State.
    pub state: StepState,
    /// Why it failed, or empty.
    pub reason: String,
    /// Why it cannot be taken back, if so.
    pub one_way: Option<String>,
    /// False for a step that changes nothing, so that there is nothing to take back.
    pub changes: bool,
    /// Control planes it needs.
    pub control_planes: Vec<String>,
    /// How long it should take.
    pub expected_ms: i64,
    /// When it started.
    pub started: Option<Millis>,
    /// When it was done, failed or taken back.
    pub ended: Option<Millis>,
    /// When it is planned, and how far it has slipped.
    pub calendar: CalendarView,
}

/// The current step in detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkView {
    /// Id of the step, or `rollback STEP`, or `undo STEP`.
    pub id: String,
    /// Id that an override, a skip or "done by hand" names; empty for an undo, which has no step of its own.
    pub step: String,
    /// The rollback that it is part of.
    pub rollback: Option<String>,
    /// Title.
    pub title: String,
    /// Note of the plan; may be empty.
    pub note: String,
    /// The plan's word for its action, such as `shift`.
    pub action: String,
    /// The names of the values that it gives for later steps.
    pub gives: Vec<String>,
    /// What it is doing right now, one line, such as `waiting for INSYNC`; empty when not started.
    pub doing: String,
    /// State.
    pub state: StepState,
    /// Since when it is in that state.
    pub since: Option<Millis>,
    /// How long it should take.
    pub expected_ms: i64,
    /// Its window, if it has one.
    pub window: Option<WindowView>,
    /// Its gate.
    pub gate: Vec<ConditionView>,
    /// Its verify, or the conditions of a soak.
    pub verify: Vec<ConditionView>,
    /// The next call, not sent yet, or the one that was sent last.
    pub call: Option<CallView>,
    /// Items of a checklist: text and whether ticked.
    pub items: Vec<(String, bool)>,
    /// Approvals: who approved so far, and how many are needed.
    pub approvals: Option<(Vec<String>, u32)>,
    /// Change set: one line per resource.
    pub change_set: Vec<crate::cloud::ResourceChange>,
    /// The region's name to type before executing, when the change set replaces or removes something.
    pub confirm_word: Option<String>,
    /// What happened lately: stack events, newest last.
    pub output: Vec<String>,
    /// What somebody else changed, where that is why it failed: starting it again replaces that.
    pub conflict: Option<Conflict>,
    /// Why it cannot be started now, if so.
    pub blocked: Option<String>,
    /// How many people have to want an override of its gate.
    pub override_people: u32,
    /// Who wants one, and why.
    pub override_asked: Vec<(String, String)>,
}

/// A call, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// For example `route53 ChangeResourceRecordSets`.
    pub operation: String,
    /// Control plane it needs; `None` for a call to a data plane.
    pub control_plane: Option<String>,
    /// True for what is done on the engine's machine.
    pub local: bool,
    /// True once it was sent.
    pub sent: bool,
    /// State of the call in words: `not sent`, `accepted`, `in sync`, `unknown`…
    pub state: String,
    /// What it changes, as a difference.
    pub lines: Vec<DiffLine>,
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiffLine {
    /// Goes away.
    Minus(String),
    /// Comes.
    Plus(String),
    /// Context.
    Same(String),
}

/// A condition, for the gate table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionView {
    /// What is read, such as `recordings lag max`.
    pub what: String,
    /// What it must be, such as `< 15m`.
    pub want: String,
    /// What it is, such as `17m`; `-` when nothing is known.
    pub now: String,
    /// How long it has held.
    pub held_ms: i64,
    /// How long it must hold.
    pub for_ms: i64,
    /// Verdict.
    pub verdict: Verdict,
}

/// Three-valued verdict of a condition or gate. Unknown never opens a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Holds, and has held long enough.
    Pass,
    /// Does not hold (or not long enough yet); why.
    Fail(String),
    /// Cannot be told; why.
    Unknown(String),
}

/// Traffic of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficView {
    /// Region.
    pub region: String,
    /// What people call it.
    pub label: String,
    /// Share in percent that the last accepted change asked for; `None` when the record was never read.
    pub asked: Option<u32>,
    /// Share in percent that the zone's servers answer.
    pub in_sync: Option<u32>,
    /// Share in percent that is really seen.
    pub seen: Option<u32>,
    /// Age of the seen share.
    pub age_ms: Option<i64>,
}

/// How fresh a reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Freshness {
    /// Young enough to act on.
    Fresh,
    /// Older than three periods of its source plus its publication delay.
    Stale,
    /// There is none.
    Missing,
}

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing to see.
    Ok,
    /// Good to know.
    Advisory,
    /// Will need a hand.
    Caution,
    /// Act now.
    Warning,
}

/// The error budget (rule 39): between what is certain and what is possible. Durations in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityView {
    /// Spent before the run began.
    pub burnt_ms: i64,
    /// The service as its users see it.
    pub service: DownView,
    /// Each region, past DNS.
    pub regions: Vec<DownView>,
    /// What will be spent at the end of the plan's days if it goes on at this pace, with what was burnt before; `None` in the
    /// first hour.
    pub projected_ms: Option<(i64, i64)>,
    /// What was spent from the start of a step to the start of the next one; steps that cost nothing are left out. The name
    /// is empty for the time before the first step.
    pub steps: Vec<StepDownView>,
}

/// What was down, at least and at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownView {
    /// What: `service`, or a region.
    pub name: String,
    /// What people call it.
    pub label: String,
    /// Vantage points that see it.
    pub vantages: usize,
    /// So many of them must see a bad minute.
    pub quorum: usize,
    /// Since when it is counted: a region from its first good sample on.
    pub since: Option<Millis>,
    /// From the first failed sample to the last.
    pub certain_ms: i64,
    /// From the last good sample before to the first good one after, and all time that was not measured.
    pub possible_ms: i64,
    /// The part of that in which too little was measured to know.
    pub unmeasured_ms: i64,
}

/// What a step cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDownView {
    /// The step's id.
    pub step: String,
    /// At least.
    pub certain_ms: i64,
    /// At most.
    pub possible_ms: i64,
}

/// Whether the rollback is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Armed {
    /// It is kept proved.
    Armed,
    /// It is not, and why.
    NotArmed(String),
    /// No rollback applies yet.
    Nothing,
}

/// A rollback of the plan, for choosing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackView {
    /// Name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Its key on the screen.
    pub key: Option<char>,
    /// Region it leads to.
    pub to: String,
    /// Ready or not; [`Armed::Nothing`] while nothing that it takes back has started.
    pub armed: Armed,
    /// What is left of its window; `None` when it has none.
    pub window_left_ms: Option<i64>,
    /// Control planes its steps need; empty when it works through the data plane alone.
    pub control_planes: Vec<String>,
    /// It begins by itself when its conditions hold.
    pub auto: bool,
}

/// One thing that has to be so for a rollback to be armed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofView {
    /// What, such as `records read and unchanged`.
    pub what: String,
    /// Whether it is so; what was seen, or why not.
    pub verdict: Verdict,
    /// What was seen, such as `12s ago`.
    pub seen: String,
}

/// The rollback that applies now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoView {
    /// Ready or not.
    pub armed: Armed,
    /// What it is armed on, in order of what fails first.
    pub proofs: Vec<ProofView>,
    /// Name; empty when none applies.
    pub name: String,
    /// Region it leads to.
    pub to: String,
    /// What is left of its window; `None` when it has none.
    pub window_left_ms: Option<i64>,
    /// Number of calls it would make now.
    pub calls: usize,
    /// How long it should take.
    pub expected_ms: i64,
    /// What it restores.
    pub restores: String,
    /// One-way steps already done, which it will not undo.
    pub will_not_undo: Vec<String>,
    /// Data at risk now, in words.
    pub at_risk: String,
}

/// A rollback that is shown and waits for its confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferView {
    /// Name of the rollback.
    pub name: String,
    /// Region it leads to.
    pub to: String,
    /// Why this one.
    pub why: String,
    /// Steps and calls, in order.
    pub calls: Vec<CallView>,
    /// Further steps that are no calls (checklists, approvals), in words.
    pub by_hand: Vec<String>,
    /// What it restores.
    pub restores: String,
    /// One-way steps it will not undo.
    pub will_not_undo: Vec<String>,
    /// Data at risk now, in words.
    pub at_risk: String,
    /// How long it should take, and on what grounds.
    pub expected_ms: i64,
    /// Fingerprint to send with the confirmation; `None` while the records are still being read.
    pub fingerprint: Option<String>,
    /// Word to type before `Y`, where a one-way step was passed.
    pub confirm_word: Option<String>,
    /// Why it cannot run now or what is dangerous about it, if so.
    pub caution: Option<String>,
    /// What somebody else changed, if so.
    pub conflict: Option<Conflict>,
}

/// A third party's change, side by side with what was there before and what this run makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// How this run left it, or read it.
    pub before: String,
    /// How it is now.
    pub now: String,
    /// How the rollback or step will leave it.
    pub wanted: String,
}

/// An outage as measured by the traffic's service monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageView {
    /// First bad sample.
    pub began: Millis,
    /// When it was noticed.
    pub detected: Millis,
    /// When a rollback was confirmed.
    pub decided: Option<Millis>,
    /// When the rollback's last call was in sync.
    pub acted: Option<Millis>,
    /// First good sample after the last bad one.
    pub ended: Option<Millis>,
    /// Share of requests failing now, in millionths.
    pub failing_ppm: i64,
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// Gravity.
    pub level: Level,
    /// One line.
    pub text: String,
    /// Since when.
    pub since: Millis,
    /// Acknowledged: the bell is silent.
    pub acknowledged: bool,
}

/// A journal entry in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    /// Sequence number.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// Kind of entry.
    pub kind: String,
    /// What it says.
    pub text: String,
}

/// State of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerView {
    /// Newest entry.
    pub seq: u64,
    /// Newest durable entry.
    pub durable: u64,
    /// Hash of the newest durable entry, hex.
    pub head: String,
    /// Why nothing more can be written, if so.
    pub failed: Option<String>,
    /// What stands beside the journal meanwhile.
    #[serde(default)]
    pub spool: SpoolView,
}

/// Where entries are while the journal cannot be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolView {
    /// Entries that are durable in the spool and not in the journal yet.
    pub entries: u64,
    /// Entries that stand on standard error and nowhere else.
    pub told: u64,
    /// Why the spool cannot be written, if so.
    pub failed: Option<String>,
    /// The region's name, typed, lets a rollback go on although neither journal nor spool can be written.
    pub word: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultView {
    /// Outcome.
    pub outcome: Outcome,
    /// The rollback that ran: name, when it was confirmed, how long until its last step was done.
    pub rollback: Option<(String, Millis, i64)>,
    /// Time to notice, decide, act and recover, if there was an outage that ended.
    pub rto: Option<RtoView>,
    /// Replication lag when the rollback was confirmed, in milliseconds.
    pub rpo_ms: Option<i64>,
    /// Downtime measured.
    pub downtime_ms: i64,
    /// Downtime allowed.
    pub budget_ms: i64,
    /// Requests of users that failed, where that is known: a simulated cloud counts them.
    pub failed_requests: Option<u64>,
    /// Objectives: recovery time and recovery point, in milliseconds.
    pub objective_rto_ms: i64,
    /// Recovery point objective.
    pub objective_rpo_ms: i64,
}

/// A recovery time and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtoView {
    /// First bad sample → noticed.
    pub detect_ms: i64,
    /// Noticed → rollback confirmed.
    pub decide_ms: i64,
    /// Confirmed → calls in sync.
    pub act_ms: i64,
    /// In sync → service good again.
    pub recover_ms: i64,
    /// The whole.
    pub total_ms: i64,
}
