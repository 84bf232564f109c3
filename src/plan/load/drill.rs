//! `drill:`, the simulated world before the plan starts.

use std::collections::{BTreeMap, HashSet};

use super::context::{Context, Read};
use super::fields::Fields;
use super::files::{TREE_FILES_MAX, check_path};
use super::monitors::check_vantage;
use super::node::{At, Node};
use super::problem::show;
use super::{Reader, metrics as sources, records};
use crate::plan::{
    Asks, Database, DrillHealthCheck, DrillMetric, DrillSwitch, DrillWorld, MetricSource, MonitorId, Opening, RecordSet, Source,
    StepId, Unit,
};

/// What a replication lag is in a drill when the plan does not say, in microseconds.
const LAG_US: i64 = 20_000_000;
/// What a database's replica lags in a drill when the plan does not say, in microseconds.
const REPLICA_US: i64 = 400_000;
/// Users' requests per second when the plan does not say.
const REQUESTS_PER_SECOND: u32 = 40;
/// How long a stack operation takes when the plan does not say, in milliseconds.
const STACK_MS: i64 = 360_000;
/// Virtual seconds per real second when the opening does not say.
const SPEED: i64 = 20;

/// The world, and the scenario that the opening names: whether there is such a one is known later.
pub type Drill = (DrillWorld, Option<(At, String)>);

/// Reads `drill:`; without one the world has its defaults.
pub fn read(r: &mut Reader<'_>, node: Option<&Node>) -> Drill {
    let mut world = DrillWorld { requests_per_second: REQUESTS_PER_SECOND, stack_ms: STACK_MS, ..DrillWorld::default() };
    let scenario = node.and_then(|node| fill(r, node, &mut world));
    let cx = &mut r.cx;
    for (id, monitor) in cx.monitors.iter().enumerate() {
        if let Some(metric) = monitor.as_ref().and_then(|m| m.source.metric()) {
            let usual = match &monitor.as_ref().map(|m| &m.source) {
                Some(Source::HealthCheck { id, .. }) => DrillMetric::HealthCheck(id.clone()),
                _ => usual(metric, &world.health_checks),
            };
            world.metrics.entry(id).or_insert(usual);
        }
    }
    (world, scenario)
}

/// What a metric reads of which the plan says nothing.
fn usual(metric: &MetricSource, checks: &[DrillHealthCheck]) -> DrillMetric {
    let Asks::Metric(of) = &metric.asks else { return DrillMetric::Value(0) };
    let id = match (of.namespace.as_str(), of.name.as_str()) {
        ("AWS/RDS", "ReplicaLag") if metric.replication => {
            return DrillMetric::ReplicaLag { usual_us: REPLICA_US, database: Database::Mysql, idle: false };
        }
        _ if metric.replication => return DrillMetric::Lag(if metric.scale == 1_000 { REPLICA_US } else { LAG_US }),
        ("AWS/Route53", "HealthCheckStatus") => of.dimensions.iter().find(|(name, _)| name == "HealthCheckId").map(|(_, id)| id),
        _ => None,
    };
    match id.filter(|id| checks.iter().any(|c| c.id == **id)) {
        Some(id) => DrillMetric::HealthCheck(id.clone()),
        None => DrillMetric::Value(0),
    }
}

fn fill(r: &mut Reader<'_>, node: &Node, world: &mut DrillWorld) -> Option<(At, String)> {
    let mut f = Fields::of(&mut r.cx, node, "the drill")?;
    if let Some(node) = f.get(&mut r.cx, "files") {
        world.files = tree(r, node).unwrap_or_default();
    }
    let cx = &mut r.cx;
    if let Some(n) = f.maybe(cx, "requests-per-second", |cx, n| cx.integer(n, 0, 1_000_000)) {
        world.requests_per_second = u32::try_from(n).unwrap_or(REQUESTS_PER_SECOND);
    }
    if let Some(ms) = f.maybe(cx, "stack-time", |cx, n| cx.duration_ms_in(n, 1_000, 86_400_000)) {
        world.stack_ms = ms;
    }
    world.records = f.maybe(cx, "records", zones).unwrap_or_default();
    world.health_checks = f.maybe(cx, "health-checks", health_checks).unwrap_or_default();
    world.stacks = f.maybe(cx, "stacks", stacks).unwrap_or_default();
    world.latency = f.maybe(cx, "latency", latency).unwrap_or_default();
    (world.metrics, world.metrics_after) =
        f.maybe(cx, "metrics", |cx, n| metrics(cx, n, &world.health_checks)).unwrap_or_default();
    let opening = f.maybe(cx, "opening", opening);
    f.finish(cx);
    let (at, opening) = opening?;
    let scenario = opening.scenario.clone();
    world.opening = Some(opening);
    Some((at, scenario))
}

