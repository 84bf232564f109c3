//! The world: takes effects, says what they are answered and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::{self, ANSWER_TIMEOUT_MS, Fate, Plane};
use super::calls::{CallRecord, Deed, Outcome};
use super::faults::{Edit, Faults, RegionId, Regions};
use super::health::Checks;
use super::machine::Machine;
use super::metrics::{BEGINS_MS, Gauge, Metrics, Scene};
use super::probes::{NO_RECORD_MS, Probe};
use super::resolvers::{RESOLVERS, RESOLVERS_MS};
use super::rng::{self, Dice, Stream};
use super::servers::Servers;
use super::stacks::{Accepted, Stacks};
use super::traffic::Traffic;
use super::zone::Zones;
use crate::cloud::{
    Answer, Call, CallId, Effect, Failure, FailureKind, Millis, PollKind, Query, Reading, Receipt, Value, poll_groups,
};
use crate::plan::{FaultKind, MonitorId, Plan, ROUTE53_REGION, RecordSet, Scenario, Source, StepId};
use crate::run::event::Event;

/// How long a fault lasts that was injected by hand and that somebody would mend, in milliseconds: nobody in a drill logs
/// in, raises a limit or waits for a network.
pub const BY_HAND_MS: i64 = 600_000;

/// A simulated cloud at work.
#[derive(Debug, Clone)]
pub struct World {
    dice: Dice,
    regions: Regions,
    /// The number of [`ROUTE53_REGION`].
    route53: RegionId,
    faults: Faults,
    zones: Zones,
    checks: Checks,
    traffic: Option<Traffic>,
    metrics: Metrics,
    stacks: Stacks,
    machine: Machine,
    groups: Vec<Group>,
    /// The metrics that a step enables, and since when they are published.
    begins: BTreeMap<MonitorId, Option<Millis>>,
    enabled_by: BTreeMap<MonitorId, StepId>,
    /// When the newest mutation took effect; they take effect in the order in which they arrive.
    applied: Millis,
    /// What will happen by itself, by time and then by when it became known.
    later: BTreeMap<(Millis, usize), Later>,
    /// How many such things there have been.
    known: usize,
    log: Vec<CallRecord>,
}

