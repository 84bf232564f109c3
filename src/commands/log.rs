//! `cutover log`: the journal of a run, and the proof that nobody changed it.

use std::io::Write;

use serde_json::json;

use super::{Ends, journal_failed};
use crate::cli::Log;
use crate::exit::{Exit, Failed};
use crate::journal::{Runs, Store, hex, parse_hex, spool};
use crate::run::entry::Entry;

/// Prints or verifies a journal.
///
/// # Errors
/// Exit code 8 when the journal is damaged, 2 when there is no such run.
pub fn log(args: &Log) -> Ends {
    let runs = Runs::of_user().map_err(|e| journal_failed(&e))?;
    let folder = runs.find(args.run.as_deref()).map_err(|e| journal_failed(&e))?;
    let store = Store::open_read(&folder).map_err(|e| journal_failed(&e))?;
    if args.verify {
        return verify(args, &store);
    }
    // The spool first: what joins the journal meanwhile is in both then, and not in neither.
    let spooled = spool::read(&folder).map_err(|e| journal_failed(&e))?;
    let mut out = std::io::stdout().lock();
    let mut last = 0;
    for stored in store.entries() {
        let stored = stored.map_err(|e| journal_failed(&e))?;
        last = stored.seq;
        let body: serde_json::Value = serde_json::from_str(&stored.body).unwrap_or_default();
        let text = if args.json {
            json!({ "seq": stored.seq, "at": stored.at, "epoch": stored.epoch, "kind": stored.kind, "actor": stored.actor,
                    "body": body, "prev": hex(&stored.prev), "hash": hex(&stored.hash) })
            .to_string()
        } else {
            let line = Entry::from_parts(&stored.kind, &stored.body).map_or_else(|_| stored.body.clone(), |e| e.line());
            let mark = spool::joined(&stored.body).map_or_else(String::new, |at| format!("  [LATE: joined {}]", time(at)));
            format!("{} #{:04} {:<18} {:<14} {line}{mark}", time(stored.at), stored.seq, stored.kind, stored.actor)
        };
        // A reader that closes the pipe has seen enough.
        if writeln!(out, "{text}").is_err() {
            return Ok(Exit::Done);
        }
    }
    for record in spooled.into_iter().filter(|r| r.seq > last) {
        let text = if args.json {
            let body: serde_json::Value = serde_json::from_str(&record.body).unwrap_or_default();
            json!({ "seq": record.seq, "at": record.at, "epoch": record.epoch, "kind": record.kind, "actor": record.actor,
                    "body": body, "spool": true })
            .to_string()
        } else {
            let line = Entry::from_parts(&record.kind, &record.body).map_or_else(|_| record.body.clone(), |e| e.line());
            let (at, seq, kind, actor) = (time(record.at), record.seq, record.kind, record.actor);
            format!("{at} #{seq:04} {kind:<18} {actor:<14} {line}  [SPOOL: not in the journal yet]")
        };
        if writeln!(out, "{text}").is_err() {
            break;
        }
    }
    Ok(Exit::Done)
}

fn verify(args: &Log, store: &Store) -> Ends {
    let expected = match &args.head {
        Some(text) => {
            Some(parse_hex(text).ok_or_else(|| Failed::new(Exit::Usage, "--head wants the 64 hex digits that were printed"))?)
        }
        None => None,
    };
    let spooled = spool::read(store.folder()).map_err(|e| journal_failed(&e))?;
    match store.verify(expected) {
        Ok(verified) => {
            let head = hex(&verified.head);
            let late = store.entries().flatten().filter(|e| spool::joined(&e.body).is_some()).count();
            let spooled = spooled.iter().filter(|r| r.seq > verified.entries).count();
            if args.json {
                let told = json!({ "ok": true, "entries": verified.entries, "head": head, "late": late, "spooled": spooled });
                println!("{told}");
            } else {
                println!("ok: {} entries, head {head}", verified.entries);
                if late > 0 {
                    println!("{late} of them are late: they were written while the journal could not be, and joined it after");
                }
                if spooled > 0 {
                    println!("{spooled} more are in the spool; they are no part of the chain until they join the journal");
                }
                if expected.is_none() {
                    println!("without --head this cannot show whether the newest entries were cut off");
                }
            }
            Ok(Exit::Done)
        }
        Err(damage) => {
            if args.json {
                println!("{}", json!({ "ok": false, "seq": damage.seq, "what": damage.what }));
            }
            Err(Failed::new(Exit::JournalDamaged, format!("entry {}: {}", damage.seq, damage.what)))
        }
    }
}

/// Unix milliseconds as a time of day in UTC with its date.
#[must_use]
pub fn time(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
