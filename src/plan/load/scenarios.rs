//! The files beside a plan that say what goes wrong in a drill.

use super::context::{Context, Read};
use super::fields::Fields;
use super::node::Node;
use super::problem::show;
use super::{Reader, sha256_hex};
use crate::plan::{DrillMetric, DrillWorld, Fault, FaultAt, FaultKind, Scenario};

/// Longest time in a scenario, in milliseconds: the longest plan.
const TIME_MS_MAX: i64 = 365 * 86_400_000;
/// Most scenarios of a plan.
const SCENARIOS_MAX: usize = 200;

/// The scenario in which nothing goes wrong; it is always there.
pub const CALM: &str = "calm";

/// Reads all scenarios in a folder, sorted by name, `calm` among them.
pub fn read(r: &mut Reader<'_>, dir: &str, world: &DrillWorld) -> Vec<Scenario> {
    let mut out = Vec::new();
    let names = r.files.list(&format!("{}{dir}", r.base));
    let stems: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(".yaml")).take(SCENARIOS_MAX).collect();
    let calm_is_a_file = stems.contains(&CALM);
    for stem in stems {
        let Some((root, hash)) = r.open(&format!("{dir}/{stem}.yaml"), None) else { continue };
        out.extend(scenario(&mut r.cx, &root, stem, hash, world));
    }
    if !calm_is_a_file {
        out.push(Scenario {
            name: CALM.to_owned(),
            title: "Nothing goes wrong".to_owned(),
            hypothesis: "The plan is carried out from its first step to its last".to_owned(),
            faults: Vec::new(),
            expect: "completed".to_owned(),
            hash: sha256_hex(b""),
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn scenario(cx: &mut Context, root: &Node, stem: &str, hash: String, world: &DrillWorld) -> Read<Scenario> {
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
    let faults = f.maybe(cx, "faults", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| fault(cx, item, world)).collect())
    });
    let words = [("completed", "completed"), ("rolled_back", "rolled_back"), ("held", "held")];
    let expect = f.need(cx, "expect", |cx, n| cx.word(n, &words));
    f.finish(cx);
    Some(Scenario {
        name: name?,
        title: title?,
        hypothesis: hypothesis?,
        faults: faults.unwrap_or_default(),
        expect: expect?.to_owned(),
        hash,
    })
}

fn fault(cx: &mut Context, node: &Node, world: &DrillWorld) -> Read<Fault> {
    let mut f = Fields::of(cx, node, "the fault")?;
    let at = f.need(cx, "at", fault_at);
    let for_ms = f.maybe(cx, "for", |cx, n| cx.duration_ms_in(n, 1_000, TIME_MS_MAX));
    let chosen = f.exactly_one(cx, "kind", &["region-down", "lag"]);
    f.finish(cx);
    let (kind, node) = chosen?;
    let kind = if kind == "lag" { lag(cx, node, world) } else { cx.region(node).map(FaultKind::RegionDown) };
    Some(Fault { at: at?, for_ms, kind: kind? })
}

fn fault_at(cx: &mut Context, node: &Node) -> Read<FaultAt> {
    let mut f = Fields::of(cx, node, "the fault's time")?;
    let chosen = f.exactly_one(cx, "time", &["step", "elapsed"]);
    let at = match chosen {
        Some(("step", n)) => {
            let after = f.maybe(cx, "after", |cx, n| cx.duration_ms_in(n, 0, TIME_MS_MAX)).unwrap_or(0);
            cx.step(n).map(|step| FaultAt::Step(step, after))
        }
        Some((_, n)) => {
            f.refuse(cx, "after", "`elapsed` counts from the start of the run");
            cx.duration_ms_in(n, 0, TIME_MS_MAX).map(FaultAt::Elapsed)
        }
        None => {
            f.get(cx, "after");
            None
        }
    };
    f.finish(cx);
    at
}

fn lag(cx: &mut Context, node: &Node, world: &DrillWorld) -> Read<FaultKind> {
    let mut f = Fields::of(cx, node, "the lag")?;
    let monitor = f.need(cx, "monitor", |cx, n| {
        let id = cx.monitor(n)?;
        let lags = matches!(world.metrics.get(&id), Some(DrillMetric::Lag(_)));
        if !lags && cx.monitors.get(id).is_some_and(Option::is_some) {
            cx.error_help(
                n.at,
                "only a monitor that reads a lag in drills can lag",
                Some("give it `{lag: …}` under `drill.metrics`".to_owned()),
            );
        }
        Some(id)
    });
    let to = f.need(cx, "to", Context::duration_us);
    f.finish(cx);
    Some(FaultKind::Lag(monitor?, to?))
}
