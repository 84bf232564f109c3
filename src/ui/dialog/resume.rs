//! End a hold?

use super::{Popup, confirm_keys, labelled, paragraph};
use crate::run::snapshot::{Snapshot, Status, StepState};
use crate::ui::text;
use crate::ui::theme::Theme;

/// Who held it, why and since when.
#[must_use]
pub fn popup(snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    if let Status::Held { reason, by, since } = &snapshot.status {
        labelled(&mut lines, "held by", by, theme.plain(), theme, width);
        labelled(&mut lines, "because", reason, theme.caution(), theme, width);
        labelled(&mut lines, "for", &text::span((snapshot.now - since) / 1000 * 1000), theme.plain(), theme, width);
    }
    let failed = snapshot.work.as_ref().filter(|work| work.rollback.is_some() && work.state == StepState::Failed);
    let said = match failed {
        Some(work) => format!("The rollback goes on: '{}' is tried again.", work.step),
        None => "Steps can be started again; what was in flight goes on.".to_owned(),
    };
    paragraph(&mut lines, &said, theme.dim(), width);
    Popup {
        title: "End the hold?".to_owned(),
        style: theme.frame(true),
        lines,
        keys: confirm_keys("continue", theme),
        home: None,
    }
}
