//! A cockpit that nobody sits at, filmed: snapshots of a drill that runs as fast as the machine can become a recording that
//! a person can watch.
//!
//! It paints with the cockpit's own code. A rollback's dialog is opened and confirmed when the snapshots say that somebody
//! did so; no command leaves it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::app::App;
use super::cast::Cast;
use super::dialog::Dialog;
use super::keymap::Key;
use super::{Options, render};
use crate::run::snapshot::{Snapshot, Status};

/// Where nothing is wrong, a minute of the drill takes a second at most...
const CALM_SPEED: i64 = 60;
/// ...and no wait longer than this.
const CALM_WAIT: Duration = Duration::from_millis(250);
/// All of it together takes no longer than this.
const CALM_MAX: Duration = Duration::from_secs(15);
/// While users fail or a rollback goes on, ten seconds of the drill take one.
const GRAVE_SPEED: i64 = 10;
/// No wait then is longer than this.
const GRAVE_WAIT: Duration = Duration::from_secs(1);
/// All of that together takes no longer than this.
const GRAVE_MAX: Duration = Duration::from_secs(40);
/// How long the last frame stays.
const LAST: Duration = Duration::from_secs(4);
/// Every look of the cockpit is so much later than the one before for it, in milliseconds: no key is typed ahead.
const LOOK_MS: u64 = 1_000;

/// A frame: what was written, when in the drill's time, and whether something was wrong just then.
struct Frame {
    at: i64,
    grave: bool,
    bytes: Vec<u8>,
}

/// The film.
pub struct Film {
    app: App,
    terminal: Terminal<CrosstermBackend<Reel>>,
    reel: Reel,
    frames: Vec<Frame>,
    last: Option<Snapshot>,
    now_ms: u64,
}

impl std::fmt::Debug for Film {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Film").field("frames", &self.frames.len()).finish_non_exhaustive()
    }
}

/// Where the cockpit writes to.
#[derive(Clone, Default)]
struct Reel(Rc<RefCell<Vec<u8>>>);

