//! Start a step? What it would send, which control plane it needs, what undo would be.

use ratatui::text::Line;

use super::{Popup, confirm_keys, conflict, labelled, paragraph};
use crate::run::snapshot::{Armed, Snapshot, StepState};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::{conditions, diff};

/// The step as it would be done.
#[must_use]
pub fn popup(step: &str, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    let view = snapshot.steps.iter().find(|view| view.id == step);
    let work = snapshot.work.as_ref().filter(|work| work.id == step);
    if let Some(view) = view {
        paragraph(&mut lines, &view.title, theme.strong(), width);
        if let Some(work) = work.filter(|work| !work.note.is_empty()) {
            paragraph(&mut lines, &work.note, theme.dim(), width);
        }
        lines.push(Line::default());
        labelled(&mut lines, "step", &format!("{} ({}), day {}", view.id, view.action, view.day), theme.plain(), theme, width);
        if !view.control_planes.is_empty() {
            labelled(&mut lines, "control plane", &view.control_planes.join(", "), theme.plain(), theme, width);
        }
        if view.expected_ms > 0 {
            labelled(&mut lines, "takes about", &text::span(view.expected_ms), theme.plain(), theme, width);
        }
        match &view.one_way {
            Some(why) => labelled(&mut lines, "ONE-WAY", why, theme.caution(), theme, width),
            None => labelled(&mut lines, "undo", &undo(snapshot), theme.plain(), theme, width),
        }
        if view.state == StepState::Failed {
            // Both sides of a conflict stand below, in full.
            let conflict = work.and_then(|work| work.conflict.as_ref());
            let why =
                if conflict.is_some() { "somebody else has changed it; starting again replaces that" } else { &view.reason };
            labelled(&mut lines, "failed before", why, theme.caution(), theme, width);
            lines.extend(conflict.into_iter().flat_map(|found| conflict::lines(found, theme, width)));
        }
    }
    if let Some(work) = work {
        if let Some(call) = &work.call {
            lines.push(Line::default());
            lines.extend(diff::lines(call, theme, width));
        }
        if !work.gate.is_empty() {
            lines.push(Line::default());
            lines.extend(conditions::lines("gate", &work.gate, true, theme, width));
        }
    }
    let again = view.is_some_and(|view| view.state == StepState::Failed);
    let (title, confirm) = if again { ("Try again?", "try again") } else { ("Start?", "start") };
    Popup { title: title.to_owned(), style: theme.frame(true), lines, keys: confirm_keys(confirm, theme), home: None }
}

fn undo(snapshot: &Snapshot) -> String {
    match &snapshot.undo.armed {
        Armed::Armed => format!("u takes this step back; R: '{}' to {}, ARMED", snapshot.undo.name, snapshot.undo.to),
        Armed::NotArmed(reason) => format!("u takes this step back; rollback NOT ARMED: {reason}"),
        Armed::Nothing => "u takes this step back".to_owned(),
    }
}
