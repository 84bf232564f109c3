//! What stacks do: their events, who set them going, and why they fail.
//!
//! Events are read only while a stack moves or after it was seen to have changed, and no further back than to the last one
//! seen (rule 21). Who changed it is told by the token that every operation carries (rule 22): those of this run are in its
//! journal, so any other is somebody else's.

use std::collections::BTreeMap;

use super::decide::{Ctx, Decision};
use super::gate::is_usable;
use crate::cloud::{Failure, Millis, PollGroup, Query, Reading, StackEvent, StackSight, Value};
use crate::plan::{MonitorId, Plan, Source, format_ms};

/// How often the events of a monitored stack are read while it moves, in milliseconds.
pub const EVENTS_MS: i64 = 10_000;
/// The same after they could not be read.
const UNREAD_MS: i64 = 60_000;
/// Most events that are kept of one stack, the newest.
const EVENTS_MAX: usize = 300;
/// A cause is followed through at most this many nested stacks.
const DEPTH_MAX: usize = 5;
/// For how long after its end an operation of somebody else is pointed out, in milliseconds.
const NEWS_MS: i64 = 3_600_000;
/// How a token begins that CloudFormation's console makes up.
const CONSOLE: &str = "Console-";

/// Everything that is known of stacks beside their status.
#[derive(Debug, Clone, Default)]
pub struct Stacks {
    sights: BTreeMap<MonitorId, Sight>,
    /// By region, and by name or id as it was asked for.
    logs: BTreeMap<(String, String), Log>,
    /// Monitors whose stack's events are to be read.
    restless: Vec<MonitorId>,
}

/// A monitored stack as it was polled last.
#[derive(Debug, Clone)]
struct Sight {
    region: String,
    /// What to ask for: its name, or its id once the name is free (rule 21).
    stack: String,
    status: String,
    id: String,
    updated: Option<Millis>,
    at: Millis,
    /// When it was seen to be another than before, unless it is known why.
    changed: Option<Millis>,
}

/// The events of one stack.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Newest first.
    pub events: Vec<StackEvent>,
    /// When they were asked for last.
    asked: Option<Millis>,
    under_way: bool,
    /// When those that are here were asked for.
    read: Option<Millis>,
    /// Why they could not be read the last time.
    failure: Option<String>,
}

impl Log {
    /// The newest status of the stack itself.
    fn newest(&self) -> Option<&StackEvent> {
        self.events.iter().find(|e| e.own)
    }

    /// True when they were asked for at `since` or later and an answer has come, whatever it was.
    fn tried(&self, since: Millis) -> bool {
        !self.under_way && self.asked.is_some_and(|at| at >= since)
    }
}

/// One change of a stack from its beginning, as far as its events tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation<'a> {
    /// Its events, newest first.
    pub events: &'a [StackEvent],
    /// The token that it was called with; empty when there is none.
    pub token: &'a str,
}

impl Operation<'_> {
    /// The operation in one word.
    #[must_use]
    pub fn word(&self) -> &str {
        let first = self.events.iter().rev().find(|e| e.own).map_or("", |e| e.status.as_str());
        match first.split('_').next().unwrap_or_default() {
            "CREATE" => "create",
            "DELETE" => "delete",
            "IMPORT" => "import",
            "UPDATE" if !first.starts_with("UPDATE_ROLLBACK") => "update",
            "UPDATE" | "ROLLBACK" => "roll back",
            _ => first,
        }
    }
}

/// The newest operation in a stack's events, newest first. `None` when there is none to be seen.
#[must_use]
pub fn operation(events: &[StackEvent]) -> Option<Operation<'_>> {
    const STARTS: [&str; 4] = ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"];
    // A change set alone changes nothing.
    let own = |e: &&StackEvent| e.own && e.status != "REVIEW_IN_PROGRESS";
    let token = events.iter().find(own)?.token.as_str();
    let mut end = 0;
    for (index, event) in events.iter().enumerate() {
        if event.own && (event.token != token || event.status == "REVIEW_IN_PROGRESS") {
            break;
        }
        end = index + 1;
        if event.own && STARTS.contains(&event.status.as_str()) {
            break;
        }
    }
    Some(Operation { events: &events[..end], token })
}

