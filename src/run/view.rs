//! From plan, run and watch to the snapshot that a screen shows. Pure; never called on the hot path.

use super::change::{self, Read};
use super::command::Verb;
use super::core::Core;
use super::decide::{Ctx, blocked, rolled_back, traffic_place};
use super::entry::{JobRef, RollbackRef};
use super::snapshot::{
    AlertView, Armed, CallView, ConditionView, DiffLine, DrillView, Freshness, Identity, LedgerView, Level, MonitorView,
    OfferView, OutageView, PhaseView, ResultView, RtoView, Snapshot, Status, StepState, StepView, TrafficView, UndoView, Verdict,
    WorkView,
};
use super::state::{CallRun, CallState, Job, definition, restored_by};
use super::{gate, job, outage, rollback};
use crate::cloud::{Call, Millis, Value};
use crate::plan::{Action, ConditionId, MonitorId, Plan, RecordSet, Role, Source, Stat, Step, Undo, format_ms};

/// Samples that a sparkline shows.
const SPARK: usize = 60;
/// Stack events and the like that are shown.
const OUTPUT: usize = 12;

/// What the engine knows and the core does not.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Run id.
    pub run: String,
    /// Account as the credentials say.
    pub account: String,
    /// Who drives.
    pub driver: String,
    /// Epoch of the lease.
    pub epoch: u64,
    /// Drill or live.
    pub drill: Option<DrillView>,
    /// Scenario of a drill.
    pub scenario: Option<String>,
    /// Seed of a drill.
    pub seed: Option<u64>,
    /// The journal.
    pub ledger: LedgerView,
}

/// Makes a snapshot.
#[must_use]
pub fn snapshot(core: &Core, now: Millis, around: &Surroundings) -> Snapshot {
    let ctx = core.ctx(now);
    let (plan, run) = (ctx.plan, ctx.run);
    let region = |role: Role| plan.regions.iter().find(|r| r.role == role).map_or(String::new(), |r| r.name.clone());
    let rollback_shown = ctx.watch.prepared.as_ref();
    Snapshot {
        identity: Identity {
            drill: around.drill.is_some(),
            account: around.account.clone(),
            plan: plan.name.clone(),
            title: plan.title.clone(),
            plan_hash: plan.manifest.hash.get(..8).unwrap_or_default().to_owned(),
            run: around.run.clone(),
            from: region(Role::Source),
            to: region(Role::Primary),
            driver: around.driver.clone(),
            epoch: around.epoch,
            scenario: around.scenario.clone(),
            seed: around.seed,
        },
        now,
        started: run.started,
        day: day(ctx),
        days: plan.days,
        drill: around.drill.clone(),
        status: status(ctx),
        phases: phases(ctx),
        steps: plan.steps.iter().enumerate().map(|(id, step)| step_view(ctx, id, step)).collect(),
        current: run.next_step(),
        work: work(ctx),
        traffic: traffic(ctx),
        monitors: (0..plan.monitors.len()).map(|id| monitor(ctx, id)).collect(),
        undo: undo(ctx),
        offer: rollback_shown.map(|prepared| offer(ctx, &prepared.of, prepared.since)),
        outage: outage_view(ctx),
        alerts: alerts(ctx).into_iter().map(|a| a.view).collect(),
        budget_ms: plan.downtime_budget_ms(),
        downtime_ms: run.downtime_ms(now),
        journal: core.tail.iter().cloned().collect(),
        ledger: around.ledger.clone(),
        verbs: verbs(ctx, around.drill.is_some()),
        result: result(ctx),
    }
}

/// Day of the run, from 1.
#[must_use]
pub fn day(ctx: Ctx<'_>) -> u32 {
    u32::try_from((ctx.now - ctx.run.started) / 86_400_000).unwrap_or(0) + 1
}

fn status(ctx: Ctx<'_>) -> Status {
    let run = ctx.run;
    if let Some((outcome, _)) = run.finished {
        return Status::Finished(outcome);
    }
    if let Some(hold) = &run.hold {
        return Status::Held { reason: hold.reason.clone(), by: hold.by.clone(), since: hold.since };
    }
    match &run.rollback {
        Some(r) if r.done.is_none() || matches!(r.of, RollbackRef::Plan(_)) => Status::RollingBack { name: r.of.to_string() },
        _ if run.job.is_some() => Status::Running,
        _ => Status::Ready,
    }
}

