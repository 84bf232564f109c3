//! Vantage points and monitors.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{At, Data, Node};
use super::problem::show;
use super::{conditions, dns, metrics};
use crate::plan::{Connection, Family, HttpSource, Limit, Measure, Monitor, Protocol, ROUTE53_REGION, Source, Vantage};

/// Most vantage points; more would be no plan, and their lists are searched.
const VANTAGES_MAX: usize = 50;
/// Shortest and longest interval of a monitor, in milliseconds.
const EVERY_MS: (i64, i64) = (1_000, 86_400_000);

/// Reads `vantages:`. `local` is always there.
pub fn read_vantages(cx: &mut Context, sections: &[&Node]) {
    cx.vantages.push("local".to_owned());
    for section in sections {
        for (key, node) in cx.entries(section).unwrap_or_default() {
            let mut declared = Vantage { name: key.text.clone(), is: String::new(), command: Vec::new() };
            if let Some(mut f) = Fields::of(cx, node, format!("the vantage point `{}`", show(&key.text))) {
                declared.is = f.need(cx, "is", Context::words).unwrap_or_default();
                declared.command = f.maybe(cx, "command", command).unwrap_or_default();
                f.finish(cx);
            }
            if !cx.check_name(key.at, &key.text) {
            } else if cx.vantages.contains(&key.text) {
                cx.error(key.at, format!("the vantage point `{}` is there already", key.text));
            } else if cx.vantages.len() > VANTAGES_MAX {
                cx.error(key.at, format!("a plan has at most {VANTAGES_MAX} vantage points"));
            } else {
                cx.vantages.push(key.text.clone());
                cx.declared.push(declared);
            }
        }
    }
}

/// A program and its arguments. No shell takes it apart, so what is in it arrives as it is written.
pub fn command(cx: &mut Context, node: &Node) -> Read<Vec<String>> {
    // A text that a shell would take apart is the likeliest mistake: it gets the same help as an empty list.
    let items = if let Data::Text(_) = node.data { &[][..] } else { cx.list(node)? };
    let words: Vec<String> = items.iter().filter_map(|item| cx.scalar(item)).collect();
    if words.first().is_none_or(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
        cx.error_help(
            node.at,
            "a command is a list: a program and its arguments",
            Some("write it as in `[ssh, -T, probe.example.com, cutover, probe, --agent]`".to_owned()),
        );
        return None;
    }
    Some(words)
}

/// Reads `monitors:`. A monitor that is wrong keeps its name and number, so that its users are not reported too.
pub fn read(cx: &mut Context, sections: &[&Node]) {
    let mut first: Vec<At> = Vec::new();
    for section in sections {
        for (key, node) in cx.entries(section).unwrap_or_default() {
            if let Some(id) = cx.monitor_ids.get(&key.text) {
                cx.duplicate(key, first[*id]);
                continue;
            }
            cx.check_name(key.at, &key.text);
            cx.monitor_ids.insert(key.text.clone(), cx.monitors.len());
            first.push(key.at);
            let monitor = monitor(cx, node, &key.text);
            cx.monitors.push(monitor);
        }
    }
}

fn monitor(cx: &mut Context, node: &Node, name: &str) -> Read<Monitor> {
    let mut f = Fields::of(cx, node, format!("the monitor `{}`", show(name)))?;
    let title = f.maybe(cx, "title", Context::words).unwrap_or_else(|| name.to_owned());
    let every = f.maybe(cx, "every", |cx, n| cx.duration_ms_in(n, EVERY_MS.0, EVERY_MS.1));
    let source =
        f.exactly_one(cx, "source", &["stack", "metric", "s3-replication", "rds-replica", "health-check", "http", "dns"]);
    let (source, region, default_ms) = match source {
        Some(("stack", n)) => {
            let stack = cx.words(n).map(|stack| Source::Stack { stack });
            (stack, f.need(cx, "region", Context::region).map(Some), 10_000)
        }
        Some(("metric", n)) => {
            let metric = metrics::metric(cx, n).map(Source::Metric);
            (metric, f.need(cx, "region", Context::region).map(Some), 60_000)
        }
        Some(("s3-replication", n)) => {
            f.refuse(cx, "region", "which region it is read in follows from the metric");
            match metrics::replication(cx, n) {
                Some((metric, region)) => (Some(Source::Metric(metric)), Some(Some(region)), 60_000),
                None => (None, None, 60_000),
            }
        }
        Some(("rds-replica", n)) => {
            let metric = metrics::replica(cx, n).map(Source::Metric);
            (metric, f.need(cx, "region", Context::region).map(Some), 60_000)
        }
        Some(("health-check", n)) => {
            f.refuse(cx, "region", "CloudWatch has the status of health checks in us-east-1 only");
            let check = metrics::health_check(cx, n).map(|(id, status)| Source::HealthCheck { id, status });
            (check, Some(Some(ROUTE53_REGION.to_owned())), 60_000)
        }
        Some(("dns", n)) => (dns::read(cx, n, &mut f).map(Source::Dns), Some(None), 10_000),
        Some((_, n)) => (http(cx, n, &mut f).map(Source::Http), Some(f.maybe(cx, "region", Context::region)), 5_000),
        None => {
            // Without a source nothing can be said about the other keys.
            let http = ["region", "limit", "connect-to", "status", "timeout", "measure", "from", "connection", "protocol", "ip"];
            for key in http.into_iter().chain(dns::KEYS) {
                f.get(cx, key);
            }
            (None, None, 0)
        }
    };
    let limit_node = f.get(cx, "limit");
    let limit = source.as_ref().zip(limit_node).and_then(|(source, n)| limit(cx, n, source));
    let holds = f.maybe(cx, "on-breach", |cx, n| cx.word(n, &[("alert", false), ("hold", true)])).unwrap_or(false);
    if let Some(at) = f.key_at("on-breach").filter(|_| f.key_at("limit").is_none()) {
        cx.error_help(at, "nothing can be breached without a limit", Some("add `limit:`".to_owned()));
    }
    f.finish(cx);
    let (name, every_ms) = (name.to_owned(), every.unwrap_or(default_ms));
    Some(Monitor { name, title, source: source?, region: region?, every_ms, limit, holds })
}

