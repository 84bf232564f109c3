//! When requests are due: at `start + n × interval`, whatever happened to the ones before.
//!
//! A thread of its own, because the runtime's timers count in whole milliseconds and a request that is sent half a
//! millisecond late looks half a millisecond slower. The thread sleeps until the next request is due and says so.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

/// Longest sleep when nothing is due.
const REST: Duration = Duration::from_hours(1);

/// A request, or several that can no longer be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// Whose.
    pub(super) target: usize,
    /// Its number, from 0.
    pub(super) n: u64,
    /// When it is due.
    pub(super) at: Instant,
    /// How many more after it have been missed with it; a request that was due so long ago is not made.
    pub(super) missed: Option<u64>,
}

/// What shall be due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aim {
    /// Whose requests these are.
    pub(super) target: usize,
    /// When the first one is due. For a target whose schedule has not ended only the end is changed, to the later one.
    pub(super) first: Instant,
    /// The interval.
    pub(super) every: Duration,
    /// None is due after this.
    pub(super) until: Option<Instant>,
    /// How many there are, from the first of all.
    pub(super) count: Option<u64>,
    /// A request that is later than this is not made.
    pub(super) grace: Duration,
}

/// The schedules of all targets.
#[derive(Debug, Default)]
struct Schedule {
    beats: Vec<Option<Beat>>,
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    aim: Aim,
    /// The number of the next request since the schedule began; the time it is due follows from it alone.
    step: u32,
    /// The number of the target's next request, through all its schedules.
    n: u64,
    active: bool,
}

impl Schedule {
    fn aim(&mut self, aim: Aim) {
        if self.beats.len() <= aim.target {
            self.beats.resize(aim.target + 1, None);
        }
        let slot = &mut self.beats[aim.target];
        match slot {
            Some(beat) if beat.active && !beat.is_over() => {
                beat.aim.until = beat.aim.until.zip(aim.until).map(|(old, new)| old.max(new));
            }
            _ => {
                let n = slot.map_or(0, |beat| beat.n);
                *slot = Some(Beat { aim, step: 0, n, active: true });
                self.heap.push(Reverse((aim.first, aim.target)));
            }
        }
    }

    /// The requests that are due now.
    fn due(&mut self, now: Instant, mut out: impl FnMut(Due)) {
        while let Some(&Reverse((at, target))) = self.heap.peek().filter(|Reverse((at, _))| *at <= now) {
            self.heap.pop();
            // An entry of a schedule that another one took the place of.
            let Some(beat) = self.beats[target].as_mut().filter(|beat| beat.active && beat.at() == at) else { continue };
            if beat.is_over() {
                beat.active = false;
                continue;
            }
            let begin = beat.n;
            let mut missed = None;
            // After a pause of the machine only what could still be answered in time is made up for.
            while beat.at() + beat.aim.grace < now && !beat.is_over() {
                missed = Some(missed.map_or(0, |count: u64| count + 1));
                beat.go_on();
            }
            if missed.is_none() {
                beat.go_on();
            }
            out(Due { target, n: begin, at, missed });
            self.heap.push(Reverse((beat.at(), target)));
        }
    }

    fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

impl Beat {
    /// When the next request is due. Counted from the first, so that nothing adds up.
    fn at(&self) -> Instant {
        self.aim.first + self.aim.every * self.step
    }

    /// True when none is due any more.
    fn is_over(&self) -> bool {
        self.aim.until.is_some_and(|until| self.at() > until) || self.aim.count.is_some_and(|count| self.n >= count)
    }

