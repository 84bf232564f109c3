//! Change windows: when a step may be started, on the clocks of a place.
//!
//! A window is open whenever a clock on the wall there shows a time that is in it. That settles the two odd nights of a
//! year without a rule of their own: an hour that is missing is in no window, and one that comes twice is in it twice.

use std::fmt;

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Minutes of a day.
pub const DAY_MIN: u16 = 1_440;
/// How far ahead the next change of windows is looked for, in days: over a week, and another in which the clocks leave out
/// the very hour that is waited for.
const AHEAD_DAYS: i64 = 15;

/// Days of the week and a time of the day, in a time zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Window {
    /// As the plan says it, such as `Sat-Sun 22:00-04:00 Europe/Berlin`.
    pub text: String,
    /// The days on which it opens, Monday first.
    pub days: [bool; 7],
    /// When it opens, in minutes after midnight.
    pub from_min: u16,
    /// When it shuts, in minutes after midnight; on the next day when that is not after it opens.
    pub to_min: u16,
    /// Whose clocks. The rules are part of this program, so that every machine comes to the same.
    pub zone: TimeZone,
}

// The zone holds the changes of all its years.
impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({})", self.text)
    }
}

impl Window {
    fn is_open(&self, at: i64) -> bool {
        let clock = local(&self.zone, at);
        let today = usize::try_from(clock.date().weekday().to_monday_zero_offset()).unwrap_or_default();
        let minute = u16::try_from(i32::from(clock.hour()) * 60 + i32::from(clock.minute())).unwrap_or_default();
        let yesterday = (today + 6) % 7;
        if self.to_min > self.from_min {
            self.days[today] && (self.from_min..self.to_min).contains(&minute)
        } else {
            self.days[today] && minute >= self.from_min || self.days[yesterday] && minute < self.to_min
        }
    }

    /// The moments within some days at which it may open or shut.
    fn edges(&self, at: i64, days: i64, out: &mut Vec<i64>) {
        let first = local(&self.zone, at).date();
        for day in -1..=days {
            let Ok(date) = first.checked_add(day.days()) else { continue };
            for minute in [self.from_min, self.to_min] {
                instants(&self.zone, date, minute, out);
            }
        }
        // An edge may lie in an hour that is left out, and a window may shut and open again where an hour is repeated.
        let until = at.saturating_add((days + 1) * 86_400_000);
        let changes = self.zone.following(timestamp(at)).map(|change| change.timestamp().as_millisecond());
        out.extend(changes.take_while(|change| *change <= until));
    }
}

/// Whether windows are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Until then; `None` when no end is in sight.
    Open(Option<i64>),
    /// They open then, if they ever do.
    Shut(Option<i64>),
}

/// Whether one of some windows is open at a time in Unix milliseconds. Without any, everything always is.
#[must_use]
pub fn is_open(windows: &[Window], at: i64) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.is_open(at))
}

/// Whether one of some windows is open at a time in Unix milliseconds, and until when that is so.
#[must_use]
pub fn standing(windows: &[Window], at: i64) -> Standing {
    if is_open(windows, at) {
        Standing::Open(next(windows, at, AHEAD_DAYS, false))
    } else {
        Standing::Shut(next(windows, at, AHEAD_DAYS, true))
    }
}

/// When windows are first open, or first shut, after a time.
fn next(windows: &[Window], at: i64, days: i64, open: bool) -> Option<i64> {
    let mut edges = Vec::new();
    for window in windows {
        window.edges(at, days, &mut edges);
    }
    edges.retain(|edge| *edge > at);
    edges.sort_unstable();
    edges.into_iter().find(|edge| is_open(windows, *edge) == open)
}

/// When windows open on a date of a zone, and when they shut again: the first opening of that day, or the one of the day
/// before that reaches into it. `None` when they are shut for the whole day, or there is none.
#[must_use]
pub fn opening_on(windows: &[Window], zone: &TimeZone, date: Date) -> Option<(i64, i64)> {
    if windows.is_empty() {
        return None;
    }
    let begins = begin_of(zone, date)?;
    let ends = begin_of(zone, date.checked_add(1.day()).ok()?)?;
    let shuts = |opens: i64| next(windows, opens, 2, false).unwrap_or(ends);
    if is_open(windows, begins) {
        let shut = shuts(begins);
        // It shuts in the small hours, and opens again on the evening that is meant.
        let again = next(windows, shut, 1, true).filter(|opens| *opens < ends);
        return again.map(|opens| (opens, shuts(opens))).or(Some((begins, shut)));
    }
    next(windows, begins, 1, true).filter(|opens| *opens < ends).map(|opens| (opens, shuts(opens)))
}

