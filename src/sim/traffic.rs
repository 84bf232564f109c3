//! Where the users' record leads: from record sets to regions.

use std::collections::BTreeMap;

use super::faults::{RegionId, Regions};
use crate::plan::{Action, Plan, RecordSet, Role};

/// Route 53 answers an alias with a TTL of 60 s (rule 8).
const ALIAS_TTL_MS: i64 = 60_000;
/// How long a resolver remembers that there is no record: the TTL of the SOA record of a fresh hosted zone.
const NEGATIVE_TTL_MS: i64 = 900_000;

/// Which record carries the traffic and where its targets are.
#[derive(Debug, Clone)]
pub(super) struct TrafficMap {
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
    /// `None` when the plan names no record that carries the traffic.
    pub(super) fn new(plan: &Plan, regions: &mut Regions) -> Option<TrafficMap> {
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

    pub(super) fn zone(&self) -> &str {
        &self.zone
    }

    /// What the zone's servers answer when the zone holds these record sets.
    pub(super) fn answers(&self, records: &[RecordSet]) -> Answers {
        let group: Vec<&RecordSet> = records.iter().filter(|r| self.carries(r)).collect();
        // Weight 0 is not "off": where nothing has a weight, all are equal (rule 4).
        let silent = group.iter().all(|r| r.weight.unwrap_or(1) == 0);
        let weight = |r: &RecordSet| if silent { 1 } else { u32::from(r.weight.unwrap_or(1)) };
        let choices: Vec<_> = group.iter().map(|r| (self.region(r), weight(r))).filter(|(_, weight)| *weight > 0).collect();
        if choices.is_empty() {
            return Answers { ttl_ms: NEGATIVE_TTL_MS, choices: vec![(None, 1)] };
        }
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
