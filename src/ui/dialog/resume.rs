//! End a hold? Where neither journal nor spool can be written, the name of the rollback's region has to be typed.

use ratatui::text::Line;

use super::{Popup, Turn, confirm_keys, conflict, labelled, paragraph, scrolling, type_into, word_line};
use crate::run::command::Command;
use crate::run::snapshot::{Snapshot, Status, StepState};
use crate::ui::keymap::Key;
use crate::ui::text;
use crate::ui::theme::Theme;

/// The word to type, if one is wanted: only a rollback that is going on can do without a journal.
fn wanted(snapshot: &Snapshot) -> Option<&str> {
    snapshot.ledger.spool.word.as_deref().filter(|_| snapshot.offer.is_none())
}

/// A key.
pub fn handle(word: &mut String, key: Key, snapshot: &Snapshot) -> Turn {
    let wanted = wanted(snapshot);
    if key == Key::Char('Y') && wanted.is_none_or(|wanted| wanted == word) {
        return Turn::finish(wanted.map_or(Command::Continue, |_| Command::WithoutJournal { word: word.clone() }));
    }
    if wanted.is_some_and(|wanted| type_into(word, key, wanted.chars().count() + 8)) {
        return Turn::Stay;
    }
    scrolling(key)
}

/// Somebody else changed what a rollback was confirmed for: the new difference, and whether that is to be replaced.
fn replace(snapshot: &Snapshot, theme: &Theme, width: usize) -> Option<Popup> {
    let work = snapshot.work.as_ref().filter(|work| work.rollback.is_some() && wanted(snapshot).is_none())?;
    let found = work.conflict.as_ref()?;
    let mut lines = Vec::new();
    let said = "CONFLICT, somebody else has changed it since the rollback was confirmed; nothing was sent over it";
    paragraph(&mut lines, said, theme.caution(), width);
    lines.push(Line::default());
    lines.extend(conflict::lines(found, theme, width));
    lines.push(Line::default());
    let said = format!("The rollback goes on from what is there now. s leaves '{}' out instead, with a reason.", work.step);
    paragraph(&mut lines, &said, theme.dim(), width);
    let (title, keys) = ("Replace somebody else's change?".to_owned(), confirm_keys("replace it, go on", theme));
    Some(Popup { title, style: theme.caution(), lines, keys, home: None })
}

/// Who held it, why and since when.
#[must_use]
pub fn popup(typed: &str, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    if let Some(popup) = replace(snapshot, theme, width) {
        return popup;
    }
    if let Status::Held { reason, by, since } = &snapshot.status {
        labelled(&mut lines, "held by", by, theme.plain(), theme, width);
        labelled(&mut lines, "because", reason, theme.caution(), theme, width);
        labelled(&mut lines, "for", &text::span((snapshot.now - since) / 1000 * 1000), theme.plain(), theme, width);
    }
    let mut keys = confirm_keys("continue", theme);
    let mut style = theme.frame(true);
    if let Some(wanted) = wanted(snapshot) {
        let said = "The rollback goes on with neither journal nor spool. What it does stands on standard error and \
                    nowhere else until the journal can be written again.";
        paragraph(&mut lines, said, theme.warning(), width);
        keys.insert(1, word_line(wanted, typed, theme));
        style = theme.caution();
    } else {
        let failed = snapshot.work.as_ref().filter(|work| work.rollback.is_some() && work.state == StepState::Failed);
        let said = match failed {
            Some(work) => format!("The rollback goes on: '{}' is tried again.", work.step),
            None => "Steps can be started again; what was in flight goes on.".to_owned(),
        };
        paragraph(&mut lines, &said, theme.dim(), width);
    }
    Popup { title: "End the hold?".to_owned(), style, lines, keys, home: None }
}
