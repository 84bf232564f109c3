//! Variables: `vars:` and every `${name}`.

use std::collections::{HashMap, HashSet};

use super::context::{Context, Read};
use super::node::{At, Data, Node};
use super::problem::show;
use crate::plan::{Part, Text};

/// Longest text after expansion, in bytes; variables that use others could otherwise grow without end.
const EXPANDED_BYTES_MAX: usize = 64 * 1024;
/// Most bytes that variables may add to a plan.
const TOTAL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Reads the `vars:` of all files and expands them in each other.
pub fn read(cx: &mut Context, sections: &[&Node]) {
    let mut raw: HashMap<String, (At, String)> = HashMap::new();
    let mut order = Vec::new();
    for section in sections {
        for (key, node) in cx.entries(section).unwrap_or_default() {
            if !is_var_name(&key.text) {
                let message = format!("`{}` is no name of a variable: letters, digits, `-` and `_`", show(&key.text));
                cx.error(key.at, message);
            } else if let Some((first, _)) = raw.get(&key.text) {
                cx.duplicate(key, *first);
            } else {
                let text = match &node.data {
                    Data::Text(t) | Data::Number(t) => t.clone(),
                    Data::Bool(b) => b.to_string(),
                    _ => cx.mismatch(node, "one value").unwrap_or_default(),
                };
                raw.insert(key.text.clone(), (node.at, text));
                order.push(key.text.clone());
            }
        }
    }
    // A variable that is wrong keeps its name, so that its users are not reported as well.
    for name in &order {
        cx.vars.entry(name.clone()).or_default();
    }
    let mut done = HashMap::new();
    for name in &order {
        resolve(cx, &raw, &mut done, name);
    }
    cx.vars.extend(done);
}

fn is_var_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Resolves one variable and those that it uses. A loop instead of recursion: the chain may be as long as the file.
fn resolve(cx: &mut Context, raw: &HashMap<String, (At, String)>, done: &mut HashMap<String, String>, name: &str) {
    let mut path = vec![name.to_owned()];
    let mut on_path: HashSet<String> = path.iter().cloned().collect();
    while let Some(current) = path.last().cloned() {
        let Some((at, text)) = raw.get(&current).filter(|_| !done.contains_key(&current)) else {
            path.pop();
            on_path.remove(&current);
            continue;
        };
        match names_in(text).find(|n| raw.contains_key(*n) && !done.contains_key(*n)) {
            Some(next) if on_path.contains(next) => {
                let from = path.iter().position(|p| p == next).unwrap_or_default();
                let shown = path[from..].iter().take(10).map(String::as_str).chain([next]);
                let chain: Vec<String> = shown.map(|n| format!("`{n}`")).collect();
                cx.error(*at, format!("a variable refers to itself: {}", chain.join(" → ")));
                // All of the cycle is settled, so that it is reported once.
                done.extend(path[from..].iter().map(|member| (member.clone(), String::new())));
            }
            Some(next) => {
                path.push(next.to_owned());
                on_path.insert(next.to_owned());
            }
            None => {
                let expanded = substitute(text, |n| done.get(n).map(String::as_str), &mut cx.expanded_bytes);
                let expanded = expanded.unwrap_or_else(|e| {
                    report(cx, *at, e);
                    String::new()
                });
                done.insert(current, expanded);
            }
        }
    }
}

/// The names that a text refers to.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// Why a text cannot be expanded.
enum Failure {
    Unclosed,
    Unknown(String),
    TooLong,
}

