//! `cutover log`: the journal of a run, and the proof that nobody changed it.

use std::io::Write;

use serde_json::json;

use super::{Ends, journal_failed};
use crate::cli::Log;
use crate::exit::{Exit, Failed};
use crate::journal::{Runs, Store, hex, parse_hex};
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
    let mut out = std::io::stdout().lock();
    for stored in store.entries() {
        let stored = stored.map_err(|e| journal_failed(&e))?;
        let text = if args.json {
            let body: serde_json::Value = serde_json::from_str(&stored.body).unwrap_or_default();
            json!({ "seq": stored.seq, "at": stored.at, "epoch": stored.epoch, "kind": stored.kind, "actor": stored.actor,
                    "body": body, "prev": hex(&stored.prev), "hash": hex(&stored.hash) })
            .to_string()
        } else {
            let line = Entry::from_parts(&stored.kind, &stored.body).map_or_else(|_| stored.body.clone(), |e| e.line());
            format!("{} #{:04} {:<18} {:<14} {line}", time(stored.at), stored.seq, stored.kind, stored.actor)
        };
        // A reader that closes the pipe has seen enough.
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
    match store.verify(expected) {
        Ok(verified) => {
            let head = hex(&verified.head);
            if args.json {
                println!("{}", json!({ "ok": true, "entries": verified.entries, "head": head }));
            } else {
                println!("ok: {} entries, head {head}", verified.entries);
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
