//! The runbook: every rollback as exact commands of the AWS CLI, for the night on which this binary, its machine or its
//! journal is not there.
//!
//! A document in Markdown with one block of shell a rollback. A block needs `bash`, `aws` (version 1 or 2) and
//! credentials, and nothing else. What it changes it changes as the engine would: a batch deletes the record sets
//! exactly as they were read and creates the others, so that it fails as a whole when somebody else has changed them.

use std::collections::BTreeMap;

use super::change::{self, Place, Read};
use super::decide::Ctx;
use super::event::Event;
use super::ready;
use super::rollback::{self, window_start};
use super::snapshot::Armed;
use super::state::{CallRun, CallState, Run};
use super::watch::Watch;
use crate::cloud::{Answer, Call, HealthCheckInfo, Millis};
use crate::plan::{Action, ConditionId, Plan, RecordSet, Rollback, StackChange, Undo, format_ms};

mod script;

/// What the runbook says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Run id.
    pub run: String,
    /// True for a drill: its commands are about a simulated cloud and do not run.
    pub drill: bool,
    /// Number of the run's newest entry.
    pub entry: u64,
    /// Hash of the newest durable journal entry, hex.
    pub head: String,
    /// Where the records come from.
    pub source: Source,
}

/// Where a runbook's records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The engine read them.
    Engine,
    /// They follow from what the run's own calls left; nobody has looked.
    Journal,
}

/// A runbook: a part that changes with every look, and one that changes when there is something else to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runbook {
    entry: u64,
    stamp: String,
    body: String,
}

impl Runbook {
    /// The whole document.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stamp, self.body)
    }

    /// Whether both say the same of the same entries, whenever each was written.
    #[must_use]
    pub fn says_the_same(&self, other: &Runbook) -> bool {
        (self.entry, &self.body) == (other.entry, &other.body)
    }
}

/// The run's newest entry when a runbook was written, as its first line says.
#[must_use]
pub fn written_at_entry(text: &str) -> Option<u64> {
    text.lines().next()?.strip_prefix("<!-- cutover runbook, entry ")?.strip_suffix(" -->")?.parse().ok()
}

/// Writes the runbook of a run.
#[must_use]
pub fn runbook(ctx: Ctx<'_>, facts: &Facts) -> Runbook {
    let applies: Vec<&Rollback> = ctx.plan.rollbacks.iter().filter(|r| window_start(ctx, r).is_some()).collect();
    Runbook { entry: facts.entry, stamp: stamp(ctx, facts, &applies), body: body(ctx, facts, &applies) }
}

fn stamp(ctx: Ctx<'_>, facts: &Facts, applies: &[&Rollback]) -> String {
    let mut out = format!("<!-- cutover runbook, entry {} -->\n", facts.entry);
    let plan = ctx.plan;
    line(&mut out, &format!("# Runbook of {} {}: the way back without cutover", kind(facts), facts.run));
    line(&mut out, "");
    line(&mut out, &format!("- plan: {} ({}), hash {}", plan.name, plain(&plan.title), plan.manifest.hash));
    line(&mut out, &format!("- account: {}", plan.account));
    line(&mut out, &format!("- journal: entry {}, head {}", facts.entry, facts.head));
    line(&mut out, &format!("- written: {}", time(ctx.now)));
    match facts.source {
        Source::Engine => {
            let places: std::collections::BTreeSet<Place> = applies.iter().flat_map(|r| places(ctx, r)).collect();
            for place in places {
                let read = ctx.watch.found_ever(&place).map_or_else(|| "never".to_owned(), |(at, _)| time(at));
                line(&mut out, &format!("- read: {place} at {read}"));
            }
            for rollback in applies {
                let proved = match ready::readiness(ctx, rollback) {
                    Armed::NotArmed(why) => format!("NOT ARMED: {}", plain(&why)),
                    Armed::Armed => "ARMED".into(),
                    Armed::Nothing => continue,
                };
                line(&mut out, &format!("- proved: {} {proved}", rollback.name));
            }
        }
        Source::Journal => {
            line(
                &mut out,
                "- read: NOTHING. Computed from the journal alone: the records are taken to be as this run left them.",
            );
        }
    }
    out
}

fn kind(facts: &Facts) -> &'static str {
    if facts.drill { "drill" } else { "run" }
}

