//! Values that are handed over to scripts and requests, and must not come out of them again.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use aho_corasick::{AhoCorasick, MatchKind};

/// Credentials of the engine's own, which scripts see as well.
const OWN: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
/// A value of fewer bytes stands in every other text by chance, so it cannot be masked.
const BYTES_MIN: usize = 6;

/// The secrets of a run.
pub struct Secrets {
    values: BTreeMap<String, String>,
    /// What is masked, and by what.
    masks: Option<(AhoCorasick, Vec<String>)>,
}

/// Never the values.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("names", &self.values.keys().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Those of the engine's environment.
    #[must_use]
    pub fn of_environment(names: &[String]) -> Secrets {
        let value = |name: &str| Some((name.to_owned(), std::env::var(name).ok().filter(|value| !value.is_empty())?));
        let values: BTreeMap<String, String> = names.iter().filter_map(|name| value(name)).collect();
        Secrets::of(values, &OWN.iter().filter_map(|name| value(name)).collect())
    }

    fn of(values: BTreeMap<String, String>, own: &BTreeMap<String, String>) -> Secrets {
        let mut patterns: Vec<(String, String)> = Vec::new();
        for (name, value) in values.iter().chain(own) {
            // Output comes line by line, so a key of many lines is known by each of them.
            let lines = value.lines().filter(|line| value.lines().count() > 1 && line.len() > BYTES_MIN + 2);
            let forms = [value.clone(), escaped(value), percent_encoded(value)].into_iter().chain(lines.map(str::to_owned));
            patterns.extend(forms.filter(|form| form.len() >= BYTES_MIN).map(|form| (form, format!("[{name}]"))));
        }
        patterns.sort();
        patterns.dedup_by(|a, b| a.0 == b.0);
        let (found, masks): (Vec<String>, Vec<String>) = patterns.into_iter().unzip();
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&found).ok();
        Secrets { values, masks: automaton.filter(|_| !found.is_empty()).map(|automaton| (automaton, masks)) }
    }

    /// The values of these secrets, by name.
    ///
    /// # Errors
    /// Which one cannot be used, and what to do.
    pub fn values(&self, names: &[String]) -> Result<Vec<(String, String)>, String> {
        let value = |name: &String| match self.values.get(name) {
            None => Err(format!("the secret {name} is not in the environment of the engine: set it and start the engine again")),
            Some(value) if value.len() < BYTES_MIN => {
                Err(format!("the secret {name} has fewer than {BYTES_MIN} bytes, so it could not be masked"))
            }
            Some(value) => Ok((name.clone(), value.clone())),
        };
        names.iter().map(value).collect()
    }

    /// A text without any secret in it.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        match &self.masks {
            Some((automaton, masks)) => automaton.replace_all(text, masks),
            None => text.to_owned(),
        }
    }

    /// Whether a text holds a secret.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.masks.as_ref().is_some_and(|(automaton, _)| automaton.is_match(text))
    }
}

/// As it stands in JSON.
fn escaped(value: &str) -> String {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    quoted.trim_matches('"').to_owned()
}

/// As it stands in a URL.
fn percent_encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        Secrets::of(values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), &BTreeMap::new())
    }

    #[test]
    fn every_form_of_a_value_is_masked() {
        let secrets =
            secrets(&[("KEY", "s3cr\"t/ value"), ("LONG", "s3cr\"t/ value-and-more"), ("PEM", "-----BEGIN\nabcdefghijk\nEND")]);
        assert_eq!(secrets.masked("a s3cr\"t/ value b"), "a [KEY] b");
        assert_eq!(secrets.masked(r#"{"a":"s3cr\"t/ value"}"#), r#"{"a":"[KEY]"}"#);
        assert_eq!(secrets.masked("?k=s3cr%22t%2F%20value"), "?k=[KEY]");
        assert_eq!(secrets.masked("s3cr\"t/ value-and-more"), "[LONG]");
        assert_eq!(secrets.masked("x abcdefghijk y"), "x [PEM] y");
        assert!(secrets.is_in("s3cr\"t/ value") && !secrets.is_in("nothing"));
        assert!(!format!("{secrets:?}").contains("s3cr"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let secrets = secrets(&[("SHORT", "abc"), ("GOOD", "abcdefgh")]);
        assert_eq!(secrets.values(&["GOOD".into()]).unwrap(), [("GOOD".to_owned(), "abcdefgh".to_owned())]);
        assert!(secrets.values(&["SHORT".into()]).unwrap_err().contains("SHORT has fewer than 6 bytes"));
        assert!(secrets.values(&["NONE".into()]).unwrap_err().contains("NONE is not in the environment"));
        assert_eq!(secrets.masked("abc"), "abc");
    }
}
