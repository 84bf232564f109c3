//! The table of conditions: what is read, what it must be, what it is, how long it has held.

use ratatui::text::Line;

use super::table::{self, Column};
use crate::run::snapshot::{ConditionView, Verdict};
use crate::ui::text;
use crate::ui::theme::Theme;

/// The conditions under a heading; nothing when there are none. Before their time comes (`active` is false) a
/// condition that does not hold is no trouble.
#[must_use]
pub fn lines(title: &'static str, conditions: &[ConditionView], active: bool, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    if conditions.is_empty() {
        return Vec::new();
    }
    let columns = [
        Column::flexible(title, 14),
        Column::fixed("want", 0),
        Column::fixed("now", 0).right(),
        Column::fixed("for", 2).right(),
        Column::fixed("", 0),
    ];
    let rows = conditions
        .iter()
        .map(|condition| {
            let (word, style) = match &condition.verdict {
                _ if !active => ("  later".to_owned(), theme.dim()),
                Verdict::Pass => ("  ok".to_owned(), theme.good()),
                // It holds but not for long enough: that is waiting, not trouble.
                Verdict::Fail(_) if condition.held_ms > 0 => ("  wait".to_owned(), theme.strong()),
                Verdict::Fail(_) => ("! FAIL".to_owned(), theme.caution()),
                Verdict::Unknown(_) => ("? unknown".to_owned(), theme.dim()),
            };
            let value = match condition.verdict {
                _ if !active => theme.dim(),
                Verdict::Unknown(_) => theme.dim(),
                Verdict::Fail(_) if condition.held_ms == 0 => theme.caution(),
                _ => theme.plain(),
            };
            vec![
                (condition.what.clone(), theme.plain()),
                (condition.want.clone(), theme.dim()),
                (condition.now.clone(), value),
                (held(condition), theme.dim()),
                (word, style),
            ]
        })
        .collect();
    table::lines(&columns, rows, width, theme.dim(), theme.glyphs.ellipsis)
}

fn held(condition: &ConditionView) -> String {
    if condition.for_ms == 0 {
        return "-".to_owned();
    }
    format!("{}/{}", text::span(condition.held_ms.min(condition.for_ms) / 1000 * 1000), text::span(condition.for_ms))
}
