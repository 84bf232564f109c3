//! YAML as a tree in which every node knows its place.
//!
//! This is the only module that knows the YAML library. It keeps duplicate keys (a reader reports them with
//! everything else) and the text of numbers as it was written, and refuses hostile files early.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, Options, Spanned};

/// Deepest nesting; the grammar needs a dozen levels.
const DEPTH_MAX: usize = 32;
/// Most nodes in one file; 10,000 steps have about 350,000, and as many are refused within a second.
const NODES_MAX: usize = 450_000;
/// Most nodes that aliases may add to a file.
const ALIAS_EVENTS_MAX: usize = 50_000;

/// A stretch of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct At {
    /// Number of the file.
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// Length in bytes; for a mapping or list, that of the first thing in it.
    pub len: u32,
}

/// A value and its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it is.
    pub at: At,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Data {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// Anything else that is one value.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file, duplicates included.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Debug, Clone)]
pub struct Key {
    /// Where it is.
    pub at: At,
    /// The key.
    pub text: String,
}

/// Why a file is no YAML that a plan could be made of.
#[derive(Debug)]
pub struct Refusal {
    /// Where; the start of the file if unknown.
    pub at: At,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The tree of a file.
pub fn parse(file: u32, text: &str) -> Result<Node, Refusal> {
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::LastWins)).map_err(|e| refusal(file, text, &e))?;
    let mut number_keys = false;
    let node = convert(file, text, raw, &mut number_keys)?;
    // In a mapping with a number as key the library drops earlier duplicates instead of handing them over;
    // no plan has such keys, so that a second, strict pass costs nothing where it matters.
    if number_keys {
        let _: serde::de::IgnoredAny =
            serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::Error)).map_err(|e| refusal(file, text, &e))?;
    }
    Ok(node)
}

fn options(duplicates: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: ALIAS_EVENTS_MAX,
            max_recorded_anchor_bytes: 4 * 1024 * 1024,
            max_total_scalar_bytes: 8 * 1024 * 1024,
            max_buffered_comment_events: 4_096,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIAS_EVENTS_MAX,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: duplicates,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    }
}

/// A node as the library hands it over.
enum Raw {
    Null,
    Bool(bool),
    Number,
    Text(String),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Number)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// The library's place as a stretch of the text. An alias counts as the text it stands for, since that is
/// what has to be mended.
fn place(file: u32, text: &str, location: Location) -> At {
    let span = location.span();
    // Errors of the scanner have a line and a column (in characters) only.
    let start = match span.byte_offset() {
        Some(byte) => usize::try_from(byte).unwrap_or(usize::MAX).min(text.len()),
        None => offset_of(text, location),
    };
    let len = span.byte_len().map_or(0, |b| usize::try_from(b).unwrap_or(usize::MAX)).min(text.len() - start);
    At { file, start: u32::try_from(start).unwrap_or(u32::MAX), len: u32::try_from(len).unwrap_or(u32::MAX) }
}

/// The byte at a line and a column.
fn offset_of(text: &str, location: Location) -> usize {
    let lines = usize::try_from(location.line()).unwrap_or(usize::MAX).saturating_sub(1);
    let columns = usize::try_from(location.column()).unwrap_or(usize::MAX).saturating_sub(1);
    let mut line_start = 0;
    for _ in 0..lines {
        match text[line_start..].find('\n') {
            Some(end) => line_start += end + 1,
            None => break,
        }
    }
    let line = text[line_start..].split('\n').next().unwrap_or_default();
    line_start + line.char_indices().nth(columns).map_or(line.len(), |(i, _)| i)
}

/// What is written at a place.
fn written(text: &str, at: At) -> &str {
    let (start, len) = (at.start as usize, at.len as usize);
    text.get(start..start + len).unwrap_or_default().trim()
}

/// Depth is bounded by the parser's budget, so that recursion is safe here and in everything that walks the tree.
fn convert(file: u32, text: &str, raw: Spanned<Raw>, number_keys: &mut bool) -> Result<Node, Refusal> {
    let mut at = place(file, text, raw.defined);
    let data = match raw.value {
        Raw::Null => Data::Null,
        Raw::Bool(b) => Data::Bool(b),
        Raw::Number => Data::Number(written(text, at).to_owned()),
        Raw::Text(s) => Data::Text(s),
        Raw::Seq(items) => {
            let mut nodes = Vec::with_capacity(items.len());
            for item in items {
                nodes.push(convert(file, text, item, number_keys)?);
            }
            at.len = 1;
            if let Some(first) = nodes.first() {
                at = first.at;
            }
            Data::Seq(nodes)
        }
        Raw::Map(entries) => {
            let mut nodes = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let key = convert_key(file, text, key, number_keys)?;
                nodes.push((key, convert(file, text, value, number_keys)?));
            }
            at.len = 1;
            if let Some((first, _)) = nodes.first() {
                at = first.at;
            }
            Data::Map(nodes)
        }
    };
    Ok(Node { at, data })
}

