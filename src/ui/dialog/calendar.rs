//! The calendar: each day of the plan, planned and actual, then the windows. First of all where one is and when it ends.
//!
//! A day is one line at every width: what does not fit is said shorter, and how long it should take is left out last.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Popup, labelled, room};
use crate::run::snapshot::{DayView, Snapshot};
use crate::ui::text;
use crate::ui::theme::Theme;

/// Fewest cells in which a phase's title is of use.
const TITLE: usize = 10;

/// All of it.
#[must_use]
pub fn popup(snapshot: &Snapshot, theme: &Theme, width: usize) -> Popup {
    let calendar = &snapshot.calendar;
    let mut lines = Vec::new();
    pair(&mut lines, "today", &calendar.today, theme.strong(), theme, width);
    let end = if calendar.end.slip_days > 0 { theme.caution() } else { theme.plain() };
    pair(&mut lines, "end", &calendar.end.words, end, theme, width);
    lines.push(Line::default());
    lines.extend(days(snapshot, theme, width));
    if !calendar.windows.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("windows", theme.strong()));
    }
    for window in &calendar.windows {
        let all = text::count(window.steps.len(), "step", "steps");
        let left = if window.left == 0 { "none".to_owned() } else { window.left.to_string() };
        super::paragraph(&mut lines, &format!("{}: {all}, {left} to come", window.text), theme.plain(), width);
        let words = text::wrap(&window.words, width.saturating_sub(2)).into_iter();
        lines.extend(words.map(|part| Line::styled(format!("  {part}"), theme.dim())));
    }
    let keys = vec![Line::from(vec![
        Span::styled("j k", theme.key()),
        Span::raw(" scroll   "),
        Span::styled("Esc", theme.key()),
        Span::raw(" back"),
    ])];
    let title = if calendar.zone.is_empty() { "Calendar".to_owned() } else { format!("Calendar, {}", calendar.zone) };
    Popup { title, style: theme.frame(true), lines, keys, home: None }
}

/// How far it is scrolled when it opens: as far as it takes to have today in sight.
#[must_use]
pub fn scroll(snapshot: &Snapshot, popup: &Popup, area: Rect) -> usize {
    let Some(index) = snapshot.calendar.days.iter().position(|day| day.today) else { return 0 };
    // The first day's line is the one behind the table's heading, which follows the first empty line.
    let head = popup.lines.iter().position(|line| line.width() == 0).unwrap_or_default() + 2;
    let room = room(popup, area);
    // A day behind it is in sight as well.
    if head + index + 1 < room { 0 } else { (head + index + 1).saturating_sub(room / 2) }
}

/// A label and what it stands for, indented no more than it takes.
fn pair(lines: &mut Vec<Line<'static>>, label: &str, content: &str, style: Style, theme: &Theme, width: usize) {
    if width >= 60 {
        return labelled(lines, label, content, style, theme, width);
    }
    for (row, part) in text::wrap(content, width.saturating_sub(6)).into_iter().enumerate() {
        let label = if row == 0 { label } else { "" };
        lines.push(Line::from(vec![Span::styled(text::pad(label, 6), theme.dim()), Span::styled(part, style)]));
    }
}

/// One column: its heading and what each day has in it.
struct Column {
    heading: &'static str,
    cells: Vec<String>,
    right: bool,
}

impl Column {
    fn new(heading: &'static str, days: &[DayView], cell: impl Fn(&DayView) -> String) -> Column {
        Column { heading, cells: days.iter().map(cell).collect(), right: false }
    }

    fn right(mut self) -> Column {
        self.right = true;
        self
    }

    /// An empty column takes no room.
    fn width(&self) -> usize {
        let widest = self.cells.iter().map(|cell| text::width(cell)).max().unwrap_or(0);
        if widest == 0 { 0 } else { widest.max(text::width(self.heading)) }
    }

    fn cell(&self, content: &str, width: usize, theme: &Theme) -> String {
        let content = text::cut(content, width, theme.glyphs.ellipsis);
        if self.right { text::pad_left(&content, width) } else { text::pad(&content, width) }
    }
}

