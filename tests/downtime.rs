//! The error budget (rule 39): what is certain, what is possible, what nobody measured, and whose it is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::sync::Arc;

use cutover::cloud::{Answer, Query, Reading, Value};
use cutover::plan::{Availability, Connection, Family, HttpSource, Measure, Monitor, Plan, Protocol, Source, Traffic, Unit};
use cutover::run::core::Core;
use cutover::run::downtime::{Down, Downtime};
use cutover::run::entry::Entry;
use cutover::run::event::Event;
use cutover::run::minute::{Gathering, Minute};
use cutover::run::span::length;
use cutover::run::view::availability::availability;
use proptest::prelude::*;
use support::{metric, monitor, plan};

#[path = "support/plan.rs"]
mod support;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60_000;
/// Begins in the middle of a minute, because runs do.
const BEGAN: i64 = 1_800_000_017_000;

fn probe(name: &str) -> Monitor {
    let source = Source::Http(HttpSource {
        url: "https://api.example.com/".into(),
        connect_to: None,
        status: 200,
        timeout_ms: 5_000,
        measure: Measure::Total,
        from: name.into(),
        connection: Connection::Fresh,
        protocol: Protocol::Any,
        family: Family::Any,
    });
    Monitor { every_ms: 5_000, ..monitor(name, source) }
}

/// Three vantage points see the service (0, 1, 2) and Frankfurt (3, 4, 5); requests are counted in Frankfurt (6) and in
/// Ireland (7).
fn three() -> Plan {
    let counts = |name: &str| {
        let Source::Metric(source) = metric("N", "Requests", name, 1_000_000, true) else { unreachable!() };
        monitor(name, Source::Metric(cutover::plan::MetricSource { unit: Unit::Count, ..source }))
    };
    let probes = ["a", "b", "c", "fa", "fb", "fc"].map(probe);
    let mut plan = plan(probes.into_iter().chain(["frankfurt", "ireland"].map(counts)).collect());
    plan.traffic = Some(Traffic {
        zone: "Z".into(),
        record: "api.example.com".into(),
        kind: "A".into(),
        targets: Vec::new(),
        seen: vec![("eu-central-1".into(), 6), ("eu-west-1".into(), 7)],
        service: Some(0),
    });
    plan.availability =
        Availability { quorum: None, burnt_ms: 0, service: vec![0, 1, 2], regions: vec![("eu-central-1".into(), vec![3, 4, 5])] };
    plan
}

/// What a probe saw: seconds since the run began, and whether it was answered.
type Seen = Vec<(i64, bool)>;

/// A sample every so many seconds for so long, good but where `bad` says otherwise.
fn every(seconds: i64, until: i64, bad: impl Fn(i64) -> bool) -> Seen {
    (0..until).step_by(usize::try_from(seconds).unwrap()).map(|at| (at, !bad(at))).collect()
}

fn minutes(seen: &Seen) -> Vec<Minute> {
    let mut gathering = Gathering::default();
    let mut out: Vec<Minute> =
        seen.iter().filter_map(|(at, good)| gathering.add(BEGAN + at * SECOND, good.then_some(20_000))).collect();
    out.extend(gathering.end_before(i64::MAX, 0));
    out
}

/// The minutes of all monitors as they come, and the state after them and after each minute in between.
fn run(plan: &Plan, seen: &[(usize, Seen)], until: i64) -> (Down, Vec<Down>) {
    let mut downtime = Downtime::new(plan);
    downtime.begin(BEGAN);
    let mut all: Vec<(i64, usize, Minute)> = Vec::new();
    for (monitor, seen) in seen {
        all.extend(minutes(seen).into_iter().map(|minute| (minute.begins + 2 * MINUTE, *monitor, minute)));
    }
    all.sort_by_key(|(at, monitor, _)| (*at, *monitor));
    for (at, monitor, minute) in all {
        downtime.pass(at);
        downtime.minute(monitor, &minute);
    }
    downtime.pass(BEGAN + until * SECOND);
    downtime.down().clone()
}

fn bounds(down: &Down) -> (i64, i64, i64) {
    (length(&down.certain) / SECOND, length(&down.possible) / SECOND, length(&down.unmeasured) / SECOND)
}

fn service(seen: &[Seen], until: i64) -> (i64, i64, i64) {
    let seen: Vec<(usize, Seen)> = seen.iter().cloned().enumerate().collect();
    bounds(&run(&three(), &seen, until).0)
}

#[test]
fn an_outage_lies_between_first_and_last_failure_and_the_good_samples_around_them() {
    let bad = |at: i64| (600..=780).contains(&at);
    let three = [every(5, 1_800, bad), every(5, 1_800, bad), every(5, 1_800, bad)];
    assert_eq!(service(&three, 1_800), (180, 190, 0));
    // Seen once a minute the bounds lie further apart, and the truth is still between them.
    let three = [every(60, 1_800, bad), every(60, 1_800, bad), every(60, 1_800, bad)];
    assert_eq!(service(&three, 1_800), (180, 300, 0));
    // What has not ended may be still going on.
    let bad = |at: i64| at >= 600;
    let three = [every(5, 900, bad), every(5, 900, bad), every(5, 900, bad)];
    let (certain, possible, unmeasured) = service(&three, 900);
    assert!(certain == 295 && possible >= 305 && unmeasured == 0, "{certain} to {possible}, {unmeasured}");
}

