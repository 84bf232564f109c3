//! How downtime is measured: `availability:`.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{At, Node};
use crate::plan::{Availability, MonitorId, Source};

/// What is measured when the plan does not say: the service, by the one monitor that sees it.
pub fn usual(service: Option<MonitorId>) -> Availability {
    Availability { service: service.into_iter().collect(), ..Availability::default() }
}

/// Reads `availability:`.
pub fn read(cx: &mut Context, node: &Node, service: Option<MonitorId>) -> Availability {
    let Some(mut f) = Fields::of(cx, node, "the availability") else { return Availability::default() };
    let quorum = f.maybe(cx, "quorum", |cx, n| Some((n.at, usize::try_from(cx.integer(n, 1, 100)?).ok()?)));
    let burnt_ms = f.maybe(cx, "burnt", Context::duration_ms).unwrap_or(0);
    let seen = f.maybe(cx, "service", |cx, n| probes(cx, n, "the service"));
    let regions = f.maybe(cx, "regions", |cx, n| {
        let mut regions = Vec::new();
        for (key, node) in cx.entries(n)? {
            let known = cx.check_region(key.at, &key.text);
            if let Some(probes) = probes(cx, node, &key.text).filter(|_| known) {
                regions.push((key.text.clone(), probes));
            }
        }
        Some(regions)
    });
    f.finish(cx);
    let service = seen.unwrap_or_else(|| usual(service).service);
    let availability = Availability { quorum: quorum.map(|q| q.1), burnt_ms, service, regions: regions.unwrap_or_default() };
    if let Some((at, quorum)) = quorum {
        reachable(cx, at, quorum, &availability);
    }
    availability
}

/// The probes of one target.
fn probes(cx: &mut Context, node: &Node, of: &str) -> Read<Vec<MonitorId>> {
    let mut probes = Vec::new();
    let items = cx.list(node)?;
    for item in items {
        let Some(id) = cx.monitor(item) else { continue };
        if cx.monitors.get(id).and_then(Option::as_ref).is_some_and(|m| !matches!(m.source, Source::Http(_))) {
            cx.error(item.at, "downtime is measured with `http` monitors");
        } else if probes.contains(&id) {
            cx.error(item.at, "this monitor is in the list already");
        } else {
            probes.push(id);
        }
    }
    if items.is_empty() {
        cx.error_help(
            node.at,
            format!("nothing shows whether {of} is up"),
            Some("name the `http` monitors that do, one for each vantage point".to_owned()),
        );
    }
    Some(probes)
}

/// A quorum that can never come together would hide every outage.
fn reachable(cx: &mut Context, at: At, quorum: usize, availability: &Availability) {
    let targets = std::iter::once(("the service", &availability.service))
        .chain(availability.regions.iter().map(|(name, probes)| (name.as_str(), probes)));
    for (of, probes) in targets {
        if !probes.is_empty() && probes.len() < quorum && !cx.failed() {
            let count = probes.len();
            cx.error(at, format!("{of} is seen by {count} monitor(s), so {quorum} of them can never agree that it is down"));
        }
    }
}
