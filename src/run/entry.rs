//! Journal entries: the only things that change a run.
//!
//! Entries name steps by id, never by number, so that a journal stays readable when a plan is amended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::snapshot::{Conflict, Outcome};
use super::window::OUTSIDE;
use crate::cloud::{Call, CallId, Millis, Receipt};
use crate::plan::FaultKind;

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "body")]
pub enum Entry {
    /// The first entry of every run. It holds nothing that differs between two machines running the same drill.
    Genesis {
        /// Plan name.
        plan: String,
        /// Hash of the plan's manifest: the run is pinned to it.
        plan_hash: String,
        /// Drill: scenario name.
        scenario: Option<String>,
        /// Drill: hash of the scenario file.
        scenario_hash: Option<String>,
        /// Drill: seed.
        seed: Option<u64>,
        /// Drill: version of the simulator's rules.
        rules: Option<u32>,
        /// What idempotency tokens are made from: the run id, or for a drill its seed.
        token_base: String,
    },
    /// An engine took the run.
    EngineStarted {
        /// False for the first one.
        resumed: bool,
        /// Intents that had no outcome when it started.
        open: Vec<CallId>,
    },
    /// Which date day 1 of the plan is, where it is not the one on which the run began.
    DayOne {
        /// `2026-01-10`.
        date: String,
    },
    /// A job started.
    Started {
        /// Which.
        job: JobRef,
        /// What its gate saw.
        evidence: Vec<String>,
        /// Why it was started behind a shut gate, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overridden: Option<String>,
    },
    /// Somebody wants a step started behind its shut gate, and the plan asks for more people than that.
    OverrideAsked {
        /// Job.
        job: JobRef,
        /// Why.
        reason: String,
    },
    /// A step, or a step of a rollback, was left out.
    Skipped {
        /// Job.
        job: JobRef,
        /// Why.
        reason: String,
    },
    /// A call is about to be made.
    Intent {
        /// Number of the call.
        id: CallId,
        /// Job it belongs to.
        job: JobRef,
        /// Idempotency token.
        token: String,
        /// The call.
        call: Call,
    },
    /// A call is about to be sent again, unchanged.
    Resent {
        /// Number of the call.
        id: CallId,
        /// Why.
        why: String,
    },
    /// What came of a call.
    Outcome {
        /// Number of the call.
        id: CallId,
        /// What.
        outcome: CallOutcome,
    },
    /// A record change has reached all servers of its zone, or a settled one has had the time to.
    InSync {
        /// Number of the call.
        id: CallId,
    },
    /// Somebody looked at a change set and lets it be executed.
    Reviewed {
        /// Job.
        job: JobRef,
    },
    /// A job's action is done; its verify decides next.
    Acted {
        /// Job.
        job: JobRef,
        /// What a person did instead of the engine, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by_hand: Option<String>,
        /// What a stack gave for later steps.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, String>,
    },
    /// A job is done and verified.
    Done {
        /// Job.
        job: JobRef,
        /// What its verify saw.
        evidence: Vec<String>,
    },
    /// A job failed.
    Failed {
        /// Job.
        job: JobRef,
        /// Why.
        reason: String,
        /// What somebody else changed, if that is why: whoever starts the job again has been shown it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conflict: Option<Conflict>,
    },
    /// Somebody approved.
    Approved {
        /// Job.
        job: JobRef,
    },
    /// Somebody ticked or unticked an item.
    Ticked {
        /// Job.
        job: JobRef,
        /// Index of the item.
        item: usize,
        /// New state.
        done: bool,
        /// What let it tick itself.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evidence: Vec<String>,
    },
    /// The run goes on by itself from here, or stops doing so.
    GoOn {
        /// On or off.
        on: bool,
        /// Why it stopped; empty when it was switched on.
        why: String,
    },
    /// Nothing new starts.
    Held {
        /// Why.
        reason: String,
    },
    /// The hold is over.
    Continued {},
    /// A rollback begins: forward progress is over.
    RollbackConfirmed {
        /// Which.
        rollback: RollbackRef,
        /// Fingerprint of what was shown.
        fingerprint: String,
        /// Replication lag at that moment, in milliseconds, if known: what may be lost.
        lag_ms: Option<i64>,
        /// Records read since this time are as shown; the first calls need no new read.
        read_since: Millis,
        /// The calls that were shown, with what they were going to replace: anything else that is found there later has
        /// to be shown first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
        /// What the conditions saw, when the engine began it by itself because the plan says so.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evidence: Vec<String>,
    },
    /// All steps of a rollback are done.
    RollbackDone {
        /// Which.
        rollback: RollbackRef,
    },
    /// The service monitor sees users fail.
    OutageBegan {
        /// First bad sample.
        began: Millis,
    },
    /// The service monitor sees users served again.
    OutageEnded {
        /// First good sample after the last bad one.
        ended: Millis,
    },
    /// Drill: a fault was injected by hand.
    Injected {
        /// Which.
        fault: FaultKind,
    },
    /// A note by a person.
    Note {
        /// The text.
        text: String,
    },
    /// The run has ended.
    Finished {
        /// How.
        outcome: Outcome,
    },
}