/// Where the search for a cause has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// The resource that failed first, behind the nested stacks that it is in.
    Found {
        /// Logical ids of the nested stacks, outermost first.
        within: Vec<&'a str>,
        /// The event.
        event: &'a StackEvent,
    },
    /// The events of this stack have to be read first.
    Unread(&'a str),
    /// Nothing is known that failed.
    Nothing,
}

/// True for a status that changes by itself. What waits in review does not (rule 35).
#[must_use]
pub fn is_moving(status: &str) -> bool {
    status.ends_with("_IN_PROGRESS") && status != "REVIEW_IN_PROGRESS"
}

impl Stacks {
    /// Takes in what a poll saw of the stacks of a region, beside their status.
    pub fn saw(&mut self, plan: &Plan, group: &PollGroup, now: Millis, readings: &[(MonitorId, Reading)], sights: &[StackSight]) {
        for (monitor, reading) in readings {
            let (Value::Status(status), Some(Source::Stack { stack })) =
                (&reading.value, plan.monitors.get(*monitor).map(|m| &m.source))
            else {
                continue;
            };
            let told = sights.iter().find(|s| s.monitor == *monitor);
            let before = self.sights.get(monitor);
            let id = told.map(|t| t.id.clone()).or_else(|| before.map(|b| b.id.clone())).unwrap_or_default();
            let gone = status == "ABSENT" && !id.is_empty();
            let stack = if gone { id.clone() } else { stack.clone() };
            let updated = told.and_then(|t| t.updated);
            let (region, status) = (group.region.clone(), status.clone());
            let differs = before.is_some_and(|b| b.status != status || b.id != id || (!gone && b.updated != updated));
            let explained = self.logs.get(&(region.clone(), stack.clone())).and_then(Log::newest).is_some_and(|event| {
                let ended = event.status == status || (gone && event.status == "DELETE_COMPLETE");
                ended && updated.is_none_or(|at| event.at >= at)
            });
            let changed = if differs && !explained { Some(now) } else { before.and_then(|b| b.changed) };
            self.sights.insert(*monitor, Sight { region, stack, status, id, updated, at: now, changed });
        }
        self.look_around();
    }

    /// Notes that the events of a stack are asked for.
    pub fn asked(&mut self, region: &str, stack: &str, now: Millis) {
        let log = self.log_mut(region, stack);
        (log.asked, log.under_way) = (Some(now), true);
    }

    /// Takes in the events that are newer than those that are known.
    pub fn answered(&mut self, region: &str, stack: &str, result: Result<&[StackEvent], &Failure>) {
        let log = self.log_mut(region, stack);
        log.under_way = false;
        match result {
            Ok(newer) => {
                // Between two pages a new event may have pushed others on to the next one.
                let mut events: Vec<StackEvent> = Vec::with_capacity(newer.len() + log.events.len());
                for event in newer.iter().chain(&log.events) {
                    if !events.iter().any(|e| e.id == event.id) {
                        events.push(event.clone());
                    }
                }
                events.truncate(EVENTS_MAX);
                (log.events, log.read, log.failure) = (events, log.asked, None);
            }
            Err(failure) => log.failure = Some(failure.message.clone()),
        }
        self.look_around();
    }

    fn log_mut(&mut self, region: &str, stack: &str) -> &mut Log {
        self.logs.entry((region.to_owned(), stack.to_owned())).or_default()
    }

    fn log(&self, region: &str, stack: &str) -> Option<&Log> {
        self.logs.get(&(region.to_owned(), stack.to_owned()))
    }

    /// A stack's newest events, newest first; empty when they were never read.
    #[must_use]
    pub fn events(&self, region: &str, stack: &str) -> &[StackEvent] {
        self.log(region, stack).map_or(&[], |log| &log.events)
    }

    /// The query for what is newer than the last event seen.
    #[must_use]
    pub fn query(&self, region: &str, stack: &str) -> Query {
        let after = self.events(region, stack).first().map(|e| e.id.clone());
        Query::StackEvents { region: region.to_owned(), stack: stack.to_owned(), after }
    }

