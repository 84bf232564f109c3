//! A call as a difference.

use ratatui::text::{Line, Span};

use crate::run::snapshot::{CallView, DiffLine};
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip;

/// Operation, control plane and state on one line, then what it changes.
#[must_use]
pub fn lines(call: &CallView, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mark = theme.glyphs.ellipsis;
    let state_style = if call.sent { theme.strong() } else { theme.dim() };
    let long = format!("control plane {}", call.control_plane);
    let needed = text::width(&call.operation) + text::width(&long) + text::width(&call.state) + 4;
    let plane = if needed <= width { long } else { format!("CP:{}", call.control_plane) };
    let head = strip::sides(
        Line::from(vec![Span::raw(call.operation.clone()), Span::styled(format!("  {plane}"), theme.dim())]),
        Line::styled(call.state.clone(), state_style),
        width,
        mark,
    );
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
