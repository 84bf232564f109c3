//! Go on by itself?

use super::{Popup, confirm_keys, paragraph};
use crate::ui::theme::Theme;

/// Where it would stop.
#[must_use]
pub fn popup(theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    paragraph(&mut lines, "Starts step after step by itself.", theme.strong(), width);
    paragraph(
        &mut lines,
        "Stops at a gate that does not open, a change set to execute, an approval, a checklist, a one-way step or a failure; \
         space holds it at any time.",
        theme.plain(),
        width,
    );
    Popup { title: "Go on?".to_owned(), style: theme.frame(true), lines, keys: confirm_keys("go on", theme), home: None }
}
