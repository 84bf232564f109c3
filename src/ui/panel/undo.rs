//! The way back: always in sight, always with the reason when it is not ready.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::run::snapshot::{Armed, RollbackView, Snapshot};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::{planes, proofs, strip};

/// A window that closes sooner than this is worth a second look, in milliseconds.
const WINDOW_LOW_MS: i64 = 300_000;

/// The panel, most important first. When it fills the screen (`whole`), with every sentence in full.
#[must_use]
pub fn lines(snapshot: &Snapshot, theme: &Theme, whole: bool, width: usize) -> Vec<Line<'static>> {
    let undo = &snapshot.undo;
    let mut out = vec![head(snapshot, theme, width)];
    let mut say = |label: &str, content: &str, style: Style| {
        let indent = label.len() + 1;
        for (row, part) in text::wrap(content, width.saturating_sub(indent)).into_iter().enumerate() {
            let label = if row == 0 { label } else { "" };
            out.push(Line::from(vec![Span::styled(text::pad(label, indent), theme.dim()), Span::styled(part, style)]));
        }
    };
    if let Armed::NotArmed(reason) = &undo.armed {
        say("because", reason, theme.caution());
    }
    if undo.armed != Armed::Nothing {
        let calls = text::count(undo.calls, "call", "calls");
        let this = snapshot.rollbacks.iter().find(|rollback| rollback.name == undo.name);
        let planes = this.map_or_else(String::new, |this| format!(", {}", planes::of_rollback(&this.control_planes)));
        let about = text::span(undo.expected_ms);
        if undo.calls == 0 && undo.armed != Armed::Armed {
            // Where the records cannot be read, nobody knows how many calls it would take.
            say("R takes", &format!("about {about}{planes}"), theme.plain());
        } else {
            say("R makes", &format!("{calls}, about {about}{planes}"), theme.plain());
        }
        if !undo.at_risk.is_empty() {
            say("at risk", &undo.at_risk, theme.plain());
        }
        if !undo.will_not_undo.is_empty() {
            say("will not undo", &undo.will_not_undo.join("; "), theme.caution());
        }
        out.extend(proofs::lines(&undo.proofs, theme, width));
    }
    // After the end nothing is taken back any more.
    let others = snapshot.rollbacks.iter().filter(|rollback| rollback.name != undo.name && snapshot.result.is_none());
    for rollback in others {
        out.extend(other(rollback, snapshot, whole, theme, width));
    }
    if !undo.restores.is_empty() {
        out.push(Line::default());
        let parts = text::wrap(&undo.restores, width.saturating_sub(9));
        out.extend(parts.into_iter().enumerate().map(|(row, part)| {
            let label = if row == 0 { "restores " } else { "         " };
            Line::from(vec![Span::styled(label, theme.dim()), Span::raw(part)])
        }));
    }
    out
}

/// Another rollback of the plan in one line; with its reason, window and title when there is room for all of it.
fn other(rollback: &RollbackView, snapshot: &Snapshot, whole: bool, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let (word, style) = match proofs::armed(&rollback.armed, theme) {
        // While the one that applies is armed, that another one is not is no trouble.
        (word, _) if rollback.armed != Armed::Armed && snapshot.undo.armed == Armed::Armed => (word, theme.dim()),
        other => other,
    };
    let key = rollback.key.map_or_else(|| " ".to_owned(), |key| key.to_string());
    let mut spans =
        vec![Span::styled(format!("{key} "), theme.dim()), Span::raw(format!("{} ", rollback.name)), Span::styled(word, style)];
    let mut more = Vec::new();
    if let (Armed::NotArmed(reason), false) = (&rollback.armed, whole) {
        more.push(reason.clone());
    }
    if rollback.armed == Armed::Armed || whole {
        more.push(planes::of_rollback(&rollback.control_planes));
        more.extend(rollback.window_left_ms.map(|left| format!("window {} left", text::span(left / 60_000 * 60_000))));
    }
    if rollback.auto {
        more.push("begins by itself".to_owned());
    }
    if !more.is_empty() {
        spans.push(Span::styled(format!("  {}", more.join(", ")), theme.dim()));
    }
    let mut out = vec![strip::cut_line(Line::from(spans), width, theme.glyphs.ellipsis)];
    if whole {
        let mut say = |content: &str, style: Style| {
            let parts = text::wrap(content, width.saturating_sub(2));
            out.extend(parts.into_iter().map(|part| Line::styled(format!("  {part}"), style)));
        };
        say(&format!("{}, to {}", rollback.title, rollback.to), theme.dim());
        if let Armed::NotArmed(reason) = &rollback.armed {
            say(&format!("because {reason}"), theme.caution());
        }
    }
    out
}

/// Armed or not, where it leads, and what is left of its window.
#[must_use]
pub fn head(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let (word, style) = armed(snapshot, theme);
    let mut left = vec![Span::styled(word, style)];
    if !snapshot.undo.name.is_empty() {
        left.push(Span::raw(format!("  '{}'", snapshot.undo.name)));
        left.push(Span::styled(format!(" to {}", snapshot.undo.to), theme.dim()));
    }
    let right = snapshot.undo.window_left_ms.map_or_else(Line::default, |left| {
        let style = if left < WINDOW_LOW_MS { theme.caution() } else { theme.plain() };
        Line::styled(format!("{} left", text::span(left / 1000 * 1000)), style)
    });
    strip::sides(Line::from(left), right, width, theme.glyphs.ellipsis)
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
        Armed::Nothing => ("no rollback applies yet", theme.dim()),
        ref other => proofs::armed(other, theme),
    }
}
