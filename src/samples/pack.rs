//! Many samples or minutes of one monitor in a few bytes: differences to the one before, in integers of as many bytes as
//! they need (seven bits a byte, lowest first; signed ones with their sign in the lowest bit).
//!
//! A sample is the time since the one before in milliseconds, doubled, plus one when it failed; then, unless it failed,
//! the difference of its number. A minute begins with a byte that tells what follows.

use crate::cloud::Millis;
use crate::run::minute::{MINUTE_MS, Minute, Numbers};

/// A pack that is this long takes nothing more, in bytes: SQLite keeps a row of a thousand bytes within its page.
const FULL: usize = 900;

/// Where a minute has numbers.
const NUMBERS: u8 = 1;
/// Where it has failures.
const BAD: u8 = 2;
/// Where its samples that did not fail are not all of them, and there are some.
const GOOD: u8 = 4;
/// Where one did not fail before the first that failed.
const BEFORE: u8 = 8;
/// Where one did not fail after the last that failed.
const AFTER: u8 = 16;

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, (number.wrapping_shl(1) ^ (number >> 63)).cast_unsigned());
}

/// Reads what was packed; everything is `None` where the bytes end or are none of ours.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn time(&mut self, from: Millis) -> Option<Millis> {
        from.checked_add(i64::try_from(self.number()?).ok()?)
    }
}

/// Samples or minutes of one monitor, one after the other.
#[derive(Debug, Default)]
pub(super) struct Pack {
    /// The time of the first one, in Unix milliseconds: the key under which it is kept.
    pub begins: Millis,
    /// The rest.
    pub bytes: Vec<u8>,
    /// Time and number of the newest.
    last: (Millis, i64),
}

impl Pack {
    /// One that begins at a time and has nothing yet.
    pub(super) fn new(begins: Millis) -> Pack {
        Pack { begins, bytes: Vec::new(), last: (begins, 0) }
    }

    /// Whether something of this time still belongs into it. `span_ms` is what one pack holds at most.
    pub(super) fn takes(&self, at: Millis, span_ms: i64) -> bool {
        self.bytes.len() < FULL && at >= self.last.0 && at - self.begins < span_ms
    }

    /// Adds a sample, no older than the newest.
    pub(super) fn sample(&mut self, at: Millis, number: Option<i64>) {
        let passed = (at - self.last.0).unsigned_abs() << 1;
        put(&mut self.bytes, passed | u64::from(number.is_none()));
        if let Some(number) = number {
            put_signed(&mut self.bytes, number.wrapping_sub(self.last.1));
            self.last.1 = number;
        }
        self.last.0 = at;
    }

    /// Adds a minute whose first sample is no older than the newest of the one before.
    pub(super) fn minute(&mut self, minute: &Minute) {
        let has = |what, is: bool| if is { what } else { 0 };
        let all = minute.good == Some((minute.first, minute.last)) && minute.bad.is_none();
        let good = minute.good.filter(|_| !all);
        let flags = has(NUMBERS, minute.numbers.is_some())
            | has(BAD, minute.bad.is_some())
            | has(GOOD, good.is_some())
            | has(BEFORE, minute.good_before.is_some())
            | has(AFTER, minute.good_after.is_some());
        self.bytes.push(flags);
        let out = &mut self.bytes;
        let since = |out: &mut Vec<u8>, at: Millis, from: Millis| put(out, (at - from).unsigned_abs());
        since(out, minute.first, self.last.0);
        since(out, minute.last, minute.first);
        put(out, minute.samples.into());
        if let Some(n) = minute.numbers {
            put_signed(out, n.p50.wrapping_sub(self.last.1));
            put_signed(out, n.p50.wrapping_sub(n.min));
            put_signed(out, n.p95.wrapping_sub(n.p50));
            put_signed(out, n.max.wrapping_sub(n.p95));
            self.last.1 = n.p50;
        }
        if let Some((from, until)) = minute.bad {
            put(out, minute.failed.into());
            since(out, from, minute.first);
            since(out, until, from);
        }
        if let Some((from, until)) = good {
            since(out, from, minute.first);
            since(out, until, from);
        }
        for at in [minute.good_before, minute.good_after].into_iter().flatten() {
            since(out, at, minute.first);
        }
        self.last.0 = minute.last;
    }
}