fn phases(ctx: Ctx<'_>) -> Vec<PhaseView> {
    let phase = |(index, phase): (usize, &crate::plan::Phase)| {
        let mut view =
            PhaseView { title: phase.title.clone(), first_day: phase.first_day, last_day: phase.last_day, done: 0, total: 0 };
        for (step, run) in ctx.plan.steps.iter().zip(&ctx.run.steps).filter(|(s, _)| s.phase == index) {
            debug_assert_eq!(step.phase, index);
            view.total += 1;
            view.done += usize::from(run.state == StepState::Done);
        }
        view
    };
    ctx.plan.phases.iter().enumerate().map(phase).collect()
}

/// The plan's word for an action.
#[must_use]
pub fn action_word(action: &Action) -> &'static str {
    match action {
        Action::Shift(_) => "shift",
        Action::Records(_) => "records",
        Action::Stack(_) => "stack",
        Action::Soak { .. } => "soak",
        Action::Approve { .. } => "approve",
        Action::Checklist { .. } => "checklist",
        Action::Restore { .. } => "restore",
    }
}

fn step_view(ctx: Ctx<'_>, id: usize, step: &Step) -> StepView {
    let run = &ctx.run.steps[id];
    StepView {
        id: step.id.clone(),
        title: step.title.clone(),
        phase: step.phase,
        day: step.day,
        action: action_word(&step.action).into(),
        state: run.state,
        reason: run.reason.clone(),
        one_way: match &step.undo {
            Undo::OneWay(why) => Some(why.clone()),
            _ => None,
        },
        control_planes: step.control_planes.clone(),
        expected_ms: step.expected_ms,
        started: run.started,
        ended: run.ended,
    }
}

fn condition(ctx: Ctx<'_>, id: ConditionId, live: bool) -> ConditionView {
    let condition = &ctx.plan.conditions[id];
    let held_since = ctx.watch.trackers.get(&id).and_then(|t| t.since);
    ConditionView {
        what: ctx.plan.monitors[condition.monitor].title.clone(),
        want: gate::want_text(condition),
        now: gate::now_text(ctx.plan, ctx.watch, id),
        held_ms: held_since.map_or(0, |since| ctx.now - since),
        for_ms: condition.for_ms,
        verdict: if live { gate::verdict(ctx.plan, ctx.watch, id, ctx.now) } else { Verdict::Unknown("later".into()) },
    }
}

fn work(ctx: Ctx<'_>) -> Option<WorkView> {
    let run = ctx.run;
    if let Some(job) = &run.job {
        return Some(job_view(ctx, job));
    }
    if run.finished.is_some() || rolled_back(run) {
        return None;
    }
    let step = &ctx.plan.steps[run.next_step()?];
    let state = &run.steps[run.next_step()?];
    let preview = preview(ctx, &step.action);
    Some(WorkView {
        id: step.id.clone(),
        title: step.title.clone(),
        note: step.note.clone(),
        doing: if state.reason.is_empty() { String::new() } else { format!("{}: {}", state_word(state.state), state.reason) },
        state: state.state,
        since: state.ended,
        expected_ms: step.expected_ms,
        gate: step.gate.iter().map(|id| condition(ctx, *id, true)).collect(),
        verify: conditions_of(step).iter().map(|id| condition(ctx, *id, false)).collect(),
        call: preview,
        items: items(&step.action, None),
        approvals: approvals(&step.action, None),
        change_set: Vec::new(),
        confirm_word: None,
        output: Vec::new(),
        blocked: blocked(ctx),
    })
}

fn state_word(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "not started",
        StepState::Running => "running",
        StepState::Verifying => "verifying",
        StepState::Done => "done",
        StepState::Failed => "failed",
        StepState::Interrupted => "interrupted",
        StepState::Undone => "taken back",
    }
}

fn conditions_of(step: &Step) -> &[ConditionId] {
    match &step.action {
        Action::Soak { conditions, .. } => conditions,
        _ => &step.verify,
    }
}

