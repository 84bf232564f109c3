//! A note for the journal. It changes nothing in the cloud, which is why Enter may write it.

use ratatui::text::{Line, Span};

use super::{Popup, Turn, type_into};
use crate::run::command::Command;
use crate::ui::app::Action;
use crate::ui::keymap::Key;
use crate::ui::text;
use crate::ui::theme::Theme;

/// Longest note in characters.
const LONGEST: usize = 500;

/// A key.
pub fn handle(text: &mut String, key: Key) -> Turn {
    match key {
        Key::Enter if text.trim().is_empty() => Turn::Close,
        Key::Enter => Turn::Finish(Action::Send(Command::Note { text: text.trim().to_owned() })),
        _ => {
            type_into(text, key, LONGEST);
            Turn::Stay
        }
    }
}

/// The input line.
#[must_use]
pub fn popup(typed: &str, theme: &Theme, width: usize) -> Popup {
    let mut lines: Vec<Line<'static>> = text::wrap(typed, width.saturating_sub(1)).into_iter().map(Line::from).collect();
    if typed.ends_with(' ') || lines.is_empty() {
        lines.push(Line::default());
    }
    if let Some(last) = lines.last_mut() {
        last.spans.push(Span::styled(" ", theme.selected()));
    }
    let keys = vec![
        Line::default(),
        Line::from(vec![
            Span::styled("Enter", theme.key()),
            Span::raw(" writes it into the journal   "),
            Span::styled("Esc", theme.key()),
            Span::raw(" back"),
        ]),
    ];
    Popup { title: "Note".to_owned(), style: theme.frame(true), lines, keys, home: None }
}
