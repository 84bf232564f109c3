//! Route 53's control plane: hosted zones, change batches and their propagation.

use std::collections::{BTreeMap, BTreeSet};

use super::faults::Faults;
use super::rng::{self, Dice, Stream};
use crate::cloud::{Failure, FailureKind, Millis};
use crate::plan::{Action, Plan, RecordSet};

/// All hosted zones.
#[derive(Debug, Clone)]
pub(super) struct Zones {
    dice: Dice,
    hosted: BTreeMap<String, Zone>,
    /// Change id → when it was accepted, and when the zone's own servers have it if all goes well.
    changes: BTreeMap<String, (Millis, Millis)>,
}

/// One hosted zone as the control plane knows it.
#[derive(Debug, Clone, Default)]
struct Zone {
    /// What it holds and since when. Older versions are kept while a query may still look at them.
    versions: Vec<(Millis, Vec<RecordSet>)>,
    /// When its newest change reaches its servers if all goes well; changes never overtake one another.
    due: Millis,
}

/// An accepted change batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Its id.
    pub(super) id: String,
    /// When it was accepted.
    pub(super) accepted: Millis,
    /// When the zone's servers answer with it if all goes well: see [`Faults::settled`].
    pub(super) due: Millis,
}

impl Zones {
    /// The zones that a plan speaks of, with what its drill says they hold.
    pub(super) fn new(dice: Dice, plan: &Plan) -> Zones {
        let actions = plan.steps.iter().chain(plan.rollbacks.iter().flat_map(|r| &r.steps)).map(|s| &s.action);
        let named = actions.filter_map(|a| match a {
            Action::Shift(shift) => Some(&shift.zone),
            Action::Records(records) => Some(&records.zone),
            Action::Stack(_)
            | Action::Shell(_)
            | Action::Edit(_)
            | Action::Http(_)
            | Action::Soak { .. }
            | Action::Approve { .. }
            | Action::Checklist { .. }
            | Action::HealthCheck(_)
            | Action::Switch(_)
            | Action::Restore { .. } => None,
        });
        let zones = named.chain(plan.traffic.iter().map(|t| &t.zone)).chain(plan.drill.records.iter().map(|(zone, _)| zone));
        let mut zones: BTreeMap<String, Zone> = zones.map(|z| (z.clone(), Zone::default())).collect();
        for (id, zone) in &mut zones {
            let mut records: Vec<RecordSet> =
                plan.drill.records.iter().filter(|(z, _)| z == id).map(|(_, record)| record.clone()).collect();
            records.sort();
            zone.versions.push((Millis::MIN, records));
        }
        Zones { dice, hosted: zones, changes: BTreeMap::new() }
    }

    /// What the newest accepted state of a zone is.
    pub(super) fn newest(&self, zone: &str) -> &[RecordSet] {
        self.hosted.get(zone).and_then(|z| z.versions.last()).map_or(&[], |(_, records)| records)
    }

    /// All record sets of one name, sorted.
    pub(super) fn records(&self, zone: &str, name: &str, at: Millis) -> Result<Vec<RecordSet>, Failure> {
        let found = self.hosted.get(zone).ok_or_else(|| no_such_zone(zone))?;
        let records = found.versions.iter().rev().find(|(since, _)| *since <= at).map_or(&[][..], |(_, records)| records);
        let name = name.trim_end_matches('.');
        Ok(records.iter().filter(|r| r.name.eq_ignore_ascii_case(name)).cloned().collect())
    }

    /// `GetChange`: true for `INSYNC` (rule 7).
    pub(super) fn in_sync(&self, id: &str, faults: &Faults, at: Millis) -> Result<bool, Failure> {
        let when = self.changes.get(id.trim_start_matches("/change/"));
        when.map(|(accepted, due)| faults.settled(*accepted, *due) <= at)
            .ok_or_else(|| refused(format!("NoSuchChange: Could not find resource with ID: {id}")))
    }

