//! What is observed right now: readings, answers, requests under way. Volatile on purpose: after a restart it
//! is empty, so every gate is unknown and every `for:` starts again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::change::Place;
use super::command::{Command, Reply};
use super::downtime::Downtime;
use super::entry::RollbackRef;
use super::event::Event;
use super::gate::{self, Tracker};
use super::history::Sample;
use super::minute::{Gathering, Minute};
use super::moved;
use super::snapshot::Freshness;
use super::stacks::Stacks;
use crate::cloud::{
    Answer, CallId, ChangeSetInfo, Effect, Failure, FailureKind, Millis, NO_DATA_YET, PollGroup, PollKind, Query, Reading,
    ServerAnswer, StackInfo, Value, poll_groups, warm_regions,
};
use crate::plan::{Condition, ConditionId, MonitorId, Plan, Source, format_ms};

/// Most samples that one ring keeps.
const RING: usize = 2_000;
/// Interval of a monitor that nothing depends on, in milliseconds.
const IDLE_MS: i64 = 300_000;
/// Interval of what shows the users' traffic when nothing else is going on, in milliseconds.
const IDLE_SERVICE_MS: i64 = 60_000;
/// How long after a failed reading a monitor stays at full cadence, in milliseconds.
const ALERT_MS: i64 = 600_000;
/// Longest pause for a throttled service on which the proofs of a rollback depend, in milliseconds.
const THROTTLED_PROOF_MS: i64 = 60_000;
/// How long samples are waited for after the end of their minute, in milliseconds.
const MINUTE_PATIENCE_MS: i64 = 60_000;
/// How late CloudWatch publishes, in milliseconds (rule 33).
const METRIC_DELAY_MS: i64 = 120_000;

/// Everything observed.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The poll groups of the plan.
    pub groups: Vec<PollGroup>,
    /// When each group is due, by group.
    due: Vec<Millis>,
    /// The interval each group has now, in milliseconds, by group.
    interval: Vec<i64>,
    /// Rings, by monitor.
    pub rings: Vec<Ring>,
    /// What each monitor has given in the minute that is not over, by monitor.
    gathering: Vec<Gathering>,
    /// Minutes that are over, until they are taken. One whose samples come very late may come in parts.
    pub closed: Vec<(MonitorId, Minute)>,
    /// Whether somebody wants every sample, and those that nobody has taken yet, in order of time for each monitor.
    pub kept: Option<Vec<(MonitorId, Millis, Option<i64>)>>,
    /// Trackers of the conditions that matter now.
    pub trackers: BTreeMap<ConditionId, Tracker>,
    /// Queries under way, and since when.
    asked: BTreeMap<Query, Millis>,
    /// Calls under way, and which sending of each is.
    sent: BTreeMap<CallId, u32>,
    /// Scripts that were told to end.
    stopped: BTreeSet<CallId>,
    /// The newest answer of each query: when it was asked, when it came, what it was.
    answers: BTreeMap<Query, Answered>,
    /// The newest good answer about each place that can be changed, and when it was asked: what is known when the
    /// control plane no longer answers.
    good: BTreeMap<Query, (Millis, Answer)>,
    /// What stacks do beside their status.
    pub stacks: Stacks,
    /// The rollback that somebody is looking at.
    pub prepared: Option<Prepared>,
    /// When the records that a rollback would change are looked after again.
    pub look_after: Millis,
    /// Monitors on which a rollback is armed, and how often they are read at least, in milliseconds.
    proofs: (Vec<MonitorId>, i64),
    /// Groups that their service has told to ask less often, by group.
    throttled: Vec<Option<Throttled>>,
    /// What the probes say of the error budget.
    pub downtime: Downtime,
    /// A rollback is going on: nothing that it may need waits.
    pub rolling_back: bool,
    /// Keys of alerts that were acknowledged.
    pub acknowledged: BTreeSet<String>,
    /// Failed attempts to reach something, in a row.
    pub failures: u32,
    /// The newest failure's words.
    pub failure: Option<Failure>,
}

/// An answer with its times.
#[derive(Debug, Clone)]
pub struct Answered {
    /// When it was asked.
    pub asked: Millis,
    /// When the answer came.
    pub at: Millis,
    /// The answer.
    pub result: Result<Answer, Failure>,
}