/// The samples of a pack, as far as its bytes make sense.
pub(super) fn samples(begins: Millis, bytes: &[u8]) -> Vec<(Millis, Option<i64>)> {
    let (mut reader, mut at, mut number, mut out) = (Reader(bytes), begins, 0_i64, Vec::new());
    while !reader.0.is_empty() {
        let mut next = || {
            let passed = reader.number()?;
            at = at.checked_add(i64::try_from(passed >> 1).ok()?)?;
            if passed & 1 == 1 {
                return Some((at, None));
            }
            number = number.wrapping_add(reader.signed()?);
            Some((at, Some(number)))
        };
        let Some(sample) = next() else { break };
        out.push(sample);
    }
    out
}

/// The minutes of a pack, as far as its bytes make sense.
pub(super) fn minutes(begins: Millis, bytes: &[u8]) -> Vec<Minute> {
    let (mut reader, mut at, mut p50, mut out) = (Reader(bytes), begins, 0_i64, Vec::new());
    while !reader.0.is_empty() {
        let Some(minute) = minute(&mut reader, at, p50) else { break };
        at = minute.last;
        p50 = minute.numbers.map_or(p50, |n| n.p50);
        out.push(minute);
    }
    out
}

fn minute(reader: &mut Reader, at: Millis, p50: i64) -> Option<Minute> {
    let flags = reader.byte()?;
    let has = |what| flags & what != 0;
    let first = reader.time(at)?;
    let last = reader.time(first)?;
    let samples = u32::try_from(reader.number()?).ok()?;
    let mut numbers = None;
    if has(NUMBERS) {
        let p50 = p50.wrapping_add(reader.signed()?);
        let min = p50.wrapping_sub(reader.signed()?);
        let p95 = p50.wrapping_add(reader.signed()?);
        numbers = Some(Numbers { min, p50, p95, max: p95.wrapping_add(reader.signed()?) });
    }
    let (mut failed, mut bad) = (0, None);
    if has(BAD) {
        failed = u32::try_from(reader.number()?).ok()?;
        let from = reader.time(first)?;
        bad = Some((from, reader.time(from)?));
    }
    let good = if has(GOOD) {
        let from = reader.time(first)?;
        Some((from, reader.time(from)?))
    } else {
        bad.is_none().then_some((first, last))
    };
    let good_before = if has(BEFORE) { Some(reader.time(first)?) } else { None };
    let good_after = if has(AFTER) { Some(reader.time(first)?) } else { None };
    let begins = first.checked_sub(first.rem_euclid(MINUTE_MS))?;
    Some(Minute { begins, samples, failed, numbers, first, last, good, bad, good_before, good_after })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::minute::Gathering;

    const AT: Millis = 1_767_600_000_000;

    fn series() -> impl Strategy<Value = Vec<(i64, Option<i64>)>> {
        let number = prop_oneof![4 => (0..40_000_i64).prop_map(Some), 1 => any::<i64>().prop_map(Some), 2 => Just(None)];
        prop::collection::vec((1..30_000_i64, number), 1..200)
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(series in series()) {
            let (mut at, mut given, mut wanted) = (AT, Vec::new(), Vec::new());
            let (mut raw, mut rolled, mut gathering) = (Pack::new(AT), Pack::new(AT), Gathering::default());
            for (passed, number) in series {
                at += passed;
                raw.sample(at, number);
                given.push((at, number));
                wanted.extend(gathering.add(at, number));
            }
            wanted.extend(gathering.end_before(i64::MAX, 0));
            for minute in &wanted {
                rolled.minute(minute);
            }
            prop_assert_eq!(samples(AT, &raw.bytes), given);
            prop_assert_eq!(minutes(AT, &rolled.bytes), wanted);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300), begins in any::<i64>()) {
            prop_assert!(samples(begins, &bytes).len() <= bytes.len());
            prop_assert!(minutes(begins, &bytes).len() <= bytes.len());
        }
    }
}