    /// Applies a batch at `applied`, or refuses all of it (rule 10). There are no tokens: a batch that is sent
    /// again is evaluated again, and a compare-and-swap then finds that its old values are gone.
    pub(super) fn change(
        &mut self,
        zone: &str,
        delete: &[RecordSet],
        create: &[RecordSet],
        applied: Millis,
        token: &str,
    ) -> Result<Change, Failure> {
        let found = self.hosted.get_mut(zone).ok_or_else(|| no_such_zone(zone))?;
        let current = found.versions.last().map_or(&[][..], |(_, records)| records);
        let records =
            evaluate(current, delete, create).map_err(|wrong| refused(format!("InvalidChangeBatch: [{}]", wrong.join(", "))))?;
        let salt = rng::text(&[zone, token]);
        let delay = self.dice.between(Stream::Propagation, salt, rng::time(applied), 20_000, 50_000);
        found.due = found.due.max(applied + delay);
        // Queries look at most some seconds back, so versions that were replaced long ago are not needed.
        let kept = found.versions.iter().rposition(|(since, _)| *since < applied - 60_000).unwrap_or(0);
        found.versions.drain(..kept);
        found.versions.push((applied, records));
        let id = change_id(self.dice.roll(Stream::Id, salt, rng::time(applied)));
        self.changes.insert(id.clone(), (applied, found.due));
        Ok(Change { id, accepted: applied, due: found.due })
    }
}

/// The zone after a batch, or everything that is wrong with the batch.
fn evaluate(current: &[RecordSet], delete: &[RecordSet], create: &[RecordSet]) -> Result<Vec<RecordSet>, Vec<String>> {
    let mut records = current.to_vec();
    let mut wrong = Vec::new();
    if delete.is_empty() && create.is_empty() {
        wrong.push("The request contains no changes".to_owned());
    }
    for old in delete {
        match records.iter().position(|r| r.key() == old.key()) {
            Some(i) if records[i] == *old => drop(records.remove(i)),
            Some(_) => {
                wrong.push(format!("Tried to delete {} but the values provided do not match the current values", label(old)));
            }
            None => wrong.push(format!("Tried to delete {} but it was not found", label(old))),
        }
    }
    for new in create {
        if records.iter().any(|r| r.key() == new.key()) {
            wrong.push(format!("Tried to create {} but it already exists", label(new)));
        } else {
            wrong.extend(malformed(new));
            records.push(new.clone());
        }
    }
    let touched: BTreeSet<&str> = create.iter().map(|r| r.name.as_str()).collect();
    for name in touched {
        let siblings: Vec<&RecordSet> = records.iter().filter(|r| r.name == name).collect();
        wrong.extend(conflicts(&siblings));
    }
    records.sort();
    if wrong.is_empty() { Ok(records) } else { Err(wrong) }
}

/// What is wrong with one record set by itself.
fn malformed(record: &RecordSet) -> Option<String> {
    let wrong = match record {
        RecordSet { set: Some(_), weight: None, .. } => "has a set identifier but no routing policy",
        RecordSet { set: None, weight: Some(_), .. } => "is weighted but has no set identifier",
        RecordSet { alias: Some(_), ttl: Some(_), .. } => "is an alias, and an alias has no TTL",
        RecordSet { alias: Some(_), values, .. } if !values.is_empty() => "is an alias and has values as well",
        RecordSet { alias: None, ttl: None, .. } => "has no TTL",
        RecordSet { alias: None, values, .. } if values.is_empty() => "has no values",
        _ => return None,
    };
    Some(format!("Invalid {}: it {wrong}", label(record)))
}

/// What is wrong between the record sets of one name: simple beside weighted (rule 9), weighted siblings with
/// different TTLs (rule 8), and anything beside a CNAME.
fn conflicts(records: &[&RecordSet]) -> Vec<String> {
    let mut wrong = Vec::new();
    for record in records {
        let mut siblings = records.iter().filter(|r| r.kind == record.kind);
        if record.set.is_none() && siblings.clone().any(|r| r.set.is_some()) {
            let name = &record.name;
            wrong.push(format!(
                "RRSet with DNS name {name}., type {}, SetIdentifier null cannot be created as other RRSets exist with the same name and type",
                record.kind
            ));
        }
        // An alias has no TTL of its own, so it can stand beside any.
        if let Some(other) = siblings.find(|r| r.ttl.is_some() && record.ttl.is_some() && r.ttl < record.ttl) {
            wrong.push(format!("{} and {} must have the same TTL", label(record), label(other)));
        }
        if record.kind != "CNAME" && records.iter().any(|r| r.kind == "CNAME") {
            wrong.push(format!(
                "RRSet of type {} with DNS name {}. is not permitted as it conflicts with other records with the same DNS name",
                record.kind, record.name
            ));
        }
    }
    wrong
}