/// A group whose service says that it is asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttled {
    /// Since when.
    pub since: Millis,
    /// How often in a row.
    times: u32,
    /// It is not asked again before this, unless a rollback needs it.
    pub until: Millis,
}

/// A rollback that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Which.
    pub of: RollbackRef,
    /// Since when; records must have been read after this.
    pub since: Millis,
}

/// The samples of one monitor.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    /// Samples, oldest first. Shared with the snapshots, so that a screen shows what gates read and nothing is copied.
    pub samples: Arc<VecDeque<Sample>>,
    /// The newest reading, missing ones included.
    pub latest: Option<Reading>,
    /// When the newest failed sample was taken.
    pub last_failed: Option<Millis>,
    /// The time of the newest reading that told a value, be it a failure.
    pub told: Option<Millis>,
    /// When its source answered last, be it to say that there is no data.
    pub heard: Option<Millis>,
    /// What each name server said, for the newest reading; empty for what is no DNS monitor.
    pub servers: Vec<ServerAnswer>,
    /// Since when its limit is breached.
    pub breached: Option<Millis>,
}

impl Watch {
    /// An empty watch.
    #[must_use]
    pub fn new(plan: &Plan) -> Watch {
        let groups = poll_groups(plan);
        let throttled = vec![None; groups.len()];
        Watch {
            due: vec![Millis::MIN; groups.len()],
            interval: vec![IDLE_MS; groups.len()],
            groups,
            rings: vec![Ring::default(); plan.monitors.len()],
            gathering: vec![Gathering::default(); plan.monitors.len()],
            closed: Vec::new(),
            kept: None,
            trackers: BTreeMap::new(),
            asked: BTreeMap::new(),
            sent: BTreeMap::new(),
            stopped: BTreeSet::new(),
            answers: BTreeMap::new(),
            good: BTreeMap::new(),
            stacks: Stacks::default(),
            prepared: None,
            look_after: Millis::MIN,
            proofs: (Vec::new(), IDLE_MS),
            throttled,
            downtime: Downtime::new(plan),
            rolling_back: false,
            acknowledged: BTreeSet::new(),
            failures: 0,
            failure: None,
        }
    }

    /// Takes in what an event shows, before anything is decided on it.
    pub fn observe(&mut self, plan: &Plan, now: Millis, event: &Event) {
        self.close_minutes(now);
        match event {
            Event::Answer { query, result } => {
                let asked = self.asked.remove(query).unwrap_or(now);
                if let Query::StackEvents { region, stack, .. } = query {
                    // They only tell more of what a stack's status says: without them nothing is held up.
                    let events = match result {
                        Ok(Answer::StackEvents(events)) => Ok(events.as_slice()),
                        Ok(_) => Ok([].as_slice()),
                        Err(failure) => Err(failure),
                    };
                    self.stacks.answered(region, stack, events);
                    return;
                }
                if let Query::Poll(group) = query {
                    if let (Some(group), Ok(Answer::Stacks(readings, sights))) = (self.groups.get(*group), result) {
                        self.stacks.saw(plan, group, now, readings, sights);
                    }
                    self.back_off(plan, now, *group, result);
                    self.readings(plan, now, *group, result);
                    return;
                }
                match result {
                    Ok(_) => self.failures = 0,
                    Err(failure) => self.failed(failure.clone()),
                }
                if let (Query::Records { .. } | Query::HealthCheck { .. } | Query::File { .. }, Ok(answer)) = (query, result) {
                    self.good.insert(query.clone(), (asked, answer.clone()));
                }
                self.answers.insert(query.clone(), Answered { asked, at: now, result: result.clone() });
            }
            Event::Sent { id, sending, result } => {
                // What nobody waits for any more, such as a second answer to an earlier sending, ends no later one.
                if self.sent.get(id) != Some(sending) {
                    return;
                }
                self.sent.remove(id);
                match result {
                    Ok(_) => self.failures = 0,
                    Err(failure) => self.failed(failure.clone()),
                }
            }
            Event::Command { command, .. } => match command {
                Command::CancelRollback => self.prepared = None,
                Command::Continue => {
                    self.failures = 0;
                    self.prepared = None;
                }
                _ => {}
            },
            Event::Tick => {}
        }
    }

