//! Texts that fit: cutting and wrapping by display width, durations and clocks for people.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Display width in cells.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to a display width, with `mark` (one cell) where something was cut off. Control characters
/// become blanks, so that a hostile or careless text cannot move anything on the screen.
#[must_use]
pub fn cut(text: &str, max: usize, mark: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.width() <= max {
        return clean;
    }
    let room = max.saturating_sub(mark.width());
    let mut out = String::new();
    let mut used = 0;
    for c in clean.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > room {
            break;
        }
        used += wide;
        out.push(c);
    }
    if max >= mark.width() {
        out.push_str(mark);
    }
    out
}

/// The text with blanks behind it up to a display width.
#[must_use]
pub fn pad(text: &str, to: usize) -> String {
    let mut out = text.to_owned();
    out.push_str(&" ".repeat(to.saturating_sub(text.width())));
    out
}

/// The text with blanks before it up to a display width.
#[must_use]
pub fn pad_left(text: &str, to: usize) -> String {
    let mut out = " ".repeat(to.saturating_sub(text.width()));
    out.push_str(text);
    out
}

/// The text broken at blanks into lines of at most `max` cells; a longer word is broken where it must be.
#[must_use]
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        if !line.is_empty() && line.width() + 1 + word.width() > max {
            lines.push(std::mem::take(&mut line));
        }
        while word.width() > max {
            let mut head = cut(&word, max, "");
            if head.is_empty() {
                head = word.chars().take(1).collect();
            }
            word = word.chars().skip(head.chars().count()).collect();
            lines.push(head);
        }
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A duration in its two largest units: `250ms`, `9s`, `2m10s`, `38m`, `1h12m`, `3d4h`.
#[must_use]
pub fn span(ms: i64) -> String {
    if ms < 0 {
        return format!("-{}", span(ms.saturating_neg()));
    }
    let seconds = ms / 1000;
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small:02}{small_unit}") }
    };
    match seconds {
        0 if ms > 0 => format!("{ms}ms"),
        0..=59 => format!("{seconds}s"),
        60..=3599 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..=86_399 => two(seconds / 3600, "h", seconds / 60 % 60, "m"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// The age of a reading in at most four cells: `0s`, `12s`, `4m`, `2h`, `3d`.
#[must_use]
pub fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..=99 => format!("{seconds}s"),
        100..=5999 => format!("{}m", seconds / 60),
        6000..=359_999 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A running clock: `00:38`, `02:14:07`.
#[must_use]
pub fn stopwatch(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    if seconds < 3600 {
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// The time of day in UTC: `03:12:41Z`.
#[must_use]
pub fn clock(at: i64) -> String {
    let seconds = at.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// An account id in groups of four: `5580-6989-0522`.
#[must_use]
pub fn account(id: &str) -> String {
    let chars: Vec<char> = id.chars().collect();
    chars.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// The first characters of a hash.
#[must_use]
pub fn short(hash: &str, length: usize) -> String {
    hash.chars().take(length).collect()
}

/// `1 call`, `3 calls`.
#[must_use]
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Signs of a sparkline, each one cell wide.
#[derive(Debug, Clone, Copy)]
pub struct Signs<'a> {
    /// Levels, lowest first.
    pub levels: &'a [&'a str],
    /// A failed sample.
    pub gap: &'a str,
    /// A sample above the limit.
    pub over: &'a str,
}

/// Numbers as a row of levels, the newest last. With a limit the highest level is the limit and the lowest is nought, so
/// that what is half full is half as much as allowed.
#[must_use]
pub fn sparkline(samples: &[Option<i64>], cells: usize, limit: Option<i64>, signs: Signs) -> String {
    let Signs { levels, gap, over } = signs;
    let shown = &samples[samples.len().saturating_sub(cells)..];
    let known = || shown.iter().flatten();
    let (low, high) = (known().min().copied().unwrap_or(0), known().max().copied().unwrap_or(0));
    let (low, high) = limit.map_or((low, high), |limit| (low.min(0), limit));
    let reach = i128::from(high) - i128::from(low);
    let top = i128::try_from(levels.len().saturating_sub(1)).unwrap_or(0);
    shown
        .iter()
        .map(|sample| match sample {
            None => gap,
            Some(value) if limit.is_some_and(|limit| *value > limit) => over,
            // A flat line is drawn at the bottom: nothing moves, nothing to see.
            Some(_) if reach == 0 => levels.first().copied().unwrap_or(" "),
            Some(value) => {
                let level = (i128::from(*value) - i128::from(low)) * top / reach;
                usize::try_from(level).ok().and_then(|level| levels.get(level)).copied().unwrap_or(" ")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let cases = [
            (0, "0s"),
            (250, "250ms"),
            (9_000, "9s"),
            (130_000, "2m10s"),
            (38 * 60_000, "38m"),
            (72 * 60_000, "1h12m"),
            (76 * 3_600_000, "3d04h"),
            (-60_000, "-1m"),
        ];
        for (ms, text) in cases {
            assert_eq!(span(ms), text);
        }
        assert_eq!(stopwatch(8_047_000), "02:14:07");
        assert_eq!(clock(1_700_000_000_000), "22:13:20Z");
        assert_eq!(account("558069890522"), "5580-6989-0522");
    }

    #[test]
    fn texts_are_cut_and_wrapped_by_display_width() {
        assert_eq!(cut("Frankfurt", 5, "…"), "Fran…");
        assert_eq!(cut("日本語", 4, "…"), "日…");
        assert_eq!(cut("a\x1b[2Jb", 9, "…"), "a [2Jb");
        assert_eq!(cut("abc", 0, "…"), "");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("日本", 1), ["日", "本"]);
    }

    #[test]
    fn a_sparkline_shows_the_newest_samples() {
        let signs = Signs { levels: &["_", "-", "^"], gap: "x", over: "!" };
        let line = |samples: &[Option<i64>], cells, limit| sparkline(samples, cells, limit, signs);
        assert_eq!(line(&[Some(9), Some(0), None, Some(5), Some(10)], 4, None), "_x-^");
        assert_eq!(line(&[Some(7), Some(7)], 9, None), "__");
        assert_eq!(line(&[Some(i64::MIN), Some(i64::MAX)], 9, None), "_^");
        // Against a limit the same height always means the same share of it.
        assert_eq!(line(&[Some(7), Some(7)], 9, Some(100)), "__");
        assert_eq!(line(&[Some(49), Some(50), Some(99), Some(100), Some(101), None], 9, Some(100)), "_--^!x");
        assert_eq!(line(&[Some(-5), Some(5), Some(i64::MAX)], 9, Some(5)), "_^!");
        assert_eq!(line(&[Some(0), Some(1)], 9, Some(0)), "_!");
    }
}