fn body(ctx: Ctx<'_>, facts: &Facts, applies: &[&Rollback]) -> String {
    let mut out = String::from("\n");
    if facts.drill {
        line(&mut out, "**This is the runbook of a drill. Nothing real stands as it says, and its blocks refuse to run.**\n");
    }
    line(
        &mut out,
        "Each block below is a whole script: save it to a file and run it with `bash FILE`, from any machine that has \
         the AWS CLI (version 1 or 2) and credentials of the account above. It looks at the account first. A batch of \
         records deletes exactly what stands in its JSON and creates the rest, all or nothing: when somebody has \
         changed a record in between, it is refused, nothing is changed, and the script stops. Then look at what is \
         there (the last command of the step shows it), put that into the batch's DELETE, and send it again. A block \
         that has run once is refused the second time for the same reason.\n",
    );
    line(&mut out, "Stop the engine, or hold the run, before you run a block: it does not know what you do here.\n");
    if let Some((outcome, _)) = &ctx.run.finished {
        line(&mut out, &format!("The run has ended: {}.\n", outcome.word()));
    }
    for (id, call) in ctx.run.calls.iter().filter(|(_, c)| matches!(c.state, CallState::Open | CallState::Unknown(_))) {
        let what = if facts.source == Source::Journal { "; below it is taken to have been" } else { "" };
        line(&mut out, &format!("Call {id} ({}) may or may not have been applied{what}.\n", call.call.operation()));
    }
    if applies.is_empty() {
        line(&mut out, "No rollback applies yet: nothing that one would take back has started.");
    }
    let next = rollback::applying(ctx).map(|r| r.name.as_str());
    for rollback in applies {
        out.push_str(&chapter(ctx, facts, rollback, facts.source == Source::Engine && next == Some(rollback.name.as_str())));
    }
    let later: Vec<String> = ctx
        .plan
        .rollbacks
        .iter()
        .filter(|r| window_start(ctx, r).is_none())
        .map(|r| format!("{} (after {})", r.name, r.after.map_or("the start", |s| ctx.plan.steps[s].id.as_str())))
        .collect();
    if !later.is_empty() {
        line(&mut out, &format!("\nNot yet: {}.", later.join(", ")));
    }
    out
}

/// One rollback.
fn chapter(ctx: Ctx<'_>, facts: &Facts, rollback: &Rollback, offered: bool) -> String {
    let plan = ctx.plan;
    let mut out = String::new();
    line(&mut out, &format!("\n## {}: {}\n", rollback.name, plain(&rollback.title)));
    if offered {
        line(&mut out, "- this is the one that the rollback key offers now");
    }
    line(&mut out, &format!("- leads to: {} ({})", rollback.to, plain(plan.region_label(&rollback.to))));
    if let Some(from) = window_start(ctx, rollback) {
        let after = rollback.after.map_or("the start", |s| plan.steps[s].id.as_str());
        let until =
            rollback.until_ms.map_or_else(|| "and has no end".to_owned(), |until| format!("until {}", time(from + until)));
        line(&mut out, &format!("- window: since {} ({after}) {until}", time(from)));
    }
    line(&mut out, &format!("- state: {}", state(ctx, facts, rollback)));
    line(&mut out, &format!("- restores: {}", plain(&rollback.restores)));
    for step in rollback::one_way_passed(ctx) {
        let why = match &plan.steps[step].undo {
            Undo::OneWay(why) => why.as_str(),
            _ => "",
        };
        line(&mut out, &format!("- will NOT undo: {} ({})", plain(&plan.steps[step].title), plain(why)));
    }
    line(&mut out, &format!("- takes about: {}\n", format_ms(rollback.expected_ms)));
    match parts(ctx, rollback) {
        Ok(parts) => {
            for part in &parts {
                line(&mut out, &format!("{}. {}", part.number, plain(&part.title)));
                for said in part.said() {
                    line(&mut out, &format!("   - {said}"));
                }
            }
            line(&mut out, "\n```bash");
            out.push_str(&script::script(plan, facts, rollback, &parts));
            line(&mut out, "```");
        }
        Err(why) => line(&mut out, &format!("**It cannot be written out: {why}.**")),
    }
    out
}

fn state(ctx: Ctx<'_>, facts: &Facts, rollback: &Rollback) -> String {
    if facts.source == Source::Journal {
        return "not proved: no engine was looking when this was written".into();
    }
    match ready::readiness(ctx, rollback) {
        Armed::Armed => "ARMED".into(),
        // The numbers in a reason change all the time, and what has to be done does not.
        Armed::NotArmed(_) => "NOT ARMED; the reason is above".into(),
        Armed::Nothing => "nothing to take back".into(),
    }
}