    /// Ends the minutes to which nothing is added any more, also when their monitor has gone silent.
    fn close_minutes(&mut self, now: Millis) {
        // Minutes can be over only when the clock has passed a full one: nothing is done for any other event.
        if !self.downtime.is_due(now) {
            return;
        }
        for (monitor, gathering) in self.gathering.iter_mut().enumerate() {
            self.closed.extend(gathering.end_before(now, MINUTE_PATIENCE_MS).map(|minute| (monitor, minute)));
        }
    }

    /// Ends every minute as it is: nothing more will be added.
    pub fn end_minutes(&mut self) {
        for (monitor, gathering) in self.gathering.iter_mut().enumerate() {
            self.closed.extend(gathering.end_before(Millis::MAX, 0).map(|minute| (monitor, minute)));
        }
    }

    fn failed(&mut self, failure: Failure) {
        self.failures += 1;
        self.failure = Some(failure);
    }

    /// Asks a service less often that says that it is asked too often: after a pause that doubles, up to the interval of
    /// what nothing depends on. What a rollback is armed on, or will talk to, is asked once a minute all the same.
    fn back_off(&mut self, plan: &Plan, now: Millis, group: usize, result: &Result<Answer, Failure>) {
        let Some(of) = self.groups.get(group) else { return };
        match result {
            Ok(_) => self.throttled[group] = None,
            Err(failure) if failure.kind == FailureKind::Throttled => {
                let (stacks, switches) = warm_regions(plan);
                let region = of.region.as_str();
                let needed =
                    of.monitors.iter().any(|m| self.proofs.0.contains(m)) || stacks.contains(region) || switches.contains(region);
                let before = self.throttled[group];
                let times = before.map_or(1, |b| b.times.saturating_add(1));
                let most = if needed { THROTTLED_PROOF_MS } else { IDLE_MS };
                let pause = (self.interval[group].max(1_000) << times.min(16)).min(most);
                // Groups that were turned away together do not come back together. The core has no randomness.
                let spread = mixed(now.unsigned_abs() ^ ((group as u64) << 48) ^ u64::from(times)) % 1_000;
                let pause = pause - pause / 4 * i64::try_from(spread).unwrap_or(0) / 1_000;
                self.throttled[group] = Some(Throttled { since: before.map_or(now, |b| b.since), times, until: now + pause });
            }
            Err(_) => {}
        }
    }

    /// What is throttled, by group.
    pub fn throttled(&self) -> impl Iterator<Item = (&PollGroup, Throttled)> {
        self.groups.iter().zip(&self.throttled).filter_map(|(group, throttled)| Some((group, (*throttled)?)))
    }

    /// When a group is due. A pause for a service that throttles gives way to a rollback and to an outage.
    fn due_at(&self, group: usize) -> Millis {
        let urgent = self.rolling_back || self.prepared.is_some() || self.proofs.1 == 0;
        let pause = self.throttled[group].filter(|_| !urgent).map_or(Millis::MIN, |t| t.until);
        self.due[group].max(pause)
    }

