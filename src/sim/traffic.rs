//! Where the users' record leads: from record sets and their health to regions, over time.

use std::collections::BTreeMap;

use super::faults::{Faults, RegionId, Regions};
use super::health::Checks;
use super::resolvers::Resolvers;
use super::rng::Dice;
use super::zone::Change;
use crate::cloud::Millis;
use crate::plan::{Action, Plan, RecordSet, Role};

/// Route 53 answers an alias with a TTL of 60 s (rule 8).
const ALIAS_TTL_MS: i64 = 60_000;
/// How long a resolver remembers that there is no record: the TTL of the SOA record of a fresh hosted zone.
const NEGATIVE_TTL_MS: i64 = 900_000;

/// The users' traffic.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    map: TrafficMap,
    /// The record sets that carry it, and when each version of them was accepted and would be in sync if all went well;
    /// oldest first, never empty.
    versions: Vec<(Millis, Millis, Vec<RecordSet>)>,
    resolvers: Resolvers,
}

impl Traffic {
    /// `None` when the plan names no record that carries the traffic.
    pub(super) fn new(
        dice: Dice,
        plan: &Plan,
        start: Millis,
        records: impl Fn(&str) -> Vec<RecordSet>,
        checks: &Checks,
        regions: &mut Regions,
    ) -> Option<Traffic> {
        let map = TrafficMap::new(plan, regions)?;
        let group = map.group(&records(&map.zone));
        let resolvers = Resolvers::new(dice, start, map.answers(&group, &|r, region| checks.healthy(r, region, start)));
        Some(Traffic { map, versions: vec![(Millis::MIN, Millis::MIN, group)], resolvers })
    }

    pub(super) fn zone(&self) -> &str {
        &self.map.zone
    }

    pub(super) fn resolvers(&self) -> &Resolvers {
        &self.resolvers
    }

    /// The zone holds other records since a change was accepted.
    pub(super) fn change(&mut self, change: &Change, records: &[RecordSet]) {
        let group = self.map.group(records);
        if self.versions.last().is_none_or(|(.., newest)| *newest != group) {
            self.versions.push((change.accepted, change.due, group));
        }
    }

    /// Writes down anew what the zone's servers answer after a time: what they have in sync by then, by weight and health.
    pub(super) fn follow(&mut self, after: Millis, checks: &Checks, faults: &Faults) {
        let settled: Vec<Millis> = self.versions.iter().map(|(accepted, due, _)| faults.settled(*accepted, *due)).collect();
        let mut times: Vec<Millis> = settled.iter().copied().filter(|at| *at > after).chain(checks.turns(after)).collect();
        times.sort_unstable();
        times.dedup();
        self.resolvers.forget_after(after);
        for at in times.into_iter().filter(|at| *at != Millis::MAX) {
            // Changes do not overtake one another, so the last one that is in sync is the one that counts.
            let newest = settled.iter().rposition(|since| *since <= at).unwrap_or(0);
            let healthy = |record: &RecordSet, region| checks.healthy(record, region, at);
            self.resolvers.change(at, self.map.answers(&self.versions[newest].2, &healthy));
        }
        // What was replaced before is not needed again.
        let replaced = settled.iter().rposition(|since| *since <= after).unwrap_or(0);
        self.versions.drain(..replaced);
    }
}

/// Which record carries the traffic and where its targets are.
#[derive(Debug, Clone)]
struct TrafficMap {
    zone: String,
    name: String,
    kind: String,
    /// Set identifier → region.
    sets: BTreeMap<String, RegionId>,
    /// Alias name or value → region, for records without a set identifier.
    addresses: BTreeMap<String, RegionId>,
    /// Region by name, for alias names such as `d-1.execute-api.eu-west-1.amazonaws.com`.
    regions: Vec<(String, RegionId)>,
    /// Where a record leads that nothing else is known of: before the plan starts that is the source.
    source: Option<RegionId>,
}

/// What the zone's servers answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    /// How long resolvers keep it, in milliseconds.
    pub(super) ttl_ms: i64,
    /// Region (`None`: nowhere) and weight; the weights are positive.
    pub(super) choices: Vec<(Option<RegionId>, u32)>,
}

