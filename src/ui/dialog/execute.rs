//! Execute a change set? Where it replaces or removes something, the region's name has to be typed.

use ratatui::text::Line;

use super::{Popup, Turn, confirm_keys, paragraph, scrolling, type_into, word_line};
use crate::run::command::Command;
use crate::run::snapshot::Snapshot;
use crate::ui::keymap::Key;
use crate::ui::panel::now;
use crate::ui::theme::Theme;

fn wanted(snapshot: &Snapshot) -> Option<&str> {
    snapshot.work.as_ref().and_then(|work| work.confirm_word.as_deref())
}

/// A key.
pub fn handle(step: &str, word: &mut String, key: Key, snapshot: &Snapshot) -> Turn {
    let wanted = wanted(snapshot);
    let ready = wanted.is_none_or(|wanted| wanted == word);
    if key == Key::Char('Y') && ready {
        return Turn::finish(Command::Execute { step: step.to_owned(), word: wanted.map(|_| word.clone()) });
    }
    if wanted.is_some_and(|wanted| type_into(word, key, wanted.chars().count() + 8)) {
        return Turn::Stay;
    }
    scrolling(key)
}

/// The change set.
#[must_use]
pub fn popup(word: &str, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    if let Some(work) = &snapshot.work {
        paragraph(&mut lines, &work.title, theme.strong(), width);
        lines.push(Line::default());
        lines.extend(now::changes(work, theme, width));
    }
    let mut keys = confirm_keys("execute", theme);
    let mut style = theme.frame(true);
    if let Some(wanted) = wanted(snapshot) {
        lines.push(Line::default());
        paragraph(&mut lines, "It replaces or removes something.", theme.caution(), width);
        keys.insert(1, word_line(wanted, word, theme));
        style = theme.caution();
    }
    Popup { title: "Execute the change set?".to_owned(), style, lines, keys, home: None }
}
