//! What the engine does on its own machine: scripts, edits and requests, and what stands for them in a drill.

use super::context::{Context, Read};
use super::fields::Fields;
use super::files::check_path;
use super::metrics;
use super::node::{At, Data, Key, Node};
use super::problem::show;
use super::{Reader, value};
use crate::plan::{Edit, Expect, Part, Replacement, Request, Script, StandIn, StepId, Text, Want};

/// How long a script may take when the plan does not say, in milliseconds.
const TIMEOUT_MS: i64 = 600_000;
/// Longest that a script may take, in milliseconds.
const TIMEOUT_MS_MAX: i64 = 7 * 86_400_000;
/// Time between TERM and KILL when the plan does not say, in milliseconds.
const GRACE_MS: i64 = 10_000;
/// Longest time between TERM and KILL, in milliseconds.
const GRACE_MS_MAX: i64 = 600_000;
/// Time-out of a request when the plan does not say, in milliseconds.
const REQUEST_MS: i64 = 10_000;
/// Longest time-out of a request, in milliseconds: whatever takes longer than this is taken for lost.
const REQUEST_MS_MAX: i64 = 60_000;
/// Longest that a request is made again, in milliseconds.
const RETRY_MS_MAX: i64 = 86_400_000;
/// Variables that only the engine sets.
const OWN: &str = "CUTOVER_";

/// `secrets:`, the names of environment variables.
pub fn secrets(cx: &mut Context, node: &Node) -> Read<Vec<String>> {
    let items = cx.list(node)?;
    let mut out: Vec<String> = Vec::new();
    for item in items {
        if let Some(name) = variable(cx, item) {
            if out.contains(&name) {
                cx.error(item.at, format!("`{name}` is named twice"));
            }
            out.push(name);
        }
    }
    Some(out)
}

/// The name of an environment variable.
fn variable(cx: &mut Context, node: &Node) -> Read<String> {
    let name = cx.scalar(node)?;
    check_variable(cx, node.at, &name).then_some(name)
}

fn check_variable(cx: &mut Context, at: At, name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let good = first && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !good {
        cx.error(at, format!("`{}` is no name of an environment variable: letters, digits and `_`", show(name)));
    } else if name.starts_with(OWN) {
        cx.error(at, format!("variables that begin with `{OWN}` are set by the engine"));
        return false;
    }
    good
}

/// `shell:`.
pub fn shell(r: &mut Reader<'_>, node: &Node) -> Read<Script> {
    let mut f = Fields::of(&mut r.cx, node, "the script")?;
    let body = f.exactly_one(&mut r.cx, "text", &["script", "run"]);
    let body = body.and_then(|(key, node)| if key == "script" { r.script(node) } else { inline(&mut r.cx, node) });
    let cx = &mut r.cx;
    let env = f.maybe(cx, "env", |cx, n| pairs(cx, n, false)).unwrap_or_default();
    if let Some(node) = f.get(cx, "env").filter(|n| matches!(n.data, Data::Map(_))) {
        for (key, _) in cx.entries(node).unwrap_or_default() {
            check_variable(cx, key.at, &key.text);
        }
    }
    let secrets = f.maybe(cx, "secrets", |cx, n| {
        let items = cx.list(n)?;
        let named = items.iter().filter_map(|item| {
            let name = cx.scalar(item)?;
            cx.secret_named(item.at, &name).then_some(name)
        });
        Some(named.collect::<Vec<_>>())
    });
    let done_if = f.maybe(cx, "done-if", inline).map(|(_, text)| text);
    let timeout_ms = f.maybe(cx, "timeout", |cx, n| cx.duration_ms_in(n, 1_000, TIMEOUT_MS_MAX)).unwrap_or(TIMEOUT_MS);
    let grace_ms = f.maybe(cx, "grace", |cx, n| cx.duration_ms_in(n, 0, GRACE_MS_MAX)).unwrap_or(GRACE_MS);
    let outputs = f.maybe(cx, "outputs", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| variable(cx, item)).collect::<Vec<_>>())
    });
    let control_planes = f.maybe(cx, "control-planes", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| cx.words(item)).collect::<Vec<_>>())
    });
    f.finish(cx);
    let (path, text) = body?;
    Some(Script {
        text,
        path,
        env,
        secrets: secrets.unwrap_or_default(),
        done_if,
        timeout_ms,
        grace_ms,
        outputs: outputs.unwrap_or_default(),
        control_planes: control_planes.unwrap_or_default(),
    })
}

