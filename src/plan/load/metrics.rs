//! What CloudWatch is asked for: metrics, expressions of several, and the monitors that are metrics by another name.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{At, Node};
use super::problem::show;
use super::value;
use crate::plan::math::{self, Piece};
use crate::plan::{Asks, Math, Metric, MetricSource, Unit};

/// Most metrics of one expression. With the expression they must fit into one call (rule 25), and nobody reads more.
const INPUTS_MAX: usize = 20;
/// Longest expression, in characters: CloudWatch's own bound is 2,048, and the names in it get longer on their way.
const EXPRESSION_MAX: usize = 1_024;

/// A metric, or an expression of several.
pub fn metric(cx: &mut Context, node: &Node) -> Read<MetricSource> {
    let mut f = Fields::of(cx, node, "the metric")?;
    let is_math = f.key_at("expression").is_some() || f.key_at("metrics").is_some();
    let (asks, namespaces) = if is_math {
        let why = "each metric of the expression has its own";
        for key in ["namespace", "name", "dimensions", "stat"] {
            f.refuse(cx, key, why);
        }
        let inputs = f.need(cx, "metrics", inputs);
        let expression = f.need(cx, "expression", |cx, n| expression(cx, n, inputs.as_deref()));
        let namespaces = inputs.iter().flatten().map(|(_, metric)| metric.namespace.clone()).collect();
        (expression.zip(inputs).map(|(expression, inputs)| Asks::Math(Math { expression, inputs })), namespaces)
    } else {
        let metric = one(cx, &mut f);
        let namespaces: Vec<String> = metric.iter().map(|metric| metric.namespace.clone()).collect();
        (metric.map(Asks::Metric), namespaces)
    };
    let period = f.maybe(cx, "period", period);
    let units = [
        ("seconds", (Unit::Time, 1_000_000)),
        ("milliseconds", (Unit::Time, 1_000)),
        ("percent", (Unit::Share, 10_000)),
        ("count", (Unit::Count, 1_000_000)),
    ];
    let unit = f.need(cx, "unit", |cx, n| cx.word(n, &units));
    let absent = f.maybe(cx, "absent", |cx, n| cx.word(n, &[("zero", ())]));
    f.finish(cx);
    if let Some((at, ms)) = period
        && ms < 60_000
        && namespaces.iter().any(|namespace| namespace.starts_with("AWS/"))
    {
        cx.error_help(at, "AWS publishes its own metrics once a minute", Some("write `60s` or more".to_owned()));
    }
    let (unit, scale) = unit?;
    Some(MetricSource {
        asks: asks?,
        period_ms: period.map_or(60_000, |(_, ms)| ms),
        unit,
        scale,
        replication: false,
        absent_is_zero: absent.is_some(),
    })
}

/// The keys that name one metric.
fn one(cx: &mut Context, f: &mut Fields<'_>) -> Read<Metric> {
    let namespace = f.need(cx, "namespace", Context::words);
    let name = f.need(cx, "name", Context::words);
    let dimensions = f.maybe(cx, "dimensions", pairs).unwrap_or_default();
    let stat = f.need(cx, "stat", cloudwatch_stat);
    Some(Metric { namespace: namespace?, name: name?, dimensions, stat: stat? })
}

/// The metrics that an expression names.
fn inputs(cx: &mut Context, node: &Node) -> Read<Vec<(String, Metric)>> {
    let entries = cx.entries(node)?;
    if entries.is_empty() || entries.len() > INPUTS_MAX {
        let help = Some("write it as in `{errors: {namespace, name, stat}}`".to_owned());
        cx.error_help(node.at, format!("an expression is about 1 to {INPUTS_MAX} metrics"), help);
        return None;
    }
    let mut out: Vec<(String, Metric)> = Vec::new();
    let mut good = true;
    for (key, node) in entries {
        if !math::is_name(&key.text) {
            let help = "it begins with a small letter and goes on with letters, digits and `_`".to_owned();
            cx.error_help(key.at, format!("`{}` is no name in an expression", show(&key.text)), Some(help));
            good = false;
        }
        let metric = Fields::of(cx, node, format!("the metric `{}`", show(&key.text))).and_then(|mut f| {
            let metric = one(cx, &mut f);
            for key in ["period", "unit", "absent"] {
                f.refuse(cx, key, "it is that of the whole expression");
            }
            f.finish(cx);
            metric
        });
        match (out.iter().any(|(name, _)| *name == key.text), metric) {
            (false, Some(metric)) => out.push((key.text.clone(), metric)),
            // What is there twice is reported by whoever reads the file into a tree.
            _ => good = false,
        }
    }
    good.then_some(out)
}