/// The files of the folder that stands for the working tree in a drill.
fn tree(r: &mut Reader<'_>, node: &Node) -> Read<Vec<(String, String)>> {
    let folder = r.cx.words(node)?;
    if let Err(why) = check_path(&folder) {
        r.cx.error(node.at, format!("`{}` cannot be read: {why}", show(&folder)));
        return None;
    }
    let paths = r.files.walk(&format!("{}{folder}", r.base));
    if paths.is_empty() || paths.len() > TREE_FILES_MAX {
        let why = if paths.is_empty() { "holds no file".to_owned() } else { format!("holds more than {TREE_FILES_MAX} files") };
        r.cx.error(node.at, format!("the folder `{}` {why}", show(&folder)));
        return None;
    }
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        match r.template(&format!("{folder}/{path}")) {
            Ok(text) => files.push((path, text)),
            Err(why) => r.cx.error(node.at, format!("`{}/{}` cannot be read: {why}", show(&folder), show(&path))),
        }
    }
    Some(files)
}

fn zones(cx: &mut Context, node: &Node) -> Read<Vec<(String, RecordSet)>> {
    let mut out = Vec::new();
    for (key, node) in cx.entries(node)? {
        let Some(zone) = cx.expand(key.at, &key.text) else { continue };
        records::check_zone(cx, key.at, &zone);
        let mut seen = HashSet::new();
        for item in cx.list(node).unwrap_or_default() {
            let Some(record) = records::record(cx, item, records::Of::World) else { continue };
            if !seen.insert(record.key()) {
                cx.error(item.at, format!("the zone holds `{}` already", show(&record.name)));
            }
            out.push((zone.clone(), record));
        }
    }
    Some(out)
}

fn health_checks(cx: &mut Context, node: &Node) -> Read<Vec<DrillHealthCheck>> {
    let mut out: Vec<DrillHealthCheck> = Vec::new();
    for item in cx.list(node)? {
        let Some(mut f) = Fields::of(cx, item, "the health check") else { continue };
        let id = f.need(cx, "id", |cx, n| Some((n.at, cx.words(n)?)));
        let endpoint = f.maybe(cx, "endpoint", Context::region);
        let switch = f.maybe(cx, "switch", switch);
        let disabled = f.maybe(cx, "disabled", Context::boolean).unwrap_or(false);
        let inverted = f.maybe(cx, "inverted", Context::boolean).unwrap_or(false);
        if f.key_at("endpoint").is_none() && f.key_at("switch").is_none() {
            let help = "add `endpoint:`, `switch:` or both".to_owned();
            cx.error_help(f.at(), "the health check follows nothing", Some(help));
        }
        f.finish(cx);
        let Some((at, id)) = id else { continue };
        if out.iter().any(|c| c.id == id) {
            cx.error(at, format!("there is a health check `{}` already", show(&id)));
            continue;
        }
        out.push(DrillHealthCheck { id, endpoint, switch, disabled, inverted });
    }
    Some(out)
}

