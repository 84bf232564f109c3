//! The rollback, the undo of one step or of one stage of a ramp: what it would do, exactly, before anything is sent.

use ratatui::text::{Line, Span};

use super::{Popup, Turn, confirm_keys, conflict, labelled, paragraph, scrolling, type_into, word_line};
use crate::run::command::Command;
use crate::run::snapshot::{Armed, OfferView, Snapshot};
use crate::ui::app::Action;
use crate::ui::keymap::Key;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip::{self, Field};
use crate::ui::widget::{diff, planes, proofs};

/// What a conflict is, in words.
const CONFLICT: &str = "CONFLICT, somebody else has changed what this run changed; the calls below go from what is there now";

/// What is taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Of {
    /// What a rollback of the plan takes back.
    #[default]
    Plan,
    /// One step.
    Step,
    /// The last stage of a ramp.
    Stage,
}

impl Of {
    fn question(self) -> &'static str {
        match self {
            Of::Plan => "Roll back?",
            Of::Step => "Undo this step?",
            Of::Stage => "Back off one stage?",
        }
    }

    fn confirm(self) -> &'static str {
        match self {
            Of::Plan => "roll back",
            Of::Step => "undo it",
            Of::Stage => "back off",
        }
    }
}

/// State of the dialog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollback {
    of: Of,
    /// The rollback that was chosen by its key, until the engine shows it.
    asked: Option<String>,
    seen: bool,
    shown: Option<String>,
    word: String,
    sent: bool,
    refusal: Option<String>,
}

impl Rollback {
    /// A dialog that waits for the engine to show what it would do.
    #[must_use]
    pub fn new(of: Of) -> Self {
        Rollback { of, ..Rollback::default() }
    }

