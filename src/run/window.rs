//! Change windows in words: until when a step may be started, or when that will be, and whether it ends within.

use super::decide::Ctx;
use super::snapshot::WindowView;
use crate::cloud::Millis;
use crate::plan::window::{Standing, Window, is_open, shown, standing};
use crate::plan::{Step, format_ms};

/// How the evidence of a step begins that was started outside its window.
pub const OUTSIDE: &str = "outside its window";

/// The windows as the plan says them.
#[must_use]
pub fn text(windows: &[Window]) -> String {
    windows.iter().map(|window| window.text.as_str()).collect::<Vec<_>>().join(" or ")
}

/// A time on the clocks of the window that opens or shuts then, with how long it is until then.
#[must_use]
pub fn when(windows: &[Window], at: Millis, now: Millis) -> String {
    // Of several zones that of the window whose edge this is.
    let turns = |window: &&Window| {
        let one = std::slice::from_ref(*window);
        is_open(one, at) != is_open(one, at - 1)
    };
    let Some(window) = windows.iter().find(turns).or(windows.first()) else { return String::new() };
    // Seconds are of no use in it, and what is less than a minute away is not now.
    let minutes = (at - now).max(0).saturating_add(59_999) / 60_000 * 60_000;
    format!("{} (in {})", shown(&window.zone, at), format_ms(minutes))
}

/// Why a step may not be started now as far as its window goes; `None` when it may.
#[must_use]
pub fn shut(step: &Step, now: Millis) -> Option<String> {
    if is_open(&step.windows, now) {
        return None;
    }
    let opens = match standing(&step.windows, now) {
        Standing::Shut(Some(opens)) => format!("opens {}", when(&step.windows, opens, now)),
        _ => "it does not open in the next two weeks".to_owned(),
    };
    Some(format!("{OUTSIDE} {}: {opens}", text(&step.windows)))
}

/// When the window of a step opens that is shut now.
#[must_use]
pub fn opens(step: &Step, now: Millis) -> Option<Millis> {
    if is_open(&step.windows, now) {
        return None;
    }
    match standing(&step.windows, now) {
        Standing::Shut(opens) => opens,
        Standing::Open(_) => None,
    }
}

/// What the journal keeps of the window of a step that is started; `None` for one without.
#[must_use]
pub fn evidence(step: &Step, now: Millis) -> Option<String> {
    let place = if is_open(&step.windows, now) { "in its window" } else { OUTSIDE };
    (!step.windows.is_empty()).then(|| format!("{place} {}", text(&step.windows)))
}

/// The window of a step for a screen. `started` is when it was started, if it goes on; `None` for a step without a window.
#[must_use]
pub fn view(ctx: Ctx<'_>, step: &Step, started: Option<Millis>) -> Option<WindowView> {
    if step.windows.is_empty() {
        return None;
    }
    let ends = started.unwrap_or(ctx.now) + step.expected_ms;
    let (open, changes, fits, words) = match standing(&step.windows, ctx.now) {
        Standing::Open(None) => (true, None, Some(true), "open".to_owned()),
        Standing::Open(Some(until)) => {
            let fits = ends <= until;
            let takes = format_ms(step.expected_ms);
            let open = format!("open until {}", when(&step.windows, until, ctx.now));
            let words = if fits { open } else { format!("{open}; what takes about {takes} ends after that") };
            (true, Some(until), Some(fits), words)
        }
        Standing::Shut(Some(opens)) => (false, Some(opens), None, format!("shut, opens {}", when(&step.windows, opens, ctx.now))),
        Standing::Shut(None) => (false, None, None, "shut".to_owned()),
    };
    // What goes on is not interrupted, and nobody waits for it to open.
    let words = if started.is_some() && !open { "shut; what goes on is not interrupted".to_owned() } else { words };
    Some(WindowView { text: text(&step.windows), open, changes, fits, words })
}
