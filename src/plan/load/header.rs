//! What a plan says once: its version, its name, its regions, its objectives, its traffic.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{Data, Node};
use super::problem::show;
use super::records;
use crate::plan::{Objectives, Region, Role, Source, Traffic, Unit};

/// The version of the format that this release reads.
pub const VERSION: i64 = 1;
/// Most regions; AWS has fewer.
const REGIONS_MAX: usize = 60;

/// Checks `cutover:` before anything else: another version's keys would only be reported as unknown.
pub fn check_version(cx: &mut Context, root: &Node) -> Read<()> {
    let Data::Map(entries) = &root.data else { return cx.mismatch(root, "a plan (a mapping that begins with `cutover: 1`)") };
    let Some((key, node)) = entries.iter().find(|(k, _)| k.text == "cutover") else { return Some(()) };
    let text = match &node.data {
        Data::Number(text) | Data::Text(text) => text.as_str(),
        // Left to the reader of the key, which says what is missing.
        Data::Null => return Some(()),
        _ => return cx.mismatch(node, "the version of the format, 1"),
    };
    if text == "1" && matches!(node.data, Data::Number(_)) {
        return Some(());
    }
    let help = format!("write `{}: {VERSION}`, or use a release that reads this version", show(&key.text));
    cx.error_help(
        node.at,
        format!("version `{}` of the plan format is not known; this release reads version {VERSION}", show(text)),
        Some(help),
    );
    None
}

/// The account: 12 digits as text, because a number would lose its leading zeros.
pub fn account(cx: &mut Context, node: &Node) -> Read<String> {
    if let Data::Number(n) = &node.data {
        cx.error_help(
            node.at,
            "an account is text, not a number: leading zeros count",
            Some(format!("put it in quotes: \"{}\"", show(n))),
        );
        return None;
    }
    let text = cx.words(node)?;
    let good = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if !good {
        cx.error(node.at, format!("an AWS account has 12 digits, not `{}`", show(&text)));
    }
    good.then_some(text)
}

/// Reads `regions:`: at least two, exactly one source and one primary.
pub fn regions(cx: &mut Context, node: &Node) -> Read<Vec<Region>> {
    let entries = cx.entries(node)?;
    if entries.len() > REGIONS_MAX {
        cx.error(node.at, format!("a plan has at most {REGIONS_MAX} regions"));
        return None;
    }
    let mut out: Vec<Region> = Vec::new();
    let mut complete = true;
    for (key, node) in entries {
        cx.regions.push(key.text.clone());
        if !is_region(&key.text) {
            cx.error(key.at, format!("`{}` is no AWS region such as `eu-central-1`", show(&key.text)));
        }
        let region = region(cx, node, &key.text);
        if let Some(region) = &region
            && region.role != Role::Secondary
            && let Some(other) = out.iter().find(|r| r.role == region.role)
        {
            let role = if region.role == Role::Source { "source" } else { "primary" };
            cx.error(key.at, format!("`{}` is the {role} already; a plan has one", other.name));
        }
        complete &= region.is_some();
        out.extend(region);
    }
    if complete {
        for (role, name) in [(Role::Source, "source"), (Role::Primary, "primary")] {
            if !out.iter().any(|r| r.role == role) {
                cx.error_help(node.at, format!("no region is the {name}"), Some(format!("write `role: {name}` for one of them")));
            }
        }
    }
    Some(out)
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [area @ .., number] => area.len() >= 2 && area.iter().all(letters) && number.parse::<u8>().is_ok(),
        [] => false,
    }
}

fn region(cx: &mut Context, node: &Node, name: &str) -> Read<Region> {
    let mut f = Fields::of(cx, node, format!("the region `{}`", show(name)))?;
    let roles = [("source", Role::Source), ("primary", Role::Primary), ("secondary", Role::Secondary)];
    let role = f.need(cx, "role", |cx, n| cx.word(n, &roles));
    let label = f.maybe(cx, "label", Context::words).unwrap_or_else(|| name.to_owned());
    f.finish(cx);
    Some(Region { name: name.to_owned(), role: role?, label })
}

/// Reads `objectives:`.
pub fn objectives(cx: &mut Context, node: &Node) -> Read<Objectives> {
    let mut f = Fields::of(cx, node, "the objectives")?;
    let availability = f.need(cx, "availability", |cx, n| cx.quantity(n, Unit::Share));
    let to_recover = f.need(cx, "rto", Context::duration_ms);
    let of_loss = f.need(cx, "rpo", Context::duration_ms);
    f.finish(cx);
    Some(Objectives { availability_ppm: availability?.micros, rto_ms: to_recover?, rpo_ms: of_loss? })
}

/// Reads `traffic:`.
pub fn traffic(cx: &mut Context, node: &Node) -> Read<Traffic> {
    let mut f = Fields::of(cx, node, "the traffic")?;
    let zone = f.need(cx, "zone", records::zone);
    let record = f.need(cx, "record", records::dns_name);
    let kind = f.maybe(cx, "type", records::kind).unwrap_or_else(|| "A".to_owned());
    let targets = f.need(cx, "targets", |cx, n| {
        let entries = cx.entries(n)?;
        if entries.is_empty() {
            cx.error_help(
                n.at,
                "the traffic leads nowhere",
                Some("write set identifier and region: `{frankfurt: eu-central-1}`".to_owned()),
            );
        }
        let mut out = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let set = cx.expand(key.at, &key.text);
            if let (Some(set), Some(region)) = (set, cx.region(node)) {
                out.push((set, region));
            }
        }
        Some(out)
    });
    let seen = f.maybe(cx, "seen", |cx, n| {
        let mut out = Vec::new();
        for (key, node) in cx.entries(n)? {
            let known = cx.check_region(key.at, &key.text);
            let Some(id) = cx.monitor(node) else { continue };
            let counts = |s: &Source| matches!(s, Source::Metric(m) if m.unit == Unit::Count);
            if cx.monitors.get(id).and_then(Option::as_ref).is_some_and(|m| !counts(&m.source)) {
                cx.error(node.at, "requests are counted by a `metric` monitor with `unit: count`");
            } else if known {
                out.push((key.text.clone(), id));
            }
        }
        Some(out)
    });
    let service = f.maybe(cx, "service", |cx, n| {
        let id = cx.monitor(n)?;
        if cx.monitors.get(id).and_then(Option::as_ref).is_some_and(|m| !matches!(m.source, Source::Http(_))) {
            cx.error(n.at, "the service is seen by an `http` monitor");
        }
        Some(id)
    });
    f.finish(cx);
    Some(Traffic { zone: zone?, record: record?, kind, targets: targets?, seen: seen.unwrap_or_default(), service })
}