    /// When a stack's events may be asked for again: `None` while they are under way, else not before `interval_ms` after
    /// the last time.
    #[must_use]
    pub fn may_ask(&self, region: &str, stack: &str, interval_ms: i64) -> Option<Millis> {
        let Some(log) = self.log(region, stack) else { return Some(Millis::MIN) };
        (!log.under_way).then(|| log.asked.map_or(Millis::MIN, |at| at + interval_ms))
    }

    /// Whether a monitored stack moves: what its events say where they are newer than the last poll.
    fn moves(&self, sight: &Sight) -> bool {
        let log = self.log(&sight.region, &sight.stack);
        let newer = log.filter(|log| log.read.is_some_and(|at| at >= sight.at)).and_then(Log::newest);
        is_moving(newer.map_or(&sight.status, |event| &event.status))
    }

    /// Which events of a monitored stack are to be read.
    fn wanted<'a>(&'a self, sight: &'a Sight) -> Option<&'a str> {
        let log = self.log(&sight.region, &sight.stack);
        let read = log.and_then(|log| log.read);
        if self.moves(sight) || sight.changed.is_some_and(|at| read.is_none_or(|read| read < at)) {
            return Some(&sight.stack);
        }
        let failed = !is_usable(&sight.status) && read.is_some();
        match failed.then(|| self.cause(&sight.region, &sight.stack, Millis::MIN)) {
            Some(Cause::Unread(nested)) => Some(nested),
            _ => None,
        }
    }

    fn look_around(&mut self) {
        let restless = self.sights.iter().filter(|(_, sight)| self.wanted(sight).is_some());
        self.restless = restless.map(|(monitor, _)| *monitor).collect();
    }

    /// Why the newest operation of a stack failed, down to the resource: of a nested stack its parent only says that it was
    /// not created. Events that were asked for before `since` may not hold it yet.
    #[must_use]
    pub fn cause<'a>(&'a self, region: &str, stack: &'a str, since: Millis) -> Cause<'a> {
        let mut found = Cause::Nothing;
        let mut within = Vec::new();
        let mut stack = stack;
        for depth in 0..DEPTH_MAX {
            let log = self.log(region, stack);
            let events = self.events(region, stack);
            let events = operation(events).map_or(events, |operation| operation.events);
            // The oldest failure is the cause, the others are its consequences.
            let mut failed = events.iter().rev().filter(|e| e.status.ends_with("_FAILED"));
            let Some(event) = failed.clone().find(|e| !e.own).or_else(|| failed.next()) else {
                let since = if depth == 0 { since } else { Millis::MIN };
                let tried = log.is_some_and(|log| log.tried(since));
                return if tried { found } else { Cause::Unread(stack) };
            };
            found = Cause::Found { within: within.clone(), event };
            let nested = !event.own && event.resource_type == "AWS::CloudFormation::Stack" && !event.physical_id.is_empty();
            if !nested {
                break;
            }
            within.push(event.logical_id.as_str());
            stack = &event.physical_id;
        }
        found
    }
}

/// Asks for the events of a stack that are not known yet, not before `interval_ms` after the last time.
pub fn ask_events(ctx: Ctx<'_>, region: &str, stack: &str, interval_ms: i64, decision: &mut Decision) {
    match ctx.watch.stacks.may_ask(region, stack, interval_ms) {
        None => {}
        Some(at) if at > ctx.now => decision.wake_at(at),
        Some(_) => decision.ask(ctx, ctx.watch.stacks.query(region, stack), 0),
    }
}

/// Reads the events of monitored stacks that move or have changed. While nothing does, nothing is read.
pub fn follow(ctx: Ctx<'_>, decision: &mut Decision) {
    let stacks = &ctx.watch.stacks;
    for sight in stacks.restless.iter().filter_map(|monitor| stacks.sights.get(monitor)) {
        let Some(stack) = stacks.wanted(sight) else { continue };
        let unread = stacks.log(&sight.region, stack).is_some_and(|log| log.failure.is_some());
        ask_events(ctx, &sight.region, stack, if unread { UNREAD_MS } else { EVENTS_MS }, decision);
    }
}

