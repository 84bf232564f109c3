//! A table that leaves out its least important columns rather than cutting numbers.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::ui::text;

/// Not even on the narrowest screen does a column become narrower than this.
const LEAST: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Heading.
    pub head: &'static str,
    /// Numbers are aligned to the right.
    pub right: bool,
    /// Columns with a high rank are left out first; rank 0 never.
    pub rank: u8,
    /// The narrowest it may become; 0 for a column whose content is never cut.
    pub min: usize,
}

impl Column {
    /// A column whose text may be cut down to `min` cells. Of several the one on the right is cut first.
    #[must_use]
    pub const fn flexible(head: &'static str, min: usize) -> Self {
        Column { head, right: false, rank: 0, min }
    }

    /// A column that is shown whole or, when its rank is not 0, left out.
    #[must_use]
    pub const fn fixed(head: &'static str, rank: u8) -> Self {
        Column { head, right: false, rank, min: 0 }
    }

    /// Aligned to the right.
    #[must_use]
    pub const fn right(mut self) -> Self {
        self.right = true;
        self
    }
}

/// A cell.
pub type Cell = (String, Style);

/// Heading (unless no column has one) and rows as lines of at most `width` cells.
#[must_use]
pub fn lines(columns: &[Column], rows: Vec<Vec<Cell>>, width: usize, head: Style, mark: &str) -> Vec<Line<'static>> {
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|(content, _)| text::width(content));
            cells.max().unwrap_or(0).max(text::width(column.head))
        })
        .collect();
    let widths = fit(columns, &natural, width);
    let mut out = Vec::with_capacity(rows.len() + 1);
    if columns.iter().any(|column| !column.head.is_empty()) {
        let cells = columns.iter().map(|column| (column.head.to_owned(), head)).collect();
        out.push(row_line(columns, &widths, cells, mark));
    }
    out.extend(rows.into_iter().map(|row| row_line(columns, &widths, row, mark)));
    out
}

/// The width of every column, `None` for those left out.
fn fit(columns: &[Column], natural: &[usize], width: usize) -> Vec<Option<usize>> {
    // A column in which nothing stands is left out too.
    let mut shown: Vec<Option<usize>> = natural.iter().map(|wide| (*wide > 0).then_some(*wide)).collect();
    loop {
        let gaps = shown.iter().flatten().count().saturating_sub(1);
        let total: usize = shown.iter().flatten().sum::<usize>() + gaps;
        if total <= width {
            return shown;
        }
        let mut over = total - width;
        let spare = |index: usize, wide: usize| wide - wide.min(columns[index].min);
        let flexible = || (0..columns.len()).rev().filter(|index| columns[*index].min > 0);
        let slack: usize = flexible().filter_map(|index| Some(spare(index, shown[index]?))).sum();
        let drop = (0..columns.len()).filter(|i| shown[*i].is_some() && columns[*i].rank > 0).max_by_key(|i| columns[*i].rank);
        let Some(index) = drop.filter(|_| slack < over) else {
            // The columns further to the right give way first; below their least width only when nothing else is left.
            for least in [true, false] {
                for index in flexible() {
                    let Some(wide) = shown[index] else { continue };
                    let give = if least { spare(index, wide) } else { wide.saturating_sub(LEAST) }.min(over);
                    shown[index] = Some(wide - give);
                    over -= give;
                }
            }
            return shown;
        };
        shown[index] = None;
    }
}

fn row_line(columns: &[Column], widths: &[Option<usize>], row: Vec<Cell>, mark: &str) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    for ((column, wide), (content, style)) in columns.iter().zip(widths).zip(row) {
        let Some(wide) = *wide else { continue };
        if !spans.is_empty() {
            spans.push(Span::raw(" "));
        }
        let content = text::cut(&content, wide, mark);
        let content = if column.right { text::pad_left(&content, wide) } else { text::pad(&content, wide) };
        spans.push(Span::styled(content, style));
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: usize) -> Vec<String> {
        let columns = [Column::flexible("what", 4), Column::fixed("now", 0).right(), Column::fixed("limit", 1)];
        let cell = |content: &str| (content.to_owned(), Style::new());
        let rows = vec![vec![cell("recordings lag"), cell("17m"), cell("< 15m")]];
        lines(&columns, rows, width, Style::new(), "~").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_flexible_column_shrinks_first_then_columns_go_and_numbers_stay() {
        assert_eq!(table(30), ["what           now limit", "recordings lag 17m < 15m"]);
        assert_eq!(table(18), ["what     now limit", "recordi~ 17m < 15m"]);
        assert_eq!(table(13), ["what      now", "recordin~ 17m"]);
        assert_eq!(table(6), ["w~ now", "r~ 17m"]);
    }

    #[test]
    fn of_two_texts_the_one_on_the_right_is_cut_first() {
        let columns = [Column::flexible("name", 20), Column::flexible("value", 8), Column::fixed("age", 0)];
        let row = |width| {
            let rows = vec![vec![
                ("Germany to Frankfurt".to_owned(), Style::new()),
                ("this vantage is not connected".to_owned(), Style::new()),
                ("3s".to_owned(), Style::new()),
            ]];
            lines(&columns, rows, width, Style::new(), "~")[1].to_string()
        };
        assert_eq!(row(40), "Germany to Frankfurt this vantage i~ 3s ");
        assert_eq!(row(33), "Germany to Frankfurt this va~ 3s ");
        assert_eq!(row(27), "Germany to Frankfurt t~ 3s ");
    }
}
