//! HTTP probes: how long a request takes from a vantage point to a region.

use super::faults::Regions;
use super::rng::{self, Dice, Stream};
use crate::cloud::Millis;
use crate::plan::{HttpSource, Measure, MonitorId, Plan};

/// Round trip to a region of which the plan says nothing, in microseconds.
const DEFAULT_RTT_US: i64 = 25_000;
/// How long the service itself takes, in microseconds.
const SERVICE_US: i64 = 4_000;
/// One probe in so many is slow.
const SLOW_ONE_IN: u64 = 500;
/// How long a resolver takes to say that there is no such record, in milliseconds.
pub(super) const NO_RECORD_MS: i64 = 20;

/// Quantiles of a lognormal distribution with σ = 0.08 in steps of 1/32, in thousandths of the median: what
/// times on a network that is not congested look like, without a float.
const SPREAD: [i64; 33] = [
    809, 862, 885, 900, 912, 922, 931, 940, 947, 955, 962, 968, 975, 981, 987, 994, 1000, 1006, 1013, 1019, 1026, 1033, 1040,
    1047, 1055, 1064, 1074, 1084, 1096, 1111, 1131, 1161, 1236,
];

/// An HTTP monitor, prepared.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    monitor: MonitorId,
    /// It measures the network only, not the service.
    connect: bool,
    /// Longest wait, in milliseconds.
    pub(super) timeout_ms: i64,
    /// Per region: what the probe measures and what it takes altogether, in microseconds, at the median.
    times: Vec<(i64, i64)>,
    /// The same for a region that is not in the list.
    elsewhere: (i64, i64),
}

impl Probe {
    pub(super) fn new(monitor: MonitorId, source: &HttpSource, plan: &Plan, regions: &Regions) -> Probe {
        // TCP and TLS cost a round trip each before the request can be sent.
        let trips = if source.url.starts_with("http://") { 2 } else { 3 };
        let times = |rtt: i64| {
            let total = trips * rtt + SERVICE_US;
            let measured = match source.measure {
                Measure::Connect => rtt,
                Measure::FirstByte => rtt + SERVICE_US,
                Measure::Total => total,
            };
            (measured, total)
        };
        let rows = plan.drill.latency.get(&source.from);
        let rtt = |region: &String| rows.and_then(|r| r.get(region)).copied().unwrap_or(DEFAULT_RTT_US);
        Probe {
            monitor,
            connect: source.measure == Measure::Connect,
            timeout_ms: source.timeout_ms.max(1),
            times: regions.names().iter().map(|region| times(rtt(region))).collect(),
            elsewhere: times(DEFAULT_RTT_US),
        }
    }

    /// What a probe to a region that is up measures, and how long it takes, both in microseconds; `slower_us`: by how much
    /// the service is slower than usual.
    pub(super) fn run(&self, dice: Dice, region: usize, slower_us: i64, now: Millis) -> (i64, i64) {
        let (measured, total) = self.times.get(region).copied().unwrap_or(self.elsewhere);
        let roll = dice.roll(Stream::ProbeLatency, rng::index(self.monitor), rng::time(now));
        let usual = factor(roll) * 1_000;
        let slow = rng::below(roll.rotate_left(32), SLOW_ONE_IN) == 0;
        let factor = if slow { factor(roll) * self.tail(dice, now) } else { usual };
        // Slow is not broken: where nothing is wrong, no probe runs into its time-out.
        let factor = if total * factor / 1_000_000 >= self.timeout_ms * 1_000 { usual } else { factor };
        let measured = measured * factor / 1_000_000 + if self.connect { 0 } else { slower_us };
        (measured, total * factor / 1_000_000 + slower_us)
    }

    /// How much slower a slow probe is, in thousandths.
    fn tail(&self, dice: Dice, now: Millis) -> i64 {
        dice.between(Stream::ProbeTail, rng::index(self.monitor), rng::time(now), 2_000, 4_000)
    }
}

/// A factor from [`SPREAD`], in thousandths, between two quantiles; it uses the upper half of the roll.
fn factor(roll: u64) -> i64 {
    let place = usize::try_from(roll >> 59).unwrap_or(0);
    let between = (roll >> 49 & 0x3ff).cast_signed();
    SPREAD[place] + (SPREAD[place + 1] - SPREAD[place]) * between / 1_024
}
