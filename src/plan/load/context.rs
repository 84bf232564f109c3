//! What all readers share: the sources, the problems found so far, and the names that may be referred to.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use super::node::{At, Data, Key, Node};
use super::problem::{Problem, show};
use super::value;
use crate::plan::{Condition, ConditionId, Monitor, MonitorId, Quantity, StepId, Unit, Vantage};

/// Most problems that are listed; whoever has more mends these first.
const PROBLEMS_MAX: usize = 50;

/// A file that was read.
pub struct SourceFile {
    /// Path relative to the plan's folder.
    pub path: String,
    /// Its text, without a byte order mark.
    pub text: String,
}

/// Most names that are compared to find what was meant: a help for people, not worth more than a moment.
const COMPARISONS_MAX: usize = 20_000;

/// State of one load.
#[derive(Default)]
pub struct Context {
    /// The files read, by the number that [`At`] uses.
    pub sources: Vec<SourceFile>,
    /// The variables, expanded.
    pub vars: HashMap<String, String>,
    /// The regions' names.
    pub regions: Vec<String>,
    /// Vantage points' names, `local` among them.
    pub vantages: Vec<String>,
    /// The vantage points that the plan declares.
    pub declared: Vec<Vantage>,
    /// Monitors' names → number.
    pub monitor_ids: HashMap<String, MonitorId>,
    /// The monitors that could be read.
    pub monitors: Vec<Option<Monitor>>,
    /// Steps' ids → number.
    pub step_ids: HashMap<String, StepId>,
    /// All conditions so far.
    pub conditions: Vec<Condition>,
    /// The secrets that the plan declares.
    pub secrets: Vec<String>,
    /// Ids of the plan's parts, in the order of the file.
    pub part_ids: Vec<String>,
    /// Outputs of steps that are used: where, of which step, which. Whether they are given is looked at in the end.
    pub outputs_used: Vec<(At, StepId, String)>,
    /// Bytes that variables have added so far.
    pub expanded_bytes: usize,
    problems: Vec<(At, Problem)>,
    warnings: Vec<(At, Problem)>,
    reported: HashSet<(At, String)>,
    omitted: usize,
    compared: Cell<usize>,
}

/// Reading a value fails with nothing: the problem is recorded already, and the plan is refused in the end.
pub type Read<T> = Option<T>;

impl Context {
    /// Records an error.
    pub fn error(&mut self, at: At, message: impl Into<String>) {
        self.error_help(at, message, None);
    }

    /// Records an error with what to write instead. The same error at the same place counts once: it is
    /// found again wherever an alias or a variable repeats it.
    pub fn error_help(&mut self, at: At, message: impl Into<String>, help: Option<String>) {
        let message = message.into();
        if self.reported.contains(&(at, message.clone())) {
            return;
        }
        if self.full() {
            self.omitted += 1;
            return;
        }
        self.reported.insert((at, message.clone()));
        let problem = self.problem(at, message, help);
        self.problems.push((at, problem));
    }

    /// Records an error of a file as a whole.
    pub fn file_error(&mut self, path: &str, message: String) {
        // After everything that has a place.
        let at = At { file: u32::MAX, ..At::default() };
        if !self.full() {
            self.problems.push((at, Problem::of_file(path, message)));
        }
    }

    /// Records a warning; its message begins with the name of a lint.
    pub fn warn(&mut self, at: At, message: String, help: Option<String>) {
        if self.warnings.len() < PROBLEMS_MAX && self.reported.insert((at, message.clone())) {
            let problem = Problem { warning: true, ..self.problem(at, message, help) };
            self.warnings.push((at, problem));
        }
    }

    /// Records a problem of a file that is no part of the plan's own text, such as a template.
    pub fn of_file(&mut self, problem: Problem) {
        // After everything that the plan itself says.
        let at = At { file: u32::MAX - 1, ..At::default() };
        let list = if problem.warning { &mut self.warnings } else { &mut self.problems };
        if list.len() < PROBLEMS_MAX {
            list.push((at, problem));
        }
    }

    fn problem(&self, at: At, message: String, help: Option<String>) -> Problem {
        match self.sources.get(at.file as usize) {
            Some(s) => Problem::at(&s.path, &s.text, at.start as usize, at.len as usize, message, help),
            None => Problem::of_file("plan", message),
        }
    }

    /// Whether no more errors are listed; then looking for what was meant is wasted time.
    pub fn full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// Whether anything is wrong so far.
    pub fn failed(&self) -> bool {
        !self.problems.is_empty()
    }