#[test]
fn it_takes_a_quorum() {
    let (good, bad) = (every(5, 1_800, |_| false), every(5, 1_800, |at| (600..=780).contains(&at)));
    assert_eq!(service(&[bad.clone(), good.clone(), good.clone()], 1_800), (0, 0, 0));
    assert_eq!(service(&[bad.clone(), bad.clone(), good], 1_800), (180, 190, 0));
    // Three that see different parts of it agree on what two of them see.
    let later = every(5, 1_800, |at| (700..=900).contains(&at));
    assert_eq!(service(&[bad.clone(), later, every(5, 1_800, |_| false)], 1_800), (80, 90, 0));
}

#[test]
fn what_is_not_measured_may_have_been_down() {
    let good = every(5, 3_600, |_| false);
    let gap: Seen = good.iter().copied().filter(|(at, _)| !(600..1_200).contains(at)).collect();
    assert_eq!(service(&[gap.clone(), good.clone(), good.clone()], 3_600), (0, 0, 0), "two of three are a quorum");
    assert_eq!(service(&[gap.clone(), gap.clone(), good.clone()], 3_600), (0, 605, 605));
    // Nobody has answered since a time, or ever.
    let ended: Seen = good.iter().copied().filter(|(at, _)| *at <= 1_800).collect();
    assert_eq!(service(&[ended.clone(), ended.clone(), ended], 3_600), (0, 1_620, 1_620), "as far as is waited for nobody");
    assert_eq!(service(&[vec![], vec![], vec![]], 3_600).0, 0);
    assert!(service(&[vec![], vec![], vec![]], 3_600).1 >= 3_420);
    // A vantage point that is down and one that fails: it may be, but nobody knows.
    let bad = every(5, 3_600, |at| (700..=800).contains(&at));
    assert_eq!(service(&[gap, bad, good], 3_600), (0, 110, 0));
}

#[test]
fn a_minute_in_which_one_request_of_twenty_fails_is_bad_from_the_first_to_the_last() {
    let bad = |at: i64| (600..1_200).contains(&at) && at % 20 == 0;
    let three = [every(1, 1_800, bad), every(1, 1_800, bad), every(1, 1_800, bad)];
    assert_eq!(service(&three, 1_800), (580, 582, 0));
    // One of a thousand and a bit is what the objective allows.
    let mut plan = three_with_availability(950_000);
    plan.traffic = None;
    let seen: Vec<(usize, Seen)> = three.into_iter().enumerate().collect();
    assert_eq!(bounds(&run(&plan, &seen, 1_800).0), (0, 0, 0));
}

fn three_with_availability(ppm: i64) -> Plan {
    let mut plan = three();
    plan.objectives.availability_ppm = ppm;
    plan
}

/// Requests in Frankfurt and in Ireland in each minute.
fn counted(frankfurt: i64, ireland: i64, minutes: i64) -> [(usize, Vec<Minute>); 2] {
    [(6, frankfurt), (7, ireland)].map(|(monitor, count)| {
        let mut gathering = Gathering::default();
        let mut out: Vec<Minute> =
            (0..minutes).filter_map(|m| gathering.add(BEGAN + m * MINUTE, Some(count * 1_000_000))).collect();
        out.extend(gathering.end_before(i64::MAX, 0));
        (monitor, out)
    })
}

#[test]
fn a_region_that_fails_is_the_services_downtime_as_far_as_it_has_traffic() {
    let good = every(5, 1_800, |_| false);
    let bad = every(5, 1_800, |at| (600..=780).contains(&at));
    for (share, wanted) in [(0, (0, 0, 0)), (1, (0, 0, 0)), (100, (180, 190, 0)), (1_000, (180, 190, 0))] {
        let plan = three();
        let mut downtime = Downtime::new(&plan);
        downtime.begin(BEGAN);
        let probes = [&good, &good, &good, &bad, &bad, &bad].into_iter().enumerate().map(|(id, seen)| (id, minutes(seen)));
        // One request in two thousand is less than the objective allows to fail.
        let mut all: Vec<(usize, Minute)> = (probes.chain(counted(share, 2_000 - share, 30)))
            .flat_map(|(id, minutes)| minutes.into_iter().map(move |minute| (id, minute)))
            .collect();
        all.sort_by_key(|(id, minute)| (minute.begins, std::cmp::Reverse(*id)));
        for (id, minute) in &all {
            downtime.minute(*id, minute);
        }
        downtime.pass(BEGAN + 1_800 * SECOND);
        let (service, regions) = downtime.down();
        let exact = bounds(service);
        assert!((exact.0 - wanted.0).abs() <= 1 && (exact.1 - wanted.1).abs() <= 1, "{share} of 2,000: {exact:?}");
        assert_eq!(bounds(&regions[0]), (180, 190, 0), "the region is down whoever uses it");
    }
}