/// Names a piece of work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobRef {
    /// A step of the plan.
    Step(String),
    /// A step of a rollback: rollback name, step id.
    Rollback(String, String),
    /// Taking one step back.
    Undo(String),
}

impl std::fmt::Display for JobRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JobRef::Step(id) => f.write_str(id),
            // Ids of rollback steps begin with the name of their rollback.
            JobRef::Rollback(_, id) => write!(f, "rollback {id}"),
            JobRef::Undo(id) => write!(f, "undo {id}"),
        }
    }
}

/// Names a way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackRef {
    /// A rollback of the plan.
    Plan(String),
    /// Taking one step back.
    Undo(String),
}

impl std::fmt::Display for RollbackRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RollbackRef::Plan(name) => f.write_str(name),
            RollbackRef::Undo(id) => write!(f, "undo {id}"),
        }
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallOutcome {
    /// The service took it.
    Accepted(Receipt),
    /// Its answer was lost, and a later look showed that it was applied.
    Settled,
    /// Certainly not applied, and asking again may help: why.
    Deferred(String),
    /// Certainly not applied (by this sending), and asking again will not help: why.
    Refused(String),
    /// It may have been applied: why nobody knows.
    Unknown(String),
}

impl Entry {
    /// The entry's kind and the JSON text of its body, as they are stored.
    ///
    /// # Panics
    /// Never: every entry is made of strings, numbers and lists.
    #[must_use]
    pub fn to_parts(&self) -> (String, String) {
        let value = serde_json::to_value(self).unwrap_or_default();
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        (kind, value["body"].to_string())
    }

