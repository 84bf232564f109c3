//! Who may know whom. ARCHITECTURE.md tells the rule in words; here it is enforced by reading the sources.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files longer than this are not read in one sitting.
const LINES_MAX: usize = 700;

/// What the pure core must not touch: time, files, network, processes, threads, async, SDKs, terminal.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "rusqlite",
    "hyper",
    "hickory_resolver",
    "aws_",
    "ratatui",
    "crossterm",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
];

/// What one room may know.
struct Rule {
    /// The module that it is about, with everything below; the first rule that fits a file counts.
    room: &'static str,
    /// Modules of this crate that it may name, besides itself.
    may: &'static [&'static str],
    /// Paths of other crates that it must not name, by their beginning.
    never: &'static [&'static str],
}

const fn rule(room: &'static str, may: &'static [&'static str], never: &'static [&'static str]) -> Rule {
    Rule { room, may, never }
}

const SDK_AND_SCREEN: &[&str] = &["aws_", "ratatui", "crossterm"];
const SCREEN: &[&str] = &["ratatui", "crossterm"];

const RULES: &[Rule] = &[
    // The loader reads files, and only in one place.
    rule("plan::load::files", &["plan"], &["tokio", "aws_", "ratatui", "crossterm", "std::net", "std::time::SystemTime"]),
    rule("plan::load", &["plan"], &["tokio", "aws_", "ratatui", "crossterm", "std::net", "std::fs", "std::time::SystemTime"]),
    rule("plan", &[], IMPURE),
    rule("cloud", &["plan", "run"], IMPURE),
    rule("run", &["plan", "cloud"], IMPURE),
    rule("aws", &["plan", "cloud", "run::event"], SCREEN),
    rule("probe", &["plan", "cloud"], SDK_AND_SCREEN),
    rule("sim", &["plan", "cloud", "run::event"], IMPURE),
    rule("journal", &[], SDK_AND_SCREEN),
    rule("link", &["run::command", "run::snapshot"], SDK_AND_SCREEN),
    rule("samples", &["cloud", "run::minute"], SDK_AND_SCREEN),
    rule("engine", &["plan", "cloud", "run", "journal", "link", "samples"], SDK_AND_SCREEN),
    rule(
        "ui",
        &["link", "run::command", "run::snapshot", "plan::FaultKind", "cloud::ResourceChange"],
        &["aws_", "rusqlite", "hyper", "std::fs", "std::net", "std::time::SystemTime"],
    ),
    rule("builtin", &["plan"], SDK_AND_SCREEN),
    rule("cli", &[], SDK_AND_SCREEN),
    rule("exit", &[], SDK_AND_SCREEN),
    // From here on backends are named: the wiring.
    rule("drill", &["plan", "cloud", "run", "engine", "sim"], SDK_AND_SCREEN),
    rule("local", &["plan", "cloud", "probe"], SDK_AND_SCREEN),
    rule("live", &["plan", "cloud", "run", "engine", "aws", "probe", "local"], SDK_AND_SCREEN),
    rule(
        "commands",
        &[
            "plan",
            "cloud",
            "run",
            "engine",
            "journal",
            "link",
            "builtin",
            "cli",
            "exit",
            "ui",
            "drill",
            "live",
            "local",
            "probe",
            "samples",
            "sim::World",
            "sim::RULES_VERSION",
            "aws::Aws",
            "aws::metadata_region",
            "aws::survey",
        ],
        SDK_AND_SCREEN,
    ),
    rule("main", &["cli", "commands", "exit"], SDK_AND_SCREEN),
    rule("lib", &[], SDK_AND_SCREEN),
];

/// A source without comments, texts, characters and test modules: nothing but code that is shipped.
fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied();
        match chars[at] {
            '/' if next == Some('/') => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            'r' if matches!(next, Some('"' | '#')) && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                if chars.get(at + 1 + hashes) != Some(&'"') {
                    out.push('r');
                    at += 1;
                    continue;
                }
                let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                let rest: String = chars[at + 2 + hashes..].iter().collect();
                let length = rest.find(&end).map_or(rest.chars().count(), |byte| rest[..byte].chars().count() + hashes + 1);
                at += 2 + hashes + length;
            }
            '"' => {
                at += 1;
                while at < chars.len() && chars[at] != '"' {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            // A character, and not a lifetime.
            '\'' if next == Some('\\') => at += 3 + chars[at + 3..].iter().take_while(|c| **c != '\'').count() + 1,
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    without_tests(&out)
}

fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        out.push_str(&rest[..start]);
        rest = &rest[start + MARK.len()..];
        let mut depth = 0;
        let end = rest.find(|c| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.map_or("", |end| &rest[end + 1..]);
    }
    out + rest
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Name(String),
    PathSep,
    Other(char),
}

fn tokens(code: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut name = c.to_string();
            while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(more);
            }
            out.push(Token::Name(name));
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            out.push(Token::PathSep);
        } else if !c.is_whitespace() {
            out.push(Token::Other(c));
        }
    }
    out
}

/// Every path in the code, `use` groups taken apart, with `crate`, `self` and `super` made absolute.
fn paths(code: &str, module: &[String]) -> BTreeSet<String> {
    let tokens = tokens(code);
    let mut found = BTreeSet::new();
    for at in 0..tokens.len() {
        let begins = at == 0 || tokens[at - 1] != Token::PathSep;
        if begins && matches!(&tokens[at], Token::Name(_)) && tokens.get(at + 1) == Some(&Token::PathSep) {
            tree(&tokens, at, &[], &mut found);
        }
    }
    found.iter().map(|path| absolute(path, module)).collect()
}

