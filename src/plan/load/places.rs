//! Where in the files things are that the resolved plan names: what a lint points at.
//!
//! The readers need not carry places along: when a plan has loaded, its trees are still there, and a [`Spot`] walks them
//! by key and by number.

use std::collections::HashMap;

use super::node::{At, Data, Node};

/// A place in a plan's files, and what is written there.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'n> {
    at: At,
    node: Option<&'n Node>,
}

impl<'n> Spot<'n> {
    /// The place of a node.
    fn of(node: &'n Node) -> Self {
        Self { at: node.at, node: Some(node) }
    }

    /// The place itself: a stretch of one file.
    pub fn at(self) -> At {
        self.at
    }

    /// The key of a mapping, with its value behind it. Where there is no such key, this place itself: it is the nearest
    /// that somebody can look at.
    pub fn key(self, key: &str) -> Self {
        self.entry(key).unwrap_or(Self { at: self.at, node: None })
    }

    /// The key of a mapping, if it is there.
    pub fn entry(self, key: &str) -> Option<Self> {
        self.entries().find(|(name, _)| *name == key).map(|(_, spot)| spot)
    }

    /// The entries of a mapping, in the order of the file, each at its key.
    pub fn entries(self) -> impl Iterator<Item = (&'n str, Self)> {
        let entries = match self.node.map(|n| &n.data) {
            Some(Data::Map(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, node)| (key.text.as_str(), Self { at: key.at, node: Some(node) }))
    }

    /// The items of a list.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let items = match self.node.map(|n| &n.data) {
            Some(Data::Seq(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(Self::of)
    }

    /// An item of a list; this place itself where there is none.
    pub fn item(self, number: usize) -> Self {
        self.items().nth(number).unwrap_or(Self { at: self.at, node: None })
    }

    /// What stands behind the key instead of the key.
    pub fn value(self) -> Self {
        self.node.map_or(self, Self::of)
    }
}

/// Places by name.
#[derive(Default)]
pub struct Places<'n> {
    sections: HashMap<&'n str, Spot<'n>>,
    monitors: HashMap<&'n str, Spot<'n>>,
    rollbacks: HashMap<&'n str, Spot<'n>>,
    steps: HashMap<String, Spot<'n>>,
}

impl<'n> Places<'n> {
    /// The places of a plan's files, of which none has an error. `expand` fills in the variables of an id.
    pub fn of(roots: &[&'n Node], mut expand: impl FnMut(&str) -> String) -> Self {
        let mut places = Self::default();
        for root in roots {
            for (name, section) in Spot::of(root).entries() {
                places.sections.entry(name).or_insert(section);
                match name {
                    "monitors" => places.monitors.extend(section.entries()),
                    "phases" => {
                        for step in section.items().flat_map(|phase| phase.key("steps").items()) {
                            places.step(step, "", &mut expand);
                        }
                    }
                    "rollbacks" => {
                        for (rollback, spot) in section.entries() {
                            places.rollbacks.insert(rollback, spot);
                            for step in spot.key("steps").items() {
                                places.step(step, &format!("{rollback}/"), &mut expand);
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        places
    }

    fn step(&mut self, step: Spot<'n>, prefix: &str, expand: &mut impl FnMut(&str) -> String) {
        let Some(id) = step.entry("id").map(Spot::value) else { return };
        let (Some(Data::Text(text) | Data::Number(text)), node) = (id.node.map(|n| &n.data), step.node) else { return };
        // A step is pointed at by its id: the mapping begins wherever its first key happens to be.
        self.steps.insert(format!("{prefix}{}", expand(text)), Spot { at: id.at, node });
    }

    /// A section of the plan, such as `traffic`; the start of the plan where there is none.
    pub fn section(&self, name: &str) -> Spot<'n> {
        self.sections.get(name).copied().unwrap_or_else(|| self.start())
    }

    /// A section of the plan, if there is one.
    pub fn section_if_there(&self, name: &str) -> Option<Spot<'n>> {
        self.sections.get(name).copied()
    }

    /// A monitor by its name.
    pub fn monitor(&self, name: &str) -> Spot<'n> {
        self.monitors.get(name).copied().unwrap_or_else(|| self.section("monitors"))
    }

    /// A rollback by its name.
    pub fn rollback(&self, name: &str) -> Spot<'n> {
        self.rollbacks.get(name).copied().unwrap_or_else(|| self.section("rollbacks"))
    }

    /// A step by its id, which is `ROLLBACK/STEP` for that of a rollback.
    pub fn step_of(&self, id: &str) -> Spot<'n> {
        self.steps.get(id).copied().unwrap_or_else(|| self.section("phases"))
    }

    fn start(&self) -> Spot<'n> {
        self.sections.get("cutover").copied().unwrap_or(Spot { at: At::default(), node: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::parse;
    use super::*;

    #[test]
    fn spots_lead_to_what_is_written() {
        let text = "cutover: 1\nphases:\n  - steps:\n      - {title: x, id: \"${a}\", shift: {weights: {b: 1}}}\nrollbacks:\n  back: {steps: [{id: s}]}\n";
        let root = parse(0, text).unwrap();
        let places = Places::of(&[&root], |id| id.replace("${a}", "one"));
        let written = |spot: Spot<'_>| {
            let at = spot.at();
            text[at.start as usize..(at.start + at.len) as usize].trim().to_owned()
        };
        let step = places.step_of("one");
        assert_eq!(written(step), "\"${a}\"");
        assert_eq!(written(step.key("shift").key("weights")), "weights");
        assert_eq!(written(step.key("shift").key("weights").key("b").value()), "1");
        assert_eq!(written(step.key("gate").item(3)), "\"${a}\"", "what is not there is where its step is");
        assert_eq!(written(places.step_of("back/s")), "s");
        assert_eq!(written(places.rollback("back").key("steps")), "steps");
        assert_eq!(written(places.section("traffic")), "cutover");
    }
}
