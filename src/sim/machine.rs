//! The engine's own machine in a drill: scripts and requests have stand-ins, files are kept in memory. Nothing is ever run.

use std::collections::BTreeMap;

use crate::cloud::{Call, CallId, Failure, FailureKind, Millis, Receipt, spliced};
use crate::plan::{Action, Plan, StandIn, Step, Undo, sha256_hex};

/// How long an edit takes, in milliseconds.
const EDIT_MS: i64 = 20;
/// How long a request takes when the plan does not say, in milliseconds.
const REQUEST_MS: i64 = 400;
/// How long a script takes to find out that a control plane does not answer, in milliseconds.
const AWAY_MS: i64 = 5_000;
/// How long a script takes that is turned away for want of credentials, in milliseconds.
const EXPIRED_MS: i64 = 1_000;
/// How long a script takes that was told to end, in milliseconds.
const STOP_MS: i64 = 200;

/// Scripts, requests and files.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Job → what stands for its script or request.
    stand_ins: BTreeMap<String, Acts>,
    files: BTreeMap<String, String>,
    shows: BTreeMap<CallId, Show>,
}

/// A stand-in, with what its step says of it.
#[derive(Debug, Clone)]
struct Acts {
    stand_in: StandIn,
    takes_ms: i64,
    /// Regions whose control planes it needs.
    planes: Vec<String>,
    outputs: Vec<String>,
}

/// A script or request that was run.
#[derive(Debug, Clone)]
struct Show {
    job: String,
    from: Millis,
    until: Millis,
    lines: Vec<String>,
    good: bool,
}

impl Machine {
    pub(super) fn new(plan: &Plan) -> Machine {
        let mut stand_ins = BTreeMap::new();
        let mut add = |job: String, action: &Action, stand_in: &StandIn, expected_ms: i64| {
            let (usual, planes, outputs) = match action {
                Action::Shell(script) => {
                    (expected_ms.min(script.timeout_ms), script.control_planes.clone(), script.outputs.clone())
                }
                Action::Http(request) => (REQUEST_MS, Vec::new(), request.outputs.iter().map(|(name, _)| name.clone()).collect()),
                _ => return,
            };
            let takes_ms = stand_in.takes_ms.unwrap_or(usual).max(1);
            stand_ins.insert(job, Acts { stand_in: stand_in.clone(), takes_ms, planes, outputs });
        };
        let mut add_step = |job: String, step: &Step| add(job, &step.action, &step.stand_in, step.expected_ms);
        for step in &plan.steps {
            add_step(step.id.clone(), step);
        }
        for step in plan.rollbacks.iter().flat_map(|rollback| &rollback.steps) {
            add_step(format!("rollback {}", step.id), step);
        }
        for step in &plan.steps {
            if let Undo::Script(undo) = &step.undo {
                add(format!("undo {}", step.id), &undo.action, &undo.stand_in, step.expected_ms);
            }
        }
        Machine { stand_ins, files: plan.drill.files.iter().cloned().collect(), shows: BTreeMap::new() }
    }

    /// What a local call is answered, and when, and whether it changed anything. `is_away` says whether a region's control
    /// plane does not answer, `expired` whether the credentials are not valid.
    pub(super) fn perform(
        &mut self,
        now: Millis,
        id: CallId,
        call: &Call,
        is_away: impl Fn(&str) -> bool,
        expired: bool,
    ) -> (Millis, Result<(Receipt, bool), Failure>) {
        match call {
            Call::EditFile { file, before, after, splices } => {
                let edited = self.edit(file, before, after, splices);
                (now + EDIT_MS, edited.map(|changed| (Receipt::default(), changed)).map_err(refused))
            }
            Call::RunScript { job, .. } | Call::MakeRequest { job, .. } => {
                let Some(acts) = self.stand_ins.get(job) else {
                    return (now + 1, Err(refused(format!("the plan has no job '{job}'"))));
                };
                let (takes, lines, result) = match acts.planes.iter().find(|region| is_away(region)) {
                    Some(region) => {
                        let line = format!("Could not connect to the endpoint URL of {region}");
                        (AWAY_MS, vec![line.clone()], Err(refused(format!("exit code 255: {line}"))))
                    }
                    // Whatever needs a control plane asks for it with the engine's credentials.
                    None if expired && !acts.planes.is_empty() => {
                        let line = "An error occurred (ExpiredToken): The security token included in the request is expired";
                        let message = format!("exit code 254: {line}");
                        (EXPIRED_MS, vec![line.to_owned()], Err(Failure { kind: FailureKind::Credentials, message }))
                    }
                    None => (acts.takes_ms, acts.stand_in.prints.clone(), acts.result()),
                };
                let show = Show { job: job.clone(), from: now, until: now + takes, lines, good: result.is_ok() };
                self.shows.insert(id, show);
                (now + takes, result.map(|receipt| (receipt, true)))
            }
            _ => (now + 1, Err(refused("this is not done on the engine's machine".into()))),
        }
    }

    /// Edits a file; whether anything changed, because a second sending finds it done.
    fn edit(&mut self, file: &str, before: &str, after: &str, splices: &[crate::cloud::Splice]) -> Result<bool, String> {
        let text = self.files.get_mut(file).ok_or_else(|| absent(file))?;
        let now = sha256_hex(&*text);
        if now == after {
            return Ok(false);
        }
        match spliced(text, splices).filter(|_| now == before) {
            Some(new) => *text = new,
            None => return Err(format!("{file} was changed after it was read: nothing was written")),
        }
        Ok(true)
    }

    /// Ends a script; when it is answered.
    pub(super) fn stop(&mut self, now: Millis, id: CallId) -> (Millis, Result<Receipt, Failure>) {
        if let Some(show) = self.shows.get_mut(&id) {
            show.until = show.until.min(now + STOP_MS);
            show.good = false;
        }
        (now + STOP_MS, Err(refused("ended: nobody waits for it any more".into())))
    }

    /// The text of a file.
    pub(super) fn file(&self, file: &str) -> Result<&str, Failure> {
        self.files.get(file).map(String::as_str).ok_or_else(|| refused(absent(file)))
    }

    /// Whether the script of a job has nothing left to do: it was run to its end.
    pub(super) fn is_done(&self, job: &str, now: Millis) -> bool {
        self.shows.values().any(|show| show.job == job && show.good && show.until <= now)
    }

    /// What a call has printed by now: its lines are spread over the time that it takes.
    pub(super) fn output(&self, id: CallId, now: Millis) -> &[String] {
        let Some(show) = self.shows.get(&id) else { return &[] };
        let (gone, whole) = ((now - show.from).max(0), (show.until - show.from).max(1));
        let share = i64::try_from(show.lines.len()).unwrap_or(0) * gone.min(whole) / whole;
        show.lines.get(..usize::try_from(share).unwrap_or(0)).unwrap_or(&show.lines)
    }
}

impl Acts {
    fn result(&self) -> Result<Receipt, Failure> {
        if self.stand_in.exit != 0 {
            let last = self.stand_in.prints.last().map(|line| format!(": {line}")).unwrap_or_default();
            return Err(refused(format!("exit code {}{last}", self.stand_in.exit)));
        }
        let said = |name: &String| self.stand_in.outputs.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        let value = |name: &String| (name.clone(), said(name).unwrap_or_else(|| name.to_lowercase()));
        Ok(Receipt { id: String::new(), outputs: self.outputs.iter().map(value).collect() })
    }
}

fn absent(file: &str) -> String {
    format!("there is no file {file} in the drill's working tree")
}

fn refused(message: String) -> Failure {
    Failure { kind: FailureKind::Refused, message }
}
