//! Somebody else's change, side by side: in columns where there is room, else in rows.

use ratatui::text::{Line, Span};

use super::labelled;
use crate::run::snapshot::Conflict;
use crate::ui::text;
use crate::ui::theme::Theme;

/// Narrower than this, it is shown in rows instead of columns.
const COLUMNS_MIN: usize = 60;

/// How it was left or read, how it is now, and what this run makes of it.
#[must_use]
pub fn lines(conflict: &Conflict, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let columns = [
        ("before", &conflict.before, theme.plain()),
        ("now", &conflict.now, theme.caution()),
        ("wanted", &conflict.wanted, theme.strong()),
    ];
    if width < COLUMNS_MIN {
        for (label, content, style) in columns {
            labelled(&mut lines, label, content, style, theme, width);
        }
        return lines;
    }
    let each = (width - 4) / 3;
    let mut line = |cells: Vec<Span<'static>>| {
        let mut spans = Vec::new();
        for cell in cells {
            let blanks = (each + 2).saturating_sub(cell.width());
            spans.push(cell);
            spans.push(Span::raw(" ".repeat(blanks)));
        }
        spans.pop();
        lines.push(Line::from(spans));
    };
    line(columns.iter().map(|(label, ..)| Span::styled(*label, theme.dim())).collect());
    let wrapped: Vec<Vec<String>> = columns.iter().map(|(_, content, _)| text::wrap(content, each)).collect();
    for row in 0..wrapped.iter().map(Vec::len).max().unwrap_or(0) {
        let cell = |(parts, (_, _, style)): (&Vec<String>, &(&str, &String, ratatui::style::Style))| {
            Span::styled(parts.get(row).cloned().unwrap_or_default(), *style)
        };
        line(wrapped.iter().zip(&columns).map(cell).collect());
    }
    lines
}
