//! One monitor over time: its numbers against its limit, its failures, its gaps. A gap stays a gap: nothing is drawn
//! between two samples that nobody took.

use ratatui::style::Style;
use ratatui::text::{Line, Span as Text};

use crate::run::snapshot::{Freshness, Level, MonitorView, Point, Snapshot};
use crate::ui::text;
use crate::ui::theme::Theme;

/// How much time a chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    /// The last quarter of an hour, sample by sample.
    #[default]
    Quarter,
    /// The last six hours, minute by minute.
    Hours,
    /// The run from its start.
    Run,
}

impl Span {
    const ALL: [Span; 3] = [Span::Quarter, Span::Hours, Span::Run];

    /// The span after this one, counted round.
    #[must_use]
    pub fn next(self) -> Span {
        match self {
            Span::Quarter => Span::Hours,
            Span::Hours => Span::Run,
            Span::Run => Span::Quarter,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Span::Quarter => "15m",
            Span::Hours => "6h",
            Span::Run => "run",
        }
    }

    /// Begin and end in Unix milliseconds. A run that is young does not fill hours with nothing.
    fn times(self, snapshot: &Snapshot) -> (i64, i64) {
        let shortest = snapshot.now - QUARTER_MS;
        let from = match self {
            Span::Quarter => shortest,
            Span::Hours => (snapshot.now - HOURS_MS).max(snapshot.started).min(shortest),
            Span::Run => snapshot.started.min(shortest),
        };
        (from, snapshot.now)
    }
}

const QUARTER_MS: i64 = 900_000;
const HOURS_MS: i64 = 6 * 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Rows from which there is room for everything; with fewer the plot comes first.
const ROOMY: usize = 10;
/// Dots of a Braille character by row from the top, left and right.
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// The panel in `rows` rows of `width` cells.
#[must_use]
pub fn lines(
    snapshot: &Snapshot,
    monitor: &MonitorView,
    span: Span,
    theme: &Theme,
    (width, rows): (usize, usize),
) -> Vec<Line<'static>> {
    let mark = theme.glyphs.ellipsis;
    let roomy = rows >= ROOMY;
    let mut out = vec![head(monitor, theme, width)];
    if matches!(monitor.kind.as_str(), "stack" | "health-check") {
        out.push(Line::styled("what it tells is a word and no number: there is nothing to draw", theme.dim()));
        out.extend(text::wrap(&monitor.detail, width).into_iter().filter(|part| !part.is_empty()).map(Line::raw));
        return out;
    }
    if roomy {
        let title = monitor.region.as_ref().map_or_else(|| monitor.name.clone(), |region| format!("{}, {region}", monitor.name));
        out.push(Line::styled(text::cut(&title, width, mark), theme.dim()));
        out.push(spans(span, theme));
    }
    let below = if roomy { 3 } else { 1 };
    let height = rows.saturating_sub(out.len() + below).max(1);
    let plot = Plot::new(snapshot, monitor, span, theme, width);
    out.extend(plot.lines(height));
    if roomy {
        out.push(plot.failures());
    }
    out.push(plot.times());
    if roomy {
        let legend = text::cut(&plot.legend(span), width, mark);
        out.push(Line::styled(legend, theme.dim()));
    }
    out
}

/// What it is now, how old that is, and what it must be.
fn head(monitor: &MonitorView, theme: &Theme, width: usize) -> Line<'static> {
    let word = match monitor.freshness {
        Freshness::Fresh if monitor.level >= Level::Caution => "OVER ITS LIMIT OR FAILING",
        Freshness::Fresh => "fresh",
        Freshness::Stale => "STALE",
        Freshness::Missing => "MISSING",
    };
    let age = monitor.age_ms.map_or_else(|| "never read".to_owned(), |age| format!("{} old", text::age(age)));
    let limit = if monitor.limit.is_empty() { "no limit".to_owned() } else { format!("limit {}", monitor.limit) };
    let said = format!("{}  {}  {word}, {age}  {limit}", monitor.title, monitor.value);
    Line::styled(text::cut(&said, width, theme.glyphs.ellipsis), theme.reading(monitor.freshness, monitor.level))
}

fn spans(shown: Span, theme: &Theme) -> Line<'static> {
    let mut parts = Vec::new();
    for span in Span::ALL {
        let style = if span == shown { theme.strong() } else { theme.dim() };
        let name = if span == shown { format!("[{}] ", span.name()) } else { format!(" {}  ", span.name()) };
        parts.push(Text::styled(name, style));
    }
    parts.push(Text::styled(" v", theme.key()));
    parts.push(Text::styled(" another span  ", theme.dim()));
    parts.push(Text::styled("j k", theme.key()));
    parts.push(Text::styled(" another monitor", theme.dim()));
    Line::from(parts)
}

