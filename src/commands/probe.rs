//! `cutover probe`: how long URLs take to answer, phase by phase; also the agent on a remote vantage point.

use std::io::{self, ErrorKind, Write as _};

use tokio::signal::unix::{SignalKind, signal};

use super::Ends;
use crate::cli::Probe as Args;
use crate::exit::{Exit, Failed};
use crate::plan::{Connection, Family, Protocol};
use crate::probe::report::millis;
use crate::probe::wire::{Line, SampleLine, Target};
use crate::probe::{Outcome, Prober, Report, agent, is_url};

/// Most URLs of one call.
const URLS_MAX: usize = 2_000;

/// Measures, or serves as an agent.
///
/// # Errors
/// Exit code 2 for what is no URL, 4 when a URL never answered as expected.
pub async fn probe(args: &Args) -> Ends {
    if args.agent {
        return match agent(tokio::io::stdin(), tokio::io::stdout()).await {
            Ok(()) => Ok(Exit::Done),
            // Whoever listened has gone: that is how an agent ends.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Exit::Done),
            Err(error) => Err(Failed::new(Exit::Internal, format!("the agent ends: {error}"))),
        };
    }
    let targets = targets(args)?;
    let (prober, mut outcomes) =
        Prober::launch(&targets, args.count).map_err(|e| Failed::new(Exit::Internal, format!("cannot start: {e}")))?;
    let mut report = Report::new(targets.iter().map(|target| target.url.clone()));
    let mut out = Output { json: args.json, several: targets.len() > 1, out: io::stdout() };
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failed::new(Exit::Internal, e.to_string()))?;
    let mut left = args.count.map(|count| count * u64::try_from(targets.len()).unwrap_or(0));
    out.line(&Line::start(&targets))?;
    while left != Some(0) {
        let outcome = tokio::select! {
            outcome = outcomes.recv() => outcome,
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
        };
        let outcome = outcome.ok_or_else(|| Failed::new(Exit::Internal, "the probing thread has ended"))?;
        left = left.map(|left| left.saturating_sub(made(&outcome)));
        let line = Line::of(outcome, &targets);
        report.add(&line);
        if out.line(&line).is_err() {
            // Nobody reads on, as with `| head`.
            return Ok(Exit::Done);
        }
    }
    let _ = out.line(&Line::Summary(report.summary(prober.lost())));
    Ok(if report.all_answered() { Exit::Done } else { Exit::NotComplete })
}

fn made(outcome: &Outcome) -> u64 {
    match &outcome.what {
        crate::probe::Measured::Sample { .. } => 1,
        crate::probe::Measured::Skipped { count, .. } => *count,
    }
}

fn targets(args: &Args) -> Result<Vec<Target>, Failed> {
    if args.urls.len() > URLS_MAX {
        return Err(Failed::new(Exit::Usage, format!("at most {URLS_MAX} URLs at once")));
    }
    let target = |url: &String| {
        if !is_url(url) {
            return Err(Failed::new(Exit::Usage, format!("'{url}' is no http:// or https:// URL")));
        }
        Ok(Target {
            url: url.clone(),
            every_ms: args.every,
            connect_to: args.connect_to.clone(),
            status: args.status,
            timeout_ms: i64::try_from(args.timeout).unwrap_or(i64::MAX),
            connection: if args.keep { Connection::Kept } else { Connection::Fresh },
            protocol: match (args.http1, args.http2) {
                (true, _) => Protocol::Http1,
                (_, true) => Protocol::Http2,
                _ => Protocol::Any,
            },
            family: match (args.ipv4, args.ipv6) {
                (true, _) => Family::Ipv4,
                (_, true) => Family::Ipv6,
                _ => Family::Any,
            },
        })
    };
    args.urls.iter().map(target).collect()
}

/// Where lines go.
struct Output {
    json: bool,
    several: bool,
    out: io::Stdout,
}

impl Output {
    fn line(&mut self, line: &Line) -> Result<(), Failed> {
        let text = if self.json { line.json() } else { self.text(line) };
        let mut out = self.out.lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|e| Failed::new(Exit::Internal, format!("cannot write: {e}")))
    }

    fn text(&self, line: &Line) -> String {
        match line {
            Line::Start { .. } => {
                let names = ["dns", "connect", "tls", "first-byte", "total"].map(|name| format!("{name:>11}")).concat();
                format!("{:>5}{names}  status\n", "n")
            }
            Line::Sample(line) => self.sample(line),
            Line::Skipped { n, count, why, .. } => format!("{n:>5}  {count} requests not made: {why}\n"),
            Line::Summary(summary) => summary.text(),
            Line::Alive { .. } | Line::Refused { .. } => String::new(),
        }
    }

    fn sample(&self, line: &SampleLine) -> String {
        let seen = &line.sample;
        let phases = [seen.dns_us, seen.connect_us, seen.tls_us, seen.first_byte_us, Some(seen.total_us)];
        let columns = phases.map(|us| format!("{:>11}", millis(us))).concat();
        let mut said: Vec<String> = Vec::new();
        said.extend(seen.status.map(|status| status.to_string()));
        said.extend(
            seen.error.clone().filter(|error| !error.starts_with("status ")).or(seen.error.as_ref().map(|_| "unexpected".into())),
        );
        said.extend(seen.http.as_ref().filter(|version| *version == "2").map(|_| "h2".to_owned()));
        said.extend(seen.kept.then(|| "kept".to_owned()));
        if line.late_us >= 10_000 {
            said.push(format!("sent {} late", millis(Some(line.late_us))));
        }
        if self.several {
            said.push(line.url.clone());
        }
        format!("{:>5}{columns}  {}\n", line.n, said.join("  "))
    }
}
