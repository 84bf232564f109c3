//! The panels: one file each, each made of lines, so that a panel is scrolled, copied and tested the same way.

pub mod alert;
pub mod chart;
pub mod footer;
pub mod identity;
pub mod journal;
pub mod now;
pub mod phases;
pub mod plan;
pub mod signals;
pub mod undo;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear};

use super::app::App;
use super::layout;
use super::widget::strip;
use crate::run::snapshot::Snapshot;

/// A panel that can have the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// Phases and steps.
    Plan,
    /// The current step.
    Now,
    /// Traffic and monitors.
    Signals,
    /// The rollback.
    Undo,
    /// The journal's tail.
    Journal,
}

impl Panel {
    /// All of them, in the order of their numbers.
    pub const ALL: [Panel; 5] = [Panel::Plan, Panel::Now, Panel::Signals, Panel::Undo, Panel::Journal];

    /// Position in [`Panel::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Panel::Plan => 0,
            Panel::Now => 1,
            Panel::Signals => 2,
            Panel::Undo => 3,
            Panel::Journal => 4,
        }
    }

    /// Name with the number that focuses it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Panel::Plan => "1 PLAN",
            Panel::Now => "2 NOW",
            Panel::Signals => "3 SIGNALS",
            Panel::Undo => "4 UNDO",
            Panel::Journal => "5 JOURNAL",
        }
    }
}

/// A panel's lines, and the line that should be seen when nobody has scrolled.
#[derive(Debug, Default)]
pub struct Content {
    /// The lines.
    pub lines: Vec<Line<'static>>,
    /// The line to keep in sight.
    pub home: usize,
}

impl Content {
    /// Lines that are read from the top.
    #[must_use]
    pub fn top(lines: Vec<Line<'static>>) -> Self {
        Content { lines, home: 0 }
    }

    /// The first line to show on a screen of `rows` rows.
    #[must_use]
    pub fn offset(&self, scrolled: Option<usize>, rows: usize) -> usize {
        let last = self.lines.len().saturating_sub(rows);
        match scrolled {
            Some(line) => line.min(last),
            // The line to keep in sight stands in the upper third, so that what comes is seen as well.
            None if self.home < rows => 0,
            None => self.home.saturating_sub(rows / 3).min(last),
        }
    }
}

/// What a panel shows in `rows` rows of `width` cells.
#[must_use]
pub fn content(panel: Panel, app: &App, snapshot: &Snapshot, (width, rows): (usize, usize)) -> Content {
    if let Some(monitor) = app.charted(snapshot).filter(|_| panel == Panel::Signals) {
        return Content::top(chart::lines(snapshot, monitor, app.span(), app.theme(), (width, rows)));
    }
    match panel {
        Panel::Plan => plan::content(snapshot, app.theme(), app.zoomed(), width),
        Panel::Now => now::content(snapshot, app, width),
        Panel::Signals => signals::content(snapshot, app.theme(), app.chosen(snapshot), width),
        Panel::Undo => Content::top(undo::lines(snapshot, app.theme(), app.zoomed(), width)),
        Panel::Journal => journal::content(snapshot, app.theme(), width),
    }
}

/// Paints a panel into its rectangle.
pub fn draw(frame: &mut Frame, panel: Panel, rect: Rect, tabs: bool, app: &App, snapshot: &Snapshot) {
    if rect.is_empty() {
        return;
    }
    let theme = app.theme();
    let focused = panel == app.focus();
    let inner = layout::inner(rect);
    let rows = usize::from(inner.height);
    let content = content(panel, app, snapshot, (usize::from(inner.width), rows));
    let offset = content.offset(app.scrolled(panel), rows);
    let below = content.lines.len().saturating_sub(offset + rows);
    let title = title(panel, tabs, app, snapshot, usize::from(rect.width).saturating_sub(4));
    if layout::boxed(rect) {
        let set = if focused { theme.glyphs.focused } else { theme.glyphs.border };
        let mut block = Block::bordered().border_set(set).border_style(theme.frame(focused)).title(title);
        if offset > 0 || below > 0 {
            let more = match (offset, below) {
                (0, below) => format!(" {below} more below "),
                (above, 0) => format!(" {above} more above "),
                (above, below) => format!(" {above} above, {below} below "),
            };
            block = block.title_bottom(Line::styled(more, theme.dim()).right_aligned());
        }
        frame.render_widget(Clear, rect);
        frame.render_widget(block, rect);
    } else {
        frame.render_widget(title, Rect { height: 1, ..rect });
    }
    for (line, row) in content.lines.iter().skip(offset).zip(inner.rows()) {
        frame.render_widget(line, row);
    }
}

fn title(panel: Panel, tabs: bool, app: &App, snapshot: &Snapshot, width: usize) -> Line<'static> {
    let theme = app.theme();
    let mut fields = Vec::new();
    for other in Panel::ALL {
        if other == panel {
            let style = if other == app.focus() { theme.key() } else { theme.plain() };
            let name = if tabs { format!("[{}]", other.name()) } else { format!(" {}", other.name()) };
            let mut spans = vec![Span::styled(name, style)];
            if panel == Panel::Journal {
                spans.push(Span::styled(format!("  {}", journal::state(snapshot)), journal::style(snapshot, theme)));
            }
            fields.push(strip::Field::spans(0, spans));
        } else if tabs {
            fields.push(strip::Field::new(2, other.name(), theme.dim()));
        }
    }
    let mut line = strip::line(fields, width);
    line.spans.push(Span::raw(" "));
    line
}
