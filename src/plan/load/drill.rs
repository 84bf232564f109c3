//! `drill:`, the simulated world before the plan starts.

use std::collections::{BTreeMap, HashSet};

use super::context::{Context, Read};
use super::fields::Fields;
use super::monitors::check_vantage;
use super::node::{At, Node};
use super::problem::show;
use super::records;
use crate::plan::{DrillMetric, DrillWorld, MonitorId, Opening, RecordSet, Source, Unit};

/// What a replication lag is in a drill when the plan does not say, in microseconds.
const LAG_US: i64 = 20_000_000;
/// Users' requests per second when the plan does not say.
const REQUESTS_PER_SECOND: u32 = 40;
/// How long a stack operation takes when the plan does not say, in milliseconds.
const STACK_MS: i64 = 360_000;
/// Virtual seconds per real second when the opening does not say.
const SPEED: i64 = 20;

/// The world, and the scenario that the opening names: whether there is such a one is known later.
pub type Drill = (DrillWorld, Option<(At, String)>);

/// Reads `drill:`; without one the world has its defaults.
pub fn read(cx: &mut Context, node: Option<&Node>) -> Drill {
    let mut world = DrillWorld { requests_per_second: REQUESTS_PER_SECOND, stack_ms: STACK_MS, ..DrillWorld::default() };
    let scenario = node.and_then(|node| fill(cx, node, &mut world));
    for (id, monitor) in cx.monitors.iter().enumerate() {
        if let Some(Source::Metric(metric)) = monitor.as_ref().map(|m| &m.source) {
            let usual = if metric.replication { DrillMetric::Lag(LAG_US) } else { DrillMetric::Value(0) };
            world.metrics.entry(id).or_insert(usual);
        }
    }
    (world, scenario)
}

fn fill(cx: &mut Context, node: &Node, world: &mut DrillWorld) -> Option<(At, String)> {
    let mut f = Fields::of(cx, node, "the drill")?;
    if let Some(n) = f.maybe(cx, "requests-per-second", |cx, n| cx.integer(n, 0, 1_000_000)) {
        world.requests_per_second = u32::try_from(n).unwrap_or(REQUESTS_PER_SECOND);
    }
    if let Some(ms) = f.maybe(cx, "stack-time", |cx, n| cx.duration_ms_in(n, 1_000, 86_400_000)) {
        world.stack_ms = ms;
    }
    world.records = f.maybe(cx, "records", zones).unwrap_or_default();
    world.stacks = f.maybe(cx, "stacks", stacks).unwrap_or_default();
    world.latency = f.maybe(cx, "latency", latency).unwrap_or_default();
    world.metrics = f.maybe(cx, "metrics", metrics).unwrap_or_default();
    let opening = f.maybe(cx, "opening", opening);
    f.finish(cx);
    let (at, opening) = opening?;
    let scenario = opening.scenario.clone();
    world.opening = Some(opening);
    Some((at, scenario))
}

fn zones(cx: &mut Context, node: &Node) -> Read<Vec<(String, RecordSet)>> {
    let mut out = Vec::new();
    for (key, node) in cx.entries(node)? {
        let Some(zone) = cx.expand(key.at, &key.text) else { continue };
        records::check_zone(cx, key.at, &zone);
        let mut seen = HashSet::new();
        for item in cx.list(node).unwrap_or_default() {
            let Some(record) = records::record(cx, item) else { continue };
            if !seen.insert(record.key()) {
                cx.error(item.at, format!("the zone holds `{}` already", show(&record.name)));
            }
            out.push((zone.clone(), record));
        }
    }
    Some(out)
}

fn stacks(cx: &mut Context, node: &Node) -> Read<Vec<(String, String, String)>> {
    let mut out = Vec::new();
    for item in cx.list(node)? {
        let Some(mut f) = Fields::of(cx, item, "the stack") else { continue };
        let name = f.need(cx, "name", Context::words);
        let region = f.need(cx, "region", Context::region);
        let status = f.maybe(cx, "status", stack_status).unwrap_or_else(|| "CREATE_COMPLETE".to_owned());
        f.finish(cx);
        if let (Some(name), Some(region)) = (name, region) {
            out.push((region, name, status));
        }
    }
    Some(out)
}

