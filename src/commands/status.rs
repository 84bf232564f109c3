//! `cutover status`: where a run stands, from its journal and what was kept of its samples.

use std::sync::Arc;

use serde_json::json;

use super::{Ends, journal_failed, log::time};
use crate::cli::Status;
use crate::exit::Exit;
use crate::journal::{Runs, Store};
use crate::live::system_now;
use crate::run::snapshot::Snapshot;
use crate::run::view::{self, Surroundings};
use crate::samples;

/// Prints the state of a run, or the list of runs.
///
/// # Errors
/// Exit code 8 when the journal is damaged, 2 when there is no such run.
pub fn status(args: &Status) -> Ends {
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    let Some(run) = &args.run else { return list(&runs, args.json) };
    let folder = runs.find(Some(run)).map_err(|e| journal_failed(&e))?;
    let snapshot = of_folder(&folder)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&snapshot).unwrap_or_default());
        return Ok(Exit::Done);
    }
    let id = &snapshot.identity;
    println!("{} {} plan {}#{} run {}", if id.drill { "DRILL" } else { "LIVE" }, id.account, id.plan, id.plan_hash, id.run);
    println!("status: {:?}", snapshot.status);
    for step in &snapshot.steps {
        let reason = if step.reason.is_empty() { String::new() } else { format!("  ({})", step.reason) };
        let slip = match step.calendar.slip_days {
            0 => String::new(),
            days => format!("  {days:+} days"),
        };
        println!(
            "  {:<12} day {:>2}  {:<22} {}{slip}{reason}",
            format!("{:?}", step.state).to_lowercase(),
            step.day,
            step.id,
            step.title
        );
    }
    for part in &snapshot.about.parts {
        let over = part.steps.iter().filter(|(_, state)| state.is_over()).count();
        let steps: Vec<&str> = part.steps.iter().map(|(id, _)| id.as_str()).collect();
        println!("  part {:<14} {over:>2} of {:<2} {}  ({})", part.id, part.steps.len(), part.title, steps.join(", "));
    }
    println!("journal: {} entries, head {}", snapshot.ledger.durable, snapshot.ledger.head);
    if snapshot.ledger.spool.entries > 0 {
        println!(
            "spool: {} more, counted above; they join the journal when the run goes on: cutover {} {}",
            snapshot.ledger.spool.entries,
            if id.drill { "drill" } else { "run" },
            id.run
        );
    }
    Ok(Exit::Done)
}

/// The snapshot of a run as its files tell it: nothing is observed, so gates are unknown. The error budget is counted from
/// the samples that were kept; without them it is all unmeasured, and standard error says why. No file is changed.
///
/// # Errors
/// As [`status`].
pub fn of_folder(folder: &std::path::Path) -> Result<Snapshot, crate::exit::Failed> {
    let store = Store::open_read(folder).map_err(|e| journal_failed(&e))?;
    let meta = store.meta().map_err(|e| journal_failed(&e))?;
    let loaded = super::pinned(&meta)?;
    let mut told = super::open::read(Arc::new(loaded.plan), &store)?;
    let newest = told.entries.last();
    let around = Surroundings {
        run: meta.run_id.clone(),
        account: told.core.plan.account.clone(),
        driver: newest.map(|e| e.actor.clone()).unwrap_or_default(),
        epoch: newest.map_or(0, |e| e.epoch),
        drill: meta.drill.then(|| crate::run::snapshot::DrillView { speed: 0, skipping_to: None, faults: Vec::new() }),
        scenario: meta.scenario.clone(),
        seed: meta.seed,
        ledger: told.ledger(),
    };
    // A drill's clock stands still when nobody runs it.
    let now = if meta.drill { told.newest_at().unwrap_or(0) } else { system_now() };
    let names: Vec<String> = told.core.plan.monitors.iter().map(|monitor| monitor.name.clone()).collect();
    let kept = samples::look(folder, &names).unwrap_or_else(|why| {
        eprintln!("warning: the error budget is unknown, samples cannot be read: {why}");
        samples::Kept::default()
    });
    told.core.recall(&kept.minutes, &kept.samples);
    told.core.watch.downtime.pass(now);
    Ok(view::snapshot(&told.core, now, &around))
}

fn list(runs: &Runs, as_json: bool) -> Ends {
    let listing = runs.list().map_err(|e| journal_failed(&e))?;
    let rows: Vec<serde_json::Value> = listing
        .runs
        .iter()
        .map(|run| {
            json!({ "run": run.meta.run_id, "plan": run.meta.plan_name, "drill": run.meta.drill, "scenario": run.meta.scenario,
                    "seed": run.meta.seed, "created_at": run.meta.created_at, "live": run.live, "finished": run.finished(),
                    "entries": run.last.as_ref().map_or(0, |e| e.seq), "folder": run.folder })
        })
        .collect();
    if as_json {
        println!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
    } else if rows.is_empty() {
        println!("no runs in {}", runs.dir().display());
    } else {
        for run in &listing.runs {
            let state = if run.live {
                "going on"
            } else if run.finished() {
                "ended"
            } else {
                "left"
            };
            let kind = if run.meta.drill { "drill" } else { "live" };
            println!("{}  {kind:<5} {:<16} {state:<9} begun {}", run.meta.run_id, run.meta.plan_name, time(run.meta.created_at));
        }
    }
    for damaged in &listing.unreadable {
        eprintln!("warning: {}", damaged.why);
    }
    Ok(Exit::Done)
}
