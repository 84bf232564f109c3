//! Route 53 records as a plan writes them.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{Data, Node};
use super::problem::show;
use super::value;
use crate::plan::record;
use crate::plan::{AliasTarget, RecordKey, RecordSet};

const TYPES: [&str; 15] =
    ["A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "CAA", "PTR", "SOA", "NAPTR", "DS", "HTTPS", "SVCB", "TLSA"];

/// Most seconds of a TTL (31 bits).
const TTL_MS_MAX: i64 = 2_147_483_647_000;

/// What a record may say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A step's: what it names may come from earlier steps.
    Step,
    /// The simulated world's before the plan starts.
    World,
}

/// A list of records that a step puts.
pub fn read_list(cx: &mut Context, node: &Node) -> Read<Vec<RecordSet>> {
    let items = cx.list(node)?;
    Some(items.iter().filter_map(|item| record(cx, item, Of::Step)).collect())
}

/// A DNS name: lower case and without the final dot.
pub fn dns_name(cx: &mut Context, node: &Node) -> Read<String> {
    let text = cx.words(node)?;
    let name = record::dns_name(&text);
    if name.is_none() {
        cx.error(node.at, format!("`{}` is no DNS name", show(&text)));
    }
    name
}

/// A text that is known when the plan is read, or one with outputs of earlier steps, which keep their places and are looked
/// at when they are known.
pub fn late(cx: &mut Context, node: &Node, known: impl FnOnce(&mut Context, &Node) -> Read<String>) -> Read<String> {
    match &node.data {
        Data::Text(text) if record::is_late(text) => Some(cx.late(node, false)?.to_string()),
        _ => known(cx, node),
    }
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
    let good = record::is_zone(text);
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
pub fn record(cx: &mut Context, node: &Node, of: Of) -> Read<RecordSet> {
    let mut f = Fields::of(cx, node, "the record")?;
    let name = f.need(cx, "name", dns_name);
    let kind = f.need(cx, "type", kind);
    let set = f.maybe(cx, "set", Context::words);
    let weight = f.maybe(cx, "weight", weight);
    let health_check = f.maybe(cx, "health-check", |cx, n| of.text(cx, n, Context::words));
    let alias = f.maybe(cx, "alias", |cx, n| alias(cx, n, of));
    let (ttl, values) = if f.key_at("alias").is_some() {
        // That it means nothing is a lint's to say: whoever writes it has to be told why.
        f.maybe(cx, "ttl", ttl);
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
    // Another kind of routing, which this release does not write: lints refuse it, and say what it must not stand beside.
    let routed = f.maybe(cx, "geolocation", Context::words).is_some();
    for (here, there) in [("set", "weight"), ("weight", "set")] {
        if let Some(at) = f.key_at(here)
            && f.key_at(there).is_none()
            && !routed
        {
            cx.error_help(at, format!("a weighted record needs `{here}` and `{there}`"), Some(format!("add the key `{there}:`")));
        }
    }
    f.finish(cx);
    Some(RecordSet { name: name?, kind: kind?, set, weight, ttl, values, alias, health_check })
}

impl Of {
    fn text(self, cx: &mut Context, node: &Node, known: impl FnOnce(&mut Context, &Node) -> Read<String>) -> Read<String> {
        if self == Of::Step { late(cx, node, known) } else { known(cx, node) }
    }
}

fn alias(cx: &mut Context, node: &Node, of: Of) -> Read<AliasTarget> {
    let mut f = Fields::of(cx, node, "the alias")?;
    let zone = f.need(cx, "zone", |cx, n| of.text(cx, n, zone));
    let name = f.need(cx, "name", |cx, n| of.text(cx, n, dns_name));
    let evaluate_health = f.maybe(cx, "evaluate-health", Context::boolean).unwrap_or(true);
    f.finish(cx);
    Some(AliasTarget { zone: zone?, name: name?, evaluate_health })
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
