//! The resolvers between the users and the zone: each keeps the answer it got for as long as its TTL says
//! (rule 7), so traffic moves step by step after a change is in sync.
//!
//! A resolver asks again the moment its answer runs out. Its whole life is thus a grid of refresh times per
//! version of the record, and what it has cached at any time is computed in one step, even after days.

use super::faults::RegionId;
use super::rng::{self, Dice, Stream, below};
use super::traffic::Answers;
use crate::cloud::Millis;

/// How many resolvers the users sit behind, each with the same share of them.
pub(super) const RESOLVERS: usize = 200;
/// The same, for arithmetic.
pub(super) const RESOLVERS_MS: i64 = 200;

/// All resolvers.
#[derive(Debug, Clone)]
pub(super) struct Resolvers {
    dice: Dice,
    /// What the zone's servers answered over time, oldest first; never empty.
    versions: Vec<Version>,
}

/// One version of the record that carries the traffic.
#[derive(Debug, Clone)]
struct Version {
    /// Since when the zone's servers answer with it.
    since: Millis,
    /// When the last resolver has it.
    settled: Millis,
    answers: Answers,
    /// Sum of the weights.
    total: u64,
    /// True when there is nothing to choose: all answers lead to the same region.
    fixed: bool,
    /// When each resolver first asks at or after `since`.
    first: Vec<Millis>,
}

impl Version {
    fn new(since: Millis, answers: Answers, first: Vec<Millis>) -> Version {
        let total = answers.choices.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let fixed = answers.choices.iter().all(|(region, _)| *region == answers.choices[0].0);
        let settled = first.iter().copied().max().unwrap_or(since);
        Version { since, settled, answers, total, fixed, first }
    }

    /// What a resolver that asks at `refresh` is given.
    fn pick(&self, dice: Dice, resolver: usize, refresh: Millis) -> Option<RegionId> {
        if self.fixed {
            return self.answers.choices[0].0;
        }
        let mut left = below(dice.roll(Stream::ResolverPick, rng::index(resolver), rng::time(refresh)), self.total);
        for (region, weight) in &self.answers.choices {
            let weight = u64::from(*weight);
            if left < weight {
                return *region;
            }
            left -= weight;
        }
        None
    }

    /// The last time at or before `at` that a resolver asked; `at` is not before its first time.
    fn refresh(&self, resolver: usize, at: Millis) -> Millis {
        let first = self.first[resolver];
        at - (at - first) % self.answers.ttl_ms
    }
}

impl Resolvers {
    pub(super) fn new(dice: Dice, start: Millis, answers: Answers) -> Resolvers {
        // They have asked before the start, each at another moment of the TTL.
        let phase = |r: usize| dice.between(Stream::ResolverPhase, rng::index(r), 0, 0, answers.ttl_ms - 1);
        let first: Vec<Millis> = (0..RESOLVERS).map(|r| start - answers.ttl_ms + phase(r)).collect();
        let since = start - 2 * answers.ttl_ms;
        Resolvers { dice, versions: vec![Version::new(since, answers, first)] }
    }

    /// Takes back what has not been answered yet at a time.
    pub(super) fn forget_after(&mut self, at: Millis) {
        let kept = self.versions.partition_point(|v| v.since <= at).max(1);
        self.versions.truncate(kept);
    }

    /// The zone's servers answer differently from `since` on. Changes come in order.
    pub(super) fn change(&mut self, since: Millis, answers: Answers) {
        let Some(old) = self.versions.last() else { return };
        if old.answers == answers {
            return;
        }
        let next = |r: usize| {
            let first = old.first[r];
            if first >= since { first } else { old.refresh(r, since - 1) + old.answers.ttl_ms }
        };
        let first = (0..RESOLVERS).map(next).collect();
        self.versions.push(Version::new(since, answers, first));
    }

    /// Where a resolver's cached answer leads; `None` when there is no record.
    pub(super) fn cached(&self, resolver: usize, at: Millis) -> Option<RegionId> {
        let version = self.known_to(resolver, at);
        version.pick(self.dice, resolver, version.refresh(resolver, at))
    }

    /// The version of the record that a resolver has.
    fn known_to(&self, resolver: usize, at: Millis) -> &Version {
        let newest = self.versions.partition_point(|v| v.since <= at);
        let known = self.versions[..newest].iter().rev().find(|v| v.first[resolver] <= at);
        known.unwrap_or(&self.versions[0])
    }

    /// Where a resolver's cached answer leads, and for how long it may still be kept, in milliseconds.
    pub(super) fn remembered(&self, resolver: usize, at: Millis) -> (Option<RegionId>, i64) {
        let version = self.known_to(resolver, at);
        let refresh = version.refresh(resolver, at);
        (version.pick(self.dice, resolver, refresh), refresh + version.answers.ttl_ms - at)
    }

    /// What one of the zone's own servers answers, and the TTL that it gives with it, in milliseconds.
    pub(super) fn in_sync(&self, server: usize, at: Millis) -> (Option<RegionId>, i64) {
        let newest = self.versions.partition_point(|v| v.since <= at).max(1);
        let version = &self.versions[newest - 1];
        // It remembers nothing, so it chooses each time anew, and its choices are nobody's else.
        (version.pick(self.dice, RESOLVERS + server, at), version.answers.ttl_ms)
    }