/// What is in one column of dots.
type Slot = Option<Point>;

struct Plot<'a> {
    monitor: &'a MonitorView,
    theme: &'a Theme,
    from: i64,
    until: i64,
    started: i64,
    /// By column of dots, oldest first.
    slots: Vec<Slot>,
    /// The values at the lower and at the upper end.
    low: i64,
    high: i64,
    /// Cells before the plot, for values, and of the plot.
    gutter: usize,
    cells: usize,
}

impl<'a> Plot<'a> {
    fn new(snapshot: &Snapshot, monitor: &'a MonitorView, span: Span, theme: &'a Theme, width: usize) -> Plot<'a> {
        let (from, until) = span.times(snapshot);
        let points = points(monitor, span);
        let shown = || points.iter().filter(|(point, length)| point.at + length > from && point.at <= until);
        let numbers = || shown().filter_map(|(point, _)| point.numbers);
        let most = numbers().map(|n| n.p95).chain(monitor.limit_at).max().unwrap_or(1);
        let low = numbers().map(|n| n.p50).min().unwrap_or(0).min(0);
        // Some air above, so that the highest is seen to be the highest.
        let high = most.saturating_add(most.saturating_sub(low) / 16).max(low.saturating_add(1));
        let labels = [Some(low), Some(high), monitor.limit_at];
        let gutter = labels.into_iter().flatten().map(|value| text::width(&label(monitor, value))).max().unwrap_or(0);
        let cells = width.saturating_sub(gutter + 1).max(2);
        let across = if theme.ascii() { 1 } else { 2 };
        let mut slots: Vec<Slot> = vec![None; cells * across];
        let count = i64::try_from(slots.len()).unwrap_or(1);
        let slot = |at: i64| usize::try_from(((at - from) * count / (until - from).max(1)).clamp(0, count - 1)).unwrap_or(0);
        for (point, length) in shown() {
            let last = slot(point.at + (length - 1).max(0));
            for place in &mut slots[slot(point.at)..=last] {
                match place {
                    Some(other) => other.absorb(point),
                    empty => *empty = Some(*point),
                }
            }
        }
        Plot { monitor, theme, from, until, started: snapshot.started, slots, low, high, gutter, cells }
    }

    /// The row of a value, from the bottom, where there are `rows`.
    fn row(&self, value: i64, rows: usize) -> usize {
        let (value, low, high) = (i128::from(value), i128::from(self.low), i128::from(self.high));
        let last = i128::try_from(rows).unwrap_or(1) - 1;
        usize::try_from(((value - low) * last / (high - low).max(1)).clamp(0, last)).unwrap_or(0)
    }

    fn lines(&self, height: usize) -> Vec<Line<'static>> {
        let limit = self.monitor.limit_at.map(|limit| height - 1 - self.row(limit, height));
        let cells = if self.theme.ascii() { self.marks(height) } else { self.dots(height) };
        let line = |(row, cells): (usize, Vec<Option<char>>)| {
            let value = match row {
                row if Some(row) == limit => self.monitor.limit_at,
                0 => Some(self.high),
                row if row + 1 == height => Some(self.low),
                _ => None,
            };
            let label = value.map_or_else(String::new, |value| label(self.monitor, value));
            let (at_limit, above) = (Some(row) == limit, limit.is_some_and(|limit| row < limit));
            let label_style = if at_limit { self.theme.strong() } else { self.theme.dim() };
            let mut spans = vec![
                Text::styled(text::pad_left(&label, self.gutter), label_style),
                Text::styled(self.theme.glyphs.border.vertical_left.to_owned(), self.theme.dim()),
            ];
            let rule = if self.theme.ascii() { '-' } else { '╌' };
            for cell in cells {
                let (sign, style): (char, Style) = match cell {
                    Some(sign) if above => (sign, self.theme.caution()),
                    Some(sign) => (sign, self.theme.plain()),
                    None if at_limit => (rule, self.theme.dim()),
                    None => (' ', self.theme.plain()),
                };
                spans.push(Text::styled(sign.to_string(), style));
            }
            Line::from(spans)
        };
        cells.into_iter().enumerate().map(line).collect()
    }

    /// One sign a sample or a time: `*` for the median, `+` for the 95th percentile where that is another row.
    fn marks(&self, height: usize) -> Vec<Vec<Option<char>>> {
        let mut grid = vec![vec![None; self.cells]; height];
        for (column, slot) in self.slots.iter().enumerate() {
            let Some(numbers) = slot.and_then(|point| point.numbers) else { continue };
            grid[height - 1 - self.row(numbers.p95, height)][column] = Some('+');
            grid[height - 1 - self.row(numbers.p50, height)][column] = Some('*');
        }
        grid
    }

    /// Braille: the median as a line, the 95th percentile as single dots.
    fn dots(&self, height: usize) -> Vec<Vec<Option<char>>> {
        let rows = height * DOTS.len();
        let mut grid = vec![vec![0_u32; self.cells]; height];
        let mut dot = |column: usize, row: usize| {
            let row = rows - 1 - row;
            grid[row / DOTS.len()][column / 2] |= DOTS[row % DOTS.len()][column % 2];
        };
        let mut before = None;
        for (column, slot) in self.slots.iter().enumerate() {
            let numbers = slot.and_then(|point| point.numbers);
            let row = numbers.map(|n| self.row(n.p50, rows));
            if let (Some(numbers), Some(row)) = (numbers, row) {
                let other = before.unwrap_or(row);
                for between in row.min(other)..=row.max(other) {
                    dot(column, between);
                }
                if column % 2 == 0 {
                    dot(column, self.row(numbers.p95, rows));
                }
            }
            before = row;
        }
        let sign = |bits: u32| char::from_u32(0x2800 + bits).filter(|_| bits > 0);
        grid.into_iter().map(|row| row.into_iter().map(sign).collect()).collect()
    }

    /// A mark under each cell in which a sample failed.
    fn failures(&self) -> Line<'static> {
        let across = self.slots.len() / self.cells;
        let failed = |cell: &[Slot]| cell.iter().flatten().any(|point| point.failed > 0);
        let marks: String =
            self.slots.chunks(across).map(|cell| if failed(cell) { self.theme.glyphs.gap } else { " " }).collect();
        Line::from(vec![Text::raw(" ".repeat(self.gutter + 1)), Text::styled(marks, self.theme.warning())])
    }

    /// The time axis. A label begins at the time that it names; the last one ends there.
    fn times(&self) -> Line<'static> {
        let long = self.until - self.from > DAY_MS;
        let label = |at: i64| {
            let clock = text::clock(at);
            let clock = clock.get(..5).unwrap_or_default();
            if long { format!("d{} {clock}", (at - self.started).div_euclid(DAY_MS) + 1) } else { clock.to_owned() }
        };
        let wide = text::width(&label(self.until)) + 1;
        let parts = (self.cells / (wide * 2)).clamp(1, 4);
        let mut axis = String::new();
        for part in 0..parts {
            let ahead = self.cells * part / parts;
            let at = self.from + (self.until - self.from) * i64::try_from(part).unwrap_or(0) / i64::try_from(parts).unwrap_or(1);
            axis = text::pad(&axis, ahead) + &label(at);
        }
        let last = format!("{}Z", label(self.until));
        axis = text::pad(&axis, self.cells.saturating_sub(text::width(&last))) + &last;
        Line::styled(format!("{}{axis}", " ".repeat(self.gutter + 1)), self.theme.dim())
    }

    fn legend(&self, span: Span) -> String {
        let (p50, p95) = if self.theme.ascii() { ("*", "+") } else { ("line", "dots") };
        let (samples, failed) = self.slots.iter().flatten().fold((0, 0), |sum, p| (sum.0 + p.samples, sum.1 + p.failed));
        let none = if samples == 0 { ": nothing was observed in this time" } else { "" };
        let bad = if failed > 0 { format!("  {} failed", self.theme.glyphs.gap) } else { String::new() };
        match span {
            Span::Quarter => format!("{p50} each sample{bad}{none}"),
            Span::Hours => format!("{p50} p50, {p95} p95 of each minute{bad}{none}"),
            Span::Run => format!("{p50} mean of p50, {p95} p95 of the worst minute{bad}{none}"),
        }
    }
}

/// A value on the axis. Nought needs no unit.
fn label(monitor: &MonitorView, value: i64) -> String {
    if value == 0 { "0".to_owned() } else { monitor.show(value) }
}

/// What there is to draw, each with how long it lasts, in milliseconds.
fn points(monitor: &MonitorView, span: Span) -> Vec<(Point, i64)> {
    let chart = &monitor.chart;
    match span {
        Span::Quarter => {
            let first = chart.samples.front().map_or(i64::MAX, |sample| sample.0);
            let before = chart.past.before.iter().filter(|sample| sample.0 < first);
            before.chain(chart.samples.iter()).map(|sample| (Point::of(*sample), 0)).collect()
        }
        Span::Hours => chart.past.minutes.iter().map(|point| (*point, 60_000)).collect(),
        Span::Run => chart.past.run.iter().map(|point| (*point, chart.past.step_ms)).collect(),
    }
}
