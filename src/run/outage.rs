//! The clock of an outage: when users began to fail, as the service monitor sees it, and when they were served again.

use super::decide::{Ctx, Decision, rolled_back};
use super::entry::Entry;
use crate::cloud::Millis;

/// Samples older than this do not count, in milliseconds.
const WINDOW_MS: i64 = 60_000;
/// So many failed samples in the window, and this share of it, are an outage.
const FAILED_SAMPLES: usize = 3;
/// See [`FAILED_SAMPLES`]; in percent.
const FAILED_PERCENT: usize = 4;
/// So many good samples after the last bad one end it.
const GOOD_SAMPLES: usize = 10;

/// Opens and closes outages.
pub fn track(ctx: Ctx<'_>, decision: &mut Decision) {
    let Some(service) = ctx.plan.traffic.as_ref().and_then(|t| t.service) else { return };
    let samples = &ctx.watch.rings[service].samples;
    let open = ctx.run.open_outage();
    // What an outage that is over has explained is not evidence for another one.
    let from = ctx.run.outages.last().and_then(|o| o.ended).unwrap_or(Millis::MIN);
    if open.is_none() {
        let (mut all, mut bad, mut first) = (0, 0, None);
        for (at, value) in samples.iter().rev().take_while(|s| s.0 > (ctx.now - WINDOW_MS).max(from)) {
            all += 1;
            if value.is_none() {
                bad += 1;
                first = Some(*at);
            }
        }
        if let Some(began) = first.filter(|_| bad >= FAILED_SAMPLES && bad * 100 >= all * FAILED_PERCENT) {
            decision.write(Entry::OutageBegan { began });
            // Whatever is going on forward, this is not the moment for more of it.
            if ctx.run.hold.is_none() && ctx.run.active_rollback().is_none() && !rolled_back(ctx.run) {
                decision.write(Entry::Held { reason: "users are failing".into() });
            }
        }
        return;
    }
    let good = samples.iter().rev().take_while(|s| s.1.is_some()).count();
    let first_good = samples.get(samples.len() - good).map(|s| s.0);
    // After a restart the ring may hold no bad sample at all: then the outage ended when it was full of good ones.
    if let (Some(first_good), Some(newest)) = (first_good, samples.back())
        && good >= GOOD_SAMPLES
        && newest.0 - first_good >= WINDOW_MS
    {
        decision.write(Entry::OutageEnded { ended: first_good });
    }
}

/// Share of failed samples in the window, in millionths.
#[must_use]
pub fn failing_ppm(ctx: Ctx<'_>) -> i64 {
    let Some(service) = ctx.plan.traffic.as_ref().and_then(|t| t.service) else { return 0 };
    super::gate::statistic(&ctx.watch.rings[service], crate::plan::Stat::Errors, ctx.now - WINDOW_MS).unwrap_or(0)
}
