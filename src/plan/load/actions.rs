//! What a step does, and how it is taken back.

use super::conditions::{self, Purpose};
use super::context::{Context, Read};
use super::fields::Fields;
use super::files::check_path;
use super::node::{At, Data, Node};
use super::problem::show;
use super::{Reader, local, metrics, records};
use crate::plan::{
    Action, HealthCheck, Item, Quantity, ROUTE53_REGION, Records, Shift, StackAction, StackChange, Switch, Undo, UndoScript, Unit,
};

/// The actions of any step.
pub const ACTIONS: [&str; 10] =
    ["shift", "records", "health-check", "stack", "shell", "edit", "http", "soak", "approve", "checklist"];
/// The actions of a rollback's step.
pub const ROLLBACK_ACTIONS: [&str; 12] =
    ["shift", "records", "health-check", "switch", "stack", "shell", "edit", "http", "soak", "approve", "checklist", "restore"];

/// Longest soak, in milliseconds: the longest plan.
const SOAK_MS_MAX: i64 = 365 * 86_400_000;

/// Reads the value of an action other than `restore`.
pub fn read(r: &mut Reader<'_>, kind: &str, node: &Node) -> Read<Action> {
    match kind {
        "shift" => shift(&mut r.cx, node).map(Action::Shift),
        "records" => change(&mut r.cx, node).map(Action::Records),
        "health-check" => health_check(&mut r.cx, node).map(Action::HealthCheck),
        "switch" => switch(&mut r.cx, node).map(Action::Switch),
        "stack" => stack(r, node).map(Action::Stack),
        "shell" => local::shell(r, node).map(Action::Shell),
        "edit" => local::edit(&mut r.cx, node).map(Action::Edit),
        "http" => local::http(&mut r.cx, node).map(Action::Http),
        "soak" => soak(&mut r.cx, node),
        "approve" => approve(&mut r.cx, node),
        _ => checklist(&mut r.cx, node),
    }
}

/// The control planes that an action needs (rule 5): Route 53's is in us-east-1, CloudFormation's in each region.
pub fn control_planes(action: &Action) -> Vec<String> {
    match action {
        Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Restore { .. } => {
            vec![ROUTE53_REGION.to_owned()]
        }
        Action::Stack(stack) => vec![stack.region.clone()],
        Action::Shell(script) => script.control_planes.clone(),
        // A switch is flipped in the data plane: that is what it is for.
        Action::Switch(_)
        | Action::Edit(_)
        | Action::Http(_)
        | Action::Soak { .. }
        | Action::Approve { .. }
        | Action::Checklist { .. } => Vec::new(),
    }
}

fn shift(cx: &mut Context, node: &Node) -> Read<Shift> {
    let mut f = Fields::of(cx, node, "the shift")?;
    let zone = f.need(cx, "zone", records::zone);
    let record = f.need(cx, "record", records::dns_name);
    let kind = f.maybe(cx, "type", records::kind).unwrap_or_else(|| "A".to_owned());
    let weights = f.need(cx, "weights", |cx, n| {
        let entries = cx.entries(n)?;
        if entries.is_empty() {
            cx.error_help(n.at, "a shift needs weights", Some("name every sibling: `{frankfurt: 10, ireland: 90}`".to_owned()));
            return None;
        }
        let mut out = Vec::with_capacity(entries.len());
        for (key, value) in &entries {
            let set = cx.expand(key.at, &key.text);
            if let (Some(set), Some(weight)) = (set, records::weight(cx, value)) {
                out.push((set, weight));
            }
        }
        Some(out)
    });
    f.finish(cx);
    Some(Shift { zone: zone?, record: record?, kind, weights: weights? })
}

fn change(cx: &mut Context, node: &Node) -> Read<Records> {
    let mut f = Fields::of(cx, node, "the change of records")?;
    let zone = f.need(cx, "zone", records::zone);
    let put = f.maybe(cx, "put", records::read_list).unwrap_or_default();
    let remove = f.maybe(cx, "remove", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| records::record_key(cx, item)).collect::<Vec<_>>())
    });
    if f.key_at("put").is_none() && f.key_at("remove").is_none() {
        cx.error_help(f.at(), "the change of records changes nothing", Some("add the key `put:` or `remove:`".to_owned()));
    }
    f.finish(cx);
    Some(Records { zone: zone?, put, remove: remove.unwrap_or_default() })
}