/// What failed first in a stack, in words, such as `Database > Table CREATE_FAILED: …`.
#[must_use]
pub fn in_words(within: &[&str], event: &StackEvent) -> String {
    let path = within.iter().fold(String::new(), |path, id| path + id + " > ");
    let text = format!("{path}{} {}: {}", event.logical_id, event.status, event.reason);
    text.trim_end_matches(": ").to_owned()
}

/// What a monitored stack is doing, or why it failed: one line; empty while nothing was read of it.
#[must_use]
pub fn detail(ctx: Ctx<'_>, monitor: MonitorId) -> String {
    let stacks = &ctx.watch.stacks;
    let Some(sight) = stacks.sights.get(&monitor) else { return String::new() };
    let Some(newest) = stacks.events(&sight.region, &sight.stack).first() else { return String::new() };
    match stacks.cause(&sight.region, &sight.stack, Millis::MIN) {
        Cause::Found { within, event } if !is_usable(&sight.status) => in_words(&within, event),
        _ => in_words(&[], newest),
    }
}

/// Somebody else's change of a monitored stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The same for as long as it is the same change.
    pub key: String,
    /// One line.
    pub text: String,
    /// Since when.
    pub since: Millis,
}

/// The changes of monitored stacks that are not this run's, while they go on and for an hour after.
#[must_use]
pub fn foreign(ctx: Ctx<'_>) -> Vec<Foreign> {
    let stacks = &ctx.watch.stacks;
    stacks.sights.iter().filter_map(|(monitor, sight)| foreign_change(ctx, *monitor, sight)).collect()
}