    /// Whether it shows a rollback of the plan, and not the undo of a step or stage.
    #[must_use]
    pub fn is_of_plan(&self) -> bool {
        self.of == Of::Plan
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

    /// The offer, unless another one has been asked for since.
    fn offer<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s OfferView> {
        snapshot.offer.as_ref().filter(|offer| self.asked.as_ref().is_none_or(|asked| *asked == offer.name))
    }

    /// Takes over the offer; true when it is another one than was shown.
    pub fn refreshed(&mut self, snapshot: &Snapshot) -> bool {
        let Some(offer) = self.offer(snapshot) else { return false };
        self.asked = None;
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
            Command::PrepareRollback { .. } | Command::PrepareUndo { .. } | Command::PrepareBackOff => {
                self.asked = None;
                self.refusal = Some(reason.to_owned());
                !self.seen
            }
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
        if self.sent {
            return scrolling(key);
        }
        if let Some(name) = self.chosen(key, snapshot) {
            self.word.clear();
            self.shown = None;
            self.refusal = None;
            self.asked = Some(name.clone());
            return Turn::Send(Command::PrepareRollback { name: Some(name) });
        }
        let Some(offer) = self.offer(snapshot) else { return scrolling(key) };
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

    /// The other rollback that a digit chooses. A digit inside a region's name that is being typed is none.
    fn chosen(&self, key: Key, snapshot: &Snapshot) -> Option<String> {
        let Key::Char(key @ '1'..='9') = key else { return None };
        if !self.is_of_plan() || !self.word.is_empty() {
            return None;
        }
        let now = self.asked.as_ref().or(snapshot.offer.as_ref().map(|offer| &offer.name));
        let rollback = snapshot.rollbacks.iter().find(|rollback| rollback.key == Some(key))?;
        (now != Some(&rollback.name)).then(|| rollback.name.clone())
    }
}

/// The dialog.
#[must_use]
pub fn popup(dialog: &Rollback, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let question = dialog.of.question();
    let mut lines = Vec::new();
    let back = |what: &str| vec![Line::default(), Line::from(vec![Span::styled("Esc", theme.key()), Span::raw(what.to_owned())])];
    let offer = dialog.offer(snapshot);
    let mut keys = match offer {
        None => {
            let what = dialog.asked.as_ref().map_or_else(|| "it".to_owned(), |name| format!("'{name}'"));
            let said = format!("Frozen: nothing new starts. Asking the engine what {what} would do.");
            paragraph(&mut lines, &said, theme.plain(), width);
            back(" put it away; the hold stays")
        }
        Some(offer) => {
            describe(&mut lines, offer, snapshot, theme, width);
            if dialog.sent {
                vec![Line::default(), Line::styled("confirmed; the calls are being sent", theme.strong())]
            } else if offer.fingerprint.is_none() {
                back(" put it away; the hold stays")
            } else {
                let mut keys = confirm_keys(dialog.of.confirm(), theme);
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
    if let Some(refusal) = &dialog.refusal {
        lines.insert(0, Line::default());
        lines.insert(0, Line::styled(text::cut(&format!("refused: {refusal}"), width, "~"), theme.caution()));
    }
    if dialog.is_of_plan() && !dialog.sent && snapshot.rollbacks.len() > 1 {
        let shown = dialog.asked.as_ref().or(offer.map(|offer| &offer.name));
        keys.insert(1, others(snapshot, shown, theme, width));
    }
    let title = match offer {
        Some(offer) if offer.to.is_empty() => format!("{question} '{}'", offer.name),
        Some(offer) => format!("{question} '{}' to {}", offer.name, offer.to),
        None => question.to_owned(),
    };
    Popup { title, style: theme.caution(), lines, keys, home: None }
}

/// The rollbacks of the plan with their keys and whether they are armed; the one that is shown stands out.
fn others(snapshot: &Snapshot, shown: Option<&String>, theme: &Theme, width: usize) -> Line<'static> {
    let fields = snapshot.rollbacks.iter().filter_map(|rollback| {
        let here = shown == Some(&rollback.name);
        let (word, style) = proofs::armed(&rollback.armed, theme);
        let word = if rollback.armed == Armed::Nothing { "not yet" } else { word };
        let name = if here { theme.strong() } else { theme.plain() };
        let pointer = if here { theme.glyphs.pointer } else { "" };
        let spans = vec![
            Span::styled(format!("{pointer}{}", rollback.key?), theme.key()),
            Span::styled(format!(" {} ", rollback.name), name),
            Span::styled(word, style),
        ];
        Some(Field::spans(u8::from(!here), spans))
    });
    strip::line(fields.collect(), width)
}

fn describe(lines: &mut Vec<Line<'static>>, offer: &OfferView, snapshot: &Snapshot, theme: &Theme, width: usize) {
    let view = snapshot.rollbacks.iter().find(|rollback| rollback.name == offer.name);
    let armed = view.map(|view| &view.armed);
    match (armed, &offer.caution) {
        (Some(Armed::NotArmed(why)), _) => {
            // Both sides of a conflict stand below, in full.
            let why = if offer.conflict.is_some() { CONFLICT } else { why };
            paragraph(lines, &format!("! NOT ARMED: {why}"), theme.caution(), width);
            let other = offer.caution.as_deref().filter(|caution| !why.contains(caution) && offer.conflict.is_none());
            if let Some(other) = other {
                paragraph(lines, &format!("! {other}"), theme.caution(), width);
            }
            let said = if offer.fingerprint.is_some() {
                "Nothing proves that it would work. It can be run all the same."
            } else {
                "Nothing proves that it would work, and what it would do cannot be shown yet: there is nothing to confirm."
            };
            paragraph(lines, said, theme.caution(), width);
            lines.push(Line::default());
        }
        (_, Some(_)) if offer.conflict.is_some() => paragraph(lines, &format!("! {CONFLICT}"), theme.caution(), width),
        (_, Some(caution)) => paragraph(lines, &format!("! {caution}"), theme.caution(), width),
        _ => {}
    }
    if let Some(why) = &snapshot.ledger.failed {
        let where_to = match &snapshot.ledger.spool.failed {
            None => "the entries of a rollback go to the spool, and join the journal late".to_owned(),
            Some(spool) => format!("nor the spool ({spool}): what a rollback does stands on standard error and nowhere else"),
        };
        let said = format!("! the journal cannot be written ({why}): {where_to}");
        paragraph(lines, &said, theme.caution(), width);
        lines.push(Line::default());
    }
    if let Some(found) = &offer.conflict {
        lines.extend(conflict::lines(found, theme, width));
        lines.push(Line::default());
    }
    paragraph(lines, &offer.why, theme.plain(), width);
    lines.push(Line::default());
    labelled(lines, "at risk", &offer.at_risk, theme.strong(), theme, width);
    labelled(lines, "takes about", &text::span(offer.expected_ms), theme.strong(), theme, width);
    labelled(lines, "restores", &offer.restores, theme.plain(), theme, width);
    if let Some(view) = view {
        labelled(lines, "needs", &planes::of_rollback(&view.control_planes), theme.plain(), theme, width);
    }
    for step in &offer.will_not_undo {
        labelled(lines, "will not undo", step, theme.caution(), theme, width);
    }
    lines.push(Line::default());
    if offer.fingerprint.is_none() {
        let said = if offer.caution.is_some() { "reading the records, again and again..." } else { "reading the records..." };
        lines.push(Line::styled(said, theme.strong()));
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
