//! From every prefix of the flagship plan before its one-way step, every rollback that applies gives back what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use cutover::drill::operator::Operator;
use prefixes::{applying, once, prefixes, restored};
use support::Stand;

#[path = "support/prefixes.rs"]
mod prefixes;

#[path = "support/stand.rs"]
#[allow(dead_code, reason = "every test file uses its own part of this")]
mod support;

const DAY: i64 = 86_400_000;

/// Chance for crash points; the seed is the test's, so that a failure can be repeated.
struct Points(u64);

impl Points {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Lets a rollback that was confirmed run to its end.
fn finish(stand: &mut Stand, name: &str, why: &str) {
    let over = |s: &Stand| s.core.run.rollback.as_ref().is_some_and(|r| r.done.is_some());
    let limit = stand.now + DAY;
    stand.drive(&mut Operator::new(9), |s| over(s) || s.now > limit);
    assert!(over(stand), "{why}: {name} did not end: {:#?}", stand.tail());
    // Changes that were under way when it was called may still land.
    stand.run_for(120_000);
}

#[test]
fn every_rollback_gives_back_what_it_says_from_every_entry_before_a_one_way_step() {
    let (promised, prefixes) = prefixes();
    let mut tried = std::collections::BTreeMap::<String, usize>::new();
    for prefix in &prefixes {
        let why = format!("after entry {}: {}", prefix.log.len(), prefix.log.last().unwrap().entry.line());
        for name in applying(prefix) {
            let mut stand = prefix.clone();
            stand.roll_back(&name);
            finish(&mut stand, &name, &why);
            restored(&mut stand, &name, &promised, &format!("{name} {why}"));
            once(&stand, &why);
            *tried.entry(name).or_default() += 1;
        }
    }
    println!("rollbacks from {} prefixes: {tried:?}", prefixes.len());
    for name in ["immediate", "partial", "full", "switch", "forward"] {
        assert!(tried.get(name).is_some_and(|n| *n > 5), "{name} was hardly tried: {tried:?}");
    }
}

#[test]
fn a_crash_at_any_step_of_a_rollback_changes_nothing_of_that() {
    let (promised, prefixes) = prefixes();
    let mut points = Points(7);
    let last = prefixes.len() - 1;
    let mut crashes = 0;
    for (number, prefix) in prefixes.iter().enumerate() {
        // Every point from the last prefix, some from every ninth of the others.
        if number % 9 != 0 && number != last {
            continue;
        }
        for name in applying(prefix) {
            let mut whole = prefix.clone();
            whole.roll_back(&name);
            let begun = whole.log.len();
            finish(&mut whole, &name, "");
            let entries = whole.log.len() - begun;
            let chosen: Vec<usize> =
                if number == last { (0..entries).collect() } else { (0..3).map(|_| points.below(entries)).collect() };
            for point in chosen {
                for swallow in [false, true] {
                    let why = format!("{name} after entry {}, crash at its entry {point}, swallow {swallow}", prefix.log.len());
                    let mut stand = prefix.clone();
                    stand.roll_back(&name);
                    let at = stand.log.len() + point;
                    stand.drive(&mut Operator::new(9), |s| s.log.len() >= at);
                    stand.swallow = swallow;
                    stand.run_for(400);
                    stand.crash();
                    finish(&mut stand, &name, &why);
                    restored(&mut stand, &name, &promised, &why);
                    once(&stand, &why);
                    crashes += 1;
                }
            }
        }
    }
    println!("{crashes} crashes");
    assert!(crashes > 100, "{crashes}");
}
