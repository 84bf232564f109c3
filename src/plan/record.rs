//! Route 53 record sets: every field that this release understands. A record with any other field is refused
//! by the backend instead of being written back without it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One resource record set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSet {
    /// Name without the final dot, lower case.
    pub name: String,
    /// Type, such as `A`.
    pub kind: String,
    /// Set identifier of a weighted set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Weight, 0–255; `None` for a simple record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// Time to live in seconds; `None` for an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Values of a record that is no alias.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// Target of an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasTarget>,
    /// Health check id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<String>,
}

/// Where an alias points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasTarget {
    /// Hosted zone id of the target (rule 11 has the table).
    pub zone: String,
    /// DNS name of the target without the final dot.
    pub name: String,
    /// Whether the target's health counts.
    pub evaluate_health: bool,
}

impl fmt::Display for RecordSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)?;
        if let Some(set) = &self.set {
            write!(f, " [{set}]")?;
        }
        if let Some(weight) = self.weight {
            write!(f, " weight {weight}")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, " ttl {ttl}")?;
        }
        match &self.alias {
            Some(alias) => write!(f, " alias {}", alias.name)?,
            None => write!(f, " {}", self.values.join(","))?,
        }
        if let Some(check) = &self.health_check {
            write!(f, " check {check}")?;
        }
        Ok(())
    }
}