fn items(action: &Action, papers: Option<&super::state::Papers>) -> Vec<(String, bool)> {
    let Action::Checklist { items } = action else { return Vec::new() };
    let ticked = |i: usize| papers.is_some_and(|p| p.ticks.get(&i) == Some(&true));
    items.iter().enumerate().map(|(i, text)| (text.clone(), ticked(i))).collect()
}

fn approvals(action: &Action, papers: Option<&super::state::Papers>) -> Option<(Vec<String>, u32)> {
    let Action::Approve { count, .. } = action else { return None };
    Some((papers.map(|p| p.approvals.clone()).unwrap_or_default(), *count))
}

fn job_view(ctx: Ctx<'_>, job: &Job) -> WorkView {
    let papers = ctx.run.papers.get(&job.of);
    let definition = definition(ctx.plan, &job.of);
    let undo;
    let action = if let Some(step) = definition {
        &step.action
    } else {
        undo = Action::Restore { steps: restored_by(ctx.plan, &job.of) };
        &undo
    };
    let change_set = job::change_set(ctx, job).filter(|_| job.calls.len() == 1);
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id));
    let output = match action {
        Action::Stack(stack) => {
            let events = ctx.watch.stack_events(&stack.region, &stack.name).iter().take(OUTPUT);
            let mut lines: Vec<String> =
                events.map(|e| format!("{} {} {}", e.logical_id, e.status, e.reason).trim_end().to_owned()).collect();
            lines.reverse();
            lines
        }
        _ => Vec::new(),
    };
    WorkView {
        id: job.of.to_string(),
        title: definition.map_or_else(|| job.of.to_string(), |s| s.title.clone()),
        note: definition.map(|s| s.note.clone()).unwrap_or_default(),
        doing: doing(ctx, job, action, last),
        state: if job.acted.is_some() { StepState::Verifying } else { StepState::Running },
        since: Some(job.acted.unwrap_or(job.started)),
        expected_ms: definition.map_or(0, |s| s.expected_ms),
        gate: Vec::new(),
        verify: definition
            .map(conditions_of)
            .unwrap_or_default()
            .iter()
            .map(|id| condition(ctx, *id, job.acted.is_some() || matches!(action, Action::Soak { .. })))
            .collect(),
        call: match (last, change_set) {
            (Some(_), Some(_)) | (None, _) => preview(ctx, action),
            (Some(call), None) => Some(call_view(&call.call, true, &call_state(call))),
        },
        items: items(action, papers),
        approvals: approvals(action, papers),
        confirm_word: match action {
            Action::Stack(stack) if change_set.is_some_and(job::is_destructive) => Some(stack.region.clone()),
            _ => None,
        },
        change_set: change_set.filter(|_| !job.reviewed).map(|info| info.changes.clone()).unwrap_or_default(),
        output,
        blocked: blocked(ctx),
    }
}

fn doing(ctx: Ctx<'_>, job: &Job, action: &Action, last: Option<&CallRun>) -> String {
    if job.acted.is_some() {
        return "verifying".into();
    }
    if let Some(hold) = &ctx.run.hold {
        return format!("HELD before the next call: {}", hold.reason);
    }
    match (action, last) {
        (Action::Approve { what, .. }, _) => format!("waiting for approval: {what}"),
        (Action::Checklist { .. }, _) => "waiting for every item to be ticked".into(),
        (Action::Soak { for_ms, .. }, _) => {
            format!("watching for {}, {} gone", format_ms(*for_ms), format_ms((ctx.now - job.started).min(*for_ms)))
        }
        (Action::Stack(stack), Some(_)) => {
            if job::change_set(ctx, job).is_some() && job.calls.len() == 1 && !job.reviewed {
                return "change set ready: look at it, then execute it".into();
            }
            match ctx.watch.stack(&stack.region, &stack.name, job.started).flatten() {
                Some(info) => format!("{} is {}", stack.name, info.status),
                None => "waiting for CloudFormation".into(),
            }
        }
        (_, Some(call)) => call_state(call),
        (_, None) => "reading what is there".into(),
    }
}