fn health_check(cx: &mut Context, node: &Node) -> Read<HealthCheck> {
    let mut f = Fields::of(cx, node, "the health check")?;
    let id = f.need(cx, "id", |cx, n| records::late(cx, n, Context::words));
    let inverted = f.need(cx, "inverted", Context::boolean);
    f.finish(cx);
    Some(HealthCheck { id: id?, inverted: inverted? })
}

fn switch(cx: &mut Context, node: &Node) -> Read<Switch> {
    let mut f = Fields::of(cx, node, "the switch")?;
    let health_check = f.need(cx, "health-check", |cx, n| records::late(cx, n, Context::words));
    let region = f.need(cx, "region", Context::region);
    let namespace = f.need(cx, "namespace", |cx, n| {
        let text = cx.words(n)?;
        // The service refuses data that is put under its own namespaces.
        if text.starts_with("AWS/") {
            cx.error_help(n.at, "metrics under `AWS/` are AWS's own", Some("choose another namespace".to_owned()));
            return None;
        }
        Some(text)
    });
    let metric = f.need(cx, "name", Context::words);
    let dimensions = f.maybe(cx, "dimensions", metrics::pairs).unwrap_or_default();
    let value = f.need(cx, "value", |cx, n| cx.quantity(n, Unit::Count)).map(|q: Quantity| q.micros);
    f.finish(cx);
    Some(Switch {
        health_check: health_check?,
        region: region?,
        namespace: namespace?,
        metric: metric?,
        dimensions,
        value: value?,
    })
}

fn stack(r: &mut Reader<'_>, node: &Node) -> Read<StackAction> {
    let mut f = Fields::of(&mut r.cx, node, "the stack")?;
    let name = f.need(&mut r.cx, "name", Context::words);
    let region = f.need(&mut r.cx, "region", Context::region);
    let delete = f.maybe(&mut r.cx, "delete", |cx, n| {
        let delete = cx.boolean(n)?;
        if !delete {
            cx.error_help(n.at, "`delete: false` means nothing", Some("remove the key, or write `delete: true`".to_owned()));
        }
        Some(delete)
    });
    let change = if f.key_at("delete").is_some() {
        for key in ["template", "parameters", "capabilities"] {
            f.refuse(&mut r.cx, key, "the stack is deleted");
        }
        delete.map(|_| StackChange::Delete)
    } else {
        let node = f.need(&mut r.cx, "template", |_, n| Some(n));
        let template = node.and_then(|n| template(r, n));
        let parameters = f.maybe(&mut r.cx, "parameters", |cx, n| local::pairs(cx, n, false)).unwrap_or_default();
        let capabilities = f.maybe(&mut r.cx, "capabilities", capabilities).unwrap_or_default();
        template.map(|(template_path, template)| StackChange::Apply {
            outputs: outputs(&template),
            template,
            template_path,
            parameters: parameters.into_iter().collect(),
            capabilities,
        })
    };
    f.finish(&mut r.cx);
    Some(StackAction { region: region?, name: name?, change: change? })
}

/// The path of a template and its text, read now: the run is pinned to it.
fn template(r: &mut Reader<'_>, node: &Node) -> Read<(String, String)> {
    let path = r.cx.words(node)?;
    if let Err(why) = check_path(&path) {
        r.cx.error(node.at, format!("`{}` cannot be read: {why}", show(&path)));
        return None;
    }
    match r.template(&path) {
        Ok(text) => Some((path, text)),
        Err(why) => {
            r.cx.error(node.at, format!("the template `{}` cannot be read: {why}", show(&path)));
            None
        }
    }
}

/// The names of a template's outputs: the keys of its `Outputs:` block, which are indented by two spaces. CloudFormation's
/// own tags keep a common YAML reader from reading a template.
fn outputs(template: &str) -> Vec<String> {
    let block = template.lines().skip_while(|line| line.trim_end() != "Outputs:").skip(1);
    let block = block.take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
    let keys = block.filter(|line| line.starts_with("  ") && !line.starts_with("   ") && !line.trim_start().starts_with('#'));
    keys.filter_map(|line| line.trim().split_once(':').map(|(key, _)| key.trim_matches(['"', '\'']).to_owned())).collect()
}

fn capabilities(cx: &mut Context, node: &Node) -> Read<Vec<String>> {
    let words = [
        ("CAPABILITY_IAM", "CAPABILITY_IAM"),
        ("CAPABILITY_NAMED_IAM", "CAPABILITY_NAMED_IAM"),
        ("CAPABILITY_AUTO_EXPAND", "CAPABILITY_AUTO_EXPAND"),
    ];
    let items = cx.list(node)?;
    Some(items.iter().filter_map(|item| cx.word(item, &words)).map(str::to_owned).collect())
}

