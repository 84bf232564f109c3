//! Change windows: `Sat-Sun 22:00-04:00 Europe/Berlin`, or a list of such.

use jiff::tz::TimeZone;

use super::context::{Context, Read};
use super::node::{At, Data, Node};
use super::problem::show;
use super::value;
use crate::plan::window::{DAY_MIN, Window};

/// An example, for whoever has written something else.
const EXAMPLE: &str = "Sat-Sun 22:00-04:00 Europe/Berlin";
/// The days, Monday first.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
/// Every day.
const DAILY: &str = "daily";
/// Most windows of one step.
const WINDOWS_MAX: usize = 20;

/// Reads `window:` of a phase or a step.
pub fn read(cx: &mut Context, node: &Node) -> Read<Vec<Window>> {
    let Data::Seq(items) = &node.data else { return Some(vec![one(cx, node)?]) };
    if items.is_empty() {
        cx.error_help(node.at, "the list of windows is empty", Some("leave `window` out where there is none".to_owned()));
        return None;
    }
    if items.len() > WINDOWS_MAX {
        cx.error(node.at, format!("there are at most {WINDOWS_MAX} windows"));
        return None;
    }
    let read: Vec<Read<Window>> = items.iter().map(|item| one(cx, item)).collect();
    read.into_iter().collect()
}

fn one(cx: &mut Context, node: &Node) -> Read<Window> {
    let text = cx.words(node)?;
    let parts: Vec<&str> = text.split_whitespace().collect();
    let &[days, times, zone] = parts.as_slice() else {
        let message = format!("expected days, times and a time zone, found `{}`", show(&text));
        cx.error_help(node.at, message, Some(format!("write it as in `{EXAMPLE}`")));
        return None;
    };
    // Whoever has the parts but not their order is told the order, and not that `22:00-04:00` is no day.
    let is_times = |part: &str| part.contains(':');
    let is_days = |part: &str| part == DAILY || part.split([',', '-']).all(|day| DAYS.contains(&day));
    if !is_times(times) && parts.iter().any(|part| is_times(part)) {
        let times = parts.iter().find(|part| is_times(part));
        let days = parts.iter().find(|part| is_days(part));
        let zone = parts.iter().find(|part| !is_times(part) && !is_days(part));
        let written = times.zip(days).zip(zone).map(|((times, days), zone)| format!("write `{days} {times} {zone}`"));
        let help = written.unwrap_or_else(|| format!("write it as in `{EXAMPLE}`"));
        cx.error_help(node.at, "a window is written in another order: days, times, time zone", Some(help));
        return None;
    }
    let (days, times, zone) = (self::days(cx, node.at, days), self::times(cx, node.at, times), self::zone(cx, node.at, zone));
    let (days, (from_min, to_min), zone) = (days?, times?, zone?);
    Some(Window { text: parts.join(" "), days, from_min, to_min, zone })
}

/// `Sat`, `Sat-Sun`, `Mon,Wed-Thu` or `daily`.
fn days(cx: &mut Context, at: At, text: &str) -> Read<[bool; 7]> {
    if text == DAILY {
        return Some([true; 7]);
    }
    let mut out = [false; 7];
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (day(cx, at, first)?, day(cx, at, last)?);
        // From Friday to Monday is over the weekend.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|further| out[(first + further) % 7] = true);
    }
    Some(out)
}

fn day(cx: &mut Context, at: At, text: &str) -> Read<usize> {
    let found = DAYS.iter().position(|day| *day == text);
    if found.is_none() {
        let near = DAYS.iter().find(|day| text.to_lowercase().starts_with(&day.to_lowercase())).copied();
        let near = near.or_else(|| value::nearest(text, DAYS.into_iter().chain([DAILY])));
        let help = near.map_or_else(
            || format!("days are {}, or `{DAILY}`", DAYS.map(|day| format!("`{day}`")).join(", ")),
            |near| format!("write `{near}`"),
        );
        cx.error_help(at, format!("`{}` is no day of the week", show(text)), Some(help));
    }
    found
}

/// `22:00-04:00`.
fn times(cx: &mut Context, at: At, text: &str) -> Read<(u16, u16)> {
    let Some((from, to)) = text.split_once('-') else {
        let message = format!("expected two times such as `22:00-04:00`, found `{}`", show(text));
        cx.error(at, message);
        return None;
    };
    let (from, to) = (time(cx, at, from, DAY_MIN - 1), time(cx, at, to, DAY_MIN));
    let (from, to) = (from?, to?);
    if from == to {
        let help = "a whole day is `00:00-24:00`".to_owned();
        cx.error_help(at, "the window is empty: it shuts when it opens", Some(help));
        return None;
    }
    // What shuts at midnight does not reach into the next day.
    Some((from, if to == 0 { DAY_MIN } else { to }))
}

fn time(cx: &mut Context, at: At, text: &str, most: u16) -> Read<u16> {
    let two = |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u16>().ok());
    let read = text.split_once(':').and_then(|(hour, minute)| Some((two(hour)??, two(minute)??)));
    let minutes = read.filter(|(_, minute)| *minute < 60).map(|(hour, minute)| hour * 60 + minute).filter(|m| *m <= most);
    if minutes.is_none() {
        let message = format!("`{}` is no time of the day", show(text));
        cx.error_help(at, message, Some("write hours and minutes, as in `04:30`".to_owned()));
    }
    minutes
}

fn zone(cx: &mut Context, at: At, text: &str) -> Read<TimeZone> {
    // Names are taken as they are written in the list of zones, so that there is one way to write each.
    if let Some(zone) = TimeZone::get(text).ok().filter(|zone| zone.iana_name() == Some(text)) {
        return Some(zone);
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let exact = names.iter().find(|name| name.eq_ignore_ascii_case(text)).map(|name| format!("did you mean `{name}`?"));
    let help = exact.or_else(|| cx.suggest(text, names.iter().map(String::as_str)));
    let help = help.or_else(|| Some("zones have names such as `Europe/Berlin` or `UTC`".to_owned()));
    cx.error_help(at, format!("there is no time zone `{}`", show(text)), help);
    None
}
