//! From plan, run and watch to the snapshot that a screen shows. Pure; never called on the hot path.

use std::sync::Arc;

use self::alerts::alerts;
use self::calendar::Calendar;
use self::call::call_view;
use super::change::{self, Read};
use super::core::Core;
use super::decide::{Ctx, blocked, moves_traffic, rolled_back};
use super::entry::{JobRef, RollbackRef};
use super::history::History;
use super::snapshot::{
    CallView, ChartView, ConditionView, Conflict, DiffLine, DrillView, Freshness, Identity, LedgerView, Level, MonitorView,
    OutageView, PhaseView, ResultView, RtoView, ServerView, Snapshot, Status, StepState, StepView, Verdict, WorkView,
};
use super::state::{CallRun, CallState, Job, RollbackRun, Run, action_of, definition};
use super::watch::Ring;
use super::{gate, job, local, moved, outage, rollback, stacks, window};
use crate::cloud::{CHECK_HEALTHY, Call, Millis, ServerAnswer, Value};
use crate::plan::{Action, ConditionId, Limit, MonitorId, Role, Source, Stat, Step, Undo, format_ms};

mod about;
pub mod alerts;
pub mod availability;
mod calendar;
pub mod call;
mod days;
mod traffic;
mod undo;
mod verbs;

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
    let calendar = Calendar::of(ctx);
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
        day: calendar.day(),
        days: plan.days,
        drill: around.drill.clone(),
        status: status(ctx),
        phases: phases(ctx),
        steps: plan.steps.iter().enumerate().map(|(id, step)| step_view(ctx, &calendar, id, step)).collect(),
        current: run.next_step(),
        work: work(ctx),
        traffic: traffic::traffic(ctx),
        monitors: (0..plan.monitors.len()).map(|id| monitor(ctx, id, &core.history[id])).collect(),
        undo: undo::undo(ctx),
        rollbacks: undo::rollbacks(ctx),
        credentials_expire: ctx.watch.credentials(Millis::MIN).flatten(),
        rolling_back: run.active_rollback().is_some(),
        rolled_back: rolled_back(run),
        offer: rollback_shown.map(|prepared| undo::offer(ctx, &prepared.of, prepared.since)),
        outage: outage_view(ctx),
        alerts: alerts(ctx).into_iter().map(|a| a.view).collect(),
        budget_ms: plan.downtime_budget_ms(),
        downtime_ms: run.downtime_ms(now),
        availability: availability::availability(ctx),
        calendar: days::days(ctx, &calendar),
        about: about::about(ctx, &around.run),
        journal: core.tail.iter().cloned().collect(),
        ledger: around.ledger.clone(),
        verbs: verbs::verbs(ctx, around.drill.is_some()),
        result: result(ctx),
    }
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
            view.done += usize::from(run.state.is_over());
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
        Action::HealthCheck(_) => "health-check",
        Action::Switch(_) => "switch",
        Action::Shell(_) => "shell",
        Action::Edit(_) => "edit",
        Action::Http(_) => "http",
        Action::Restore { .. } => "restore",
    }
}

fn step_view(ctx: Ctx<'_>, calendar: &Calendar, id: usize, step: &Step) -> StepView {
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
        changes: step.undo != Undo::Nothing,
        control_planes: step.control_planes.clone(),
        expected_ms: step.expected_ms,
        started: run.started,
        ended: run.ended,
        calendar: calendar.step(step, run),
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
    if let Some(active) = run.active_rollback() {
        return rollback_waits(ctx, active);
    }
    let step = &ctx.plan.steps[run.next_step()?];
    let state = &run.steps[run.next_step()?];
    let preview = preview(ctx, &JobRef::Step(step.id.clone()), &step.action);
    let (override_people, override_asked) = overrides(ctx, &JobRef::Step(step.id.clone()), step);
    Some(WorkView {
        id: step.id.clone(),
        step: step.id.clone(),
        rollback: None,
        title: step.title.clone(),
        note: step.note.clone(),
        action: action_word(&step.action).into(),
        gives: step.action.gives(),
        doing: if state.reason.is_empty() { String::new() } else { format!("{}: {}", state.state.word(), state.reason) },
        state: state.state,
        since: state.ended,
        expected_ms: step.expected_ms,
        window: window::view(ctx, step, None),
        gate: step.gate.iter().map(|id| condition(ctx, *id, true)).collect(),
        verify: conditions_of(step).iter().map(|id| condition(ctx, *id, false)).collect(),
        call: preview,
        items: items(&step.action, None),
        approvals: approvals(&step.action, None),
        change_set: Vec::new(),
        confirm_word: None,
        output: Vec::new(),
        conflict: conflict(run, &JobRef::Step(step.id.clone())),
        blocked: blocked(ctx),
        override_people,
        override_asked,
    })
}