/// A step of a rollback, written out.
struct Part {
    /// From 1.
    number: usize,
    title: String,
    /// What has to be proved before.
    proof: Vec<String>,
    /// What has to be so afterwards.
    verify: Vec<String>,
    does: Does,
}

/// What a step of a rollback does.
enum Does {
    /// Calls, in order; none when everything is as it shall be already.
    Calls(Vec<Call>),
    /// What a person does.
    ByHand(Vec<String>),
}

impl Part {
    fn said(&self) -> Vec<String> {
        let proof = self.proof.iter().map(|p| format!("must be so before: {p}"));
        let verify = self.verify.iter().map(|v| format!("must be so afterwards: {v}"));
        let does: Vec<String> = match &self.does {
            Does::Calls(calls) if calls.is_empty() => vec!["nothing to change: it is as it shall be".into()],
            Does::Calls(calls) => calls.iter().flat_map(call_lines).collect(),
            Does::ByHand(items) => items.iter().map(|item| format!("by hand: {}", plain(item))).collect(),
        };
        proof.chain(does).chain(verify).collect()
    }
}

fn call_lines(call: &Call) -> Vec<String> {
    match call {
        Call::ChangeRecords { delete, create, .. } => {
            delete.iter().map(|r| format!("delete `{r}`")).chain(create.iter().map(|r| format!("create `{r}`"))).collect()
        }
        Call::DeleteStack { region, stack } => vec![format!("delete the stack `{stack}` in {region}")],
        Call::UpdateHealthCheck { id, inverted, .. } => vec![format!("health check `{id}`: inverted {inverted}")],
        Call::PutMetric { region, namespace, metric, .. } => vec![format!("metric `{namespace}` `{metric}` in {region}")],
        Call::CreateChangeSet { region, stack, .. } | Call::ExecuteChangeSet { region, stack, .. } => {
            vec![format!("change the stack `{stack}` in {region}")]
        }
        Call::EditFile { file, .. } => vec![format!("edit the file `{}`", plain(file))],
        Call::RunScript { job, .. } | Call::MakeRequest { job, .. } => vec![format!("what `{job}` does, by hand")],
    }
}

/// The steps of a rollback, each from what the one before leaves.
///
/// # Errors
/// What is missing to write them out, in words for people.
fn parts(ctx: Ctx<'_>, rollback: &Rollback) -> Result<Vec<Part>, String> {
    let mut found: BTreeMap<Place, Answer> = BTreeMap::new();
    for place in places(ctx, rollback) {
        let Some((_, answer)) = ctx.watch.found_ever(&place) else { return Err(format!("{place} was never read")) };
        found.insert(place, answer.clone());
    }
    let mut parts = Vec::new();
    for (index, step) in rollback.steps.iter().enumerate() {
        let does = match &step.action {
            Action::Restore { .. } | Action::Shift(_) | Action::Records(_) | Action::HealthCheck(_) | Action::Edit(_) => {
                let mut read = Read::default();
                for (place, answer) in &found {
                    read.insert(place.clone(), answer);
                }
                let calls = change::batches(&change::wanted(ctx.plan, ctx.run, &step.action, &read)?, &read);
                for call in &calls {
                    apply(&mut found, call);
                }
                Does::Calls(calls)
            }
            Action::Switch(switch) => Does::Calls(vec![super::job::put(switch)]),
            Action::Stack(stack) => match &stack.change {
                StackChange::Delete => {
                    Does::Calls(vec![Call::DeleteStack { region: stack.region.clone(), stack: stack.name.clone() }])
                }
                StackChange::Apply { template_path, .. } => {
                    Does::ByHand(vec![format!("change the stack {} in {} to {template_path}", stack.name, stack.region)])
                }
            },
            Action::Shell(script) => {
                let named = script.path.as_deref().unwrap_or("of the plan file");
                let env = script.env.iter().map(|(name, value)| format!("{name}={value}"));
                let secrets = script.secrets.iter().map(|name| format!("{name} (a secret)"));
                let env = env.chain(secrets).collect::<Vec<_>>().join(", ");
                Does::ByHand(vec![format!("run the script {named} with bash; its environment: {env}")])
            }
            Action::Http(request) => Does::ByHand(vec![format!("request {} {}", request.method, request.url)]),
            Action::Approve { count, what } => Does::ByHand(vec![format!("approval by {count}: {what}")]),
            Action::Checklist { items } => Does::ByHand(items.iter().map(|item| item.text.clone()).collect()),
            Action::Soak { for_ms, conditions } => {
                let watched = conditions.iter().map(|id| condition(ctx.plan, *id)).collect::<Vec<_>>().join(", ");
                Does::ByHand(vec![format!("watch for {}: {watched}", format_ms(*for_ms))])
            }
        };
        // Moving traffic in a rollback is never gated.
        let gated = !matches!(&does, Does::Calls(calls) if calls.iter().all(Call::moves_traffic));
        let words = |ids: &[ConditionId]| ids.iter().map(|id| condition(ctx.plan, *id)).collect::<Vec<String>>();
        parts.push(Part {
            number: index + 1,
            title: step.title.clone(),
            proof: if gated { words(&step.gate) } else { Vec::new() },
            verify: words(&step.verify),
            does,
        });
    }
    Ok(parts)
}

