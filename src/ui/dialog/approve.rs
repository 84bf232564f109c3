//! Approve?

use super::{Popup, confirm_keys, labelled, paragraph};
use crate::run::snapshot::Snapshot;
use crate::ui::theme::Theme;

/// What is approved, by whom, and who has done so already.
#[must_use]
pub fn popup(snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    if let Some(work) = &snapshot.work {
        paragraph(&mut lines, &work.title, theme.strong(), width);
        paragraph(&mut lines, &work.note, theme.dim(), width);
        if let Some((people, needed)) = &work.approvals {
            let names = if people.is_empty() { "nobody yet".to_owned() } else { people.join(", ") };
            labelled(&mut lines, "approved by", &format!("{names} ({} of {needed})", people.len()), theme.plain(), theme, width);
        }
    }
    labelled(&mut lines, "you are", &snapshot.identity.driver, theme.plain(), theme, width);
    Popup { title: "Approve?".to_owned(), style: theme.frame(true), lines, keys: confirm_keys("approve", theme), home: None }
}
