//! Which entries may follow which: the rules of a run, told a second time and in the simplest way, so that a journal
//! that breaks one is noticed at the entry that does.

use std::collections::{BTreeMap, BTreeSet};

use cutover::cloud::{Call, CallId, Millis};
use cutover::plan::Plan;
use cutover::run::entry::{CallOutcome, Entry, JobRef, RollbackRef};
use cutover::run::snapshot::Outcome;
use cutover::run::state::{definition, restored_by};

/// What is known of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Open,
    Deferred,
    Unknown,
    Refused,
    Applied,
    InSync,
}

/// A rollback that was confirmed.
#[derive(Debug, Clone)]
pub struct Confirmed {
    pub of: RollbackRef,
    pub at: Millis,
    pub fingerprint: String,
    pub done: bool,
    /// A step of it was left out.
    pub is_partial: bool,
}

/// What the entries so far say.
#[derive(Debug, Clone, Default)]
pub struct Book {
    entries: u64,
    pub held: bool,
    pub job: Option<JobRef>,
    acted: bool,
    /// The calls of the job that is going on.
    calls_of_job: Vec<CallId>,
    pub rollback: Option<Confirmed>,
    pub finished: Option<Outcome>,
    /// Steps that are done or left out.
    over: BTreeSet<String>,
    /// Steps that were ever started.
    attempted: BTreeSet<String>,
    /// Who asked for a step to be started behind its shut gate.
    asked: BTreeMap<JobRef, BTreeSet<String>>,
    pub calls: BTreeMap<CallId, (JobRef, Known)>,
    /// Calls some sending of which was never answered.
    doubtful: BTreeSet<CallId>,
    tokens: BTreeSet<String>,
    /// Calls that run a script or make a request.
    scripts: BTreeSet<CallId>,
    /// A step's call was refused because the credentials have expired, and nobody has held the run since.
    expired: bool,
}

impl Book {
    /// Takes in one entry, or says what is wrong with it.
    pub fn entry(&mut self, plan: &Plan, at: Millis, actor: &str, entry: &Entry) -> Result<(), String> {
        self.follow(plan, at, actor, entry).map_err(|why| format!("'{}': {why}", entry.line()))?;
        self.entries += 1;
        Ok(())
    }

