//! CloudFormation: stacks, change sets and their events.
//!
//! An operation's whole course is written down when it is accepted, with the times at which things will be
//! so; looking at a stack picks what is true by then. Nothing has to be advanced while time passes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::rng::{self, Dice, Stream};
use super::template;
use crate::cloud::{Call, ChangeSetInfo, Failure, FailureKind, Millis, ResourceChange, StackEvent, StackInfo, StackSight};
use crate::plan::{Action, MonitorId, Plan, StackAction, StackChange};

const NO_CHANGES: &str = "The submitted information didn't contain changes. Submit different information to create a change set.";
const HANDLER_FAILED: &str = "Resource handler returned message: \"The requested configuration is currently not supported\" (HandlerErrorCode: InvalidRequest)";
/// How long an update still removes what it replaced; the stack is usable by then (rule 20).
const CLEANUP_MS: i64 = 5_000;
/// How long it takes to delete a stack that never had a resource.
const EMPTY_DELETE_MS: i64 = 2_000;
/// `DescribeStackEvents` answers at most with this many.
const EVENTS_MAX: usize = 100;

impl Accepted {
    /// What the service hands out for it; empty where it gives nothing.
    pub(super) fn id(&self) -> &str {
        let (Accepted::Applied(id) | Accepted::Repeated(id)) = self;
        id
    }
}

/// Region and stack → names of outputs, each with what a stand-in says of it.
type Named = BTreeMap<(String, String), Vec<(String, Option<String>)>>;

/// All stacks of all regions.
#[derive(Debug, Clone)]
pub(super) struct Stacks {
    dice: Dice,
    account: String,
    stack_ms: i64,
    slots: Vec<Slot>,
    /// Region and stack → its outputs, and what a stand-in of the plan says of each.
    named: Named,
    /// Token → the call that came with it and what it was answered (rule 22).
    tokens: BTreeMap<String, (Call, String)>,
}

/// A name in a region, and the stacks that have had it, oldest first.
#[derive(Debug, Clone)]
struct Slot {
    region: String,
    name: String,
    lives: Vec<Stack>,
}

/// One stack, from its creation to its end.
#[derive(Debug, Clone)]
struct Stack {
    id: String,
    /// Since when, which status and why; in order, never empty, some of it yet to come.
    course: Vec<(Millis, Cow<'static, str>, Cow<'static, str>)>,
    /// Oldest first, some of them yet to come.
    events: Vec<StackEvent>,
    change_sets: Vec<ChangeSet>,
    /// The token of the newest operation, which its events carry (rule 22).
    token: String,
    /// What was last executed; `None` for a stack that the drill began with.
    content: Option<Content>,
}

/// What a stack is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    template_sha256: String,
    parameters: Vec<(String, String)>,
    resources: Vec<(String, String)>,
    outputs: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct ChangeSet {
    name: String,
    id: String,
    since: Millis,
    ready_at: Millis,
    content: Content,
    /// Empty when there is nothing to change.
    changes: Vec<ResourceChange>,
    no_changes: bool,
    executed_at: Option<Millis>,
}

/// What an accepted call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Accepted {
    /// The world changed; the receipt's id.
    Applied(String),
    /// The world was already so; the receipt's id.
    Repeated(String),
}

impl Stack {
    fn status(&self, at: Millis) -> &str {
        self.course.iter().rev().find(|(since, ..)| *since <= at).map_or("", |(_, status, _)| status)
    }

    fn exists(&self, at: Millis) -> bool {
        !matches!(self.status(at), "" | "DELETE_COMPLETE")
    }

    /// Writes down a status of the stack and its event.
    fn become_at(&mut self, at: Millis, status: &'static str, reason: impl Into<Cow<'static, str>>, name: &str, dice: Dice) {
        let reason = reason.into();
        self.event(at, (name, "AWS::CloudFormation::Stack"), status, &reason, dice);
        self.course.push((at, Cow::Borrowed(status), reason));
    }

    fn event(&mut self, at: Millis, resource: (&str, &str), status: &'static str, reason: &str, dice: Dice) {
        let salt = rng::text(&[&self.id, resource.0, status]);
        let own = resource.1 == "AWS::CloudFormation::Stack" && self.id.contains(&format!(":stack/{}/", resource.0));
        self.events.push(StackEvent {
            id: uuid(dice, salt, at),
            at,
            logical_id: resource.0.to_owned(),
            resource_type: resource.1.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            own,
            // Nobody in a drill looks behind a resource.
            physical_id: if own { self.id.clone() } else { String::new() },
            token: self.token.clone(),
        });
    }

