//! Conditions: a monitor, what must be true of it, and for how long.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{At, Node};
use super::problem::show;
use super::value;
use crate::plan::{Condition, ConditionId, Source, Stat, State, Test, Unit};

const STATS: [(&str, Stat); 9] = [
    ("last", Stat::Last),
    ("min", Stat::Min),
    ("max", Stat::Max),
    ("avg", Stat::Avg),
    ("sum", Stat::Sum),
    ("p50", Stat::P50),
    ("p95", Stat::P95),
    ("p99", Stat::P99),
    ("errors", Stat::Errors),
];

/// Longest window of a statistic, in milliseconds: longer ones would not fit the rings of samples.
const OVER_MS_MAX: i64 = 86_400_000;

/// What a list of conditions is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Must hold before a step starts.
    Gate,
    /// Must hold before a step counts as done.
    Verify,
    /// Must hold for the length of a soak, in milliseconds.
    Soak(i64),
}

/// Reads a list of conditions and numbers them.
pub fn read_list(cx: &mut Context, node: &Node, purpose: Purpose) -> Read<Vec<ConditionId>> {
    let mut out = Vec::new();
    for item in cx.list(node)? {
        if let Some(condition) = read(cx, item, purpose) {
            out.push(cx.add_condition(condition));
        }
    }
    Some(out)
}

/// Reads a list of conditions that no step waits for, so that they have no number.
pub fn read_own(cx: &mut Context, node: &Node, purpose: Purpose) -> Read<Vec<Condition>> {
    let items = cx.list(node)?;
    Some(items.iter().filter_map(|item| read(cx, item, purpose)).collect())
}

fn read(cx: &mut Context, node: &Node, purpose: Purpose) -> Read<Condition> {
    let mut f = Fields::of(cx, node, "the condition")?;
    let monitor = f.need(cx, "monitor", Context::monitor);
    let own_for = f.maybe(cx, "for", |cx, n| Some((n.at, cx.duration_ms(n)?)));
    let over = f.maybe(cx, "over", |cx, n| cx.duration_ms_in(n, 1_000, OVER_MS_MAX));
    let samples = f.maybe(cx, "samples", |cx, n| cx.integer(n, 1, 1_000_000)).unwrap_or(0);
    // The source is lent to nobody else, and cloned because readers below record errors.
    let read_monitor = monitor.and_then(|id| cx.monitors.get(id).cloned().flatten());
    let test = test(cx, &mut f, read_monitor.as_ref().map(|m| &m.source));
    f.finish(cx);
    let for_ms = match (purpose, own_for) {
        (Purpose::Soak(ms), Some((at, own))) if own > ms => {
            cx.error(at, "the condition cannot hold longer than the soak lasts");
            ms
        }
        (_, Some((_, own))) => own,
        (Purpose::Soak(ms), None) => ms,
        (_, None) => 0,
    };
    let every_ms = read_monitor.map_or(0, |m| m.every_ms);
    Some(Condition {
        monitor: monitor?,
        test: test?,
        over_ms: over.unwrap_or_else(|| (3 * every_ms).max(60_000)),
        for_ms,
        samples: u32::try_from(samples).ok()?,
    })
}

