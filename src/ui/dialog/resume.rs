//! End a hold? Where neither journal nor spool can be written, the name of the rollback's region has to be typed.

use super::{Popup, Turn, confirm_keys, labelled, paragraph, scrolling, type_into, word_line};
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

/// Who held it, why and since when.
#[must_use]
pub fn popup(typed: &str, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
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
