//! The entry and the chain of hashes that holds the entries together.
//!
//! # Canonical bytes
//!
//! The hash of an entry is the SHA-256 of its canonical bytes: the fields version, seq, epoch, at, kind,
//! actor, body, prev, in this order, each as its length in bytes (unsigned 64-bit, big-endian) and then its
//! bytes. Numbers are big-endian and of fixed width (version 4 bytes; seq, epoch and at 8 bytes, at in two's
//! complement), texts are UTF-8 exactly as stored, prev is the 32 bytes of the hash of the entry before
//! ([`GENESIS`] for the first). Because every field has its length in front, no two entries share their bytes.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What the first entry names as the hash of the entry before: 32 zero bytes. Also the head of an empty journal.
pub const GENESIS: Hash = [0; 32];

/// The version that new entries carry; an entry keeps the version it was written with.
pub const ENTRY_VERSION: u32 = 1;

/// An entry that has no place in the chain yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When it happened, Unix milliseconds (virtual in a drill).
    pub at: i64,
    /// Kind of entry, as the run core names it.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// JSON text; stored and hashed byte for byte.
    pub body: String,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Sequence number, from 1, without gaps.
    pub seq: u64,
    /// Epoch of the lease under which it was written; never falls.
    pub epoch: u64,
    /// When it happened, Unix milliseconds (virtual in a drill).
    pub at: i64,
    /// Version of the entry's format.
    pub version: u32,
    /// Kind of entry.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// JSON text.
    pub body: String,
    /// Hash of the entry before, [`GENESIS`] for the first.
    pub prev: Hash,
    /// Hash of this entry.
    pub hash: Hash,
}

impl Stored {
    /// Gives a draft its place behind `head`.
    #[must_use]
    pub fn seal(head: Head, epoch: u64, draft: &Draft) -> Stored {
        let mut stored = Stored {
            seq: head.seq + 1,
            epoch,
            at: draft.at,
            version: ENTRY_VERSION,
            kind: draft.kind.clone(),
            actor: draft.actor.clone(),
            body: draft.body.clone(),
            prev: head.hash,
            hash: GENESIS,
        };
        stored.hash = stored.computed_hash();
        stored
    }

    /// The hash that the entry's fields call for, whatever [`Stored::hash`] says.
    #[must_use]
    pub fn computed_hash(&self) -> Hash {
        let mut hasher = Sha256::new();
        self.each_field(|bytes| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        });
        hasher.finalize().into()
    }

    /// The canonical bytes (see the module's documentation), for those who check a chain with other means.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160 + self.kind.len() + self.actor.len() + self.body.len());
        self.each_field(|bytes| {
            out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            out.extend_from_slice(bytes);
        });
        out
    }

    fn each_field(&self, mut give: impl FnMut(&[u8])) {
        give(&self.version.to_be_bytes());
        give(&self.seq.to_be_bytes());
        give(&self.epoch.to_be_bytes());
        give(&self.at.to_be_bytes());
        give(self.kind.as_bytes());
        give(self.actor.as_bytes());
        give(self.body.as_bytes());
        give(&self.prev);
    }

    /// This entry as the end of a chain.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Sequence number of the newest entry, 0 when there is none.
    pub seq: u64,
    /// Its hash, [`GENESIS`] when there is none.
    pub hash: Hash,
}

impl Head {
    /// The end of an empty chain.
    pub const EMPTY: Head = Head { seq: 0, hash: GENESIS };
}

/// A chain that was checked from its first entry to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many entries it has.
    pub entries: u64,
    /// Hash of the newest entry, [`GENESIS`] when there is none.
    pub head: Hash,
    /// Sequence number of the entry whose hash is the expected head; `None` when no head was expected. Less
    /// than `entries` when the journal has grown since that head was noted.
    pub expected_at: Option<u64>,
}

/// Where a chain does not hold, and how that shows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("entry {seq}: {what}")]
pub struct Damage {
    /// Sequence number of the first entry that is not as it was written.
    pub seq: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Checks entries one after the other, from the first.
#[derive(Debug, Clone)]
pub struct Checker {
    head: Head,
    epoch: u64,
    expected: Option<Hash>,
    expected_at: Option<u64>,
}

impl Checker {
    /// A check that starts before the first entry. With an expected head it also demands that the chain
    /// contains it, which is the only way to notice a tail that was cut off.
    #[must_use]
    pub fn new(expected: Option<Hash>) -> Checker {
        let expected_at = (expected == Some(GENESIS)).then_some(0);
        Checker { head: Head::EMPTY, epoch: 0, expected, expected_at }
    }

