//! Phases and their steps.

use std::collections::HashMap;

use super::Reader;
use super::actions;
use super::conditions::{self, Purpose};
use super::context::{Context, Read};
use super::fields::Fields;
use super::local;
use super::node::{At, Data, Node};
use super::order;
use super::problem::show;
use super::window;
use crate::plan::{Action, Phase, StandIn, Step, StepId, Undo, Window};

/// What a step should take when the plan does not say, in milliseconds.
pub const EXPECTED_MS: i64 = 300_000;
/// Longest that a step may be expected to take, in milliseconds.
pub const EXPECTED_MS_MAX: i64 = 365 * 86_400_000;
/// Most steps that must be done before one other.
const NEEDS_MAX: usize = 100;

/// A step of the file whose place in the running order is known.
struct Draft<'n> {
    node: &'n Node,
    id: String,
    id_at: At,
    phase: usize,
    first_day: u32,
    last_day: u32,
    /// The windows of its phase.
    windows: Vec<Window>,
}

/// Reads `phases:`. The steps come back in running order; a step that is wrong is missing from them, and
/// keeps its number all the same.
pub fn read(r: &mut Reader<'_>, sections: &[&Node], days: u32) -> (Vec<Phase>, Vec<Option<Step>>) {
    let (phases, drafts) = phases(&mut r.cx, sections, days);
    let needs = needs(&mut r.cx, &drafts);
    let running = running_order(&mut r.cx, &drafts, &needs);
    let mut place = vec![0; drafts.len()];
    for (new, old) in running.iter().enumerate() {
        place[*old] = new;
    }
    // From here on a step's number is its place in the running order.
    for id in r.cx.step_ids.values_mut() {
        *id = place[*id];
    }
    let mut steps: Vec<Option<Step>> = vec![None; drafts.len()];
    for old in running {
        let draft = &drafts[old];
        let step = step(r, draft, place[old], needs[old].iter().map(|(n, _)| place[*n]).collect());
        steps[place[old]] = step;
    }
    (phases, steps)
}

/// The names of the values that each step gives for later steps, by its number; `None` for a step that is wrong.
pub fn given(steps: &[Option<Step>]) -> Vec<Option<Vec<String>>> {
    steps.iter().map(|step| step.as_ref().map(|step| step.action.gives())).collect()
}

/// The phases and the nodes of their steps, in file order. Fills in the steps' ids with file order numbers.
fn phases<'n>(cx: &mut Context, sections: &[&'n Node], days: u32) -> (Vec<Phase>, Vec<Draft<'n>>) {
    let mut phases: Vec<Phase> = Vec::new();
    let mut drafts = Vec::new();
    let mut ids: HashMap<String, At> = HashMap::new();
    let nodes: Vec<&Node> = sections.iter().filter_map(|s| cx.list(s)).flatten().collect();
    for node in nodes {
        let Some(mut f) = Fields::of(cx, node, "the phase") else { continue };
        let id = f.need(cx, "id", |cx, n| Some((n.at, cx.name(n)?)));
        if let Some((at, id)) = &id {
            f.call(format!("the phase `{id}`"));
            if let Some(first) = ids.insert(id.clone(), *at) {
                cx.error(*at, format!("there is a phase `{id}` already, in {}", cx.line_of(first, *at)));
            }
        }
        let title = f.maybe(cx, "title", Context::words);
        // Without its days a phase spans the plan, so that its steps are not reported for being outside.
        let (first_day, last_day) = f.need(cx, "days", |cx, n| day_range(cx, n, days)).unwrap_or((1, days));
        let windows = f.maybe(cx, "window", window::read).unwrap_or_default();
        let steps = f.need(cx, "steps", |cx, n| cx.list(n)).unwrap_or_default();
        f.finish(cx);
        for node in steps {
            let drafted = draft(cx, node, drafts.len());
            if let Some((id_at, id)) = drafted {
                let windows = windows.clone();
                drafts.push(Draft { node, id, id_at, phase: phases.len(), first_day, last_day, windows });
            }
        }
        let id = id.map_or_else(String::new, |(_, id)| id);
        phases.push(Phase { title: title.unwrap_or_else(|| id.clone()), id, first_day, last_day });
    }
    (phases, drafts)
}