/// The date that a zone's clocks show at a time in Unix milliseconds.
#[must_use]
pub fn date_at(zone: &TimeZone, at: i64) -> Date {
    local(zone, at).date()
}

/// The time of the day that a zone's clocks show at a time in Unix milliseconds, such as `22:00`.
#[must_use]
pub fn clock_at(zone: &TimeZone, at: i64) -> String {
    local(zone, at).strftime("%H:%M").to_string()
}

/// A time in Unix milliseconds as the clocks of a zone show it, such as `Sat 2026-01-10 22:00 CET`.
#[must_use]
pub fn shown(zone: &TimeZone, at: i64) -> String {
    timestamp(at).to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// The first moment of a day on a zone's clocks, in Unix milliseconds.
#[must_use]
pub fn begin_of(zone: &TimeZone, date: Date) -> Option<i64> {
    zone.to_timestamp(date.at(0, 0, 0, 0)).ok().map(Timestamp::as_millisecond)
}

fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or_default()
}

fn local(zone: &TimeZone, at: i64) -> DateTime {
    zone.to_datetime(timestamp(at))
}

/// The moments at which clocks show this minute of a day: mostly one, none where it is left out, two where it is repeated.
fn instants(zone: &TimeZone, date: Date, minute: u16, out: &mut Vec<i64>) {
    let date = if minute >= DAY_MIN { date.checked_add(1.day()) } else { Ok(date) };
    let minute = minute % DAY_MIN;
    let (Ok(date), Ok(hour), Ok(minute)) = (date, i8::try_from(minute / 60), i8::try_from(minute % 60)) else { return };
    let clock = date.at(hour, minute, 0, 0);
    let offsets = match zone.to_ambiguous_timestamp(clock).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![offset],
        AmbiguousOffset::Gap { .. } => Vec::new(),
        AmbiguousOffset::Fold { before, after } => vec![before, after],
    };
    out.extend(offsets.into_iter().filter_map(|offset| offset.to_timestamp(clock).ok()).map(Timestamp::as_millisecond));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// Whole hours of the night around a date in Berlin, from 20:00 of the day before in winter time.
    fn berlin(days: [bool; 7], from: u16, to: u16) -> [Window; 1] {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        [Window { text: "test".into(), days, from_min: from * 60, to_min: to * 60, zone }]
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    const DAILY: [bool; 7] = [true; 7];
    const SUNDAY: [bool; 7] = [false, false, false, false, false, false, true];

    /// Follows windows from one change to the next.
    fn changes(windows: &[Window], from: &str, count: usize) -> Vec<String> {
        let mut now = at(from);
        let mut out = Vec::new();
        for _ in 0..count {
            let (word, next) = match standing(windows, now) {
                Standing::Open(until) => ("shuts", until.unwrap()),
                Standing::Shut(opens) => ("opens", opens.unwrap()),
            };
            // Nothing else happens between.
            let open = is_open(windows, now);
            let mut minute = now;
            while minute < next {
                assert_eq!(is_open(windows, minute), open, "{}", shown(&windows[0].zone, minute));
                minute += 60_000;
            }
            assert_ne!(is_open(windows, next), open);
            assert_eq!(is_open(windows, next - 1), open);
            now = next;
            out.push(format!("{word} {}", shown(&windows[0].zone, now)));
        }
        out
    }

    #[test]
    fn a_window_may_pass_midnight_and_belongs_to_the_day_on_which_it_opens() {
        let weekend = [false, false, false, false, false, true, true];
        let seen = changes(&berlin(weekend, 22, 4), "2026-01-05T08:00:00Z", 5);
        let wanted = [
            "opens Sat 2026-01-10 22:00 CET",
            "shuts Sun 2026-01-11 04:00 CET",
            "opens Sun 2026-01-11 22:00 CET",
            "shuts Mon 2026-01-12 04:00 CET",
            "opens Sat 2026-01-17 22:00 CET",
        ];
        assert_eq!(seen, wanted);
        let whole = changes(&berlin(weekend, 0, 24), "2026-01-05T08:00:00Z", 2);
        assert_eq!(whole, ["opens Sat 2026-01-10 00:00 CET", "shuts Mon 2026-01-12 00:00 CET"]);
        assert_eq!(standing(&berlin(DAILY, 0, 24), 0), Standing::Open(None));
        assert_eq!(standing(&[], 0), Standing::Open(None));
    }

    #[test]
    fn the_night_in_which_an_hour_is_missing() {
        // On 29 March 2026 the clocks go from 02:00 to 03:00.
        let over = berlin(DAILY, 22, 4);
        let seen = changes(&over, "2026-03-28T20:00:00Z", 2);
        assert_eq!(seen, ["opens Sat 2026-03-28 22:00 CET", "shuts Sun 2026-03-29 04:00 CEST"]);
        assert_eq!(at("2026-03-29T02:00:00Z") - at("2026-03-28T21:00:00Z"), 5 * HOUR, "an hour less than the clocks say");
        // What lies in that hour alone does not come this week, and what begins in it begins when it is over.
        let seen = changes(&berlin(SUNDAY, 2, 3), "2026-03-28T20:00:00Z", 1);
        assert_eq!(seen, ["opens Sun 2026-04-05 02:00 CEST"]);
        let mut half = berlin(SUNDAY, 2, 4);
        half[0].from_min += 30;
        let seen = changes(&half, "2026-03-28T20:00:00Z", 2);
        assert_eq!(seen, ["opens Sun 2026-03-29 03:00 CEST", "shuts Sun 2026-03-29 04:00 CEST"]);
        let mut until = berlin(SUNDAY, 1, 2);
        until[0].to_min += 30;
        let seen = changes(&until, "2026-03-28T20:00:00Z", 2);
        assert_eq!(seen, ["opens Sun 2026-03-29 01:00 CET", "shuts Sun 2026-03-29 03:00 CEST"]);
    }

    #[test]
    fn the_night_in_which_an_hour_comes_twice() {
        // On 25 October 2026 the clocks go from 03:00 back to 02:00.
        let seen = changes(&berlin(DAILY, 22, 4), "2026-10-24T19:00:00Z", 2);
        assert_eq!(seen, ["opens Sat 2026-10-24 22:00 CEST", "shuts Sun 2026-10-25 04:00 CET"]);
        assert_eq!(at("2026-10-25T03:00:00Z") - at("2026-10-24T20:00:00Z"), 7 * HOUR, "an hour more than the clocks say");
        let seen = changes(&berlin(SUNDAY, 2, 3), "2026-10-24T19:00:00Z", 2);
        assert_eq!(seen, ["opens Sun 2026-10-25 02:00 CEST", "shuts Sun 2026-10-25 03:00 CET"]);
        // A window that shuts within that hour is open again when it comes again.
        let mut until = berlin(SUNDAY, 1, 2);
        until[0].to_min += 30;
        let wanted = [
            "opens Sun 2026-10-25 01:00 CEST",
            "shuts Sun 2026-10-25 02:30 CEST",
            "opens Sun 2026-10-25 02:00 CET",
            "shuts Sun 2026-10-25 02:30 CET",
        ];
        assert_eq!(changes(&until, "2026-10-24T19:00:00Z", 4), wanted);
    }

    #[test]
    fn of_a_list_the_windows_are_counted_together_whatever_their_zones() {
        let mut both = berlin(DAILY, 22, 23).to_vec();
        let zone = TimeZone::get("America/New_York").unwrap();
        both.push(Window { text: "test".into(), days: DAILY, from_min: 17 * 60, to_min: 18 * 60, zone });
        let wanted = ["opens Mon 2026-01-05 22:00 CET", "shuts Tue 2026-01-06 00:00 CET"];
        assert_eq!(changes(&both, "2026-01-05T08:00:00Z", 2), wanted, "one begins when the other ends");
    }

    #[test]
    fn on_a_date_the_evening_counts_before_the_small_hours_of_the_night_before() {
        let weekend = berlin([false, false, false, false, false, true, true], 22, 4);
        let zone = weekend[0].zone.clone();
        let on = |day: i8| {
            let opening = opening_on(&weekend, &zone, jiff::civil::date(2026, 1, day));
            opening.map(|(opens, shuts)| (shown(&zone, opens), shown(&zone, shuts)))
        };
        let pair = |opens: &str, shuts: &str| Some((opens.to_owned(), shuts.to_owned()));
        assert_eq!(on(9), None);
        assert_eq!(on(10), pair("Sat 2026-01-10 22:00 CET", "Sun 2026-01-11 04:00 CET"));
        assert_eq!(on(11), pair("Sun 2026-01-11 22:00 CET", "Mon 2026-01-12 04:00 CET"));
        assert_eq!(on(12), pair("Mon 2026-01-12 00:00 CET", "Mon 2026-01-12 04:00 CET"));
        assert_eq!(opening_on(&[], &zone, jiff::civil::date(2026, 1, 10)), None);
    }
}
