//! Where stories begin: at the beginning of a plan, or where a run stands in which nothing went wrong so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use cutover::builtin;
use cutover::cloud::Millis;
use cutover::drill::EPOCH;
use cutover::plan::{Plan, Scenario};
use cutover::sim::{CallRecord, World};

use crate::ledger::Ledger;
use crate::records::Records;
use crate::story::Story;

/// A step that is not done after this long never will be, in milliseconds.
const PATIENCE_MS: i64 = 8 * 86_400_000;

/// A place to begin at.
#[derive(Debug, Clone)]
pub struct Start {
    pub plan: Arc<Plan>,
    /// The seed of the world that was here before the story; a story that begins at the beginning chooses its own.
    pub seed: Option<u64>,
    pub now: Millis,
    pub world_began: Millis,
    pub ledger: Ledger,
    pub records: Records,
    pub applied: BTreeMap<String, Vec<Millis>>,
    calls: Vec<CallRecord>,
}

impl Start {
    /// The beginning of a built-in plan.
    pub fn of(name: &str) -> Start {
        let plan = Arc::new(builtin::find(name).unwrap().plan);
        Start {
            seed: None,
            now: EPOCH,
            world_began: EPOCH,
            ledger: Ledger::new(&plan),
            records: Records::new(&plan),
            applied: BTreeMap::new(),
            calls: Vec::new(),
            plan,
        }
    }

    /// The beginning, and every point of a quiet run at which a step is next.
    pub fn all_of(name: &str) -> Vec<Start> {
        let mut starts = vec![Start::of(name)];
        let mut story = Story::quiet(&starts[0]);
        let mut reached = 0;
        // Where the simulated cloud lacks something that a plan needs, stories begin before it.
        let mut since = story.now;
        while story.ledger.book.finished.is_none() && story.count_of("steps failed") == 0 && story.now - since < PATIENCE_MS {
            story.step().unwrap_or_else(|why| panic!("{name}, where nothing goes wrong: {why}"));
            let next = story.ledger.run.next_step().unwrap_or(story.plan.steps.len());
            if next > reached && next < story.plan.steps.len() && story.ledger.run.job.is_none() {
                (reached, since) = (next, story.now);
                starts.push(Start {
                    plan: Arc::clone(&story.plan),
                    seed: Some(1),
                    now: story.now,
                    world_began: EPOCH,
                    ledger: story.ledger.clone(),
                    records: story.records.clone(),
                    applied: story.applied.clone(),
                    calls: story.world.calls().to_vec(),
                });
            }
        }
        starts
    }

    /// The world as it is here, with faults to come.
    pub fn world(&self, scenario: &Scenario, seed: u64) -> World {
        World::restore(Arc::clone(&self.plan), scenario, seed, self.world_began, &self.calls).unwrap()
    }
}
