//! The auto-operator of a headless drill: it sees what a person would see, the snapshot and nothing else, and takes
//! a person's time to react.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::cloud::Millis;
use crate::run::command::{Command, Verb};
use crate::run::snapshot::{Armed, Snapshot, Status, StepState};

/// Length of a day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// How often it looks while it waits for a gate, in milliseconds.
const GLANCE_MS: i64 = 30_000;
/// How often it looks when nothing wants it, in milliseconds.
const IDLE_MS: i64 = 600_000;
/// How often it tries a failed step again before it gives up.
const RETRIES: u32 = 3;

/// How often it looks at a rollback whose records cannot be read before it gives up: ten minutes.
const GLANCES: u32 = 1_200;
/// After so many it looks whether another rollback is armed by now: ten seconds.
const SECOND_THOUGHTS: u32 = 20;

/// The auto-operator.
#[derive(Debug, Clone)]
pub struct Operator {
    random: ChaCha8Rng,
    /// The step that it has trouble with, and how often it has tried again.
    trouble: Option<(Option<usize>, u32)>,
    /// Looks at a rollback whose records are still being read.
    glances: u32,
    waiting_since: Option<(usize, Millis)>,
}

/// What the operator does after a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Gives this command at this time, and looks again.
    Command(Millis, Command),
    /// Looks again at this time.
    Look(Millis),
    /// There is nothing more to do for it.
    GiveUp,
}

impl Operator {
    /// An operator whose reaction times follow from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Operator {
        Operator {
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x6f70_6572_6174_6f72),
            trouble: None,
            glances: 0,
            waiting_since: None,
        }
    }

    /// A reaction time in milliseconds.
    fn reaction(&mut self, from_ms: i64, to_ms: i64) -> i64 {
        let span = u64::try_from(to_ms - from_ms).unwrap_or(1).max(1);
        from_ms + i64::try_from(self.random.next_u64() % span).unwrap_or(0)
    }

    /// Counts one more attempt at what is going on or next; false when it has tried often enough.
    fn may_try_again(&mut self, seen: &Snapshot) -> bool {
        let before = self.trouble.filter(|(step, _)| *step == seen.current).map_or(0, |(_, tries)| tries);
        self.trouble = Some((seen.current, before + 1));
        before < RETRIES
    }

    fn soon(&mut self, seen: &Snapshot, command: Command) -> Move {
        Move::Command(seen.now + self.reaction(1_500, 6_000), command)
    }

    /// Looks at the screen.
    pub fn look(&mut self, seen: &Snapshot) -> Move {
        if let Status::Finished(_) = seen.status {
            return Move::GiveUp;
        }
        if let Some(offer) = &seen.offer {
            // It has read what would happen; now it decides.
            if let Some(fingerprint) = &offer.fingerprint {
                self.glances = 0;
                let (name, offer, word) = (offer.name.clone(), fingerprint.clone(), offer.confirm_word.clone());
                return Move::Command(seen.now + self.reaction(3_000, 15_000), Command::ConfirmRollback { name, offer, word });
            }
            if locked_out(seen) {
                return Move::Look(seen.now + GLANCE_MS);
            }
            self.glances += 1;
            let better = seen.undo.armed == Armed::Armed && seen.undo.name != offer.name;
            return match self.glances {
                GLANCES.. => Move::GiveUp,
                SECOND_THOUGHTS.. if better => self.soon(seen, Command::PrepareRollback { name: None }),
                _ => Move::Look(seen.now + 500),
            };
        }
        if let Status::RollingBack { .. } = seen.status {
            return self.sign(seen).unwrap_or(Move::Look(seen.now + IDLE_MS));
        }
        let users_fail = seen.outage.as_ref().is_some_and(|o| o.ended.is_none());
        if users_fail && seen.undo.armed != Armed::Nothing && may(seen, Verb::Rollback) {
            return Move::Command(seen.now + self.reaction(4_000, 20_000), Command::PrepareRollback { name: None });
        }
        if let Status::Held { since, .. } = seen.status {
            // With credentials that have expired nothing can go on: somebody has to log in first.
            if locked_out(seen) && seen.now - since < DAY_MS {
                return Move::Look(seen.now + GLANCE_MS);
            }
            return if self.may_try_again(seen) { self.soon(seen, Command::Continue) } else { Move::GiveUp };
        }
        if let Some(signature) = self.sign(seen) {
            return signature;
        }
        self.go_forward(seen)
    }

    /// Approves or ticks what waits for it.
    fn sign(&mut self, seen: &Snapshot) -> Option<Move> {
        let work = seen.work.as_ref()?;
        if work.state != StepState::Running {
            return None;
        }
        if may(seen, Verb::Approve) {
            return Some(self.soon(seen, Command::Approve { step: work.id.clone() }));
        }
        let open = work.items.iter().position(|(_, done)| !done)?;
        may(seen, Verb::Tick).then(|| self.soon(seen, Command::Tick { step: work.id.clone(), item: open, done: true }))
    }

    fn go_forward(&mut self, seen: &Snapshot) -> Move {
        let (Some(current), Some(work)) = (seen.current, &seen.work) else { return Move::Look(seen.now + IDLE_MS) };
        let step = &seen.steps[current];
        if !work.change_set.is_empty() && may(seen, Verb::Next) {
            return self.soon(seen, Command::Execute { step: work.id.clone(), word: work.confirm_word.clone() });
        }
        if matches!(step.state, StepState::Running | StepState::Verifying) {
            return Move::Look(seen.now + IDLE_MS);
        }
        let begins = seen.started + i64::from(step.day - 1) * DAY_MS;
        if seen.now < begins {
            return Move::Look(begins);
        }
        if may(seen, Verb::Next) {
            if step.state == StepState::Failed && !self.may_try_again(seen) {
                return Move::GiveUp;
            }
            self.waiting_since = None;
            return self.soon(seen, Command::Start { step: step.id.clone() });
        }
        // What is outside its window waits for it, as long as that takes.
        if let Some(opens) = work.window.as_ref().filter(|window| !window.open).and_then(|window| window.changes) {
            self.waiting_since = None;
            return Move::Look(opens);
        }
        // A gate that stays shut for a day is nothing that waiting mends.
        let since = match self.waiting_since {
            Some((waiting, since)) if waiting == current => since,
            _ => seen.now,
        };
        self.waiting_since = Some((current, since));
        if seen.now - since > DAY_MS { Move::GiveUp } else { Move::Look(seen.now + GLANCE_MS) }
    }
}

/// True while the credentials are known to have expired.
fn locked_out(seen: &Snapshot) -> bool {
    seen.credentials_expire.is_some_and(|end| end <= seen.now)
}

fn may(seen: &Snapshot, verb: Verb) -> bool {
    seen.verbs.iter().any(|(v, why)| *v == verb && why.is_none())
}