    fn readings(&mut self, plan: &Plan, now: Millis, group: usize, result: &Result<Answer, Failure>) {
        let heard = result.is_ok();
        let readings = match result {
            Ok(Answer::Readings(readings) | Answer::Stacks(readings, _)) => readings.clone(),
            Ok(_) => Vec::new(),
            Err(failure) => {
                let missing = Value::Missing(failure.message.clone());
                let monitors = self.groups.get(group).map(|g| g.monitors.clone()).unwrap_or_default();
                monitors.into_iter().map(|m| (m, Reading { at: now, value: missing.clone() })).collect()
            }
        };
        let mut alarmed = false;
        for (monitor, mut reading) in readings {
            let mut servers = Vec::new();
            if let (Value::Servers(said), Source::Dns(source)) = (&mut reading.value, &plan.monitors[monitor].source) {
                servers = std::mem::take(said);
                reading.value = moved::value(source, &servers);
            }
            // What has told values before and tells none now is not new: it is old.
            if let (Value::Missing(why), Some(told)) = (&mut reading.value, self.rings[monitor].told)
                && let Some(whose) = why.strip_suffix(NO_DATA_YET)
            {
                *why = format!("{whose}stale: no data for {}", format_ms((now - told) / 60_000 * 60_000));
            }
            alarmed |= matches!(reading.value, Value::Failed(_)) || self.rings[monitor].last_failed.is_some();
            let gap_ms = self.stale_after_ms(plan, monitor);
            let ring = &mut self.rings[monitor];
            if heard {
                ring.heard = Some(now);
            }
            let tells = !matches!(reading.value, Value::Missing(_));
            // An answer that comes late tells of an earlier time, and must not hide what is known of a later one.
            if tells && ring.told.is_some_and(|at| reading.at < at) {
                continue;
            }
            let fresh = tells && ring.told.is_none_or(|at| reading.at > at);
            let broken = tells && ring.told.is_some_and(|at| reading.at - at > gap_ms);
            if tells {
                ring.told = Some(reading.at);
            }
            let sample = match &reading.value {
                Value::Number(number) if fresh => Some(Some(*number)),
                Value::Failed(_) if fresh => {
                    ring.last_failed = Some(now);
                    Some(None)
                }
                _ => None,
            };
            if let Some(sample) = sample {
                let samples = Arc::make_mut(&mut ring.samples);
                samples.push_back((reading.at, sample));
                if samples.len() > RING {
                    samples.pop_front();
                }
                if let Some(kept) = &mut self.kept {
                    kept.push((monitor, reading.at, sample));
                }
                self.closed.extend(self.gathering[monitor].add(reading.at, sample).map(|minute| (monitor, minute)));
            }
            // A value that is missing does not push an older value out of sight: the older one gets stale by itself.
            let keep_older = matches!(reading.value, Value::Missing(_))
                && ring.latest.as_ref().is_some_and(|l| !matches!(l.value, Value::Missing(_)) && now - l.at <= gap_ms);
            if !keep_older {
                // What is told of each server belongs to the number that is told.
                ring.servers = servers;
                ring.latest = Some(reading);
            }
            for (condition, tracker) in &mut self.trackers {
                let condition = &plan.conditions[*condition];
                if condition.monitor == monitor {
                    tracker.awaits &= !heard;
                    tracker.reading(condition, &self.rings[monitor], &plan.monitors[monitor], now, fresh, broken);
                }
            }
            let breached = plan.monitors[monitor].holds && gate::is_breached(&plan.monitors[monitor], &self.rings[monitor]);
            let ring = &mut self.rings[monitor];
            ring.breached = if breached { ring.breached.or(Some(now)) } else { None };
            ring.last_failed = ring.last_failed.filter(|at| now - at < ALERT_MS);
        }
        // One failure is looked at more closely at once, or an outage would be noticed minutes late.
        if alarmed {
            self.set_intervals(plan, now);
        }
    }

    /// Notes that effects were handed out, so that nothing is asked or sent twice.
    pub fn released(&mut self, now: Millis, effect: &Effect) {
        match effect {
            Effect::Ask(query) => {
                match query {
                    Query::Poll(group) => self.due[*group] = now + self.interval[*group],
                    Query::StackEvents { region, stack, .. } => self.stacks.asked(region, stack, now),
                    _ => {}
                }
                self.asked.insert(query.clone(), now);
            }
            Effect::Send { id, sending, .. } => {
                self.sent.insert(*id, *sending);
                self.stopped.remove(id);
            }
            Effect::Stop { id, .. } => {
                self.stopped.insert(*id);
            }
        }
    }

    /// True when this script was told to end.
    #[must_use]
    pub fn is_stopped(&self, id: CallId) -> bool {
        self.stopped.contains(&id)
    }

    /// True while this call is under way.
    #[must_use]
    pub fn is_sent(&self, id: CallId) -> bool {
        self.sent.contains_key(&id)
    }

    /// The newest answer to a query that was asked at `since` or later.
    #[must_use]
    pub fn answer(&self, query: &Query, since: Millis) -> Option<&Answered> {
        self.answers.get(query).filter(|a| a.asked >= since)
    }

