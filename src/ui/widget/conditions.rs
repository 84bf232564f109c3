//! The table of conditions: what is read, what it must be, what it is, how long it has held.

use ratatui::text::Line;

use super::table::{self, Column};
use crate::run::snapshot::{ConditionView, Verdict};
use crate::ui::text;
use crate::ui::theme::Theme;

/// What the engine says of a condition that is not looked at yet.
const LATER: &str = "later";

/// The conditions under a heading; nothing when there are none. Before their time comes (`active` is false) a
/// condition that does not hold is no trouble.
#[must_use]
pub fn lines(title: &'static str, conditions: &[ConditionView], active: bool, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    if conditions.is_empty() {
        return Vec::new();
    }
    // Signs are set apart from the words only where there are signs.
    let later = |condition: &ConditionView| !active || matches!(&condition.verdict, Verdict::Unknown(why) if why == LATER);
    let quiet = conditions.iter().all(|condition| later(condition) || condition.verdict == Verdict::Pass);
    let indent = if quiet { "" } else { "  " };
    let rows = conditions
        .iter()
        .map(|condition| {
            let (word, style) = match &condition.verdict {
                _ if later(condition) => (format!("{indent}later"), theme.dim()),
                Verdict::Pass => (format!("{indent}ok"), theme.good()),
                // It holds but not for long enough: that is waiting, not trouble.
                Verdict::Fail(_) if condition.held_ms > 0 => ("  wait".to_owned(), theme.strong()),
                Verdict::Fail(_) => ("! FAIL".to_owned(), theme.caution()),
                Verdict::Unknown(_) => ("? unknown".to_owned(), theme.dim()),
            };
            let value = match condition.verdict {
                _ if later(condition) => theme.dim(),
                Verdict::Unknown(_) => theme.dim(),
                Verdict::Fail(_) if condition.held_ms == 0 => theme.caution(),
                _ => theme.plain(),
            };
            vec![
                (condition.what.clone(), theme.plain()),
                (condition.want.clone(), theme.dim()),
                (short(&condition.now), value),
                (held(condition), theme.dim()),
                (word, style),
            ]
        })
        .collect();
    // Where nothing has to hold for a time, no column says so. The name is cut last.
    let held = if conditions.iter().any(|condition| condition.for_ms > 0) { "for" } else { "" };
    let columns = [
        Column::flexible(title, 16),
        Column::fixed("want", 0),
        Column::flexible("now", 9).right(),
        Column::fixed(held, 2).right(),
        Column::fixed("", 0),
    ];
    table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis)
}

/// A stack's state without the capitals that would push the names out.
fn short(now: &str) -> String {
    match now {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" => "complete".to_owned(),
        _ => now.to_owned(),
    }
}

fn held(condition: &ConditionView) -> String {
    if condition.for_ms == 0 {
        return String::new();
    }
    format!("{}/{}", text::span(condition.held_ms.min(condition.for_ms) / 1000 * 1000), text::span(condition.for_ms))
}
