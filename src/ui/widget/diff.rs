//! A call as a difference.

use ratatui::text::Line;

use crate::run::snapshot::{CallView, DiffLine};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip::{self, Field};

/// Operation, control plane and state on one line, then what it changes.
#[must_use]
pub fn lines(call: &CallView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mark = theme.glyphs.ellipsis;
    let state_style = if call.sent { theme.strong() } else { theme.dim() };
    let place = match &call.control_plane {
        Some(region) => format!("CP:{region}"),
        None if call.local => "here".to_owned(),
        None => "data plane".to_owned(),
    };
    let left = vec![Field::new(0, call.operation.clone(), theme.plain()), Field::new(1, place, theme.dim())];
    let state = vec![Field::new(2, call.state.clone(), state_style)];
    let head = strip::ends(left, state, width);
    let mut out = vec![head];
    out.extend(call.lines.iter().map(|line| {
        let (sign, content, style) = match line {
            DiffLine::Minus(content) => ("  - ", content, theme.minus()),
            DiffLine::Plus(content) => ("  + ", content, theme.plus()),
            DiffLine::Same(content) => ("    ", content, theme.dim()),
        };
        Line::styled(format!("{sign}{}", text::cut(content, width.saturating_sub(4), mark)), style)
    }));
    out
}