/// The step of a rollback that is next while nothing goes on: it failed, waits for its proof, or is held.
fn rollback_waits(ctx: Ctx<'_>, active: &RollbackRun) -> Option<WorkView> {
    let (job, step) = rollback::next_job(ctx.plan, active)?;
    let failure = ctx.run.hold.as_ref().and_then(|hold| hold.reason.strip_prefix(&format!("{job} failed: ")));
    let proof = step.filter(|s| !moves_traffic(&s.action)).map(|s| s.gate.as_slice()).unwrap_or_default();
    let shut = match gate::all(ctx.plan, ctx.watch, proof, ctx.now) {
        Verdict::Pass => None,
        Verdict::Fail(why) => Some(why),
        Verdict::Unknown(why) => Some(format!("UNKNOWN {why}")),
    };
    let (override_people, override_asked) = step.map_or((1, Vec::new()), |s| overrides(ctx, &job, s));
    Some(WorkView {
        id: job.to_string(),
        step: step.map(|s| s.id.clone()).unwrap_or_default(),
        rollback: Some(active.of.to_string()),
        title: step.map_or_else(|| job.to_string(), |s| s.title.clone()),
        note: step.map(|s| s.note.clone()).unwrap_or_default(),
        action: step.map(|s| action_word(&s.action)).unwrap_or_default().into(),
        gives: Vec::new(),
        doing: failure.map_or_else(String::new, |why| format!("failed: {why}")),
        state: if failure.is_some() { StepState::Failed } else { StepState::Pending },
        since: ctx.run.hold.as_ref().map(|hold| hold.since),
        expected_ms: step.map_or(0, |s| s.expected_ms),
        window: None,
        gate: proof.iter().map(|id| condition(ctx, *id, true)).collect(),
        verify: step.map(conditions_of).unwrap_or_default().iter().map(|id| condition(ctx, *id, false)).collect(),
        call: step.and_then(|s| preview(ctx, &job, &s.action)),
        items: step.map(|s| items(&s.action, None)).unwrap_or_default(),
        approvals: step.and_then(|s| approvals(&s.action, None)),
        change_set: Vec::new(),
        confirm_word: None,
        output: Vec::new(),
        conflict: conflict(ctx.run, &job),
        blocked: shut.map(|why| format!("waits for its proof: {why}")),
        override_people,
        override_asked,
    })
}

/// What somebody else changed where that is why a job failed.
fn conflict(run: &Run, job: &JobRef) -> Option<Conflict> {
    run.conflicts.get(job).cloned()
}

/// How many people an override of a step's gate takes, and who has asked for one.
fn overrides(ctx: Ctx<'_>, job: &JobRef, step: &Step) -> (u32, Vec<(String, String)>) {
    let asked = ctx.run.overrides.get(job).into_iter().flatten();
    (step.override_people, asked.map(|(who, why)| (who.clone(), why.clone())).collect())
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
    items.iter().enumerate().map(|(i, item)| (item.text.clone(), ticked(i))).collect()
}

fn approvals(action: &Action, papers: Option<&super::state::Papers>) -> Option<(Vec<String>, u32)> {
    let Action::Approve { count, .. } = action else { return None };
    Some((papers.map(|p| p.approvals.clone()).unwrap_or_default(), *count))
}

