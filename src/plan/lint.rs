//! Lints: what the format allows and an engineer with experience would not let pass.
//!
//! A lint is an entry of the catalogue: a stable name, the rule it comes from, an explanation, an example, and a check over
//! the resolved plan. The checks run when a plan has loaded without errors, so that each of them may rely on a whole plan.
//! Their findings are warnings, except where the service itself would refuse what the plan says: such a plan is refused as
//! well, and on the day on which it is written instead of on the day on which it runs.
//!
//! | Module | Lints about |
//! |---|---|
//! | `dns`, `weights` | records, aliases, TTLs; weights and what they lead to |
//! | `health` | health checks |
//! | `replication`, `buckets` | what is copied, and what is left behind; the rules of buckets |
//! | `stacks`, `template` | templates and the stacks made of them; a template's resources |
//! | `rollbacks` | the ways back |
//! | `scripts` | what scripts and edits do |
//! | `services` | what a region does not offer |
//! | `signals` | gates and measurements, figures, days |

use std::fmt::Write as _;

pub(in crate::plan) use self::subject::{Found, Subject, Where};

mod buckets;
mod dns;
mod health;
mod replication;
mod rollbacks;
pub(super) mod scripts;
mod services;
mod signals;
mod stacks;
mod subject;
mod template;
mod weights;
pub(super) mod zones;

/// One lint.
#[derive(Debug)]
pub struct Lint {
    /// Its name: `[a-z0-9-]+`, never changed and never used for anything else.
    pub name: &'static str,
    /// The numbers of the rules it comes from, as in the list of what the services really do.
    pub rules: &'static [u32],
    /// Whether a plan with it is refused.
    pub level: Level,
    /// What it is about, one line without a full stop.
    pub line: &'static str,
    /// Why it bites, in whole sentences.
    pub why: &'static str,
    /// What trips it.
    pub wrong: &'static str,
    /// What does not.
    pub right: &'static str,
    /// How it is found in a plan. None where it is about more than the plan: the machine, the number of calls.
    check: Option<Check>,
}

/// How a lint is found.
type Check = fn(&Subject<'_>, &mut Found);

/// What a lint does to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is pointed out: there may be a reason for it.
    Warning,
    /// The plan is refused: the service would refuse it too, in the middle of the night.
    Error,
}

/// The families, each with its heading.
const FAMILIES: [(&str, &[Lint]); 10] = [
    ("Records", dns::LINTS),
    ("Weights", weights::LINTS),
    ("Health checks", health::LINTS),
    ("Replication", replication::LINTS),
    ("Rules of buckets", buckets::LINTS),
    ("Stacks and keys", stacks::LINTS),
    ("Rollbacks", rollbacks::LINTS),
    ("Scripts and edits", scripts::LINTS),
    ("Services", services::LINTS),
    ("Signals and figures", signals::LINTS),
];

/// Every lint, family by family.
pub fn all() -> impl Iterator<Item = &'static Lint> {
    FAMILIES.iter().flat_map(|(_, lints)| lints.iter())
}

/// The lint with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Lint> {
    all().find(|lint| lint.name == name)
}

/// The name that was probably meant.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    super::load::nearest(name, all().map(|lint| lint.name))
}

/// Everything that the lints find in a plan.
pub(in crate::plan) fn check(subject: &Subject<'_>) -> Found {
    let mut found = Found::default();
    for lint in all() {
        if let Some(check) = lint.check {
            found.begin(lint);
            check(subject, &mut found);
        }
    }
    found
}

impl Lint {
    /// The explanation for a terminal, without a final line break.
    #[must_use]
    pub fn explain(&self) -> String {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let mut out = format!("{} ({level}{})\n{}.\n", self.name, self.of_rules(), self.line);
        for paragraph in self.why.split("\n\n") {
            let _ = write!(out, "\n{}\n", wrapped(paragraph, 96));
        }
        let _ = write!(out, "\nTrips it:\n\n{}\n\nDoes not:\n\n{}", indented(self.wrong), indented(self.right));
        out
    }

    /// `, rules 4 and 5`, or nothing.
    fn of_rules(&self) -> String {
        let numbers: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        match numbers.as_slice() {
            [] => String::new(),
            [one] => format!(", rule {one}"),
            [init @ .., last] => format!(", rules {} and {last}", init.join(", ")),
        }
    }
}

/// The lints as a list for a terminal: a line each.
#[must_use]
pub fn list() -> String {
    let width = all().map(|lint| lint.name.len()).max().unwrap_or_default();
    let lines: Vec<String> = all().map(|lint| format!("{:<width$}  {}", lint.name, lint.line)).collect();
    lines.join("\n")
}

/// The catalogue as a page of the documentation.
#[must_use]
pub fn page() -> String {
    let mut out = "\
# Lints

What `cutover check` points out in a plan that is well-formed. Each lint has a name that never changes. A warning leaves the
plan usable; an error refuses it, because the service would refuse what it says as well. `cutover check --explain NAME` prints
an entry of this page, `cutover check --explain` the list of names. A number is that of a rule in the list of what the services
really do.

This page is made from the catalogue in `src/plan/lint`: change it there, then `CUTOVER_GOLDEN=write cargo test --test lints`.
"
    .to_owned();
    for (family, lints) in FAMILIES {
        let _ = write!(out, "\n## {family}\n");
        for lint in lints {
            let level = if lint.level == Level::Error { "Error" } else { "Warning" };
            let _ = write!(out, "\n### {}\n\n{level}{}. {}.\n", lint.name, lint.of_rules(), lint.line);
            for paragraph in lint.why.split("\n\n") {
                let _ = write!(out, "\n{}\n", wrapped(paragraph, 120));
            }
            let _ = write!(out, "\nTrips it:\n\n```yaml\n{}\n```\n\nDoes not:\n\n```yaml\n{}\n```\n", lint.wrong, lint.right);
        }
    }
    out
}

/// A paragraph in lines of at most so many characters.
fn wrapped(paragraph: &str, width: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in paragraph.split_whitespace() {
        let of_word = word.chars().count();
        if length > 0 && length + 1 + of_word > width {
            out.push('\n');
            length = 0;
        } else if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += of_word;
    }
    out
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}
