//! Numbers and words as they are written in a plan. Everything is integer arithmetic: no value is ever a float.

use crate::plan::{Quantity, Unit};

/// Longest duration, in microseconds: ten years, so that sums stay far from overflow.
const DURATION_US_MAX: i64 = 3_650 * 86_400 * 1_000_000;

/// A decimal number in millionths. At most six places, at most twelve digits before them.
pub fn decimal(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || part.len() > 6 || text.ends_with('.') || !digits(whole) || !digits(part) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let part: i64 = format!("{part:0<6}").parse().ok()?;
    Some(whole * 1_000_000 + part)
}

/// A duration in microseconds: a number and a unit, or several of them.
pub fn duration_us(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i128); 6] =
        [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];
    let mut rest = text;
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let number = decimal(number).ok_or("expected a duration such as `90s`, `15m` or `1h30m`")?;
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(match unit {
                "" => "a duration needs a unit: `us`, `ms`, `s`, `m`, `h` or `d`".to_owned(),
                _ => format!("`{}` is no unit of time; use `us`, `ms`, `s`, `m`, `h` or `d`", super::problem::show(unit)),
            });
        };
        sum += i128::from(number) * scale / 1_000_000;
        rest = tail;
    }
    if text.is_empty() {
        return Err("expected a duration such as `90s`, `15m` or `1h30m`".to_owned());
    }
    i64::try_from(sum).ok().filter(|us| *us <= DURATION_US_MAX).ok_or_else(|| "the duration is longer than ten years".to_owned())
}

/// A percentage in millionths of the whole.
pub fn share(text: &str) -> Result<i64, String> {
    let number = text.strip_suffix('%').map(str::trim_end).ok_or("expected a percentage such as `99.9%`")?;
    let percent = decimal(number).ok_or("expected a percentage such as `99.9%`")?;
    // A millionth is 0.0001 %, the finest that the model can hold.
    if percent % 100 != 0 {
        return Err("a percentage has at most four decimal places".to_owned());
    }
    if percent > 100_000_000 { Err("a percentage is at most 100%".to_owned()) } else { Ok(percent / 100) }
}

/// A quantity of the unit that is wanted.
pub fn quantity(text: &str, unit: Unit) -> Result<Quantity, String> {
    let micros = match unit {
        Unit::Time => duration_us(text)?,
        Unit::Share => share(text)?,
        Unit::Count => decimal(text).ok_or("expected a bare number such as `500`")?,
    };
    Ok(Quantity { micros, unit })
}

/// What a text looks like, to say what was found instead of what was expected.
pub fn kind_of(text: &str) -> Option<&'static str> {
    if decimal(text).is_some() {
        Some("a bare number")
    } else if text.ends_with('%') && share(text).is_ok() {
        Some("a percentage")
    } else if duration_us(text).is_ok() {
        Some("a duration")
    } else {
        None
    }
}

/// Whether this is a name of the plan's own: `[a-z0-9-]+`.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The candidate that was probably meant.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a word by more than a third; longer texts are no names, and not worth the comparison.
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let lower = text.to_lowercase();
    let limit = (text.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| c.len().abs_diff(text.len()) <= limit + 2)
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// A list of words for a message: `a`, `b` or `c`.
pub fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [init @ .., last] => format!("{} or `{last}`", init.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let s = 1_000_000;
        for (text, us) in
            [("20ms", 20_000), ("90s", 90 * s), ("1h30m", 5_400 * s), ("7d", 604_800 * s), ("0.4s", 400_000), ("5us", 5)]
        {
            assert_eq!(duration_us(text), Ok(us), "{text}");
        }
        for bad in ["", "5", "s", "5x", "5 m", "-5s", "1h30", "..s", "99999d", "999999999999d999999999999d", "5M", "1e3s"] {
            assert!(duration_us(bad).is_err(), "{bad}");
        }
        assert!(duration_us("5").unwrap_err().contains("needs a unit"));
    }

    #[test]
    fn shares_and_counts() {
        assert_eq!(share("99.9%"), Ok(999_000));
        assert_eq!(share("0.0001%"), Ok(1));
        assert!(share("101%").is_err() && share("5").is_err() && share("%").is_err() && share("0.00001%").is_err());
        assert_eq!(decimal("500"), Some(500_000_000));
        assert_eq!(decimal("0.25"), Some(250_000));
        for bad in ["", ".", "1.", "-1", "1e3", "0x1", "1234567890123", "0.1234567", "+1", "1_0"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }

    #[test]
    fn near_misses() {
        assert_eq!(nearest("verfiy", ["gate", "verify"]), Some("verify"));
        assert_eq!(nearest("eu-west1", ["eu-central-1", "eu-west-1"]), Some("eu-west-1"));
        assert_eq!(nearest("banana", ["gate", "verify"]), None);
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
