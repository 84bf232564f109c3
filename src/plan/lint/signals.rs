//! Lints about gates, measurements, figures and days.

use std::collections::BTreeSet;

use super::subject::{Found, Subject};
use super::{Level, Lint};
use crate::plan::{Source, Step};

/// So many vantage points tell an outage of the service from one of a vantage point (rule 39).
const VANTAGES: usize = 3;
/// The days of the month for which budgets are usually given.
const MONTH: u32 = 30;

pub const LINTS: &[Lint] = &[
    Lint {
        name: "vantage-not-reached",
        rules: &[32, 38],
        level: Level::Warning,
        line: "A gate waits for a vantage point that has no command",
        why: "A vantage point without `command` has readings in a drill and none in a live run. A gate on its monitor is \
              unknown there for good, and unknown never opens a gate: the plan that was rehearsed stops at this step.",
        wrong: "vantages: {germany: {is: a server in Falkenstein}}\nmonitors:\n  api-germany: {http: \"https://api.example.com/health\", from: germany}\n# ... and a step with\ngate: [{monitor: api-germany, is: healthy}]",
        right: "vantages: {germany: {is: a server in Falkenstein, command: [ssh, -T, probe.example.com, cutover, probe, --agent]}}",
        check: Some(vantage),
    },
    Lint {
        name: "few-vantages",
        rules: &[39],
        level: Level::Warning,
        line: "Downtime is measured from fewer than three places",
        why: "With one vantage point an outage of that place looks like one of the service, and with two nobody can say which of \
              them is right. Three outside the regions of the plan make a quorum.",
        wrong: "availability:\n  service: [users-germany]",
        right: "availability:\n  service: [users-germany, users-france, users-cameroon]    # each `from:` a place of its own",
        check: Some(few_vantages),
    },
    Lint {
        name: "downtime-figure",
        rules: &[26],
        level: Level::Warning,
        line: "A text allows more downtime than the objective leaves in the days of the plan",
        why: "An availability is a share of a time. 99.9 % of a month of 30 days leaves 43.2 minutes, of 21 days 30.24, of \
              three days 4.32. A criterion that carries the figure of a month into a shorter plan is met by a migration that \
              has missed its objective. The budget that `check` prints is computed from `days:` and `availability:`.",
        wrong: "days: 21\nobjectives: {availability: 99.9%, ...}\n# ... and an item\n- 99.9% uptime during migration (less than 43 minutes downtime)",
        right: "- Downtime within the 30 minutes and 14 seconds of 21 days",
        check: Some(downtime_figure),
    },
    Lint {
        name: "day-goes-back",
        rules: &[],
        level: Level::Warning,
        line: "A step runs after one of a later day",
        why: "Steps run in the order of the file, moved only where `needs` asks for it. A step whose day is before that of the \
              step in front of it is late from the beginning, or stands in the wrong place.",
        wrong: "- {id: shift, day: 7, ...}\n- {id: backup, day: 3, ...}",
        right: "- {id: backup, day: 3, ...}\n- {id: shift, day: 7, ...}",
        check: Some(day_goes_back),
    },
    Lint {
        name: "window-off-day",
        rules: &[],
        level: Level::Warning,
        line: "The window of a step is shut on the date of its day",
        why: "Outside its window a step waits, and everything behind it waits as well: a run that begins on another day of the week \
              than the plan has in mind is late by days. It is found by `check PLAN --start DATE`, because only a date tells \
              which day of the week a day of the plan is.",
        wrong: "# cutover check medzen --start 2026-01-07, a Wednesday\n- {id: canary, day: 7, window: Sat-Sun 22:00-04:00 Europe/Berlin, ...}",
        right: "# cutover check medzen --start 2026-01-05: day 7 is a Sunday\n- {id: canary, day: 7, window: Sat-Sun 22:00-04:00 Europe/Berlin, ...}",
        check: None,
    },
    Lint {
        name: "route53-reserve",
        rules: &[6],
        level: Level::Warning,
        line: "Reading alone would use more than half of what Route 53 allows",
        why: "An account may ask Route 53 so often and no more, and everybody in it shares that. While a rollback is on the \
              screen, records are read at full cadence; if that alone takes more than half, the rollback's own calls are \
              throttled when they matter. It is found by counting what watching the plan asks for.",
        wrong: "# dozens of rollbacks that restore records of as many names",
        right: "# one record that carries the traffic, and aliases to it",
        check: None,
    },
    Lint {
        name: "engine-in-region",
        rules: &[37],
        level: Level::Warning,
        line: "The engine would run in a region of the plan",
        why: "What takes the region down takes the engine and its journal with it, in the middle of the rollback out of that \
              region. It is found by asking the machine that `check` and `run` are started on where it is.",
        wrong: "# cutover run medzen, on a server in eu-central-1",
        right: "# cutover run medzen, on a server in a region that the plan does not name",
        check: None,
    },
];