/// A script in the plan itself. Its text is as it stands: a variable of the plan that were filled in could change what
/// the script does.
fn inline(cx: &mut Context, node: &Node) -> Read<(Option<String>, String)> {
    match &node.data {
        Data::Text(text) if !text.trim().is_empty() => Some((None, text.clone())),
        _ => cx.mismatch(node, "the text of a bash script"),
    }
}

impl Reader<'_> {
    /// The path of a script and its text, read now: the run is pinned to it.
    fn script(&mut self, node: &Node) -> Read<(Option<String>, String)> {
        let path = self.cx.words(node)?;
        let read = check_path(&path).map_err(str::to_owned).and_then(|()| self.template(&path));
        match read {
            Ok(text) => Some((Some(path), text)),
            Err(why) => {
                self.cx.error(node.at, format!("the script `{}` cannot be read: {why}", show(&path)));
                None
            }
        }
    }
}

/// Names and their texts, in the order of the file.
pub fn pairs(cx: &mut Context, node: &Node, secrets: bool) -> Read<Vec<(String, Text)>> {
    let entries = cx.entries(node)?;
    let read = |cx: &mut Context, (key, node): (&Key, &Node)| Some((key.text.clone(), cx.late(node, secrets)?));
    Some(entries.into_iter().filter_map(|entry| read(cx, entry)).collect())
}

/// A list of steps.
pub fn step_list(cx: &mut Context, node: &Node) -> Read<Vec<StepId>> {
    let items = cx.list(node)?;
    Some(items.iter().filter_map(|item| cx.step(item)).collect())
}

/// `edit:`.
pub fn edit(cx: &mut Context, node: &Node) -> Read<Edit> {
    let mut f = Fields::of(cx, node, "the edit")?;
    let file = f.need(cx, "file", |cx, n| {
        let path = cx.words(n)?;
        // It ends a block of the runbook, which would have to name another file.
        let fence = if path.contains("```") { Err("the path holds three backticks in a row") } else { Ok(()) };
        match check_path(&path).and(fence) {
            Ok(()) => Some(path),
            Err(why) => {
                let why = why.replace("the plan's folder", "the working tree");
                cx.error(n.at, format!("`{}` cannot be edited: {why}", show(&path)));
                None
            }
        }
    });
    let changes = f.need(cx, "changes", |cx, n| {
        let items = cx.list(n)?;
        if items.is_empty() {
            cx.error(n.at, "an edit has at least one change");
        }
        Some(items.iter().filter_map(|item| replacement(cx, item)).collect::<Vec<_>>())
    });
    f.finish(cx);
    Some(Edit { file: file?, changes: changes? })
}

fn replacement(cx: &mut Context, node: &Node) -> Read<Replacement> {
    let mut f = Fields::of(cx, node, "the change")?;
    let replace = f.need(cx, "replace", |cx, n| {
        let text = cx.text(n)?;
        if text.is_empty() {
            cx.error(n.at, "what is replaced is empty, so it is nowhere and everywhere");
            return None;
        }
        Some(text)
    });
    let with = f.need(cx, "with", |cx, n| Some((n.at, cx.late(n, false)?)));
    f.finish(cx);
    let (replace, (at, with)) = (replace?, with?);
    if matches!(with.0.as_slice(), [Part::Plain(text)] if *text == replace) {
        cx.error(at, "the text is replaced with itself");
    }
    Some(Replacement { replace, with })
}