fn soak(cx: &mut Context, node: &Node) -> Read<Action> {
    let mut f = Fields::of(cx, node, "the soak")?;
    let for_ms = f.need(cx, "for", |cx, n| cx.duration_ms_in(n, 1_000, SOAK_MS_MAX));
    // Without a length the conditions are still read, for their own errors.
    let purpose = Purpose::Soak(for_ms.unwrap_or(SOAK_MS_MAX));
    let conditions = f.maybe(cx, "while", |cx, n| conditions::read_list(cx, n, purpose)).unwrap_or_default();
    f.finish(cx);
    Some(Action::Soak { conditions, for_ms: for_ms? })
}

fn approve(cx: &mut Context, node: &Node) -> Read<Action> {
    let mut f = Fields::of(cx, node, "the approval")?;
    let what = f.need(cx, "what", Context::words);
    let count = f.maybe(cx, "count", |cx, n| cx.integer(n, 1, 20)).unwrap_or(1);
    f.finish(cx);
    Some(Action::Approve { count: u32::try_from(count).ok()?, what: what? })
}

fn checklist(cx: &mut Context, node: &Node) -> Read<Action> {
    let mut f = Fields::of(cx, node, "the checklist")?;
    let items = f.need(cx, "items", |cx, n| {
        let items = cx.list(n)?;
        if items.is_empty() {
            cx.error(n.at, "a checklist has at least one item");
        }
        Some(items.iter().filter_map(|item| checklist_item(cx, item)).collect())
    });
    f.finish(cx);
    Some(Action::Checklist { items: items? })
}

/// Text that somebody ticks, or a mapping that says when it ticks itself.
fn checklist_item(cx: &mut Context, node: &Node) -> Read<Item> {
    if !matches!(node.data, Data::Map(_)) {
        return Some(Item { text: cx.words(node)?, when: Vec::new(), done: Vec::new() });
    }
    let mut f = Fields::of(cx, node, "the item")?;
    let text = f.need(cx, "item", Context::words);
    // As for a verify: what nobody can measure may still be ticked by hand, so that is no reason to warn.
    let when = f.maybe(cx, "when", |cx, n| conditions::read_list(cx, n, Purpose::Verify)).unwrap_or_default();
    let done = f.maybe(cx, "done", local::step_list).unwrap_or_default();
    f.finish(cx);
    Some(Item { text: text?, when, done })
}

/// How a step is taken back: as it says, or by the default of its action.
pub fn undo(r: &mut Reader<'_>, f: &mut Fields<'_>, kind: &str, action_at: At) -> Read<Undo> {
    let cx = &mut r.cx;
    let automatic = matches!(kind, "shift" | "records" | "health-check" | "edit");
    if f.key_at("undo").is_none() {
        f.get(cx, "undo");
        return match kind {
            _ if automatic => Some(Undo::Auto),
            "soak" | "approve" => Some(Undo::Nothing),
            _ => {
                let help = "add `undo: nothing`, `undo: {manual: how}`, `undo: {shell: …}` or `undo: {one-way: why}`".to_owned();
                cx.error_help(action_at, format!("how a `{kind}` step is undone must be said"), Some(help));
                None
            }
        };
    }
    let node = f.get(cx, "undo")?;
    if matches!(node.data, Data::Text(_)) {
        let undo = if cx.word(node, &[("auto", true), ("nothing", false)])? { Undo::Auto } else { Undo::Nothing };
        if undo == Undo::Auto && !automatic {
            let help = "write `nothing`, `{manual: how}`, `{shell: …}` or `{one-way: why}`".to_owned();
            cx.error_help(
                node.at,
                format!("the inverse of a `{kind}` step is not known, so it cannot be undone by itself"),
                Some(help),
            );
        }
        return Some(undo);
    }
    let mut f = Fields::of(cx, node, "the undo")?;
    let chosen = f.exactly_one(cx, "way", &["one-way", "manual", "shell"]);
    let stand_in = f.maybe(cx, "drill", local::stand_in).unwrap_or_default();
    if let Some(at) = f.key_at("drill").filter(|_| chosen.is_some_and(|(way, _)| way != "shell")) {
        cx.error(at, "`drill` has no meaning here: only a script has a stand-in");
    }
    f.finish(cx);
    match chosen? {
        ("shell", node) => {
            let action = Action::Shell(local::shell(r, node)?);
            Some(Undo::Script(Box::new(UndoScript { action, stand_in })))
        }
        ("one-way", node) => cx.words(node).map(Undo::OneWay),
        (_, node) => cx.words(node).map(Undo::Manual),
    }
}
