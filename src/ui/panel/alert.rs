//! The alert line: the gravest alert that nobody has dealt with, and how many more there are.

use ratatui::text::{Line, Span};

use crate::run::snapshot::{Level, Snapshot};
use crate::ui::text;
use crate::ui::theme::{self, Theme};
use crate::ui::widget::strip::{self, Field};

/// One line; quiet when there is nothing to say.
#[must_use]
pub fn line(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let Some(alert) = snapshot.alerts.first() else {
        return Line::styled("no alerts", theme.dim());
    };
    let style = theme.level(alert.level);
    let sign = if alert.level >= Level::Caution { "! " } else { "" };
    let word = theme::level_word(alert.level);
    let left = Line::from(vec![Span::styled(format!("{sign}{word}"), style), Span::styled(format!("  {}", alert.text), style)]);
    // On a narrow screen the text of the alert is worth more than everything beside it.
    let room = width.saturating_sub(left.width() + 2);
    let mut right = vec![Field::new(3, format!("for {}", text::span(snapshot.now - alert.since)), theme.dim())];
    if snapshot.alerts.len() > 1 {
        right.push(Field::new(1, format!("+{} more", snapshot.alerts.len() - 1), theme.plain()));
    }
    right.push(if alert.acknowledged {
        Field::new(2, "acked", theme.dim())
    } else {
        Field::spans(2, vec![Span::styled("a", theme.key()), Span::styled(" ack", theme.dim())])
    });
    strip::sides(left, strip::line(right, room), width, theme.glyphs.ellipsis)
}
