//! Lints about records: aliases, TTLs, and what may stand beside what.

use super::subject::{Found, Subject};
use super::template;
use super::zones::{Group, Zones, groups};
use super::{Level, Lint};
use crate::plan::{Action, AliasTarget, RecordSet, Records, Step};

/// Until a changed record is answered by the zone's own servers, in milliseconds (rule 7).
pub const INSYNC_MS: i64 = 60_000;
/// How long an alias is remembered, in seconds (rule 8).
pub const ALIAS_TTL: u32 = 60;

pub const LINTS: &[Lint] = &[
    Lint {
        name: "alias-ttl",
        rules: &[8],
        level: Level::Error,
        line: "An alias record has a TTL",
        why: "Route 53 refuses an alias with a TTL: it answers with the TTL of its target, 60 seconds beside a load balancer. \
              A plan that sets one was written by somebody who believes that the answer is remembered for that long, and \
              counts on it when traffic has to come back.\n\nIt is an error, because the change batch would be refused as a \
              whole, at the moment at which traffic was to move.",
        wrong: "put:\n  - name: api.example.com\n    type: A\n    ttl: 300s\n    alias: {zone: Z1U9ULNL0V5AJ3, name: d-abc.execute-api.eu-central-1.amazonaws.com}",
        right: "put:\n  - name: api.example.com\n    type: A\n    alias: {zone: Z1U9ULNL0V5AJ3, name: d-abc.execute-api.eu-central-1.amazonaws.com}",
        check: Some(alias_ttl),
    },
    Lint {
        name: "mixed-routing",
        rules: &[8],
        level: Level::Error,
        line: "Weighted and geolocation records share a name and a type",
        why: "All records of one name and type have one routing policy. Route 53 refuses a batch that would leave a weighted \
              record beside one with a geolocation, so neither the weights nor the countries come into being. Whoever wants \
              both builds a tree: geolocation records under the public name are aliases to names of their own, and those are \
              weighted.\n\nIt is an error, because Route 53 refuses the batch.",
        wrong: "put:\n  - {name: api.example.com, type: A, set: frankfurt, weight: 10, ttl: 60s, values: [192.0.2.10]}\n  - {name: api.example.com, type: A, set: germany, geolocation: DE, ttl: 60s, values: [192.0.2.10]}",
        right: "put:\n  - {name: europe.example.com, type: A, set: frankfurt, weight: 10, ttl: 60s, values: [192.0.2.10]}\n  - {name: europe.example.com, type: A, set: ireland, weight: 90, ttl: 60s, values: [192.0.2.20]}",
        check: Some(mixed_routing),
    },
    Lint {
        name: "geolocation-not-written",
        rules: &[],
        level: Level::Error,
        line: "A record has a geolocation, which this release does not write",
        why: "A record is written whole or not at all. This release knows simple and weighted records; one with a geolocation \
              would be written without it and answer everybody, everywhere.\n\nIt is an error until geolocation records are \
              known. Make them outside the plan, and let the plan move the weights of the names that they lead to.",
        wrong: "put:\n  - {name: api.example.com, type: A, set: germany, geolocation: DE, ttl: 60s, values: [192.0.2.10]}",
        right: "put:\n  - {name: germany.api.example.com, type: A, ttl: 60s, values: [192.0.2.10]}",
        check: Some(geolocation),
    },
    Lint {
        name: "siblings-ttl",
        rules: &[8],
        level: Level::Warning,
        line: "Weighted siblings have different TTLs",
        why: "All weighted records of one name and type must have one TTL. With two, a resolver remembers one region longer \
              than the other, and the share of traffic is no longer that of the weights: at 50 and 50, with 300 seconds here \
              and 60 there, five of six requests go to the side that is remembered longer.",
        wrong: "put:\n  - {name: api.example.com, type: A, set: frankfurt, weight: 50, ttl: 60s, values: [192.0.2.10]}\n  - {name: api.example.com, type: A, set: ireland, weight: 50, ttl: 300s, values: [192.0.2.20]}",
        right: "put:\n  - {name: api.example.com, type: A, set: frankfurt, weight: 50, ttl: 60s, values: [192.0.2.10]}\n  - {name: api.example.com, type: A, set: ireland, weight: 50, ttl: 60s, values: [192.0.2.20]}",
        check: Some(siblings_ttl),
    },
    Lint {
        name: "simple-to-weighted",
        rules: &[9],
        level: Level::Warning,
        line: "A weighted record is put beside the simple one that has its name",
        why: "A simple record and a weighted one cannot share a name and a type, and putting one does not take the other away. \
              Route 53 refuses the batch. To go from simple to weighted, the simple record is removed and the weighted ones \
              are put in one batch: it is applied as a whole, so that there is no moment without an answer.",
        wrong: "records:\n  zone: Z1234567890ABC\n  put:\n    - {name: api.example.com, type: A, set: ireland, weight: 100, ttl: 60s, values: [192.0.2.20]}",
        right: "records:\n  zone: Z1234567890ABC\n  remove: [{name: api.example.com, type: A}]\n  put:\n    - {name: api.example.com, type: A, set: ireland, weight: 100, ttl: 60s, values: [192.0.2.20]}",
        check: Some(simple_to_weighted),
    },
    Lint {
        name: "ttl-not-lowered",
        rules: &[7],
        level: Level::Warning,
        line: "Traffic is moved while resolvers may remember the old answer for long",
        why: "A resolver keeps an answer for the TTL that it came with. Whoever asked just before the shift stays on the old \
              side for that long, and when the shift has to be taken back, whoever asked just after it stays on the new one. \
              Lowering the TTL helps only those who ask after it was lowered, so it has to happen at least one old TTL before \
              the shift: with 300 seconds, five minutes.\n\nThe old TTL is the one of the drill's records, or of an earlier \
              step. More than a minute is pointed out.",
        wrong: "drill:\n  records:\n    Z1234567890ABC:\n      - {name: api.example.com, type: A, set: ireland, weight: 100, ttl: 300s, values: [192.0.2.20]}\n# ... and the first step that touches the record shifts its weights",
        right: "- id: lower-ttl     # a day before the shift\n  day: 6\n  title: Lower the TTL\n  records:\n    zone: Z1234567890ABC\n    put:\n      - {name: api.example.com, type: A, set: ireland, weight: 100, ttl: 60s, values: [192.0.2.20]}",
        check: Some(ttl_not_lowered),
    },
    Lint {
        name: "execute-api-alias",
        rules: &[11],
        level: Level::Warning,
        line: "An alias names the default host of an API Gateway instead of a custom domain's",
        why: "The default host `ID.execute-api.REGION.amazonaws.com` presents a certificate for itself. A client that asks for \
              the public name gets a certificate for another name and hangs up, every one of them, as soon as the record \
              answers. An alias names the custom domain's `regionalDomainName`, which begins with `d-`, and its \
              `regionalHostedZoneId`.",
        wrong: "alias: {zone: Z1U9ULNL0V5AJ3, name: a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com}",
        right: "alias: {zone: Z1U9ULNL0V5AJ3, name: d-a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com}",
        check: Some(execute_api_alias),
    },
    Lint {
        name: "load-balancer-zone",
        rules: &[11],
        level: Level::Warning,
        line: "An alias to an API Gateway has the zone id of load balancers",
        why: "Every service has a hosted zone of its own in each region, and an alias names the zone of its target. With the \
              zone id of load balancers Route 53 finds no such name in it and refuses the batch, or the alias answers nothing. \
              The custom domain tells the right one as `regionalHostedZoneId`.",
        wrong: "alias: {zone: Z215JYRZR1TBD5, name: d-abc.execute-api.eu-central-1.amazonaws.com}",
        right: "alias: {zone: Z1U9ULNL0V5AJ3, name: d-abc.execute-api.eu-central-1.amazonaws.com}",
        check: Some(load_balancer_zone),
    },
    Lint {
        name: "alias-zone-region",
        rules: &[11],
        level: Level::Warning,
        line: "An alias has the zone id of another region",
        why: "The hosted zone of a service is another one in every region. The usual way to get this wrong is to copy the \
              record of the region that is left and to change its name only. Route 53 then looks for the new name in the old \
              region's zone.",
        wrong: "alias: {zone: ZLY8HYME6SFDD, name: d-abc.execute-api.eu-central-1.amazonaws.com}    # Ireland's",
        right: "alias: {zone: Z1U9ULNL0V5AJ3, name: d-abc.execute-api.eu-central-1.amazonaws.com}",
        check: Some(alias_zone_region),
    },
    Lint {
        name: "record-of-a-stack",
        rules: &[36],
        level: Level::Warning,
        line: "A step changes a record that a stack of the plan owns",
        why: "A record in a template belongs to its stack. What a step does to it is drift, and the next update of the stack \
              sets it back to what the template says: traffic moves without anybody having asked for it, perhaps weeks later. \
              Either the template leaves the record alone, or the template is what changes it.",
        wrong: "# templates/api.yaml has an AWS::Route53::RecordSet with `Name: api.example.com`\nshift: {zone: Z1234567890ABC, record: api.example.com, weights: {frankfurt: 10, ireland: 90}}",
        right: "# templates/api.yaml has no record for the name\nshift: {zone: Z1234567890ABC, record: api.example.com, weights: {frankfurt: 10, ireland: 90}}",
        check: Some(record_of_a_stack),
    },
];