fn call_state(call: &CallRun) -> String {
    match &call.state {
        CallState::Open => "sent, no answer yet".into(),
        CallState::Applied(_, None) if matches!(call.call, Call::ChangeRecords { .. }) => "accepted, waiting for INSYNC".into(),
        CallState::Applied(_, None) => "accepted".into(),
        CallState::Applied(_, Some(_)) => "in sync".into(),
        CallState::Deferred(why) => format!("not applied, will be sent again: {why}"),
        CallState::Refused(why) => format!("refused: {why}"),
        CallState::Unknown(why) => format!("UNKNOWN, may have been applied: {why}"),
    }
}

/// The call that an action would make, from what was read last.
fn preview(ctx: Ctx<'_>, action: &Action) -> Option<CallView> {
    let call = match action {
        Action::Shift(_) | Action::Records(_) | Action::Restore { .. } => {
            let places = change::places(ctx.plan, ctx.run, action);
            let mut read = Read::new();
            for place in &places {
                if let Some((_, sets)) = ctx.watch.records_ever(place) {
                    read.insert(place.clone(), sets);
                }
            }
            let wanted = change::wanted(ctx.plan, ctx.run, action, &read).ok().filter(|_| read.len() == places.len())?;
            change::batches(&wanted, &read).into_iter().next()?
        }
        Action::Stack(stack) => {
            let operation = match &stack.change {
                crate::plan::StackChange::Apply { template_path, .. } => {
                    format!("change set for {} in {} from {template_path}", stack.name, stack.region)
                }
                crate::plan::StackChange::Delete => format!("delete {} in {}", stack.name, stack.region),
            };
            return Some(CallView {
                operation: "cloudformation".into(),
                control_plane: stack.region.clone(),
                sent: false,
                state: "not sent".into(),
                lines: vec![DiffLine::Plus(operation)],
            });
        }
        Action::Soak { .. } | Action::Approve { .. } | Action::Checklist { .. } => return None,
    };
    Some(call_view(&call, false, "not sent"))
}

/// A call for people; records whose weight is all that changes are shown in one line each way.
#[must_use]
pub fn call_view(call: &Call, sent: bool, state: &str) -> CallView {
    let lines = match call {
        Call::ChangeRecords { delete, create, .. } => {
            let weight_only = |a: &RecordSet, b: &RecordSet| RecordSet { weight: b.weight, ..a.clone() } == *b;
            let mut lines = Vec::new();
            for old in delete {
                match create.iter().find(|new| weight_only(old, new)) {
                    Some(new) => {
                        let name = old.set.as_deref().unwrap_or(&old.name);
                        lines.push(DiffLine::Minus(format!("{name} weight {}", old.weight.unwrap_or(0))));
                        lines.push(DiffLine::Plus(format!("{name} weight {}", new.weight.unwrap_or(0))));
                    }
                    None => lines.push(DiffLine::Minus(old.to_string())),
                }
            }
            let new = create.iter().filter(|new| !delete.iter().any(|old| weight_only(old, new)));
            lines.extend(new.map(|r| DiffLine::Plus(r.to_string())));
            lines
        }
        Call::CreateChangeSet { region, stack, create, .. } => {
            vec![DiffLine::Plus(format!("{} {stack} in {region}", if *create { "create" } else { "update" }))]
        }
        Call::ExecuteChangeSet { region, stack, change_set } => {
            vec![DiffLine::Same(format!("{change_set} of {stack} in {region}"))]
        }
        Call::DeleteStack { region, stack } => vec![DiffLine::Minus(format!("{stack} in {region}"))],
    };
    CallView { operation: call.operation().into(), control_plane: call.control_plane().into(), sent, state: state.into(), lines }
}

/// Percentages of the weights in some record sets, by set identifier.
fn shares(sets: &[RecordSet], kind: &str) -> Vec<(String, u32)> {
    let sets: Vec<&RecordSet> = sets.iter().filter(|r| r.kind == kind && r.set.is_some()).collect();
    let total: u32 = sets.iter().filter_map(|r| r.weight).map(u32::from).sum();
    let share = |r: &&RecordSet| match (r.weight, total) {
        (Some(weight), 1..) => u32::from(weight) * 100 / total,
        // All weights zero answer in equal parts (rule 4).
        _ => 100 / u32::try_from(sets.len().max(1)).unwrap_or(1),
    };
    sets.iter().map(|r| (r.set.clone().unwrap_or_default(), share(r))).collect()
}

