//! Reading a mapping with known keys: what is missing, unknown, duplicate or empty is an error with a place.

use std::collections::HashMap;

use super::context::{Context, Read};
use super::node::{At, Data, Key, Node};
use super::problem::show;
use super::value;

/// Most keys that are compared with a missing one.
const NEAR_MAX: usize = 50;

/// The entries of a mapping on their way into a struct.
pub struct Fields<'n> {
    at: At,
    what: String,
    entries: &'n [(Key, Node)],
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The fields of a mapping; `what` says in messages what it describes.
    pub fn of(cx: &mut Context, node: &'n Node, what: impl Into<String>) -> Read<Self> {
        let Data::Map(entries) = &node.data else { return cx.mismatch(node, "a mapping") };
        Some(Self { at: node.at, what: what.into(), entries, asked: Vec::with_capacity(12) })
    }

    /// Where the mapping begins.
    pub fn at(&self) -> At {
        self.at
    }

    /// Says in messages from now on what the mapping describes.
    pub fn call(&mut self, what: String) {
        self.what = what;
    }

    /// Where a key is, whatever its value.
    pub fn key_at(&self, key: &str) -> Option<At> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(k, _)| k.at)
    }

    /// The value of a key, if it is there; a key without a value is an error.
    pub fn get(&mut self, cx: &mut Context, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        let (found, node) = self.entries.iter().find(|(k, _)| k.text == key)?;
        if matches!(node.data, Data::Null) {
            cx.error_help(
                found.at,
                format!("`{key}` has no value"),
                Some("write what belongs to it, or remove the key".to_owned()),
            );
            return None;
        }
        Some(node)
    }

    /// Reads the value of a key that may be missing. Nothing, too, when it is wrong: that is recorded.
    pub fn maybe<T>(
        &mut self,
        cx: &mut Context,
        key: &'static str,
        read: impl FnOnce(&mut Context, &'n Node) -> Read<T>,
    ) -> Option<T> {
        let node = self.get(cx, key)?;
        read(cx, node)
    }

    /// Reads the value of a key that must be there.
    pub fn need<T>(
        &mut self,
        cx: &mut Context,
        key: &'static str,
        read: impl FnOnce(&mut Context, &'n Node) -> Read<T>,
    ) -> Read<T> {
        let node = self.get(cx, key);
        if node.is_none() && self.key_at(key).is_none() {
            self.missing(cx, key);
        }
        read(cx, node?)
    }

    /// Records that a required key is missing.
    pub fn missing(&self, cx: &mut Context, key: &str) {
        // A key that is nearly the missing one is reported as unknown, with this one as what was meant: once is enough.
        let meant = |k: &&(Key, Node)| !self.asked.contains(&k.0.text.as_str()) && value::nearest(&k.0.text, [key]).is_some();
        if !self.entries.iter().take(NEAR_MAX).any(|e| meant(&e)) {
            cx.error_help(self.at, format!("{} has no `{key}`", self.what), Some(format!("add the key `{key}:`")));
        }
    }

    /// Reads the one key of several that must be there: an action, a source, a fault.
    pub fn exactly_one(&mut self, cx: &mut Context, of: &str, keys: &[&'static str]) -> Read<(&'static str, &'n Node)> {
        self.asked.extend(keys);
        let mut there: Vec<(&'static str, &'n Key, &'n Node)> = Vec::new();
        for (key, node) in self.entries {
            if let Some(name) = keys.iter().find(|k| **k == key.text)
                && !there.iter().any(|(n, ..)| n == name)
            {
                there.push((name, key, node));
            }
        }
        match there.as_slice() {
            [(name, key, node)] => {
                if matches!(node.data, Data::Null) {
                    cx.error_help(key.at, format!("`{name}` has no value"), Some(format!("say what the {of} is about")));
                    return None;
                }
                Some((name, node))
            }
            [] => {
                let near = |(k, _): &&(Key, Node)| value::nearest(&k.text, keys.iter().copied()).is_some();
                let unknown = |e: &&(Key, Node)| !self.asked.contains(&e.0.text.as_str()) && near(e);
                if !self.entries.iter().take(NEAR_MAX).any(|e| unknown(&e)) {
                    cx.error_help(
                        self.at,
                        format!("{} has no {of}", self.what),
                        Some(format!("add one of {}", value::one_of(keys))),
                    );
                }
                None
            }
            [(first, ..), (second, key, _), ..] => {
                cx.error_help(
                    key.at,
                    format!("{} has two {of}s: `{first}` and `{second}`", self.what),
                    Some("keep one of them".to_owned()),
                );
                None
            }
        }
    }

    /// Refuses a key that is known elsewhere but has no meaning here.
    pub fn refuse(&mut self, cx: &mut Context, key: &'static str, why: &str) {
        self.asked.push(key);
        if let Some(at) = self.key_at(key) {
            cx.error(at, format!("`{key}` has no meaning here: {why}"));
        }
    }

    /// Reports the keys that nobody asked for, and those that are there twice.
    pub fn finish(self, cx: &mut Context) {
        let mut seen: HashMap<&str, At> = HashMap::with_capacity(self.entries.len());
        for (key, _) in self.entries {
            if let Some(first) = seen.get(key.text.as_str()) {
                cx.duplicate(key, *first);
                continue;
            }
            seen.insert(&key.text, key.at);
            if !self.asked.contains(&key.text.as_str()) {
                let help = cx.suggest(&key.text, self.asked.iter().copied());
                cx.error_help(key.at, format!("unknown key `{}` in {}", show(&key.text), self.what), help);
            }
        }
    }
}
