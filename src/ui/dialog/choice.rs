//! A choice that wants a reason: start behind a shut gate, leave a step out, say that it was done by hand.
//!
//! First the reason is typed; Enter only leads to a second look, and there `Y` does it.

use ratatui::text::{Line, Span};

use super::{Popup, Turn, confirm_keys, labelled, paragraph, scrolling, type_into};
use crate::run::command::{Command, Verb};
use crate::run::snapshot::{Snapshot, StepState, StepView, Verdict, WorkView};
use crate::ui::app::{Allowed, allowed};
use crate::ui::keymap::Key;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::conditions;

/// Longest reason in characters.
const LONGEST: usize = 500;
/// As many rows of a reason are kept in sight.
const REASON_ROWS: usize = 3;

/// What is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Start behind a shut gate.
    Override,
    /// Leave the step out.
    Skip,
    /// A person has done its action.
    ByHand,
}

impl What {
    /// The verb that decides whether it is possible.
    #[must_use]
    pub fn verb(self) -> Verb {
        match self {
            What::Override => Verb::Override,
            What::Skip => Verb::Skip,
            What::ByHand => Verb::DoneByHand,
        }
    }
}

/// State of the dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    what: What,
    step: String,
    reason: String,
    /// The reason is given, and it is shown again before it counts.
    review: bool,
}

impl Choice {
    /// The choice about a step, with its reason still to be given.
    #[must_use]
    pub fn new(what: What, step: String) -> Self {
        Choice { what, step, reason: String::new(), review: false }
    }

    /// Whether the reason is being typed.
    #[must_use]
    pub fn is_typing(&self) -> bool {
        !self.review
    }

    /// Why it is not possible any more, if so: the engine says no, or another step is next.
    fn obstacle(&self, snapshot: &Snapshot) -> Option<String> {
        match allowed(snapshot, self.what.verb()) {
            Allowed::Blocked(why) => Some(why),
            Allowed::No => Some("not possible now".to_owned()),
            Allowed::Yes if self.work(snapshot).is_none() => Some(format!("'{}' is not what is next any more", self.step)),
            Allowed::Yes => None,
        }
    }

    /// Whether the state that justified it has vanished. While the reason is being typed it stays open all the same:
    /// what is typed next would be taken for keys.
    #[must_use]
    pub fn overtaken(&self, snapshot: &Snapshot) -> bool {
        self.review && self.obstacle(snapshot).is_some()
    }

    fn work<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s WorkView> {
        snapshot.work.as_ref().filter(|work| work.step == self.step)
    }

    /// A key.
    pub fn handle(&mut self, key: Key, snapshot: &Snapshot) -> Turn {
        if self.review {
            return match key {
                Key::Char('Y') => Turn::finish(self.command()),
                Key::Backspace => {
                    self.review = false;
                    Turn::Stay
                }
                _ => scrolling(key),
            };
        }
        match key {
            Key::Enter if self.reason.trim().is_empty() || self.obstacle(snapshot).is_some() => Turn::Stay,
            Key::Enter => {
                self.review = true;
                Turn::Anew
            }
            _ if type_into(&mut self.reason, key, LONGEST) => Turn::Stay,
            _ => scrolling(key),
        }
    }

    fn command(&self) -> Command {
        let (step, reason) = (self.step.clone(), self.reason.trim().to_owned());
        match self.what {
            What::Override => Command::Override { step, reason },
            What::Skip => Command::Skip { step, reason },
            What::ByHand => Command::DoneByHand { step, reason },
        }
    }
}

/// The dialog.
#[must_use]
pub fn popup(dialog: &Choice, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    if let Some(work) = dialog.work(snapshot) {
        describe(&mut lines, dialog.what, work, snapshot, theme, width);
    }
    let wide = width >= 60;
    let (title, confirm) = match dialog.what {
        What::Override if wide => ("Start behind a shut gate?", "start it behind its shut gate"),
        What::Override => ("Start behind a shut gate?", "start it"),
        What::Skip => ("Leave this step out?", "leave it out"),
        What::ByHand if wide => ("Done by hand?", "take it as done; its verify decides"),
        What::ByHand => ("Done by hand?", "it is done"),
    };
    // The reason stands beside the keys, so that it is in sight however small the screen is.
    let mut keys = vec![Line::default()];
    if dialog.review {
        let parts = text::wrap(&format!("because: {}", dialog.reason.trim()), width);
        keys.extend(parts.into_iter().take(REASON_ROWS).map(|part| Line::styled(part, theme.strong())));
        keys.extend(confirm_keys(confirm, theme).into_iter().skip(1));
        if let (Some(last), true) = (keys.last_mut(), wide) {
            last.spans.push(Span::styled("   backspace", theme.key()));
            last.spans.push(Span::raw(" the reason"));
        }
    } else {
        if let Some(obstacle) = dialog.obstacle(snapshot) {
            paragraph(&mut keys, &format!("! not possible any more: {obstacle}"), theme.caution(), width);
        }
        reason_lines(&mut keys, &dialog.reason, theme, width);
        let next = if dialog.reason.trim().is_empty() { " after that   " } else { " look at it again   " };
        keys.push(Line::from(vec![
            Span::styled("Enter", theme.key()),
            Span::raw(next),
            Span::styled("Esc", theme.key()),
            Span::raw(" back"),
        ]));
    }
    let style = if dialog.what == What::ByHand { theme.frame(true) } else { theme.caution() };
    Popup { title: title.to_owned(), style, lines, keys, home: None }
}

