//! Leave? What becomes of the run.

use super::{Popup, confirm_keys, labelled, paragraph};
use crate::run::snapshot::Snapshot;
use crate::ui::theme::Theme;

/// What becomes of the run, and how to come back.
#[must_use]
pub fn popup(snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    let id = &snapshot.identity;
    if id.drill {
        paragraph(&mut lines, "Nothing real is touched; its journal is kept, and it can be gone on with.", theme.plain(), width);
        labelled(&mut lines, "go on", &format!("cutover drill {}", id.run), theme.strong(), theme, width);
        labelled(&mut lines, "read it", &format!("cutover log {}", id.run), theme.strong(), theme, width);
    } else {
        paragraph(
            &mut lines,
            "The run holds: nothing new starts while nobody drives. What was sent already goes on in the cloud.",
            theme.caution(),
            width,
        );
        labelled(&mut lines, "come back", &format!("cutover run {}", id.run), theme.strong(), theme, width);
    }
    Popup { title: "Leave?".to_owned(), style: theme.frame(true), lines, keys: confirm_keys("leave", theme), home: None }
}
