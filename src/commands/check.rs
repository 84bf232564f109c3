//! `cutover check`: every error of a plan, each with its place, and what watching it asks of the cloud.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::json;

use super::{Ends, prove};
use crate::cli::Check;
use crate::exit::{Exit, Failed};
use crate::plan::about::{CostSum, money, percent};
use crate::plan::lint;
use crate::plan::load::{Loaded, Problem};
use crate::plan::window::opening_on;
use crate::plan::{Action, HeartbeatTo, MonitorId, Plan, Quantity, Step, Unit, format_ms};
use crate::run::budget::{Budget, Cadences, budget};
use crate::run::window;

/// Checks a plan, with `--live` against its account too.
///
/// # Errors
/// Exit code 3 with every problem, 7 with credentials of another account.
pub async fn check(args: &Check) -> Ends {
    if let Some(name) = &args.explain {
        return explain(name);
    }
    // The command line asks for a plan where it has no name to explain.
    let path = args.plan.as_deref().unwrap_or_default();
    if args.json {
        let (ok, report) = match crate::builtin::find(path) {
            Ok(loaded) => {
                let budget = budget(&loaded.plan);
                let warnings = warnings(path, args.start, &loaded, &budget).await;
                let proof = if args.live { Some(Box::pin(prove::prove(&loaded.plan)).await?) } else { None };
                let ok = proof.as_ref().is_none_or(prove::Proof::is_good);
                (
                    ok,
                    json!({ "ok": ok, "live": proof.as_ref().map(prove::Proof::json), "plan": loaded.plan.name, "hash": loaded.plan.manifest.hash, "errors": [],
                            "commands": commands(&loaded.plan), "heartbeat": heartbeat(&loaded.plan),
                            "warnings": warnings.iter().map(problem).collect::<Vec<_>>(), "api": api(&budget) }),
                )
            }
            Err(problems) => {
                let (warnings, errors): (Vec<&Problem>, Vec<&Problem>) = problems.0.iter().partition(|p| p.warning);
                let told = |list: Vec<&Problem>| list.into_iter().map(problem).collect::<Vec<_>>();
                (false, json!({ "ok": false, "errors": told(errors), "warnings": told(warnings) }))
            }
        };
        println!("{report:#}");
        return Ok(if ok { Exit::Done } else { Exit::PlanInvalid });
    }
    let loaded = super::load(path)?;
    let budget = budget(&loaded.plan);
    let warnings = warnings(path, args.start, &loaded, &budget).await;
    for warning in &warnings {
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
        warnings.len()
    );
    println!(
        "downtime budget {} over {} days, plan hash {}",
        format_ms(plan.downtime_budget_ms()),
        plan.days,
        plan.manifest.hash.get(..12).unwrap_or_default()
    );
    for line in costs(plan) {
        println!("{line}");
    }
    for line in measured(plan) {
        println!("{line}");
    }
    // A plan is code: what a run starts by itself is shown before.
    for line in what_runs(plan).into_iter().chain(scripts(plan)) {
        println!("{line}");
    }
    println!();
    for line in budget.table() {
        println!("{}", line.trim_end());
    }
    if plan.steps.is_empty() {
        return Err(Failed::new(Exit::PlanInvalid, "the plan has no steps"));
    }
    if args.live {
        let proof = Box::pin(prove::prove(plan)).await?;
        println!();
        for line in proof.table() {
            println!("{}", line.trim_end());
        }
        return Ok(if proof.is_good() { Exit::Done } else { Exit::PlanInvalid });
    }
    Ok(Exit::Done)
}

/// What a month costs before and after, by group, and whether that is within the plan's limit.
fn costs(plan: &Plan) -> Vec<String> {
    let Some(cost) = &plan.about.cost else { return Vec::new() };
    let line = |sum: CostSum| {
        let verdict = if sum.good { "within" } else { "ABOVE" };
        let (before, after) = (money(sum.before), money(sum.after));
        let change = percent(sum.change_ppm);
        let limit = Quantity { micros: cost.limit_ppm, unit: Unit::Share };
        format!("cost of a month, {}: {before} to {after} {}, {change}, {verdict} the limit of {limit}", sum.group, cost.currency)
    };
    cost.sums().into_iter().map(line).collect()
}

/// A problem as JSON; `lint` is the name that `--explain` explains.
fn problem(p: &Problem) -> serde_json::Value {
    let lint = p.message.split_once(": ").and_then(|(name, _)| lint::named(name)).map(|lint| lint.name);
    json!({ "file": p.file, "line": p.line, "column": p.column, "lint": lint, "message": p.message, "help": p.help })
}

/// Explains a lint; without a name, lists all.
fn explain(name: &str) -> Ends {
    if name.is_empty() {
        println!("{}", lint::list());
        return Ok(Exit::Done);
    }
    if let Some(lint) = lint::named(name) {
        println!("{}", lint.explain());
        return Ok(Exit::Done);
    }
    let near = lint::nearest(name).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    Err(Failed::new(Exit::Usage, format!("there is no lint '{name}'{near} (`cutover check --explain` lists all of them)")))
}

