//! The journal's tail.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::Content;
use crate::run::snapshot::Snapshot;
use crate::ui::text;
use crate::ui::theme::Theme;

/// The newest entries, the newest at the bottom.
#[must_use]
pub fn content(snapshot: &Snapshot, theme: &Theme, width: usize) -> Content {
    let kinds = snapshot.journal.iter().map(|entry| text::width(&entry.kind)).max().unwrap_or(0).min(12);
    let lines: Vec<Line<'static>> = snapshot
        .journal
        .iter()
        .map(|entry| {
            let head = format!("{} #{:04} ", text::clock(entry.at), entry.seq);
            let kind = text::pad(&text::cut(&entry.kind, kinds, theme.glyphs.ellipsis), kinds);
            let room = width.saturating_sub(head.len() + kinds + 1);
            // Entries that are in the spool follow those in the journal, and are as safe.
            let safe = snapshot.ledger.durable + snapshot.ledger.spool.entries;
            let durable = if entry.seq <= safe { theme.plain() } else { theme.dim() };
            Line::from(vec![
                Span::styled(head, theme.dim()),
                Span::styled(format!("{kind} "), theme.dim()),
                Span::styled(text::cut(&entry.text, room, theme.glyphs.ellipsis), durable),
            ])
        })
        .collect();
    Content { home: usize::MAX, lines }
}

/// The chain's head, or why nothing more can be written.
#[must_use]
pub fn state(snapshot: &Snapshot) -> String {
    let ledger = &snapshot.ledger;
    let spool = &ledger.spool;
    let beside = match (spool.entries, spool.told) {
        (0, 0) => String::new(),
        (entries, 0) => format!("{entries} in the spool, "),
        (0, told) => format!("{told} on stderr, "),
        (entries, told) => format!("{entries} in the spool, {told} on stderr, "),
    };
    match (&ledger.failed, &spool.failed) {
        (Some(reason), None) => return format!("{beside}CANNOT BE WRITTEN: {reason}"),
        (Some(reason), Some(spool)) => return format!("{beside}CANNOT BE WRITTEN, NOR CAN THE SPOOL ({spool}): {reason}"),
        (None, Some(spool)) => {
            return format!("#{:04} chain {}, NO SPOOL: {spool}", ledger.durable, text::short(&ledger.head, 8));
        }
        (None, None) => {}
    }
    let waiting = match ledger.seq.saturating_sub(ledger.durable) {
        0 => String::new(),
        waiting => format!(", {waiting} not durable yet"),
    };
    format!("#{:04} chain {}{waiting}", ledger.durable, text::short(&ledger.head, 8))
}

/// The style of [`state`].
#[must_use]
pub fn style(snapshot: &Snapshot, theme: &Theme) -> Style {
    if snapshot.ledger.failed.is_some() { theme.warning() } else { theme.dim() }
}
