//! The rollback, or the undo of one step: what it would do, exactly, before anything is sent.

use ratatui::text::{Line, Span};

use super::{Popup, Turn, confirm_keys, labelled, paragraph, scrolling, type_into, word_line};
use crate::run::command::Command;
use crate::run::snapshot::{OfferView, Snapshot};
use crate::ui::app::Action;
use crate::ui::keymap::Key;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::diff;

/// State of the dialog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollback {
    /// The step, when it is the undo of one step.
    pub undo: Option<String>,
    seen: bool,
    shown: Option<String>,
    word: String,
    sent: bool,
    refusal: Option<String>,
}

impl Rollback {
    /// The undo of one step.
    #[must_use]
    pub fn of_step(step: String) -> Self {
        Rollback { undo: Some(step), ..Rollback::default() }
    }

    /// Whether the offer was there and is gone: run, or put away by somebody.
    #[must_use]
    pub fn overtaken(&self, snapshot: &Snapshot) -> bool {
        self.seen && snapshot.offer.is_none()
    }

    /// Whether the confirmation has been sent.
    #[must_use]
    pub fn confirmed(&self) -> bool {
        self.sent
    }

    /// Takes over the offer; true when it is another one than was shown.
    pub fn refreshed(&mut self, snapshot: &Snapshot) -> bool {
        let Some(offer) = &snapshot.offer else { return false };
        self.seen = true;
        if self.shown == offer.fingerprint {
            return false;
        }
        self.shown.clone_from(&offer.fingerprint);
        self.word.clear();
        self.sent = false;
        true
    }

    /// The engine refused a command; true when nothing is left to show.
    pub fn refused(&mut self, command: &Command, reason: &str) -> bool {
        match command {
            Command::PrepareRollback { .. } | Command::PrepareUndo { .. } => !self.seen,
            Command::ConfirmRollback { .. } => {
                self.sent = false;
                self.refusal = Some(reason.to_owned());
                false
            }
            _ => false,
        }
    }

    /// A key.
    pub fn handle(&mut self, key: Key, snapshot: &Snapshot) -> Turn {
        if matches!(key, Key::Esc | Key::Ctrl('c')) {
            // After the confirmation there is nothing to put away any more; the dialog only closes.
            return if self.sent { Turn::Close } else { Turn::Finish(Action::Send(Command::CancelRollback)) };
        }
        let Some(offer) = snapshot.offer.as_ref().filter(|_| !self.sent) else { return scrolling(key) };
        let wanted = offer.confirm_word.as_deref();
        let ready = wanted.is_none_or(|wanted| wanted == self.word);
        if key == Key::Char('Y') && ready {
            // Only what this dialog has shown can be confirmed.
            let Some(fingerprint) = offer.fingerprint.clone().filter(|print| self.shown.as_ref() == Some(print)) else {
                return Turn::Stay;
            };
            self.sent = true;
            self.refusal = None;
            return Turn::Send(Command::ConfirmRollback {
                name: offer.name.clone(),
                offer: fingerprint,
                word: wanted.map(|_| self.word.clone()),
            });
        }
        if let Some(wanted) = wanted
            && type_into(&mut self.word, key, wanted.chars().count() + 8)
        {
            return Turn::Stay;
        }
        scrolling(key)
    }
}

/// The dialog.
#[must_use]
pub fn popup(dialog: &Rollback, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let question = if dialog.undo.is_some() { "Undo this step?" } else { "Roll back?" };
    let mut lines = Vec::new();
    let back = |what: &str| vec![Line::default(), Line::from(vec![Span::styled("Esc", theme.key()), Span::raw(what.to_owned())])];
    let keys = match &snapshot.offer {
        None => {
            paragraph(&mut lines, "Frozen: nothing new starts. Asking the engine what it would do.", theme.plain(), width);
            back(" put it away; the hold stays")
        }
        Some(offer) => {
            describe(&mut lines, offer, theme, width);
            if let Some(refusal) = &dialog.refusal {
                lines.insert(0, Line::default());
                lines.insert(0, Line::styled(text::cut(&format!("refused: {refusal}"), width, "~"), theme.caution()));
            }
            if dialog.sent {
                vec![Line::default(), Line::styled("confirmed; the calls are being sent", theme.strong())]
            } else if offer.fingerprint.is_none() {
                back(" put it away; the hold stays")
            } else {
                let confirm = if dialog.undo.is_some() { "undo it" } else { "roll back" };
                let mut keys = confirm_keys(confirm, theme);
                if let Some(last) = keys.last_mut() {
                    last.spans.pop();
                    last.spans.push(Span::raw(if width < 60 { " put away" } else { " put it away; the hold stays" }));
                }
                if let Some(wanted) = &offer.confirm_word {
                    keys.insert(1, word_line(wanted, &dialog.word, theme));
                }
                keys
            }
        }
    };
    let title = match &snapshot.offer {
        Some(offer) if offer.to.is_empty() => format!("{question} '{}'", offer.name),
        Some(offer) => format!("{question} '{}' to {}", offer.name, offer.to),
        None => question.to_owned(),
    };
    Popup { title, style: theme.caution(), lines, keys }
}

fn describe(lines: &mut Vec<Line<'static>>, offer: &OfferView, theme: &Theme, width: usize) {
    if let Some(caution) = &offer.caution {
        paragraph(lines, &format!("! {caution}"), theme.caution(), width);
    }
    paragraph(lines, &offer.why, theme.plain(), width);
    lines.push(Line::default());
    labelled(lines, "at risk", &offer.at_risk, theme.strong(), theme, width);
    labelled(lines, "takes about", &text::span(offer.expected_ms), theme.strong(), theme, width);
    labelled(lines, "restores", &offer.restores, theme.plain(), theme, width);
    for step in &offer.will_not_undo {
        labelled(lines, "will not undo", step, theme.caution(), theme, width);
    }
    lines.push(Line::default());
    if offer.fingerprint.is_none() {
        lines.push(Line::styled("reading the records...", theme.strong()));
        return;
    }
    let head = text::count(offer.calls.len(), "call, in this order", "calls, in this order");
    lines.push(Line::styled(head, theme.dim()));
    for call in &offer.calls {
        lines.extend(diff::lines(call, theme, width));
    }
    for step in &offer.by_hand {
        labelled(lines, "by hand", step, theme.plain(), theme, width);
    }
}
