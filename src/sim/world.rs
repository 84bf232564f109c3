//! The world: takes effects, says what they are answered and when.

use std::sync::Arc;

use super::calls::{CallRecord, Deed, Outcome};
use super::faults::{Faults, RegionId, Regions};
use super::metrics::{Gauge, Metrics};
use super::probes::{NO_RECORD_MS, Probe};
use super::resolvers::{RESOLVERS, Resolvers};
use super::rng::{self, Dice, Stream};
use super::stacks::{Accepted, Stacks};
use super::traffic::TrafficMap;
use super::zone::Zones;
use crate::cloud::{
    Answer, Call, CallId, Effect, Failure, FailureKind, Millis, PollKind, Query, Reading, Receipt, Value, poll_groups,
};
use crate::plan::{FaultKind, MonitorId, Plan, Scenario, Source, StepId};
use crate::run::event::Event;

/// How long it takes to give up on a region that does not answer, in milliseconds.
const CONNECT_TIMEOUT_MS: i64 = 3_000;
/// Where Route 53's control plane is (rule 5).
const ROUTE53_REGION: &str = "us-east-1";

/// A simulated cloud at work.
#[derive(Debug, Clone)]
pub struct World {
    dice: Dice,
    regions: Regions,
    /// The number of [`ROUTE53_REGION`].
    route53: RegionId,
    faults: Faults,
    zones: Zones,
    traffic: Option<TrafficMap>,
    metrics: Metrics,
    stacks: Stacks,
    groups: Vec<Group>,
    /// When the newest mutation took effect; they take effect in the order in which they arrive.
    applied: Millis,
    log: Vec<CallRecord>,
}

/// A poll group, prepared so that polling compares no names.
#[derive(Debug, Clone)]
struct Group {
    region: Option<RegionId>,
    watched: Watched,
}

/// What a poll group reads.
#[derive(Debug, Clone)]
enum Watched {
    /// Monitor and slot of the stack.
    Stacks(Vec<(MonitorId, usize)>),
    Metrics(Vec<(MonitorId, Gauge)>),
    Probe(MonitorId, Box<Probe>),
}

/// A log that the model no longer answers in the same way: it was made under other rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} of the simulated cloud's log has another outcome when it is replayed")]
pub struct Diverged {
    /// Index of the first entry that differs, from 0.
    pub entry: usize,
}

impl World {
    /// The world as the plan's `drill` describes it, at `start` (Unix milliseconds of virtual time).
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a world may come to keep the plan, and callers hold an Arc anyway")]
    pub fn new(plan: Arc<Plan>, scenario: &Scenario, seed: u64, start: Millis) -> World {
        let dice = Dice::new(seed);
        let mut regions = Regions::default();
        let route53 = regions.number(ROUTE53_REGION);
        for region in &plan.regions {
            regions.number(&region.name);
        }
        for region in plan.drill.latency.values().flat_map(|rows| rows.keys()) {
            regions.number(region);
        }
        let faults = Faults::new(&scenario.faults, start, plan.monitors.len(), &mut regions);
        let zones = Zones::new(dice, &plan);
        let traffic = TrafficMap::new(&plan, &mut regions);
        let resolvers = traffic.as_ref().map(|t| Resolvers::new(dice, start, t.answers(zones.newest(t.zone()))));
        let metrics = Metrics::new(dice, resolvers, plan.drill.requests_per_second);
        let mut stacks = Stacks::new(dice, &plan, start);
        let groups = groups(&plan, &mut regions, &mut stacks);
        World { dice, regions, route53, faults, zones, traffic, metrics, stacks, groups, applied: start, log: Vec::new() }
    }