fn traffic(ctx: Ctx<'_>) -> Vec<TrafficView> {
    let (Some(traffic), Some(place)) = (&ctx.plan.traffic, traffic_place(ctx.plan)) else { return Vec::new() };
    let newest = |synced: bool| {
        ctx.run.calls.values().rev().find_map(|call| match &call.call {
            Call::ChangeRecords { zone, create, .. } if *zone == place.zone && create.iter().any(|r| r.name == place.name) => {
                match &call.state {
                    CallState::Applied(_, in_sync) if !synced || in_sync.is_some() => Some(shares(create, &traffic.kind)),
                    _ => None,
                }
            }
            _ => None,
        })
    };
    let read = ctx.watch.records_ever(&place).map(|(_, sets)| shares(sets, &traffic.kind));
    let pending = ctx.run.calls.values().any(|c| matches!(c.state, CallState::Applied(_, None)));
    let (asked, in_sync) = if pending { (newest(false), newest(true)) } else { (read.clone(), read) };
    let seen: Vec<(String, i64, Millis)> =
        traffic.seen.iter().filter_map(|(region, monitor)| seen(ctx, region, *monitor)).collect();
    let total: i64 = seen.iter().map(|s| s.1).sum();
    let mut regions: Vec<&str> = traffic.targets.iter().map(|(_, region)| region.as_str()).collect();
    regions.dedup();
    let share_of = |shares: &Option<Vec<(String, u32)>>, region: &str| {
        // A simple record (not weighted yet, or put back) leads to the source region.
        if shares.as_ref().is_some_and(Vec::is_empty) {
            let source = ctx.plan.regions.iter().any(|r| r.name == region && r.role == Role::Source);
            return Some(if source { 100 } else { 0 });
        }
        shares.as_ref().map(|shares| {
            shares.iter().filter(|(set, _)| traffic.targets.iter().any(|(s, r)| s == set && r == region)).map(|(_, s)| s).sum()
        })
    };
    let view = |region: &str| {
        let here = seen.iter().find(|(r, _, _)| r == region);
        TrafficView {
            region: region.to_owned(),
            label: ctx.plan.region_label(region).to_owned(),
            asked: share_of(&asked, region),
            in_sync: share_of(&in_sync, region),
            seen: here.filter(|_| total > 0).and_then(|(_, n, _)| u32::try_from((n * 100 + total / 2) / total).ok()),
            age_ms: here.map(|(_, _, at)| ctx.now - at),
        }
    };
    regions.into_iter().map(view).collect()
}

fn seen(ctx: Ctx<'_>, region: &str, monitor: MonitorId) -> Option<(String, i64, Millis)> {
    let latest = ctx.watch.rings[monitor].latest.as_ref()?;
    match latest.value {
        // Whole pieces are enough here, and keep the sum far from overflowing.
        Value::Number(n) => Some((region.to_owned(), n / 1_000_000, latest.at)),
        _ => None,
    }
}

fn monitor(ctx: Ctx<'_>, id: MonitorId) -> MonitorView {
    let monitor = &ctx.plan.monitors[id];
    let ring = &ctx.watch.rings[id];
    let freshness = ctx.watch.freshness(ctx.plan, id, ctx.now);
    let number = |stat: Stat, value: i64| gate::show(monitor, stat, value);
    let value = match (ring.latest.as_ref().map(|l| &l.value), &monitor.source) {
        (None, _) => "no reading yet".to_owned(),
        (Some(Value::Missing(why) | Value::Failed(why)), _) => why.clone(),
        (Some(Value::Status(status)), _) => status.clone(),
        (Some(Value::Number(now)), Source::Http(_)) => {
            let from = ctx.now - 60_000.max(3 * monitor.every_ms);
            let stat = |stat| gate::statistic(ring, stat, from).map_or_else(|| number(Stat::Last, *now), |v| number(stat, v));
            format!("p50 {} p95 {}", stat(Stat::P50), stat(Stat::P95))
        }
        (Some(Value::Number(now)), _) => number(Stat::Last, *now),
    };
    MonitorView {
        name: monitor.name.clone(),
        title: monitor.title.clone(),
        region: monitor.region.clone(),
        kind: match monitor.source {
            Source::Stack { .. } => "stack",
            Source::Metric(_) => "metric",
            Source::Http(_) => "http",
        }
        .into(),
        value,
        freshness,
        level: level(ctx, id),
        age_ms: ring.latest.as_ref().map(|l| ctx.now - l.at),
        limit: monitor.limit.as_ref().map(|l| format!("{} < {}", gate::stat_name(l.stat), l.above)).unwrap_or_default(),
        spark: ring.samples.iter().rev().take(SPARK).rev().map(|s| s.1).collect(),
    }
}

