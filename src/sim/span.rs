//! Stretches of time.

use crate::cloud::Millis;

/// A stretch of time: `from` is in it, `until` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Millis,
    pub(super) until: Millis,
}

impl Span {
    /// What does not end by itself lasts for good.
    pub(super) fn new(from: Millis, for_ms: Option<i64>) -> Span {
        Span { from, until: for_ms.map_or(Millis::MAX, |ms| from.saturating_add(ms)) }
    }

    pub(super) fn holds(self, at: Millis) -> bool {
        self.from <= at && at < self.until
    }
}

/// Stretches of time, sorted and without overlaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Adds a span.
    pub(super) fn add(&mut self, new: Span) {
        self.0.push(new);
        self.0.sort_by_key(|s| s.from);
        let mut merged: Vec<Span> = Vec::with_capacity(self.0.len());
        for span in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if span.from <= last.until => last.until = last.until.max(span.until),
                _ => merged.push(span),
            }
        }
        self.0 = merged;
    }

    /// True when one of them holds.
    pub(super) fn hold(&self, at: Millis) -> bool {
        self.0.iter().any(|s| s.holds(at))
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> &[Span] {
        &self.0
    }
}
