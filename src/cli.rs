//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A terminal cockpit that takes a team through a cloud-region migration or failover.
///
/// One plan file says everything: phases, steps, gates, monitors, rollbacks, drills. PLAN is a path or the name of a
/// built-in plan (medzen, failover-drill). RUN is a run id (or its first letters) or the path of a run's folder; without
/// one, the only run that is going on.
///
/// Exit codes: 0 done, 1 internal error, 2 usage, 3 plan invalid, 4 not complete (held, gate failed, interrupted),
/// 5 rolled back, 6 another driver has the lease, 7 wrong account or credentials, 8 journal damaged.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Draw with ASCII characters only.
    #[arg(long, global = true)]
    pub ascii: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Rehearse a plan in a simulated cloud: no account, no network.
    Drill(Drill),
    /// Drive a plan for real, or go on with a run that was left.
    Run(Run),
    /// Break-glass: run one rollback of a run without a screen.
    Rollback(Rollback),
    /// Print the rollbacks of a run as commands of the AWS CLI, which work without this program.
    Runbook(Runbook),
    /// Show where a run stands, or list the runs.
    Status(Status),
    /// Check a plan: every error with its place.
    ///
    /// What is allowed and should not pass is told as well, by the name of a lint; --explain says why it bites.
    Check(Check),
    /// Print the JSON Schema (draft 07) of plan files, for editors and other tools.
    ///
    /// It knows keys, types and words; whether a plan holds together is for `cutover check` to say.
    Schema(Schema),
    /// Show the journal of a run, or prove that nobody changed it.
    Log(Log),
    /// Measure how long URLs take to answer, phase by phase; also the agent on a remote vantage point.
    ///
    /// Requests are sent at fixed times, whatever the answers take, so a server that stalls shows in the percentiles;
    /// `from-due` counts from when a request was due. It ends after --count requests to each URL, or with Ctrl-C, with
    /// percentiles, failures by kind, and the days for which certificates are still valid. Exit code 4 when a URL never
    /// answered as expected.
    Probe(Probe),
}

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct Drill {
    /// Path or built-in name of the plan, or the id or folder of a drill to go on with.
    #[arg(default_value = "medzen")]
    pub plan: String,
    /// What goes wrong; a file beside the plan. Without it, a cockpit opens as the plan's own opening says, and --auto is calm.
    #[arg(long)]
    pub scenario: Option<String>,
    /// The seed: the same one gives the same drill.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Begin on this day; the days before are done by the simulator.
    #[arg(long, value_name = "DAY", conflicts_with = "auto")]
    pub from: Option<u32>,
    /// Virtual seconds per real second in the cockpit.
    #[arg(long, value_name = "X")]
    pub speed: Option<u32>,
    /// No cockpit: an auto-operator drives as fast as the machine can.
    #[arg(long)]
    pub auto: bool,
    /// Print the result as one JSON object (with --auto).
    #[arg(long, requires = "auto")]
    pub json: bool,
    /// Write what the cockpit shows to an asciicast (version 2), for asciinema and other players. With --auto: the same
    /// cockpit at 120x40, sped up to a minute at most. A file that is there already is refused.
    #[arg(long, value_name = "F.cast")]
    pub record: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Path or built-in name of the plan, or the id or folder of a run to go on with.
    pub plan: String,
    /// Start another run although one of this plan has not ended.
    #[arg(long)]
    pub new: bool,
    /// Which date day 1 of the plan is, such as 2026-01-10; today when it is not said. For a new run.
    #[arg(long, value_name = "DATE")]
    pub start: Option<jiff::civil::Date>,
    /// Do not ask before the plan's own commands are started for the first time.
    #[arg(long)]
    pub yes: bool,
    /// The working tree: where scripts run, and whose files are edited. The current folder when a run begins; a run that
    /// is gone on with keeps its own.
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Run id or folder.
    pub run: String,
    /// Name of the rollback.
    pub name: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// The region's name, where a one-way step was passed.
    #[arg(long, value_name = "REGION")]
    pub word: Option<String>,
}

