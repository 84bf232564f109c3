//! DNS monitors: the name, who is asked for it, and where an answer leads.

use core::net::{IpAddr, SocketAddr};

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{At, Data, Node};
use super::problem::show;
use super::records::dns_name;
use crate::plan::{DnsServer, DnsSource, DnsTarget, DnsType, ZoneServers};

/// The port of DNS.
const PORT: u16 = 53;
/// Most servers of one monitor: each of them is asked at each interval.
const SERVERS_MAX: usize = 50;
/// Most addresses and names by which one region is recognised.
const TARGETS_MAX: usize = 50;

/// The keys of a DNS monitor that no other has.
pub const KEYS: [&str; 5] = ["type", "resolvers", "zone-servers", "leads-to", "toward"];

/// Reads what belongs to `dns:`.
pub fn read(cx: &mut Context, node: &Node, f: &mut Fields<'_>) -> Read<DnsSource> {
    let name = dns_name(cx, node);
    let types = [("A", DnsType::A), ("AAAA", DnsType::Aaaa), ("CNAME", DnsType::Cname)];
    let kind = f.maybe(cx, "type", |cx, n| cx.word(n, &types)).unwrap_or(DnsType::A);
    let resolvers = f.maybe(cx, "resolvers", servers);
    let zone_servers = f.maybe(cx, "zone-servers", |cx, n| match &n.data {
        Data::Bool(true) => Some(ZoneServers::Found),
        Data::Bool(false) => Some(ZoneServers::None),
        Data::Map(_) => servers(cx, n).map(ZoneServers::Listed),
        _ => cx.mismatch(n, "`true` or a mapping of names to addresses"),
    });
    let leads_to = f.need(cx, "leads-to", |cx, n| leads_to(cx, n, kind));
    let toward = f.need(cx, "toward", |cx, n| Some((n.at, cx.text(n)?)));
    let timeout_ms = f.maybe(cx, "timeout", |cx, n| cx.duration_ms_in(n, 100, 10_000)).unwrap_or(2_000);
    f.refuse(cx, "region", "name servers belong to no region");
    let said = [f.key_at("resolvers"), f.key_at("zone-servers")];
    // What was said and is wrong is reported already.
    let asks_nobody = resolvers.is_none() && matches!(zone_servers, None | Some(ZoneServers::None));
    if asks_nobody && (said[0].is_none() && (said[1].is_none() || zone_servers.is_some())) {
        let help = "add `resolvers: {quad9: 9.9.9.9}` or `zone-servers: true`".to_owned();
        cx.error_help(f.at(), "nobody is asked for the name", Some(help));
        return None;
    }
    let (resolvers, zone_servers) = (resolvers.unwrap_or_default(), zone_servers.unwrap_or(ZoneServers::None));
    if let (ZoneServers::Listed(listed), Some(at)) = (&zone_servers, f.key_at("zone-servers"))
        && let Some(twice) = listed.iter().find(|one| resolvers.iter().any(|other| other.name == one.name))
    {
        cx.error(
            at,
            format!("there is a resolver `{}` already; on the screen the two could not be told apart", show(&twice.name)),
        );
    }
    let (leads_to, (at, toward)) = (leads_to?, toward?);
    known(cx, at, &toward, &leads_to)?;
    Some(DnsSource { name: name?, kind, resolvers, zone_servers, leads_to, toward, timeout_ms })
}

/// Whether it is known by which answers a region is recognised; an error if not.
fn known(cx: &mut Context, at: At, toward: &str, leads_to: &[(String, Vec<DnsTarget>)]) -> Read<()> {
    if leads_to.iter().any(|(region, _)| region == toward) {
        return Some(());
    }
    let help = cx.suggest(toward, leads_to.iter().map(|(region, _)| region.as_str()));
    cx.error_help(at, format!("`leads-to` does not say which answers lead to `{}`", show(toward)), help);
    None
}

/// Name → address, or address and port.
fn servers(cx: &mut Context, node: &Node) -> Read<Vec<DnsServer>> {
    let entries = cx.entries(node)?;
    if entries.is_empty() || entries.len() > SERVERS_MAX {
        cx.error(node.at, format!("expected 1 to {SERVERS_MAX} name servers, found {}", entries.len()));
        return None;
    }
    let mut out = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let named = cx.check_name(key.at, &key.text);
        if let Some(address) = address(cx, node)
            && named
        {
            out.push(DnsServer { name: key.text.clone(), address });
        }
    }
    Some(out)
}

fn address(cx: &mut Context, node: &Node) -> Read<SocketAddr> {
    // An address looks like a number to YAML only if it is none.
    let text = cx.scalar(node)?;
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    match text.parse::<SocketAddr>().or_else(|_| bare()) {
        Ok(address) if address.port() > 0 && !address.ip().is_unspecified() => Some(address),
        _ => {
            cx.error_help(
                node.at,
                format!("`{}` is no address of a name server", show(&text)),
                Some("write it as in `9.9.9.9`, `\"192.0.2.53:5353\"` or `\"[2620:fe::fe]:53\"`".to_owned()),
            );
            None
        }
    }
}

fn leads_to(cx: &mut Context, node: &Node, kind: DnsType) -> Read<Vec<(String, Vec<DnsTarget>)>> {
    let mut out: Vec<(String, Vec<DnsTarget>)> = Vec::new();
    for (key, node) in cx.entries(node)? {
        cx.check_region(key.at, &key.text);
        let items = cx.list(node)?;
        if items.is_empty() || items.len() > TARGETS_MAX {
            cx.error(node.at, format!("expected 1 to {TARGETS_MAX} addresses or names, found {}", items.len()));
        }
        let mut targets = Vec::with_capacity(items.len());
        for item in items.iter().take(TARGETS_MAX) {
            let Some(target) = target(cx, item, kind) else { continue };
            if let Some((other, _)) = out.iter().find(|(_, there)| there.contains(&target)) {
                cx.error(item.at, format!("this leads to `{}` already; an answer leads to one region", show(&other.clone())));
            }
            targets.push(target);
        }
        // What is wrong is reported, and known by its name all the same: `toward` may mean it.
        out.push((key.text.clone(), targets));
    }
    Some(out)
}

fn target(cx: &mut Context, node: &Node, kind: DnsType) -> Read<DnsTarget> {
    let text = cx.scalar(node)?;
    let Ok(address) = text.parse::<IpAddr>() else { return dns_name(cx, node).map(DnsTarget::Name) };
    let help = match (kind, address) {
        (DnsType::A, IpAddr::V4(_)) | (DnsType::Aaaa, IpAddr::V6(_)) => return Some(DnsTarget::Address(address)),
        (DnsType::A, IpAddr::V6(_)) => "write an IPv4 address, or `type: AAAA`",
        (DnsType::Aaaa, IpAddr::V4(_)) => "write an IPv6 address, or `type: A`",
        (DnsType::Cname, _) => "write the name that the record stands for",
    };
    cx.error_help(node.at, "no answer of the type that is asked for holds such an address", Some(help.to_owned()));
    None
}
