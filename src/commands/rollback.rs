//! `cutover rollback`: break-glass. One rollback of a run, without a screen.

use std::io::{BufRead, Write};

use super::{Ends, journal_failed};
use crate::cli::Rollback as Args;
use crate::engine::{Backend, Engine};
use crate::exit::{Exit, Failed};
use crate::journal::{Runs, Store};
use crate::live::{Live, system_now};
use crate::plan::format_ms;
use crate::run::command::{Command, Reply};
use crate::run::snapshot::{DiffLine, OfferView, Status};

/// How long reading what a rollback would change may take, in milliseconds.
const READ_MS: i64 = 60_000;

/// Runs one rollback.
///
/// # Errors
/// Exit code 6 when an engine is going on with the run (press R there), 4 when the rollback stops before its end.
pub async fn rollback(args: &Args) -> Ends {
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    let folder = runs.find(Some(&args.run)).map_err(|e| journal_failed(&e))?;
    let meta = Store::open_read(&folder).and_then(|s| s.meta()).map_err(|e| journal_failed(&e))?;
    if meta.drill {
        return Err(Failed::new(Exit::Usage, "this run is a drill: nothing real to roll back"));
    }
    let loaded = super::pinned(&meta)?;
    let mut engine = super::run::open(&loaded, &folder, &meta, false, false).await?;
    let ends = perform(&mut engine, args).await;
    engine.settle().await;
    engine.close();
    ends
}

async fn perform(engine: &mut Engine<Live>, args: &Args) -> Ends {
    // A rollback that was confirmed before the last engine died goes on by itself.
    if engine.core.run.active_rollback().is_none() {
        let offer = show(engine, args).await?;
        if !args.yes && !asked()? {
            return Err(Failed::new(Exit::NotComplete, "nothing was sent; the run is held"));
        }
        let Some(fingerprint) = offer.fingerprint else {
            return Err(Failed::new(Exit::NotComplete, offer.caution.unwrap_or_else(|| "nothing could be read".into())));
        };
        let word = args.word.clone();
        if let Reply::Refused(why) = engine.command(Command::ConfirmRollback { name: offer.name, offer: fingerprint, word }) {
            return Err(Failed::new(Exit::NotComplete, why));
        }
    }
    let mut printed = engine.core.tail.back().map_or(0, |l| l.seq);
    loop {
        step(engine).await?;
        for line in engine.core.tail.iter().filter(|l| l.seq > printed) {
            println!("{} {}", super::log::time(line.at), line.text);
        }
        printed = engine.core.tail.back().map_or(printed, |l| l.seq);
        if engine.core.run.rollback.as_ref().is_some_and(|r| r.done.is_some()) {
            println!("rolled back; journal head {}", engine.head());
            return Ok(Exit::RolledBack);
        }
        if let Status::Held { reason, .. } = engine.snapshot().status {
            return Err(Failed::new(Exit::NotComplete, format!("the rollback stopped: {reason}")));
        }
        let waits = engine.snapshot().work.filter(|w| w.approvals.is_some() || !w.items.is_empty());
        if let Some(work) = waits {
            println!("traffic is moved; '{}' needs people: go on with cutover run {}", work.title, args.run);
            return Ok(Exit::NotComplete);
        }
    }
}

/// Reads what the rollback would change and prints it.
async fn show(engine: &mut Engine<Live>, args: &Args) -> Result<OfferView, Failed> {
    if let Reply::Refused(why) = engine.command(Command::PrepareRollback { name: Some(args.name.clone()) }) {
        return Err(Failed::new(Exit::Usage, why));
    }
    let until = system_now() + READ_MS;
    let offer = loop {
        step(engine).await?;
        match engine.snapshot().offer {
            Some(offer) if offer.fingerprint.is_some() => break offer,
            Some(offer) if system_now() > until => {
                let why = offer.caution.unwrap_or_else(|| "the records could not be read within a minute".into());
                return Err(Failed::new(Exit::NotComplete, why));
            }
            _ => {}
        }
    };
    println!("rollback {} to {}: {} ({})", offer.name, offer.to, offer.restores, offer.why);
    for call in &offer.calls {
        let plane = call.control_plane.as_ref().map_or("data plane".to_owned(), |region| format!("control plane {region}"));
        println!("  {} ({plane})", call.operation);
        for line in &call.lines {
            match line {
                DiffLine::Minus(text) => println!("    - {text}"),
                DiffLine::Plus(text) => println!("    + {text}"),
                DiffLine::Same(text) => println!("      {text}"),
            }
        }
    }
    for item in &offer.by_hand {
        println!("  by hand: {item}");
    }
    println!("  about {}; at risk: {}", format_ms(offer.expected_ms), offer.at_risk);
    if let Some(caution) = &offer.caution {
        println!("  CAUTION: {caution}");
    }
    Ok(offer)
}

/// Lets the engine take one event in, everything durable.
async fn step(engine: &mut Engine<Live>) -> Result<(), Failed> {
    engine.settle().await;
    if let Some(why) = engine.failed() {
        return Err(Failed::new(Exit::Internal, format!("the journal cannot be written: {why}")));
    }
    let wake = engine.wake();
    let event = engine.backend.next(wake).await;
    engine.handle(event);
    Ok(())
}

fn asked() -> Result<bool, Failed> {
    print!("type yes to run it: ");
    let mut line = String::new();
    let read = std::io::stdout().flush().and_then(|()| std::io::stdin().lock().read_line(&mut line));
    read.map_err(|e| Failed::new(Exit::Internal, format!("cannot ask: {e}")))?;
    Ok(line.trim() == "yes")
}
