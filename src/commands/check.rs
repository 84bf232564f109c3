//! `cutover check`: every error of a plan, each with its place.

use std::collections::BTreeMap;

use serde_json::json;

use super::Ends;
use crate::cli::Check;
use crate::exit::{Exit, Failed};
use crate::plan::load::Problem;
use crate::plan::{Plan, format_ms};

/// Checks a plan.
///
/// # Errors
/// Exit code 3 with every problem.
pub fn check(args: &Check) -> Ends {
    let problem =
        |p: &Problem| json!({ "file": p.file, "line": p.line, "column": p.column, "message": p.message, "help": p.help });
    if args.json {
        let (ok, report) = match crate::builtin::find(&args.plan) {
            Ok(loaded) => (
                true,
                json!({ "ok": true, "plan": loaded.plan.name, "hash": loaded.plan.manifest.hash, "errors": [],
                        "commands": commands(&loaded.plan),
                        "warnings": loaded.warnings.iter().map(problem).collect::<Vec<_>>() }),
            ),
            Err(problems) => {
                (false, json!({ "ok": false, "errors": problems.0.iter().map(problem).collect::<Vec<_>>(), "warnings": [] }))
            }
        };
        println!("{report:#}");
        return Ok(if ok { Exit::Done } else { Exit::PlanInvalid });
    }
    let loaded = super::load(&args.plan)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {}:{}:{}: {}", warning.file, warning.line, warning.column, warning.message);
    }
    let plan = &loaded.plan;
    println!(
        "{}: ok. {} phases, {} steps over {} days, {} monitors, {} rollbacks, {} scenarios, {} warning(s)",
        plan.name,
        plan.phases.len(),
        plan.steps.len(),
        plan.days,
        plan.monitors.len(),
        plan.rollbacks.len(),
        loaded.scenarios.len(),
        loaded.warnings.len()
    );
    println!(
        "downtime budget {} over {} days, plan hash {}",
        format_ms(plan.downtime_budget_ms()),
        plan.days,
        plan.manifest.hash.get(..12).unwrap_or_default()
    );
    // A plan is code: what a run starts by itself is shown before.
    for (vantage, command) in commands(plan) {
        println!("vantage {vantage} runs: {}", command.join(" "));
    }
    if plan.steps.is_empty() {
        return Err(Failed::new(Exit::PlanInvalid, "the plan has no steps"));
    }
    Ok(Exit::Done)
}

/// The commands that a run starts by itself, by vantage point.
fn commands(plan: &Plan) -> BTreeMap<&str, &[String]> {
    let commands = plan.vantages.iter().filter(|vantage| !vantage.command.is_empty());
    commands.map(|vantage| (vantage.name.as_str(), vantage.command.as_slice())).collect()
}