    /// Takes a request at virtual time `now`; says when its answer arrives and what it is. A mutation takes
    /// effect half-way between the two.
    ///
    /// Mutations must be handed over in the order of `now`; each of them is also put on the log.
    pub fn perform(&mut self, now: Millis, effect: &Effect) -> (Millis, Event) {
        match effect {
            Effect::Ask(query) => {
                let (at, result) = self.ask(now, query);
                (at, Event::Answer { query: query.clone(), result })
            }
            Effect::Send { id, token, call, template } => {
                let (at, result) = self.send(now, *id, token, call, template.as_deref());
                (at, Event::Sent { id: *id, result })
            }
        }
    }

    /// Makes something go wrong from `now` on, by hand and for good.
    pub fn inject(&mut self, now: Millis, kind: FaultKind) {
        self.faults.begin(now, None, &kind, &mut self.regions);
        self.log.push(CallRecord { at: now, deed: Deed::Fault(kind) });
    }

    /// Says that a step's first mutating call was accepted, or that it started if it makes none: faults that
    /// wait for it get their time. Only the first time counts.
    pub fn step_reached(&mut self, step: StepId, now: Millis) {
        if self.faults.step_reached(step, now, &mut self.regions) {
            self.log.push(CallRecord { at: now, deed: Deed::Step(step) });
        }
    }

    /// How many of the users' requests failed from `from` until `until` (Unix milliseconds): the truth that a
    /// drill's measurements are compared with.
    #[must_use]
    pub fn requests_failed(&self, from: Millis, until: Millis) -> u64 {
        self.metrics.failed(from, until, &self.faults, self.regions.names().len())
    }

    /// Everything that was done to this world, in order.
    #[must_use]
    pub fn calls(&self) -> &[CallRecord] {
        &self.log
    }

    /// The log as JSON: an array of [`CallRecord`]s, all that [`World::restore`] needs besides the arguments of
    /// [`World::new`].
    ///
    /// # Panics
    ///
    /// Never: a log holds nothing that JSON cannot hold.
    #[must_use]
    pub fn export(&self) -> serde_json::Value {
        serde_json::to_value(&self.log).expect("a log holds nothing that JSON cannot hold")
    }

    /// The world that a log came from: everything on it is done again at its time.
    ///
    /// # Errors
    ///
    /// [`Diverged`] when an entry has another outcome than before, so plan, scenario, seed, start or
    /// [`RULES_VERSION`](super::RULES_VERSION) are not those of the log.
    pub fn restore(
        plan: Arc<Plan>,
        scenario: &Scenario,
        seed: u64,
        start: Millis,
        log: &[CallRecord],
    ) -> Result<World, Diverged> {
        let mut world = World::new(plan, scenario, seed, start);
        for (entry, record) in log.iter().enumerate() {
            match &record.deed {
                Deed::Call { id, token, call, template, outcome: _ } => {
                    // The answer went out when the call was first made; the log below tells whether it is the same.
                    let _ = world.send(record.at, *id, token, call, template.as_deref());
                }
                Deed::Fault(kind) => world.inject(record.at, kind.clone()),
                Deed::Step(step) => world.step_reached(*step, record.at),
            }
            if world.log.get(entry) != Some(record) {
                return Err(Diverged { entry });
            }
        }
        Ok(world)
    }

    fn send(
        &mut self,
        now: Millis,
        id: CallId,
        token: &str,
        call: &Call,
        template: Option<&str>,
    ) -> (Millis, Result<Receipt, Failure>) {
        let latency = self.dice.between(Stream::CallLatency, rng::text(&[token]) ^ id, rng::time(now), 150, 400);
        let down = self.down(call.region(), now);
        let (answered, result) = if let Some(failure) = down {
            (now + CONNECT_TIMEOUT_MS, Err(failure))
        } else {
            self.applied = self.applied.max(now + latency / 2);
            ((now + latency).max(self.applied), self.apply(token, call, template))
        };
        let outcome = match &result {
            Ok(Accepted::Applied(id)) => Outcome::Applied(id.clone()),
            Ok(Accepted::Repeated(id)) => Outcome::Repeated(id.clone()),
            Err(failure) => Outcome::Refused(failure.kind, failure.message.clone()),
        };
        let deed = Deed::Call {
            id,
            token: token.to_owned(),
            call: Box::new(call.clone()),
            template: template.map(str::to_owned),
            outcome,
        };
        self.log.push(CallRecord { at: now, deed });
        (answered, result.map(|accepted| Receipt { id: accepted.id().to_owned() }))
    }

