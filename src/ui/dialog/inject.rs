//! Drill: make something go wrong. A number picks, `Y` does it.

use ratatui::text::{Line, Span};

use super::{Popup, Turn, confirm_keys, paragraph};
use crate::run::command::{Command, DrillCommand};
use crate::run::snapshot::{DrillView, Snapshot};
use crate::ui::keymap::Key;
use crate::ui::text;
use crate::ui::theme::Theme;

fn count(snapshot: &Snapshot) -> usize {
    snapshot.drill.as_ref().map_or(0, |drill| drill.faults.len())
}

/// A key.
pub fn handle(chosen: &mut Option<usize>, key: Key, snapshot: &Snapshot) -> Turn {
    let Some(last) = count(snapshot).checked_sub(1) else { return Turn::Stay };
    match key {
        Key::Char(digit @ '1'..='9') => {
            let index = digit.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).unwrap_or(1) - 1;
            if index <= last {
                *chosen = Some(index);
            }
        }
        Key::Char('j') | Key::Down => *chosen = Some(chosen.map_or(0, |index| (index + 1).min(last))),
        Key::Char('k') | Key::Up => *chosen = Some(chosen.map_or(last, |index| index.saturating_sub(1))),
        Key::Char('Y') => {
            let fault = chosen.and_then(|index| snapshot.drill.as_ref()?.faults.get(index));
            if let Some((_, kind)) = fault {
                return Turn::finish(Command::Drill { what: DrillCommand::Inject(kind.clone()) });
            }
        }
        _ => {}
    }
    Turn::Stay
}

/// The faults, numbered.
#[must_use]
pub fn popup(chosen: Option<usize>, snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let mut lines = Vec::new();
    let faults = snapshot.drill.as_ref().map(|drill: &DrillView| drill.faults.as_slice()).unwrap_or_default();
    if faults.is_empty() {
        paragraph(&mut lines, "This plan has no faults to offer.", theme.dim(), width);
    }
    for (index, (title, _)) in faults.iter().enumerate() {
        let here = chosen == Some(index);
        let style = if here { theme.strong() } else { theme.plain() };
        lines.push(Line::from(vec![
            Span::styled(if here { theme.glyphs.pointer } else { " " }, theme.key()),
            Span::styled(format!(" {:>2}  ", index + 1), theme.key()),
            Span::styled(text::cut(title, width.saturating_sub(6), theme.glyphs.ellipsis), style),
        ]));
    }
    let keys = if chosen.is_some() {
        confirm_keys("make it go wrong now, for good", theme)
    } else {
        vec![
            Line::default(),
            Line::from(vec![
                Span::styled("1-9", theme.key()),
                Span::raw(" pick, then Y   "),
                Span::styled("Esc", theme.key()),
                Span::raw(" back"),
            ]),
        ]
    };
    Popup { title: "What shall go wrong?".to_owned(), style: theme.frame(true), lines, keys, home: None }
}
