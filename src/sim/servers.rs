//! The name servers that a DNS monitor asks: some of the users' resolvers, and the zone's own.

use super::faults::Regions;
use super::resolvers::{RESOLVERS, Resolvers};
use super::rng::{self, Dice, Stream};
use crate::cloud::{Millis, ServerAnswer, Value};
use crate::plan::{DnsSource, DnsTarget, MonitorId, Plan, ZoneServers};

/// How many name servers a zone has whose plan does not name them: as many as Route 53 gives it.
const ZONE_SERVERS: usize = 4;

/// A DNS monitor, prepared.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    pub(super) monitor: MonitorId,
    /// Chosen resolvers, and which of the simulated ones each is. One name is one resolver, whichever monitor asks it.
    resolvers: Vec<(String, usize)>,
    zone: Vec<String>,
    /// Region → what an answer that leads there looks like.
    answers: Vec<(String, String)>,
    /// It asks for the record that carries the traffic, and the type of it.
    of_traffic: bool,
}

impl Servers {
    pub(super) fn new(dice: Dice, monitor: MonitorId, source: &DnsSource, plan: &Plan) -> Servers {
        let which = |name: &str| {
            let roll = dice.roll(Stream::NamedResolver, rng::text(&[name]), 0);
            usize::try_from(rng::below(roll, rng::index(RESOLVERS))).unwrap_or(0)
        };
        let text = |target: &DnsTarget| match target {
            DnsTarget::Address(address) => address.to_string(),
            DnsTarget::Name(name) => name.clone(),
        };
        let answer = |(region, targets): &(String, Vec<DnsTarget>)| Some((region.clone(), text(targets.first()?)));
        Servers {
            monitor,
            resolvers: source.resolvers.iter().map(|server| (server.name.clone(), which(&server.name))).collect(),
            zone: match &source.zone_servers {
                ZoneServers::None => Vec::new(),
                ZoneServers::Found => (1..=ZONE_SERVERS).map(|number| format!("ns-{number}")).collect(),
                ZoneServers::Listed(listed) => listed.iter().map(|server| server.name.clone()).collect(),
            },
            answers: source.leads_to.iter().filter_map(answer).collect(),
            of_traffic: plan.traffic.as_ref().is_some_and(|traffic| traffic.record == source.name),
        }
    }

    /// What all of them answer at a time. `resolvers` are those behind which the users sit.
    pub(super) fn read(&self, resolvers: Option<&Resolvers>, regions: &Regions, at: Millis) -> Value {
        let Some(resolvers) = resolvers.filter(|_| self.of_traffic) else {
            return Value::Missing("the simulated cloud answers for the name that carries the traffic, and no other".to_owned());
        };
        let asked = self.resolvers.iter().map(|(name, number)| (name, false, resolvers.remembered(*number, at)));
        let own = self.zone.iter().enumerate().map(|(number, name)| (name, true, resolvers.in_sync(number, at)));
        let said = |(name, zone, (region, left_ms)): (&String, bool, (Option<usize>, i64))| {
            let region = region.map(|region| regions.names()[region].as_str());
            let known = self.answers.iter().find(|(known, _)| Some(known.as_str()) == region);
            ServerAnswer {
                server: name.clone(),
                zone,
                answer: Some(match (known, region) {
                    (Some((_, answer)), _) => answer.clone(),
                    (None, Some(region)) => format!("an address in {region}"),
                    (None, None) => "no such name".to_owned(),
                }),
                region: known.map(|(region, _)| region.clone()),
                // What is left of a second is a second.
                ttl_s: u32::try_from((left_ms + 999) / 1_000).ok(),
                trouble: known.is_none().then(|| "leads nowhere known".to_owned()),
            }
        };
        Value::Servers(asked.chain(own).map(said).collect())
    }
}