/// Arguments of `runbook`.
#[derive(Debug, Args)]
pub struct Runbook {
    /// Run id or folder.
    pub run: String,
    /// Write it to this file.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Run id or folder; without it, all runs are listed.
    pub run: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Path or built-in name of the plan.
    #[arg(required_unless_present = "explain")]
    pub plan: Option<String>,
    /// Which date day 1 shall be, such as 2026-01-10: warns of steps whose window does not open on their day.
    #[arg(long, value_name = "DATE")]
    pub start: Option<jiff::civil::Date>,
    /// Prove the plan against the account too, with reading calls only: what is as the plan takes it to be, what is not,
    /// and what nobody can say. Ends with 3 when something is refuted.
    #[arg(long)]
    pub live: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Say what a lint is about and why it bites, with an example; without a name, list all of them.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["plan", "json", "live"])]
    pub explain: Option<String>,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Which files it is for.
    #[arg(value_enum, default_value_t = SchemaOf::Plan)]
    pub of: SchemaOf,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A plan, and the files that it includes.
    Plan,
    /// A scenario of a drill.
    Scenario,
}

/// Arguments of `log`.
#[derive(Debug, Args)]
pub struct Log {
    /// Run id or folder.
    pub run: Option<String>,
    /// One JSON object per entry.
    #[arg(long)]
    pub json: bool,
    /// Check the hash chain.
    #[arg(long)]
    pub verify: bool,
    /// The newest entry's hash as it was noted elsewhere: only against it can a cut-off end be noticed.
    #[arg(long, requires = "verify", value_name = "HASH")]
    pub head: Option<String>,
}

/// Arguments of `probe`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Probe {
    /// What to measure: http:// or https:// URLs.
    #[arg(required_unless_present = "agent", value_name = "URL")]
    pub urls: Vec<String>,
    /// One JSON object per line: `start`, then `sample` (and `skipped`) lines, at last a `summary`. Durations are in
    /// microseconds.
    #[arg(long)]
    pub json: bool,
    /// The interval between two requests to one URL.
    #[arg(long, default_value = "1s", value_parser = duration_ms, value_name = "TIME")]
    pub every: u64,
    /// Requests to each URL; without it, until Ctrl-C.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Longest time of one request.
    #[arg(long, default_value = "5s", value_parser = duration_ms, value_name = "TIME")]
    pub timeout: u64,
    /// Connect here and not where DNS says; TLS name and Host header stay the URL's.
    #[arg(long, value_name = "HOST:PORT")]
    pub connect_to: Option<String>,
    /// Keep the connection for the next request; without it, each has one of its own.
    #[arg(long)]
    pub keep: bool,
    /// HTTP/2 only; without TLS by prior knowledge.
    #[arg(long, conflicts_with = "http1")]
    pub http2: bool,
    /// HTTP/1.1 only. Without either, what the server chooses.
    #[arg(long = "http1.1", id = "http1")]
    pub http1: bool,
    /// IPv4 only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only.
    #[arg(short = '6', long)]
    pub ipv6: bool,
    /// The status that is expected.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(100..600))]
    pub status: u16,
    /// Be the agent on a vantage point: read a job (one line of JSON) from standard input, print as --json does, end when
    /// the input ends. What a plan's `vantages` run over ssh.
    #[arg(
        long,
        conflicts_with_all = ["urls", "json", "every", "count", "timeout", "connect_to", "keep", "http2", "http1", "ipv4", "ipv6", "status"]
    )]
    pub agent: bool,
}

/// A duration of the command line in milliseconds, written as in a plan: `500ms`, `1s`, `1m30s`.
fn duration_ms(text: &str) -> Result<u64, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (mut rest, mut total) = (text, 0_u64);
    let wrong = || format!("`{text}` is no duration; write it as in 500ms, 5s or 1m30s");
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| digits + length);
        let unit = units.iter().find(|(name, _)| *name == &rest[digits..after]).ok_or_else(wrong)?;
        total = number.checked_mul(unit.1).and_then(|ms| total.checked_add(ms)).ok_or_else(wrong)?;
        rest = &rest[after..];
    }
    if (10..=3_600_000).contains(&total) { Ok(total) } else { Err("a duration from 10ms to 1h is needed".to_owned()) }
}

/// Where drills go that nobody asked to keep elsewhere.
#[must_use]
pub fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
