//! Route 53 records as a plan writes them.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::Node;
use super::problem::show;
use super::value;
use crate::plan::{AliasTarget, RecordKey, RecordSet};

const TYPES: [&str; 15] =
    ["A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "CAA", "PTR", "SOA", "NAPTR", "DS", "HTTPS", "SVCB", "TLSA"];

/// Zone ids of load balancers in the three regions of rule 11: an API behind them is reached under another one.
const LOAD_BALANCER_ZONES: [&str; 6] =
    ["Z32O12XQLNTSW2", "Z215JYRZR1TBD5", "Z268VQBMOI5EKX", "Z2IFOLAFXWLO4F", "Z3F0SRJ5LGBH90", "Z203XCE67M25HM"];

/// Most seconds of a TTL (31 bits).
const TTL_MS_MAX: i64 = 2_147_483_647_000;

/// A list of records.
pub fn read_list(cx: &mut Context, node: &Node) -> Read<Vec<RecordSet>> {
    let items = cx.list(node)?;
    Some(items.iter().filter_map(|item| record(cx, item)).collect())
}

/// A DNS name: lower case and without the final dot.
pub fn dns_name(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.words(node)?.to_lowercase();
    let name = text.strip_suffix('.').unwrap_or(&text);
    let part = |p: &str| !p.is_empty() && p.len() <= 63 && p.chars().all(|c| c.is_ascii_alphanumeric() || "-_*\\".contains(c));
    if name.len() > 253 || !name.split('.').all(part) {
        cx.error(node.at, format!("`{}` is no DNS name", show(&text)));
        return None;
    }
    Some(name.to_owned())
}

/// A record type.
pub fn kind(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.words(node)?;
    if !TYPES.contains(&text.as_str()) {
        let help = value::nearest(&text, TYPES).map(|t| format!("did you mean `{t}`?"));
        cx.error_help(node.at, format!("`{}` is no record type", show(&text)), help);
        return None;
    }
    Some(text)
}

/// A hosted zone id.
pub fn zone(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.words(node)?;
    check_zone(cx, node.at, &text).then_some(text)
}

/// Whether a text is a hosted zone id; an error if not.
pub fn check_zone(cx: &mut Context, at: super::node::At, text: &str) -> bool {
    let good = text.len() <= 32 && text.starts_with('Z') && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !good {
        let help = "a zone id begins with `Z`, as in `Z1234567890ABC`".to_owned();
        cx.error_help(at, format!("`{}` is no hosted zone id", show(text)), Some(help));
    }
    good
}

/// A weight of a weighted record.
pub fn weight(cx: &mut Context, node: &Node) -> Read<u8> {
    u8::try_from(cx.integer(node, 0, 255)?).ok()
}

fn ttl(cx: &mut Context, node: &Node) -> Read<u32> {
    let ms = cx.duration_ms_in(node, 0, TTL_MS_MAX)?;
    if ms % 1_000 != 0 {
        cx.error(node.at, "a TTL is whole seconds");
        return None;
    }
    u32::try_from(ms / 1_000).ok()
}

/// One record.
pub fn record(cx: &mut Context, node: &Node) -> Read<RecordSet> {
    let mut f = Fields::of(cx, node, "the record")?;
    let name = f.need(cx, "name", dns_name);
    let kind = f.need(cx, "type", kind);
    let set = f.maybe(cx, "set", Context::words);
    let weight = f.maybe(cx, "weight", weight);
    let health_check = f.maybe(cx, "health-check", Context::words);
    let alias = f.maybe(cx, "alias", alias);
    let (ttl, values) = if f.key_at("alias").is_some() {
        f.refuse(cx, "ttl", "an alias answers with its target's TTL");
        f.refuse(cx, "values", "an alias answers with its target's values");
        (None, Vec::new())
    } else {
        let values = f.need(cx, "values", |cx, n| {
            let items = cx.list(n)?;
            if items.is_empty() {
                cx.error(n.at, "a record has at least one value");
            }
            Some(items.iter().filter_map(|item| cx.words(item)).collect())
        });
        (f.need(cx, "ttl", ttl), values.unwrap_or_default())
    };
    // One without the other would be another kind of routing, which this release does not know.
    for (here, there) in [("set", "weight"), ("weight", "set")] {
        if let Some(at) = f.key_at(here)
            && f.key_at(there).is_none()
        {
            cx.error_help(at, format!("a weighted record needs `{here}` and `{there}`"), Some(format!("add the key `{there}:`")));
        }
    }
    f.finish(cx);
    Some(RecordSet { name: name?, kind: kind?, set, weight, ttl, values, alias, health_check })
}

fn alias(cx: &mut Context, node: &Node) -> Read<AliasTarget> {
    let mut f = Fields::of(cx, node, "the alias")?;
    let zone = f.need(cx, "zone", |cx, n| Some((n.at, zone(cx, n)?)));
    let name = f.need(cx, "name", dns_name);
    let evaluate_health = f.maybe(cx, "evaluate-health", Context::boolean).unwrap_or(true);
    f.finish(cx);
    let ((at, zone), name) = (zone?, name?);
    if LOAD_BALANCER_ZONES.contains(&zone.as_str()) && name.contains("execute-api") {
        let message =
            format!("load-balancer-zone: `{zone}` is the zone of load balancers, and `{}` is an API Gateway", show(&name));
        let help = "name the custom domain's regionalDomainName and regionalHostedZoneId";
        cx.warn(at, message, Some(help.to_owned()));
    }
    Some(AliasTarget { zone, name, evaluate_health })
}

/// Name, type and set identifier of a record that shall go.
pub fn record_key(cx: &mut Context, node: &Node) -> Read<RecordKey> {
    let mut f = Fields::of(cx, node, "the record to remove")?;
    let name = f.need(cx, "name", dns_name);
    let kind = f.need(cx, "type", kind);
    let set = f.maybe(cx, "set", Context::words);
    f.finish(cx);
    Some(RecordKey { name: name?, kind: kind?, set })
}
