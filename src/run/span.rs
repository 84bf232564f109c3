//! Spans of time, and what is done with lists of them. A list is in order, and its spans neither touch nor overlap.

use crate::cloud::Millis;

/// From one time to another, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Where it begins.
    pub from: Millis,
    /// Where it ends; not before it begins.
    pub to: Millis,
}

/// Appends a span that begins no earlier than the last one of the list does.
pub fn push(list: &mut Vec<Span>, span: Span) {
    match list.last_mut() {
        Some(newest) if span.from <= newest.to => {
            newest.from = newest.from.min(span.from);
            newest.to = newest.to.max(span.to);
        }
        _ => list.push(span),
    }
}

/// How long all spans are together, in milliseconds.
#[must_use]
pub fn length(list: &[Span]) -> i64 {
    list.iter().map(|s| s.to - s.from).sum()
}

/// When at least so many of the lists have a span.
#[must_use]
pub fn at_least(lists: &[&[Span]], count: usize) -> Vec<Span> {
    // A span without length is still a span: it begins before it ends.
    let mut edges: Vec<(Millis, bool)> =
        lists.iter().flat_map(|l| l.iter()).flat_map(|s| [(s.from, false), (s.to, true)]).collect();
    edges.sort_unstable();
    let (mut open, mut since, mut out) = (0_usize, None, Vec::new());
    for (at, ends) in edges {
        open = if ends { open.saturating_sub(1) } else { open + 1 };
        match since {
            None if open >= count && count > 0 => since = Some(at),
            Some(from) if open < count => {
                push(&mut out, Span { from, to: at });
                since = None;
            }
            _ => {}
        }
    }
    out
}

/// When either list has a span.
#[must_use]
pub fn union(a: &[Span], b: &[Span]) -> Vec<Span> {
    at_least(&[a, b], 1)
}

/// When both lists have a span.
#[must_use]
pub fn clip(a: &[Span], b: &[Span]) -> Vec<Span> {
    at_least(&[a, b], 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(i64, i64)]) -> Vec<Span> {
        list.iter().map(|(from, to)| Span { from: *from, to: *to }).collect()
    }

    #[test]
    fn lists_are_joined_clipped_and_counted() {
        let (a, b, c) = (spans(&[(0, 10), (20, 30)]), spans(&[(5, 25)]), spans(&[(8, 9), (40, 40)]));
        assert_eq!(union(&a, &b), spans(&[(0, 30)]));
        assert_eq!(clip(&a, &b), spans(&[(5, 10), (20, 25)]));
        assert_eq!(at_least(&[&a, &b, &c], 3), spans(&[(8, 9)]));
        assert_eq!(at_least(&[&a, &b, &c], 1), spans(&[(0, 30), (40, 40)]));
        assert_eq!(at_least(&[&a, &b], 0), []);
        assert_eq!(length(&a), 20);
    }
}
