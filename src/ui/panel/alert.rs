//! The alert line: the gravest alert that nobody has dealt with, and how many more there are.

use ratatui::text::{Line, Span};

use crate::run::snapshot::{AlertView, Level, Snapshot};
use crate::ui::text;
use crate::ui::theme::{self, Theme};
use crate::ui::widget::strip;

/// One line; quiet when there is nothing to say.
#[must_use]
pub fn line(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let Some(alert) = snapshot.alerts.first() else {
        return Line::styled("no alerts", theme.dim());
    };
    let style = style(alert, theme);
    let sign = if alert.level >= Level::Caution { "! " } else { "" };
    let word = theme::level_word(alert.level);
    let left = Line::from(vec![Span::styled(format!("{sign}{word}"), style), Span::styled(format!("  {}", alert.text), style)]);
    let mut right = vec![Span::styled(format!("for {}", text::span(snapshot.now - alert.since)), theme.dim())];
    if snapshot.alerts.len() > 1 {
        right.push(Span::styled(format!("  +{} more", snapshot.alerts.len() - 1), theme.plain()));
    }
    if alert.acknowledged {
        right.push(Span::styled("  acked", theme.dim()));
    } else {
        right.push(Span::styled("  a", theme.key()));
        right.push(Span::styled(" ack", theme.dim()));
    }
    // On a narrow screen the text of the alert is worth more than its age.
    if width < 60 {
        return strip::cut_line(left, width, theme.glyphs.ellipsis);
    }
    strip::sides(left, Line::from(right), width, theme.glyphs.ellipsis)
}

fn style(alert: &AlertView, theme: &Theme) -> ratatui::style::Style {
    theme.level(alert.level)
}