    fn apply(&mut self, token: &str, call: &Call, template: Option<&str>) -> Result<Accepted, Failure> {
        let Call::ChangeRecords { zone, delete, create } = call else {
            return self.stacks.perform(self.applied, token, call, template);
        };
        let change = self.zones.change(zone, delete, create, self.applied, token)?;
        if let (Some(traffic), Some(resolvers)) = (&self.traffic, self.metrics.resolvers_mut())
            && traffic.zone() == zone
        {
            resolvers.change(change.in_sync_at, traffic.answers(self.zones.newest(zone)));
        }
        Ok(Accepted::Applied(change.id))
    }

    fn ask(&mut self, now: Millis, query: &Query) -> (Millis, Result<Answer, Failure>) {
        match query {
            Query::Records { zone, name } => self.read(now, ROUTE53_REGION, &["records", zone, name], |seen| {
                self.zones.records(zone, name, seen).map(Answer::Records)
            }),
            Query::Change { id } => self.read(now, ROUTE53_REGION, &["change", id], |seen| {
                self.zones.in_sync(id, seen).map(|in_sync| Answer::Change { in_sync })
            }),
            Query::Stack { region, stack } => self.read(now, region, &["stack", region, stack], |seen| {
                Ok(Answer::Stack(self.stacks.describe(region, stack, seen)))
            }),
            Query::StackEvents { region, stack } => self.read(now, region, &["events", region, stack], |seen| {
                self.stacks.events(region, stack, seen).map(Answer::StackEvents)
            }),
            Query::ChangeSet { region, stack, change_set } => {
                self.read(now, region, &["change-set", region, stack, change_set], |seen| {
                    Ok(Answer::ChangeSet(self.stacks.change_set(region, stack, change_set, seen)))
                })
            }
            Query::HealthCheck { id } => self.read(now, ROUTE53_REGION, &["health-check", id], |_| {
                Err(Failure { kind: FailureKind::Refused, message: format!("NoSuchHealthCheck: {id}") })
            }),
            Query::Credentials => (now + 1, Ok(Answer::Credentials { expires: None })),
            Query::Poll(group) => self.poll(now, *group),
        }
    }

    /// A query to a region's control plane, which looks half-way between question and answer.
    fn read(
        &self,
        now: Millis,
        region: &str,
        salt: &[&str],
        look: impl FnOnce(Millis) -> Result<Answer, Failure>,
    ) -> (Millis, Result<Answer, Failure>) {
        if let Some(failure) = self.down(region, now) {
            return (now + CONNECT_TIMEOUT_MS, Err(failure));
        }
        let latency = self.query_latency(rng::text(salt), now);
        (now + latency, look(now + latency / 2))
    }

    fn poll(&mut self, now: Millis, number: usize) -> (Millis, Result<Answer, Failure>) {
        let Some(group) = self.groups.get(number) else {
            let message = format!("there is no poll group {number}");
            return (now + 1, Err(Failure { kind: FailureKind::Refused, message }));
        };
        let down = group.region.is_some_and(|region| self.faults.is_down(region, now));
        let latency = if down { CONNECT_TIMEOUT_MS } else { self.query_latency(rng::index(number), now) };
        let missing = || Reading { at: now, value: Value::Missing("region does not answer".to_owned()) };
        let (answered, readings) = match &group.watched {
            Watched::Probe(monitor, probe) => {
                let (took, value) = self.probe(now, *monitor, probe, group.region);
                (now + took, vec![(*monitor, Reading { at: now, value })])
            }
            Watched::Stacks(stacks) => {
                let seen = now + latency / 2;
                let look = |slot| {
                    let status = self.stacks.status(slot, seen).unwrap_or("ABSENT");
                    Reading { at: seen, value: Value::Status(status.to_owned()) }
                };
                let readings = stacks.iter().map(|(m, slot)| (*m, if down { missing() } else { look(*slot) })).collect();
                (now + latency, readings)
            }
            Watched::Metrics(gauges) => {
                let regions = self.regions.names().len();
                let mut read = |m: MonitorId, gauge| self.metrics.read(m, gauge, now, &self.faults, regions);
                let readings = gauges.iter().map(|(m, gauge)| (*m, if down { missing() } else { read(*m, *gauge) })).collect();
                (now + latency, readings)
            }
        };
        (answered, Ok(Answer::Readings(readings)))
    }

