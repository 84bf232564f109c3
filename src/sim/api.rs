//! What becomes of a request on its way to a service and back: nobody there, not let in, too many, lost, late.

use super::faults::{Faults, RegionId};
use super::rng::{Dice, Stream, below, time};
use crate::cloud::{Failure, FailureKind, Millis};
use crate::plan::Lost;

/// How long it takes to give up on a region that does not answer, in milliseconds.
const CONNECT_TIMEOUT_MS: i64 = 3_000;
/// How long a caller waits for an answer, in milliseconds: the live backend's own limit.
pub(super) const ANSWER_TIMEOUT_MS: i64 = 6_000;
/// How long it takes to be turned away, in milliseconds.
const TURNED_AWAY_MS: i64 = 80;

/// What becomes of a mutating call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, and so does its answer.
    Answered,
    /// It is not taken: after so many milliseconds the caller knows why.
    Refused(i64, Failure),
    /// It never arrives.
    RequestLost,
    /// It arrives, and its answer does not.
    AnswerLost,
    /// It arrives so many milliseconds later, when nobody waits any more.
    Late(i64),
}

/// Which of a region's planes a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    Control,
    Data,
}

/// What becomes of a call to a region. `salt` tells calls apart that are made at the same time.
pub(super) fn of_call(faults: &Faults, dice: Dice, to: (&str, Option<RegionId>, Plane), salt: u64, now: Millis) -> Fate {
    if let Some((after, failure)) = turned_away(faults, dice, to, salt, now) {
        return Fate::Refused(after, failure);
    }
    if let Some((share, lost)) = faults.losses(now)
        && hits(dice, Stream::Lost, salt, now, share)
    {
        let request = dice.roll(Stream::WhatIsLost, salt, time(now)).is_multiple_of(2);
        return match lost {
            Lost::Request => Fate::RequestLost,
            Lost::Either if request => Fate::RequestLost,
            Lost::Answer | Lost::Either => Fate::AnswerLost,
        };
    }
    faults.delay(now).map_or(Fate::Answered, Fate::Late)
}

/// Why a request to a region is not taken, and after how many milliseconds the caller knows.
pub(super) fn turned_away(
    faults: &Faults,
    dice: Dice,
    (name, region, plane): (&str, Option<RegionId>, Plane),
    salt: u64,
    now: Millis,
) -> Option<(i64, Failure)> {
    let away = region.is_some_and(|region| match plane {
        Plane::Control => faults.is_away(region, now),
        Plane::Data => faults.is_down(region, now),
    });
    if away {
        let message = format!("could not connect to {name}: timed out");
        return Some((CONNECT_TIMEOUT_MS, Failure { kind: FailureKind::Unreachable, message }));
    }
    if faults.expired(now) {
        let message = "ExpiredToken: The security token included in the request is expired".to_owned();
        return Some((TURNED_AWAY_MS, Failure { kind: FailureKind::Credentials, message }));
    }
    let share = faults.throttled(now)?;
    hits(dice, Stream::Throttle, salt, now, share).then(|| {
        let message = "Throttling: Rate exceeded".to_owned();
        (TURNED_AWAY_MS, Failure { kind: FailureKind::Throttled, message })
    })
}

/// What the caller knows of a call whose answer did not come.
pub(super) fn unanswered() -> Failure {
    let message = format!("no answer within {} s", ANSWER_TIMEOUT_MS / 1_000);
    Failure { kind: FailureKind::Unknown, message }
}

/// Chance: true for this share of the rolls, in millionths.
pub(super) fn hits(dice: Dice, stream: Stream, salt: u64, now: Millis, share_ppm: i64) -> bool {
    below(dice.roll(stream, salt, time(now)), 1_000_000).cast_signed() < share_ppm
}
