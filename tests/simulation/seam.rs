//! What goes wrong between an engine and the world: on the way there, there, and on the way back.

use cutover::cloud::{Call, Failure, FailureKind, Millis, Query};
use cutover::plan::Plan;

use crate::dice::Dice;

/// After this long without an answer a call counts as unanswered, in milliseconds.
pub const TIMEOUT_MS: i64 = 6_000;
/// A call that is under way arrives after this long at the latest, in milliseconds: much later than its time-out, so
/// after it was sent again, but not at any time. What a whole network may hold back for minutes, no service takes.
pub const ARRIVES_WITHIN_MS: i64 = 45_000;
/// Answers come this late at most, in milliseconds.
pub const LATE_ANSWER_MS: i64 = 200_000;
/// A read shows what was there this long ago at most, in milliseconds.
pub const STALE_MS: i64 = 5_000;

/// What becomes of a call that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfCall {
    /// It arrives, and so does its answer.
    Nothing,
    /// It never arrives. The engine learns that it was not answered.
    LostBefore,
    /// It arrives; its answer does not.
    LostAfter,
    /// It arrives late, after it counted as unanswered; its answer may come as well.
    ArrivesLate { after_ms: i64, answered: bool },
    /// It arrives; its answer comes late, instead of being given up or in addition to that.
    AnsweredLate { after_ms: i64, given_up: bool },
    /// It arrives; its answer comes twice.
    AnsweredTwice { after_ms: i64 },
    /// It does not arrive, and the engine is told so.
    Fails(FailureKind),
}

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfQuestion {
    Nothing,
    /// The answer comes late.
    Late {
        after_ms: i64,
    },
    /// The answer is what was true some time ago.
    Stale {
        by_ms: i64,
    },
    /// There is none.
    Fails(FailureKind),
}

/// How much goes wrong, each in thousandths of all that could.
#[derive(Debug, Clone)]
pub struct Temper {
    pub calls: u64,
    pub questions: u64,
    /// An engine dies or loses its lease in a critical moment.
    pub moments: u64,
    pub slow_disk: u64,
    /// Somebody presses anything instead of what is sensible.
    pub anything: u64,
}

impl Temper {
    pub fn calm() -> Temper {
        Temper { calls: 0, questions: 0, moments: 0, slow_disk: 0, anything: 0 }
    }

    pub fn of(dice: &mut Dice) -> Temper {
        Temper {
            calls: *dice.pick(&[0, 200, 500, 800]),
            questions: *dice.pick(&[0, 2, 10, 40]),
            moments: *dice.pick(&[0, 20, 80, 200]),
            slow_disk: *dice.pick(&[0, 20, 200]),
            anything: *dice.pick(&[20, 100, 300]),
        }
    }

    pub fn of_call(&self, dice: &mut Dice) -> OfCall {
        if !dice.chance(self.calls) {
            return OfCall::Nothing;
        }
        match dice.below(9) {
            0 => OfCall::LostBefore,
            1 | 2 => OfCall::LostAfter,
            3 | 4 => {
                let after_ms = if dice.chance(500) { dice.between(10, TIMEOUT_MS) } else { dice.between(10, ARRIVES_WITHIN_MS) };
                OfCall::ArrivesLate { after_ms, answered: dice.chance(300) }
            }
            5 => OfCall::AnsweredLate { after_ms: dice.between(TIMEOUT_MS, LATE_ANSWER_MS), given_up: dice.chance(700) },
            6 => {
                let late = *dice.pick(&[400, 3_000, LATE_ANSWER_MS]);
                OfCall::AnsweredTwice { after_ms: dice.between(10, late) }
            }
            _ => OfCall::Fails(not_applied(dice)),
        }
    }

    pub fn of_question(&self, dice: &mut Dice, query: &Query) -> OfQuestion {
        if !dice.chance(self.questions) {
            return OfQuestion::Nothing;
        }
        match (dice.below(4), query) {
            (0, Query::Records { .. }) | (1, Query::Records { .. }) => OfQuestion::Stale { by_ms: dice.between(100, STALE_MS) },
            (0 | 1, _) => OfQuestion::Late { after_ms: dice.between(TIMEOUT_MS, LATE_ANSWER_MS) },
            (2, _) => OfQuestion::Late { after_ms: dice.between(100, TIMEOUT_MS) },
            _ if dice.chance(300) => OfQuestion::Fails(FailureKind::Unknown),
            _ => OfQuestion::Fails(not_applied(dice)),
        }
    }
}

/// For some minutes, most of what goes to a control plane has the same trouble.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub until: Millis,
    pub kind: FailureKind,
}

impl Weather {
    pub fn of(dice: &mut Dice, now: Millis) -> Weather {
        let kind = if dice.chance(300) { FailureKind::Unknown } else { not_applied(dice) };
        Weather { until: now + dice.between(20_000, 300_000), kind }
    }

    /// Whether it hits what is sent now.
    pub fn hits(self, dice: &mut Dice, now: Millis) -> bool {
        now < self.until && dice.chance(800)
    }
}

/// A failure that says that nothing was changed.
fn not_applied(dice: &mut Dice) -> FailureKind {
    *dice.pick(&[FailureKind::Throttled, FailureKind::Credentials, FailureKind::Unreachable])
}

pub fn failure(kind: FailureKind) -> Failure {
    let message = match kind {
        FailureKind::Refused => "refused",
        FailureKind::Throttled => "Throttling: rate exceeded",
        FailureKind::Credentials => "ExpiredToken: the security token is expired",
        FailureKind::Unreachable => "cannot connect",
        FailureKind::Unknown => "no answer in time",
    };
    Failure { kind, message: message.into() }
}

/// What somebody else does to the record that carries the traffic.
pub fn edit_of_others(dice: &mut Dice, plan: &Plan, there: &[cutover::plan::RecordSet]) -> Option<Call> {
    let traffic = plan.traffic.as_ref()?;
    let there: Vec<_> = there.iter().collect();
    if there.is_empty() {
        return None;
    }
    let old = (*dice.pick(&there)).clone();
    let mut new = old.clone();
    let change = |delete: Vec<_>, create: Vec<_>| Some(Call::ChangeRecords { zone: traffic.zone.clone(), delete, create });
    match dice.below(8) {
        // Somebody deletes one of the record sets.
        0 if there.len() > 1 => return change(vec![old], Vec::new()),
        // Somebody adds one.
        1 if old.set.is_some() => {
            new.set = Some(format!("other-{}", dice.below(100)));
            new.weight = Some(u8::try_from(dice.below(40)).unwrap());
            return change(Vec::new(), vec![new]);
        }
        // An alias has no address of its own.
        2 | 3 if old.alias.is_some() => {
            let alias = new.alias.iter_mut().next()?;
            alias.name = format!("other-{}.example.com", dice.below(100));
        }
        2 | 3 => new.values = vec![format!("198.51.100.{}", dice.between(1, 250))],
        _ if old.weight.is_some() => new.weight = Some(u8::try_from(dice.between(101, 250)).unwrap()),
        _ if old.alias.is_some() => return None,
        _ => new.values = vec![format!("198.51.100.{}", dice.between(1, 250))],
    }
    change(vec![old], vec![new])
}