fn substitute<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>, total: &mut usize) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, tail) = behind.split_once('}').ok_or(Failure::Unclosed)?;
        let value = lookup(name).ok_or_else(|| Failure::Unknown(name.to_owned()))?;
        out.push_str(before);
        out.push_str(value);
        *total += value.len();
        if out.len() > EXPANDED_BYTES_MAX || *total > TOTAL_BYTES_MAX {
            return Err(Failure::TooLong);
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn report(cx: &mut Context, at: At, failure: Failure) {
    match failure {
        Failure::Unclosed => cx.error(at, "`${` begins a variable, and its `}` is missing"),
        Failure::TooLong => cx.error(at, "the text becomes too long when its variables are filled in"),
        Failure::Unknown(name) if name.starts_with("outputs.") || name.starts_with("secret.") => {
            let place = within(cx, at, &name);
            let help = "an output may stand in the environment of a script, the parameters of a stack, what an edit writes, the \
                        alias and health check of a record, and the URL, headers and body of a request; a secret in headers and body";
            cx.error_help(
                place,
                format!("`{}` is not known before the run, so it cannot stand here", show(&name)),
                Some(help.to_owned()),
            );
        }
        Failure::Unknown(name) => {
            let help = cx.suggest(&name, cx.vars.keys().map(String::as_str));
            let place = within(cx, at, &name);
            cx.error_help(place, format!("there is no variable `{}`", show(&name)), help);
        }
    }
}

/// The place of `${name}` within a text, if it is written there as it is.
fn within(cx: &Context, at: At, name: &str) -> At {
    let wanted = format!("${{{name}}}");
    let (start, len) = (at.start as usize, at.len as usize);
    let offset = cx.sources.get(at.file as usize).and_then(|s| s.text.get(start..start + len)).and_then(|t| t.find(&wanted));
    match (offset.map(u32::try_from), u32::try_from(wanted.len())) {
        (Some(Ok(offset)), Ok(len)) => At { file: at.file, start: at.start + offset, len },
        _ => at,
    }
}

/// Where the next `${outputs…}` or `${secret…}` of a text begins, and the name in it.
fn late_place(text: &str) -> Option<(usize, &str)> {
    let starts = text.match_indices("${").map(|(at, _)| at);
    let named = starts.filter_map(|at| text[at + 2..].split_once('}').map(|(name, _)| (at, name)));
    let mut late = named.filter(|(_, name)| name.starts_with("outputs.") || name.starts_with("secret."));
    late.next()
}

impl Context {
    /// A text in which outputs of steps (and secrets, where they may stand) keep their places, with its variables filled in.
    pub fn late(&mut self, node: &Node, secrets: bool) -> Read<Text> {
        let raw = match &node.data {
            Data::Number(n) => n.clone(),
            Data::Bool(b) => b.to_string(),
            Data::Text(text) => text.clone(),
            _ => return self.mismatch(node, "text"),
        };
        let mut parts = Vec::new();
        let mut rest = raw.as_str();
        let mut good = true;
        while let Some((start, name)) = late_place(rest) {
            let (before, behind) = rest.split_at(start);
            rest = behind.get(name.len() + 3..).unwrap_or_default();
            match self.expand(node.at, before) {
                Some(text) if text.is_empty() => {}
                Some(text) => parts.push(Part::Plain(text)),
                None => good = false,
            }
            let place = within(self, node.at, name);
            match self.late_part(place, name, secrets) {
                Some(part) => parts.push(part),
                None => good = false,
            }
        }
        match self.expand(node.at, rest) {
            Some(text) if text.is_empty() && !parts.is_empty() => {}
            Some(text) => parts.push(Part::Plain(text)),
            None => good = false,
        }
        good.then_some(Text(parts))
    }

    /// `outputs.STEP.NAME` or `secret.NAME`.
    fn late_part(&mut self, at: At, name: &str, secrets: bool) -> Read<Part> {
        if let Some(secret) = name.strip_prefix("secret.") {
            if !secrets {
                let help = "secrets may stand in the headers and the body of a request; a script names them under `secrets:`";
                self.error_help(at, "a secret cannot stand here", Some(help.to_owned()));
                return None;
            }
            return self.secret_named(at, secret).then(|| Part::Secret(secret.to_owned()));
        }
        let Some((step, output)) = name.strip_prefix("outputs.").and_then(|rest| rest.split_once('.')) else {
            self.error(at, format!("`{}` names no output: write `${{outputs.STEP.NAME}}`", show(name)));
            return None;
        };
        let id = self.step_called(at, step)?;
        self.outputs_used.push((at, id, output.to_owned()));
        Some(Part::Output { step: step.to_owned(), name: output.to_owned() })
    }

    /// Whether a secret of this name is declared; an error if not.
    pub fn secret_named(&mut self, at: At, name: &str) -> bool {
        let known = self.secrets.iter().any(|secret| secret == name);
        if !known {
            let help = self
                .suggest(name, self.secrets.iter().map(String::as_str))
                .unwrap_or_else(|| "name it in the plan's list `secrets:`".to_owned());
            self.error_help(at, format!("the plan has no secret `{}`", show(name)), Some(help));
        }
        known
    }

    /// A text with its variables filled in.
    pub fn expand(&mut self, at: At, text: &str) -> Read<String> {
        if !text.contains("${") {
            return Some(text.to_owned());
        }
        let vars = &self.vars;
        match substitute(text, |n| vars.get(n).map(String::as_str), &mut self.expanded_bytes) {
            Ok(out) => Some(out),
            Err(failure) => {
                report(self, at, failure);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::plan::load::context::SourceFile;
    use crate::plan::load::node::parse;

    fn vars(text: &str) -> (Context, Vec<String>) {
        let mut cx = Context::default();
        cx.sources.push(SourceFile { path: "p".to_owned(), text: text.to_owned() });
        let node = parse(0, text).unwrap();
        read(&mut cx, &[&node]);
        let problems = cx.take_problems().iter().map(ToString::to_string).collect();
        (cx, problems)
    }

    #[test]
    fn variables_use_others() {
        let (mut cx, problems) = vars("a: x${b}${c}\nb: <${c}>\nc: 5\n");
        assert!(problems.is_empty());
        assert_eq!(cx.vars["a"], "x<5>5");
        assert_eq!(cx.expand(At::default(), "${a}!"), Some("x<5>5!".to_owned()));
    }

    #[test]
    fn cycles_are_reported_once() {
        let (_, problems) = vars("a: ${b}\nb: ${c}\nc: ${b}\nd: ${d}\n");
        assert_eq!(
            problems,
            ["p:3:4: a variable refers to itself: `b` → `c` → `b`", "p:4:4: a variable refers to itself: `d` → `d`"]
        );
    }

    #[test]
    fn unknown_names_and_growth_are_refused() {
        assert_eq!(vars("zone: Z\nb: x${zon}").1, ["p:2:5: there is no variable `zon` (did you mean `zone`?)"]);
        assert!(vars("b: \"${x\"").1[0].contains("is missing"));
        let mut bomb = format!("v0: {}\n", "x".repeat(100));
        for i in 1..30 {
            let _ = writeln!(bomb, "v{i}: ${{v{0}}}${{v{0}}}", i - 1);
        }
        assert!(vars(&bomb).1[0].contains("too long"));
    }

    #[test]
    fn long_chains_are_no_danger() {
        let mut chain = String::new();
        for i in 0..5_000 {
            let _ = writeln!(chain, "v{i}: ${{v{}}}", i + 1);
        }
        chain += "v5000: end\n";
        let (cx, problems) = vars(&chain);
        assert!(problems.is_empty());
        assert_eq!(cx.vars["v0"], "end");
    }
}