    /// Where the check stands.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The number that the next entry must have.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.head.seq + 1
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// Damage when the entry does not follow the one before, or is not as it was written.
    pub fn take(&mut self, entry: &Stored) -> Result<(), Damage> {
        let seq = self.next_seq();
        let damage = |what: String| Err(Damage { seq, what });
        if entry.seq != seq {
            return damage(format!("missing; the next entry found is number {}", entry.seq));
        }
        if entry.prev != self.head.hash {
            return damage("does not follow the entry before it (its previous hash differs)".into());
        }
        if entry.hash != entry.computed_hash() {
            return damage("was changed after it was written (its hash differs)".into());
        }
        if entry.epoch < self.epoch {
            return damage(format!("was written under epoch {} after epoch {} had begun", entry.epoch, self.epoch));
        }
        self.head = entry.head();
        self.epoch = entry.epoch;
        if self.expected == Some(entry.hash) {
            self.expected_at = Some(entry.seq);
        }
        Ok(())
    }

    /// Ends the check behind the last entry.
    ///
    /// # Errors
    /// Damage when the expected head was not among the entries.
    pub fn finish(self) -> Result<Verified, Damage> {
        if let (Some(expected), None) = (self.expected, self.expected_at) {
            let what = format!(
                "the expected head {} is nowhere in the chain: the tail was cut off, or the chain was written anew",
                hex(&expected)
            );
            return Err(Damage { seq: self.next_seq(), what });
        }
        Ok(Verified { entries: self.head.seq, head: self.head.hash, expected_at: self.expected_at })
    }
}

/// A hash as 64 lower-case hexadecimal digits.
#[must_use]
pub fn hex(hash: &Hash) -> String {
    use std::fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads 64 hexadecimal digits in either case; `None` for anything else.
#[must_use]
pub fn parse_hex(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = GENESIS;
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes_are_as_documented() {
        let draft = Draft { at: -2, kind: "k".into(), actor: "ab".into(), body: "{}".into() };
        let stored = Stored::seal(Head { seq: 6, hash: [9; 32] }, 3, &draft);
        let mut wanted = Vec::new();
        for field in [
            &[0, 0, 0, 1][..],
            &[0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 0, 0, 0, 0, 3],
            &[255, 255, 255, 255, 255, 255, 255, 254],
            b"k",
            b"ab",
            b"{}",
            &[9; 32],
        ] {
            wanted.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, u8::try_from(field.len()).unwrap()]);
            wanted.extend_from_slice(field);
        }
        assert_eq!(stored.canonical(), wanted);
        assert_eq!(stored.hash, <Hash>::from(Sha256::digest(&wanted)));
    }

    #[test]
    fn moving_a_letter_between_fields_changes_the_hash() {
        let entry = |kind: &str, actor: &str| {
            Stored::seal(Head::EMPTY, 1, &Draft { at: 0, kind: kind.into(), actor: actor.into(), body: "{}".into() }).hash
        };
        assert_ne!(entry("ab", "c"), entry("a", "bc"));
    }

    #[test]
    fn hex_round_trip() {
        let hash: Hash = std::array::from_fn(|i| u8::try_from(i * 8).unwrap());
        assert_eq!(parse_hex(&hex(&hash)), Some(hash));
        assert_eq!(parse_hex(&hex(&hash).to_uppercase()), Some(hash));
        assert_eq!(parse_hex(&hex(&hash)[1..]), None);
        assert_eq!(parse_hex(&"g".repeat(64)), None);
        assert_eq!(parse_hex(&"é".repeat(32)), None);
    }

    #[test]
    fn a_falling_epoch_is_damage() {
        let draft = Draft { at: 0, kind: "k".into(), actor: "a".into(), body: "{}".into() };
        let first = Stored::seal(Head::EMPTY, 2, &draft);
        let second = Stored::seal(first.head(), 1, &draft);
        let mut checker = Checker::new(None);
        checker.take(&first).unwrap();
        assert_eq!(checker.take(&second).unwrap_err().seq, 2);
    }
}