/// The id of a step. A step without one is read all the same, for its other errors.
fn draft(cx: &mut Context, node: &Node, number: StepId) -> Option<(At, String)> {
    let Data::Map(entries) = &node.data else { return cx.mismatch(node, "a step (a mapping)") };
    let Some((_, id_node)) = entries.iter().find(|(k, _)| k.text == "id") else { return Some((node.at, String::new())) };
    let Some(id) = single(id_node) else { return Some((id_node.at, String::new())) };
    let Some(id) = cx.expand(id_node.at, id) else { return Some((id_node.at, String::new())) };
    if cx.step_ids.contains_key(&id) {
        cx.error_help(
            id_node.at,
            format!("there is a step `{}` already", show(&id)),
            Some("give it an id of its own".to_owned()),
        );
    } else {
        cx.step_ids.insert(id.clone(), number);
    }
    Some((id_node.at, id))
}

fn single(node: &Node) -> Option<&str> {
    match &node.data {
        Data::Text(t) | Data::Number(t) => Some(t),
        _ => None,
    }
}

/// For every step the steps that it needs, in file order numbers, and where that is said.
fn needs(cx: &mut Context, drafts: &[Draft<'_>]) -> Vec<Vec<(StepId, At)>> {
    let mut out = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut list: Vec<(StepId, At)> = Vec::new();
        if let Data::Map(entries) = &draft.node.data
            && let Some((key, node)) = entries.iter().find(|(k, _)| k.text == "needs")
            && !matches!(node.data, Data::Null)
        {
            let items = cx.list(node).unwrap_or_default();
            if items.len() > NEEDS_MAX {
                cx.error(key.at, format!("a step needs at most {NEEDS_MAX} others"));
            }
            for item in items.iter().take(NEEDS_MAX) {
                if let Some(id) = cx.step(item)
                    && !list.iter().any(|(n, _)| *n == id)
                {
                    list.push((id, item.at));
                }
            }
        }
        out.push(list);
    }
    out
}

/// The running order, or file order where a cycle makes one impossible.
fn running_order(cx: &mut Context, drafts: &[Draft<'_>], needs: &[Vec<(StepId, At)>]) -> Vec<StepId> {
    let plain: Vec<Vec<usize>> = needs.iter().map(|n| n.iter().map(|(id, _)| *id).collect()).collect();
    match order::order(&plain) {
        Ok(order) => order,
        Err(cycle) => {
            let (first, next) =
                (cycle.first().copied().unwrap_or_default(), cycle.get(1).or(cycle.first()).copied().unwrap_or_default());
            let at = needs[first].iter().find(|(id, _)| *id == next).map_or(drafts[first].id_at, |(_, at)| *at);
            let shown = cycle.iter().take(10).chain([&first]).map(|i| format!("`{}`", show(&drafts[*i].id)));
            let chain = shown.collect::<Vec<_>>().join(" needs ");
            cx.error_help(at, format!("the steps wait for each other: {chain}"), Some("remove one of these needs".to_owned()));
            (0..drafts.len()).collect()
        }
    }
}

/// `5` or `5-7`.
fn day_range(cx: &mut Context, node: &Node, days: u32) -> Read<(u32, u32)> {
    let text = match single(node) {
        Some(text) => cx.expand(node.at, text)?,
        None => return cx.mismatch(node, "a day such as `5`, or days such as `5-7`"),
    };
    let (first, last) = text.split_once('-').unwrap_or((&text, &text));
    let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) else {
        cx.error(node.at, format!("expected a day such as `5`, or days such as `5-7`, found `{}`", show(&text)));
        return None;
    };
    if first == 0 || first > last || last > days {
        cx.error(node.at, format!("the days {first}–{last} are not within the plan's days 1–{days}"));
        return None;
    }
    Some((first, last))
}

fn step(r: &mut Reader<'_>, draft: &Draft<'_>, own: StepId, needs: Vec<StepId>) -> Read<Step> {
    let what = if draft.id.is_empty() { "the step".to_owned() } else { format!("the step `{}`", show(&draft.id)) };
    let mut f = Fields::of(&mut r.cx, draft.node, what)?;
    let used = r.cx.outputs_used.len();
    let common = common(r, &mut f, &actions::ACTIONS);
    refuse_later(&mut r.cx, used, own);
    let used = r.cx.outputs_used.len();
    f.get(&mut r.cx, "needs");
    let (first, last) = (i64::from(draft.first_day), i64::from(draft.last_day));
    let day = f.maybe(&mut r.cx, "day", |cx, n| {
        let day = cx.integer(n, 1, 365)?;
        if (first..=last).contains(&day) {
            return u32::try_from(day).ok();
        }
        cx.error(n.at, format!("day {day} is outside its phase, which has the days {first}–{last}"));
        None
    });
    let windows = f.maybe(&mut r.cx, "window", window::read).unwrap_or_else(|| draft.windows.clone());
    let undo = common.kind.and_then(|(kind, at)| actions::undo(r, &mut f, kind, at));
    if common.kind.is_none() {
        f.get(&mut r.cx, "undo");
    }
    // What takes a step back may use what the step gave.
    refuse_later(&mut r.cx, used, own + 1);
    f.finish(&mut r.cx);
    let step = common.into_step(draft.phase, day.unwrap_or(draft.first_day), needs, undo?)?;
    Some(Step { windows, ..step })
}