    /// How long one HTTP request takes, in milliseconds, and what is seen of it.
    fn probe(&self, now: Millis, monitor: MonitorId, probe: &Probe, pinned: Option<RegionId>) -> (i64, Value) {
        let region = pinned.or_else(|| {
            let roll = self.dice.roll(Stream::ProbeResolver, rng::index(monitor), rng::time(now));
            let resolver = usize::try_from(rng::below(roll, rng::index(RESOLVERS))).unwrap_or(0);
            self.metrics.resolvers()?.cached(resolver, now)
        });
        let Some(region) = region else { return (NO_RECORD_MS, Value::Failed("dns".to_owned())) };
        let (measured_us, total_us) = probe.run(self.dice, region, now);
        if self.faults.is_down(region, now) || total_us > probe.timeout_ms * 1_000 {
            return (probe.timeout_ms, Value::Failed("timeout".to_owned()));
        }
        (total_us / 1_000 + 1, Value::Number(measured_us))
    }

    fn query_latency(&self, salt: u64, now: Millis) -> i64 {
        self.dice.between(Stream::QueryLatency, salt, rng::time(now), 20, 120)
    }

    /// The failure of a request to a region's control plane, if that is down.
    fn down(&self, region: &str, now: Millis) -> Option<Failure> {
        let number = if region == ROUTE53_REGION { Some(self.route53) } else { self.regions.find(region) };
        let down = number.is_some_and(|number| self.faults.is_down(number, now));
        down.then(|| Failure { kind: FailureKind::Unreachable, message: format!("could not connect to {region}: timed out") })
    }
}

/// The plan's poll groups with every name looked up.
fn groups(plan: &Plan, regions: &mut Regions, stacks: &mut Stacks) -> Vec<Group> {
    let polls = poll_groups(plan);
    for poll in polls.iter().filter(|p| !p.region.is_empty()) {
        regions.number(&poll.region);
    }
    let mut prepared = Vec::with_capacity(polls.len());
    for poll in polls {
        let sources = poll.monitors.iter().map(|m| (*m, &plan.monitors[*m].source));
        let watched = match poll.kind {
            PollKind::Stacks => {
                let named = sources.filter_map(|(m, s)| if let Source::Stack { stack } = s { Some((m, stack)) } else { None });
                Watched::Stacks(named.map(|(m, stack)| (m, stacks.slot(&poll.region, stack))).collect())
            }
            PollKind::Metrics => {
                let metrics = sources.filter_map(|(m, s)| if let Source::Metric(metric) = s { Some((m, metric)) } else { None });
                Watched::Metrics(metrics.map(|(m, metric)| (m, Gauge::new(m, metric, plan, regions))).collect())
            }
            PollKind::Probe => {
                let mut probes = sources.filter_map(|(m, s)| if let Source::Http(http) = s { Some((m, http)) } else { None });
                let Some((m, http)) = probes.next() else { continue };
                Watched::Probe(m, Box::new(Probe::new(m, http, plan, regions)))
            }
        };
        let region = (!poll.region.is_empty()).then(|| regions.number(&poll.region));
        prepared.push(Group { region, watched });
    }
    prepared
}
