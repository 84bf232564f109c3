//! DNS monitors in a drill: some of the users' resolvers, and the zone's own servers.

use cutover::cloud::ServerAnswer;
use cutover::plan::{DnsServer, DnsSource, DnsTarget, DnsType, ZoneServers};

use super::*;

const NAMES: usize = USERS + 1;

fn dns(name: &str, resolvers: usize) -> Source {
    let server = |number: usize| DnsServer { name: format!("resolver-{number}"), address: "192.0.2.53:53".parse().unwrap() };
    Source::Dns(DnsSource {
        name: name.into(),
        kind: DnsType::A,
        resolvers: (0..resolvers).map(server).collect(),
        zone_servers: ZoneServers::Found,
        leads_to: vec![
            (IRELAND.into(), vec![DnsTarget::Address("192.0.2.1".parse().unwrap())]),
            (FRANKFURT.into(), vec![DnsTarget::Address("192.0.2.2".parse().unwrap())]),
        ],
        toward: FRANKFURT.into(),
        timeout_ms: 2_000,
    })
}

fn sim(name: &str, resolvers: usize) -> Sim {
    let records = vec![record("ireland", 100, 60), record("frankfurt", 0, 60)];
    Sim::new(plan_of(records, |plan| plan.monitors.push(monitor("names", None, dns(name, resolvers)))), Vec::new())
}

fn servers(sim: &mut Sim, at: i64) -> Vec<ServerAnswer> {
    match sim.value(at, NAMES) {
        Value::Servers(servers) => servers,
        other => panic!("{other:?}"),
    }
}

fn in_frankfurt(servers: &[ServerAnswer], zone: bool) -> usize {
    servers.iter().filter(|s| s.zone == zone && s.region.as_deref() == Some(FRANKFURT)).count()
}

#[test]
fn rule_7_the_zone_moves_at_once_and_a_resolver_when_what_it_remembers_runs_out() {
    let mut sim = sim(API, 40);
    let before = servers(&mut sim, 590_000);
    assert_eq!((before.len(), in_frankfurt(&before, false), in_frankfurt(&before, true)), (44, 0, 0));
    assert!(before.iter().all(|s| s.answer.as_deref() == Some("192.0.2.1")), "{before:?}");
    assert!(before.iter().filter(|s| s.zone).all(|s| s.ttl_s == Some(60)));
    assert!(before.iter().all(|s| (1..=60).contains(&s.ttl_s.unwrap())));

    let id = sim.shift(600_000, (100, 0), (0, 100)).unwrap().id;
    let synced = (600_000..).step_by(500).find(|at| sim.in_sync(*at, &id)).unwrap();
    let now = servers(&mut sim, synced + 500);
    assert_eq!(in_frankfurt(&now, true), 4, "the zone's servers have it when it is in sync");
    assert!(in_frankfurt(&now, false) < 20, "most of them remember");
    // Every resolver forgets within the second in which the TTL that it told ends, and not before.
    for (number, server) in now.iter().enumerate().filter(|(_, s)| !s.zone && s.region.as_deref() == Some(IRELAND)) {
        let left = i64::from(server.ttl_s.unwrap()) * 1_000;
        assert_eq!(servers(&mut sim, synced + 500 + left - 1_001)[number].region.as_deref(), Some(IRELAND), "{server:?}");
        assert_eq!(servers(&mut sim, synced + 500 + left)[number].region.as_deref(), Some(FRANKFURT), "{server:?}");
    }
    assert_eq!(in_frankfurt(&servers(&mut sim, synced + 61_000), false), 40);
}

#[test]
fn the_named_resolvers_are_a_fair_sample_of_those_of_the_users() {
    let mut sim = sim(API, 50);
    sim.shift(600_000, (100, 0), (50, 50)).unwrap();
    for minute in [11, 12, 13, 30] {
        let (at, mut moved) = (minute * 60_000, 0);
        for second in 0..60 {
            moved += in_frankfurt(&servers(&mut sim, at + second * 1_000), false);
        }
        let (sample, all) = (i64::try_from(moved).unwrap() * 100 / (50 * 60), sim.in_frankfurt(at));
        assert!((sample - all).abs() <= 20, "minute {minute}: {sample} of the sample, {all} of all");
    }
}

#[test]
fn the_same_seed_gives_the_same_answers_and_one_name_is_one_resolver() {
    let (mut one, mut other, mut fewer) = (sim(API, 40), sim(API, 40), sim(API, 5));
    for sim in [&mut one, &mut other, &mut fewer] {
        sim.shift(600_000, (100, 0), (50, 50)).unwrap();
    }
    for at in (590_000..900_000).step_by(7_000) {
        let all = servers(&mut one, at);
        assert_eq!(all, servers(&mut other, at));
        assert_eq!(all[..5], servers(&mut fewer, at)[..5]);
    }
}

#[test]
fn another_name_is_not_known_here_and_says_so() {
    let mut sim = sim("www.example.com", 4);
    assert!(matches!(sim.value(1_000, NAMES), Value::Missing(why) if why.contains("the name that carries the traffic")));
}