fn convert_key(file: u32, text: &str, raw: Spanned<Raw>, number_keys: &mut bool) -> Result<Key, Refusal> {
    let at = place(file, text, raw.defined);
    let text = match raw.value {
        Raw::Text(s) => s,
        Raw::Number => {
            *number_keys = true;
            written(text, at).to_owned()
        }
        Raw::Null | Raw::Bool(_) => written(text, at).to_owned(),
        Raw::Seq(_) | Raw::Map(_) => {
            let help = Some("write a variable in quotes: \"${name}\"".to_owned());
            return Err(Refusal { at, message: "a key must be one word, not a list or a mapping".to_owned(), help });
        }
    };
    Ok(Key { at, text })
}

/// The library's error in the words of a plan.
fn refusal(file: u32, text: &str, error: &Error) -> Refusal {
    let error = error.without_snippet();
    let at = error.location().map_or(At { file, ..At::default() }, |l| place(file, text, l));
    let too_much = Some("a plan needs far less; split it, or write repeated parts out".to_owned());
    let (message, help) = match error {
        Error::Budget { .. } => {
            (format!("the file is too large or too deeply nested for a plan: {}", first_line(error)), too_much)
        }
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => ("aliases make the file too large".to_owned(), too_much),
        Error::AliasError { error, .. } => return refusal(file, text, error),
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("an alias refers to something that contains it".to_owned(), None),
        Error::UnknownAnchor { .. } => (
            "an alias refers to an anchor that is not there".to_owned(),
            Some("put text that begins with `*` in quotes".to_owned()),
        ),
        Error::MultipleDocuments { .. } => ("a plan file is one YAML document, and here begins another".to_owned(), None),
        Error::DuplicateMappingKey { key, .. } => {
            (format!("the key `{}` is there twice", super::problem::show(key.as_deref().unwrap_or("?"))), None)
        }
        Error::UnsupportedTag { .. } => {
            ("YAML tags have no meaning in a plan".to_owned(), Some("put text that begins with `!` in quotes".to_owned()))
        }
        Error::Eof { .. } => ("the file is empty".to_owned(), Some("copy `failover-drill.yaml` to begin with".to_owned())),
        // The scanner has a limit of its own for flow collections, and words of its own for it.
        _ if first_line(error).contains("recursion limit") => ("the file is too deeply nested for a plan".to_owned(), too_much),
        _ => (format!("this is not YAML: {}", first_line(error)), variable_help(text, at)),
    };
    Refusal { at, message, help }
}

/// The usual way to break a flow mapping is a variable that is not in quotes.
fn variable_help(text: &str, at: At) -> Option<String> {
    let start = text.get(..at.start as usize)?.rfind('\n').map_or(0, |i| i + 1);
    let line = text.get(start..)?.lines().next()?;
    let bare = line.contains(['{', '[']) && line.match_indices("${").any(|(i, _)| line[..i].matches('"').count() % 2 == 0);
    bare.then(|| "inside {…} and […] a variable must be in quotes: \"${name}\"".to_owned())
}

/// The library's words without the place, which the plan's own message has.
fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    line.chars().filter(|c| !c.is_control()).take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(node: &Node) -> Vec<&str> {
        match &node.data {
            Data::Map(entries) => entries.iter().map(|(k, _)| k.text.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn nodes_know_their_place() {
        let text = "ä: 1.50\nb: [x, 'y z']\n";
        let node = parse(3, text).unwrap();
        let Data::Map(entries) = &node.data else { panic!("a mapping") };
        assert_eq!(written(text, entries[0].1.at), "1.50");
        assert!(matches!(&entries[0].1.data, Data::Number(n) if n == "1.50"));
        let Data::Seq(items) = &entries[1].1.data else { panic!("a list") };
        assert_eq!(written(text, items[1].at), "'y z'");
        assert_eq!(entries[1].0.at.file, 3);
        assert_eq!(written(text, entries[1].0.at), "b");
    }

    #[test]
    fn duplicates_are_kept_or_refused() {
        assert_eq!(keys(&parse(0, "a: 1\nb: 2\na: 3\n").unwrap()), ["a", "b", "a"]);
        assert!(parse(0, "1: a\n1: b\n").unwrap_err().message.contains("twice"));
        assert!(parse(0, "1: a\nx: b\nx: c\n").unwrap_err().message.contains("twice"));
        assert_eq!(keys(&parse(0, "1: a\nx: b\n").unwrap()), ["1", "x"]);
    }

    #[test]
    fn an_alias_counts_as_what_it_stands_for() {
        let text = "a: &x 5\nb: *x\nc: {<<: {d: 1}, e: 2}\n";
        let Data::Map(entries) = parse(0, text).unwrap().data else { panic!("a mapping") };
        assert!(matches!(&entries[1].1.data, Data::Number(n) if n == "5"));
        assert_eq!(keys(&entries[2].1), ["e", "d"]);
    }

    #[test]
    fn hostile_and_broken_files_are_refused() {
        let deep = "[".repeat(5_000);
        for text in [deep.as_str(), "a: *b", "--- 1\n--- 2\n", "a: !x 1", "a: {b: ${c}}", "{a: b}: c", "a: 'x", "a: &a [*a]"] {
            let refusal = parse(0, text).unwrap_err();
            assert!(!refusal.message.is_empty() && !refusal.message.contains('\n'), "{text}: {refusal:?}");
        }
        assert!(parse(0, "a: {b: ${c}}").unwrap_err().help.unwrap().contains("quotes"));
    }
}
