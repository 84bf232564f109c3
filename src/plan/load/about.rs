//! `parts:`, `risks:`, `success:`, `cost:` and `escalation:`, what a plan says beside its steps.

use std::collections::HashMap;

use super::conditions::{self, Purpose};
use super::context::{Context, Read};
use super::fields::Fields;
use super::local::step_list;
use super::node::{At, Data, Node};
use super::problem::show;
use super::value;
use crate::plan::about::{Cost, CostItem, Criterion, Escalation, EscalationLevel, Grade, Risk};
use crate::plan::{Phase, Unit};

/// Longest response time, in milliseconds.
const RESPONSE_MS_MAX: i64 = 30 * 86_400_000;

/// `parts:`, what the plan covers: id and title.
pub fn parts(cx: &mut Context, node: &Node) -> Read<Vec<(String, String)>> {
    let mut out = Vec::new();
    for (key, node) in cx.entries(node)? {
        cx.check_name(key.at, &key.text);
        let Some(mut f) = Fields::of(cx, node, "the part") else { continue };
        let title = f.need(cx, "title", Context::words);
        f.finish(cx);
        out.extend(title.map(|title| (key.text.clone(), title)));
    }
    Some(out)
}

/// `risks:`.
pub fn risks(cx: &mut Context, node: &Node, phases: &[Phase]) -> Read<Vec<Risk>> {
    let grades = [("low", Grade::Low), ("medium", Grade::Medium), ("high", Grade::High)];
    let mut ids = HashMap::new();
    let mut out = Vec::new();
    for item in cx.list(node)? {
        let Some(mut f) = Fields::of(cx, item, "the risk") else { continue };
        let id = f.need(cx, "id", |cx, n| fresh(cx, n, &mut ids, "risk"));
        let title = f.need(cx, "title", Context::words);
        let likelihood = f.need(cx, "likelihood", |cx, n| cx.word(n, &grades));
        let impact = f.need(cx, "impact", |cx, n| cx.word(n, &grades));
        let phase = f.need(cx, "phase", |cx, n| {
            let text = cx.scalar(n)?;
            let phase = phases.iter().position(|phase| phase.id == text);
            if phase.is_none() {
                let help = cx.suggest(&text, phases.iter().map(|phase| phase.id.as_str()));
                cx.error_help(n.at, format!("there is no phase `{}`", show(&text)), help);
            }
            phase
        });
        let mitigation = f.need(cx, "mitigation", Context::words);
        let steps = f.maybe(cx, "steps", step_list).unwrap_or_default();
        let monitors = f.maybe(cx, "monitors", |cx, n| {
            let items = cx.list(n)?;
            Some(items.iter().filter_map(|item| cx.monitor(item)).collect::<Vec<_>>())
        });
        let monitors = monitors.unwrap_or_default();
        f.finish(cx);
        let risk = || {
            let (id, title, likelihood, impact) = (id?, title?, likelihood?, impact?);
            Some(Risk { id, title, likelihood, impact, phase: phase?, mitigation: mitigation?, steps, monitors })
        };
        out.extend(risk());
    }
    Some(out)
}

/// `success:`.
pub fn success(cx: &mut Context, node: &Node) -> Read<Vec<Criterion>> {
    let mut ids = HashMap::new();
    let mut out = Vec::new();
    for item in cx.list(node)? {
        let Some(mut f) = Fields::of(cx, item, "the criterion") else { continue };
        let id = f.need(cx, "id", |cx, n| fresh(cx, n, &mut ids, "criterion"));
        let title = f.need(cx, "title", Context::words);
        let business = f.need(cx, "kind", |cx, n| cx.word(n, &[("technical", false), ("business", true)]));
        // As for a verify: a criterion that nobody can measure stays somebody's word, and nothing waits for it.
        let when = f.maybe(cx, "when", |cx, n| conditions::read_list(cx, n, Purpose::Verify)).unwrap_or_default();
        let done = f.maybe(cx, "done", step_list).unwrap_or_default();
        f.finish(cx);
        if let (Some(id), Some(title), Some(business)) = (id, title, business) {
            out.push(Criterion { id, title, business, when, done });
        }
    }
    Some(out)
}

/// `cost:`.
pub fn cost(cx: &mut Context, node: &Node) -> Read<Cost> {
    let mut f = Fields::of(cx, node, "the cost")?;
    let currency = f.maybe(cx, "currency", Context::words).unwrap_or_else(|| "USD".to_owned());
    let items = f.need(cx, "items", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| cost_item(cx, item)).collect::<Vec<_>>())
    });
    let limit = f.need(cx, "limit", |cx, n| cx.quantity(n, Unit::Share));
    f.finish(cx);
    Some(Cost { currency, items: items?, limit_ppm: limit?.micros })
}

fn cost_item(cx: &mut Context, node: &Node) -> Read<CostItem> {
    let mut f = Fields::of(cx, node, "the component")?;
    let name = f.need(cx, "name", Context::words);
    let group = f.maybe(cx, "group", Context::words).unwrap_or_else(|| "all".to_owned());
    let before = f.need(cx, "before", amount);
    let after = f.need(cx, "after", amount);
    f.finish(cx);
    Some(CostItem { name: name?, group, before: before?, after: after? })
}

/// An amount of money in hundredths.
fn amount(cx: &mut Context, node: &Node) -> Read<i64> {
    let text = match &node.data {
        Data::Number(text) => text.clone(),
        Data::Text(_) => cx.text(node)?,
        _ => return cx.mismatch(node, "an amount such as `12.34`"),
    };
    let amount = value::decimal(&text).filter(|micros| micros % 10_000 == 0 && *micros >= 0).map(|micros| micros / 10_000);
    if amount.is_none() {
        cx.error(node.at, format!("`{}` is no amount: write it as in `12.34`", show(&text)));
    }
    amount
}

/// `escalation:`.
pub fn escalation(cx: &mut Context, node: &Node) -> Read<Escalation> {
    let mut f = Fields::of(cx, node, "the escalation")?;
    let levels = f.need(cx, "levels", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| level(cx, item)).collect::<Vec<_>>())
    });
    let support_case = f.maybe(cx, "support-case", |cx, n| {
        let mut f = Fields::of(cx, n, "the support case")?;
        let subject = f.need(cx, "subject", Context::words);
        let body = f.need(cx, "body", Context::text);
        f.finish(cx);
        Some((subject?, body?))
    });
    f.finish(cx);
    Some(Escalation { levels: levels?, support_case })
}

fn level(cx: &mut Context, node: &Node) -> Read<EscalationLevel> {
    let mut f = Fields::of(cx, node, "the level")?;
    let id = f.need(cx, "id", Context::words);
    let title = f.need(cx, "title", Context::words);
    let response_ms = f.need(cx, "response", |cx, n| cx.duration_ms_in(n, 60_000, RESPONSE_MS_MAX));
    let contacts = f.maybe(cx, "contacts", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| cx.words(item)).collect::<Vec<_>>())
    });
    f.finish(cx);
    Some(EscalationLevel { id: id?, title: title?, response_ms: response_ms?, contacts: contacts.unwrap_or_default() })
}

/// An id that nothing before has.
fn fresh(cx: &mut Context, node: &Node, ids: &mut HashMap<String, At>, what: &str) -> Read<String> {
    let id = cx.name(node)?;
    if let Some(first) = ids.insert(id.clone(), node.at) {
        cx.error(node.at, format!("there is a {what} `{id}` already, in {}", cx.line_of(first, node.at)));
    }
    Some(id)
}
