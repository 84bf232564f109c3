//! What an answer of the account means for a claim.

use std::collections::BTreeSet;

use super::{First, Siblings, Verdict};
use crate::plan::{RecordSet, Switch};

/// A verdict, and why.
pub type Judged = (Verdict, String);

/// A stack as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackSeen {
    /// Its status word.
    pub status: String,
    /// Its termination protection is on.
    pub protected: bool,
}

/// A stack; `None` when it is not there. `deleted_by` is the step that deletes it as it is found, if one does.
#[must_use]
pub fn stack(first: &First, deleted_by: Option<&str>, seen: Option<&StackSeen>) -> Judged {
    let (verdict, why) = by_status(first, seen.map(|seen| seen.status.as_str()));
    let Some(step) = deleted_by.filter(|_| seen.is_some_and(|seen| seen.protected)) else { return (verdict, why) };
    let mut wrong = format!(
        "its termination protection is on, so step {step} cannot delete it: take it off in a script before \
         (aws cloudformation update-termination-protection --no-enable-termination-protection)"
    );
    // What else is wrong with it is worth as much.
    if verdict == Verdict::Refuted {
        wrong = format!("{why}; {wrong}");
    }
    (Verdict::Refuted, wrong)
}

/// A stack by its status word.
fn by_status(first: &First, status: Option<&str>) -> Judged {
    use Verdict::{Proved, Refuted};
    match (first, status) {
        (First::Applied(step), None) => (Proved, format!("not there yet, step {step} creates it")),
        (First::WatchedAbsent, None) => (Proved, "not there, as its conditions want it".into()),
        (First::Watched, None) => (Refuted, "not there, and no step creates it".into()),
        (First::Deleted(step), None) => (Refuted, format!("not there, but step {step} deletes it")),
        (First::Deleted(step), Some(status)) => (Proved, format!("{status}; step {step} deletes it")),
        (First::WatchedAbsent, Some(status)) => (Refuted, format!("{status}, but its conditions want it to be absent")),
        (First::Applied(step), Some(status)) if is_usable(status) => (Proved, format!("{status}; step {step} updates it")),
        (First::Applied(step), Some(status)) => (Refuted, format!("{status}: step {step} cannot change it like that")),
        (First::Watched, Some(status)) if is_usable(status) => (Proved, status.to_owned()),
        (First::Watched, Some(status)) => (Refuted, format!("{status}: it is not usable")),
    }
}

/// Whether a stack can be used and changed (rules 19 and 20).
fn is_usable(status: &str) -> bool {
    matches!(status, "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE")
}

/// The record sets of one name and type, as they were found.
#[must_use]
pub fn records(claim: &Siblings, found: &[RecordSet]) -> Judged {
    let mut wrong = Vec::new();
    let mut words = Vec::new();
    for (set, step) in &claim.needed {
        match found.iter().find(|record| record.set == *set) {
            None => wrong.push(format!("{} is not there, but step {step} needs it", named(set.as_ref()))),
            Some(record) => {
                if let Some(believed) = claim.believed.iter().find(|believed| believed.set == *set && *believed != record) {
                    wrong.push(format!("it is `{record}`, but the plan's drill begins with `{believed}`"));
                }
            }
        }
    }
    for (set, step) in &claim.made {
        if found.iter().all(|record| record.set != *set) {
            words.push(format!("{}: not there yet, step {step} creates it", named(set.as_ref())));
        }
    }
    if let Some(step) = &claim.shifted {
        for record in found.iter().filter(|record| !claim.needed.contains_key(&record.set)) {
            wrong.push(format!("{} is there too, but step {step} gives it no weight", named(record.set.as_ref())));
        }
    }
    wrong.extend(mixed(found));
    if let Some((step, put, remove)) = &claim.first {
        let stays = |record: &&RecordSet| !remove.contains(&record.set) && put.iter().all(|p| p.set != record.set);
        let after: Vec<RecordSet> = found.iter().filter(stays).chain(put).cloned().collect();
        wrong.extend(mixed(&after).into_iter().map(|why| format!("after step {step}: {why}")));
    }
    words.extend(found.iter().map(|record| {
        let target = record.alias.as_ref().map_or_else(|| record.values.join(","), |alias| format!("alias to {}", alias.name));
        let weight = record.weight.map(|weight| format!(" weight {weight}")).unwrap_or_default();
        let ttl = record.ttl.map(|ttl| format!(", ttl {ttl}")).unwrap_or_default();
        format!("{}{weight}: {target}{ttl}", named(record.set.as_ref()))
    }));
    if wrong.is_empty() { (Verdict::Proved, words.join("; ")) } else { (Verdict::Refuted, wrong.join("; ")) }
}