    /// True when some answer ever led nowhere.
    pub(super) fn ever_nowhere(&self) -> bool {
        self.versions.iter().any(|v| v.answers.choices.iter().any(|(region, _)| region.is_none()))
    }

    /// How many resolver-milliseconds each region had between two times. The last entry is for nowhere.
    pub(super) fn spread(&self, from: Millis, until: Millis, regions: usize) -> Vec<i64> {
        let mut spread = vec![0; regions + 1];
        if until <= from {
            return spread;
        }
        let begin = self.versions.partition_point(|v| v.settled <= from).saturating_sub(1);
        let end = self.versions.partition_point(|v| v.since < until);
        // Most of a plan's days nothing moves: then one region has it all, and there is nothing to count.
        if let [version] = &self.versions[begin..end.max(begin + 1)]
            && version.fixed
            && version.settled <= from
        {
            spread[version.answers.choices[0].0.unwrap_or(regions)] = (until - from) * RESOLVERS_MS;
            return spread;
        }
        for resolver in 0..RESOLVERS {
            self.add(resolver, from, until, begin, &mut spread);
        }
        spread
    }

    /// Adds what one resolver had cached between two times.
    fn add(&self, resolver: usize, from: Millis, until: Millis, begin: usize, spread: &mut [i64]) {
        let nowhere = spread.len() - 1;
        for (i, version) in self.versions.iter().enumerate().skip(begin) {
            let next = self.versions.get(i + 1).map_or(Millis::MAX, |v| v.first[resolver]);
            let mut at = from.max(version.first[resolver]);
            let end = until.min(next);
            while at < end {
                let refresh = version.refresh(resolver, at);
                let region = version.pick(self.dice, resolver, refresh);
                // Where there is nothing to choose, the refreshes make no difference.
                let held = if version.fixed { end } else { end.min(refresh + version.answers.ttl_ms) };
                spread[region.unwrap_or(nowhere)] += held - at;
                at = held;
            }
            if version.since >= until {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(ttl_ms: i64, choices: &[(Option<RegionId>, u32)]) -> Answers {
        Answers { ttl_ms, choices: choices.to_vec() }
    }

    fn count(resolvers: &Resolvers, region: RegionId, at: Millis) -> usize {
        (0..RESOLVERS).filter(|r| resolvers.cached(*r, at) == Some(region)).count()
    }

    #[test]
    fn rule_7_answers_move_over_one_ttl_after_the_change() {
        let mut resolvers = Resolvers::new(Dice::new(1), 0, answers(60_000, &[(Some(0), 1)]));
        resolvers.change(100_000, answers(60_000, &[(Some(1), 1)]));
        assert_eq!(count(&resolvers, 1, 99_999), 0);
        let half = count(&resolvers, 1, 130_000);
        assert!((60..140).contains(&half), "{half}");
        assert_eq!(count(&resolvers, 1, 160_000), RESOLVERS);
    }

    #[test]
    fn an_old_long_ttl_outlives_the_change_that_shortens_it() {
        let mut resolvers = Resolvers::new(Dice::new(1), 0, answers(3_600_000, &[(Some(0), 1)]));
        resolvers.change(10_000, answers(60_000, &[(Some(0), 1)]));
        resolvers.change(100_000, answers(60_000, &[(Some(1), 1)]));
        let moved = count(&resolvers, 1, 200_000);
        assert!(moved < 30, "{moved} resolvers forgot an answer that they may keep for an hour");
        assert_eq!(count(&resolvers, 1, 3_700_000), RESOLVERS);
    }

    #[test]
    fn the_sum_over_a_span_is_what_single_looks_add_up_to() {
        let mut resolvers = Resolvers::new(Dice::new(9), 0, answers(7_000, &[(Some(0), 3), (Some(1), 1)]));
        resolvers.change(20_500, answers(3_000, &[(None, 1)]));
        resolvers.change(20_500, answers(4_000, &[(Some(1), 1), (Some(0), 1)]));
        resolvers.change(31_000, answers(4_000, &[(Some(1), 1)]));
        for (from, until) in [(0, 60_000), (19_000, 22_000), (30_999, 31_001), (25_000, 33_000), (50_000, 51_000)] {
            let mut looked = vec![0; 3];
            for at in from..until {
                for r in 0..RESOLVERS {
                    looked[resolvers.cached(r, at).unwrap_or(2)] += 1;
                }
            }
            assert_eq!(resolvers.spread(from, until, 2), looked, "{from}..{until}");
        }
    }

    #[test]
    fn weights_are_what_the_share_comes_to_over_time() {
        let resolvers = Resolvers::new(Dice::new(3), 0, answers(60_000, &[(Some(0), 90), (Some(1), 10)]));
        let spread = resolvers.spread(0, 86_400_000, 2);
        let ppm = spread[1] * 1_000 / (spread[0] + spread[1]);
        assert!((98..=102).contains(&ppm), "{ppm} per mille");
    }
}
