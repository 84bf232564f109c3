//! The first line: never a doubt about where one is.

use ratatui::text::Line;

use crate::run::snapshot::Snapshot;
use crate::ui::text;
use crate::ui::theme::Theme;
use crate::ui::widget::strip::{self, Field};

/// Credentials that last less than this are worth a second look, in milliseconds.
const CREDENTIALS_LOW_MS: i64 = 1_800_000;

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
    right.extend(credentials(snapshot, theme));
    right.push(Field::new(4, format!("day {}/{}", snapshot.day, snapshot.days), theme.plain()));
    right.push(Field::new(3, text::clock(snapshot.now), theme.plain()));
    strip::ends(left, right, width)
}

/// How long the credentials last, if they end at all.
fn credentials(snapshot: &Snapshot, theme: &Theme) -> Option<Field> {
    let left = snapshot.credentials_expire? - snapshot.now;
    // Minutes are enough until the last one: nobody needs a line that changes every second.
    let shown = if left >= 60_000 { left / 60_000 * 60_000 } else { left / 1_000 * 1_000 };
    Some(if left <= 0 {
        Field::new(1, "creds EXPIRED", theme.warning())
    } else if left < CREDENTIALS_LOW_MS {
        Field::new(1, format!("! creds {}", text::span(shown)), theme.caution())
    } else {
        Field::new(6, format!("creds {}", text::span(shown)), theme.dim())
    })
}
