//! `cutover check`: every error of a plan, each with its place.

use serde_json::json;

use super::Ends;
use crate::cli::Check;
use crate::exit::{Exit, Failed};
use crate::plan::format_ms;
use crate::plan::load::Problem;

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
    if plan.steps.is_empty() {
        return Err(Failed::new(Exit::PlanInvalid, "the plan has no steps"));
    }
    Ok(Exit::Done)
}