/// `http:`.
pub fn http(cx: &mut Context, node: &Node) -> Read<Request> {
    let mut f = Fields::of(cx, node, "the request")?;
    let url = f.need(cx, "url", |cx, n| {
        let url = cx.late(n, false)?;
        // Whether the whole is a URL is known when its outputs are.
        if let Some(Part::Plain(start)) = url.0.first()
            && !["http://", "https://"].iter().any(|scheme| start.starts_with(scheme))
        {
            cx.error(n.at, format!("`{}` is no URL: it begins with `https://` or `http://`", show(start)));
        }
        Some(url)
    });
    let method = f.maybe(cx, "method", |cx, n| {
        cx.word(n, &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"].map(|word| (word, word)))
    });
    let connect_to = f.maybe(cx, "connect-to", Context::words);
    let headers = f.maybe(cx, "headers", |cx, n| pairs(cx, n, true)).unwrap_or_default();
    let body = f.maybe(cx, "body", |cx, n| cx.late(n, true));
    let timeout_ms = f.maybe(cx, "timeout", |cx, n| cx.duration_ms_in(n, 100, REQUEST_MS_MAX)).unwrap_or(REQUEST_MS);
    let retry = f.maybe(cx, "retry-for", |cx, n| Some((n.at, cx.duration_ms_in(n, 1_000, RETRY_MS_MAX)?)));
    let expect = f.maybe(cx, "expect", expect).unwrap_or(Expect { status: 200, headers: Vec::new(), json: Vec::new() });
    let outputs = f.maybe(cx, "outputs", metrics::pairs).unwrap_or_default();
    if let Some(node) = f.get(cx, "outputs") {
        for (key, value) in cx.entries(node).unwrap_or_default() {
            check_variable(cx, key.at, &key.text);
            if let Data::Text(path) = &value.data {
                check_json_path(cx, value.at, path);
            }
        }
    }
    f.finish(cx);
    let request = Request {
        method: method.unwrap_or("GET").to_owned(),
        url: url?,
        connect_to,
        headers,
        body,
        timeout_ms,
        retry_ms: retry.map_or(0, |(_, ms)| ms),
        expect,
        outputs,
    };
    if let Some((at, _)) = retry
        && !request.is_safe()
    {
        let message = format!("a `{}` request may change something, so it is not made again by itself", request.method);
        cx.error_help(at, message, Some("remove `retry-for`".to_owned()));
    }
    Some(request)
}

fn expect(cx: &mut Context, node: &Node) -> Read<Expect> {
    let mut f = Fields::of(cx, node, "the expectations")?;
    let status = f.maybe(cx, "status", |cx, n| cx.integer(n, 100, 599)).unwrap_or(200);
    let headers = f.maybe(cx, "headers", wants).unwrap_or_default();
    let json = f.maybe(cx, "json", wants).unwrap_or_default();
    if let Some(node) = f.get(cx, "json") {
        for (key, _) in cx.entries(node).unwrap_or_default() {
            check_json_path(cx, key.at, &key.text);
        }
    }
    f.finish(cx);
    Some(Expect { status: u16::try_from(status).ok()?, headers, json })
}

fn check_json_path(cx: &mut Context, at: At, path: &str) {
    if let Err(why) = serde_json_path::JsonPath::parse(path) {
        cx.error_help(at, format!("`{}` is no JSON path: {why}", show(path)), Some("write it as in `$.status`".to_owned()));
    }
}

fn wants(cx: &mut Context, node: &Node) -> Read<Vec<(String, Want)>> {
    let mut out = Vec::new();
    for (key, node) in cx.entries(node)? {
        let want = if matches!(node.data, Data::Map(_)) { want(cx, node) } else { cx.scalar(node).map(Want::Is) };
        out.extend(want.map(|want| (key.text.clone(), want)));
    }
    Some(out)
}

fn want(cx: &mut Context, node: &Node) -> Read<Want> {
    let mut f = Fields::of(cx, node, "the expectation")?;
    let chosen = f.exactly_one(cx, "test", &["is", "contains", "exists"]);
    f.finish(cx);
    match chosen? {
        ("exists", node) => cx.boolean(node).map(Want::Exists),
        ("contains", node) => cx.scalar(node).map(Want::Contains),
        (_, node) => cx.scalar(node).map(Want::Is),
    }
}

/// `drill:` of a step: what stands for a script or a request, which a drill never runs.
pub fn stand_in(cx: &mut Context, node: &Node) -> Read<StandIn> {
    let mut f = Fields::of(cx, node, "the stand-in")?;
    let takes_ms = f.maybe(cx, "takes", |cx, n| cx.duration_ms_in(n, 1, TIMEOUT_MS_MAX));
    let prints = f.maybe(cx, "prints", |cx, n| {
        let items = cx.list(n)?;
        Some(items.iter().filter_map(|item| cx.text(item)).collect::<Vec<_>>())
    });
    let exit = f.maybe(cx, "exit", |cx, n| cx.integer(n, 0, 255)).unwrap_or(0);
    let outputs = f.maybe(cx, "outputs", metrics::pairs).unwrap_or_default();
    f.finish(cx);
    Some(StandIn { takes_ms, prints: prints.unwrap_or_default(), exit: i32::try_from(exit).ok()?, outputs })
}

/// Whether the outputs that are used are given by the steps that they are said to be of. `given` are the names that each
/// step gives, by its number.
pub fn check_outputs(cx: &mut Context, given: &[Option<Vec<String>>]) {
    for (at, step, name) in std::mem::take(&mut cx.outputs_used) {
        // A step that is wrong is reported itself.
        let Some(Some(names)) = given.get(step) else { continue };
        if names.contains(&name) {
            continue;
        }
        let help = match value::nearest(&name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "a script or a request names what it gives under `outputs:`, a template too".to_owned(),
            None => format!("it gives {}", names.join(", ")),
        };
        cx.error_help(at, format!("the step gives no output `{}`", show(&name)), Some(help));
    }
}