/// CloudFormation's own word, such as `UPDATE_COMPLETE` (rule 19).
fn stack_status(cx: &mut Context, node: &Node) -> Read<String> {
    const VERBS: [&str; 8] = ["CREATE", "ROLLBACK", "DELETE", "UPDATE", "UPDATE_ROLLBACK", "IMPORT", "IMPORT_ROLLBACK", "REVIEW"];
    const ENDS: [&str; 4] = ["_COMPLETE", "_FAILED", "_IN_PROGRESS", "_COMPLETE_CLEANUP_IN_PROGRESS"];
    let text = cx.words(node)?;
    let known = ENDS.iter().any(|end| text.strip_suffix(end).is_some_and(|verb| VERBS.contains(&verb)));
    if !known {
        cx.error_help(
            node.at,
            format!("`{}` is no status of a stack", show(&text)),
            Some("write it as in `CREATE_COMPLETE`".to_owned()),
        );
    }
    known.then_some(text)
}

fn latency(cx: &mut Context, node: &Node) -> Read<BTreeMap<String, BTreeMap<String, i64>>> {
    let mut out = BTreeMap::new();
    for (key, node) in cx.entries(node)? {
        check_vantage(cx, key.at, &key.text);
        let mut to = BTreeMap::new();
        for (region, node) in cx.entries(node).unwrap_or_default() {
            cx.check_region(region.at, &region.text);
            if let Some(us) = cx.duration_us(node) {
                to.insert(region.text.clone(), us);
            }
        }
        out.insert(key.text.clone(), to);
    }
    Some(out)
}

fn metrics(cx: &mut Context, node: &Node) -> Read<BTreeMap<MonitorId, DrillMetric>> {
    let mut out = BTreeMap::new();
    for (key, node) in cx.entries(node)? {
        let Some(id) = cx.monitor_named(key.at, &key.text) else { continue };
        let unit = match cx.monitors.get(id).and_then(Option::as_ref).map(|m| &m.source) {
            Some(Source::Metric(metric)) => metric.unit,
            Some(Source::Stack { .. } | Source::Http(_)) => {
                cx.error(key.at, format!("`{}` is no metric monitor", show(&key.text)));
                continue;
            }
            // The monitor itself is wrong and recorded.
            None => continue,
        };
        if let Some(metric) = metric(cx, node, unit) {
            out.insert(id, metric);
        }
    }
    Some(out)
}

fn metric(cx: &mut Context, node: &Node, unit: Unit) -> Read<DrillMetric> {
    let mut f = Fields::of(cx, node, "the metric's value")?;
    let chosen = f.exactly_one(cx, "value", &["requests", "errors", "lag", "value"]);
    f.finish(cx);
    let (kind, node) = chosen?;
    let (wanted, word) = match kind {
        "requests" => (Unit::Count, "count"),
        "errors" => (Unit::Share, "percent"),
        "lag" => (Unit::Time, "seconds"),
        _ => return cx.quantity(node, unit).map(|q| DrillMetric::Value(q.micros)),
    };
    if unit != wanted {
        cx.error(node.at, format!("`{kind}` is for a monitor with `unit: {word}`, and this one has another"));
        return None;
    }
    match kind {
        "requests" => cx.region(node).map(DrillMetric::Requests),
        "errors" => cx.region(node).map(DrillMetric::Errors),
        _ => cx.duration_us(node).map(DrillMetric::Lag),
    }
}

fn opening(cx: &mut Context, node: &Node) -> Read<(At, Opening)> {
    let mut f = Fields::of(cx, node, "the opening")?;
    let scenario = f.need(cx, "scenario", |cx, n| Some((n.at, cx.name(n)?)));
    let until = f.need(cx, "until", Context::step);
    let speed = f.maybe(cx, "speed", |cx, n| cx.integer(n, 1, 10_000)).unwrap_or(SPEED);
    f.finish(cx);
    let (at, scenario) = scenario?;
    Some((at, Opening { scenario, until: until?, speed: u32::try_from(speed).ok()? }))
}
