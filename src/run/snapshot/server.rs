//! What a name server said, as a cockpit sees it.

use serde::{Deserialize, Serialize};

/// What one name server said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// What it is called.
    pub name: String,
    /// True for one of the zone's own.
    pub zone: bool,
    /// What it answered; `None` when it did not.
    pub answer: Option<String>,
    /// What people call the region that this leads to.
    pub region: Option<String>,
    /// That region is the one that the monitor looks for.
    pub moved: bool,
    /// How long the answer may still be kept, in seconds, as the server said when it was asked.
    pub ttl_s: Option<u32>,
    /// Why there is no answer, or no region.
    pub trouble: Option<String>,
}
