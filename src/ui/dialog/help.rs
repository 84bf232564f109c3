//! All keys, from the table.

use ratatui::text::{Line, Span};

use super::Popup;
use crate::run::snapshot::Snapshot;
use crate::ui::app::{Allowed, allowed};
use crate::ui::keymap::{Group, TABLE};
use crate::ui::text;
use crate::ui::theme::Theme;

/// The keys in groups; those of a drill only in a drill, and why a verb is blocked now.
#[must_use]
pub fn popup(snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    for group in [Group::Run, Group::Drill, Group::Look, Group::Cockpit] {
        if group == Group::Drill && snapshot.drill.is_none() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(group.title(), theme.strong()));
        for binding in TABLE.iter().filter(|binding| binding.group == group && !binding.label.is_empty()) {
            for (row, part) in text::wrap(binding.help, width.saturating_sub(10)).into_iter().enumerate() {
                let label = if row == 0 { binding.label } else { "" };
                lines.push(Line::from(vec![Span::styled(format!("  {}", text::pad(label, 8)), theme.key()), Span::raw(part)]));
            }
            if let Some(Allowed::Blocked(reason)) = binding.verb.map(|verb| allowed(snapshot, verb)) {
                for part in text::wrap(&format!("blocked: {reason}"), width.saturating_sub(10)) {
                    lines.push(Line::styled(format!("          {part}"), theme.caution()));
                }
            }
        }
    }
    let keys = vec![Line::from(vec![Span::styled("Esc", theme.key()), Span::raw(" back")])];
    Popup { title: "Keys".to_owned(), style: theme.frame(true), lines, keys, home: None }
}