fn switch(cx: &mut Context, node: &Node) -> Read<DrillSwitch> {
    let mut f = Fields::of(cx, node, "the switch")?;
    let region = f.need(cx, "region", Context::region);
    let namespace = f.need(cx, "namespace", Context::words);
    let metric = f.need(cx, "name", Context::words);
    let dimensions = f.maybe(cx, "dimensions", sources::pairs).unwrap_or_default();
    let fails_at = f.need(cx, "fails-at", |cx, n| cx.quantity(n, Unit::Count));
    f.finish(cx);
    Some(DrillSwitch { region: region?, namespace: namespace?, metric: metric?, dimensions, fails_at: fails_at?.micros })
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

type Metrics = (BTreeMap<MonitorId, DrillMetric>, BTreeMap<MonitorId, StepId>);

fn metrics(cx: &mut Context, node: &Node, checks: &[DrillHealthCheck]) -> Read<Metrics> {
    let (mut out, mut enabled) = (BTreeMap::new(), BTreeMap::new());
    let mut pending = Vec::new();
    for (key, node) in cx.entries(node)? {
        let Some(id) = cx.monitor_named(key.at, &key.text) else { continue };
        let unit = match cx.monitors.get(id).and_then(Option::as_ref).map(|m| m.source.metric()) {
            Some(Some(metric)) => metric.unit,
            Some(None) => {
                cx.error(key.at, format!("`{}` is no metric monitor", show(&key.text)));
                continue;
            }
            // The monitor itself is wrong and recorded.
            None => continue,
        };
        if let Some((metric, after)) = metric(cx, node, unit, checks) {
            enabled.extend(after.map(|step| (id, step)));
            if let DrillMetric::Pending { behind, .. } = metric {
                pending.push((node.at, behind));
            }
            out.insert(id, metric);
        }
    }
    for (at, behind) in pending {
        let named = !matches!(out.get(&behind), None | Some(DrillMetric::Lag(_)));
        let source = cx.monitors.get(behind).and_then(Option::as_ref).and_then(|m| m.source.metric());
        let replicates = source.is_some_and(|metric| metric.replication || out.contains_key(&behind));
        if named || !replicates {
            cx.error(at, "what is pending follows a monitor that reads a `lag`, and this one does not");
        }
    }
    Some((out, enabled))
}

/// A metric, and the step that enables it.
fn metric(cx: &mut Context, node: &Node, unit: Unit, checks: &[DrillHealthCheck]) -> Read<(DrillMetric, Option<StepId>)> {
    let mut f = Fields::of(cx, node, "the metric's value")?;
    let after = f.maybe(cx, "after", Context::step);
    let kinds = ["requests", "errors", "lag", "replica-lag", "pending", "health-check", "value"];
    let chosen = f.exactly_one(cx, "value", &kinds);
    f.finish(cx);
    let (kind, node) = chosen?;
    measured(cx, kind, node, unit, checks).map(|metric| (metric, after))
}

fn measured(cx: &mut Context, kind: &str, node: &Node, unit: Unit, checks: &[DrillHealthCheck]) -> Read<DrillMetric> {
    let (wanted, word) = match kind {
        "requests" | "pending" | "health-check" => (Unit::Count, "count"),
        "errors" => (Unit::Share, "percent"),
        "lag" | "replica-lag" => (Unit::Time, "seconds"),
        _ => return cx.quantity(node, unit).map(|q| DrillMetric::Value(q.micros)),
    };
    if unit != wanted {
        cx.error(node.at, format!("`{kind}` is for a monitor with `unit: {word}`, and this one has another"));
        return None;
    }
    match kind {
        "requests" => cx.region(node).map(DrillMetric::Requests),
        "errors" => cx.region(node).map(DrillMetric::Errors),
        "replica-lag" => replica_lag(cx, node),
        "pending" => pending(cx, node),
        "health-check" => {
            let id = cx.words(node)?;
            if !checks.iter().any(|c| c.id == id) {
                let help = cx.suggest(&id, checks.iter().map(|c| c.id.as_str()));
                cx.error_help(node.at, format!("there is no health check `{}` under `health-checks`", show(&id)), help);
                return None;
            }
            Some(DrillMetric::HealthCheck(id))
        }
        _ => cx.duration_us(node).map(DrillMetric::Lag),
    }
}

/// `ReplicaLag`, which says something else in every database (rule 16).
fn replica_lag(cx: &mut Context, node: &Node) -> Read<DrillMetric> {
    let mut f = Fields::of(cx, node, "the replica's lag")?;
    let usual = f.need(cx, "usual", Context::duration_us);
    let words = [("mysql", Database::Mysql), ("mariadb", Database::Mysql), ("postgresql", Database::Postgresql)];
    let database = f.need(cx, "database", |cx, n| cx.word(n, &words));
    let idle = f.maybe(cx, "idle", Context::boolean).unwrap_or(false);
    f.finish(cx);
    Some(DrillMetric::ReplicaLag { usual_us: usual?, database: database?, idle })
}

fn pending(cx: &mut Context, node: &Node) -> Read<DrillMetric> {
    let mut f = Fields::of(cx, node, "what is pending")?;
    let behind = f.need(cx, "behind", Context::monitor);
    let per_second = f.need(cx, "per-second", |cx, n| cx.quantity(n, Unit::Count));
    f.finish(cx);
    Some(DrillMetric::Pending { behind: behind?, per_second: per_second?.micros })
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
