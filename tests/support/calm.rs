//! A built-in plan in calm weather, and what a run of it is called.

use cutover::builtin;
use cutover::journal::Meta;
use cutover::plan::Scenario;
use cutover::plan::load::Loaded;

/// The seed of these drills.
pub const SEED: u64 = 3;

/// The plan, its calm scenario, and the description of a drill of it.
pub fn calm(plan: &str) -> (Loaded, Scenario, Meta) {
    let loaded = builtin::find(plan).unwrap();
    let scenario = loaded.scenarios.iter().find(|s| s.name == "calm").unwrap().clone();
    let meta = Meta {
        run_id: "TEST".into(),
        plan_name: plan.into(),
        plan_ref: plan.into(),
        plan_hash: loaded.plan.manifest.hash.clone(),
        drill: true,
        scenario: Some("calm".into()),
        seed: Some(SEED),
        day_one: None,
        created_at: 0,
        cutover_version: "test".into(),
        workdir: ".".into(),
    };
    (loaded, scenario, meta)
}