fn named(set: Option<&String>) -> String {
    set.map_or_else(|| "the simple record".to_owned(), |set| format!("the set {set}"))
}

/// What siblings must not be: simple and weighted at once (rule 9), or of several times to live (rule 8).
fn mixed(records: &[RecordSet]) -> Option<String> {
    let ttls: BTreeSet<u32> = records.iter().filter_map(|record| record.ttl).collect();
    if records.iter().any(|r| r.weight.is_some()) && records.iter().any(|r| r.weight.is_none()) {
        return Some("simple and weighted records stand under one name".into());
    }
    (records.len() > 1 && ttls.len() > 1).then(|| format!("siblings have several times to live: {ttls:?}"))
}

/// A service by its name, in a region with these services. `all` are the services of every region; none when nobody told them.
#[must_use]
pub fn service(name: &str, offered: &[String], all: &[String]) -> Judged {
    let among = |names: &[String]| names.iter().any(|of| of == name);
    if among(offered) {
        (Verdict::Proved, "offered there".into())
    } else if offered.is_empty() {
        (Verdict::NotProved, "the list of services of this region is empty".into())
    } else if among(all) {
        (Verdict::Refuted, "not among the services of this region".into())
    } else {
        (Verdict::NotProved, "no region has a service of that name in its list: it may have another one there".into())
    }
}

/// A quota by its value. `raisers` are the steps that ask for more of it.
#[must_use]
pub fn quota(value: f64, least: u64, raisers: &[String]) -> Judged {
    #[expect(clippy::cast_precision_loss, reason = "quotas are far below 2^53")]
    let enough = value >= least as f64;
    match (enough, raisers.first()) {
        (true, _) => (Verdict::Proved, format!("{value}, enough ({least})")),
        // The plan does not take it for granted then.
        (false, Some(step)) => (Verdict::NotProved, format!("{value} is too small ({least}) today; step {step} asks for more")),
        (false, None) => (Verdict::Refuted, format!("{value} is too small ({least}), and no step asks for more")),
    }
}

/// Namespace, name and dimensions (sorted) of a metric.
pub type MetricNamed = (String, String, Vec<(String, String)>);

/// A health check as it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckSeen {
    /// `Disabled`.
    pub disabled: bool,
    /// `Inverted`.
    pub inverted: bool,
    /// What it follows, in words.
    pub follows: String,
    /// The region of the alarm that it follows, if it does.
    pub alarm_region: Option<String>,
    /// Namespace, metric name and dimensions (sorted) of that alarm, where Route 53 tells them.
    pub metric: Option<MetricNamed>,
}

/// A health check; `None` when it is not there. `switch` is the one of the plan that it has to follow.
#[must_use]
pub fn health_check(seen: Option<&CheckSeen>, switch: Option<&Switch>) -> Judged {
    use Verdict::{Proved, Refuted};
    let Some(seen) = seen else { return (Refuted, "not there".into()) };
    if seen.disabled {
        return (Refuted, "it is disabled, which counts as healthy whatever happens".into());
    }
    if seen.inverted {
        return (Refuted, format!("it is inverted already, before the plan starts; it follows {}", seen.follows));
    }
    if let Some(switch) = switch {
        let metric = (switch.namespace.clone(), switch.metric.clone(), switch.dimensions.clone());
        let wanted = format!("{} {} in {}, which the plan's switch writes", switch.namespace, switch.metric, switch.region);
        if seen.alarm_region.as_ref() != Some(&switch.region) || seen.metric.as_ref().is_some_and(|seen| *seen != metric) {
            return (Refuted, format!("it follows {} and not {wanted}", seen.follows));
        }
        if seen.metric.is_none() {
            return (Verdict::NotProved, format!("it follows {}; whether that is {wanted}, Route 53 does not say", seen.follows));
        }
    }
    (Proved, format!("it follows {}", seen.follows))
}
