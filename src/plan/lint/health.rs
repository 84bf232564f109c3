//! Lints about health checks.

use super::dns::is_gateway;
use super::subject::{Found, Subject};
use super::zones::{Zones, groups};
use super::{Level, Lint};
use crate::plan::Action;

pub const LINTS: &[Lint] = &[
    Lint {
        name: "no-health-check",
        rules: &[3, 34],
        level: Level::Warning,
        line: "More than one record of a weighted set has no health check",
        why: "A record without a health check always counts as healthy, so it is answered whatever has become of its side. One \
              such record in a set may be meant: the last resort, which answers when all others fail. With two, nothing ever \
              moves by itself, and the weights go on sending people to a side that is down.\n\nThat the health of the target \
              is evaluated does not help where the target is an API Gateway: it fails only when the service itself is down in \
              that region.",
        wrong: "put:\n  - {name: api.example.com, type: A, set: frankfurt, weight: 50, ttl: 60s, values: [192.0.2.10]}\n  - {name: api.example.com, type: A, set: ireland, weight: 50, ttl: 60s, values: [192.0.2.20]}",
        right: "put:\n  - {name: api.example.com, type: A, set: frankfurt, weight: 50, ttl: 60s, values: [192.0.2.10], health-check: 5f0a1d2c-0000-4000-8000-000000000001}\n  - {name: api.example.com, type: A, set: ireland, weight: 50, ttl: 60s, values: [192.0.2.20]}",
        check: Some(no_health_check),
    },
    Lint {
        name: "disabled-in-drill",
        rules: &[1],
        level: Level::Warning,
        line: "A record carries a health check that is disabled in the drill's world",
        why: "A disabled health check counts as always healthy. A drill that begins with one shows a record that never fails \
              over, and says nothing of what would happen with the check as it is in the account.",
        wrong: "drill:\n  health-checks:\n    - {id: 5f0a1d2c, endpoint: eu-central-1, disabled: true}",
        right: "drill:\n  health-checks:\n    - {id: 5f0a1d2c, endpoint: eu-central-1}",
        check: Some(disabled_in_drill),
    },
];

fn no_health_check(of: &Subject<'_>, found: &mut Found) {
    let mut zones = Zones::before(of.plan);
    for step in &of.plan.steps {
        let Action::Records(change) = &step.action else { continue };
        let put = of.action(step).key("put");
        zones.change(change);
        for (name, kind) in groups(change) {
            let checked = |record: &crate::plan::RecordSet| {
                let evaluated = record.alias.as_ref().is_some_and(|alias| alias.evaluate_health && !is_gateway(alias));
                record.health_check.is_some() || evaluated
            };
            let siblings = zones.siblings(&change.zone, name, kind);
            let without = siblings.iter().filter(|record| record.weight.is_some() && !checked(record)).count();
            let first = change.put.iter().position(|r| r.name == name && r.kind == kind && !checked(r));
            if without > 1
                && let Some(first) = first
            {
                let message =
                    format!("{without} weighted records of `{name}` have no health check, so none of them is ever left out");
                found.at(put.item(first), message, "give all but the one of last resort a `health-check:`");
            }
        }
    }
}

fn disabled_in_drill(of: &Subject<'_>, found: &mut Found) {
    let spots = of.places.section("drill").key("health-checks").items();
    for (check, spot) in of.plan.drill.health_checks.iter().zip(spots) {
        let carried = of.records().iter().any(|(_, record, _)| record.health_check.as_ref() == Some(&check.id));
        if check.disabled && carried {
            let message = format!("`{}` is disabled, so its record counts as healthy whatever happens", check.id);
            found.at(spot.key("disabled"), message, "remove the key; to make a check fail, invert it");
        }
    }
}