/// Something that happens by itself.
#[derive(Debug, Clone)]
enum Later {
    /// Somebody else changes a weight.
    Edit(Edit),
    /// A late call arrives.
    Call { id: CallId, token: String, call: Box<Call>, template: Option<String> },
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
    /// Monitor, what it reads, and the health check whose status that is.
    Metrics(Vec<(MonitorId, Gauge, Option<String>)>),
    Probe(MonitorId, Box<Probe>),
    Servers(Box<Servers>),
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
        let mut checks = Checks::new(dice, &plan, &mut regions);
        checks.follow(&faults, regions.names().len());
        let traffic = Traffic::new(dice, &plan, start, |zone| zones.newest(zone).to_vec(), &checks, &mut regions);
        let metrics = Metrics::new(dice, plan.drill.requests_per_second);
        let mut stacks = Stacks::new(dice, &plan, start);
        let groups = groups(dice, &plan, &checks, &mut regions, &mut stacks);
        let mut world = World {
            dice,
            regions,
            route53,
            faults,
            zones,
            checks,
            traffic,
            metrics,
            stacks,
            machine: Machine::new(&plan),
            groups,
            begins: plan.drill.metrics_after.keys().map(|monitor| (*monitor, None)).collect(),
            enabled_by: plan.drill.metrics_after.clone(),
            applied: start,
            later: BTreeMap::new(),
            known: 0,
            log: Vec::new(),
        };
        world.follow(start);
        world
    }

    /// Takes a request at virtual time `now`; says when its answer arrives and what it is. A mutation takes
    /// effect half-way between the two.
    ///
    /// Mutations must be handed over in the order of `now`; each of them is also put on the log.
    pub fn perform(&mut self, now: Millis, effect: &Effect) -> (Millis, Event) {
        self.advance(now);
        match effect {
            Effect::Ask(query) => {
                let (at, result) = self.ask(now, query);
                (at, Event::Answer { query: query.clone(), result })
            }
            Effect::Send { id, sending, token, call, text } => {
                let (at, result) = self.send(now, *id, token, call, text.as_deref());
                (at, Event::Sent { id: *id, sending: *sending, result })
            }
            Effect::Stop { id, sending } => {
                self.log.push(CallRecord { at: now, deed: Deed::Stop { id: *id } });
                let (at, result) = self.machine.stop(now, *id);
                (at, Event::Sent { id: *id, sending: *sending, result })
            }
        }
    }

    /// Makes something go wrong from `now` on, by hand: for good, or for [`BY_HAND_MS`].
    pub fn inject(&mut self, now: Millis, kind: FaultKind) {
        self.advance(now);
        let passing = matches!(
            kind,
            FaultKind::CredentialsExpire { .. }
                | FaultKind::Throttle { .. }
                | FaultKind::LoseAnswers { .. }
                | FaultKind::LateAnswers { .. }
        );
        self.faults.begin(now, passing.then_some(BY_HAND_MS), &kind, &mut self.regions);
        self.follow(now);
        self.log.push(CallRecord { at: now, deed: Deed::Fault(kind) });
    }

    /// Says that a step's first mutating call was accepted, or that it started if it makes none: faults that
    /// wait for it get their time. Only the first time counts.
    pub fn step_reached(&mut self, step: StepId, now: Millis) {
        self.advance(now);
        let mut matters = self.faults.step_reached(step, now, &mut self.regions);
        if matters {
            self.follow(now);
        }
        for monitor in self.enabled_by.iter().filter(|(_, by)| **by == step).map(|(monitor, _)| monitor) {
            let begins = self.begins.entry(*monitor).or_default();
            matters |= begins.is_none();
            begins.get_or_insert(now + BEGINS_MS);
        }
        if matters {
            self.log.push(CallRecord { at: now, deed: Deed::Step(step) });
        }
    }

    /// How many of the users' requests failed from `from` until `until` (Unix milliseconds): the truth that a
    /// drill's measurements are compared with.
    #[must_use]
    pub fn requests_failed(&self, from: Millis, until: Millis) -> u64 {
        self.metrics.failed(from, until, self.scene())
    }

    /// The share of the users' requests that went to a region from `from` until `until` (Unix milliseconds), in millionths.
    #[must_use]
    pub fn share(&self, region: &str, from: Millis, until: Millis) -> i64 {
        let (Some(traffic), Some(region)) = (&self.traffic, self.regions.find(region)) else { return 0 };
        let whole = (until - from).max(1) * RESOLVERS_MS;
        let spread = traffic.resolvers().spread(from, until, self.regions.names().len());
        i64::try_from(i128::from(spread[region]) * 1_000_000 / i128::from(whole)).unwrap_or(0)
    }

    /// When the first fault of the scenario begins, or has begun; `None` while nobody knows.
    #[must_use]
    pub fn first_fault(&self) -> Option<Millis> {
        self.faults.first()
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
                Deed::Stop { id } => {
                    let _ = world.perform(record.at, &Effect::Stop { id: *id, sending: 1 });
                }
                Deed::Landed { .. } | Deed::Edit { .. } => world.advance(record.at),
            }
            if world.log.get(entry) != Some(record) {
                return Err(Diverged { entry });
            }
        }
        Ok(world)
    }

    /// What somebody else or the network does by `now` is done.
    fn advance(&mut self, now: Millis) {
        while let Some(first) = self.later.first_entry().filter(|e| e.key().0 <= now) {
            let due = first.key().0;
            self.applied = self.applied.max(due);
            let deed = match first.remove() {
                Later::Call { id, token, call, template } => {
                    let result = self.apply(&token, &call, template.as_deref());
                    Some(Deed::Landed { id, token, call, outcome: outcome(&result) })
                }
                Later::Edit(edit) => self.edit(edit),
            };
            self.log.extend(deed.map(|deed| CallRecord { at: due, deed }));
        }
    }

    fn later(&mut self, at: Millis, what: Later) {
        self.known += 1;
        self.later.insert((at, self.known), what);
    }

    /// Somebody sets a weight through the console, which needs the control plane like everything else and knows no
    /// compare-and-swap.
    fn edit(&mut self, Edit { zone, record, set, weight }: Edit) -> Option<Deed> {
        if self.faults.is_away(self.route53, self.applied) {
            return None;
        }
        let named = |r: &&RecordSet| r.name == record && r.set.as_ref() == Some(&set);
        let before = self.zones.newest(&zone).iter().find(named).filter(|r| r.weight != Some(weight))?.clone();
        let after = RecordSet { weight: Some(weight), ..before.clone() };
        self.change(&zone, std::slice::from_ref(&before), std::slice::from_ref(&after), "console").ok()?;
        Some(Deed::Edit { zone, before, after })
    }

    fn send(
        &mut self,
        now: Millis,
        id: CallId,
        token: &str,
        call: &Call,
        template: Option<&str>,
    ) -> (Millis, Result<Receipt, Failure>) {
        if call.is_local() {
            return self.send_local(now, id, token, call);
        }
        let salt = rng::text(&[token]) ^ id;
        let latency = self.dice.between(Stream::CallLatency, salt, rng::time(now), 150, 400);
        let plane = if call.control_plane().is_some() { Plane::Control } else { Plane::Data };
        let to = (call.region(), self.regions.find(call.region()), plane);
        let fate = api::of_call(&self.faults, self.dice, to, salt, now);
        let (answered, outcome, result) = match fate {
            Fate::Answered | Fate::AnswerLost => {
                self.applied = self.applied.max(now + latency / 2);
                let result = self.apply(token, call, template);
                let outcome = outcome(&result);
                if fate == Fate::AnswerLost {
                    (now + ANSWER_TIMEOUT_MS, outcome, Err(api::unanswered()))
                } else {
                    let receipt = result.map(|accepted| Receipt::of(accepted.id().to_owned()));
                    ((now + latency).max(self.applied), outcome, receipt)
                }
            }
            Fate::Refused(after, failure) => (now + after, Outcome::Refused(failure.kind, failure.message.clone()), Err(failure)),
            Fate::RequestLost => {
                let outcome = Outcome::Refused(FailureKind::Unknown, "it never arrived".to_owned());
                (now + ANSWER_TIMEOUT_MS, outcome, Err(api::unanswered()))
            }
            Fate::Late(by) => {
                let (call, template) = (Box::new(call.clone()), template.map(str::to_owned));
                self.later(now + by, Later::Call { id, token: token.to_owned(), call, template });
                (now + ANSWER_TIMEOUT_MS, Outcome::Late, Err(api::unanswered()))
            }
        };
        let deed = Deed::Call {
            id,
            token: token.to_owned(),
            call: Box::new(call.clone()),
            template: template.map(str::to_owned),
            outcome,
        };
        self.log.push(CallRecord { at: now, deed });
        (answered, result)
    }

    /// What the engine does on its own machine: no network loses or delays it.
    fn send_local(&mut self, now: Millis, id: CallId, token: &str, call: &Call) -> (Millis, Result<Receipt, Failure>) {
        let is_away = |region: &str| self.regions.find(region).is_some_and(|region| self.faults.is_away(region, now));
        let (at, result) = self.machine.perform(now, id, call, is_away, self.faults.expired(now));
        let accepted = |changed| if changed { Accepted::Applied(String::new()) } else { Accepted::Repeated(String::new()) };
        let outcome = outcome(&result.as_ref().map(|(_, changed)| accepted(*changed)).map_err(Clone::clone));
        let result = result.map(|(receipt, _)| receipt);
        let deed = Deed::Call { id, token: token.to_owned(), call: Box::new(call.clone()), template: None, outcome };
        self.log.push(CallRecord { at: now, deed });
        (at, result)
    }

    /// The newest lines that a script or a request has given by `now`.
    #[must_use]
    pub fn output(&self, id: CallId, now: Millis) -> &[String] {
        self.machine.output(id, now)
    }

    /// The text of a file of the working tree, as edits have left it.
    #[must_use]
    pub fn file(&self, file: &str) -> Option<&str> {
        self.machine.file(file).ok()
    }

    fn apply(&mut self, token: &str, call: &Call, template: Option<&str>) -> Result<Accepted, Failure> {
        let at = self.applied;
        match call {
            Call::ChangeRecords { zone, delete, create } => self.change(zone, delete, create, token).map(Accepted::Applied),
            Call::UpdateHealthCheck { id, version, inverted } => {
                self.checks.update(id, *version, *inverted, at)?;
                self.follow(at);
                Ok(Accepted::Applied(String::new()))
            }
            Call::PutMetric { .. } => {
                let accepted = if self.checks.put(call, at) { Accepted::Applied } else { Accepted::Repeated };
                self.follow(at);
                Ok(accepted(String::new()))
            }
            Call::ExecuteChangeSet { region, stack, .. } if self.faults.stack_fails(region, stack, at) => {
                let accepted = self.stacks.perform(at, token, call, template, true)?;
                if let Accepted::Applied(_) = accepted {
                    self.faults.stack_failed(region, stack, at);
                }
                Ok(accepted)
            }
            Call::CreateChangeSet { .. } | Call::ExecuteChangeSet { .. } | Call::DeleteStack { .. } => {
                self.stacks.perform(at, token, call, template, false)
            }
            Call::RunScript { .. } | Call::EditFile { .. } | Call::MakeRequest { .. } => {
                Err(Failure { kind: FailureKind::Refused, message: "this is no call of a service".to_owned() })
            }
        }
    }

    /// Changes records; the id of the change.
    fn change(&mut self, zone: &str, delete: &[RecordSet], create: &[RecordSet], token: &str) -> Result<String, Failure> {
        let change = self.zones.change(zone, delete, create, self.applied, token)?;
        if let Some(traffic) = self.traffic.as_mut().filter(|t| t.zone() == zone) {
            traffic.change(&change, self.zones.newest(zone));
            self.follow(self.applied);
        }
        Ok(change.id)
    }

    /// Something has changed what the zone's servers will answer, or what will happen by itself.
    fn follow(&mut self, now: Millis) {
        for (at, edit) in self.faults.take_edits() {
            self.later(at, Later::Edit(edit));
        }
        self.checks.follow(&self.faults, self.regions.names().len());
        if let Some(traffic) = &mut self.traffic {
            traffic.follow(now.max(self.applied), &self.checks, &self.faults);
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            faults: &self.faults,
            checks: &self.checks,
            begins: &self.begins,
            resolvers: self.traffic.as_ref().map(Traffic::resolvers),
            regions: self.regions.names().len(),
            route53: self.route53,
        }
    }

    fn ask(&mut self, now: Millis, query: &Query) -> (Millis, Result<Answer, Failure>) {
        match query {
            Query::Records { zone, name } => self.read(now, ROUTE53_REGION, &["records", zone, name], |seen| {
                self.zones.records(zone, name, seen).map(Answer::Records)
            }),
            Query::Change { id } => self.read(now, ROUTE53_REGION, &["change", id], |seen| {
                self.zones.in_sync(id, &self.faults, seen).map(|in_sync| Answer::Change { in_sync })
            }),
            Query::Stack { region, stack } => self.read(now, region, &["stack", region, stack], |seen| {
                Ok(Answer::Stack(self.stacks.describe(region, stack, seen)))
            }),
            Query::StackEvents { region, stack, after } => self.read(now, region, &["events", region, stack], |seen| {
                self.stacks.events(region, stack, after.as_deref(), seen).map(Answer::StackEvents)
            }),
            Query::ChangeSet { region, stack, change_set } => {
                self.read(now, region, &["change-set", region, stack, change_set], |seen| {
                    Ok(Answer::ChangeSet(self.stacks.change_set(region, stack, change_set, seen)))
                })
            }
            Query::HealthCheck { id } => {
                self.read(now, ROUTE53_REGION, &["health-check", id], |seen| self.checks.get(id, seen).map(Answer::HealthCheck))
            }
            Query::File { file } => (now + 1, self.machine.file(file).map(|text| Answer::File(text.to_owned()))),
            Query::DoneIf { job, .. } => (now + 100, Ok(Answer::DoneIf(self.machine.is_done(job, now)))),
            // The provider of the credentials is asked, no service.
            Query::Credentials => (now + 1, Ok(Answer::Credentials { expires: self.faults.expires(now) })),
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
        let salt = rng::text(salt);
        let to = (region, self.regions.find(region), Plane::Control);
        if let Some((after, failure)) = api::turned_away(&self.faults, self.dice, to, salt, now) {
            return (now + after, Err(failure));
        }
        let latency = self.query_latency(salt, now);
        (now + latency, look(now + latency / 2))
    }

    fn poll(&mut self, now: Millis, number: usize) -> (Millis, Result<Answer, Failure>) {
        let Some(group) = self.groups.get(number) else {
            let message = format!("there is no poll group {number}");
            return (now + 1, Err(Failure { kind: FailureKind::Refused, message }));
        };
        let plane = if matches!(group.watched, Watched::Stacks(_)) { Plane::Control } else { Plane::Data };
        let region = group.region.map_or("", |region| self.regions.names()[region].as_str());
        let turned_away = match group.watched {
            Watched::Probe(..) | Watched::Servers(_) => None,
            _ => api::turned_away(&self.faults, self.dice, (region, group.region, plane), rng::index(number), now),
        };
        if let Some((after, failure)) = turned_away {
            return (now + after, Err(failure));
        }
        let latency = self.query_latency(rng::index(number), now);
        let (answered, readings) = match &group.watched {
            Watched::Probe(monitor, probe) => {
                let (took, value) = self.probe(now, *monitor, probe, group.region);
                (now + took, vec![(*monitor, Reading { at: now, value })])
            }
            Watched::Servers(servers) => {
                let value = servers.read(self.traffic.as_ref().map(Traffic::resolvers), &self.regions, now);
                (now + latency, vec![(servers.monitor, Reading { at: now, value })])
            }
            Watched::Stacks(stacks) => {
                let seen = now + latency / 2;
                let look = |slot| {
                    let status = self.stacks.status(slot, seen).unwrap_or("ABSENT");
                    Reading { at: seen, value: Value::Status(status.to_owned()) }
                };
                let readings = stacks.iter().map(|(m, slot)| (*m, look(*slot))).collect();
                let sights = stacks.iter().filter_map(|(m, slot)| self.stacks.sight(*m, *slot, seen)).collect();
                return (now + latency, Ok(Answer::Stacks(readings, sights)));
            }
            Watched::Metrics(gauges) => {
                let scene = Scene {
                    faults: &self.faults,
                    checks: &self.checks,
                    begins: &self.begins,
                    resolvers: self.traffic.as_ref().map(Traffic::resolvers),
                    regions: self.regions.names().len(),
                    route53: self.route53,
                };
                let checks = &self.checks;
                let mut read = |m: MonitorId, gauge, check: Option<&str>| {
                    let reading = self.metrics.read(m, gauge, now, scene);
                    check.map_or(reading.clone(), |id| put_into_words(checks, id, reading, now))
                };
                (now + latency, gauges.iter().map(|(m, gauge, check)| (*m, read(*m, *gauge, check.as_deref()))).collect())
            }
        };
        (answered, Ok(Answer::Readings(readings)))
    }

    /// How long one HTTP request takes, in milliseconds, and what is seen of it.
    fn probe(&self, now: Millis, monitor: MonitorId, probe: &Probe, pinned: Option<RegionId>) -> (i64, Value) {
        let region = pinned.or_else(|| {
            let roll = self.dice.roll(Stream::ProbeResolver, rng::index(monitor), rng::time(now));
            let resolver = usize::try_from(rng::below(roll, rng::index(RESOLVERS))).unwrap_or(0);
            self.traffic.as_ref()?.resolvers().cached(resolver, now)
        });
        let Some(region) = region else { return (NO_RECORD_MS, Value::Failed("dns".to_owned())) };
        let (errors_ppm, slower_us) = self.faults.brownout(region, now).unwrap_or_default();
        let (measured_us, total_us) = probe.run(self.dice, region, slower_us, now);
        if self.faults.is_down(region, now) || total_us > probe.timeout_ms * 1_000 {
            return (probe.timeout_ms, Value::Failed("timeout".to_owned()));
        }
        let answer = if errors_ppm > 0 && api::hits(self.dice, Stream::Brownout, rng::index(monitor), now, errors_ppm) {
            Value::Failed("status 503".to_owned())
        } else {
            Value::Number(measured_us)
        };
        (total_us / 1_000 + 1, answer)
    }

    fn query_latency(&self, salt: u64, now: Millis) -> i64 {
        self.dice.between(Stream::QueryLatency, salt, rng::time(now), 20, 120)
    }
}