/// Without a command nothing is measured from there, so that in a live run such a gate would stay unknown for good.
fn vantage(of: &Subject<'_>, found: &mut Found) {
    let gates = of.every_step().map(|(step, _)| (&step.gate, of.spot(step).key("gate")));
    let autos = of.plan.rollbacks.iter().map(|rollback| (&rollback.auto, of.places.rollback(&rollback.name).key("when")));
    for (ids, gate) in gates.chain(autos) {
        for ((_, monitor), spot) in of.conditions(ids).zip(gate.items()) {
            let Source::Http(http) = &monitor.source else { continue };
            let reachable = of.plan.vantages.iter().any(|v| v.name == http.from && !v.command.is_empty());
            if http.from != "local" && !reachable {
                let message = format!(
                    "`{}` has no `command`, so a live run has no readings of `{}` and this gate never opens there",
                    http.from, monitor.name
                );
                found.at(spot.key("monitor").value(), message, "say how to reach it, or gate on a monitor with `from: local`");
            }
        }
    }
}

/// Rule 39 asks for three vantage points.
fn few_vantages(of: &Subject<'_>, found: &mut Found) {
    let Some(section) = of.places.section_if_there("availability") else { return };
    let availability = &of.plan.availability;
    let targets = std::iter::once(("the service", &availability.service))
        .chain(availability.regions.iter().map(|(name, probes)| (name.as_str(), probes)));
    for (target, probes) in targets.filter(|t| !t.1.is_empty()) {
        let places: BTreeSet<&str> = (probes.iter().filter_map(|id| of.plan.monitors.get(*id)))
            .filter_map(|monitor| match &monitor.source {
                Source::Http(http) => Some(http.from.as_str()),
                _ => None,
            })
            .collect();
        if places.len() < VANTAGES {
            let message =
                format!("{target} is seen from {} vantage point(s); an outage there looks like one of {target}", places.len());
            found.at(section.value(), message, format!("measure from at least {VANTAGES} places outside the regions"));
        }
    }
}

fn day_goes_back(of: &Subject<'_>, found: &mut Found) {
    let mut previous: Option<&Step> = None;
    for step in &of.plan.steps {
        if let Some(before) = previous.filter(|before| before.day > step.day) {
            let message = format!("`{}` is on day {} and runs after `{}` on day {}", step.id, step.day, before.id, before.day);
            found.at(of.spot(step), message, "change its `day`, its place or what it `needs`");
        }
        previous = Some(step);
    }
}

/// The minutes that a text speaks of, in hundredths.
fn minutes(text: &str) -> Vec<i64> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices("min") {
        let before = text[..at].trim_end_matches([' ', '-', '\u{a0}']);
        let number: String = before.chars().rev().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        let number: String = number.chars().rev().collect();
        let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
        let part: String = format!("{part}00").chars().take(2).collect();
        if let (Ok(whole), Ok(part)) = (whole.parse::<u32>(), part.parse::<u32>()) {
            out.push(i64::from(whole) * 100 + i64::from(part));
        }
    }
    out
}

fn downtime_figure(of: &Subject<'_>, found: &mut Found) {
    // In hundredths of a minute.
    let budget = of.plan.downtime_budget_ms() / 600;
    let month = i64::from(MONTH) * 144_000 * (1_000_000 - of.plan.objectives.availability_ppm) / 1_000_000;
    let criteria = of.plan.about.success.iter().map(|criterion| criterion.title.as_str());
    let criteria = criteria.zip(of.places.section("success").items().map(|spot| spot.key("title")));
    for (text, spot) in of.every_step().flat_map(|(step, _)| of.words(step)).chain(criteria) {
        let lower = text.to_lowercase();
        if !["downtime", "uptime", "availab"].iter().any(|word| lower.contains(word)) {
            continue;
        }
        // Half a minute more is somebody who has rounded.
        if let Some(figure) = minutes(&lower).into_iter().find(|figure| *figure > budget + 50) {
            let whole = |hundredths: i64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
            let of_month = if (figure - month).abs() < 100 { ", and this is the figure of a month" } else { "" };
            let message = format!("the objective leaves {} minutes in {} days{of_month}", whole(budget), of.plan.days);
            found.at(spot, message, "write the figure that `check` prints");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::minutes;

    #[test]
    fn minutes_are_found_in_texts() {
        assert_eq!(minutes("uptime (< 43 minutes downtime)"), [4_300]);
        assert_eq!(minutes("30.24 min, 5-minute windows"), [3_024, 500]);
        assert_eq!(minutes("a few minutes; minimum 3"), [0_i64; 0]);
    }
}
