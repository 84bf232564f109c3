//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    Check(Check),
    /// Show the journal of a run, or prove that nobody changed it.
    Log(Log),
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
    pub plan: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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

/// Where drills go that nobody asked to keep elsewhere.
#[must_use]
pub fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}
