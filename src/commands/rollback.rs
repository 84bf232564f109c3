//! `cutover rollback`: break-glass. One rollback of a run, without a screen.

use std::io::{BufRead, Write};

use std::time::Duration;

use super::{Ends, journal_failed};
use crate::cli::Rollback as Args;
use crate::engine::{Backend, Engine};
use crate::exit::{Exit, Failed};
use crate::journal::{Runs, Store};
use crate::link::socket::Remote;
use crate::live::{Live, system_now};
use crate::plan::format_ms;
use crate::run::command::{Command, Reply};
use crate::run::snapshot::{DiffLine, OfferView, Snapshot, Status};

/// How long reading what a rollback would change may take, in milliseconds.
const READ_MS: i64 = 60_000;
/// So often it goes on over somebody else's changes; whoever makes more than that is a program, and has to be stopped.
const CONFLICTS: u32 = 5;
/// How often an engine in another process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where commands go and where the state is seen: an engine of our own, or the one that has the run.
enum Desk {
    /// Nobody had the run.
    Own(Box<Engine<Live>>),
    /// A cockpit has it.
    Remote(Remote),
}

impl Desk {
    async fn command(&mut self, command: Command) -> Result<Reply, Failed> {
        match self {
            Desk::Own(engine) => Ok(engine.command(command)),
            Desk::Remote(remote) => remote.command(command).await.map_err(gone),
        }
    }

    /// What there is to see after something has happened, or a moment has passed. Where neither journal nor spool can
    /// be written, the word that was given lets the rollback go on.
    async fn look(&mut self, args: &Args) -> Result<Snapshot, Failed> {
        loop {
            let seen = match self {
                Desk::Own(engine) => {
                    step(engine).await?;
                    engine.snapshot()
                }
                Desk::Remote(remote) => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    remote.snapshot().await.map_err(gone)?
                }
            };
            let Some(wanted) = &seen.ledger.spool.word else { return Ok(seen) };
            let word = args.word.clone().unwrap_or_default();
            if word != *wanted {
                let why = format!(
                    "neither journal nor spool can be written; --word {wanted} rolls back all the same, and what happens then \
                     stands on standard error only"
                );
                return Err(Failed::new(Exit::NotComplete, why));
            }
            // Refused when the journal is back meanwhile, which is just as well.
            self.command(Command::WithoutJournal { word }).await?;
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn gone(error: std::io::Error) -> Failed {
    Failed::new(Exit::NotComplete, format!("the engine that has the run: {error}; cutover status says where the run stands"))
}

/// Runs one rollback: through the engine that has the run, or by taking the run over when none lives.
///
/// # Errors
/// Exit code 4 when the rollback stops before its end, 6 when an engine has the run and does not answer.
pub async fn rollback(args: &Args) -> Ends {
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    let folder = runs.find(Some(&args.run)).map_err(|e| journal_failed(&e))?;
    let meta = Store::open_read(&folder).and_then(|s| s.meta()).map_err(|e| journal_failed(&e))?;
    let remote = Remote::connect(&folder).await.map_err(gone)?;
    if let Some(remote) = remote {
        eprintln!("commanding the engine that has run {}", meta.run_id);
        return perform(&mut Desk::Remote(remote), args).await;
    }
    if meta.drill {
        return Err(Failed::new(Exit::Usage, "this run is a drill and nobody drives it: nothing real to roll back"));
    }
    let loaded = super::pinned(&meta)?;
    let engine = super::run::open(&loaded, &folder, &meta, false, false).await?;
    let mut desk = Desk::Own(Box::new(engine));
    let ends = perform(&mut desk, args).await;
    if let Desk::Own(mut engine) = desk {
        super::cockpit::end(&mut *engine).await;
        engine.close();
    }
    ends
}

async fn perform(desk: &mut Desk, args: &Args) -> Ends {
    let mut seen = desk.look(args).await?;
    let mut printed = seen.journal.last().map_or(0, |l| l.seq);
    // A rollback that was confirmed before the last engine died goes on by itself.
    if !seen.rolling_back {
        let offer = show(desk, args).await?;
        if !args.yes && !asked()? {
            return Err(Failed::new(Exit::NotComplete, "nothing was sent; the run is held"));
        }
        let Some(fingerprint) = offer.fingerprint else {
            return Err(Failed::new(Exit::NotComplete, offer.caution.unwrap_or_else(|| "nothing could be read".into())));
        };
        let confirm = Command::ConfirmRollback { name: offer.name, offer: fingerprint, word: args.word.clone() };
        if let Reply::Refused(why) = desk.command(confirm).await? {
            return Err(Failed::new(Exit::NotComplete, why));
        }
    }
    let mut conflicts = 0;
    loop {
        seen = desk.look(args).await?;
        for line in seen.journal.iter().filter(|l| l.seq > printed) {
            println!("{} {}", super::log::time(line.at), line.text);
        }
        printed = seen.journal.last().map_or(printed, |l| l.seq);
        if seen.rolled_back {
            println!("rolled back; journal head {}", seen.ledger.head);
            return Ok(Exit::RolledBack);
        }
        if let Status::Held { reason, .. } = seen.status {
            let conflict = seen.work.and_then(|work| work.conflict);
            if let Some(conflict) = conflict.filter(|_| conflicts < CONFLICTS) {
                conflicts += 1;
                println!("CONFLICT: somebody else has changed it since; nothing was sent over it");
                println!("  before: {}\n  now:    {}\n  wanted: {}", conflict.before, conflict.now, conflict.wanted);
                // Whoever says yes beforehand wants to get back, whatever there is by now.
                if args.yes || asked()? {
                    desk.command(Command::Continue).await?;
                    continue;
                }
            }
            return Err(Failed::new(Exit::NotComplete, format!("the rollback stopped: {reason}")));
        }
        let waits = seen.work.filter(|w| w.approvals.is_some() || !w.items.is_empty());
        if let Some(work) = waits {
            println!("traffic is moved; '{}' needs people: go on in the cockpit, or with cutover run {}", work.title, args.run);
            return Ok(Exit::NotComplete);
        }
    }
}

/// Reads what the rollback would change and prints it.
async fn show(desk: &mut Desk, args: &Args) -> Result<OfferView, Failed> {
    if let Reply::Refused(why) = desk.command(Command::PrepareRollback { name: Some(args.name.clone()) }).await? {
        return Err(Failed::new(Exit::Usage, why));
    }
    let until = system_now() + READ_MS;
    let (offer, ledger) = loop {
        let seen = desk.look(args).await?;
        match seen.offer {
            Some(offer) if offer.name == args.name && offer.fingerprint.is_some() => break (offer, seen.ledger),
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
    if let Some(why) = ledger.failed {
        println!("  the journal cannot be written, so the entries go to the spool: {why}");
    }
    Ok(offer)
}

/// Lets the engine take one event in, everything durable: in the journal, or in the spool when that cannot be written.
async fn step(engine: &mut Engine<Live>) -> Result<(), Failed> {
    engine.settle().await;
    engine.catch_up();
    if let Some(why) = engine.fenced() {
        return Err(Failed::new(Exit::Busy, why.to_owned()));
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