/// Gravity of a monitor's newest value.
fn level(ctx: Ctx<'_>, id: MonitorId) -> Level {
    let monitor = &ctx.plan.monitors[id];
    let ring = &ctx.watch.rings[id];
    if ctx.watch.freshness(ctx.plan, id, ctx.now) != Freshness::Fresh {
        return Level::Ok;
    }
    let broken = match ring.latest.as_ref().map(|l| &l.value) {
        Some(Value::Failed(_)) => true,
        Some(Value::Status(status)) => status.contains("FAILED") || status.contains("ROLLBACK"),
        _ => false,
    };
    let over = monitor.limit.as_ref().is_some_and(|limit| {
        let window = 60_000.max(3 * monitor.every_ms);
        let from = ring.latest.as_ref().map_or(ctx.now, |l| l.at) - window;
        gate::statistic(ring, limit.stat, from).is_some_and(|value| value > limit.above.micros)
    });
    if broken || over { Level::Caution } else { Level::Ok }
}

fn undo(ctx: Ctx<'_>) -> UndoView {
    let Some(applies) = rollback::applying(ctx) else {
        return UndoView {
            armed: Armed::Nothing,
            name: String::new(),
            to: String::new(),
            window_left_ms: None,
            calls: 0,
            expected_ms: 0,
            restores: String::new(),
            will_not_undo: Vec::new(),
            at_risk: at_risk(ctx),
        };
    };
    let start = rollback::window_start(ctx, applies);
    UndoView {
        armed: rollback::readiness(ctx, applies),
        name: applies.name.clone(),
        to: applies.to.clone(),
        window_left_ms: start.zip(applies.until_ms).map(|(from, until)| (from + until - ctx.now).max(0)),
        calls: rollback::offer(ctx, &RollbackRef::Plan(applies.name.clone()), Millis::MIN).calls.len(),
        expected_ms: applies.expected_ms,
        restores: applies.restores.clone(),
        will_not_undo: one_way(ctx),
        at_risk: at_risk(ctx),
    }
}

fn one_way(ctx: Ctx<'_>) -> Vec<String> {
    rollback::one_way_passed(ctx).into_iter().map(|id| ctx.plan.steps[id].title.clone()).collect()
}

fn at_risk(ctx: Ctx<'_>) -> String {
    match rollback::lag_ms(ctx) {
        Some(lag) => format!("{} of writes not replicated yet", format_ms(lag)),
        None => "unknown: no fresh replication lag".into(),
    }
}

