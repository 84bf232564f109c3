//! The way back: always in sight, always with the reason when it is not ready.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::run::snapshot::{Armed, Snapshot};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip;

/// The panel.
#[must_use]
pub fn lines(snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let undo = &snapshot.undo;
    let mut out = vec![head(snapshot, theme, width)];
    let mut say = |label: &str, content: &str, style: Style| {
        let indent = label.len() + 1;
        for (row, part) in text::wrap(content, width.saturating_sub(indent)).into_iter().enumerate() {
            let label = if row == 0 { label } else { "" };
            out.push(Line::from(vec![Span::styled(text::pad(label, indent), theme.dim()), Span::styled(part, style)]));
        }
    };
    match &undo.armed {
        Armed::NotArmed(reason) => say("because", reason, theme.caution()),
        Armed::Nothing => return out,
        Armed::Armed => {}
    }
    let window = undo.window_left_ms.map_or_else(String::new, |left| format!(", window {} left", text::span(left / 1000 * 1000)));
    let calls = text::count(undo.calls, "call", "calls");
    say("R makes", &format!("{calls}, about {}{window}", text::span(undo.expected_ms)), theme.plain());
    if !undo.at_risk.is_empty() {
        say("at risk", &undo.at_risk, theme.plain());
    }
    if !undo.restores.is_empty() {
        say("restores", &undo.restores, theme.plain());
    }
    if !undo.will_not_undo.is_empty() {
        say("will not undo", &undo.will_not_undo.join("; "), theme.caution());
    }
    out
}

/// Armed or not, and where it leads: one line, also shown when the panel is not.
#[must_use]
pub fn head(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let (word, style) = armed(snapshot, theme);
    let mut left = vec![Span::styled(word, style)];
    if !snapshot.undo.name.is_empty() {
        left.push(Span::raw(format!("  '{}'", snapshot.undo.name)));
        left.push(Span::styled(format!(" to {}", snapshot.undo.to), theme.dim()));
    }
    strip::cut_line(Line::from(left), width, theme.glyphs.ellipsis)
}

/// One line for screens on which the panel has no room.
#[must_use]
pub fn line(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let undo = &snapshot.undo;
    let (word, style) = armed(snapshot, theme);
    let mut spans = vec![Span::styled("undo ", theme.dim()), Span::styled(word, style)];
    match &undo.armed {
        Armed::NotArmed(reason) => spans.push(Span::styled(format!("  {reason}"), theme.caution())),
        Armed::Armed => {
            let calls = text::count(undo.calls, "call", "calls");
            spans.push(Span::raw(format!(" '{}' {calls} ~{}", undo.name, text::span(undo.expected_ms))));
            spans.push(Span::styled(format!(", at risk: {}", undo.at_risk), theme.dim()));
        }
        Armed::Nothing => {}
    }
    strip::cut_line(Line::from(spans), width, theme.glyphs.ellipsis)
}

fn armed(snapshot: &Snapshot, theme: &Theme) -> (&'static str, Style) {
    match snapshot.undo.armed {
        Armed::Armed => ("ARMED", theme.good()),
        Armed::NotArmed(_) => ("NOT ARMED", theme.caution()),
        Armed::Nothing => ("no rollback applies yet", theme.dim()),
    }
}