fn job_view(ctx: Ctx<'_>, job: &Job) -> WorkView {
    let papers = ctx.run.papers.get(&job.of);
    let definition = definition(ctx.plan, &job.of);
    let action = action_of(ctx.plan, &job.of);
    let action = action.as_ref();
    let change_set = job::change_set(ctx, job).filter(|_| job.calls.len() == 1);
    let last = job.calls.last().and_then(|id| ctx.run.calls.get(id));
    let output = match action {
        Action::Stack(stack) => {
            let events = ctx.watch.stacks.events(&stack.region, &stack.name).iter().take(OUTPUT);
            let mut lines: Vec<String> =
                events.map(|e| format!("{} {} {}", e.logical_id, e.status, e.reason).trim_end().to_owned()).collect();
            lines.reverse();
            lines
        }
        _ => Vec::new(),
    };
    WorkView {
        id: job.of.to_string(),
        step: definition.map(|s| s.id.clone()).unwrap_or_default(),
        rollback: ctx.run.active_rollback().map(|r| r.of.to_string()),
        title: definition.map_or_else(|| job.of.to_string(), |s| s.title.clone()),
        note: definition.map(|s| s.note.clone()).unwrap_or_default(),
        action: action_word(action).into(),
        gives: definition.map(|s| s.action.gives()).unwrap_or_default(),
        doing: doing(ctx, job, action, last),
        state: if job.acted.is_some() { StepState::Verifying } else { StepState::Running },
        since: Some(job.acted.unwrap_or(job.started)),
        expected_ms: definition.map_or(0, |s| s.expected_ms),
        window: definition.and_then(|s| window::view(ctx, s, Some(job.started))),
        gate: Vec::new(),
        verify: definition
            .map(conditions_of)
            .unwrap_or_default()
            .iter()
            .map(|id| condition(ctx, *id, job.acted.is_some() || matches!(action, Action::Soak { .. })))
            .collect(),
        call: match (last, change_set) {
            (Some(_), Some(_)) | (None, _) => preview(ctx, &job.of, action),
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
        conflict: None,
        blocked: blocked(ctx),
        override_people: definition.map_or(1, |s| s.override_people),
        override_asked: Vec::new(),
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
        CallState::Open if matches!(call.call, Call::RunScript { .. }) => "running".into(),
        CallState::Open => "sent, no answer yet".into(),
        CallState::Applied(_, None) if matches!(call.call, Call::ChangeRecords { .. }) => "accepted, waiting for INSYNC".into(),
        CallState::Applied(_, None) => "accepted".into(),
        CallState::Applied(_, Some(_)) => "in sync".into(),
        CallState::Deferred(why) if matches!(call.call, Call::RunScript { .. }) => format!("ended, will be run again: {why}"),
        CallState::Deferred(why) => format!("not applied, will be sent again: {why}"),
        CallState::Refused(why) => format!("refused: {why}"),
        CallState::Unknown(why) => format!("UNKNOWN, may have been applied: {why}"),
    }
}

/// The call that an action would make, from what was read last.
fn preview(ctx: Ctx<'_>, job: &JobRef, action: &Action) -> Option<CallView> {
    let call = match action {
        Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Edit(_) | Action::Restore { .. } => {
            let places = change::places(ctx.plan, ctx.run, action);
            let mut read = Read::default();
            for place in &places {
                if let Some((_, answer)) = ctx.watch.found_ever(place) {
                    read.insert(place.clone(), answer);
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
                control_plane: Some(stack.region.clone()),
                local: false,
                sent: false,
                state: "not sent".into(),
                lines: vec![DiffLine::Plus(operation)],
            });
        }
        Action::Switch(switch) => job::put(switch),
        Action::Shell(script) => {
            let mut view = call_view(&local::script_call(ctx, job, script).ok()?, false, "not sent");
            view.lines.extend(script.text.lines().map(|line| DiffLine::Same(line.to_owned())));
            return Some(view);
        }
        Action::Http(request) => local::request_call(ctx, job, request).ok()?,
        Action::Soak { .. } | Action::Approve { .. } | Action::Checklist { .. } => return None,
    };
    Some(call_view(&call, false, "not sent"))
}

/// What a monitor's newest reading says, for people; for probes median and 95th percentile.
fn value(ctx: Ctx<'_>, id: MonitorId) -> String {
    let monitor = &ctx.plan.monitors[id];
    let ring = &ctx.watch.rings[id];
    let number = |stat: Stat, value: i64| gate::show(monitor, stat, value);
    match (ring.latest.as_ref().map(|l| &l.value), &monitor.source) {
        (None, _) => "no reading yet".to_owned(),
        (Some(Value::Missing(why) | Value::Failed(why)), _) => why.clone(),
        (Some(Value::Status(status)), _) => status.clone(),
        (Some(Value::Number(now)), Source::Http(_)) => {
            let from = ctx.now - 60_000.max(3 * monitor.every_ms);
            let stat = |stat| gate::statistic(ring, stat, from).map_or_else(|| number(Stat::Last, *now), |v| number(stat, v));
            format!("p50 {} p95 {}", stat(Stat::P50), stat(Stat::P95))
        }
        (Some(Value::Number(_)), Source::Dns(source)) => moved::words(source, &ring.servers),
        (Some(now), _) if gate::is_not_replicating(monitor, now) => "not replicating".to_owned(),
        (Some(Value::Number(now)), _) => number(Stat::Last, *now),
        // The core makes a number of it when it comes in.
        (Some(Value::Servers(_)), _) => "unreadable".to_owned(),
    }
}

fn limit_text(limit: &Limit) -> String {
    format!("{} < {}", gate::stat_name(limit.stat), limit.above)
}

fn monitor(ctx: Ctx<'_>, id: MonitorId, past: &Arc<History>) -> MonitorView {
    let monitor = &ctx.plan.monitors[id];
    let ring = &ctx.watch.rings[id];
    MonitorView {
        name: monitor.name.clone(),
        title: monitor.title.clone(),
        region: monitor.region.clone(),
        kind: match monitor.source {
            Source::Stack { .. } => "stack",
            Source::Metric(_) => "metric",
            Source::HealthCheck { .. } => "health-check",
            Source::Http(_) => "http",
            Source::Dns(_) => "dns",
        }
        .into(),
        value: value(ctx, id),
        detail: stacks::detail(ctx, id),
        freshness: ctx.watch.freshness(ctx.plan, id, ctx.now),
        level: level(ctx, id),
        age_ms: ring.latest.as_ref().map(|l| ctx.now - l.at),
        limit: monitor.limit.as_ref().map(limit_text).unwrap_or_default(),
        spark: spark(ring, past),
        limit_at: monitor.limit.as_ref().filter(|l| l.stat != Stat::Errors).map(|l| l.above.micros),
        unit: gate::unit_of(monitor, Stat::Last),
        servers: servers(ctx, id),
        chart: ChartView { samples: Arc::clone(&ring.samples), past: Arc::clone(past) },
    }
}

/// The newest numbers, oldest first; those that earlier engines of the run took fill up what is missing.
fn spark(ring: &Ring, past: &History) -> Vec<Option<i64>> {
    let first = ring.samples.front().map_or(Millis::MAX, |sample| sample.0);
    let before = past.before.iter().rev().skip_while(|sample| sample.0 >= first);
    let mut newest: Vec<Option<i64>> = ring.samples.iter().rev().chain(before).take(SPARK).map(|sample| sample.1).collect();
    newest.reverse();
    newest
}

fn servers(ctx: Ctx<'_>, id: MonitorId) -> Vec<ServerView> {
    let Source::Dns(source) = &ctx.plan.monitors[id].source else { return Vec::new() };
    let view = |said: &ServerAnswer| ServerView {
        name: said.server.clone(),
        zone: said.zone,
        answer: said.answer.clone(),
        region: said.region.as_ref().map(|region| ctx.plan.region_label(region).to_owned()),
        moved: said.region.as_ref() == Some(&source.toward),
        ttl_s: said.ttl_s,
        trouble: said.trouble.clone(),
    };
    ctx.watch.rings[id].servers.iter().map(view).collect()
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
        Some(Value::Status(word)) if matches!(monitor.source, Source::HealthCheck { .. }) => word != CHECK_HEALTHY,
        Some(value @ Value::Number(_)) => gate::is_not_replicating(monitor, value),
        Some(Value::Status(status)) => status.contains("FAILED") || status.contains("ROLLBACK"),
        _ => false,
    };
    if broken || gate::is_breached(monitor, ring) { Level::Caution } else { Level::Ok }
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

fn result(ctx: Ctx<'_>) -> Option<ResultView> {
    let (outcome, at) = ctx.run.finished?;
    let rollback = ctx.run.rollback.as_ref().filter(|r| matches!(r.of, RollbackRef::Plan(_)));
    let outage = ctx.run.outages.last().filter(|o| o.ended.is_some());
    let rto = outage.zip(rollback).and_then(|(outage, rollback)| {
        let ended = outage.ended?;
        // Somebody may have decided before the outage was told from a single failure, and where not every request fails
        // the last failure may come before the last call: nothing took less than no time.
        let decided = rollback.confirmed.min(ended);
        let noticed = outage.detected.min(decided);
        let acted = rollback.in_sync.or(rollback.done)?.min(ended);
        Some(RtoView {
            detect_ms: noticed - outage.began,
            decide_ms: decided - noticed,
            act_ms: acted - decided,
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
        failed_requests: None,
        objective_rto_ms: ctx.plan.objectives.rto_ms,
        objective_rpo_ms: ctx.plan.objectives.rpo_ms,
    })
}