fn offer(ctx: Ctx<'_>, of: &RollbackRef, since: Millis) -> OfferView {
    let offer = rollback::offer(ctx, of, since);
    let plan_rollback = match of {
        RollbackRef::Plan(name) => ctx.plan.rollbacks.iter().find(|r| r.name == *name),
        RollbackRef::Undo(_) => None,
    };
    let caution = offer.problem.clone().or_else(|| match plan_rollback.map(|r| rollback::readiness(ctx, r)) {
        Some(Armed::NotArmed(why)) => Some(why),
        _ => None,
    });
    let why = match (plan_rollback, plan_rollback.and_then(|r| rollback::window_start(ctx, r))) {
        (Some(r), Some(from)) => {
            let after = r.after.map_or("the start", |s| ctx.plan.steps[s].id.as_str());
            match r.until_ms {
                Some(until) if ctx.now < from + until => format!("within {} of {after}", format_ms(until)),
                Some(until) => format!("chosen; its window of {} after {after} has closed", format_ms(until)),
                None => format!("any time after {after}"),
            }
        }
        (Some(_), None) => "chosen by hand; nothing that it takes back has started".into(),
        (None, _) => "takes back one step".into(),
    };
    OfferView {
        name: of.to_string(),
        to: plan_rollback.map(|r| r.to.clone()).unwrap_or_default(),
        why,
        calls: offer.calls.iter().map(|c| call_view(c, false, "not sent")).collect(),
        by_hand: offer.by_hand,
        restores: plan_rollback.map_or_else(|| "what the step changed".into(), |r| r.restores.clone()),
        will_not_undo: one_way(ctx),
        at_risk: at_risk(ctx),
        expected_ms: plan_rollback.map_or(60_000, |r| r.expected_ms),
        fingerprint: offer.fingerprint,
        confirm_word: rollback::confirm_word(ctx, of),
        caution,
    }
}

fn outage_view(ctx: Ctx<'_>) -> Option<OutageView> {
    let outage = ctx.run.outages.last()?;
    let rollback = ctx.run.rollback.as_ref().filter(|r| r.confirmed >= outage.began);
    Some(OutageView {
        began: outage.began,
        detected: outage.detected,
        decided: rollback.map(|r| r.confirmed),
        acted: rollback.and_then(|r| r.in_sync),
        ended: outage.ended,
        failing_ppm: outage::failing_ppm(ctx),
    })
}

/// An alert with the key by which it is acknowledged; its text changes with the numbers in it.
pub struct KeyedAlert {
    /// The key.
    pub key: String,
    /// The alert.
    pub view: AlertView,
}

/// Alerts, gravest first.
#[must_use]
pub fn alerts(ctx: Ctx<'_>) -> Vec<KeyedAlert> {
    let mut alerts = Vec::new();
    let mut add = |key: String, level, text, since| {
        let acknowledged = ctx.watch.acknowledged.contains(&key);
        alerts.push(KeyedAlert { key, view: AlertView { level, text, since, acknowledged } });
    };
    if let Some(outage) = ctx.run.open_outage() {
        let failing = crate::plan::Quantity { micros: outage::failing_ppm(ctx), unit: crate::plan::Unit::Share };
        let text = if outage::failing_ppm(ctx) == 0 {
            format!(
                "users are served again; the outage of {} is over after a minute without failures",
                format_ms(ctx.now - outage.began)
            )
        } else {
            format!("users are failing: {failing} of requests, for {}", format_ms(ctx.now - outage.began))
        };
        add("outage".into(), Level::Warning, text, outage.began);
    }
    for (id, run) in ctx.run.steps.iter().enumerate().filter(|(_, s)| s.state == StepState::Failed) {
        let text = format!("{} failed: {}", ctx.plan.steps[id].id, run.reason);
        add(format!("failed {id}"), Level::Warning, text, run.ended.unwrap_or(ctx.now));
    }
    for (id, call) in ctx.run.calls.iter().filter(|(_, c)| matches!(c.state, CallState::Unknown(_))) {
        let text = format!("call {id} of {} is UNKNOWN: it may have been applied", call.job);
        add(format!("unknown {id}"), Level::Warning, text, call.changed);
    }
    if let Some(hold) = &ctx.run.hold {
        let level = if hold.by == "engine" { Level::Caution } else { Level::Advisory };
        add("hold".into(), level, format!("held: {}", hold.reason), hold.since);
    } else if let Some(failure) = ctx.watch.failure.as_ref().filter(|_| ctx.watch.failures > 0) {
        add("failure".into(), Level::Caution, format!("no answer from the cloud: {}", failure.message), ctx.now);
    }
    for id in 0..ctx.plan.monitors.len() {
        if level(ctx, id) == Level::Caution {
            let view = monitor(ctx, id);
            let at = ctx.watch.rings[id].latest.as_ref().map_or(ctx.now, |l| l.at);
            let limit = if view.limit.is_empty() { String::new() } else { format!(" (limit {})", view.limit) };
            add(format!("monitor {id}"), Level::Caution, format!("{}: {}{limit}", view.title, view.value), at);
        }
    }
    alerts.sort_by_key(|a| std::cmp::Reverse(a.view.level));
    alerts
}