fn places(ctx: Ctx<'_>, rollback: &Rollback) -> Vec<Place> {
    rollback.steps.iter().flat_map(|s| change::places(ctx.plan, ctx.run, &s.action)).collect()
}

fn condition(plan: &Plan, id: ConditionId) -> String {
    let condition = &plan.conditions[id];
    plain(&format!("{} {}", plan.monitors[condition.monitor].title, super::gate::want_text(condition)))
}

/// What a call leaves of what was found.
fn apply(found: &mut BTreeMap<Place, Answer>, call: &Call) {
    match call {
        Call::ChangeRecords { zone, delete, create } => {
            let of = |r: &RecordSet| Place::Records { zone: zone.clone(), name: r.name.clone() };
            for record in delete {
                if let Answer::Records(sets) = found.entry(of(record)).or_insert_with(|| Answer::Records(Vec::new())) {
                    sets.retain(|r| r.key() != record.key());
                }
            }
            for record in create {
                if let Answer::Records(sets) = found.entry(of(record)).or_insert_with(|| Answer::Records(Vec::new())) {
                    sets.retain(|r| r.key() != record.key());
                    sets.push(record.clone());
                    sets.sort();
                }
            }
        }
        Call::UpdateHealthCheck { id, version, inverted } => {
            let info = HealthCheckInfo { version: version + 1, inverted: *inverted, disabled: false };
            found.insert(Place::HealthCheck { id: id.clone() }, Answer::HealthCheck(info));
        }
        Call::EditFile { file, splices, .. } => {
            if let Some(Answer::File(text)) = found.get_mut(&Place::File { file: file.clone() }) {
                *text = crate::cloud::spliced(text, splices).unwrap_or_else(|| text.clone());
            }
        }
        _ => {}
    }
}

/// What would have been read if everything were as the run's own calls left it, as far as they tell.
#[must_use]
pub fn as_left(plan: &Plan, run: &Run) -> Watch {
    let mut found: BTreeMap<Place, Answer> = BTreeMap::new();
    let mut newest: BTreeMap<Place, Millis> = BTreeMap::new();
    // A call that may have been applied is taken to have been; the runbook says so.
    let counts = |call: &&CallRun| call.doubtful || !matches!(call.state, CallState::Refused(_) | CallState::Deferred(_));
    for call in run.calls.values().filter(counts) {
        if let Call::ChangeRecords { zone, delete, .. } = &call.call {
            // What it found is what was there before, whoever had put it there.
            let seen = Call::ChangeRecords { zone: zone.clone(), delete: Vec::new(), create: delete.clone() };
            apply(&mut found, &seen);
        }
        apply(&mut found, &call.call);
        for place in found.keys().filter(|place| place.is_changed_by(&call.call)) {
            newest.insert(place.clone(), call.changed);
        }
    }
    let mut watch = Watch::new(plan);
    for (place, answer) in found {
        let at = newest.get(&place).copied().unwrap_or(run.started);
        watch.observe(plan, at, &Event::Answer { query: place.query(), result: Ok(answer) });
    }
    watch
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A text of a plan on one line, without anything that could end a comment or a block.
fn plain(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one_line.replace("```", "'''").replace("-->", "->")
}

fn time(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
