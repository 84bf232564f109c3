//! Judges a drill by what its scenario says: whether all was normal when the first fault began, and when to give up.
//!
//! It sees what the engine sees and nothing of the world but when the first fault began. It never makes the engine read
//! anything more often, so a drill goes the same way with and without it, until it is given up.

use crate::cloud::Millis;
use crate::plan::{Condition, Plan, Scenario};
use crate::run::core::Core;
use crate::run::gate::{self, Tracker};
use crate::run::snapshot::Verdict;

/// A drill's judge.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    steady: Vec<Watched>,
    abort: Vec<Watched>,
    /// Whether all was normal when it was looked at last, before the first fault.
    normal: Option<Verdict>,
    /// That is decided.
    judged: bool,
    /// It came in the middle, when nothing had been seen yet.
    late: bool,
    given_up: Option<String>,
}

/// A condition and how it has been doing.
#[derive(Debug, Clone)]
struct Watched {
    condition: Condition,
    tracker: Tracker,
    /// Time of the newest sample that it has seen.
    newest: Option<Millis>,
}

impl Judge {
    /// A judge who knows a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Judge {
        let watch = |conditions: &[Condition]| {
            let watched =
                |condition: &Condition| Watched { condition: condition.clone(), tracker: Tracker::default(), newest: None };
            conditions.iter().map(watched).collect()
        };
        Judge { steady: watch(&scenario.steady_state), abort: watch(&scenario.abort), ..Judge::default() }
    }

    /// Whether all was normal when the first fault began, or until the end if none did; `None` while that is open, when the
    /// scenario does not say what normal is, or when nobody looked before.
    #[must_use]
    pub fn steady(&self) -> Option<&Verdict> {
        self.normal.as_ref().filter(|_| self.judged)
    }

    /// The drill was left and is gone on with: what was seen before is forgotten, so that not knowing proves nothing.
    pub fn come_late(&mut self) {
        self.late = true;
    }

    /// Why the drill was given up, if it was.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        self.given_up.as_deref()
    }

    /// Looks after something was read.
    pub fn look(&mut self, core: &Core, now: Millis, first_fault: Option<Millis>) {
        if !self.judged && !self.steady.is_empty() {
            if first_fault.is_some_and(|fault| fault <= now) {
                self.judge();
            } else {
                self.normal = Some(all(&mut self.steady, core, now));
            }
        }
        for watched in &mut self.abort {
            if watched.look(core, now) == Verdict::Pass && self.given_up.is_none() {
                self.given_up = Some(watched.text(&core.plan));
            }
        }
    }

    /// The drill has ended.
    pub fn end(&mut self) {
        if !self.judged {
            self.judge();
        }
    }

    fn judge(&mut self) {
        self.judged = true;
        self.normal = self.normal.take().filter(|verdict| !(self.late && matches!(verdict, Verdict::Unknown(_))));
        if let Some(Verdict::Fail(why) | Verdict::Unknown(why)) = &self.normal {
            self.given_up.get_or_insert_with(|| format!("all was not normal before the first fault: {why}"));
        }
    }
}

fn all(watched: &mut [Watched], core: &Core, now: Millis) -> Verdict {
    let mut worst = Verdict::Pass;
    for watched in watched {
        let title = &core.plan.monitors[watched.condition.monitor].title;
        match (watched.look(core, now), &worst) {
            (Verdict::Fail(why), Verdict::Pass | Verdict::Unknown(_)) => worst = Verdict::Fail(format!("{title}: {why}")),
            (Verdict::Unknown(why), Verdict::Pass) => worst = Verdict::Unknown(format!("{title}: {why}")),
            _ => {}
        }
    }
    worst
}

impl Watched {
    fn look(&mut self, core: &Core, now: Millis) -> Verdict {
        let (plan, watch, condition) = (&core.plan, &core.watch, &self.condition);
        let (monitor, ring) = (&plan.monitors[condition.monitor], &watch.rings[condition.monitor]);
        let newest = ring.latest.as_ref().map(|l| l.at);
        if newest != self.newest {
            let gap = newest.zip(self.newest).map(|(new, old)| new - old);
            let broken = gap.is_some_and(|gap| gap > watch.stale_after_ms(plan, condition.monitor));
            self.tracker.reading(condition, ring, monitor, now, true, broken);
            self.newest = newest;
        }
        gate::verdict_of(plan, watch, condition, Some(&self.tracker), now)
    }

    /// What held, for people.
    fn text(&self, plan: &Plan) -> String {
        format!("{} {}", plan.monitors[self.condition.monitor].title, gate::want_text(&self.condition))
    }
}
