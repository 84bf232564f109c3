//! Deterministic simulation: random people, faults, crashes and lost leases on a virtual clock, against the run core and
//! the order in which entries become durable and calls are made. What a seed does, it does every time.
//!
//!     cargo test --test simulation                                                    1,000 seeds
//!     CUTOVER_SIM_SEEDS=100000 cargo test --test simulation -- --nocapture            so many
//!     CUTOVER_SIM_SEED=123 cargo test --test simulation one_seed -- --nocapture       one, told in full

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod book;
mod check;
mod dice;
mod gates;
mod ledger;
mod people;
mod process;
mod records;
mod seam;
mod start;
mod story;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::start::Start;
use crate::story::{FAULTS, Report, SHOWN, Story};

/// Seeds in the test command.
const SEEDS: u64 = 1_000;
/// Failures after which no further seed is tried.
const FAILURES: usize = 20;

/// Where stories begin: the small plan from its beginning and from each step, and a few points of the large one.
fn starts() -> &'static [Start] {
    static STARTS: OnceLock<Vec<Start>> = OnceLock::new();
    STARTS.get_or_init(|| [Start::all_of("failover-drill"), Start::all_of("medzen")].concat())
}

/// Where a seed begins: nine out of ten in the small plan.
fn start_of(seed: u64) -> &'static Start {
    let (small, large): (Vec<&Start>, Vec<&Start>) = starts().iter().partition(|s| s.plan.name == "failover-drill");
    let place = usize::try_from(seed / 10).unwrap();
    if seed % 10 == 9 { large[place % large.len()] } else { small[usize::try_from(seed).unwrap() % small.len()] }
}

/// Plays a seed; a promise that is broken, and a panic, are errors.
fn play(seed: u64) -> Result<Report, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let report = Story::new(start_of(seed), seed, false).play()?;
        let faults: u64 = report.faults.values().sum();
        if faults < FAULTS { Err(format!("only {faults} faults")) } else { Ok(report) }
    }));
    played.unwrap_or_else(|panic| Err(format!("panic: {}", panic.downcast_ref::<String>().cloned().unwrap_or_default())))
}

/// What happened last before a promise was broken.
fn told(seed: u64) -> String {
    let mut story = Story::new(start_of(seed), seed, true);
    let played = catch_unwind(AssertUnwindSafe(|| story.play()));
    let trace = story.trace.unwrap_or_default();
    let last = trace[trace.len().saturating_sub(SHOWN)..].join("\n  ");
    let why = played.map_or_else(|_| "panic".into(), |played| played.err().unwrap_or_default());
    format!(
        "seed {seed} ({}):\n  {last}\n  BROKEN: {why}\nagain: CUTOVER_SIM_SEED={seed} cargo test --test simulation one_seed -- --nocapture",
        story.plan.name
    )
}

/// Plays many seeds on all processors and adds up what they did.
fn play_all(seeds: impl Iterator<Item = u64> + Send) -> (Report, BTreeMap<&'static str, u64>, Vec<(u64, String)>) {
    let seeds = std::sync::Mutex::new(seeds);
    let results = std::sync::Mutex::new((Report::default(), BTreeMap::<&'static str, u64>::new(), Vec::new()));
    let failures = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failures.load(Ordering::Relaxed) < FAILURES as u64 {
                    let Some(seed) = seeds.lock().unwrap().next() else { return };
                    let played = play(seed);
                    let mut results = results.lock().unwrap();
                    match played {
                        Ok(report) => {
                            results.0.add(&report);
                            *results.1.entry(report.ended).or_default() += 1;
                        }
                        Err(why) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            results.2.push((seed, why));
                        }
                    }
                }
            });
        }
    });
    results.into_inner().unwrap()
}

#[test]
fn whatever_happens_the_promises_hold() {
    let seeds = std::env::var("CUTOVER_SIM_SEEDS").map_or(SEEDS, |n| n.parse().unwrap());
    let from = std::env::var("CUTOVER_SIM_FROM").map_or(0, |n| n.parse().unwrap());
    let began = Instant::now();
    starts();
    let ready = began.elapsed();
    let (sum, ended, mut failed) = play_all(from..from + seeds);
    let took = began.elapsed().checked_sub(ready).unwrap();
    let each_second = u128::from(seeds) * 1_000 / took.as_millis().max(1);
    println!("{seeds} seeds in {took:.1?}: {each_second} seeds a second ({ready:.1?} to prepare)");
    println!("{} events, {} entries; ended: {ended:?}", sum.events, sum.entries);
    println!("faults: {:#?}\ncounts: {:#?}", sum.faults, sum.counts);
    failed.sort();
    for (seed, why) in &failed {
        println!("seed {seed}: {why}");
    }
    if let Some((seed, _)) = failed.first() {
        panic!("{}", told(*seed));
    }
}

#[test]
fn one_seed() {
    let Ok(seed) = std::env::var("CUTOVER_SIM_SEED") else { return };
    let seed = seed.parse().unwrap();
    let mut story = Story::new(start_of(seed), seed, true);
    let played = story.play();
    for line in story.trace.as_ref().unwrap() {
        println!("{line}");
    }
    println!("{played:#?}");
    played.unwrap();
}

#[test]
fn a_seed_gives_the_same_journal_every_time() {
    for seed in (0..200).step_by(9) {
        let head = |seed| play(seed).map(|report| (report.head, report.events));
        assert_eq!(head(seed), head(seed), "seed {seed}");
    }
    assert_ne!(play(1).unwrap().head, play(6).unwrap().head);
}