#[test]
fn a_region_counts_from_its_first_good_sample() {
    let plan = three();
    let dead = every(5, 1_800, |at| at < 900 || (1_200..=1_260).contains(&at));
    let seen: Vec<(usize, Seen)> = (3..6).map(|id| (id, dead.clone())).collect();
    let (_, regions) = run(&plan, &seen, 1_800);
    assert_eq!(bounds(&regions[0]), (60, 70, 0));
}

#[test]
fn what_was_counted_before_a_restart_is_counted_again_and_the_time_between_is_not_measured() {
    let plan = three();
    let bad = |at: i64| (600..=780).contains(&at);
    let whole = every(5, 3_600, bad);
    let seen: Seen = whole.iter().copied().filter(|(at, _)| !(1_200..1_500).contains(at)).collect();
    let mut downtime = Downtime::new(&plan);
    downtime.begin(BEGAN);
    // Read back monitor by monitor, and some of it twice.
    for id in 0..3 {
        for minute in minutes(&seen).iter().chain(&minutes(&seen)[..20]) {
            downtime.minute(id, minute);
        }
    }
    downtime.pass(BEGAN + 3_600 * SECOND);
    let again = downtime.down().clone();
    assert_eq!(again, run(&plan, &[(0, seen.clone()), (1, seen.clone()), (2, seen)], 3_600));
    assert_eq!(bounds(&again.0), (180, 190 + 305, 305));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_truth_lies_between_the_bounds(
        // Longer than any interval: what happens between two good samples is seen by nobody.
        outages in prop::collection::vec((0_i64..20, 61_i64..400), 0..4),
        steps in prop::collection::vec(1_i64..60, 3),
        offsets in prop::collection::vec(0_i64..60, 3),
        holes in prop::collection::vec((0_usize..3, 0_i64..7_000, 1_i64..1_000), 0..4),
    ) {
        // Far enough apart that no bad minute is part of two of them.
        let mut down: Vec<(i64, i64)> = Vec::new();
        for (pause, length) in outages {
            let from = down.last().map_or(300, |d| d.1 + 240) + pause * 60;
            down.push((from, from + length));
        }
        let until = 9_000;
        let truth: i64 = down.iter().map(|d| d.1 - d.0).sum();
        let bad = |at: i64| down.iter().any(|d| d.0 <= at && at < d.1);
        let seen: Vec<Seen> = (0..3).map(|v| {
            (offsets[v]..until).step_by(usize::try_from(steps[v]).unwrap())
                .filter(|at| !holes.iter().any(|(of, from, length)| *of == v && (*from..from + length).contains(at)))
                .map(|at| (at, !bad(at)))
                .collect()
        }).collect();
        let (certain, possible, _) = service(&seen, until);
        prop_assert!(certain <= truth && truth <= possible, "{} <= {} <= {}, {:?}", certain, truth, possible, down);
    }
}

/// What was recorded: when nothing listened, and what three agents saw of it.
fn recorded() -> (i64, i64, Vec<(i64, usize, bool)>) {
    let text = std::fs::read_to_string("tests/recorded/outage.jsonl").unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let truth = lines.next().unwrap();
    let number = |value: &serde_json::Value, key: &str| value[key].as_i64().unwrap();
    let seen = lines
        .map(|line| (number(&line, "at"), usize::try_from(number(&line, "vantage")).unwrap(), line["good"].as_bool().unwrap()));
    (number(&truth, "down"), number(&truth, "up"), seen.collect())
}

#[test]
fn a_recorded_outage_is_told_to_the_second() {
    let (down, up, seen) = recorded();
    // As a run gets them: readings that answer its polls, through the core, to what a screen shows.
    let mut plan = plan(["a", "b", "c"].map(probe).into());
    plan.availability.service = vec![0, 1, 2];
    let mut core = Core::new(Arc::new(plan));
    let opened = Entry::Genesis {
        plan: String::new(),
        plan_hash: String::new(),
        scenario: None,
        scenario_hash: None,
        seed: None,
        rules: None,
        token_base: String::new(),
    };
    core.replay(seen[0].0, "test", &opened);
    for (at, vantage, good) in &seen {
        let value = if *good { Value::Number(1_000) } else { Value::Failed("refused".into()) };
        let readings = vec![(*vantage, Reading { at: *at, value })];
        let _ = core.handle(*at, Event::Answer { query: Query::Poll(*vantage), result: Ok(Answer::Readings(readings)) });
    }
    let end = seen.last().unwrap().0;
    let _ = core.handle(end + 150_000, Event::Tick);
    let service = availability(core.ctx(end + 150_000)).service;
    let truth = up - down;
    assert!(service.certain_ms <= truth && truth <= service.possible_ms, "{truth} in {service:?}");
    // Two intervals apart, as the vantage points ask once a second; the truth is in the middle to the second.
    assert!(service.possible_ms - service.certain_ms <= 2_100, "{service:?}");
    assert!((service.possible_ms.midpoint(service.certain_ms) - truth).abs() < 500, "{truth} in {service:?}");
    assert_eq!(service.unmeasured_ms, 0);
}
