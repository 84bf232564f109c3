//! A journal in memory: the same chain and the same fencing as on disk, for simulations and tests.

use std::path::PathBuf;

use super::chain::{Checker, Damage, Draft, Hash, Head, Stored, Verified};
use super::error::JournalError;

/// A journal that ends with its process.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    entries: Vec<Stored>,
    epoch: u64,
}

impl Memory {
    /// An empty journal that nobody may write to yet.
    #[must_use]
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Begins the next epoch, as taking the lease does on disk; the first is 1.
    pub fn take_over(&mut self) -> u64 {
        self.epoch += 1;
        self.epoch
    }

    /// Appends entries and gives them back in their places.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when `epoch` is not the newest.
    pub fn append(&mut self, epoch: u64, drafts: &[Draft]) -> Result<&[Stored], JournalError> {
        if epoch == 0 || epoch != self.epoch {
            return Err(JournalError::Fenced { folder: PathBuf::from("(memory)"), held: epoch, current: self.epoch });
        }
        let first = self.entries.len();
        for draft in drafts {
            let stored = Stored::seal(self.head(), epoch, draft);
            self.entries.push(stored);
        }
        Ok(&self.entries[first..])
    }

    /// The end of the chain.
    #[must_use]
    pub fn head(&self) -> Head {
        self.entries.last().map_or(Head::EMPTY, Stored::head)
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Stored] {
        &self.entries
    }

    /// Checks the chain, and that it contains the expected head if one is given.
    ///
    /// # Errors
    /// Where the chain does not hold.
    pub fn verify(&self, expected: Option<Hash>) -> Result<Verified, Damage> {
        let mut checker = Checker::new(expected);
        self.entries.iter().try_for_each(|entry| checker.take(entry))?;
        checker.finish()
    }
}
