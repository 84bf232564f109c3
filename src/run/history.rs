//! What a monitor gave before now, for charts alone: no gate and no decision looks at it. It is bounded, whatever the
//! length of the run.

use std::collections::VecDeque;

use super::minute::{MINUTE_MS, Minute, Numbers};
use crate::cloud::Millis;

/// A sample: when it was taken, and its number; `None` for a failed one.
pub type Sample = (Millis, Option<i64>);

/// How long minutes are told apart, in milliseconds.
pub const HOURS_MS: i64 = 6 * 3_600_000;
/// Points into which a whole run is divided at most.
const POINTS: usize = 512;
/// Samples of earlier engines that are shown at most.
const SAMPLES: usize = 2_000;

/// Some time of one monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it begins.
    pub at: Millis,
    /// How many samples there are in it; never 0.
    pub samples: u32,
    /// How many of them failed.
    pub failed: u32,
    /// What its numbers are like; `None` when all failed. Of more than one minute: smallest and largest of all, the mean
    /// of the medians by their samples, and the 95th percentile of the worst minute.
    pub numbers: Option<Numbers>,
}

impl Point {
    /// A point of one sample.
    #[must_use]
    pub fn of((at, number): Sample) -> Point {
        let numbers = number.map(|number| Numbers { min: number, p50: number, p95: number, max: number });
        Point { at, samples: 1, failed: u32::from(number.is_none()), numbers }
    }

    /// Takes another one in.
    pub fn absorb(&mut self, other: &Point) {
        let good = |p: &Point| i128::from(p.samples - p.failed.min(p.samples)).max(1);
        self.numbers = match (self.numbers, other.numbers) {
            (Some(one), Some(two)) => {
                let (a, b) = (good(self), good(other));
                let mean = (i128::from(one.p50) * a + i128::from(two.p50) * b) / (a + b);
                Some(Numbers {
                    min: one.min.min(two.min),
                    p50: i64::try_from(mean).unwrap_or(one.p50),
                    p95: one.p95.max(two.p95),
                    max: one.max.max(two.max),
                })
            }
            (one, two) => one.or(two),
        };
        self.samples = self.samples.saturating_add(other.samples);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

/// What one monitor gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Samples that earlier engines of this run took, oldest first. They are never in a ring: gates begin anew.
    pub before: Vec<Sample>,
    /// The last [`HOURS_MS`] by the minute, oldest first.
    pub minutes: VecDeque<Point>,
    /// The whole run, oldest first.
    pub run: Vec<Point>,
    /// How long one point of the whole run is, in milliseconds.
    pub step_ms: i64,
}

impl Default for History {
    fn default() -> History {
        History { before: Vec::new(), minutes: VecDeque::new(), run: Vec::new(), step_ms: MINUTE_MS }
    }
}

impl History {
    /// Takes in a minute, no older than those before it.
    pub fn add(&mut self, minute: &Minute) {
        let point = Point { at: minute.begins, samples: minute.samples, failed: minute.failed, numbers: minute.numbers };
        match self.minutes.back_mut() {
            // A minute may come in parts.
            Some(last) if last.at == point.at => last.absorb(&point),
            _ => self.minutes.push_back(point),
        }
        while self.minutes.front().is_some_and(|first| point.at - first.at > HOURS_MS) {
            self.minutes.pop_front();
        }
        let old = self.before.iter().take_while(|sample| point.at - sample.0 > HOURS_MS).count();
        self.before.drain(..old);
        push(&mut self.run, point, self.step_ms);
        while self.run.len() > POINTS {
            self.step_ms *= 2;
            for point in std::mem::take(&mut self.run) {
                push(&mut self.run, point, self.step_ms);
            }
        }
    }

    /// Takes in a sample of an earlier engine, no older than those before it.
    pub fn recall(&mut self, sample: Sample) {
        if self.before.len() >= SAMPLES * 2 {
            self.before.drain(..SAMPLES);
        }
        self.before.push(sample);
    }
}

fn push(points: &mut Vec<Point>, mut point: Point, step_ms: i64) {
    point.at -= point.at.rem_euclid(step_ms);
    match points.last_mut() {
        Some(last) if last.at == point.at => last.absorb(&point),
        _ => points.push(point),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::minute::Gathering;

    #[test]
    fn three_weeks_by_the_second_stay_small_and_nothing_is_lost_of_them() {
        let (mut history, mut gathering) = (History::default(), Gathering::default());
        let days = 21;
        for second in 0..days * 86_400_i64 / 5 {
            let failed = second % 1_000 == 7;
            if let Some(minute) = gathering.add(second * 5_000, (!failed).then_some(second % 97)) {
                history.add(&minute);
            }
        }
        assert!(history.run.len() <= POINTS && history.run.len() > POINTS / 2, "{}", history.run.len());
        assert_eq!(history.step_ms, 64 * MINUTE_MS);
        assert_eq!(history.minutes.len(), 361);
        let (samples, failed) = history.run.iter().fold((0, 0), |sum, p| (sum.0 + p.samples, sum.1 + p.failed));
        // All but the minute that is not over.
        assert_eq!((samples, failed), (362_868, 363));
        let numbers = history.run[7].numbers.unwrap();
        assert_eq!((numbers.min, numbers.max), (0, 96));
        assert!((40..56).contains(&numbers.p50), "{numbers:?}");
    }
}
