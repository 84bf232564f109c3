//! What wants attention, gravest first.

use super::{availability, level, limit_text, value};
use crate::cloud::PollKind;
use crate::plan::{Quantity, Source, Unit, format_ms};
use crate::run::decide::Ctx;
use crate::run::snapshot::{AlertView, Level, StepState};
use crate::run::state::CallState;
use crate::run::{gate, outage, stacks};

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
        let failing = Quantity { micros: outage::failing_ppm(ctx), unit: Unit::Share };
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
            let (definition, ring) = (&ctx.plan.monitors[id], &ctx.watch.rings[id]);
            let at = ring.latest.as_ref().map_or(ctx.now, |l| l.at);
            // The number that is shown must be the one that the limit is about.
            let text = match (&definition.limit, gate::limited(definition, ring), &definition.source) {
                (Some(limit), Some(value), Source::Metric(_)) => {
                    let value = gate::show(definition, limit.stat, value);
                    format!("{}: {} {value} (limit {})", definition.title, gate::stat_name(limit.stat), limit.above)
                }
                (Some(limit), ..) => format!("{}: {} (limit {})", definition.title, value(ctx, id), limit_text(limit)),
                (None, ..) => format!("{}: {}", definition.title, value(ctx, id)),
            };
            add(format!("monitor {id}"), Level::Caution, text, at);
        }
    }
    if let Some((level, text)) = availability::alert(ctx) {
        add("error budget".into(), level, text, ctx.now);
    }
    for change in stacks::foreign(ctx) {
        add(change.key, Level::Caution, change.text, change.since);
    }
    for (group, throttled) in ctx.watch.throttled() {
        let service = if group.kind == PollKind::Stacks { "CloudFormation" } else { "CloudWatch" };
        let text = format!("throttled by {service} in {}: it is asked less often", group.region);
        add(format!("throttled {service} {}", group.region), Level::Advisory, text, throttled.since);
    }
    alerts.sort_by_key(|a| std::cmp::Reverse(a.view.level));
    alerts
}
