//! Typed quantities: integers in millionths of a base unit, so that nothing in the core ever compares floats.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Time; the base unit is the second.
    Time,
    /// Share; the base unit is the whole (1 % is 10 000 millionths).
    Share,
    /// Pieces, bytes, requests: a plain number.
    Count,
}

/// A number in millionths of its base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Millionths: microseconds for time, parts per million for shares.
    pub micros: i64,
    /// What it measures.
    pub unit: Unit,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = self.micros;
        match self.unit {
            Unit::Time if m < 0 => write!(f, "-{}", Quantity { micros: m.saturating_neg(), unit: self.unit }),
            Unit::Time if m < 1_000 => write!(f, "{m}us"),
            Unit::Time if m < 100_000 => write!(f, "{}", trim(m, 1_000, "ms")),
            Unit::Time if m < 1_000_000 => write!(f, "{}ms", m / 1_000),
            Unit::Time if m < 60_000_000 => write!(f, "{}", trim(m, 1_000_000, "s")),
            Unit::Time => f.write_str(&format_ms(m / 1_000)),
            Unit::Share if m % 10_000 == 0 => write!(f, "{}%", m / 10_000),
            Unit::Share => write!(f, "{}.{:02}%", m / 10_000, m % 10_000 / 100),
            Unit::Count => f.write_str(&trim(m, 1_000_000, "")),
        }
    }
}

/// One decimal, or none when it is zero.
fn trim(micros: i64, base: i64, suffix: &str) -> String {
    let tenths = micros * 10 / base;
    if tenths % 10 == 0 { format!("{}{suffix}", tenths / 10) } else { format!("{}.{}{suffix}", tenths / 10, (tenths % 10).abs()) }
}

/// Milliseconds for people: `850ms`, `12s`, `2m04s`, `3h12m`, `2d4h`.
#[must_use]
pub fn format_ms(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.abs();
    let (s, m, h, d) = (ms / 1_000, ms / 60_000, ms / 3_600_000, ms / 86_400_000);
    let text = match () {
        () if ms < 1_000 => format!("{ms}ms"),
        () if s < 60 => format!("{s}s"),
        () if m < 60 && s % 60 == 0 => format!("{m}m"),
        () if m < 60 => format!("{m}m{:02}s", s % 60),
        () if h < 24 && m % 60 == 0 => format!("{h}h"),
        () if h < 24 => format!("{h}h{:02}m", m % 60),
        () if h % 24 == 0 => format!("{d}d"),
        () => format!("{d}d{}h", h % 24),
    };
    format!("{sign}{text}")
}
