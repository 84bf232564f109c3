//! The files beside a plan that say what goes wrong in a drill, and what should come of it.

use super::conditions::{self, Purpose};
use super::context::{Context, Read};
use super::fields::Fields;
use super::node::Node;
use super::problem::show;
use super::{Reader, faults};
use crate::plan::{Plan, Scenario, sha256_hex};

/// Longest time in a scenario, in milliseconds: the longest plan.
pub const TIME_MS_MAX: i64 = 365 * 86_400_000;
/// Most scenarios of a plan.
const SCENARIOS_MAX: usize = 200;

/// The scenario in which nothing goes wrong; it is always there.
pub const CALM: &str = "calm";

/// The plan that scenarios belong to.
#[derive(Clone, Copy)]
pub struct Known<'p> {
    pub plan: &'p Plan,
    /// Nothing was wrong with it, so that what is not in it is not there.
    pub whole: bool,
}

/// Reads all scenarios in a folder, sorted by name, `calm` among them.
pub fn read(r: &mut Reader<'_>, dir: &str, plan: &Plan) -> Vec<Scenario> {
    let mut out = Vec::new();
    let known = Known { plan, whole: !r.cx.failed() };
    let names = r.files.list(&format!("{}{dir}", r.base));
    let stems: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(".yaml")).take(SCENARIOS_MAX).collect();
    let calm_is_a_file = stems.contains(&CALM);
    for stem in stems {
        let Some((root, hash)) = r.open(&format!("{dir}/{stem}.yaml"), None) else { continue };
        out.extend(scenario(&mut r.cx, &root, stem, hash, known));
    }
    if !calm_is_a_file {
        out.push(Scenario {
            name: CALM.to_owned(),
            title: "Nothing goes wrong".to_owned(),
            hypothesis: "The plan is carried out from its first step to its last".to_owned(),
            expect: "completed".to_owned(),
            hash: sha256_hex(""),
            ..Scenario::default()
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn scenario(cx: &mut Context, root: &Node, stem: &str, hash: String, known: Known<'_>) -> Read<Scenario> {
    let mut f = Fields::of(cx, root, "the scenario")?;
    let name = f.need(cx, "scenario", |cx, n| {
        let name = cx.name(n)?;
        if name != stem {
            cx.error_help(
                n.at,
                format!("the scenario `{name}` is in a file of another name"),
                Some(format!("write `{}`, or rename the file", show(stem))),
            );
        }
        Some(name)
    });
    let title = f.need(cx, "title", Context::words);
    let hypothesis = f.need(cx, "hypothesis", Context::words);
    let conditions = |cx: &mut Context, n: &Node| conditions::read_own(cx, n, Purpose::Verify);
    let steady_state = f.maybe(cx, "steady-state", conditions);
    let faults = f.maybe(cx, "faults", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| faults::fault(cx, item, known)).collect())
    });
    let abort = f.maybe(cx, "abort", conditions);
    let words = [("completed", "completed"), ("rolled_back", "rolled_back"), ("held", "held")];
    let expect = f.need(cx, "expect", |cx, n| cx.word(n, &words));
    let (expect_rollback, expect_rto_ms) = if expect == Some("rolled_back") {
        let rollback = f.maybe(cx, "expect-rollback", |cx, n| rollback(cx, n, known));
        (rollback, f.maybe(cx, "expect-rto", |cx, n| cx.duration_ms_in(n, 1_000, TIME_MS_MAX)))
    } else {
        for key in ["expect-rollback", "expect-rto"] {
            f.refuse(cx, key, "no rollback is expected");
        }
        (None, None)
    };
    f.finish(cx);
    Some(Scenario {
        name: name?,
        title: title?,
        hypothesis: hypothesis?,
        steady_state: steady_state.unwrap_or_default(),
        faults: faults.unwrap_or_default(),
        abort: abort.unwrap_or_default(),
        expect: expect?.to_owned(),
        expect_rollback,
        expect_rto_ms,
        hash,
    })
}

fn rollback(cx: &mut Context, node: &Node, known: Known<'_>) -> Read<String> {
    let name = cx.name(node)?;
    if known.whole && known.plan.rollbacks.iter().all(|r| r.name != name) {
        let help = cx.suggest(&name, known.plan.rollbacks.iter().map(|r| r.name.as_str()));
        cx.error_help(node.at, format!("there is no rollback `{}`", show(&name)), help);
        return None;
    }
    Some(name)
}
