//! What goes wrong in a scenario.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::Node;
use super::problem::show;
use super::records;
use super::scenarios::{Known, TIME_MS_MAX};
use super::value;
use crate::plan::{Action, DrillMetric, Fault, FaultAt, FaultKind, Lost, MonitorId, ROUTE53_REGION, StackChange, Unit};

/// The faults, by their keys.
const FAULTS: [&str; 11] = [
    "region-down",
    "control-plane-away",
    "brownout",
    "lag",
    "replication-stopped",
    "stack-fails",
    "throttle",
    "lose-answers",
    "late-answers",
    "credentials-expire",
    "third-party-edit",
];
/// How long before their expiry credentials say so, when the scenario does not, in milliseconds.
const NOTICE_MS: i64 = 3_600_000;
/// An answer that comes sooner is not late, in milliseconds.
const LATE_MS_MIN: i64 = 10_000;
/// Longest delay that a fault brings, in milliseconds.
const DELAY_MS_MAX: i64 = 3_600_000;

/// One fault.
pub fn fault(cx: &mut Context, node: &Node, known: Known<'_>) -> Read<Fault> {
    let mut f = Fields::of(cx, node, "the fault")?;
    let at = f.need(cx, "at", fault_at);
    let chosen = f.exactly_one(cx, "kind", &FAULTS);
    let for_ms = match chosen {
        Some(("third-party-edit", _)) => {
            f.refuse(cx, "for", "an edit is made once, and stays");
            None
        }
        _ => f.maybe(cx, "for", |cx, n| cx.duration_ms_in(n, 1_000, TIME_MS_MAX)),
    };
    f.finish(cx);
    let (kind, node) = chosen?;
    let kind = match kind {
        "region-down" => region(cx, node).map(FaultKind::RegionDown),
        "control-plane-away" => region(cx, node).map(FaultKind::ControlPlaneAway),
        "brownout" => brownout(cx, node),
        "lag" => lag(cx, node, known),
        "replication-stopped" => stopped(cx, node, known),
        "stack-fails" => stack_fails(cx, node, known),
        "throttle" => throttle(cx, node),
        "lose-answers" => lose_answers(cx, node),
        "late-answers" => late_answers(cx, node),
        "credentials-expire" => credentials_expire(cx, node),
        _ => third_party_edit(cx, node),
    };
    Some(Fault { at: at?, for_ms, kind: kind? })
}

fn fault_at(cx: &mut Context, node: &Node) -> Read<FaultAt> {
    let mut f = Fields::of(cx, node, "the fault's time")?;
    let chosen = f.exactly_one(cx, "time", &["step", "elapsed"]);
    let at = match chosen {
        Some(("step", n)) => {
            let after = f.maybe(cx, "after", |cx, n| cx.duration_ms_in(n, 0, TIME_MS_MAX)).unwrap_or(0);
            cx.step(n).map(|step| FaultAt::Step(step, after))
        }
        Some((_, n)) => {
            f.refuse(cx, "after", "`elapsed` counts from the start of the run");
            cx.duration_ms_in(n, 0, TIME_MS_MAX).map(FaultAt::Elapsed)
        }
        None => {
            f.get(cx, "after");
            None
        }
    };
    f.finish(cx);
    at
}

/// A region of the plan, or the one that Route 53's control plane lives in, which no plan has to declare.
fn region(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.text(node)?;
    (text == ROUTE53_REGION || cx.check_region(node.at, &text)).then_some(text)
}

/// A share of something: more than nothing, and not more than all.
fn share(cx: &mut Context, node: &Node) -> Read<i64> {
    let micros = cx.quantity(node, Unit::Share)?.micros;
    if !(1..=1_000_000).contains(&micros) {
        cx.error(node.at, "the share is out of range: more than 0% and at most 100%");
        return None;
    }
    Some(micros)
}

fn brownout(cx: &mut Context, node: &Node) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the brownout")?;
    let region = f.need(cx, "region", Context::region);
    let errors = f.maybe(cx, "errors", share);
    let latency = f.maybe(cx, "latency", |cx, n| {
        // Written as what is added: `+800ms`.
        let text = cx.scalar(n)?;
        let Some(added) = text.trim().strip_prefix('+') else {
            cx.error_help(n.at, "how much slower it gets is not said", Some("write it as in `+800ms`".to_owned()));
            return None;
        };
        match value::quantity(added.trim(), Unit::Time) {
            Ok(quantity) => Some(quantity.micros),
            Err(why) => {
                cx.error_help(n.at, format!("`{}`: {why}", show(&text)), Some("write it as in `+800ms`".to_owned()));
                None
            }
        }
    });
    if f.key_at("errors").is_none() && f.key_at("latency").is_none() {
        let help = "add `errors:`, `latency:` or both".to_owned();
        cx.error_help(f.at(), "a brownout without errors and without latency is none", Some(help));
    }
    f.finish(cx);
    Some(FaultKind::Brownout { region: region?, errors_ppm: errors.unwrap_or(0), latency_us: latency.unwrap_or(0) })
}

