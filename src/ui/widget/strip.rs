//! One line made of fields, of which the least important are left out when the line is too short.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::ui::text;

/// A part of a line that is shown whole or not at all.
#[derive(Debug)]
pub struct Field {
    rank: u8,
    spans: Vec<Span<'static>>,
    tight: bool,
}

impl Field {
    /// A field of one style. Fields with a high rank are left out first; rank 0 never.
    #[must_use]
    pub fn new(rank: u8, content: impl Into<String>, style: Style) -> Self {
        Field { rank, spans: vec![Span::styled(content.into(), style)], tight: false }
    }

    /// A field of several spans.
    #[must_use]
    pub fn spans(rank: u8, spans: Vec<Span<'static>>) -> Self {
        Field { rank, spans, tight: false }
    }

    /// Never more than one blank before this field.
    #[must_use]
    pub fn tight(mut self) -> Self {
        self.tight = true;
        self
    }

    fn width(&self) -> usize {
        self.spans.iter().map(Span::width).sum()
    }
}

fn total(fields: &[Field], gap: usize) -> usize {
    let gaps: usize = fields.iter().skip(1).map(|field| if field.tight { 1 } else { gap }).sum();
    fields.iter().map(Field::width).sum::<usize>() + gaps
}

/// The fields that fit with one blank between them, and how many of the first `split` are among them.
#[must_use]
pub fn keep(mut fields: Vec<Field>, mut split: usize, width: usize) -> (Vec<Field>, usize) {
    while total(&fields, 1) > width {
        let Some((index, field)) = fields.iter().enumerate().max_by_key(|(_, field)| field.rank) else { break };
        if field.rank == 0 {
            break;
        }
        split -= usize::from(index < split);
        fields.remove(index);
    }
    (fields, split)
}

/// The fields that fit, with two blanks between them where there is room, one where there is not.
#[must_use]
pub fn line(fields: Vec<Field>, width: usize) -> Line<'static> {
    let (fields, _) = keep(fields, 0, width);
    let gap = if total(&fields, 2) <= width { 2 } else { 1 };
    let mut spans = Vec::new();
    for field in fields {
        if !spans.is_empty() {
            spans.push(Span::raw(" ".repeat(if field.tight { 1 } else { gap })));
        }
        spans.extend(field.spans);
    }
    Line::from(spans)
}

/// Fields at both ends of one row; they compete for the same cells, so they are fitted as one line and then
/// pushed apart.
#[must_use]
pub fn ends(left: Vec<Field>, right: Vec<Field>, width: usize) -> Line<'static> {
    let split = left.len();
    let mut fields = left;
    fields.extend(right);
    let (kept, left_count) = keep(fields, split, width);
    let mut kept = kept.into_iter();
    let left: Vec<Field> = kept.by_ref().take(left_count).collect();
    let right = line(kept.collect(), width);
    let room = width.saturating_sub(right.width() + 1);
    sides(line(left, room), right, width, "")
}

/// A left and a right line on one row; the left one is cut when both do not fit.
#[must_use]
pub fn sides(left: Line<'static>, right: Line<'static>, width: usize, mark: &str) -> Line<'static> {
    let room = width.saturating_sub(right.width() + usize::from(right.width() > 0));
    let mut left = cut_line(left, room, mark);
    if right.width() > 0 {
        let blanks = width.saturating_sub(left.width() + right.width());
        left.spans.push(Span::raw(" ".repeat(blanks)));
        left.spans.extend(right.spans);
    }
    left
}

/// A line cut to a display width.
#[must_use]
pub fn cut_line(line: Line<'static>, width: usize, mark: &str) -> Line<'static> {
    if line.width() <= width {
        return line;
    }
    let mut spans = Vec::new();
    let mut left = width;
    let mut rest: usize = line.width();
    for span in line.spans {
        let wide = span.width();
        rest -= wide;
        if wide + usize::from(rest > 0) <= left {
            left -= wide;
            spans.push(span);
            continue;
        }
        // A blank is added so that the cut is marked even when this span alone would just fit.
        let marked = if rest > 0 { format!("{}  ", span.content) } else { span.content.into_owned() };
        spans.push(Span::styled(text::cut(&marked, left, mark), span.style));
        break;
    }
    Line::from(spans)
}