fn foreign_change(ctx: Ctx<'_>, monitor: MonitorId, sight: &Sight) -> Option<Foreign> {
    let title = &ctx.plan.monitors.get(monitor)?.title;
    let Some(Source::Stack { stack: name }) = ctx.plan.monitors.get(monitor).map(|m| &m.source) else { return None };
    let log = ctx.watch.stacks.log(&sight.region, &sight.stack)?;
    if let (Some(why), Some(since)) = (&log.failure, sight.changed.filter(|at| log.read.is_none_or(|read| read < *at))) {
        let text = format!("{title}: {name} has changed, and by whom cannot be read: {why}");
        return Some(Foreign { key: format!("unread {monitor} {since}"), text, since });
    }
    let operation = operation(&log.events)?;
    if ctx.run.calls.values().any(|call| call.token == operation.token) {
        return None;
    }
    let (newest, first) = (operation.events.first()?, operation.events.last()?);
    let moves = ctx.watch.stacks.moves(sight);
    // What was over before this run began is the world as it was found.
    let news = newest.at >= ctx.run.started && ctx.now - newest.at <= NEWS_MS;
    if !moves && !news {
        return None;
    }
    let who = match operation.token {
        "" => "without a token".to_owned(),
        token if token.starts_with(CONSOLE) => format!("in the console, token {token}"),
        token => format!("token {token}"),
    };
    let resource = operation.events.iter().find(|e| !e.own).unwrap_or(newest);
    let when =
        if moves { String::new() } else { format!(", ended {} ago", format_ms((ctx.now - newest.at).max(0) / 60_000 * 60_000)) };
    let text = format!(
        "{title}: somebody else's {} of {name} ({who}){when}: {} {}",
        operation.word(),
        resource.logical_id,
        resource.status
    );
    Some(Foreign { key: format!("foreign {monitor} {}", first.id), text, since: first.at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::FailureKind;

    const STACK: &str = "AWS::CloudFormation::Stack";

    /// An event: id, logical id, status, token. What is called `app` is the stack itself.
    fn event(id: &str, logical_id: &str, status: &str, token: &str) -> StackEvent {
        StackEvent {
            id: id.into(),
            at: 1,
            logical_id: logical_id.into(),
            resource_type: if logical_id == "app" { STACK } else { "AWS::SNS::Topic" }.into(),
            status: status.into(),
            reason: String::new(),
            own: logical_id == "app",
            physical_id: String::new(),
            token: token.into(),
        }
    }

    fn nested(logical_id: &str, physical_id: &str) -> StackEvent {
        let failed = event(logical_id, logical_id, "CREATE_FAILED", "");
        let reason = "Embedded stack was not successfully created".into();
        StackEvent { resource_type: STACK.into(), physical_id: physical_id.into(), reason, ..failed }
    }

    fn read(stacks: &mut Stacks, stack: &str, events: &[StackEvent]) {
        stacks.asked("here", stack, 10);
        stacks.answered("here", stack, Ok(events));
    }

    #[test]
    fn an_operation_is_what_has_one_token_and_begins_with_a_status_of_its_own() {
        let events = [
            event("6", "app", "UPDATE_COMPLETE", "b"),
            event("5", "Topic", "UPDATE_COMPLETE", "b"),
            event("4", "app", "UPDATE_IN_PROGRESS", "b"),
            event("3", "app", "CREATE_COMPLETE", ""),
            event("2", "app", "CREATE_IN_PROGRESS", ""),
            event("1", "app", "REVIEW_IN_PROGRESS", ""),
        ];
        let said = |from: usize| operation(&events[from..]).map(|o| (o.word().to_owned(), o.token.to_owned(), o.events.len()));
        assert_eq!(said(0), Some(("update".into(), "b".into(), 3)));
        assert_eq!(said(3), Some(("create".into(), String::new(), 2)));
        assert_eq!(said(5), None, "a change set alone changes nothing");
        // Somebody cancels what somebody else began.
        let cancelled = [event("8", "app", "UPDATE_ROLLBACK_IN_PROGRESS", "c"), events[2].clone()];
        assert_eq!(operation(&cancelled).map(|o| (o.word().to_owned(), o.token)), Some(("roll back".into(), "c")));
    }

    #[test]
    fn events_that_come_twice_are_kept_once_and_asked_for_from_the_newest_on() {
        let mut stacks = Stacks::default();
        read(&mut stacks, "app", &[event("2", "a", "X", ""), event("1", "b", "X", "")]);
        read(&mut stacks, "app", &[event("4", "c", "X", ""), event("3", "d", "X", ""), event("2", "a", "X", "")]);
        let ids: Vec<&str> = stacks.events("here", "app").iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids, ["4", "3", "2", "1"]);
        assert!(matches!(stacks.query("here", "app"), Query::StackEvents { after: Some(id), .. } if id == "4"));
        stacks.asked("here", "app", 20);
        assert_eq!(stacks.may_ask("here", "app", 0), None, "one question at a time, whatever it begins with");
    }

    #[test]
    fn a_cause_is_followed_into_nested_stacks_and_no_further_than_can_be_read() {
        let mut stacks = Stacks::default();
        assert_eq!(stacks.cause("here", "app", 0), Cause::Unread("app"));
        let outer = [nested("Later", "arn:later"), nested("Inner", "arn:inner"), event("0", "app", "CREATE_IN_PROGRESS", "t")];
        read(&mut stacks, "app", &outer);
        assert_eq!(stacks.cause("here", "app", 0), Cause::Unread("arn:inner"), "the oldest failure is the cause");
        let topic = StackEvent { reason: "no such thing".into(), ..event("9", "Topic", "CREATE_FAILED", "") };
        read(&mut stacks, "arn:inner", &[topic]);
        let Cause::Found { within, event } = stacks.cause("here", "app", 0) else { panic!() };
        assert_eq!(in_words(&within, event), "Inner > Topic CREATE_FAILED: no such thing");

        // What is nested cannot be read: then its parent's word is the best there is.
        let mut stacks = Stacks::default();
        read(&mut stacks, "app", &outer[1..]);
        stacks.asked("here", "arn:inner", 20);
        assert_eq!(stacks.cause("here", "app", 0), Cause::Unread("arn:inner"), "the answer is under way");
        stacks.answered("here", "arn:inner", Err(&Failure { kind: FailureKind::Refused, message: "denied".into() }));
        let Cause::Found { within, event } = stacks.cause("here", "app", 0) else { panic!() };
        assert_eq!(in_words(&within, event), "Inner CREATE_FAILED: Embedded stack was not successfully created");

        // A stack that is nested in itself, as no service says, is no endless search.
        read(&mut stacks, "loop", &[nested("Loop", "loop")]);
        let Cause::Found { within, .. } = stacks.cause("here", "loop", 0) else { panic!() };
        assert_eq!(within.len(), DEPTH_MAX - 1);
    }
}