/// A monitor that reads a lag in drills.
fn lagging(cx: &mut Context, node: &Node, known: Known<'_>) -> Read<MonitorId> {
    let id = cx.monitor(node)?;
    let lags = matches!(known.plan.drill.metrics.get(&id), Some(DrillMetric::Lag(_) | DrillMetric::ReplicaLag { .. }));
    if !lags && cx.monitors.get(id).is_some_and(Option::is_some) {
        cx.error_help(
            node.at,
            "only a monitor that reads a lag in drills can lag",
            Some("give it `{lag: …}` under `drill.metrics`".to_owned()),
        );
    }
    Some(id)
}

fn lag(cx: &mut Context, node: &Node, known: Known<'_>) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the lag")?;
    let monitor = f.need(cx, "monitor", |cx, n| lagging(cx, n, known));
    let to = f.need(cx, "to", Context::duration_us);
    f.finish(cx);
    Some(FaultKind::Lag(monitor?, to?))
}

fn stopped(cx: &mut Context, node: &Node, known: Known<'_>) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the replication")?;
    let monitor = f.need(cx, "monitor", |cx, n| lagging(cx, n, known));
    f.finish(cx);
    Some(FaultKind::ReplicationStopped(monitor?))
}

fn stack_fails(cx: &mut Context, node: &Node, known: Known<'_>) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the stack")?;
    let stack = f.need(cx, "stack", |cx, n| Some((n.at, cx.words(n)?)));
    let region = f.need(cx, "region", Context::region);
    f.finish(cx);
    let ((at, stack), region) = (stack?, region?);
    let made: Vec<&str> = known
        .plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Stack(action) if action.region == region && matches!(action.change, StackChange::Apply { .. }) => {
                Some(action.name.as_str())
            }
            _ => None,
        })
        .collect();
    if known.whole && !made.contains(&stack.as_str()) {
        let help = cx.suggest(&stack, made.iter().copied());
        cx.error_help(at, format!("no step creates or updates a stack `{}` in {region}", show(&stack)), help);
        return None;
    }
    Some(FaultKind::StackFails { region, stack })
}

fn throttle(cx: &mut Context, node: &Node) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the throttling")?;
    let share = f.need(cx, "share", share);
    f.finish(cx);
    Some(FaultKind::Throttle { share_ppm: share? })
}

fn lose_answers(cx: &mut Context, node: &Node) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "what is lost")?;
    let share = f.need(cx, "share", share);
    let words = [("request", Lost::Request), ("answer", Lost::Answer), ("either", Lost::Either)];
    let lost = f.maybe(cx, "lost", |cx, n| cx.word(n, &words)).unwrap_or_default();
    f.finish(cx);
    Some(FaultKind::LoseAnswers { share_ppm: share?, lost })
}

fn late_answers(cx: &mut Context, node: &Node) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "what is late")?;
    let by_ms = f.need(cx, "by", |cx, n| cx.duration_ms_in(n, LATE_MS_MIN, DELAY_MS_MAX));
    f.finish(cx);
    Some(FaultKind::LateAnswers { by_ms: by_ms? })
}

fn credentials_expire(cx: &mut Context, node: &Node) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the expiry")?;
    let notice_ms = f.maybe(cx, "notice", |cx, n| cx.duration_ms_in(n, 0, TIME_MS_MAX)).unwrap_or(NOTICE_MS);
    f.finish(cx);
    Some(FaultKind::CredentialsExpire { notice_ms })
}

fn third_party_edit(cx: &mut Context, node: &Node) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the edit")?;
    let zone = f.need(cx, "zone", records::zone);
    let record = f.need(cx, "record", records::dns_name);
    let set = f.need(cx, "set", Context::words);
    let weight = f.need(cx, "weight", records::weight);
    f.finish(cx);
    Some(FaultKind::ThirdPartyEdit { zone: zone?, record: record?, set: set?, weight: weight? })
}