    /// A creation or update that does not succeed: resource after resource until one fails, then everything back (rule
    /// 20). A stack whose creation failed can only be deleted; one whose update failed is as before.
    fn fail(&mut self, (at, length): (Millis, i64), name: &str, create: bool, changes: &[ResourceChange], dice: Dice) {
        let word = |of_create, of_update| if create { of_create } else { of_update };
        let all: Vec<(&str, (String, String))> = changes
            .iter()
            .filter(|c| c.action != "Remove")
            .map(|c| (c.action.as_str(), (c.logical_id.clone(), c.resource_type.clone())))
            .collect();
        self.become_at(at, word("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"), "User Initiated", name, dice);
        let count = rng::index(all.len());
        let victim = if count == 0 { 0 } else { rng::below(dice.roll(Stream::StackFailure, rng::text(&[&self.id]), 0), count) };
        let mut done = Vec::new();
        let mut now = at;
        let share = length / i64::try_from(all.len() + 1).unwrap_or(1);
        for (number, (action, resource)) in (0_u64..).zip(&all).take_while(|(number, _)| *number <= victim) {
            let (begins, ends, fails) = if *action == "Add" {
                ("CREATE_IN_PROGRESS", "CREATE_COMPLETE", "CREATE_FAILED")
            } else {
                ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", "UPDATE_FAILED")
            };
            let named = (resource.0.as_str(), resource.1.as_str());
            self.event(now + 1, named, begins, "", dice);
            now += share;
            if number == victim {
                self.event(now, named, fails, HANDLER_FAILED, dice);
            } else {
                self.event(now, named, ends, "", dice);
                done.push((*action, resource.clone()));
            }
        }
        let failed = all.get(usize::try_from(victim).unwrap_or(0)).map_or("", |(_, resource)| resource.0.as_str());
        let verb = word("create", "update");
        let reason = format!("The following resource(s) failed to {verb}: [{failed}].");
        self.become_at(now + 500, word("ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"), reason, name, dice);
        done.reverse();
        let of = |wanted: &str| -> Vec<(String, String)> {
            done.iter().filter(|(action, _)| *action == wanted).map(|(_, resource)| resource.clone()).collect()
        };
        let back = length / 3;
        self.work(&of("Modify"), now + 500, back, ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"), dice);
        self.work(&of("Add"), now + 500, back, ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"), dice);
        let end = now + 500 + back;
        if create {
            self.become_at(end, "ROLLBACK_COMPLETE", "", name, dice);
        } else {
            self.become_at(end, "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "", name, dice);
            self.become_at(end + CLEANUP_MS, "UPDATE_ROLLBACK_COMPLETE", "", name, dice);
        }
        self.events.sort_by_key(|e| e.at);
    }

    /// Takes back what has not happened yet: a deletion interrupts a creation.
    fn forget_after(&mut self, at: Millis) {
        self.course.retain(|(since, ..)| *since <= at);
        self.events.retain(|e| e.at <= at);
    }

    /// One event per resource at its beginning and one at its end, spread over the operation.
    fn work(
        &mut self,
        resources: &[(String, String)],
        from: Millis,
        length: i64,
        words: (&'static str, &'static str),
        dice: Dice,
    ) {
        let count = i64::try_from(resources.len()).unwrap_or(i64::MAX);
        for (i, (id, kind)) in (0_i64..).zip(resources) {
            self.event(from + length * i / (count + 1) + 1, (id, kind), words.0, "", dice);
            self.event(from + length * (i + 1) / (count + 1), (id, kind), words.1, "", dice);
        }
    }
}

/// The outputs of the stacks that the plan's steps apply, with what stand-ins say of them.
fn named(plan: &Plan) -> Named {
    let mut named = BTreeMap::new();
    for step in plan.steps.iter().chain(plan.rollbacks.iter().flat_map(|rollback| &rollback.steps)) {
        let Action::Stack(StackAction { region, name, change: StackChange::Apply { outputs, .. } }) = &step.action else {
            continue;
        };
        let said =
            |output: &String| step.stand_in.outputs.iter().find(|(name, _)| name == output).map(|(_, value)| value.clone());
        let mut outputs: Vec<(String, Option<String>)> = outputs.iter().map(|name| (name.clone(), said(name))).collect();
        outputs.sort();
        named.insert((region.clone(), name.clone()), outputs);
    }
    named
}

impl Stacks {
    pub(super) fn new(dice: Dice, plan: &Plan, start: Millis) -> Stacks {
        let stack_ms = plan.drill.stack_ms.max(1_000);
        let mut stacks = Stacks {
            dice,
            account: plan.account.clone(),
            stack_ms,
            slots: Vec::new(),
            named: named(plan),
            tokens: BTreeMap::new(),
        };
        for (region, name, status) in &plan.drill.stacks {
            let slot = stacks.slot(region, name);
            let id = stacks.arn(region, "stack", name, start);
            stacks.slots[slot].lives.push(Stack {
                id,
                course: vec![(Millis::MIN, Cow::Owned(status.clone()), Cow::Borrowed(""))],
                events: Vec::new(),
                change_sets: Vec::new(),
                token: String::new(),
                content: None,
            });
        }
        stacks
    }

    /// The number of a name in a region, so that polls need not compare names.
    pub(super) fn slot(&mut self, region: &str, name: &str) -> usize {
        self.slots.iter().position(|s| s.region == region && s.name == name).unwrap_or_else(|| {
            self.slots.push(Slot { region: region.to_owned(), name: name.to_owned(), lives: Vec::new() });
            self.slots.len() - 1
        })
    }

    /// The status word of the stack that has a slot's name now; `None` when there is none.
    pub(super) fn status(&self, slot: usize, at: Millis) -> Option<&str> {
        self.slots[slot].lives.iter().rev().find(|s| s.exists(at)).map(|s| s.status(at))
    }

    /// What a poll sees of the stack that has a slot's name now, beside its status.
    pub(super) fn sight(&self, monitor: MonitorId, slot: usize, at: Millis) -> Option<StackSight> {
        let stack = self.slots[slot].lives.iter().rev().find(|s| s.exists(at))?;
        let begins = |status: &str| matches!(status, "REVIEW_IN_PROGRESS" | "CREATE_IN_PROGRESS" | "UPDATE_IN_PROGRESS");
        let updated = stack.course.iter().rev().find(|(since, status, _)| *since <= at && begins(status));
        Some(StackSight { monitor, id: stack.id.clone(), updated: updated.map(|(since, ..)| *since) })
    }

    /// `DescribeStacks` of one stack. A deleted one is found by its id only (rule 21).
    pub(super) fn describe(&self, region: &str, stack: &str, at: Millis) -> Option<StackInfo> {
        let (slot, life) = self.find(region, stack, at)?;
        let stack = &self.slots[slot].lives[life];
        let (_, status, reason) = stack.course.iter().rev().find(|(since, ..)| *since <= at)?;
        let outputs = stack.content.as_ref().map(|content| content.outputs.clone()).unwrap_or_default();
        Some(StackInfo {
            id: stack.id.clone(),
            status: status.clone().into_owned(),
            reason: reason.clone().into_owned(),
            outputs,
        })
    }

    /// `DescribeStackEvents`, newest first.
    pub(super) fn events(&self, region: &str, stack: &str, after: Option<&str>, at: Millis) -> Result<Vec<StackEvent>, Failure> {
        let (slot, life) = self.find(region, stack, at).ok_or_else(|| absent(stack))?;
        let events = self.slots[slot].lives[life].events.iter().rev().filter(|e| e.at <= at);
        Ok(events.take_while(|e| Some(e.id.as_str()) != after).take(EVENTS_MAX).cloned().collect())
    }

    /// `DescribeChangeSet`.
    pub(super) fn change_set(&self, region: &str, stack: &str, name: &str, at: Millis) -> Option<ChangeSetInfo> {
        let (slot, life) = self.find(region, stack, at)?;
        let set = self.slots[slot].lives[life].change_sets.iter().find(|c| c.name == name || c.id == name)?;
        if set.since > at {
            return None;
        }
        let ready = set.ready_at <= at;
        let failed = ready && set.no_changes;
        Some(ChangeSetInfo {
            status: set.status(at).to_owned(),
            reason: if failed { NO_CHANGES.to_owned() } else { String::new() },
            executable: ready && !failed && set.executed_at.is_none_or(|when| when > at),
            no_changes: failed,
            changes: if ready { set.changes.clone() } else { Vec::new() },
        })
    }

    /// Applies a call at `applied`, or refuses it. A token that was accepted before changes nothing (rule 22). `fails`: what
    /// it sets going will not succeed.
    pub(super) fn perform(
        &mut self,
        applied: Millis,
        token: &str,
        call: &Call,
        template: Option<&str>,
        fails: bool,
    ) -> Result<Accepted, Failure> {
        if let Some((before, id)) = self.tokens.get(token) {
            return if before == call {
                Ok(Accepted::Repeated(id.clone()))
            } else {
                Err(refused(format!(
                    "TokenAlreadyExistsException: A request with the token {token} was made with other parameters"
                )))
            };
        }
        let accepted = match call {
            Call::CreateChangeSet { region, stack, change_set, create, template_sha256, parameters, capabilities: _ } => {
                let resources = template::resources(template.unwrap_or_default());
                let outputs = self.outputs(region, stack);
                let (template_sha256, parameters) = (template_sha256.clone(), parameters.clone());
                let content = Content { template_sha256, parameters, resources, outputs };
                self.create_change_set(applied, (region, stack, change_set), *create, content)
            }
            Call::ExecuteChangeSet { region, stack, change_set } => {
                self.execute(applied, (region, stack, change_set), token, fails)
            }
            Call::DeleteStack { region, stack } => self.delete(applied, region, stack, token),
            Call::ChangeRecords { .. }
            | Call::UpdateHealthCheck { .. }
            | Call::PutMetric { .. }
            | Call::RunScript { .. }
            | Call::EditFile { .. }
            | Call::MakeRequest { .. } => Err(refused("InvalidAction: this is not a call of CloudFormation".to_owned())),
        }?;
        self.tokens.insert(token.to_owned(), (call.clone(), accepted.id().to_owned()));
        Ok(accepted)
    }

    /// What a stack gives: as the plan's stand-in says, else something that names where it comes from.
    fn outputs(&self, region: &str, stack: &str) -> Vec<(String, String)> {
        let named = self.named.get(&(region.to_owned(), stack.to_owned())).cloned().unwrap_or_default();
        let value = |(name, said): (String, Option<String>)| {
            let value = said.unwrap_or_else(|| format!("{}-{stack}", name.to_lowercase()));
            (name, value)
        };
        named.into_iter().map(value).collect()
    }

    fn create_change_set(
        &mut self,
        at: Millis,
        (region, stack, name): (&str, &str, &str),
        create: bool,
        content: Content,
    ) -> Result<Accepted, Failure> {
        let id = self.arn(region, "changeSet", name, at);
        let (slot, life) = match (self.find(region, stack, at), create) {
            (None, false) => return Err(absent(stack)),
            (None, true) => self.review(at, region, stack),
            (Some((slot, life)), _) => {
                let found = &self.slots[slot].lives[life];
                let same = found.change_sets.iter().find(|c| c.name == name);
                match same {
                    Some(set) if set.content == content => return Ok(Accepted::Repeated(set.id.clone())),
                    Some(_) => {
                        return Err(refused(format!(
                            "AlreadyExistsException: ChangeSet {name} cannot be created, because it already exists"
                        )));
                    }
                    None => {}
                }
                // A stack in review outlives its change set, and the next one is again of type CREATE (rule 35).
                let status = found.status(at);
                match (status, create) {
                    ("REVIEW_IN_PROGRESS", true) => {}
                    (_, true) => {
                        return Err(invalid(&format!(
                            "Stack [{stack}] already exists and cannot be created again with the changeSet [{name}]."
                        )));
                    }
                    (status, false) if updatable(status) => {}
                    (status, false) => {
                        return Err(invalid(&format!("Stack:{} is in {status} state and can not be updated.", found.id)));
                    }
                }
                (slot, life)
            }
        };
        let found = &self.slots[slot].lives[life];
        let no_changes = found.content.as_ref() == Some(&content);
        let changes = if no_changes { Vec::new() } else { changes(create, found.content.as_ref(), &content) };
        let wait = self.dice.between(Stream::StackDuration, rng::text(&[&id]), rng::time(at), 8_000, 20_000);
        let set = ChangeSet {
            name: name.to_owned(),
            id: id.clone(),
            since: at,
            ready_at: at + wait,
            content,
            changes,
            no_changes,
            executed_at: None,
        };
        self.slots[slot].lives[life].change_sets.push(set);
        Ok(Accepted::Applied(id))
    }

    /// A change set of type CREATE makes the stack, without any resources yet (rule 35).
    fn review(&mut self, at: Millis, region: &str, name: &str) -> (usize, usize) {
        let id = self.arn(region, "stack", name, at);
        let slot = self.slot(region, name);
        let mut stack =
            Stack { id, course: Vec::new(), events: Vec::new(), change_sets: Vec::new(), token: String::new(), content: None };
        stack.become_at(at, "REVIEW_IN_PROGRESS", "User Initiated", name, self.dice);
        self.slots[slot].lives.push(stack);
        (slot, self.slots[slot].lives.len() - 1)
    }

    fn execute(
        &mut self,
        at: Millis,
        (region, stack, name): (&str, &str, &str),
        token: &str,
        fails: bool,
    ) -> Result<Accepted, Failure> {
        let (slot, life) = self.find(region, stack, at).ok_or_else(|| absent(stack))?;
        let length = self.length(&[region, stack, name], at);
        let dice = self.dice;
        let Slot { name: stack_name, lives, .. } = &mut self.slots[slot];
        let found = &mut lives[life];
        let set = found.change_sets.iter_mut().find(|c| (c.name == name || c.id == name) && c.since <= at);
        let set = set.ok_or_else(|| refused(format!("ChangeSetNotFoundException: ChangeSet [{name}] does not exist")))?;
        if set.executed_at.is_some() {
            return Err(refused(format!(
                "InvalidChangeSetStatusException: ChangeSet [{}] cannot be executed in its current execution status of [EXECUTE_COMPLETE]",
                set.id
            )));
        }
        if set.status(at) != "CREATE_COMPLETE" {
            let status = set.status(at);
            return Err(refused(format!(
                "InvalidChangeSetStatusException: ChangeSet [{}] cannot be executed in its current status of [{status}]",
                set.id
            )));
        }
        set.executed_at = Some(at);
        let (content, id, changes) = (set.content.clone(), set.id.clone(), set.changes.clone());
        // The others were made against a stack that is no longer so.
        found.change_sets.retain(|c| c.id == id);
        token.clone_into(&mut found.token);
        let create = found.status(at) == "REVIEW_IN_PROGRESS";
        if fails {
            found.fail((at, length), stack_name, create, &changes, dice);
            return Ok(Accepted::Applied(String::new()));
        }
        found.content = Some(content);
        let of = |action: &str| -> Vec<(String, String)> {
            changes.iter().filter(|c| c.action == action).map(|c| (c.logical_id.clone(), c.resource_type.clone())).collect()
        };
        let end = at + length;
        let word = |create_word, update_word| if create { create_word } else { update_word };
        found.become_at(at, word("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"), "User Initiated", stack_name, dice);
        found.work(&of("Add"), at, length, ("CREATE_IN_PROGRESS", "CREATE_COMPLETE"), dice);
        found.work(&of("Modify"), at, length, ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"), dice);
        if create {
            found.become_at(end, "CREATE_COMPLETE", "", stack_name, dice);
        } else {
            found.become_at(end, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "", stack_name, dice);
            found.work(&of("Remove"), end, CLEANUP_MS, ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"), dice);
            found.become_at(end + CLEANUP_MS, "UPDATE_COMPLETE", "", stack_name, dice);
        }
        found.events.sort_by_key(|e| e.at);
        Ok(Accepted::Applied(String::new()))
    }

    fn delete(&mut self, at: Millis, region: &str, stack: &str, token: &str) -> Result<Accepted, Failure> {
        // Deleting what is not there, or is already on its way out, is no error.
        let Some((slot, life)) = self.find(region, stack, at) else { return Ok(Accepted::Repeated(String::new())) };
        let length = self.length(&[region, stack], at);
        let dice = self.dice;
        let Slot { name, lives, .. } = &mut self.slots[slot];
        let found = &mut lives[life];
        let status = found.status(at).to_owned();
        let length = match status.as_str() {
            "DELETE_IN_PROGRESS" | "DELETE_COMPLETE" => return Ok(Accepted::Repeated(String::new())),
            "REVIEW_IN_PROGRESS" => EMPTY_DELETE_MS,
            "CREATE_IN_PROGRESS" => length,
            busy if busy.ends_with("_IN_PROGRESS") => {
                return Err(invalid(&format!("Stack [{}] cannot be deleted while in status {busy}", found.id)));
            }
            _ => length,
        };
        found.forget_after(at);
        token.clone_into(&mut found.token);
        found.become_at(at, "DELETE_IN_PROGRESS", "User Initiated", name, dice);
        let mut resources = found.content.as_ref().map(|c| c.resources.clone()).unwrap_or_default();
        resources.reverse();
        found.work(&resources, at, length, ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"), dice);
        found.become_at(at + length, "DELETE_COMPLETE", "", name, dice);
        found.events.sort_by_key(|e| e.at);
        Ok(Accepted::Applied(String::new()))
    }

    /// Slot and life of a stack. By name: the one that has it now; by id: also one that is gone.
    fn find(&self, region: &str, stack: &str, at: Millis) -> Option<(usize, usize)> {
        if stack.starts_with("arn:") {
            let mut here = self.slots.iter().enumerate().filter(|(_, s)| s.region == region);
            return here.find_map(|(i, s)| {
                let life = s.lives.iter().position(|l| l.id == stack)?;
                (!s.lives[life].status(at).is_empty()).then_some((i, life))
            });
        }
        let slot = self.slots.iter().position(|s| s.region == region && s.name == stack)?;
        let life = self.slots[slot].lives.iter().rposition(|l| l.exists(at))?;
        Some((slot, life))
    }

    /// How long an operation that begins at `at` takes, in milliseconds: `stack_ms`, give or take a fifth.
    fn length(&self, salt: &[&str], at: Millis) -> i64 {
        self.dice.around(Stream::StackDuration, rng::text(salt), rng::time(at), self.stack_ms, 20)
    }

    fn arn(&self, region: &str, kind: &str, name: &str, at: Millis) -> String {
        let unique = uuid(self.dice, rng::text(&[region, kind, name]), at);
        format!("arn:aws:cloudformation:{region}:{}:{kind}/{name}/{unique}", self.account)
    }
}

impl ChangeSet {
    fn status(&self, at: Millis) -> &'static str {
        match (self.ready_at <= at, self.no_changes) {
            (false, _) => "CREATE_PENDING",
            (true, true) => "FAILED",
            (true, false) => "CREATE_COMPLETE",
        }
    }
}

/// What a change set shows.
fn changes(create: bool, old: Option<&Content>, new: &Content) -> Vec<ResourceChange> {
    let line = |action: &str, replacement: &str, (id, kind): &(String, String)| ResourceChange {
        action: action.to_owned(),
        logical_id: id.clone(),
        resource_type: kind.clone(),
        replacement: replacement.to_owned(),
    };
    let holds = |content: &Content, id: &str| content.resources.iter().any(|(i, _)| i == id);
    // Of a stack that the drill began with nothing is known; its update is taken to change everything in place.
    let known = |id: &str| !create && old.is_none_or(|o| holds(o, id));
    let kept = new.resources.iter().map(|r| if known(&r.0) { line("Modify", "False", r) } else { line("Add", "", r) });
    let gone = old.iter().flat_map(|o| &o.resources).filter(|r| !holds(new, &r.0)).map(|r| line("Remove", "", r));
    kept.chain(gone).collect()
}

/// Whether CloudFormation lets a stack in this status be updated (rule 20).
fn updatable(status: &str) -> bool {
    status.ends_with("_COMPLETE") && !matches!(status, "ROLLBACK_COMPLETE" | "DELETE_COMPLETE")
}

fn absent(stack: &str) -> Failure {
    invalid(&format!("Stack [{stack}] does not exist"))
}

fn invalid(message: &str) -> Failure {
    refused(format!("ValidationError: {message}"))
}

fn refused(message: String) -> Failure {
    Failure { kind: FailureKind::Refused, message }
}

/// A unique id in the usual form.
fn uuid(dice: Dice, salt: u64, at: Millis) -> String {
    let (high, low) = (dice.roll(Stream::Id, salt, rng::time(at)), dice.roll(Stream::Id, !salt, rng::time(at)));
    let mut id = String::with_capacity(36);
    // Writing to a string cannot fail.
    let _ = write!(
        id,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    );
    id
}