/// Zone ids of the table of rule 11: service, region, id.
const ALIAS_ZONES: [(Service, &str, &str); 9] = [
    (Service::Gateway, "eu-west-1", "ZLY8HYME6SFDD"),
    (Service::Gateway, "eu-central-1", "Z1U9ULNL0V5AJ3"),
    (Service::Gateway, "af-south-1", "Z2DHW2332DAMTN"),
    (Service::LoadBalancer, "eu-west-1", "Z32O12XQLNTSW2"),
    (Service::LoadBalancer, "eu-central-1", "Z215JYRZR1TBD5"),
    (Service::LoadBalancer, "af-south-1", "Z268VQBMOI5EKX"),
    (Service::LoadBalancer, "eu-west-1", "Z2IFOLAFXWLO4F"),
    (Service::LoadBalancer, "eu-central-1", "Z3F0SRJ5LGBH90"),
    (Service::LoadBalancer, "af-south-1", "Z203XCE67M25HM"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Gateway,
    LoadBalancer,
}

/// What an alias points to, and in which region: its service and its region are parts of its name.
fn target(name: &str) -> Option<(Service, &str)> {
    let parts: Vec<&str> = name.split('.').collect();
    let (service, region) = match parts.as_slice() {
        [_, "execute-api", region, "amazonaws", "com"] => (Service::Gateway, region),
        [_, "elb", region, "amazonaws", "com"] | [_, region, "elb", "amazonaws", "com"] => (Service::LoadBalancer, region),
        _ => return None,
    };
    Some((service, region))
}

/// Whether an alias points to an API Gateway.
pub fn is_gateway(alias: &AliasTarget) -> bool {
    target(&alias.name).is_some_and(|(service, _)| service == Service::Gateway)
}

/// What a zone id is of.
fn zone_of(id: &str) -> Option<(Service, &'static str)> {
    ALIAS_ZONES.iter().find(|(_, _, zone)| *zone == id).map(|(service, region, _)| (*service, *region))
}

fn alias_ttl(of: &Subject<'_>, found: &mut Found) {
    for (_, record, spot) in of.records() {
        if record.alias.is_some()
            && let Some(ttl) = spot.entry("ttl")
        {
            found.at(ttl, "`ttl` has no meaning here: an alias answers with its target's TTL", "remove it; Route 53 refuses it");
        }
    }
}

fn mixed_routing(of: &Subject<'_>, found: &mut Found) {
    let records = of.records();
    for (zone, record, spot) in &records {
        let Some(geolocation) = spot.entry("geolocation") else { continue };
        let beside = |other: &&RecordSet| other.name == record.name && other.kind == record.kind && other.weight.is_some();
        let weighted = records.iter().filter(|(of, ..)| of == zone).map(|(_, other, _)| *other).find(beside);
        let shifted = of.every_step().any(|(step, _)| {
            matches!(&step.action, Action::Shift(shift)
                if shift.zone == *zone && shift.record == record.name && shift.kind == record.kind)
        });
        if weighted.is_some() || shifted {
            let message =
                format!("`{}` {} has weighted records as well, and Route 53 allows one of the two", record.name, record.kind);
            found.at(geolocation, message, "let geolocation records be aliases to names of their own that are weighted");
        }
    }
}

fn geolocation(of: &Subject<'_>, found: &mut Found) {
    // One that is mixed is refused for that already; mended, it is refused for this.
    let mut mixed = Found::default();
    mixed.begin(&LINTS[1]);
    mixed_routing(of, &mut mixed);
    for (_, record, spot) in of.records() {
        let Some(geolocation) = spot.entry("geolocation") else { continue };
        let told = mixed.findings.iter().any(|f| matches!(f.place, super::Where::Plan(at) if at == geolocation.at()));
        if !told {
            let message =
                format!("this release does not write geolocation records, and `{}` would answer everybody", record.name);
            found.at(geolocation, message, "make it outside the plan");
        }
    }
}

fn siblings_ttl(of: &Subject<'_>, found: &mut Found) {
    for (step, _) in of.every_step() {
        let Action::Records(change) = &step.action else { continue };
        let put = of.action(step).key("put");
        for (name, kind) in groups(change) {
            let mut first: Option<u32> = None;
            for (record, spot) in change.put.iter().zip(put.items()) {
                if record.name != name || record.kind != kind || record.weight.is_none() {
                    continue;
                }
                let Some(ttl) = record.ttl else { continue };
                let of_first = *first.get_or_insert(ttl);
                if of_first != ttl {
                    let message = format!("weighted siblings of `{name}` need one TTL, and these have {of_first} s and {ttl} s");
                    found.at(spot.key("ttl"), message, "give all of them the same");
                }
            }
        }
    }
}

/// Walks the steps of the phases, each with what the zones hold before it.
fn walk<'a>(of: &Subject<'a>, mut visit: impl FnMut(&'a Step, &Zones)) {
    let mut zones = Zones::before(of.plan);
    for step in &of.plan.steps {
        visit(step, &zones);
        zones.follow(&step.action);
    }
}

fn simple_to_weighted(of: &Subject<'_>, found: &mut Found) {
    walk(of, |step, zones| {
        let Action::Records(change) = &step.action else { return };
        let put = of.action(step).key("put");
        for (record, spot) in change.put.iter().zip(put.items()) {
            let stays = |other: &&RecordSet| other.set.is_some() != record.set.is_some() && !change.remove.contains(&other.key());
            let Some(other) = zones.siblings(&change.zone, &record.name, &record.kind).iter().find(stays) else { continue };
            let (here, there) = if record.set.is_some() { ("weighted", "a simple") } else { ("simple", "a weighted") };
            let message =
                format!("`{}` {} has {there} record, which this {here} one cannot stand beside", record.name, record.kind);
            let set = other.set.as_ref().map(|set| format!(", set: {set}")).unwrap_or_default();
            let help = format!("add `remove: [{{name: {}, type: {}{set}}}]` to the same batch", other.name, other.kind);
            found.at(spot, message, help);
        }
    });
}

/// For how long a step makes sure that the next does not start, in milliseconds: its soak, or what its verify must have
/// held for.
fn lasts_ms(of: &Subject<'_>, step: &Step) -> i64 {
    let verified = of.conditions(&step.verify).map(|(condition, _)| condition.for_ms).max().unwrap_or(0);
    match step.action {
        Action::Soak { for_ms, .. } => for_ms.max(verified),
        _ => verified,
    }
}

/// Whether a batch sends anybody elsewhere than before, and does not only change how long the answer is remembered.
fn moves(change: &Records, name: &str, kind: &str, before: &[RecordSet]) -> bool {
    let same = |record: &RecordSet| {
        before.iter().any(|old| {
            old.set == record.set && old.weight == record.weight && old.values == record.values && old.alias == record.alias
        })
    };
    let removed = change.remove.iter().any(|key| key.name == name && key.kind == kind);
    removed || change.put.iter().filter(|r| r.name == name && r.kind == kind).any(|record| !same(record))
}

fn longest(records: &[RecordSet]) -> u32 {
    records.iter().filter_map(|record| record.ttl).max().unwrap_or(0)
}

/// A group whose TTL was lowered.
struct Lowered {
    group: Group,
    /// What it was before, in seconds.
    from: u32,
    /// The day on which it was lowered.
    day: u32,
    /// How long ago that is for certain, in milliseconds.
    waited_ms: i64,
}

fn ttl_not_lowered(of: &Subject<'_>, found: &mut Found) {
    // Groups that were moved already: what was said about the first move holds for the others.
    let mut told: Vec<Group> = Vec::new();
    let mut lowered: Vec<Lowered> = Vec::new();
    walk(of, |step, zones| {
        let touched: Vec<(&str, &str, &str)> = match &step.action {
            Action::Shift(shift) => vec![(shift.zone.as_str(), shift.record.as_str(), shift.kind.as_str())],
            Action::Records(change) => {
                groups(change).into_iter().map(|(name, kind)| (change.zone.as_str(), name, kind)).collect()
            }
            _ => Vec::new(),
        };
        for (zone, name, kind) in touched {
            let group = (zone.to_owned(), name.to_owned(), kind.to_owned());
            let before = zones.siblings(zone, name, kind);
            let ttl = longest(before);
            let is_move = match &step.action {
                Action::Records(change) => moves(change, name, kind, before),
                _ => true,
            };
            if !is_move {
                let mut after = zones.clone();
                after.follow(&step.action);
                if longest(after.siblings(zone, name, kind)) < ttl {
                    lowered.push(Lowered { group, from: ttl, day: step.day, waited_ms: 0 });
                }
                continue;
            }
            if before.is_empty() || told.contains(&group) {
                continue;
            }
            let late = lowered.iter().find(|l| l.group == group && step.day <= l.day && l.waited_ms < i64::from(l.from) * 1_000);
            if ttl > ALIAS_TTL {
                let message = format!("`{name}` is remembered for {ttl} s when its traffic is moved");
                let help = format!("lower its TTL to {ALIAS_TTL} s in a step at least {ttl} s before");
                found.at(of.action(step), message, help);
            } else if let Some(Lowered { from: old, .. }) = late {
                let message =
                    format!("the TTL of `{name}` was lowered from {old} s, and less than that before its traffic is moved");
                found.at(of.action(step), message, format!("soak for {old} s between the two, or lower it a day before"));
            }
            told.push(group);
        }
        let lasts = lasts_ms(of, step);
        for group in &mut lowered {
            group.waited_ms += lasts;
        }
    });
}

fn execute_api_alias(of: &Subject<'_>, found: &mut Found) {
    for (_, record, spot) in of.records() {
        let Some(alias) = record.alias.as_ref().filter(|alias| is_gateway(alias) && !alias.name.starts_with("d-")) else {
            continue;
        };
        let message =
            format!("`{}` is the default host of an API, and its certificate is not that of `{}`", alias.name, record.name);
        let help = "name the custom domain's regionalDomainName, which begins with `d-`";
        found.at(spot.key("alias").key("name").value(), message, help);
    }
}

fn load_balancer_zone(of: &Subject<'_>, found: &mut Found) {
    for (_, record, spot) in of.records() {
        let Some(alias) = &record.alias else { continue };
        if is_gateway(alias) && zone_of(&alias.zone).is_some_and(|(service, _)| service == Service::LoadBalancer) {
            let message = format!("`{}` is the zone of load balancers, and `{}` is an API Gateway", alias.zone, alias.name);
            let help = "name the custom domain's regionalDomainName and regionalHostedZoneId";
            found.at(spot.key("alias").key("zone").value(), message, help);
        }
    }
}

fn alias_zone_region(of: &Subject<'_>, found: &mut Found) {
    for (_, record, spot) in of.records() {
        let Some(alias) = &record.alias else { continue };
        let (Some((_, in_name)), Some((of_zone, region))) = (target(&alias.name), zone_of(&alias.zone)) else { continue };
        if region != in_name {
            let message = format!("`{}` is a zone of {region}, and `{}` is in {in_name}", alias.zone, alias.name);
            let right =
                ALIAS_ZONES.iter().find(|(service, at, _)| *service == of_zone && *at == in_name && of_zone == Service::Gateway);
            let help = right.map_or_else(
                || "name the zone of the region that the target is in".to_owned(),
                |(_, _, zone)| format!("API Gateway's zone in {in_name} is `{zone}`"),
            );
            found.at(spot.key("alias").key("zone").value(), message, help);
        }
    }
}

fn record_of_a_stack(of: &Subject<'_>, found: &mut Found) {
    let templates = of.templates();
    let mut owned: Vec<(String, &str)> = Vec::new();
    for applied in &templates {
        for resource in template::resources(applied.text) {
            if resource.kind.starts_with("AWS::Route53::RecordSet") {
                let names = resource.values("Name", &applied.parameters);
                owned.extend(names.into_iter().map(|name| (name.trim_end_matches('.').to_lowercase(), applied.name)));
            }
        }
    }
    for (step, _) in of.every_step() {
        let (names, key): (Vec<&str>, _) = match &step.action {
            Action::Shift(shift) => (vec![shift.record.as_str()], "record"),
            Action::Records(change) => (change.put.iter().map(|record| record.name.as_str()).collect(), "put"),
            _ => continue,
        };
        for name in names {
            if let Some((_, stack)) = owned.iter().find(|(of, _)| of == name) {
                let message = format!("`{name}` belongs to the stack `{stack}`, whose next update sets it back");
                found.at(of.action(step).key(key), message, "take the record out of the template, or change it there");
            }
        }
    }
}