    /// The errors, in the order of the files.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        let mut problems = in_order(std::mem::take(&mut self.problems));
        if self.omitted > 0 {
            let file = self.sources.first().map_or("plan", |s| s.path.as_str());
            let message = format!("{} more errors are not listed; mend these first", self.omitted);
            problems.push(Problem::of_file(file, message));
        }
        problems
    }

    /// The warnings, in the order of the files.
    pub fn take_warnings(&mut self) -> Vec<Problem> {
        in_order(std::mem::take(&mut self.warnings))
    }

    /// The errors and the warnings.
    pub fn take_all(&mut self) -> Vec<Problem> {
        let mut all = self.take_problems();
        all.extend(self.take_warnings());
        all
    }

    /// `did you mean …`, or the list of what there is when it is short.
    pub fn suggest<'a>(&self, text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
        if self.full() || self.compared.get() >= COMPARISONS_MAX {
            return None;
        }
        let mut all: Vec<&str> = candidates.into_iter().collect();
        self.compared.set(self.compared.get() + all.len());
        // Names come out of hash maps as well; the same mistake must always get the same answer.
        all.sort_unstable();
        if let Some(near) = value::nearest(text, all.iter().copied()) {
            return Some(format!("did you mean `{near}`?"));
        }
        if all.is_empty() || all.len() > 12 { None } else { Some(format!("there is {}", value::one_of(&all))) }
    }

    /// Text with its variables expanded.
    pub fn text(&mut self, node: &Node) -> Read<String> {
        match &node.data {
            Data::Text(text) => self.expand(node.at, text),
            Data::Number(n) => {
                self.error_help(node.at, "expected text, found a number", Some(format!("put it in quotes: \"{}\"", show(n))));
                None
            }
            Data::Bool(b) => {
                self.error_help(node.at, "expected text, found true or false", Some(format!("put it in quotes: \"{b}\"")));
                None
            }
            _ => self.mismatch(node, "text"),
        }
    }

    /// Text that must not be empty.
    pub fn words(&mut self, node: &Node) -> Read<String> {
        let text = self.text(node)?;
        if text.trim().is_empty() {
            self.error(node.at, "expected some text, found none");
            return None;
        }
        Some(text)
    }

    /// Any single value as text: what a parameter or a variable may be.
    pub fn scalar(&mut self, node: &Node) -> Read<String> {
        match &node.data {
            Data::Number(n) => Some(n.clone()),
            Data::Bool(b) => Some(b.to_string()),
            _ => self.text(node),
        }
    }

    /// A name of the plan's own.
    pub fn name(&mut self, node: &Node) -> Read<String> {
        let text = self.scalar(node)?;
        self.check_name(node.at, &text).then_some(text)
    }

    /// Whether a text is a name; an error if not.
    pub fn check_name(&mut self, at: At, text: &str) -> bool {
        let good = value::is_name(text);
        if !good {
            let message = format!("`{}` is no name: names are made of `a`–`z`, `0`–`9` and `-`", show(text));
            let better: String =
                text.to_lowercase().chars().map(|c| if c == '_' || c == ' ' || c == '.' { '-' } else { c }).collect();
            self.error_help(at, message, value::is_name(&better).then(|| format!("write `{better}`")));
        }
        good
    }

    /// A duration in microseconds.
    pub fn duration_us(&mut self, node: &Node) -> Read<i64> {
        self.quantity(node, Unit::Time).map(|q| q.micros)
    }

    /// A duration in whole milliseconds.
    pub fn duration_ms(&mut self, node: &Node) -> Read<i64> {
        let us = self.duration_us(node)?;
        if us % 1_000 != 0 {
            self.error(node.at, "the duration is finer than a millisecond, which means nothing here");
            return None;
        }
        Some(us / 1_000)
    }

    /// A duration in milliseconds within limits, both inclusive.
    pub fn duration_ms_in(&mut self, node: &Node, least: i64, most: i64) -> Read<i64> {
        let ms = self.duration_ms(node)?;
        if (least..=most).contains(&ms) {
            return Some(ms);
        }
        let (least, most) = (crate::plan::format_ms(least), crate::plan::format_ms(most));
        self.error(node.at, format!("the duration is out of range: between {least} and {most}"));
        None
    }

    /// A quantity of a unit.
    pub fn quantity(&mut self, node: &Node, unit: Unit) -> Read<Quantity> {
        let (wanted, example) = match unit {
            Unit::Time => ("a duration", "90s"),
            Unit::Share => ("a percentage", "99.9%"),
            Unit::Count => ("a number", "500"),
        };
        let text = match &node.data {
            Data::Number(_) | Data::Text(_) => self.scalar(node)?,
            _ => return self.mismatch(node, wanted),
        };
        let error = match value::quantity(text.trim(), unit) {
            Ok(quantity) => return Some(quantity),
            Err(error) => error,
        };
        let help = match (unit, value::kind_of(text.trim())) {
            (Unit::Time, Some("a bare number")) => Some(format!("write a unit: `{0}s`, `{0}m` or `{0}h`", show(&text))),
            (Unit::Share, Some("a bare number")) => Some(format!("write `{}%`", show(&text))),
            _ => Some(format!("write it as in `{example}`")),
        };
        let message = match value::kind_of(text.trim()) {
            Some(found) if found != wanted => format!("wrong unit: expected {wanted}, found {found}"),
            _ => format!("`{}`: {error}", show(&text)),
        };
        self.error_help(node.at, message, help);
        None
    }

    /// A whole number within limits, both inclusive.
    pub fn integer(&mut self, node: &Node, least: i64, most: i64) -> Read<i64> {
        let text = match &node.data {
            Data::Number(n) => n.clone(),
            // Text that is a number only because of a variable is as good as a number.
            Data::Text(t) if t.contains("${") => self.expand(node.at, t)?,
            _ => return self.mismatch(node, "a whole number"),
        };
        let digits = text.trim_start_matches(['-', '+']);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.error(node.at, format!("expected a whole number, found `{}`", show(&text)));
            return None;
        }
        // What does not even fit the type is out of range like any other.
        match text.parse::<i64>() {
            Ok(n) if (least..=most).contains(&n) => Some(n),
            _ => {
                self.error(node.at, format!("`{}` is out of range: between {least} and {most}", show(&text)));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node) -> Read<bool> {
        match node.data {
            Data::Bool(b) => Some(b),
            _ => self.mismatch(node, "`true` or `false`"),
        }
    }

    /// One of the words, each with what it means.
    pub fn word<T: Copy>(&mut self, node: &Node, words: &[(&str, T)]) -> Read<T> {
        let text = match &node.data {
            Data::Text(_) => self.text(node)?,
            Data::Number(n) => n.clone(),
            _ => return self.mismatch(node, "a word"),
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = value::nearest(&text, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        self.error_help(node.at, format!("expected {}, found `{}`", value::one_of(&names), show(&text)), help);
        None
    }

    /// The items of a list.
    pub fn list<'n>(&mut self, node: &'n Node) -> Read<&'n [Node]> {
        match &node.data {
            Data::Seq(items) => Some(items),
            _ => self.mismatch(node, "a list"),
        }
    }

    /// The entries of a mapping whose keys are names of the plan's own; a duplicate is an error and left out.
    pub fn entries<'n>(&mut self, node: &'n Node) -> Read<Vec<(&'n Key, &'n Node)>> {
        let Data::Map(entries) = &node.data else { return self.mismatch(node, "a mapping") };
        let mut seen: HashMap<&str, At> = HashMap::with_capacity(entries.len());
        let mut out = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if let Some(first) = seen.get(key.text.as_str()) {
                self.duplicate(key, *first);
                continue;
            }
            seen.insert(&key.text, key.at);
            if matches!(value.data, Data::Null) {
                self.error(key.at, format!("`{}` has no value", show(&key.text)));
            } else {
                out.push((key, value));
            }
        }
        Some(out)
    }

    /// Records a key that is there twice.
    pub fn duplicate(&mut self, key: &Key, first: At) {
        let help = (!self.full()).then(|| format!("the first is in {}; keep one of them", self.line_of(first, key.at)));
        self.error_help(key.at, format!("the key `{}` is there twice", show(&key.text)), help);
    }

    /// `line 7`, or `vars.yaml, line 7` where that is another file than the one that is spoken of.
    pub fn line_of(&self, at: At, spoken_of: At) -> String {
        let Problem { file, line, .. } = self.problem(at, String::new(), None);
        if at.file == spoken_of.file { format!("line {line}") } else { format!("{file}, line {line}") }
    }

    /// Numbers a condition.
    pub fn add_condition(&mut self, condition: Condition) -> ConditionId {
        self.conditions.push(condition);
        self.conditions.len() - 1
    }

    /// Records that a node is something else than what is expected.
    pub fn mismatch<T>(&mut self, node: &Node, expected: &str) -> Read<T> {
        let found = match node.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(_) => "text",
            Data::Seq(_) => "a list",
            Data::Map(_) => "a mapping",
        };
        self.error(node.at, format!("expected {expected}, found {found}"));
        None
    }
}

fn in_order(mut problems: Vec<(At, Problem)>) -> Vec<Problem> {
    problems.sort_by_key(|(at, _)| (at.file, at.start));
    problems.into_iter().map(|(_, problem)| problem).collect()
}