/// The status of a health check, with what it makes of its endpoint's.
fn put_into_words(checks: &Checks, id: &str, reading: Reading, now: Millis) -> Reading {
    let value = match (checks.get(id, now), reading.value) {
        (Ok(check), _) if check.disabled => return Reading { at: now, value: Value::Status(check.word(true).to_owned()) },
        (Ok(check), Value::Number(status)) => Value::Status(check.word(status > 0).to_owned()),
        (Ok(_), other) => other,
        (Err(failure), _) => Value::Missing(failure.message),
    };
    Reading { value, ..reading }
}

/// What came of a call, for the log.
fn outcome(result: &Result<Accepted, Failure>) -> Outcome {
    match result {
        Ok(Accepted::Applied(id)) => Outcome::Applied(id.clone()),
        Ok(Accepted::Repeated(id)) => Outcome::Repeated(id.clone()),
        Err(failure) => Outcome::Refused(failure.kind, failure.message.clone()),
    }
}

/// The plan's poll groups with every name looked up.
fn groups(dice: Dice, plan: &Plan, checks: &Checks, regions: &mut Regions, stacks: &mut Stacks) -> Vec<Group> {
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
                let mut gauge = |m, metric| Gauge::new(m, &poll.region, metric, plan, checks, regions);
                let check = |s: &Source| if let Source::HealthCheck { id, .. } = s { Some(id.clone()) } else { None };
                let metrics = sources.filter_map(|(m, s)| Some((m, gauge(m, s.metric()?), check(s))));
                Watched::Metrics(metrics.collect())
            }
            PollKind::Probe => {
                let mut probes = sources.filter_map(|(m, s)| if let Source::Http(http) = s { Some((m, http)) } else { None });
                let Some((m, http)) = probes.next() else { continue };
                Watched::Probe(m, Box::new(Probe::new(m, http, plan, regions)))
            }
            PollKind::Dns => {
                let mut names = sources.filter_map(|(m, s)| if let Source::Dns(dns) = s { Some((m, dns)) } else { None });
                let Some((m, dns)) = names.next() else { continue };
                Watched::Servers(Box::new(Servers::new(dice, m, dns, plan)))
            }
        };
        let region = (!poll.region.is_empty()).then(|| regions.number(&poll.region));
        prepared.push(Group { region, watched });
    }
    prepared
}
