//! Route 53 record sets: every field that this release understands. A record with any other field is refused
//! by the backend instead of being written back without it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Text;

/// The longest DNS name, in characters.
const NAME_MAX: usize = 253;

/// A DNS name as it is kept: lower case and without the final dot; `None` for what is none.
#[must_use]
pub fn dns_name(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let name = text.strip_suffix('.').unwrap_or(&text);
    let part = |p: &str| !p.is_empty() && p.len() <= 63 && p.chars().all(|c| c.is_ascii_alphanumeric() || "-_*\\".contains(c));
    (name.len() <= NAME_MAX && name.split('.').all(part)).then(|| name.to_owned())
}

/// Whether a text is the id of a hosted zone.
#[must_use]
pub fn is_zone(text: &str) -> bool {
    text.len() <= 32 && text.starts_with('Z') && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Whether a text has places that outputs of steps belong into.
#[must_use]
pub fn is_late(text: &str) -> bool {
    text.contains("${outputs.")
}

/// An id in which an output of an earlier step may have its place: of a health check.
///
/// # Errors
/// What is missing, or that the value is no id.
pub fn late_id<'a>(text: &str, output: impl Fn(&str, &str) -> Option<&'a str>) -> Result<String, String> {
    if !is_late(text) {
        return Ok(text.to_owned());
    }
    let id = Text::parse(text).value(output)?;
    let good = !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if good { Ok(id) } else { Err(format!("{text} is '{}', which is no id", id.escape_default())) }
}

/// One resource record set. In a plan, what names a target may have places for outputs of earlier steps.
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

impl RecordSet {
    /// The record with the outputs of earlier steps in their places.
    ///
    /// # Errors
    /// What is missing, or which value is not what belongs there.
    pub fn resolved<'a>(&self, output: impl Fn(&str, &str) -> Option<&'a str>) -> Result<RecordSet, String> {
        let checked = |text: &str, what: &str, read: fn(&str) -> Option<String>| {
            if !is_late(text) {
                return Ok(text.to_owned());
            }
            let value = Text::parse(text).value(&output)?;
            read(&value).ok_or_else(|| format!("{text} is '{}', which is no {what}", value.escape_default()))
        };
        let mut record = self.clone();
        if let Some(alias) = &mut record.alias {
            alias.name = checked(&alias.name, "DNS name", dns_name)?;
            alias.zone = checked(&alias.zone, "hosted zone id", |text| is_zone(text).then(|| text.to_owned()))?;
        }
        if let Some(check) = &mut record.health_check {
            *check = late_id(check, &output)?;
        }
        Ok(record)
    }
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