    fn go_on(&mut self) {
        self.n += 1;
        self.step = self.step.saturating_add(1);
    }
}

/// Starts the thread. It ends with the last sender of aims, or when nobody listens any more. Nothing is due before it
/// has started.
pub(super) fn start(aims: Receiver<Aim>, due: UnboundedSender<Due>) -> std::io::Result<()> {
    std::thread::Builder::new().name("probe-clock".to_owned()).spawn(move || run(&aims, &due))?;
    Ok(())
}

fn run(aims: &Receiver<Aim>, sender: &UnboundedSender<Due>) {
    let mut schedule = Schedule::default();
    let begin = Instant::now();
    loop {
        let pause = schedule.next().map_or(REST, |next| next.saturating_duration_since(Instant::now()));
        match aims.recv_timeout(pause) {
            Ok(aim) => {
                let wait = begin.saturating_duration_since(aim.first);
                schedule.aim(Aim { first: aim.first + wait, until: aim.until.map(|until| until + wait), ..aim });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let mut heard = true;
        schedule.due(Instant::now(), |due| heard &= sender.send(due).is_ok());
        if !heard {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn aim(first: Instant) -> Aim {
        Aim { target: 0, first, every: SECOND, until: None, count: None, grace: 5 * SECOND }
    }

    /// What is due when one looks at these times, in milliseconds after the first.
    fn seen(aim: Aim, looks_ms: &[u64]) -> Vec<(u64, u64, Option<u64>)> {
        let mut schedule = Schedule::default();
        schedule.aim(aim);
        let mut out = Vec::new();
        for look in looks_ms {
            schedule.due(aim.first + Duration::from_millis(*look), |due| {
                out.push((due.n, u64::try_from((due.at - aim.first).as_millis()).unwrap(), due.missed));
            });
        }
        out
    }

    #[test]
    fn looking_late_does_not_move_what_comes_after() {
        let first = Instant::now();
        assert_eq!(
            seen(aim(first), &[0, 1_700, 2_999, 3_000]),
            [(0, 0, None), (1, 1_000, None), (2, 2_000, None), (3, 3_000, None)]
        );
        // All that could still be answered is made up for, each with the time at which it was due.
        assert_eq!(seen(aim(first), &[2_500]), [(0, 0, None), (1, 1_000, None), (2, 2_000, None)]);
    }

    #[test]
    fn what_is_too_old_is_counted_and_not_made() {
        let seen = seen(aim(Instant::now()), &[0, 60_500]);
        // 1 to 55 were due more than five seconds ago.
        assert_eq!(seen[1], (1, 1_000, Some(54)));
        assert_eq!(
            seen[2..],
            [(56, 56_000, None), (57, 57_000, None), (58, 58_000, None), (59, 59_000, None), (60, 60_000, None)]
        );
    }

    #[test]
    fn schedules_end_and_begin_again() {
        let first = Instant::now();
        assert_eq!(seen(Aim { count: Some(2), ..aim(first) }, &[5_000]).len(), 2);
        assert_eq!(seen(Aim { until: Some(first), ..aim(first) }, &[5_000]).len(), 1);
        let mut schedule = Schedule::default();
        schedule.aim(Aim { until: Some(first), ..aim(first) });
        let mut numbers = Vec::new();
        schedule.due(first + SECOND, |due| numbers.push(due.n));
        schedule.aim(Aim { until: Some(first + 9 * SECOND), ..aim(first + 8 * SECOND) });
        schedule.due(first + 11 * SECOND, |due| numbers.push(due.n));
        assert_eq!(numbers, [0, 1, 2], "numbers go on, so that a reader can see what is missing");
        // What was not due is not missed either.
        let mut missed = Vec::new();
        schedule.aim(Aim { until: Some(first + 13 * SECOND), ..aim(first + 12 * SECOND) });
        schedule.due(first + 60 * SECOND, |due| missed.push((due.n, due.missed)));
        assert_eq!(missed, [(3, Some(1))]);
        // A schedule that has said its last word is begun anew, and one that has not is only prolonged.
        let mut schedule = Schedule::default();
        let mut seen = Vec::new();
        schedule.aim(Aim { until: Some(first), ..aim(first) });
        schedule.due(first, |due| seen.push(due.at - first));
        schedule.aim(Aim { until: Some(first + 2 * SECOND), ..aim(first + SECOND / 4) });
        schedule.due(first + SECOND / 4, |due| seen.push(due.at - first));
        schedule.aim(Aim { until: Some(first + 3 * SECOND), ..aim(first + SECOND / 2) });
        schedule.due(first + 2 * SECOND, |due| seen.push(due.at - first));
        assert_eq!(seen, [Duration::ZERO, SECOND / 4, SECOND * 5 / 4]);
    }
}