    #[allow(clippy::too_many_lines, reason = "one arm per kind of entry, read top to bottom")]
    fn follow(&mut self, plan: &Plan, at: Millis, actor: &str, entry: &Entry) -> Result<(), String> {
        let after_end = matches!(entry, Entry::EngineStarted { .. } | Entry::Note { .. } | Entry::Injected { .. });
        must(self.finished.is_none() || after_end || self.answers(entry), "the run has ended")?;
        must((self.entries == 0) == matches!(entry, Entry::Genesis { .. }), "genesis is the first entry and no other")?;
        match entry {
            Entry::EngineStarted { open, .. } => {
                let known: Vec<CallId> = self.calls.iter().filter(|(_, c)| c.1 == Known::Open).map(|(id, _)| *id).collect();
                must(*open == known, "it names other calls than those without an outcome")?;
                for id in open {
                    self.know(*id, Known::Unknown);
                }
                // A new engine may have other credentials.
                self.expired = false;
            }
            Entry::Started { job, overridden, .. } => {
                self.started(plan, job)?;
                if let Some(reason) = overridden {
                    self.overridden(plan, job, actor, reason)?;
                }
            }
            Entry::OverrideAsked { job, .. } => drop(self.asked.entry(job.clone()).or_default().insert(actor.to_owned())),
            Entry::Skipped { job, .. } => self.skipped(plan, job)?,
            Entry::Intent { id, job, token, call } => {
                must(!self.held, "the run is held")?;
                must(self.job.as_ref() == Some(job) && !self.acted, "that job is not acting")?;
                must(self.calls.keys().all(|known| known < id), "the number was used before")?;
                must(!self.expired || !matches!(job, JobRef::Step(_)), "the credentials have expired, and it goes on")?;
                must(self.tokens.insert(token.clone()), "the token was used before")?;
                self.calls.insert(*id, (job.clone(), Known::Open));
                self.calls_of_job.push(*id);
                if matches!(call, Call::RunScript { .. } | Call::MakeRequest { .. }) {
                    self.scripts.insert(*id);
                }
            }
            Entry::Resent { id, .. } => {
                must(!self.held, "the run is held")?;
                must(matches!(self.known(*id), Some(Known::Deferred | Known::Unknown)), "nobody knows that it failed")?;
                must(!self.expired || self.rolling_back(), "the credentials have expired, and it goes on")?;
                must(self.calls_of_job.contains(id) && self.job.is_some(), "its job is not going on")?;
                self.know(*id, Known::Open);
            }
            Entry::Outcome { id, outcome: CallOutcome::Settled } => {
                // A script says itself whether it was done.
                let refused = self.known(*id) == Some(Known::Refused);
                must((refused || self.scripts.contains(id)) && self.doubtful.contains(id), "there is nothing to settle")?;
                self.know(*id, Known::Applied);
            }
            Entry::Outcome { id, outcome } => {
                let forward = !self.held && matches!(self.job, Some(JobRef::Step(_))) && self.calls_of_job.contains(id);
                let expired = matches!(outcome, CallOutcome::Deferred(why) if why.starts_with("ExpiredToken"));
                self.expired |= forward && expired;
                must(self.known(*id) == Some(Known::Open), "nothing was sent")?;
                self.know(
                    *id,
                    match outcome {
                        CallOutcome::Deferred(_) => Known::Deferred,
                        CallOutcome::Refused(_) => Known::Refused,
                        CallOutcome::Unknown(_) => Known::Unknown,
                        CallOutcome::Accepted(_) | CallOutcome::Settled => Known::Applied,
                    },
                );
            }
            Entry::InSync { id } => {
                must(self.known(*id) == Some(Known::Applied), "it was not applied")?;
                self.know(*id, Known::InSync);
            }
            Entry::Acted { job, .. } => {
                must(self.job.as_ref() == Some(job) && !self.acted, "that job is not acting")?;
                self.must_be_settled(false)?;
                self.acted = true;
            }
            Entry::Done { job, .. } => {
                must(self.job.as_ref() == Some(job) && self.acted, "its action is not done")?;
                self.job = None;
                match job {
                    JobRef::Step(id) => drop(self.over.insert(id.clone())),
                    job => self.undone(plan, job),
                }
            }
            Entry::Failed { job, .. } => {
                must(self.job.as_ref() == Some(job), "that job is not going on")?;
                self.must_be_settled(false)?;
                self.job = None;
                self.held |= !matches!(job, JobRef::Step(_));
            }
            Entry::Reviewed { job } | Entry::Approved { job } | Entry::Ticked { job, .. } => {
                must(self.job.as_ref() == Some(job), "that job is not going on")?;
            }
            Entry::GoOn { on: true, .. } => must(!self.held && !self.rolling_back(), "nothing may go on")?,
            Entry::Held { .. } => (self.held, self.expired) = (true, false),
            Entry::Continued {} => {
                must(self.held, "nothing was held")?;
                self.held = false;
            }
            Entry::RollbackConfirmed { rollback, fingerprint, .. } => {
                must(!self.rolling_back(), "a rollback is going on")?;
                must(!self.rolled_back(), "the run was rolled back")?;
                (self.job, self.acted, self.held, self.expired) = (None, false, false, false);
                let (of, fingerprint) = (rollback.clone(), fingerprint.clone());
                self.rollback = Some(Confirmed { of, at, fingerprint, done: false, is_partial: false });
            }
            Entry::RollbackDone { rollback } => {
                let of_now = self.rollback.as_mut().filter(|r| r.of == *rollback && !r.done);
                let Some(confirmed) = of_now.filter(|_| self.job.is_none()) else { return Err("it is not going on".into()) };
                confirmed.done = true;
            }
            Entry::Finished { outcome } => {
                let all = plan.steps.iter().all(|s| self.over.contains(&s.id));
                must(*outcome != Outcome::Completed || all, "steps are missing")?;
                must(*outcome != Outcome::RolledBack || self.rolled_back(), "there was no rollback")?;
                must(self.job.is_none(), "something is going on")?;
                self.finished = Some(*outcome);
            }
            _ => {}
        }
        Ok(())
    }

