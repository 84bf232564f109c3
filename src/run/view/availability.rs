//! The error budget for people: what was spent, by whom it was seen, which step it went to, and where it will end.

use crate::cloud::Millis;
use crate::plan::{MonitorId, format_ms};
use crate::run::decide::Ctx;
use crate::run::downtime::Down;
use crate::run::snapshot::{AvailabilityView, DownView, Level, StepDownView};
use crate::run::span::length;

/// No pace is told from less than this, in milliseconds.
const PACE_MS: i64 = 3_600_000;

/// What a screen shows of the error budget.
#[must_use]
pub fn availability(ctx: Ctx<'_>) -> AvailabilityView {
    let (plan, downtime) = (ctx.plan, &ctx.watch.downtime);
    let (service, regions) = downtime.down();
    let view = |name: &str, label: &str, monitors: &[MonitorId], since: Option<Millis>, down: &Down| DownView {
        name: name.to_owned(),
        label: label.to_owned(),
        vantages: monitors.len(),
        quorum: plan.availability.quorum_of(monitors.len()),
        since,
        certain_ms: length(&down.certain),
        possible_ms: length(&down.possible),
        unmeasured_ms: length(&down.unmeasured),
    };
    let of_regions = plan.availability.regions.iter().zip(downtime.regions()).zip(regions);
    AvailabilityView {
        burnt_ms: plan.availability.burnt_ms,
        service: view("service", "the service", &plan.availability.service, downtime.since(), service),
        regions: of_regions
            .map(|(((name, monitors), (_, since)), down)| view(name, plan.region_label(name), monitors, since, down))
            .collect(),
        projected_ms: projected(ctx, service),
        steps: steps(ctx, service),
    }
}

fn projected(ctx: Ctx<'_>, service: &Down) -> Option<(i64, i64)> {
    let since = ctx.watch.downtime.since()?;
    let elapsed = ctx.now - since;
    let whole = i64::from(ctx.plan.days) * 86_400_000;
    if elapsed < PACE_MS {
        return None;
    }
    // A run that takes longer than its days has no less behind it than it has.
    let at_pace = |spent: i64| {
        let more = i128::from(spent) * i128::from(whole.max(elapsed)) / i128::from(elapsed);
        ctx.plan.availability.burnt_ms + i64::try_from(more).unwrap_or(i64::MAX / 2)
    };
    Some((at_pace(length(&service.certain)), at_pace(length(&service.possible))))
}

fn steps(ctx: Ctx<'_>, service: &Down) -> Vec<StepDownView> {
    if service.possible.is_empty() {
        return Vec::new();
    }
    let started =
        ctx.plan.steps.iter().zip(&ctx.run.steps).filter_map(|(step, run)| Some((run.first_started?, step.id.as_str())));
    let mut starts: Vec<(Millis, &str)> = std::iter::once((Millis::MIN, "")).chain(started).collect();
    starts.sort_by_key(|s| s.0);
    let ends = starts.iter().skip(1).map(|s| s.0).chain(std::iter::once(Millis::MAX));
    let cost = |((from, step), to): (&(Millis, &str), Millis)| {
        let (certain_ms, possible_ms) = service.within(*from, to);
        (possible_ms > 0).then(|| StepDownView { step: (*step).to_owned(), certain_ms, possible_ms })
    };
    starts.iter().zip(ends).filter_map(cost).collect()
}

/// Whether the error budget wants attention.
#[must_use]
pub fn alert(ctx: Ctx<'_>) -> Option<(Level, String)> {
    let (service, _) = ctx.watch.downtime.down();
    let budget = ctx.plan.downtime_budget_ms();
    let burnt = ctx.plan.availability.burnt_ms;
    let spent = burnt + length(&service.certain);
    let seconds = |ms: i64| format_ms(ms / 1_000 * 1_000);
    if spent > budget {
        return Some((Level::Caution, format!("the error budget of {} is spent: down for {}", seconds(budget), seconds(spent))));
    }
    let (projected, _) = projected(ctx, service)?;
    (projected > budget).then(|| {
        let text = format!("at this pace {} of downtime at the end, {} are allowed", seconds(projected), seconds(budget));
        (Level::Advisory, text)
    })
}
