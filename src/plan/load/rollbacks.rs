//! The named ways to safety.

use std::collections::HashMap;

use super::conditions::{self, Purpose};
use super::context::{Context, Read};
use super::fields::Fields;
use super::node::{At, Node};
use super::problem::show;
use super::{Reader, actions, steps};
use crate::plan::{Action, MonitorId, Rollback, Source, Step, StepId, Undo};

/// Longest window of a rollback, in milliseconds.
const UNTIL_MS_MAX: i64 = 365 * 86_400_000;

/// Reads `rollbacks:`, whose steps may put back what the plan's steps changed.
pub fn read(r: &mut Reader<'_>, sections: &[&Node], plan_steps: &[Option<Step>]) -> Vec<Rollback> {
    let mut out = Vec::new();
    let mut names: HashMap<String, At> = HashMap::new();
    let mut keys: HashMap<char, String> = HashMap::new();
    for section in sections {
        for (key, node) in r.cx.entries(section).unwrap_or_default() {
            if let Some(first) = names.get(&key.text) {
                r.cx.duplicate(key, *first);
                continue;
            }
            names.insert(key.text.clone(), key.at);
            r.cx.check_name(key.at, &key.text);
            out.extend(rollback(r, &key.text, node, plan_steps, &mut keys));
        }
    }
    out
}

fn rollback(
    r: &mut Reader<'_>,
    name: &str,
    node: &Node,
    plan_steps: &[Option<Step>],
    keys: &mut HashMap<char, String>,
) -> Read<Rollback> {
    let cx = &mut r.cx;
    let mut f = Fields::of(cx, node, format!("the rollback `{}`", show(name)))?;
    let title = f.maybe(cx, "title", Context::words).unwrap_or_else(|| name.to_owned());
    let key = f.maybe(cx, "key", |cx, n| {
        let digit = cx.integer(n, 1, 9)?;
        let key = char::from_digit(u32::try_from(digit).ok()?, 10)?;
        if let Some(other) = keys.insert(key, name.to_owned()) {
            cx.error(n.at, format!("the key `{key}` belongs to the rollback `{}` already", show(&other)));
        }
        Some(key)
    });
    let to = f.need(cx, "to", Context::region);
    let after = f.maybe(cx, "after", Context::step);
    let until_ms = f.maybe(cx, "until", |cx, n| cx.duration_ms_in(n, 1_000, UNTIL_MS_MAX));
    if let Some(at) = f.key_at("until").filter(|_| f.key_at("after").is_none()) {
        cx.error_help(at, "`until` counts from a step, and none is named", Some("add `after:` with the step's id".to_owned()));
    }
    let restores = f.need(cx, "restores", Context::words);
    let expected_ms = f.maybe(cx, "expected", |cx, n| cx.duration_ms_in(n, 1_000, steps::EXPECTED_MS_MAX));
    let replication = f.maybe(cx, "replication", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| metric_monitor(cx, item)).collect::<Vec<_>>())
    });
    let by_itself = f.maybe(cx, "auto", Context::boolean).unwrap_or(false);
    let when = f.maybe(cx, "when", |cx, n| conditions::read_list(cx, n, Purpose::Gate));
    match (by_itself, f.key_at("auto"), f.key_at("when")) {
        (true, Some(at), None) => {
            let help = "add `when:` with the conditions that must all hold".to_owned();
            cx.error_help(at, "when it shall begin by itself is not said", Some(help));
        }
        (false, _, Some(at)) => {
            let help = "add `auto: true`, or remove the conditions".to_owned();
            cx.error_help(at, "only a rollback that begins by itself has conditions", Some(help));
        }
        _ => {}
    }
    let nodes = f.need(cx, "steps", |cx, n| {
        let items = cx.list(n)?;
        if items.is_empty() {
            cx.error(n.at, "a rollback has at least one step");
        }
        Some(items)
    });
    f.finish(cx);
    // The steps of a rollback belong where the step is after which it applies.
    let (phase, day) = after.and_then(|id| plan_steps.get(id)?.as_ref()).map_or((0, 1), |s| (s.phase, s.day));
    let mut ids: HashMap<String, At> = HashMap::new();
    let mut out = Vec::new();
    for node in nodes.unwrap_or_default() {
        out.extend(step(r, name, node, plan_steps, &mut ids, (phase, day)));
    }
    // Saturation is out of reach of any file that is small enough to be read.
    let sum_ms = out.iter().fold(0i64, |sum, s: &Step| sum.saturating_add(s.expected_ms));
    let expected_ms = expected_ms.unwrap_or(sum_ms);
    Some(Rollback {
        name: name.to_owned(),
        title,
        key,
        to: to?,
        after,
        until_ms,
        restores: restores?,
        expected_ms,
        replication: replication.unwrap_or_default(),
        auto: when.unwrap_or_default(),
        steps: out,
    })
}