    /// When a query may be asked again: `None` while it is under way, else not before `interval_ms` after the
    /// last time.
    #[must_use]
    pub fn may_ask(&self, query: &Query, interval_ms: i64) -> Option<Millis> {
        if self.asked.contains_key(query) {
            return None;
        }
        Some(self.answers.get(query).map_or(Millis::MIN, |a| a.asked + interval_ms))
    }

    /// What is in a place, if it was read at `since` or later.
    #[must_use]
    pub fn found(&self, place: &Place, since: Millis) -> Option<Result<&Answer, &Failure>> {
        Some(self.answer(&place.query(), since)?.result.as_ref())
    }

    /// The newest good read of a place, however old, and when it was asked.
    #[must_use]
    pub fn found_ever(&self, place: &Place) -> Option<(Millis, &Answer)> {
        self.good.get(&place.query()).map(|(asked, answer)| (*asked, answer))
    }

    /// When the credentials expire, as asked at `since` or later: `None` when nobody said, `Some(None)` when they do not.
    #[must_use]
    pub fn credentials(&self, since: Millis) -> Option<Option<Millis>> {
        match self.answer(&Query::Credentials, since)?.result {
            Ok(Answer::Credentials { expires }) => Some(expires),
            _ => None,
        }
    }

    /// A stack's description, asked at `since` or later.
    #[must_use]
    pub fn stack(&self, region: &str, stack: &str, since: Millis) -> Option<Option<&StackInfo>> {
        match &self.answer(&Query::Stack { region: region.into(), stack: stack.into() }, since)?.result {
            Ok(Answer::Stack(info)) => Some(info.as_ref()),
            _ => None,
        }
    }

    /// A change set's description, asked at `since` or later.
    #[must_use]
    pub fn change_set(&self, query: &Query, since: Millis) -> Option<Option<&ChangeSetInfo>> {
        match &self.answer(query, since)?.result {
            Ok(Answer::ChangeSet(info)) => Some(info.as_ref()),
            _ => None,
        }
    }

    /// Which conditions matter now. Trackers of others are forgotten; new ones start from what the rings hold, and pass no
    /// sooner than their monitor has been read at full cadence: what was read within one such interval is as good.
    /// `proofs` are the monitors on which a rollback is armed, and the longest interval at which they prove anything.
    pub fn attend(&mut self, plan: &Plan, now: Millis, conditions: &[ConditionId], proofs: (Vec<MonitorId>, i64)) {
        self.proofs = proofs;
        self.trackers.retain(|id, _| conditions.contains(id));
        for id in conditions {
            if !self.trackers.contains_key(id) {
                let condition = &plan.conditions[*id];
                let heard = self.rings[condition.monitor].heard;
                let lately = heard.is_some_and(|at| now - at <= full_interval_ms(plan, condition));
                let mut tracker = Tracker { awaits: !lately, ..Tracker::default() };
                if self.freshness(plan, condition.monitor, now) == Freshness::Fresh {
                    tracker.reading(
                        condition,
                        &self.rings[condition.monitor],
                        &plan.monitors[condition.monitor],
                        now,
                        true,
                        false,
                    );
                }
                self.trackers.insert(*id, tracker);
            }
        }
        self.set_intervals(plan, now);
    }