/// Refuses the outputs, from the `used`th on, of a step that is not before `limit` in the running order.
fn refuse_later(cx: &mut Context, used: usize, limit: StepId) {
    let later = cx.outputs_used.iter().skip(used).filter(|(_, of, _)| *of >= limit);
    for at in later.map(|(at, ..)| *at).collect::<Vec<At>>() {
        let help = "name an earlier step, or change the order".to_owned();
        cx.error_help(at, "the output is of a step that runs later", Some(help));
    }
}

/// What the steps of phases and of rollbacks have in common.
pub struct Common {
    /// The action's key and its place.
    pub kind: Option<(&'static str, At)>,
    /// The id.
    pub id: Read<String>,
    /// The action, unless it is wrong or `restore`, which its caller reads.
    pub action: Read<Action>,
    title: Read<String>,
    note: String,
    owner: String,
    expected_ms: i64,
    gate: Vec<usize>,
    verify: Vec<usize>,
    override_people: u32,
    stand_in: StandIn,
    parts: Vec<usize>,
}

/// Reads what all steps have in common.
pub fn common(r: &mut Reader<'_>, f: &mut Fields<'_>, kinds: &[&'static str]) -> Common {
    let cx = &mut r.cx;
    let id = f.need(cx, "id", Context::name);
    let title = f.need(cx, "title", Context::words);
    let note = f.maybe(cx, "note", Context::text).unwrap_or_default();
    let owner = f.maybe(cx, "owner", Context::text).unwrap_or_default();
    let expected_ms = f.maybe(cx, "expected", |cx, n| cx.duration_ms_in(n, 1_000, EXPECTED_MS_MAX)).unwrap_or(EXPECTED_MS);
    let gate = f.maybe(cx, "gate", |cx, n| conditions::read_list(cx, n, Purpose::Gate)).unwrap_or_default();
    let verify = f.maybe(cx, "verify", |cx, n| conditions::read_list(cx, n, Purpose::Verify)).unwrap_or_default();
    let people = f.maybe(cx, "override", |cx, n| cx.word(n, &[("reason", 1), ("two-people", 2)])).unwrap_or(1);
    let chosen = f.exactly_one(cx, "action", kinds);
    let kind = chosen.and_then(|(kind, _)| Some((kind, f.key_at(kind)?)));
    let action = chosen.filter(|(kind, _)| *kind != "restore").and_then(|(kind, node)| actions::read(r, kind, node));
    let cx = &mut r.cx;
    let stand_in = f.maybe(cx, "drill", local::stand_in).unwrap_or_default();
    let has_one = kind.is_some_and(|(kind, _)| matches!(kind, "shell" | "http" | "stack"));
    if let (Some(at), true, false) = (f.key_at("drill"), kind.is_some(), has_one) {
        cx.error(at, "`drill` has no meaning here: only a `shell`, `http` or `stack` step has a stand-in");
    }
    let parts = f.maybe(cx, "parts", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| cx.part(item)).collect::<Vec<_>>())
    });
    Common {
        kind,
        id,
        action,
        title,
        note,
        owner,
        expected_ms,
        gate,
        verify,
        override_people: people,
        stand_in,
        parts: parts.unwrap_or_default(),
    }
}

impl Common {
    /// The finished step, if nothing was wrong.
    pub fn into_step(self, phase: usize, day: u32, needs: Vec<StepId>, undo: Undo) -> Read<Step> {
        let action = self.action?;
        Some(Step {
            id: self.id?,
            phase,
            day,
            title: self.title?,
            note: self.note,
            windows: Vec::new(),
            gate: self.gate,
            verify: self.verify,
            undo,
            expected_ms: self.expected_ms,
            owner: self.owner,
            needs,
            control_planes: actions::control_planes(&action),
            override_people: self.override_people,
            stand_in: self.stand_in,
            parts: self.parts,
            action,
        })
    }
}
