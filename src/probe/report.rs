//! What many samples say together: percentiles of every phase, errors by kind, certificates.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::wire::{Line, SampleLine};

/// Longest latency that is told apart from longer ones, in microseconds: longer than any time-out and its lateness.
const LONGEST_US: u64 = 10 * 60 * 1_000_000;
/// Certificates are worth a warning from here on, in days.
const DAYS_LEFT_FEW: i64 = 21;

/// The phases of a request, as they are called in reports.
const PHASES: [&str; 6] = ["dns", "connect", "tls", "first-byte", "total", "from-due"];

/// Histograms of some targets. Percentiles of answers only: what failed is counted by kind, because the time after
/// which somebody gave up says nothing about a latency.
#[derive(Debug)]
pub struct Report {
    digits: u8,
    targets: Vec<Tally>,
}

#[derive(Debug)]
struct Tally {
    url: String,
    ok: u64,
    failed: u64,
    skipped: u64,
    kept: u64,
    errors: BTreeMap<String, u64>,
    phases: [Option<Histogram<u32>>; 6],
    late: Option<Histogram<u32>>,
    days: Option<i64>,
}

/// The last line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// One for each target, in order.
    pub targets: Vec<TargetSummary>,
    /// Outcomes that were dropped because nobody read them in time.
    pub lost: u64,
    /// Significant digits of the percentiles: 4 for up to 10 targets, 3 for up to 100, else 2, so that memory is bounded.
    pub digits: u8,
}

/// What is known of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSummary {
    /// Its URL.
    pub url: String,
    /// Requests that were answered as expected.
    pub ok: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were due and not made, through no fault of the target's.
    pub skipped: u64,
    /// Requests that went over a kept connection.
    pub kept: u64,
    /// How many failed, by kind.
    pub errors: BTreeMap<String, u64>,
    /// By phase; a phase that never was is not there. `from-due` is what counts for somebody who waits: the time from
    /// when the request was due.
    pub phases: BTreeMap<String, Percentiles>,
    /// By how much requests were sent later than they were due.
    pub late: Option<Percentiles>,
    /// Whole days until the certificate that was seen last is no longer valid.
    pub certificate_days: Option<i64>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// How many samples.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 95th percentile.
    pub p95_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// Largest.
    pub max_us: u64,
}

impl Report {
    /// An empty report on these URLs.
    #[must_use]
    pub fn new(urls: impl IntoIterator<Item = String>) -> Report {
        let tally = |url| Tally {
            url,
            ok: 0,
            failed: 0,
            skipped: 0,
            kept: 0,
            errors: BTreeMap::new(),
            phases: [const { None }; 6],
            late: None,
            days: None,
        };
        let targets: Vec<Tally> = urls.into_iter().map(tally).collect();
        // A histogram's memory grows tenfold with every digit.
        let digits = match targets.len() {
            0..=10 => 4,
            11..=100 => 3,
            _ => 2,
        };
        Report { digits, targets }
    }

    /// Takes in a line.
    pub fn add(&mut self, line: &Line) {
        match line {
            Line::Sample(sample) => self.sample(sample),
            Line::Skipped { target, count, .. } => {
                if let Some(tally) = self.targets.get_mut(*target) {
                    tally.skipped += count;
                }
            }
            _ => {}
        }
    }

    fn sample(&mut self, line: &SampleLine) {
        let Some(tally) = self.targets.get_mut(line.target) else { return };
        let sample = &line.sample;
        record(&mut tally.late, self.digits, line.late_us);
        tally.kept += u64::from(sample.kept);
        tally.days = line.certificate_days.or(tally.days);
        if let Some(error) = &sample.error {
            tally.failed += 1;
            *tally.errors.entry(error.clone()).or_default() += 1;
            return;
        }
        tally.ok += 1;
        let phases = [
            sample.dns_us,
            sample.connect_us,
            sample.tls_us,
            sample.first_byte_us,
            Some(sample.total_us),
            Some(line.from_due_us),
        ];
        for (histogram, us) in tally.phases.iter_mut().zip(phases) {
            if let Some(us) = us {
                record(histogram, self.digits, us);
            }
        }
    }

    /// True when every target answered as expected at least once.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.targets.iter().all(|tally| tally.ok > 0)
    }

    /// The numbers.
    #[must_use]
    pub fn summary(&self, lost: u64) -> Summary {
        let targets = self.targets.iter().map(|tally| TargetSummary {
            url: tally.url.clone(),
            ok: tally.ok,
            failed: tally.failed,
            skipped: tally.skipped,
            kept: tally.kept,
            errors: tally.errors.clone(),
            phases: PHASES
                .iter()
                .zip(&tally.phases)
                .filter_map(|(name, histogram)| Some(((*name).to_owned(), percentiles(histogram.as_ref()?))))
                .collect(),
            late: tally.late.as_ref().map(percentiles),
            certificate_days: tally.days,
        });
        Summary { targets: targets.collect(), lost, digits: self.digits }
    }
}