    /// Cadence follows activity (design, section 9.7): full while something depends on a monitor or it fails.
    pub fn set_intervals(&mut self, plan: &Plan, now: Millis) {
        let service = plan.traffic.as_ref().and_then(|t| t.service);
        let seen: Vec<MonitorId> = plan.traffic.iter().flat_map(|t| t.seen.iter().map(|s| s.1)).collect();
        let measured: Vec<MonitorId> = plan.availability.monitors().collect();
        for (index, group) in self.groups.iter().enumerate() {
            let mut interval = i64::MAX;
            for monitor in &group.monitors {
                let every = plan.monitors[*monitor].every_ms;
                // What nothing depends on is not read more often than it asks for.
                interval = interval.min(every.max(IDLE_MS));
                let is_name = group.kind == PollKind::Dns;
                if Some(*monitor) == service || seen.contains(monitor) || measured.contains(monitor) || is_name {
                    interval = interval.min(every.max(IDLE_SERVICE_MS));
                }
                if self.proofs.0.contains(monitor) {
                    interval = interval.min(every.max(self.proofs.1));
                }
                if self.rings[*monitor].last_failed.is_some_and(|at| now - at < ALERT_MS) {
                    interval = interval.min(every);
                }
                for id in self.trackers.keys() {
                    let condition = &plan.conditions[*id];
                    if condition.monitor == *monitor {
                        interval = interval.min(full_interval_ms(plan, condition));
                    }
                }
            }
            if self.prepared.is_some() {
                interval = interval.min(5_000);
            }
            if self.due[index] != Millis::MIN {
                // Counted from when it was read last: what has become urgent is read at once.
                self.due[index] = (self.due[index] - self.interval[index] + interval).max(now);
            }
            self.interval[index] = interval;
        }
    }

    /// The interval that a group has now, in milliseconds.
    #[must_use]
    pub fn interval_ms(&self, group: usize) -> i64 {
        self.interval[group]
    }

    /// The groups that are due, and the next time that one will be.
    #[must_use]
    pub fn due(&self, now: Millis) -> (Vec<usize>, Millis) {
        let mut groups = Vec::new();
        let mut wake = now + IDLE_MS;
        for index in 0..self.groups.len() {
            if self.asked.contains_key(&Query::Poll(index)) {
                continue;
            }
            let due = self.due_at(index);
            if due <= now {
                groups.push(index);
            } else {
                wake = wake.min(due);
            }
        }
        (groups, wake)
    }

    /// From which age on a reading of this monitor is stale, in milliseconds (rule 33).
    #[must_use]
    pub fn stale_after_ms(&self, plan: &Plan, monitor: MonitorId) -> i64 {
        let interval = self.groups.iter().position(|g| g.monitors.contains(&monitor)).map_or(IDLE_MS, |g| self.interval[g]);
        match &plan.monitors[monitor].source {
            Source::Metric(metric) | Source::HealthCheck { status: metric, .. } => {
                3 * metric.period_ms.max(interval) + METRIC_DELAY_MS
            }
            Source::Http(http) => 3 * interval.max(plan.monitors[monitor].every_ms) + http.timeout_ms,
            Source::Stack { .. } => 3 * interval.max(plan.monitors[monitor].every_ms) + 5_000,
            // A server that is silent by UDP may be asked again by TCP, and the names that it leads to besides.
            Source::Dns(dns) => 3 * (interval.max(plan.monitors[monitor].every_ms) + dns.timeout_ms),
        }
    }

    /// How fresh a monitor's newest reading is.
    #[must_use]
    pub fn freshness(&self, plan: &Plan, monitor: MonitorId, now: Millis) -> Freshness {
        match &self.rings[monitor].latest {
            None | Some(Reading { value: Value::Missing(_), .. }) => Freshness::Missing,
            Some(reading) if now - reading.at > self.stale_after_ms(plan, monitor) => Freshness::Stale,
            Some(_) => Freshness::Fresh,
        }
    }

    /// True when something of a region's control plane was read lately.
    #[must_use]
    pub fn answers_in(&self, plan: &Plan, region: &str, now: Millis) -> bool {
        let groups = self.groups.iter().filter(|g| g.kind.is_call() && g.region == region);
        groups.flat_map(|g| &g.monitors).any(|m| {
            let heard = self.rings[*m].heard;
            heard.is_some_and(|at| now - at <= self.stale_after_ms(plan, *m))
        })
    }
}

/// How often the monitor of a condition is read while the condition matters, in milliseconds.
fn full_interval_ms(plan: &Plan, condition: &Condition) -> i64 {
    // A condition that has to hold for days is not worth a probe every five seconds.
    plan.monitors[condition.monitor].every_ms.max((condition.for_ms / 500).min(60_000))
}

/// A number from which every bit of another one can be told no more (the finalizer of `SplitMix64`).
fn mixed(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A refusal.
#[must_use]
pub fn refused(why: impl Into<String>) -> Reply {
    Reply::Refused(why.into())
}
