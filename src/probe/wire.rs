//! The lines that `cutover probe --json` prints and that an agent writes: one JSON object each, told apart by `kind`.
//!
//! This is a contract. Within one version of the protocol fields are added and never change their meaning; a reader
//! skips those that it does not know. All times are durations in microseconds (`_us`) or milliseconds (`_ms`); a phase
//! that was not reached, or not needed, is `null`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::http::Sample;
use super::prober::{Measured, Outcome};
use super::report::Summary;
use crate::plan::{Connection, Family, HttpSource, Measure, Protocol};

/// The version of these lines.
pub const PROTOCOL: u32 = 1;

/// What an agent reads: one line, before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The version of the protocol; an agent refuses any other than its own.
    pub protocol: u32,
    /// What is measured.
    pub targets: Vec<Target>,
    /// The agent ends when it has read nothing for so long, in milliseconds. Without it, only when its input ends.
    #[serde(default)]
    pub silence_ms: Option<u64>,
}

/// One target of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `http://` or `https://` URL.
    pub url: String,
    /// The interval in milliseconds.
    pub every_ms: u64,
    /// Connect here (`host:port`) instead.
    #[serde(default)]
    pub connect_to: Option<String>,
    /// Expected status.
    #[serde(default = "ok")]
    pub status: u16,
    /// Time-out of the whole request in milliseconds.
    #[serde(default = "five_seconds")]
    pub timeout_ms: i64,
    /// `fresh` or `kept`.
    #[serde(default)]
    pub connection: Connection,
    /// `any`, `http1.1` or `http2`.
    #[serde(default)]
    pub protocol: Protocol,
    /// `any`, `ipv4` or `ipv6`.
    #[serde(default)]
    pub family: Family,
}

fn ok() -> u16 {
    200
}

fn five_seconds() -> i64 {
    5_000
}

impl Target {
    /// A plan's monitor as a target.
    #[must_use]
    pub fn of(source: &HttpSource, every_ms: i64) -> Target {
        Target {
            url: source.url.clone(),
            every_ms: u64::try_from(every_ms).unwrap_or(0),
            connect_to: source.connect_to.clone(),
            status: source.status,
            timeout_ms: source.timeout_ms,
            connection: source.connection,
            protocol: source.protocol,
            family: source.family,
        }
    }

    /// What is asked of the prober.
    #[must_use]
    pub fn source(&self) -> HttpSource {
        HttpSource {
            url: self.url.clone(),
            connect_to: self.connect_to.clone(),
            status: self.status,
            timeout_ms: self.timeout_ms,
            measure: Measure::Total,
            from: super::LOCAL.to_owned(),
            connection: self.connection,
            protocol: self.protocol,
            family: self.family,
        }
    }
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// The first line.
    Start {
        /// The version of the protocol.
        protocol: u32,
        /// The release that measures.
        cutover: String,
        /// The URLs, by the number that later lines have as `target`.
        targets: Vec<String>,
    },
    /// One request.
    Sample(Box<SampleLine>),
    /// Requests that were due and not made, through no fault of the target's: neither good nor bad.
    Skipped {
        /// Number of the target.
        target: usize,
        /// Number of the first one.
        n: u64,
        /// How many.
        count: u64,
        /// Why.
        why: String,
        /// When it was known, in microseconds after the start.
        done_us: i64,
    },
    /// An agent has nothing to say and is well.
    Alive {
        /// When, in microseconds after the start.
        done_us: i64,
    },
    /// The last line, but not of an agent.
    Summary(Summary),
    /// An agent does not take the job.
    Refused {
        /// The version of the protocol that it speaks.
        protocol: u32,
        /// Why.
        why: String,
    },
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleLine {
    /// Number of the target.
    pub target: usize,
    /// Its URL.
    pub url: String,
    /// Number of the request, from 0; a number that is missing was skipped or is not answered yet.
    pub n: u64,
    /// When it was known by the clock of the machine that measures, in Unix milliseconds. For people: nothing
    /// is decided on it.
    pub at_ms: i64,
    /// When it was due, in microseconds after the start.
    pub due_us: i64,
    /// By how much it was sent later than it was due.
    pub late_us: i64,
    /// From when it was due to the end.
    pub from_due_us: i64,
    /// When it was known, in microseconds after the start.
    pub done_us: i64,
    /// Whole days until the server's certificate is no longer valid, by the clock of the machine that measures; negative
    /// when it is not. Null without TLS.
    pub certificate_days: Option<i64>,
    /// What it saw, counted from when it was sent.
    #[serde(flatten)]
    pub sample: Sample,
}

impl Line {
    /// The first line for these targets.
    #[must_use]
    pub fn start(targets: &[Target]) -> Line {
        Line::Start {
            protocol: PROTOCOL,
            cutover: env!("CARGO_PKG_VERSION").to_owned(),
            targets: targets.iter().map(|target| target.url.clone()).collect(),
        }
    }