/// A monitor that reads a metric.
fn metric_monitor(cx: &mut Context, node: &Node) -> Read<MonitorId> {
    let id = cx.monitor(node)?;
    if let Some(Some(monitor)) = cx.monitors.get(id)
        && !matches!(monitor.source, Source::Metric(_))
    {
        let help = "name a monitor with `s3-replication` or `metric`".to_owned();
        cx.error_help(node.at, format!("`{}` does not read a replication", show(&monitor.name.clone())), Some(help));
    }
    Some(id)
}

fn step(
    r: &mut Reader<'_>,
    rollback: &str,
    node: &Node,
    plan_steps: &[Option<Step>],
    ids: &mut HashMap<String, At>,
    (phase, day): (usize, u32),
) -> Read<Step> {
    let mut f = Fields::of(&mut r.cx, node, format!("a step of the rollback `{}`", show(rollback)))?;
    let mut common = steps::common(r, &mut f, &actions::ROLLBACK_ACTIONS);
    let cx = &mut r.cx;
    f.refuse(cx, "needs", "the steps of a rollback run in file order");
    f.refuse(cx, "undo", "a rollback is not undone, the plan goes on from where it led");
    f.refuse(cx, "day", "a rollback runs when it is called for");
    if common.kind.is_some_and(|(kind, _)| kind == "restore") {
        common.action = f.maybe(cx, "restore", |cx, n| restore(cx, n, plan_steps));
    }
    let id_at = f.key_at("id");
    f.finish(cx);
    if let (Some(id), Some(at)) = (&mut common.id, id_at) {
        if let Some(first) = ids.insert(id.clone(), at) {
            cx.error(at, format!("there is a step `{id}` in this rollback already, in {}", cx.line_of(first, at)));
        }
        // Other rollbacks may have a step of the same name; in the journal every step has a name of its own.
        *id = format!("{rollback}/{id}");
    }
    common.into_step(phase, day, Vec::new(), Undo::Nothing)
}

fn restore(cx: &mut Context, node: &Node, plan_steps: &[Option<Step>]) -> Read<Action> {
    let items = cx.list(node)?;
    if items.is_empty() {
        cx.error(node.at, "which steps to restore is not said");
    }
    let mut steps: Vec<StepId> = Vec::new();
    for item in items {
        let Some(id) = cx.step(item) else { continue };
        if let Some(Some(step)) = plan_steps.get(id)
            && !step.action.can_be_put_back()
        {
            let help = "what a `shift`, `records`, `health-check` or `edit` step changed can be put back".to_owned();
            cx.error_help(item.at, format!("`{}` changes nothing that could be put back", step.id), Some(help));
        }
        steps.push(id);
    }
    let edits = |id: &&StepId| matches!(plan_steps.get(**id), Some(Some(step)) if matches!(step.action, Action::Edit(_)));
    let files = steps.iter().filter(edits).count();
    if files > 0 && files < steps.len() {
        let help = "put the edits back in a step of their own, behind the one that moves traffic".to_owned();
        cx.error_help(node.at, "a file that somebody has changed would stand in the way of the traffic", Some(help));
    }
    steps.sort_unstable();
    steps.dedup();
    Some(Action::Restore { steps })
}
