//! The way back: which rollback applies, whether it is armed, what it would do.

use super::call::call_view;
use crate::cloud::{Call, Millis};
use crate::plan::{Rollback, format_ms};
use crate::run::decide::Ctx;
use crate::run::entry::RollbackRef;
use crate::run::ready::{self, Changed};
use crate::run::rollback::{self, Lag};
use crate::run::snapshot::{Armed, Conflict, Freshness, OfferView, ProofView, RollbackView, UndoView};

/// The rollback that applies now.
pub fn undo(ctx: Ctx<'_>) -> UndoView {
    let Some(applies) = rollback::applying(ctx) else {
        return UndoView {
            armed: Armed::Nothing,
            proofs: Vec::new(),
            name: String::new(),
            to: String::new(),
            window_left_ms: None,
            calls: 0,
            expected_ms: 0,
            restores: String::new(),
            will_not_undo: Vec::new(),
            at_risk: at_risk(ctx, None),
        };
    };
    let proof = |p: ready::Proof| ProofView { what: p.what.to_owned(), verdict: p.verdict, seen: p.seen };
    UndoView {
        armed: ready::readiness(ctx, applies),
        proofs: ready::proofs(ctx, applies).into_iter().map(proof).collect(),
        name: applies.name.clone(),
        to: applies.to.clone(),
        window_left_ms: rollback::window_left(ctx, applies).map(|left| left.max(0)),
        calls: rollback::offer(ctx, &RollbackRef::Plan(applies.name.clone()), Millis::MIN).calls.len(),
        expected_ms: applies.expected_ms,
        restores: applies.restores.clone(),
        will_not_undo: one_way(ctx),
        at_risk: at_risk(ctx, Some(applies)),
    }
}

/// Every rollback of the plan.
pub fn rollbacks(ctx: Ctx<'_>) -> Vec<RollbackView> {
    let view = |r: &Rollback| {
        let mut control_planes: Vec<String> = r.steps.iter().flat_map(|s| s.control_planes.iter().cloned()).collect();
        control_planes.sort();
        control_planes.dedup();
        RollbackView {
            name: r.name.clone(),
            title: r.title.clone(),
            key: r.key,
            to: r.to.clone(),
            armed: ready::readiness(ctx, r),
            window_left_ms: rollback::window_left(ctx, r).map(|left| left.max(0)),
            control_planes,
            auto: !r.auto.is_empty(),
        }
    };
    ctx.plan.rollbacks.iter().map(view).collect()
}

fn one_way(ctx: Ctx<'_>) -> Vec<String> {
    rollback::one_way_passed(ctx).into_iter().map(|id| ctx.plan.steps[id].title.clone()).collect()
}

/// What would be lost, in words. A value that is no longer fresh says how old it is: the region that published it may
/// be the one that is down.
fn at_risk(ctx: Ctx<'_>, rollback: Option<&Rollback>) -> String {
    match rollback::lag(ctx, rollback) {
        Some(Lag { ms, freshness: Freshness::Fresh, .. }) => format!("{} of writes not replicated yet", format_ms(ms)),
        Some(Lag { ms, at, .. }) => {
            format!("{} of writes not replicated {} ago; nothing newer is known", format_ms(ms), format_ms(ctx.now - at))
        }
        None => "unknown: no replication lag was ever seen".into(),
    }
}

/// A rollback that is shown.
pub fn offer(ctx: Ctx<'_>, of: &RollbackRef, since: Millis) -> OfferView {
    let offer = rollback::offer(ctx, of, since);
    let plan_rollback = match of {
        RollbackRef::Plan(name) => ctx.plan.rollbacks.iter().find(|r| r.name == *name),
        RollbackRef::Undo(_) => None,
    };
    let caution = offer.problem.clone().or_else(|| offer.caution.clone()).or_else(|| {
        match plan_rollback.map(|r| ready::readiness(ctx, r)) {
            Some(Armed::NotArmed(why)) => Some(why),
            _ => None,
        }
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
        at_risk: at_risk(ctx, plan_rollback),
        expected_ms: plan_rollback.map_or(60_000, |r| r.expected_ms),
        fingerprint: offer.fingerprint,
        confirm_word: rollback::confirm_word(ctx, of),
        caution,
        conflict: plan_rollback.and_then(|r| ready::conflict(ctx, r)).map(|changed| side_by_side(changed, &offer.calls)),
    }
}

/// What this run left, what is there, and what the rollback makes of it.
fn side_by_side(changed: Changed, calls: &[Call]) -> Conflict {
    let Changed { key, left, now } = changed;
    let made = calls.iter().find_map(|call| match (call, &key) {
        (Call::ChangeRecords { create, .. }, Some(key)) => create.iter().find(|r| r.key() == *key).map(ToString::to_string),
        (Call::UpdateHealthCheck { id, inverted, .. }, None) => Some(format!("health check {id} inverted {inverted}")),
        _ => None,
    });
    let removed = calls.iter().any(|call| match (call, &key) {
        (Call::ChangeRecords { delete, .. }, Some(key)) => delete.iter().any(|r| r.key() == *key),
        _ => false,
    });
    let wanted = made.unwrap_or_else(|| if removed { "nothing".into() } else { now.clone() });
    Conflict { before: left, now, wanted }
}