/// An expression of known metrics that gives one series of numbers. Whether CloudWatch takes it is CloudWatch's to say.
fn expression(cx: &mut Context, node: &Node, inputs: Option<&[(String, Metric)]>) -> Read<String> {
    let text = cx.words(node)?;
    if text.chars().count() > EXPRESSION_MAX {
        cx.error(node.at, format!("an expression has at most {EXPRESSION_MAX} characters"));
        return None;
    }
    let pieces = math::pieces(&text);
    for piece in &pieces {
        let Piece::Function(function) = piece else { continue };
        let why = match function.to_ascii_uppercase().as_str() {
            "METRICS" => "`METRICS` is every metric of a call, and other monitors have theirs in it",
            "SEARCH" | "SELECT" => "what is searched for may be any number of metrics, each of which costs something",
            _ => continue,
        };
        cx.error_help(node.at, why, Some("name each metric under `metrics:`".to_owned()));
        return None;
    }
    // What is wrong with the metrics themselves is recorded already.
    let inputs = inputs?;
    let mut good = true;
    let is_named = |name: &str| pieces.contains(&Piece::Name(name));
    for piece in &pieces {
        if let Piece::Name(name) = piece
            && !inputs.iter().any(|(input, _)| input == name)
        {
            let help = cx.suggest(name, inputs.iter().map(|(input, _)| input.as_str()));
            cx.error_help(node.at, format!("the expression names `{}`, which is not under `metrics`", show(name)), help);
            good = false;
        }
    }
    for (name, _) in inputs.iter().filter(|(name, _)| !is_named(name)) {
        let help = Some("every metric that is asked for costs something: remove it, or use it".to_owned());
        cx.error_help(node.at, format!("the expression does not name `{}`", show(name)), help);
        good = false;
    }
    good.then_some(text)
}

fn period(cx: &mut Context, node: &Node) -> Read<(At, i64)> {
    let ms = cx.duration_ms_in(node, 1_000, 86_400_000)?;
    // CloudWatch knows these periods and no others.
    if matches!(ms, 1_000 | 5_000 | 10_000 | 20_000 | 30_000) || ms % 60_000 == 0 {
        return Some((node.at, ms));
    }
    let help = Some("write `1s`, `5s`, `10s`, `20s`, `30s` or whole minutes".to_owned());
    cx.error_help(node.at, "CloudWatch has no such period", help);
    None
}

/// Text → text, sorted.
pub fn pairs(cx: &mut Context, node: &Node) -> Read<Vec<(String, String)>> {
    let mut out = Vec::new();
    for (key, value) in cx.entries(node)? {
        if let Some(value) = cx.scalar(value) {
            out.push((key.text.clone(), value));
        }
    }
    out.sort();
    Some(out)
}

fn cloudwatch_stat(cx: &mut Context, node: &Node) -> Read<String> {
    const PLAIN: [&str; 6] = ["Average", "Sum", "Minimum", "Maximum", "SampleCount", "IQM"];
    let text = cx.words(node)?;
    let percentile = |prefix: &str| text.strip_prefix(prefix).and_then(value::decimal).is_some_and(|p| p <= 100_000_000);
    if PLAIN.contains(&text.as_str()) || ["p", "tm", "wm", "tc", "ts"].iter().any(|p| percentile(p)) {
        return Some(text);
    }
    let help = cx.suggest(&text, PLAIN);
    cx.error_help(node.at, format!("CloudWatch has no statistic `{}`", show(&text)), help);
    None
}

