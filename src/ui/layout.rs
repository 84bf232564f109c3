//! Where things are. Pure: the keys need the same answer as the painter.

use ratatui::layout::Rect;

use super::panel::Panel;

/// The places of one screen. What has no room is an empty rectangle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Areas {
    /// Who, where, which run.
    pub identity: Rect,
    /// The alert line.
    pub alert: Rect,
    /// The phases and the state of the run.
    pub phases: Rect,
    /// The panels that are shown.
    pub panels: Vec<(Panel, Rect)>,
    /// True when the panels are tabs: one is shown, with the others' names in its title.
    pub tabs: bool,
    /// One line about the rollback, when its panel is not shown.
    pub undo: Rect,
    /// What to do next.
    pub prompt: Rect,
    /// The keys.
    pub keys: Rect,
}

/// Rows from which a panel has a box around it.
const BOXED_ROWS: u16 = 8;

/// The places for this size, this focus and this zoom.
#[must_use]
pub fn areas(area: Rect, focus: Panel, zoom: bool) -> Areas {
    let rows = area.height;
    let mut top = area.y;
    let mut bottom = area.y.saturating_add(rows);
    // What is kept on a screen that is too small, most important first: identity, keys, alert, prompt.
    let identity = take_top(&mut top, bottom, area, rows >= 1);
    let keys = take_bottom(top, &mut bottom, area, rows >= 2);
    let alert = take_top(&mut top, bottom, area, rows >= 3);
    let prompt = take_bottom(top, &mut bottom, area, rows >= 4);
    let phases = take_top(&mut top, bottom, area, rows >= 6);
    let wide = area.width >= 150 && rows >= 34;
    let medium = area.width >= 100 && rows >= 30;
    let tabs = zoom || !(wide || medium);
    let undo = take_bottom(top, &mut bottom, area, rows >= 5 && tabs && focus != Panel::Undo);
    let body = Rect::new(area.x, top, area.width, bottom.saturating_sub(top));
    let panels = match (tabs, wide) {
        (true, _) => vec![(focus, body)],
        (false, true) => three_columns(body),
        (false, false) => two_columns(body),
    };
    Areas { identity, alert, phases, panels, tabs, undo, prompt, keys }
}

/// The part of a panel's rectangle in which its lines stand.
#[must_use]
pub fn inner(rect: Rect) -> Rect {
    if rect.height < BOXED_ROWS {
        return Rect::new(rect.x, rect.y.saturating_add(1), rect.width, rect.height.saturating_sub(1));
    }
    // One cell of air between the frame and the text.
    Rect::new(rect.x.saturating_add(2), rect.y + 1, rect.width.saturating_sub(4), rect.height - 2)
}

/// True when a panel of this size has a box around it.
#[must_use]
pub fn boxed(rect: Rect) -> bool {
    rect.height >= BOXED_ROWS
}

fn three_columns(body: Rect) -> Vec<(Panel, Rect)> {
    let (upper, journal) = split_rows(body, body.height - (body.height / 4).clamp(5, 14));
    let (left, rest) = split_columns(upper, upper.width * 33 / 100);
    let (middle, right) = split_columns(rest, rest.width / 2);
    let (plan, undo) = split_rows(left, left.height.saturating_sub(undo_rows(left)));
    vec![(Panel::Plan, plan), (Panel::Now, middle), (Panel::Signals, right), (Panel::Undo, undo), (Panel::Journal, journal)]
}

fn two_columns(body: Rect) -> Vec<(Panel, Rect)> {
    let (upper, journal) = split_rows(body, body.height - (body.height / 6).clamp(5, 10));
    let (left, right) = split_columns(upper, upper.width * 40 / 100);
    let (plan, undo) = split_rows(left, left.height.saturating_sub(undo_rows(left)));
    let (now, signals) = split_rows(right, right.height * 52 / 100);
    vec![(Panel::Plan, plan), (Panel::Now, now), (Panel::Signals, signals), (Panel::Undo, undo), (Panel::Journal, journal)]
}

/// Rows for the way back: its proofs have to be seen beside the plan, and the plan has more than half.
fn undo_rows(left: Rect) -> u16 {
    (left.height * 45 / 100).clamp(10, 15)
}

fn split_rows(area: Rect, first: u16) -> (Rect, Rect) {
    let first = first.min(area.height);
    (Rect { height: first, ..area }, Rect { y: area.y + first, height: area.height - first, ..area })
}

fn split_columns(area: Rect, first: u16) -> (Rect, Rect) {
    let first = first.min(area.width);
    (Rect { width: first, ..area }, Rect { x: area.x + first, width: area.width - first, ..area })
}

fn take_top(top: &mut u16, bottom: u16, area: Rect, wanted: bool) -> Rect {
    if !wanted || *top >= bottom {
        return Rect::new(area.x, *top, area.width, 0);
    }
    *top += 1;
    Rect::new(area.x, *top - 1, area.width, 1)
}

fn take_bottom(top: u16, bottom: &mut u16, area: Rect, wanted: bool) -> Rect {
    if !wanted || top >= *bottom {
        return Rect::new(area.x, *bottom, area.width, 0);
    }
    *bottom -= 1;
    Rect::new(area.x, *bottom, area.width, 1)
}