fn test(cx: &mut Context, f: &mut Fields<'_>, source: Option<&Source>) -> Read<Test> {
    let stat = f.maybe(cx, "stat", |cx, n| {
        let text = cx.text(n)?;
        Some((n.at, stat_named(cx, n.at, &text)?))
    });
    let (kind, node) = f.exactly_one(cx, "test", &["is", "below", "above"])?;
    let stat_at = f.key_at("stat");
    if kind == "is" {
        if let Some(at) = stat_at {
            cx.error(at, "`stat` has no meaning beside `is`");
        }
        let state = cx.word(node, &[("healthy", State::Healthy), ("absent", State::Absent)])?;
        match (source?, state) {
            (Source::Metric(_), _) => {
                cx.error_help(node.at, "a metric has a value, not a state", Some("write `below:` or `above:`".to_owned()));
                return None;
            }
            (Source::Http(_) | Source::HealthCheck { .. }, State::Absent) => {
                cx.error_help(node.at, "only a stack can be absent", Some("write `is: healthy`".to_owned()));
                return None;
            }
            (Source::Dns(_), _) => {
                cx.error_help(
                    node.at,
                    "name servers have no state: what is known is how many of them moved",
                    Some("write `above:`, as in `above: 90%`".to_owned()),
                );
                return None;
            }
            (Source::Stack { .. } | Source::Http(_) | Source::HealthCheck { .. }, _) => {}
        }
        return Some(Test::Is(state));
    }
    if let (Source::Dns(_), "below") = (source?, kind) {
        // A server that says nothing does not count as moved, so silence would open such a gate.
        cx.error_help(
            node.at,
            "a server that does not answer is not among those that moved, so few of them prove nothing",
            Some("use a monitor `toward` the other region, and `above:`".to_owned()),
        );
        return None;
    }
    let (at, stat) = match (stat, source?) {
        (Some(stat), _) => stat,
        // What was said about the statistic is wrong and recorded.
        (None, _) if stat_at.is_some() => return None,
        (None, Source::Metric(_) | Source::Stack { .. } | Source::HealthCheck { .. } | Source::Dns(_)) => (node.at, Stat::Last),
        (None, Source::Http(_)) => {
            cx.error_help(
                node.at,
                "which statistic is not said",
                Some("add `stat: p95` for latency, or `stat: errors`".to_owned()),
            );
            return None;
        }
    };
    let unit = unit_of(cx, at, source?, stat)?;
    let quantity = cx.quantity(node, unit)?;
    Some(if kind == "below" { Test::Below(stat, quantity) } else { Test::Above(stat, quantity) })
}

/// The statistic with this name; an error if there is none.
pub fn stat_named(cx: &mut Context, at: At, text: &str) -> Read<Stat> {
    if let Some((_, stat)) = STATS.iter().find(|(name, _)| *name == text) {
        return Some(*stat);
    }
    let names = STATS.map(|(name, _)| name);
    let help = value::nearest(text, names).map(|n| format!("did you mean `{n}`?"));
    cx.error_help(at, format!("`{}` is no statistic; there is {}", show(text), value::one_of(&names)), help);
    None
}

/// What a statistic of a source is measured in; an error if the source has no such statistic.
pub fn unit_of(cx: &mut Context, at: At, source: &Source, stat: Stat) -> Read<Unit> {
    match (source, stat) {
        (Source::Stack { .. }, _) => {
            cx.error_help(at, "a stack has a state, not a value", Some("write `is: healthy` or `is: absent`".to_owned()));
            None
        }
        (Source::HealthCheck { .. }, _) => {
            cx.error_help(at, "a health check has a state, not a value", Some("write `is: healthy`".to_owned()));
            None
        }
        (Source::Http(_), Stat::Errors) => Some(Unit::Share),
        (Source::Http(_), Stat::Sum) => {
            cx.error_help(at, "a sum of latencies means nothing", Some("use `avg`, `max` or a percentile".to_owned()));
            None
        }
        (Source::Http(_), _) => Some(Unit::Time),
        (Source::Metric(_), Stat::Errors) => {
            cx.error_help(
                at,
                "`errors` is the share of failed requests of an `http` monitor",
                Some("use `last` or `max` for a metric".to_owned()),
            );
            None
        }
        (Source::Metric(metric), _) => Some(metric.unit),
        (Source::Dns(_), Stat::Errors | Stat::Sum) => {
            cx.error_help(
                at,
                "there is no such statistic of a share of servers",
                Some("use `last`, `min`, `max` or `avg`".to_owned()),
            );
            None
        }
        (Source::Dns(_), _) => Some(Unit::Share),
    }
}