/// The table, in the longest form that fits.
fn days(snapshot: &Snapshot, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let days = &snapshot.calendar.days;
    let phase = |day: &DayView| {
        let title = |id: &usize| snapshot.phases.get(*id).map(|phase| format!("{} {}", id + 1, phase.title));
        day.phases.iter().filter_map(title).collect::<Vec<_>>().join(", ")
    };
    let numbers = |day: &DayView| day.phases.iter().map(|id| (id + 1).to_string()).collect::<Vec<_>>().join(",");
    let number = || Column::new("day", days, |day| day.day.to_string()).right();
    let long_date = || Column::new("date", days, |day| format!("{} {}", day.weekday, day.date));
    let short_date = || Column::new("date", days, |day| format!("{} {}", day.weekday, day.date.get(5..).unwrap_or_default()));
    let steps = || Column::new("steps", days, steps).right();
    let planned = || Column::new("planned", days, planned);
    let actual = || Column::new("actual", days, |day| day.actual.clone());
    let late = || Column::new("slip", days, |day| slip(day.slip_days));
    let title = || Column::new("phase", days, phase);
    let of_phase = || Column::new("ph", days, numbers);
    let done = || Column::new("real", days, |day| day.actual_short.clone());
    let takes = || Column::new("plan", days, |day| if day.expected_ms > 0 { text::span(day.expected_ms) } else { String::new() });
    let signed =
        || Column::new("slip", days, |day| if day.slip_days == 0 { String::new() } else { format!("{:+}d", day.slip_days) });
    // The column that gives way, the cells between columns, and the columns.
    let forms = [
        (Some(2), 2, vec![number(), long_date(), title(), steps(), planned(), actual(), late()]),
        (Some(2), 1, vec![number(), short_date(), title(), steps(), planned(), actual(), late()]),
        (Some(2), 1, vec![number(), short_date(), title(), steps(), takes(), done(), signed()]),
        (None, 1, vec![number(), short_date(), of_phase(), steps(), takes(), done(), signed()]),
        (None, 1, vec![number(), short_date(), of_phase(), steps(), done(), signed()]),
    ];
    let barest = || days.iter().map(|day| Line::styled(format!("{:>3} {}", day.day, day.date), style(day, theme))).collect();
    forms.iter().find_map(|(gives, gap, columns)| table(columns, *gives, *gap, days, theme, width)).unwrap_or_else(barest)
}

/// A table, if it fits. One column may give way; the others are as wide as what is in them.
fn table(
    columns: &[Column],
    gives: Option<usize>,
    gap: usize,
    days: &[DayView],
    theme: &Theme,
    width: usize,
) -> Option<Vec<Line<'static>>> {
    let mut widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let used = |widths: &[usize]| 1 + widths.iter().filter(|w| **w > 0).map(|w| w + gap).sum::<usize>().saturating_sub(gap);
    if let Some(column) = gives {
        let over = used(&widths).saturating_sub(width);
        widths[column] = widths[column].saturating_sub(over).max(widths[column].min(TITLE));
    }
    if used(&widths) > width {
        return None;
    }
    let gap = " ".repeat(gap);
    let row = |cells: Vec<&str>| {
        let parts = columns.iter().zip(&widths).zip(cells).filter(|((_, width), _)| **width > 0);
        parts.map(|((column, width), cell)| column.cell(cell, *width, theme)).collect::<Vec<_>>().join(&gap)
    };
    let heading = row(columns.iter().map(|column| column.heading).collect());
    let mut lines = vec![Line::styled(format!(" {}", heading.trim_end()), theme.dim())];
    for (index, day) in days.iter().enumerate() {
        let pointer = if day.today { theme.glyphs.pointer } else { " " };
        let cells = row(columns.iter().map(|column| column.cells[index].as_str()).collect());
        let line = vec![Span::styled(pointer, theme.key()), Span::styled(cells.trim_end().to_owned(), style(day, theme))];
        lines.push(Line::from(line));
    }
    Some(lines)
}

/// Trouble is amber, and has a number beside it; what is over or empty steps back.
fn style(day: &DayView, theme: &Theme) -> Style {
    let over = day.done == day.steps.len();
    match day.slip_days {
        1.. if !over => theme.caution(),
        _ if day.today => theme.strong(),
        _ if over => theme.dim(),
        _ => theme.plain(),
    }
}

fn steps(day: &DayView) -> String {
    if day.steps.is_empty() { "-".into() } else { format!("{}/{}", day.done, day.steps.len()) }
}

/// The hours of its window and how long its steps should take.
fn planned(day: &DayView) -> String {
    let takes = if day.expected_ms > 0 { text::span(day.expected_ms) } else { String::new() };
    format!("{} {takes}", day.hours).trim().to_owned()
}

fn slip(days: i64) -> String {
    match days {
        0 => String::new(),
        1.. => format!("{days}d late"),
        _ => format!("{}d early", -days),
    }
}
