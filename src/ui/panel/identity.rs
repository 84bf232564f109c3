//! The first line: never a doubt about where one is.

use ratatui::text::Line;

use crate::run::snapshot::Snapshot;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip::{self, Field};

/// Mode in words, account, regions, plan, run, driver, day and clock.
#[must_use]
pub fn line(snapshot: &Snapshot, theme: &Theme, width: usize) -> Line<'static> {
    let id = &snapshot.identity;
    let dim = theme.dim();
    let hash = text::short(&id.plan_hash, if width < 100 { 4 } else { 8 });
    let mode = if id.drill { "[DRILL]" } else { "[LIVE]" };
    let mut left = vec![
        Field::new(0, mode, theme.mode(id.drill)),
        Field::new(2, text::account(&id.account), theme.strong()),
        Field::new(1, format!("{} {} {}", id.from, theme.glyphs.arrow, id.to), theme.strong()),
        Field::new(5, format!("{}#{hash}", id.plan), theme.plain()),
        Field::new(7, format!("run {}", id.run), dim),
        Field::new(6, format!("{} DRIVING", id.driver), dim),
    ];
    if let Some(scenario) = &id.scenario {
        left.push(Field::new(8, format!("scenario {scenario}"), dim));
    }
    let mut right = Vec::new();
    if let Some(drill) = &snapshot.drill {
        let speed = match drill.speed {
            _ if drill.skipping_to.is_some() => "skipping".to_owned(),
            0 => "stopped".to_owned(),
            speed => format!("{speed}x"),
        };
        right.push(Field::new(4, speed, theme.key()));
    }
    right.push(Field::new(4, format!("day {}/{}", snapshot.day, snapshot.days), theme.plain()));
    right.push(Field::new(3, text::clock(snapshot.now), theme.plain()));
    strip::ends(left, right, width)
}