/// Reads one path or group at `at`; returns where it ends.
fn tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut BTreeSet<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(Token::Name(name)) => {
                path.push(name.clone());
                at += 1;
            }
            Some(Token::Other('{')) => {
                at += 1;
                while at < tokens.len() && tokens[at] != Token::Other('}') {
                    at = if tokens[at] == Token::Other(',') { at + 1 } else { tree(tokens, at, &path, found).max(at + 1) };
                }
                return at + 1;
            }
            Some(Token::Other('*')) => at += 1,
            _ => {}
        }
        if tokens.get(at) != Some(&Token::PathSep) {
            break;
        }
        at += 1;
    }
    found.insert(path);
    at
}

fn absolute(path: &[String], module: &[String]) -> String {
    let (base, rest) = match path[0].as_str() {
        "crate" | "cutover" => (&[][..], &path[1..]),
        "self" => (module, &path[1..]),
        "super" => {
            let ups = path.iter().take_while(|segment| *segment == "super").count();
            (&module[..module.len().saturating_sub(ups)], &path[ups..])
        }
        _ => return path.join("::"),
    };
    let whole: Vec<&str> = std::iter::once("crate").chain(base.iter().chain(rest).map(String::as_str)).collect();
    whole.join("::")
}

fn below(path: &str, room: &str) -> bool {
    path == room || path.strip_prefix(room).is_some_and(|rest| rest.starts_with("::"))
}

/// What is wrong with a file of this module.
fn offences(module: &str, source: &str) -> Vec<String> {
    let Some(rule) = RULES.iter().find(|rule| below(module, rule.room)) else {
        return vec![format!("{module}: no rule says what this module may know; add one here and a line to ARCHITECTURE.md")];
    };
    // The two roots have no module path of their own.
    let segments: Vec<String> = match module {
        "main" | "lib" => Vec::new(),
        _ => module.split("::").map(str::to_owned).collect(),
    };
    let mut wrong = Vec::new();
    for path in paths(&code_of(source), &segments) {
        if let Some(ours) = path.strip_prefix("crate::") {
            if !below(ours, rule.room) && !rule.may.iter().any(|may| below(ours, may)) {
                wrong.push(format!("{module} must not know {ours}"));
            }
        } else if rule.never.iter().any(|never| below(&path, never) || (never.ends_with('_') && path.starts_with(never))) {
            wrong.push(format!("{module} must not use {path}"));
        }
    }
    wrong
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file: its path below src, its module, its text.
fn sources() -> Vec<(String, String, String)> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&root(), &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let module = name.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        (name, module, fs::read_to_string(&path).unwrap())
    };
    let shipped = |(name, _, _): &(String, String, String)| !name.ends_with("tests.rs");
    files.into_iter().map(read).filter(shipped).collect()
}

#[test]
fn rooms_know_only_whom_they_may() {
    let wrong: Vec<String> = sources().iter().flat_map(|(_, module, source)| offences(module, source)).collect();
    assert!(wrong.is_empty(), "the dependency rule is broken:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_rule_is_about_something() {
    let modules: Vec<String> = sources().into_iter().map(|(_, module, _)| module).collect();
    assert!(modules.len() > 50, "only {} files were found", modules.len());
    for rule in RULES {
        assert!(modules.iter().any(|module| below(module, rule.room)), "no file is below {}", rule.room);
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for (name, _, source) in sources() {
        let lines = source.lines().count();
        assert!(lines <= LINES_MAX, "src/{name} has {lines} lines, more than {LINES_MAX}: take it apart");
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for (name, _, source) in sources() {
        assert!(source.starts_with("//! "), "src/{name} does not begin with a line of documentation");
    }
}

#[test]
fn the_scanner_finds_what_is_forbidden() {
    let snippet = r##"
        //! Says crate::aws in a comment.
        use std::{collections::BTreeMap, time::{Duration, Instant}};
        use crate::{plan::Plan, cloud::{self, Call}, journal::{Store, Writer}};
        use super::state::{Step, Call as Done};
        use super::super::sim;
        fn f<'a>(x: &'a str) -> char { let _ = "crate::ui"; let _ = r#"tokio::spawn"#; let _ = '"'; let _ = '\''; '{' }
        fn g() { tokio::spawn(async { std::fs::read("x") }); crate::live::system_now(); let _ = aws_config::load(); }
        #[cfg(test)]
        mod tests { use crate::ui::App; fn h() { if true { std::net::x(); } } }
        fn after() { crossterm::terminal::size(); }
    "##;
    assert_eq!(
        offences("run::decide", snippet),
        [
            "run::decide must not use aws_config::load",
            "run::decide must not know journal::Store",
            "run::decide must not know journal::Writer",
            "run::decide must not know live::system_now",
            "run::decide must not know sim",
            "run::decide must not use crossterm::terminal::size",
            "run::decide must not use std::fs::read",
            "run::decide must not use std::time::Instant",
            "run::decide must not use tokio::spawn",
        ]
    );
    assert_eq!(offences("commands::run", "use crate::sim::zone::Zone;"), ["commands::run must not know sim::zone::Zone"]);
    assert_eq!(offences("main", "use cutover::aws::Aws;"), ["main must not know aws::Aws"]);
    assert!(offences("run::decide", "use crate::plan::{Plan, load::Loaded}; use self::inner::X; use super::core;").is_empty());
    assert!(offences("brand_new", "")[0].contains("no rule"));
}