/// With what downtime is measured.
fn measured(plan: &Plan) -> Vec<String> {
    let availability = &plan.availability;
    let targets = std::iter::once(("the service", &availability.service))
        .chain(availability.regions.iter().map(|(name, monitors)| (name.as_str(), monitors)));
    let line = |(of, monitors): (&str, &Vec<MonitorId>)| {
        let names: Vec<&str> = monitors.iter().map(|id| plan.monitors[*id].name.as_str()).collect();
        let quorum = availability.quorum_of(names.len());
        format!("downtime of {of}: when {quorum} of {} see it: {}", names.len(), names.join(", "))
    };
    targets.filter(|(_, monitors)| !monitors.is_empty()).map(line).collect()
}

/// What a run starts or calls by itself, a line each.
fn what_runs(plan: &Plan) -> Vec<String> {
    let vantages = commands(plan).into_iter().map(|(vantage, command)| format!("vantage {vantage} runs: {}", command.join(" ")));
    let beat = plan.heartbeat.as_ref().map(|heartbeat| {
        let verb = if matches!(heartbeat.to, HeartbeatTo::Url(_)) { "calls" } else { "runs" };
        format!("heartbeat {verb} every {}: {}", format_ms(heartbeat.every_ms), heartbeat.to.words())
    });
    vantages.chain(beat).collect()
}

/// The steps that run a script, which they do when somebody starts them and has seen it.
fn scripts(plan: &Plan) -> Option<String> {
    let steps = plan.steps.iter().chain(plan.rollbacks.iter().flat_map(|rollback| &rollback.steps));
    let steps = steps.filter(|step| matches!(step.action, Action::Shell(_))).map(|step| step.id.as_str());
    let steps: Vec<&str> = steps.collect();
    (!steps.is_empty()).then(|| format!("{} steps run a script here when they are started: {}", steps.len(), steps.join(", ")))
}

/// The programs that a run of a plan starts by itself, a line each.
#[must_use]
pub fn programs(plan: &Plan) -> Vec<String> {
    let starts = |line: &String| !line.starts_with("heartbeat calls ");
    what_runs(plan).into_iter().filter(starts).collect()
}

/// The heartbeat as JSON.
fn heartbeat(plan: &Plan) -> Option<serde_json::Value> {
    let heartbeat = plan.heartbeat.as_ref()?;
    let (key, to) = match &heartbeat.to {
        HeartbeatTo::Url(url) => ("url", json!(url)),
        HeartbeatTo::Command(command) => ("command", json!(command)),
    };
    Some(json!({ key: to, "every_ms": heartbeat.every_ms }))
}

/// The commands of the vantage points.
fn commands(plan: &Plan) -> BTreeMap<&str, &[String]> {
    let commands = plan.vantages.iter().filter(|vantage| !vantage.command.is_empty());
    commands.map(|vantage| (vantage.name.as_str(), vantage.command.as_slice())).collect()
}

/// The steps whose windows do not open on their day, when day 1 is this date.
fn off_days(plan: &Plan, start: Date) -> Vec<String> {
    let zone = plan.zone();
    let off = |step: &Step| {
        let date = start.checked_add(i64::from(step.day.saturating_sub(1)).days()).ok()?;
        let shut = !step.windows.is_empty() && opening_on(&step.windows, &zone, date).is_none();
        let (day, text) = (date.strftime("%a %Y-%m-%d"), window::text(&step.windows));
        shut.then(|| format!("window-off-day: `{}` is on day {}, {day}, and its window {text} is shut then", step.id, step.day))
    };
    plan.steps.iter().filter_map(off).collect()
}

/// What looks wrong in the plan, in what watching it would ask for, and in where that would be done.
async fn warnings(path: &str, start: Option<Date>, loaded: &Loaded, budget: &Budget) -> Vec<Problem> {
    let of_plan = |why: String| {
        let mut problem = Problem::of_file(path, why);
        problem.warning = true;
        problem
    };
    let reserve = budget.route53_warning().map(of_plan);
    let place = super::place::warning(&loaded.plan).await.map(of_plan);
    let off_days = start.map(|start| off_days(&loaded.plan, start)).unwrap_or_default();
    loaded.warnings.iter().cloned().chain(off_days.into_iter().map(of_plan)).chain(reserve).chain(place).collect()
}

/// The budget as JSON. Everything is counted per day, in whole numbers: at idle cadence once in five minutes is 288.
fn api(budget: &Budget) -> serde_json::Value {
    let both = |number: Cadences| json!({ "idle": number.idle, "full": number.full });
    let calls = budget.lines.iter().map(|line| {
        json!({ "region": line.region, "service": line.service, "operation": line.operation, "per_day": both(line.per_day) })
    });
    json!({
        "calls": calls.collect::<Vec<_>>(),
        "metrics_per_day": both(budget.metrics_per_day),
        "microdollars_per_day": both(budget.microdollars_per_day()),
        "list_metrics_per_day_at_most": budget.listings_per_day,
        "describe_stack_events_per_day_of_a_moving_stack": budget.stack_events_per_day,
        "days": budget.days,
        "microdollars": both(budget.microdollars()),
        "route53_peak_per_minute": budget.route53_peak_per_minute,
    })
}