fn http(cx: &mut Context, node: &Node, f: &mut Fields<'_>) -> Read<HttpSource> {
    let url = url(cx, node);
    let connect_to = f.maybe(cx, "connect-to", host_and_port);
    let status = f.maybe(cx, "status", |cx, n| cx.integer(n, 100, 599)).unwrap_or(200);
    let timeout_ms = f.maybe(cx, "timeout", |cx, n| cx.duration_ms_in(n, 100, 60_000)).unwrap_or(5_000);
    let words = [("total", Measure::Total), ("connect", Measure::Connect), ("first-byte", Measure::FirstByte)];
    let measure = f.maybe(cx, "measure", |cx, n| cx.word(n, &words)).unwrap_or(Measure::Total);
    let from = f.maybe(cx, "from", vantage).unwrap_or_else(|| "local".to_owned());
    let connection = f.maybe(cx, "connection", |cx, n| cx.word(n, &[("fresh", Connection::Fresh), ("kept", Connection::Kept)]));
    let words = [("any", Protocol::Any), ("http1.1", Protocol::Http1), ("http2", Protocol::Http2)];
    let protocol = f.maybe(cx, "protocol", |cx, n| cx.word(n, &words));
    let words = [("any", Family::Any), ("v4", Family::Ipv4), ("v6", Family::Ipv6)];
    let family = f.maybe(cx, "ip", |cx, n| cx.word(n, &words));
    Some(HttpSource {
        url: url?,
        connect_to,
        status: u16::try_from(status).ok()?,
        timeout_ms,
        measure,
        from,
        connection: connection.unwrap_or_default(),
        protocol: protocol.unwrap_or_default(),
        family: family.unwrap_or_default(),
    })
}

/// An `http://` or `https://` URL with a host.
pub fn url(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.words(node)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|r| r.split(['/', '?', '#']).next()).unwrap_or_default();
    if host.is_empty() || host.contains('@') || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let help = "write it as in `https://api.example.com/health`".to_owned();
        cx.error_help(node.at, format!("`{}` is no http:// or https:// URL", show(&text)), Some(help));
        return None;
    }
    Some(text)
}

fn host_and_port(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.words(node)?;
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && bare && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    if !good {
        cx.error_help(
            node.at,
            format!("`{}` is no `host:port`", show(&text)),
            Some("write it as in `d-abc.example.com:443`".to_owned()),
        );
    }
    good.then_some(text)
}

fn vantage(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.text(node)?;
    check_vantage(cx, node.at, &text).then_some(text)
}

/// Whether a vantage point is declared; an error if not.
pub fn check_vantage(cx: &mut Context, at: At, text: &str) -> bool {
    let known = cx.vantages.iter().any(|v| v == text);
    if !known {
        let help = cx.suggest(text, cx.vantages.iter().map(String::as_str));
        cx.error_help(at, format!("the vantage point `{}` is not declared under `vantages`", show(text)), help);
    }
    known
}

fn limit(cx: &mut Context, node: &Node, source: &Source) -> Read<Limit> {
    let entries = cx.entries(node)?;
    let [(key, value)] = entries.as_slice() else {
        cx.error_help(
            node.at,
            "a limit is one statistic and the value it may not exceed",
            Some("write it as in `{max: 15m}`".to_owned()),
        );
        return None;
    };
    let stat = conditions::stat_named(cx, key.at, &key.text)?;
    let unit = conditions::unit_of(cx, key.at, source, stat)?;
    Some(Limit { stat, above: cx.quantity(value, unit)? })
}