impl TrafficMap {
    fn new(plan: &Plan, regions: &mut Regions) -> Option<TrafficMap> {
        let traffic = plan.traffic.as_ref()?;
        let sets: BTreeMap<String, RegionId> =
            traffic.targets.iter().map(|(set, region)| (set.clone(), regions.number(region))).collect();
        let map = TrafficMap {
            zone: traffic.zone.clone(),
            name: traffic.record.clone(),
            kind: traffic.kind.clone(),
            sets,
            addresses: BTreeMap::new(),
            regions: plan.regions.iter().map(|r| (r.name.clone(), regions.number(&r.name))).collect(),
            source: plan.regions.iter().find(|r| r.role == Role::Source).map(|r| regions.number(&r.name)),
        };
        // A simple record has no set identifier; the plan's weighted records say whose address it is.
        let steps = plan.steps.iter().chain(plan.rollbacks.iter().flat_map(|r| &r.steps));
        let put =
            steps.filter_map(|s| if let Action::Records(records) = &s.action { Some(&records.put) } else { None }).flatten();
        let all = put.chain(plan.drill.records.iter().map(|(_, record)| record)).filter(|r| map.carries(r));
        let mut known = BTreeMap::new();
        for record in all {
            if let Some(region) = record.set.as_ref().and_then(|set| map.sets.get(set)) {
                known.extend(addresses(record).map(|a| (a.to_owned(), *region)));
            }
        }
        Some(TrafficMap { addresses: known, ..map })
    }

    /// The record sets that carry the traffic.
    fn group(&self, records: &[RecordSet]) -> Vec<RecordSet> {
        records.iter().filter(|r| self.carries(r)).cloned().collect()
    }

    /// What the zone's servers answer with these record sets of one group.
    fn answers(&self, group: &[RecordSet], healthy: &dyn Fn(&RecordSet, Option<RegionId>) -> bool) -> Answers {
        let all: Vec<(Option<RegionId>, u32, bool)> = group
            .iter()
            .map(|record| {
                let region = self.region(record);
                (region, u32::from(record.weight.unwrap_or(1)), healthy(record, region))
            })
            .collect();
        let pick = |wanted: &dyn Fn(u32, bool) -> bool| {
            all.iter().filter(|(_, weight, good)| wanted(*weight, *good)).map(|(to, w, _)| (*to, (*w).max(1))).collect::<Vec<_>>()
        };
        // Weight 0 is not "off": its records answer, in equal parts, once all others are unhealthy or where all weights
        // are 0. Where nothing is healthy, everything counts as healthy (rules 3 and 4).
        let choices = [pick(&|w, good| w > 0 && good), pick(&|w, good| w == 0 && good), pick(&|w, _| w > 0), pick(&|_, _| true)];
        let Some(choices) = choices.into_iter().find(|c| !c.is_empty()) else {
            return Answers { ttl_ms: NEGATIVE_TTL_MS, choices: vec![(None, 1)] };
        };
        // Weighted siblings share one TTL; where aliases stand beside others, the longest is the honest one.
        let ttl_ms = group.iter().map(|r| r.ttl.map_or(ALIAS_TTL_MS, |s| i64::from(s).max(1) * 1_000)).max();
        Answers { ttl_ms: ttl_ms.unwrap_or(ALIAS_TTL_MS), choices }
    }

    fn carries(&self, record: &RecordSet) -> bool {
        record.name == self.name && (record.kind == self.kind || record.kind == "CNAME")
    }

    fn region(&self, record: &RecordSet) -> Option<RegionId> {
        let by_set = record.set.as_ref().and_then(|set| self.sets.get(set)).copied();
        let by_address = || addresses(record).find_map(|a| self.addresses.get(a)).copied();
        let by_name =
            || addresses(record).find_map(|a| self.regions.iter().find(|(name, _)| a.contains(name.as_str()))).map(|r| r.1);
        by_set.or_else(by_address).or_else(by_name).or(self.source)
    }
}

/// Everything a record set answers with.
fn addresses(record: &RecordSet) -> impl Iterator<Item = &str> {
    record.values.iter().map(String::as_str).chain(record.alias.iter().map(|a| a.name.as_str()))
}