/// A record set as Route 53's messages name it.
fn label(record: &RecordSet) -> String {
    let set = record.set.as_ref().map(|set| format!(", set identifier='{set}'")).unwrap_or_default();
    format!("resource record set [name='{}.', type='{}'{set}]", record.name, record.kind)
}

fn no_such_zone(zone: &str) -> Failure {
    refused(format!("NoSuchHostedZone: No hosted zone found with ID: {zone}"))
}

fn refused(message: String) -> Failure {
    Failure { kind: FailureKind::Refused, message }
}

/// An id as Route 53 hands them out: `C` and capital letters and digits.
fn change_id(mut roll: u64) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::from("C");
    for _ in 0..13 {
        let digit = usize::try_from(roll & 31).unwrap_or(0);
        id.push(char::from(DIGITS[digit]));
        roll >>= 5;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(set: Option<&str>, weight: Option<u8>, ttl: u32) -> RecordSet {
        RecordSet {
            name: "api.example.com".into(),
            kind: "A".into(),
            set: set.map(Into::into),
            weight,
            ttl: Some(ttl),
            values: vec!["192.0.2.1".into()],
            alias: None,
            health_check: None,
        }
    }

    #[test]
    fn rule_9_simple_to_weighted_needs_the_delete_in_the_same_batch() {
        let simple = record(None, None, 60);
        let weighted = record(Some("a"), Some(1), 60);
        let wrong = evaluate(std::slice::from_ref(&simple), &[], std::slice::from_ref(&weighted)).unwrap_err();
        assert!(wrong[0].contains("cannot be created as other RRSets exist"), "{wrong:?}");
        assert_eq!(
            evaluate(std::slice::from_ref(&simple), std::slice::from_ref(&simple), std::slice::from_ref(&weighted)),
            Ok(vec![weighted])
        );
    }

    #[test]
    fn rule_10_delete_must_match_exactly_and_create_must_be_new() {
        let now = record(Some("a"), Some(5), 60);
        let stale = record(Some("a"), Some(4), 60);
        let wrong = evaluate(std::slice::from_ref(&now), &[stale], &[]).unwrap_err();
        assert_eq!(
            wrong,
            [
                "Tried to delete resource record set [name='api.example.com.', type='A', set identifier='a'] but the values provided do not match the current values"
            ]
        );
        let wrong = evaluate(std::slice::from_ref(&now), &[], std::slice::from_ref(&now)).unwrap_err();
        assert!(wrong[0].ends_with("but it already exists"));
        let wrong = evaluate(&[], &[now], &[]).unwrap_err();
        assert!(wrong[0].ends_with("but it was not found"));
    }

    #[test]
    fn rule_8_weighted_siblings_need_one_ttl() {
        let a = record(Some("a"), Some(1), 60);
        let b = record(Some("b"), Some(1), 300);
        assert!(evaluate(std::slice::from_ref(&a), &[], &[b]).unwrap_err()[0].contains("same TTL"));
        let mut alias = record(Some("b"), Some(1), 60);
        alias.ttl = None;
        alias.values.clear();
        alias.alias = Some(crate::plan::AliasTarget { zone: "Z".into(), name: "x".into(), evaluate_health: false });
        assert!(evaluate(&[a], &[], &[alias]).is_ok());
    }

    #[test]
    fn malformed_records_are_refused() {
        assert!(evaluate(&[], &[], &[record(Some("a"), None, 60)]).is_err());
        assert!(evaluate(&[], &[], &[record(None, Some(1), 60)]).is_err());
        let cname = RecordSet { kind: "CNAME".into(), ..record(None, None, 60) };
        assert!(evaluate(&[cname], &[], &[record(None, None, 60)]).is_err());
    }
}