impl Summary {
    /// As a table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        for target in &self.targets {
            let _ = writeln!(
                out,
                "\n{}\n  {} requests: {} as expected, {} failed, {} not made",
                target.url,
                target.ok + target.failed,
                target.ok,
                target.failed,
                target.skipped
            );
            if !target.phases.is_empty() {
                let _ = writeln!(out, "  {:<12}{:>11}{:>11}{:>11}{:>11}", "", "p50", "p95", "p99", "max");
            }
            for name in PHASES {
                if let Some(p) = target.phases.get(name) {
                    let [p50, p95, p99, max] = [p.p50_us, p.p95_us, p.p99_us, p.max_us].map(|us| millis(i64::try_from(us).ok()));
                    let _ = writeln!(out, "  {name:<12}{p50:>11}{p95:>11}{p99:>11}{max:>11}");
                }
            }
            for (kind, count) in &target.errors {
                let _ = writeln!(out, "  failed: {kind} ({count})");
            }
            match target.certificate_days {
                Some(days) if days < DAYS_LEFT_FEW => {
                    let _ = writeln!(out, "  certificate: only {days} days left");
                }
                Some(days) => {
                    let _ = writeln!(out, "  certificate: {days} days left");
                }
                None => {}
            }
        }
        if self.lost > 0 {
            let _ = writeln!(out, "\n{} outcomes were dropped: nobody read them in time", self.lost);
        }
        out
    }
}

fn record(histogram: &mut Option<Histogram<u32>>, digits: u8, us: i64) {
    let value = u64::try_from(us).unwrap_or(0).min(LONGEST_US);
    if histogram.is_none() {
        *histogram = Histogram::new(digits).ok();
    }
    if let Some(histogram) = histogram {
        // It grows as it needs to, and no further than LONGEST_US; only a lack of memory could refuse it.
        let _ = histogram.record(value);
    }
}

fn percentiles(histogram: &Histogram<u32>) -> Percentiles {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Percentiles { count: histogram.len(), p50_us: at(0.5), p95_us: at(0.95), p99_us: at(0.99), max_us: histogram.max() }
}

/// A duration for a column: milliseconds with two places, or a dash.
#[must_use]
pub fn millis(us: Option<i64>) -> String {
    us.map_or_else(|| "-".to_owned(), |us| format!("{}.{:02}ms", us / 1_000, us % 1_000 / 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::http::Sample;

    fn line(total_us: i64, error: Option<&str>) -> Line {
        let sample = Sample {
            first_byte_us: Some(total_us),
            total_us,
            status: Some(200),
            error: error.map(Into::into),
            ..Sample::default()
        };
        Line::Sample(Box::new(SampleLine {
            target: 0,
            url: "https://a/".into(),
            n: 0,
            at_ms: 0,
            due_us: 0,
            late_us: 100,
            from_due_us: total_us + 100,
            done_us: 0,
            certificate_days: Some(3),
            sample,
        }))
    }

    #[test]
    fn percentiles_are_of_answers_and_failures_are_counted_by_kind() {
        let mut report = Report::new(["https://a/".to_owned()]);
        for index in 1..=100 {
            report.add(&line(index * 1_000, None));
        }
        for _ in 0..3 {
            report.add(&line(5_000_000, Some("timeout")));
        }
        report.add(&Line::Skipped { target: 0, n: 0, count: 7, why: "x".into(), done_us: 0 });
        let summary = report.summary(0);
        let target = &summary.targets[0];
        assert_eq!((target.ok, target.failed, target.skipped, target.errors["timeout"]), (100, 3, 7, 3));
        let total = target.phases["total"];
        let near = |a: u64, b: u64| a.abs_diff(b) * 10_000 <= b;
        assert!(near(total.p50_us, 50_000) && near(total.p95_us, 95_000) && near(total.p99_us, 99_000), "{total:?}");
        assert!(near(total.max_us, 100_000) && near(target.phases["from-due"].max_us, 100_100));
        assert!(!target.phases.contains_key("tls"));
        let text = summary.text();
        assert!(text.contains("failed: timeout (3)") && text.contains("certificate: only 3 days left"), "{text}");
        assert!(text.contains("103 requests: 100 as expected, 3 failed, 7 not made"), "{text}");
    }

    #[test]
    fn columns_are_in_milliseconds() {
        assert_eq!((millis(None), millis(Some(1_234_567)), millis(Some(90))), ("-".into(), "1234.56ms".into(), "0.09ms".into()));
    }
}