impl Write for Reel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Film {
    /// A film of a cockpit of this size.
    ///
    /// # Errors
    /// When the cockpit cannot be set up.
    pub fn new(options: &Options, width: u16, height: u16) -> io::Result<Film> {
        let area = Rect::new(0, 0, width, height);
        let reel = Reel::default();
        // A fixed size: there may be no terminal that could be asked for one.
        let fixed = TerminalOptions { viewport: Viewport::Fixed(area) };
        let terminal = Terminal::with_options(CrosstermBackend::new(reel.clone()), fixed)?;
        let mut app = App::new(options);
        app.resize(area);
        Ok(Film { app, terminal, reel, frames: Vec::new(), last: None, now_ms: 0 })
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// When it cannot be painted.
    pub fn look(&mut self, mut snapshot: Snapshot) -> io::Result<()> {
        // Its time has no speed that would mean anything to somebody who watches.
        if let Some(drill) = &mut snapshot.drill {
            drill.skipping_to = Some(snapshot.now);
        }
        self.follow(&snapshot);
        self.now_ms += LOOK_MS;
        self.app.observe(&snapshot, self.now_ms);
        let app = &self.app;
        self.terminal.draw(|frame| render(frame, app, &snapshot))?;
        let bytes = std::mem::take(&mut *self.reel.0.borrow_mut());
        self.frames.push(Frame { at: snapshot.now, grave: is_grave(&snapshot), bytes });
        self.last = Some(snapshot);
        Ok(())
    }

    /// Opens the dialog of a rollback that is shown, and confirms it when it was confirmed. What the keys would send is
    /// thrown away: it has been sent.
    fn follow(&mut self, snapshot: &Snapshot) {
        let shown = matches!(self.app.dialog(), Some(Dialog::Rollback(_)));
        if snapshot.offer.is_some() && !shown {
            self.press(Key::Char('R'), snapshot);
        }
        let confirmed = shown && snapshot.offer.is_none() && matches!(snapshot.status, Status::RollingBack { .. });
        if let Some(last) = self.last.take().filter(|_| confirmed) {
            // The word was typed by whoever confirmed it.
            for c in last.offer.iter().filter_map(|offer| offer.confirm_word.as_ref()).flat_map(|word| word.chars()) {
                self.press(Key::Char(c), &last);
            }
            self.press(Key::Char('Y'), &last);
        }
    }

    fn press(&mut self, key: Key, snapshot: &Snapshot) {
        self.now_ms += LOOK_MS;
        self.app.handle(key, snapshot, self.now_ms);
    }

    /// Puts the frames into a recording, at times that a person can follow, and ends it.
    ///
    /// # Errors
    /// When the recording cannot be written.
    pub fn develop(self, cast: &mut Cast) -> io::Result<()> {
        let moments: Vec<(i64, bool)> = self.frames.iter().map(|frame| (frame.at, frame.grave)).collect();
        let times = times(&moments);
        for (frame, at) in self.frames.iter().zip(&times) {
            cast.output(*at, &frame.bytes);
        }
        cast.end(times.last().copied().unwrap_or_default() + LAST)
    }
}

fn is_grave(snapshot: &Snapshot) -> bool {
    let users_fail = snapshot.outage.as_ref().is_some_and(|outage| outage.ended.is_none());
    users_fail || snapshot.offer.is_some() || matches!(snapshot.status, Status::RollingBack { .. })
}

/// When each frame is shown, from when it was taken and whether something was wrong just before it.
fn times(frames: &[(i64, bool)]) -> Vec<Duration> {
    let gap = |from: (i64, bool), to: (i64, bool)| {
        let (speed, longest) = if from.1 { (GRAVE_SPEED, GRAVE_WAIT) } else { (CALM_SPEED, CALM_WAIT) };
        let passed = u64::try_from((to.0 - from.0).max(0) / speed).unwrap_or(0);
        (from.1, Duration::from_millis(passed).min(longest))
    };
    let gaps: Vec<(bool, Duration)> = frames.windows(2).map(|pair| gap(pair[0], pair[1])).collect();
    let sum = |grave: bool| gaps.iter().filter(|gap| gap.0 == grave).map(|gap| gap.1).sum::<Duration>();
    let (grave, calm) = (sum(true), sum(false));
    // What would take too long is shown faster, all of it by the same measure.
    let shown = |(is_grave, gap): &(bool, Duration)| {
        let (all, most) = if *is_grave { (grave, GRAVE_MAX) } else { (calm, CALM_MAX) };
        if all > most { gap.mul_f64(most.as_secs_f64() / all.as_secs_f64()) } else { *gap }
    };
    let mut out = Vec::with_capacity(frames.len());
    let mut at = Duration::ZERO;
    for index in 0..frames.len() {
        if let Some(gap) = index.checked_sub(1).and_then(|before| gaps.get(before)) {
            at += shown(gap);
        }
        out.push(at);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_of_weeks_is_watched_in_a_minute_and_its_trouble_slower_than_its_calm() {
        // Every quarter of an hour for 21 days, then an outage of ten minutes, looked at every two seconds.
        let mut frames: Vec<(i64, bool)> = (0..2_016).map(|n| (n * 900_000, false)).collect();
        let begin = frames[2_015].0 + 1_000;
        frames.extend((0..300).map(|n| (begin + n * 2_000, true)));
        let times = times(&frames);
        assert!(times.is_sorted());
        let (calm, whole) = (times[2_015], times[2_315]);
        assert!(calm <= CALM_MAX + Duration::from_millis(300), "{calm:?}");
        assert!(whole + LAST <= Duration::from_mins(1), "{whole:?}");
        assert!(
            whole.checked_sub(calm) > Some(Duration::from_secs(35)),
            "an outage is what it is about: {:?}",
            whole.checked_sub(calm).unwrap()
        );
    }

    #[test]
    fn what_is_short_is_not_drawn_out() {
        let second = |n: i64| (n * 1_000, true);
        assert_eq!(times(&[second(0), second(5)]), [Duration::ZERO, Duration::from_millis(500)]);
        assert_eq!(times(&[(0, false), (6_000, false)]), [Duration::ZERO, Duration::from_millis(100)]);
        assert_eq!(times(&[second(0), second(60)]), [Duration::ZERO, GRAVE_WAIT]);
        assert_eq!(times(&[]), Vec::<Duration>::new());
    }
}