/// The end of what is typed, under its question.
fn reason_lines(lines: &mut Vec<Line<'static>>, typed: &str, theme: &Theme, width: usize) {
    let question = if width < 60 { "why? (for the journal)" } else { "why? it goes into the journal with your name" };
    lines.push(Line::styled(question, theme.caution()));
    let mut parts = text::wrap(typed, width.saturating_sub(3));
    if parts.is_empty() {
        parts.push(String::new());
    }
    let last = parts.len() - 1;
    for (row, part) in parts.into_iter().enumerate().skip((last + 1).saturating_sub(REASON_ROWS)) {
        let pointer = if row == 0 { theme.glyphs.pointer } else { " " };
        let mut spans = vec![Span::styled(format!("{pointer} "), theme.key()), Span::styled(part, theme.strong())];
        if row == last {
            spans.push(Span::raw(if typed.ends_with(' ') { " " } else { "" }));
            spans.push(Span::styled(" ", theme.selected()));
        }
        lines.push(Line::from(spans));
    }
}

fn describe(lines: &mut Vec<Line<'static>>, what: What, work: &WorkView, snapshot: &Snapshot, theme: &Theme, width: usize) {
    let step = snapshot.steps.iter().find(|step| step.id == work.step && work.rollback.is_none());
    paragraph(lines, &work.title, theme.strong(), width);
    labelled(lines, "step", &name(work, step), theme.plain(), theme, width);
    if let Some(why) = step.and_then(|step| step.one_way.as_deref()) {
        labelled(lines, "ONE-WAY", why, theme.caution(), theme, width);
    }
    if work.state == StepState::Failed && !work.doing.is_empty() {
        labelled(lines, "failed", work.doing.trim_start_matches("failed: "), theme.caution(), theme, width);
    }
    lines.push(Line::default());
    match what {
        What::Override => {
            let shut: Vec<_> = work.gate.iter().filter(|condition| condition.verdict != Verdict::Pass).cloned().collect();
            lines.extend(conditions::lines("shut or unknown", &shut, true, theme, width));
            // The table has no room for why nothing is known.
            for condition in &shut {
                if let Verdict::Unknown(why) = &condition.verdict {
                    paragraph(lines, &format!("{}: {why}", condition.what), theme.dim(), width);
                }
            }
            let others = work.gate.len() - shut.len();
            if others > 0 {
                lines.push(Line::styled(text::count(others, "other condition holds", "other conditions hold"), theme.dim()));
            }
            people(lines, work, snapshot, "it starts", theme, width);
        }
        What::Skip if work.rollback.is_some() => {
            let said = "The rollback goes on with the step after it. What this one would have taken back stays as it is.";
            paragraph(lines, said, theme.plain(), width);
        }
        What::Skip => {
            let sent = if work.state == StepState::Pending {
                "Nothing of it is sent."
            } else {
                "Nothing of it is sent any more, and what was sent stays."
            };
            let said = format!("{sent} It counts as over: the steps that need it can start.");
            paragraph(lines, &said, theme.plain(), width);
        }
        What::ByHand => {
            paragraph(lines, "Nothing is sent: you say that its action is done. Its verify still decides.", theme.plain(), width);
            if !work.gives.is_empty() {
                let words: Vec<String> = work.gives.iter().map(|name| format!("{name}=...")).collect();
                let said = format!("Later steps may need what it gives. Write into the reason: {}", words.join(" "));
                paragraph(lines, &said, theme.plain(), width);
            }
            if work.gate.iter().any(|condition| condition.verdict != Verdict::Pass) && work.state == StepState::Pending {
                paragraph(lines, "! its gate is shut: that goes into the journal as well", theme.caution(), width);
                people(lines, work, snapshot, "it counts", theme, width);
            }
            if !work.verify.is_empty() {
                lines.push(Line::default());
                lines.extend(conditions::lines("verify to be done", &work.verify, false, theme, width));
            }
        }
    }
}

fn name(work: &WorkView, step: Option<&StepView>) -> String {
    match (&work.rollback, step) {
        (Some(rollback), _) => format!("{} of rollback '{rollback}'", work.step),
        (None, Some(step)) => format!("{} ({}), day {}", step.id, step.action, step.day),
        (None, None) => work.step.clone(),
    }
}

/// Who has to agree before something happens, where one person is not enough.
fn people(lines: &mut Vec<Line<'static>>, work: &WorkView, snapshot: &Snapshot, then: &str, theme: &Theme, width: usize) {
    if work.override_people <= 1 {
        return;
    }
    let you = &snapshot.identity.driver;
    lines.push(Line::default());
    for (who, why) in &work.override_asked {
        labelled(lines, "asked by", &format!("{who}: {why}"), theme.plain(), theme, width);
    }
    let others = work.override_asked.iter().filter(|(who, _)| who != you).count();
    let missing = usize::try_from(work.override_people).unwrap_or(usize::MAX).saturating_sub(others + 1);
    let said = match missing {
        0 => format!("It takes {} people. You ({you}) are the last one: {then}.", work.override_people),
        missing => format!(
            "It takes {} people with identities of their own. After you ({you}) it takes {missing} more before {then}.",
            work.override_people
        ),
    };
    paragraph(lines, &said, theme.caution(), width);
}
