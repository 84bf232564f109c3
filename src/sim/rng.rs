//! Chance, as a stateless hash: the same question always gets the same answer, whatever was asked before.

use crate::cloud::Millis;

/// What a roll is for, so that two uses of the same numbers have nothing to do with each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// How long a query takes.
    QueryLatency = 1,
    /// How long a mutating call takes.
    CallLatency,
    /// Ids that the services hand out.
    Id,
    /// How long a change takes to reach the zone's servers.
    Propagation,
    /// When a resolver first asked.
    ResolverPhase,
    /// Which weighted record a resolver is given.
    ResolverPick,
    /// Which resolver a probe asks.
    ProbeResolver,
    /// How long a probe takes.
    ProbeLatency,
    /// How slow a slow probe is.
    ProbeTail,
    /// Noise of a metric.
    Metric,
    /// How long a stack operation or a change set takes.
    StackDuration,
    /// Which resource a stack fails at.
    StackFailure,
    /// How long it takes until a health check sees, follows or has followed something.
    Health,
    /// Whether a request is throttled.
    Throttle,
    /// Whether a call is lost.
    Lost,
    /// What of it is lost.
    WhatIsLost,
    /// Whether a request to a region that answers badly fails.
    Brownout,
    /// When the heartbeat of an idle database comes.
    Heartbeat,
    /// Which of the users' resolvers one that the plan names is.
    NamedResolver,
}

/// A seed that answers questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dice {
    seed: u64,
}

/// The golden ratio in 64 bits, the increment of `SplitMix64`.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice { seed: mix(seed.wrapping_add(STEP)) }
    }

    /// 64 bits that depend on the seed and all the arguments, and on nothing else.
    pub(super) fn roll(self, stream: Stream, a: u64, b: u64) -> u64 {
        let h = mix(self.seed ^ (stream as u64).wrapping_mul(STEP) ^ a);
        mix(h.wrapping_add(STEP) ^ b)
    }

    /// A number in `low..=high`; the range must be shorter than 2³².
    pub(super) fn between(self, stream: Stream, a: u64, b: u64, low: i64, high: i64) -> i64 {
        low + below(self.roll(stream, a, b), (high - low + 1).cast_unsigned()).cast_signed()
    }

    /// `value`, give or take up to `percent` of it.
    pub(super) fn around(self, stream: Stream, a: u64, b: u64, value: i64, percent: i64) -> i64 {
        let ppm = self.between(stream, a, b, -percent * 10_000, percent * 10_000);
        value + scaled(value, ppm)
    }
}

/// `value × ppm ÷ 1 000 000` without overflow for any value whose result fits.
pub(super) fn scaled(value: i64, ppm: i64) -> i64 {
    value / 1_000_000 * ppm + value % 1_000_000 * ppm / 1_000_000
}

/// Maps 64 random bits to `0..n` for `n` below 2³², by multiplication: no division in the hot path.
pub(super) fn below(roll: u64, n: u64) -> u64 {
    debug_assert!(n > 0 && n <= 1 << 32, "the range must be positive and shorter than 2^32");
    ((roll >> 32) * n) >> 32
}

/// The finalizer of `SplitMix64`.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a over the parts with a separator between them, so that ("ab", "c") and ("a", "bc") differ.
pub(super) fn text(parts: &[&str]) -> u64 {
    let mut h: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            h = (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    h
}

/// A time as an argument of a roll.
pub(super) fn time(at: Millis) -> u64 {
    at.cast_unsigned()
}

/// A small index as an argument of a roll.
pub(super) fn index(i: usize) -> u64 {
    u64::try_from(i).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_pinned() {
        let rolls: Vec<u64> = (0..3).map(|i| Dice::new(7).roll(Stream::Metric, i, 1)).collect();
        assert_eq!(rolls, PINNED, "another generator needs another RULES_VERSION");
        assert_eq!(text(&["ab", "c"]), 2_358_367_985_974_424_609);
        assert_ne!(text(&["ab", "c"]), text(&["a", "bc"]));
    }

    const PINNED: [u64; 3] = [10_050_161_779_104_431_786, 12_597_176_773_350_983_593, 8_018_089_029_762_936_302];

    #[test]
    fn numbers_cover_their_range_and_stay_in_it() {
        let dice = Dice::new(1);
        let all: Vec<i64> = (0..1_000).map(|i| dice.between(Stream::QueryLatency, i, 0, -2, 2)).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&-2), Some(&2)));
        assert!((0..1_000).all(|i| (80..=120).contains(&dice.around(Stream::Metric, i, 0, 100, 20))));
    }
}
