//! The `cutover` binary: wiring only.

use std::process::ExitCode;

use clap::Parser;

use cutover::cli::{Cli, Command};
use cutover::commands;
use cutover::exit::{Exit, Failed};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = color_eyre::install() {
        eprintln!("cutover: {error}");
    }
    // One thread is enough for a screen and a loop, and starts faster; effects are tasks, the journal has its own thread.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cutover: cannot start: {error}");
            return Exit::Internal.into();
        }
    };
    let ended = runtime.block_on(command(&cli));
    // A resolver or a file read that hangs in the background must not keep the process from ending.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(Failed { exit, message }) => {
            eprintln!("cutover: {message}");
            exit.into()
        }
    }
}

async fn command(cli: &Cli) -> commands::Ends {
    if matches!(cli.command, Command::Drill(_) | Command::Run(_) | Command::Rollback(_)) {
        commands::diagnostics();
    }
    match &cli.command {
        // The futures that hold an engine and a screen are large; on the heap they do not weigh on the stack.
        Command::Drill(args) => Box::pin(commands::drill::drill(args, cli.ascii)).await,
        Command::Run(args) => Box::pin(commands::run::run(args, cli.ascii)).await,
        Command::Rollback(args) => Box::pin(commands::rollback::rollback(args)).await,
        Command::Runbook(args) => commands::runbook::runbook(args),
        Command::Status(args) => commands::status::status(args),
        Command::Check(args) => commands::check::check(args).await,
        Command::Schema(args) => commands::schema::schema(args),
        Command::Log(args) => commands::log::log(args),
        Command::Probe(args) => commands::probe::probe(args).await,
    }
}
