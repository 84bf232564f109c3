//! Those who press keys: somebody who wants to get on, somebody who presses anything, somebody who wants to get back.

use cutover::cloud::Millis;
use cutover::plan::{Action, FaultKind, Plan, StepId, Undo};
use cutover::run::command::{Command, DrillCommand};
use cutover::run::core::Core;
use cutover::run::decide::{self, Ctx};
use cutover::run::snapshot::StepState;
use cutover::run::state::definition;
use cutover::run::{job, rollback};

use crate::dice::Dice;

/// What somebody who presses anything knows.
pub struct Seen<'a> {
    pub core: &'a Core,
    pub now: Millis,
    /// Fingerprints of rollbacks that were shown at some time.
    pub fingerprints: &'a [String],
}

type Press = fn(&mut Dice, &Seen<'_>) -> Command;

/// Every command, sensible or not, with how often it is pressed in comparison to the others. A new command is a line.
const ANYTHING: &[(usize, Press)] = &[
    (4, |d, s| Command::Start { step: any_step(d, s) }),
    (1, |d, s| Command::Override { step: any_step(d, s), reason: any_reason(d) }),
    (1, |d, s| Command::Skip { step: any_step(d, s), reason: any_reason(d) }),
    (1, |d, s| Command::DoneByHand { step: any_step(d, s), reason: any_reason(d) }),
    (3, |_, _| Command::GoOn),
    (2, |d, s| Command::Execute { step: any_step(d, s), word: any_word(d, s) }),
    (2, |_, _| Command::Hold { reason: "let us look at this".into() }),
    (4, |_, _| Command::Continue),
    (2, |d, s| Command::Approve { step: any_step(d, s) }),
    (2, |d, s| Command::Tick { step: any_step(d, s), item: d.below(4), done: d.chance(700) }),
    (3, |d, s| Command::PrepareRollback { name: any_rollback(d, s) }),
    (3, |d, s| Command::PrepareUndo { step: any_step(d, s) }),
    (2, |_, _| Command::PrepareBackOff),
    (3, |d, s| Command::ConfirmRollback { name: shown(d, s), offer: any_fingerprint(d, s), word: any_word(d, s) }),
    (6, |d, s| confirm(s).unwrap_or(Command::Continue).tap(d)),
    (1, |_, _| Command::CancelRollback),
    (1, |d, s| Command::WithoutJournal { word: any_word(d, s).unwrap_or_default() }),
    (1, |_, _| Command::Acknowledge),
    (1, |_, _| Command::Note { text: "a note".into() }),
    (1, |d, s| Command::Drill { what: DrillCommand::Inject(any_lag(d, s)) }),
];

/// Presses anything.
pub fn anything(dice: &mut Dice, seen: &Seen<'_>) -> Command {
    let mut place = dice.below(ANYTHING.iter().map(|(weight, _)| weight).sum());
    for (weight, press) in ANYTHING {
        if place < *weight {
            return press(dice, seen);
        }
        place -= weight;
    }
    Command::Acknowledge
}

/// Somebody who wants to get on: `None` while there is nothing to do but wait.
pub fn forward(dice: &mut Dice, core: &Core, now: Millis) -> Option<Command> {
    let (ctx, run) = (core.ctx(now), &core.run);
    if run.finished.is_some() || decide::rolled_back(run) {
        return None;
    }
    if run.hold.is_some() {
        return Some(Command::Continue);
    }
    if let Some(signature) = sign(core) {
        return Some(signature);
    }
    if let Some(command) = execute(core, now) {
        return Some(command);
    }
    let next = run.next_step().map(|id| &core.plan.steps[id])?;
    let may_go_on = !matches!(next.undo, Undo::OneWay(_)) && run.going.is_none() && run.active_rollback().is_none();
    if may_go_on && dice.chance(100) {
        return Some(Command::GoOn);
    }
    decide::blocked(ctx).is_none().then(|| Command::Start { step: next.id.clone() })
}

/// Somebody who wants to get back: `None` while there is nothing to do but wait.
pub fn back(core: &Core, now: Millis) -> Option<Command> {
    let run = &core.run;
    if run.active_rollback().is_some() {
        return if run.hold.is_some() { Some(Command::Continue) } else { sign(core) };
    }
    if core.watch.prepared.is_none() {
        return Some(Command::PrepareRollback { name: None });
    }
    confirm(&Seen { core, now, fingerprints: &[] })
}

/// Confirms what is shown, once it can be.
fn confirm(seen: &Seen<'_>) -> Option<Command> {
    let ctx = seen.core.ctx(seen.now);
    let prepared = seen.core.watch.prepared.as_ref()?;
    let offer = rollback::offer(ctx, &prepared.of, prepared.since).fingerprint?;
    let word = rollback::confirm_word(ctx, &prepared.of);
    Some(Command::ConfirmRollback { name: prepared.of.to_string(), offer, word })
}

/// Approves or ticks what waits for it.
fn sign(core: &Core) -> Option<Command> {
    let job = core.run.job.as_ref().filter(|j| j.acted.is_none())?;
    let step = definition(&core.plan, &job.of)?;
    let papers = core.run.papers.get(&job.of);
    match &step.action {
        Action::Approve { .. } => Some(Command::Approve { step: step.id.clone() }),
        Action::Checklist { items } => {
            let open = |item: &usize| papers.is_none_or(|p| p.ticks.get(item) != Some(&true));
            (0..items.len()).find(open).map(|item| Command::Tick { step: step.id.clone(), item, done: true })
        }
        _ => None,
    }
}

/// Executes the change set that is shown.
fn execute(core: &Core, now: Millis) -> Option<Command> {
    let ctx: Ctx<'_> = core.ctx(now);
    let running = core.run.job.as_ref().filter(|j| !j.reviewed && j.acted.is_none())?;
    let step = definition(&core.plan, &running.of)?;
    let Action::Stack(stack) = &step.action else { return None };
    let info = job::change_set(ctx, running)?;
    let word = job::is_destructive(info).then(|| stack.region.clone());
    Some(Command::Execute { step: step.id.clone(), word })
}

/// One of the steps; mostly one around the current one.
fn any_step(dice: &mut Dice, seen: &Seen<'_>) -> String {
    let plan = &seen.core.plan;
    let current: StepId = seen.core.run.next_step().unwrap_or(0);
    match dice.below(6) {
        0 => dice.pick(&plan.steps).id.clone(),
        1 => "no-such-step".into(),
        2 | 3 => {
            let changed = seen.core.run.steps.iter().rposition(|s| s.attempts > 0 && s.state != StepState::Undone);
            plan.steps[changed.unwrap_or(current)].id.clone()
        }
        _ => plan.steps[current].id.clone(),
    }
}

fn any_reason(dice: &mut Dice) -> String {
    (*dice.pick(&["we know why", "we know why", ""])).to_owned()
}

fn any_rollback(dice: &mut Dice, seen: &Seen<'_>) -> Option<String> {
    match dice.below(4) {
        0 => Some(dice.pick(&seen.core.plan.rollbacks).name.clone()),
        1 => Some("no-such-rollback".into()),
        _ => None,
    }
}

fn shown(dice: &mut Dice, seen: &Seen<'_>) -> String {
    let prepared = seen.core.watch.prepared.as_ref().map(|p| p.of.to_string());
    prepared.unwrap_or_else(|| any_rollback(dice, seen).unwrap_or_default())
}

fn any_fingerprint(dice: &mut Dice, seen: &Seen<'_>) -> String {
    if seen.fingerprints.is_empty() { "0123456789abcdef".into() } else { dice.pick(seen.fingerprints).clone() }
}

fn any_word(dice: &mut Dice, seen: &Seen<'_>) -> Option<String> {
    dice.chance(500).then(|| dice.pick(&seen.core.plan.regions).name.clone())
}

/// A replication that falls behind; a plan without one is asked for one that does not exist, which changes nothing.
fn any_lag(dice: &mut Dice, seen: &Seen<'_>) -> FaultKind {
    FaultKind::Lag(lagging(&seen.core.plan), dice.between(1, 2_000) * 1_000_000)
}

/// A monitor of a replication, else the first one.
pub fn lagging(plan: &Plan) -> usize {
    let replication = |m: &cutover::plan::Monitor| matches!(&m.source, cutover::plan::Source::Metric(s) if s.replication);
    plan.monitors.iter().position(replication).unwrap_or(0)
}

trait Tap {
    fn tap(self, dice: &mut Dice) -> Self;
}

impl Tap for Command {
    /// Sometimes the word is mistyped.
    fn tap(self, dice: &mut Dice) -> Command {
        match self {
            Command::ConfirmRollback { name, offer, .. } if dice.chance(50) => {
                Command::ConfirmRollback { name, offer, word: Some("eu-wset-1".into()) }
            }
            other => other,
        }
    }
}