fn verbs(ctx: Ctx<'_>, drill: bool) -> Vec<(Verb, Option<String>)> {
    let run = ctx.run;
    let ended = run.finished.is_some().then(|| "the run has ended".to_owned());
    let action = run.job.as_ref().and_then(|j| definition(ctx.plan, &j.of)).map(|s| &s.action);
    let ready = run.job.as_ref().is_some_and(|j| job::change_set(ctx, j).is_some() && j.calls.len() == 1 && !j.reviewed);
    let or = |allowed: bool, why: &str| ended.clone().or_else(|| (!allowed).then(|| why.to_owned()));
    let mut verbs = vec![
        (Verb::Hold, or(run.hold.is_none(), "held already")),
        (Verb::Continue, or(run.hold.is_some(), "nothing is held")),
        (
            Verb::Rollback,
            ended.clone().or_else(|| match run.active_rollback() {
                Some(_) => Some("a rollback is going on".into()),
                None => rollback::choose(ctx, None).err(),
            }),
        ),
        (Verb::Next, if ready && run.hold.is_none() { ended.clone() } else { blocked(ctx) }),
        (
            Verb::GoOn,
            or(run.hold.is_none() && run.active_rollback().is_none() && run.going.is_none(), "held, or going on already"),
        ),
        (Verb::Approve, or(matches!(action, Some(Action::Approve { .. })), "nothing waits for an approval")),
        (Verb::Tick, or(matches!(action, Some(Action::Checklist { .. })), "no checklist is open")),
        (Verb::Undo, {
            let step = match run.job.as_ref().map(|j| &j.of) {
                Some(JobRef::Step(id)) => Some(id.clone()),
                _ => last_changed(ctx.plan, ctx),
            };
            ended.clone().or_else(|| match step {
                Some(step) => rollback::undoable(ctx, &step).err(),
                None => Some("nothing has been changed yet".into()),
            })
        }),
        (Verb::Acknowledge, alerts(ctx).iter().all(|a| a.view.acknowledged).then(|| "no alert".to_owned())),
    ];
    if drill {
        verbs.push((Verb::Drill, None));
    }
    verbs
}

/// The step that changed records last.
fn last_changed(plan: &Plan, ctx: Ctx<'_>) -> Option<String> {
    let steps = plan.steps.iter().zip(&ctx.run.steps).rev();
    let changed = |(step, run): &(&Step, &super::state::StepRun)| {
        run.attempts > 0 && run.state != StepState::Undone && matches!(step.action, Action::Shift(_) | Action::Records(_))
    };
    steps.filter(changed).map(|(s, _)| s.id.clone()).next()
}

fn result(ctx: Ctx<'_>) -> Option<ResultView> {
    let (outcome, at) = ctx.run.finished?;
    let rollback = ctx.run.rollback.as_ref().filter(|r| matches!(r.of, RollbackRef::Plan(_)));
    let outage = ctx.run.outages.last().filter(|o| o.ended.is_some());
    let rto = outage.zip(rollback).and_then(|(outage, rollback)| {
        let ended = outage.ended?;
        let acted = rollback.in_sync.or(rollback.done)?;
        // Somebody may have decided before the outage was told from a single failure: nothing took less than no time.
        let noticed = outage.detected.min(rollback.confirmed);
        Some(RtoView {
            detect_ms: noticed - outage.began,
            decide_ms: rollback.confirmed - noticed,
            act_ms: acted - rollback.confirmed,
            recover_ms: ended - acted,
            total_ms: ended - outage.began,
        })
    });
    Some(ResultView {
        outcome,
        rollback: rollback.map(|r| (r.of.to_string(), r.confirmed, r.done.unwrap_or(at) - r.confirmed)),
        rto,
        rpo_ms: rollback.and_then(|r| r.lag_ms),
        downtime_ms: ctx.run.downtime_ms(at),
        budget_ms: ctx.plan.downtime_budget_ms(),
        objective_rto_ms: ctx.plan.objectives.rto_ms,
        objective_rpo_ms: ctx.plan.objectives.rpo_ms,
    })
}
