//! What one monitor gave in one minute: what is kept of its samples when they are gone, and what downtime is counted from.

use std::mem;

use serde::{Deserialize, Serialize};

use crate::cloud::Millis;

/// A minute in milliseconds.
pub const MINUTE_MS: i64 = 60_000;

/// The samples of one monitor in one minute of Unix time. Times are Unix milliseconds; numbers are millionths of the
/// monitor's base unit, over the samples that did not fail, percentiles by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minute {
    /// When it began.
    pub begins: Millis,
    /// How many samples there were; never 0.
    pub samples: u32,
    /// How many of them failed.
    pub failed: u32,
    /// Smallest, median, 95th percentile and largest number; `None` when all failed.
    pub numbers: Option<Numbers>,
    /// The first sample.
    pub first: Millis,
    /// The last one.
    pub last: Millis,
    /// The first and the last that did not fail.
    pub good: Option<(Millis, Millis)>,
    /// The first and the last that failed.
    pub bad: Option<(Millis, Millis)>,
    /// The last that did not fail before the first that failed.
    pub good_before: Option<Millis>,
    /// The first that did not fail after the last that failed.
    pub good_after: Option<Millis>,
}

/// What a minute's numbers were like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Smallest.
    pub min: i64,
    /// Median.
    pub p50: i64,
    /// 95th percentile.
    pub p95: i64,
    /// Largest.
    pub max: i64,
}

/// The minute that is not over yet.
#[derive(Debug, Clone, Default)]
pub struct Gathering {
    minute: Option<Minute>,
    numbers: Vec<i64>,
}

impl Gathering {
    /// Takes in a sample, `None` for a failed one, no older than those before it. Gives the minute that this one ends.
    pub fn add(&mut self, at: Millis, number: Option<i64>) -> Option<Minute> {
        let begins = at - at.rem_euclid(MINUTE_MS);
        let over = if self.minute.is_some_and(|m| m.begins != begins) { self.end() } else { None };
        let minute = self.minute.get_or_insert(Minute {
            begins,
            samples: 0,
            failed: 0,
            numbers: None,
            first: at,
            last: at,
            good: None,
            bad: None,
            good_before: None,
            good_after: None,
        });
        minute.samples += 1;
        minute.last = at;
        if let Some(number) = number {
            self.numbers.push(number);
            minute.good = Some((minute.good.map_or(at, |g| g.0), at));
            if minute.bad.is_some() {
                minute.good_after.get_or_insert(at);
            }
        } else {
            minute.failed += 1;
            if minute.bad.is_none() {
                minute.good_before = minute.good.map(|g| g.1);
            }
            minute.bad = Some((minute.bad.map_or(at, |b| b.0), at));
            minute.good_after = None;
        }
        over
    }

    /// The minute, if it has been over for so long at `now` that nothing late is waited for.
    pub fn end_before(&mut self, now: Millis, patience_ms: i64) -> Option<Minute> {
        let minute = self.minute?;
        if now - minute.begins >= MINUTE_MS + patience_ms { self.end() } else { None }
    }

    fn end(&mut self) -> Option<Minute> {
        let mut minute = self.minute.take()?;
        let mut numbers = mem::take(&mut self.numbers);
        numbers.sort_unstable();
        let rank = |p: usize| numbers.get((numbers.len() * p).div_ceil(100).saturating_sub(1)).copied();
        minute.numbers =
            rank(0).zip(rank(50)).zip(rank(95)).zip(rank(100)).map(|(((min, p50), p95), max)| Numbers { min, p50, p95, max });
        // The space is used again for the next minute.
        numbers.clear();
        self.numbers = numbers;
        Some(minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_knows_what_surrounds_its_failures() {
        let mut gathering = Gathering::default();
        let samples = [(0, Some(5)), (10, Some(1)), (20, None), (30, Some(9)), (40, None), (50, Some(3)), (59, Some(4))];
        for (second, number) in samples {
            assert_eq!(gathering.add(600_000 + second * 1_000, number), None);
        }
        let at = |second: i64| 600_000 + second * 1_000;
        let wanted = Minute {
            begins: at(0),
            samples: 7,
            failed: 2,
            numbers: Some(Numbers { min: 1, p50: 4, p95: 9, max: 9 }),
            first: at(0),
            last: at(59),
            good: Some((at(0), at(59))),
            bad: Some((at(20), at(40))),
            good_before: Some(at(10)),
            good_after: Some(at(50)),
        };
        assert_eq!(gathering.clone().end_before(at(60) + 9_999, 10_000), None);
        assert_eq!(gathering.clone().end_before(at(60) + 10_000, 10_000), Some(wanted));
        assert_eq!(gathering.add(at(60), None), Some(wanted));
        let next = gathering.add(at(120), Some(1)).unwrap();
        assert_eq!((next.samples, next.failed, next.numbers, next.good, next.bad), (1, 1, None, None, Some((at(60), at(60)))));
    }
}