    /// What a prober says, as a line.
    #[must_use]
    pub fn of(outcome: Outcome, targets: &[Target]) -> Line {
        let Outcome { target, n, due_us, done_us, what } = outcome;
        match what {
            Measured::Skipped { count, why } => Line::Skipped { target, n, count, why: why.to_owned(), done_us },
            Measured::Sample { late_us, sample } => {
                let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
                let at_ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
                Line::Sample(Box::new(SampleLine {
                    target,
                    url: targets.get(target).map(|target| target.url.clone()).unwrap_or_default(),
                    n,
                    at_ms,
                    due_us,
                    late_us,
                    from_due_us: late_us.saturating_add(sample.total_us),
                    done_us,
                    certificate_days: sample.certificate_not_after.map(|end| (end - at_ms / 1_000).div_euclid(86_400)),
                    sample,
                }))
            }
        }
    }

    /// As one line of JSON, with its end.
    #[must_use]
    pub fn json(&self) -> String {
        // Texts, numbers and no keys that are not text: this cannot fail.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

impl SampleLine {
    /// True when its numbers can be true: nothing took less than no time, and no part longer than the whole.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let phases = [self.sample.dns_us, self.sample.connect_us, self.sample.tls_us, self.sample.first_byte_us];
        let whole = self.sample.total_us;
        let answered = self.sample.error.is_some() || (self.sample.status.is_some() && self.sample.first_byte_us.is_some());
        let possible = |us: i64| (0..=whole).contains(&us);
        // Each phase is rounded down, the whole is too.
        let sum = phases.iter().flatten().fold(0_i64, |sum, us| sum.saturating_add(*us));
        answered && phases.iter().flatten().all(|us| possible(*us)) && sum <= whole && self.late_us >= 0 && self.done_us >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_as_they_are_documented() {
        let targets =
            [Target { connection: Connection::Kept, ..serde_json::from_str(r#"{"url":"https://a/","every_ms":1000}"#).unwrap() }];
        assert_eq!(targets[0].source().status, 200);
        let sample = Sample { connect_us: Some(5), first_byte_us: Some(7), total_us: 13, status: Some(200), ..Sample::default() };
        let outcome =
            Outcome { target: 0, n: 3, due_us: 3_000_000, done_us: 3_000_033, what: Measured::Sample { late_us: 20, sample } };
        let Line::Sample(mut line) = Line::of(outcome, &targets) else { panic!("no sample") };
        line.at_ms = 0;
        assert!(line.is_possible());
        assert!(!SampleLine { sample: Sample { first_byte_us: Some(-1), ..line.sample.clone() }, ..*line.clone() }.is_possible());
        assert!(!SampleLine { sample: Sample { first_byte_us: Some(14), ..line.sample.clone() }, ..*line.clone() }.is_possible());
        assert!(!SampleLine { sample: Sample { first_byte_us: None, ..line.sample.clone() }, ..*line.clone() }.is_possible());
        let text = Line::Sample(line.clone()).json();
        assert_eq!(
            text,
            "{\"kind\":\"sample\",\"target\":0,\"url\":\"https://a/\",\"n\":3,\"at_ms\":0,\"due_us\":3000000,\"late_us\":20,\
             \"from_due_us\":33,\"done_us\":3000033,\"certificate_days\":null,\"dns_us\":null,\"connect_us\":5,\"tls_us\":null,\
             \"first_byte_us\":7,\"total_us\":13,\"status\":200,\"http\":null,\"address\":null,\"kept\":false,\
             \"certificate_not_after\":null,\"error\":null}\n"
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), Line::Sample(line));
        // What a later release adds is skipped.
        let more = r#"{"kind":"alive","done_us":1,"mood":"good"}"#;
        assert_eq!(serde_json::from_str::<Line>(more).unwrap(), Line::Alive { done_us: 1 });
    }
}