/// An S3 replication metric: where it is published and how it is read follows from which one it is (rule 14).
pub fn replication(cx: &mut Context, node: &Node) -> Read<(MetricSource, String)> {
    #[derive(Clone, Copy)]
    enum Which {
        Latency,
        BytesPending,
        OperationsPending,
        OperationsFailed,
    }
    let words = [
        ("latency", Which::Latency),
        ("bytes-pending", Which::BytesPending),
        ("operations-pending", Which::OperationsPending),
        ("operations-failed", Which::OperationsFailed),
    ];
    let mut f = Fields::of(cx, node, "the replication")?;
    let source = f.need(cx, "source", Context::words);
    let destination = f.need(cx, "destination", Context::words);
    let rule = f.need(cx, "rule", Context::words);
    let source_region = f.need(cx, "source-region", Context::region);
    let destination_region = f.need(cx, "destination-region", Context::region);
    let which = f.need(cx, "metric", |cx, n| cx.word(n, &words));
    f.finish(cx);
    let (source_region, destination_region) = (source_region?, destination_region?);
    let which = which?;
    let (name, stat, region) = match which {
        Which::Latency => ("ReplicationLatency", "Maximum", destination_region),
        Which::BytesPending => ("BytesPendingReplication", "Maximum", destination_region),
        Which::OperationsPending => ("OperationsPendingReplication", "Maximum", destination_region),
        Which::OperationsFailed => ("OperationsFailedReplication", "Sum", source_region),
    };
    let latency = matches!(which, Which::Latency);
    let metric = MetricSource {
        asks: Asks::Metric(Metric {
            namespace: "AWS/S3".to_owned(),
            name: name.to_owned(),
            dimensions: vec![
                ("DestinationBucket".to_owned(), destination?),
                ("RuleId".to_owned(), rule?),
                ("SourceBucket".to_owned(), source?),
            ],
            stat: stat.to_owned(),
        }),
        period_ms: 60_000,
        unit: if latency { Unit::Time } else { Unit::Count },
        scale: 1_000_000,
        replication: latency,
        absent_is_zero: matches!(which, Which::OperationsFailed),
    };
    Some((metric, region))
}

/// How far a replica of a database is behind. Aurora says so of a cluster, and in milliseconds (rule 16).
pub fn replica(cx: &mut Context, node: &Node) -> Read<MetricSource> {
    let mut f = Fields::of(cx, node, "the replica")?;
    let of = f.exactly_one(cx, "database", &["instance", "cluster"]);
    let source = f.maybe(cx, "source-region", |cx, n| Some((n.at, cx.region(n)?)));
    f.finish(cx);
    let (kind, node) = of?;
    let id = cx.words(node)?;
    let mut dimensions = Vec::new();
    let (name, scale) = if kind == "instance" {
        if let Some((at, _)) = source {
            cx.error(at, "`source-region` has no meaning here: only a cluster's lag is told apart by it");
        }
        dimensions.push(("DBInstanceIdentifier".to_owned(), id));
        ("ReplicaLag", 1_000_000)
    } else {
        dimensions.push(("DBClusterIdentifier".to_owned(), id));
        dimensions.extend(source.map(|(_, region)| ("SourceRegion".to_owned(), region)));
        ("AuroraGlobalDBReplicationLag", 1_000)
    };
    let (namespace, name, stat) = ("AWS/RDS".to_owned(), name.to_owned(), "Maximum".to_owned());
    Some(MetricSource {
        asks: Asks::Metric(Metric { namespace, name, dimensions, stat }),
        period_ms: 60_000,
        unit: Unit::Time,
        scale,
        replication: true,
        absent_is_zero: false,
    })
}

/// A health check's id, and the metric that tells its status. Asking Route 53 for the status itself is far slower and
/// not meant for polling (rule 6).
pub fn health_check(cx: &mut Context, node: &Node) -> Read<(String, MetricSource)> {
    let mut f = Fields::of(cx, node, "the health check")?;
    let id = f.need(cx, "id", Context::words);
    f.finish(cx);
    let id = id?;
    let status = MetricSource {
        asks: Asks::Metric(Metric {
            namespace: "AWS/Route53".to_owned(),
            name: "HealthCheckStatus".to_owned(),
            dimensions: vec![("HealthCheckId".to_owned(), id.clone())],
            stat: "Minimum".to_owned(),
        }),
        period_ms: 60_000,
        unit: Unit::Count,
        scale: 1_000_000,
        replication: false,
        absent_is_zero: false,
    };
    Some((id, status))
}