    /// Reads an entry back.
    ///
    /// # Errors
    /// When the kind is unknown or the body does not fit it.
    pub fn from_parts(kind: &str, body: &str) -> Result<Entry, serde_json::Error> {
        let body: serde_json::Value = serde_json::from_str(body)?;
        serde_json::from_value(serde_json::json!({ "kind": kind, "body": body }))
    }

    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Entry::Genesis { plan, plan_hash, scenario, seed, .. } => match (scenario, seed) {
                (Some(scenario), Some(seed)) => format!("drill of {plan}#{} scenario {scenario} seed {seed}", short(plan_hash)),
                _ => format!("run of {plan}#{}", short(plan_hash)),
            },
            Entry::EngineStarted { resumed: false, .. } => "engine started".into(),
            Entry::EngineStarted { open, .. } if open.is_empty() => "engine took over; nothing was in flight".into(),
            Entry::EngineStarted { open, .. } => {
                format!("engine took over; {} call(s) without an outcome are being settled", open.len())
            }
            Entry::DayOne { date } => format!("day 1 is {date}"),
            Entry::Started { job, overridden: Some(reason), evidence } if evidence.iter().any(|e| e.starts_with(OUTSIDE)) => {
                format!("{job}: started OUTSIDE ITS WINDOW: {reason}")
            }
            Entry::Started { job, overridden: Some(reason), .. } => format!("{job}: started behind a SHUT GATE: {reason}"),
            Entry::Started { job, .. } => format!("{job}: started"),
            Entry::OverrideAsked { job, reason } => format!("{job}: override asked for: {reason}"),
            Entry::Skipped { job, reason } => format!("{job}: SKIPPED: {reason}"),
            Entry::Intent { id, job, call, .. } => format!("{job}: call {id} {}", call.operation()),
            Entry::Resent { id, why } => format!("call {id} sent again: {why}"),
            Entry::Outcome { id, outcome } => match outcome {
                CallOutcome::Accepted(_) => format!("call {id} accepted"),
                CallOutcome::Settled => format!("call {id} had been applied: its wanted state was found"),
                CallOutcome::Deferred(why) => format!("call {id} put off, will be sent again: {why}"),
                CallOutcome::Refused(why) => format!("call {id} refused: {why}"),
                CallOutcome::Unknown(why) => format!("call {id} UNKNOWN, may have been applied: {why}"),
            },
            Entry::InSync { id } => format!("call {id} in sync"),
            Entry::Reviewed { job } => format!("{job}: change set reviewed"),
            Entry::Acted { job, by_hand: Some(reason), .. } => format!("{job}: DONE BY HAND: {reason}"),
            Entry::Acted { job, .. } => format!("{job}: action done"),
            Entry::Done { job, .. } => format!("{job}: done"),
            Entry::Failed { job, reason, .. } => format!("{job}: FAILED: {reason}"),
            Entry::Approved { job } => format!("{job}: approved"),
            Entry::Ticked { job, item, evidence, .. } if !evidence.is_empty() => {
                format!("{job}: item {} ticked itself: {}", item + 1, evidence.join(", "))
            }
            Entry::Ticked { job, item, done, .. } => {
                format!("{job}: item {} {}", item + 1, if *done { "ticked" } else { "unticked" })
            }
            Entry::GoOn { on: true, .. } => "going on by itself".into(),
            Entry::GoOn { why, .. } => format!("no longer going on by itself: {why}"),
            Entry::Held { reason } => format!("HELD: {reason}"),
            Entry::Continued {} => "continued".into(),
            Entry::RollbackConfirmed { rollback, evidence, .. } if !evidence.is_empty() => {
                format!("ROLLBACK {rollback} begun by the plan: {}", evidence.join(", "))
            }
            Entry::RollbackConfirmed { rollback, .. } => format!("ROLLBACK {rollback} confirmed"),
            Entry::RollbackDone { rollback } => format!("rollback {rollback} done"),
            Entry::OutageBegan { .. } => "OUTAGE: users are failing".into(),
            Entry::OutageEnded { .. } => "outage over: users are served".into(),
            Entry::Injected { fault } => format!("fault injected: {fault}"),
            Entry::Note { text } => format!("note: {text}"),
            Entry::Finished { outcome } => format!("finished: {}", outcome.word()),
        }
    }
}

fn short(hash: &str) -> &str {
    hash.get(..8).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_round_trip() {
        let entries = [
            Entry::Started {
                job: JobRef::Rollback("immediate".into(), "back".into()),
                evidence: vec!["lag 3s".into()],
                overridden: None,
            },
            Entry::Continued {},
            Entry::Outcome { id: 3, outcome: CallOutcome::Accepted(Receipt::of("C1".into())) },
            Entry::Finished { outcome: Outcome::RolledBack },
        ];
        for entry in entries {
            let (kind, body) = entry.to_parts();
            assert_eq!(Entry::from_parts(&kind, &body).unwrap(), entry);
        }
    }
}