    fn started(&mut self, plan: &Plan, job: &JobRef) -> Result<(), String> {
        must(self.job.is_none(), "another job is going on")?;
        must(!self.held, "the run is held")?;
        match job {
            JobRef::Step(id) => {
                must(!self.rolling_back() && !self.rolled_back(), "a rollback has begun")?;
                must(self.next(plan) == Some(id.as_str()), "it is not the next step")?;
                let needs = definition(plan, job).into_iter().flat_map(|s| &s.needs);
                must(needs.into_iter().all(|n| self.over.contains(&plan.steps[*n].id)), "it needs another step first")?;
            }
            JobRef::Rollback(name, _) => {
                let of = self.rollback.as_ref().filter(|r| !r.done).map(|r| &r.of);
                must(of == Some(&RollbackRef::Plan(name.clone())), "that rollback was not confirmed")?;
            }
            JobRef::Undo(step) => {
                let of = self.rollback.as_ref().filter(|r| !r.done).map(|r| &r.of);
                must(of == Some(&RollbackRef::Undo(step.clone())), "that undo was not confirmed")?;
            }
        }
        if let JobRef::Step(id) = job {
            self.attempted.insert(id.clone());
        }
        (self.job, self.acted) = (Some(job.clone()), false);
        self.calls_of_job.clear();
        Ok(())
    }

    /// A gate that is shut may be passed by so many people as the plan asks for.
    fn overridden(&mut self, plan: &Plan, job: &JobRef, actor: &str, reason: &str) -> Result<(), String> {
        must(!reason.trim().is_empty(), "nobody said why")?;
        let mut people = self.asked.remove(job).unwrap_or_default();
        people.insert(actor.to_owned());
        let needed = definition(plan, job).map_or(1, |s| s.override_people as usize);
        must(people.len() >= needed, "it takes more people")
    }

    fn skipped(&mut self, plan: &Plan, job: &JobRef) -> Result<(), String> {
        match (&self.job, job) {
            (Some(going), _) => must(going == job, "another job is going on")?,
            (None, JobRef::Step(id)) => must(self.next(plan) == Some(id.as_str()), "it is not the next step")?,
            (None, _) => must(self.rolling_back(), "no rollback is going on")?,
        }
        self.must_be_settled(true)?;
        self.asked.remove(job);
        self.job = None;
        match job {
            JobRef::Step(id) => {
                must(!self.rolling_back() && !self.rolled_back(), "a rollback has begun")?;
                self.over.insert(id.clone());
            }
            _ => {
                if let Some(rollback) = &mut self.rollback {
                    rollback.is_partial = true;
                }
            }
        }
        Ok(())
    }

    fn next<'a>(&self, plan: &'a Plan) -> Option<&'a str> {
        plan.steps.iter().map(|s| s.id.as_str()).find(|id| !self.over.contains(*id))
    }

    /// An answer may come after the end; it starts nothing.
    fn answers(&self, entry: &Entry) -> bool {
        matches!(entry, Entry::Outcome { id, .. } if self.known(*id) == Some(Known::Open))
    }

    /// A job ends only when nothing of it is under way or in doubt; but for a script or a request, which is never made again
    /// blindly, and which is ended when its step is left out (`may_run`).
    fn must_be_settled(&self, may_run: bool) -> Result<(), String> {
        let calls = self.calls_of_job.iter().filter(|_| self.job.is_some());
        let left = |id: &CallId, known| self.scripts.contains(id) && (known == Known::Unknown || may_run);
        let open = |id: &&CallId| self.known(**id).is_some_and(|known| !is_settled(known) && !left(id, known));
        let open = calls.into_iter().find(open);
        open.map_or(Ok(()), |id| Err(format!("call {id} is {:?}", self.known(*id))))
    }

    /// A step that was taken back is to be done again.
    fn undone(&mut self, plan: &Plan, job: &JobRef) {
        for step in restored_by(plan, job).into_iter().map(|step| &plan.steps[step].id) {
            if self.attempted.contains(step) {
                self.over.remove(step);
            }
        }
    }

    fn known(&self, id: CallId) -> Option<Known> {
        self.calls.get(&id).map(|c| c.1)
    }

    fn know(&mut self, id: CallId, known: Known) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.1 = known;
        }
        if known == Known::Unknown {
            self.doubtful.insert(id);
        }
    }

    pub fn rolling_back(&self) -> bool {
        self.rollback.as_ref().is_some_and(|r| !r.done)
    }

    pub fn rolled_back(&self) -> bool {
        self.rollback.as_ref().is_some_and(|r| r.done && matches!(r.of, RollbackRef::Plan(_)))
    }
}

fn is_settled(known: Known) -> bool {
    matches!(known, Known::Refused | Known::Applied | Known::InSync)
}

fn must(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
