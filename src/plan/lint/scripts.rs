//! Lints about what scripts do, and what in them lints of other families look at.
//!
//! A script is read as a shell would begin to: quotes and comments are known, words are told apart. What it does in the end
//! nobody can tell from its text, so only commands that are written out are looked at.

use super::subject::{Applied, Found, Subject};
use super::template::{self, Resource};
use super::{Level, Lint};
use crate::plan::load::Spot;
use crate::plan::{Action, Part, Rollback, Script, Step, Text, Undo};

pub const LINTS: &[Lint] = &[
    Lint {
        name: "disabled-health-check",
        rules: &[1],
        level: Level::Warning,
        line: "A script or a template disables a health check",
        why: "A health check that is disabled counts as always healthy: it fails nothing over, and it stops failing over what it \
              would have. A failover test that disables the check of the side it wants to lose sends everybody there. To make \
              a check fail, invert it; the step `health-check` does, and its undo restores it.",
        wrong: "shell:\n  run: aws route53 update-health-check --health-check-id \"$CHECK\" --disabled",
        right: "health-check: {id: 5f0a1d2c, inverted: true}",
        check: Some(disabled),
    },
    Lint {
        name: "health-check-of-itself",
        rules: &[34],
        level: Level::Warning,
        line: "A health check asks for the name that it guards",
        why: "A health check that asks for the public name goes where DNS sends it, which is what it is to decide. While one side \
              is down it may be answered by the other and call the sick one healthy, or flap between the two. It asks for \
              the address of one side: the custom domain's regional name, or a name that only that side has.",
        wrong: "shell:\n  env: {API: api.example.com}\n  run: aws route53 create-health-check --health-check-config Type=HTTPS,FullyQualifiedDomainName=$API,Port=443",
        right: "shell:\n  env: {TARGET: frankfurt.api.example.com}\n  run: aws route53 create-health-check --health-check-config Type=HTTPS,FullyQualifiedDomainName=$TARGET,Port=443",
        check: Some(of_itself),
    },
    Lint {
        name: "kms-list-keys",
        rules: &[29],
        level: Level::Warning,
        line: "A script takes a key from the list of all keys",
        why: "`kms list-keys` has no order. Its first entry is whichever key the service names first, on another day another \
              one, and what is then encrypted, rotated or deleted is somebody else's. The id of a key comes from the answer to \
              the call that made it, or from an alias.",
        wrong: "shell:\n  run: aws kms list-keys --query 'Keys[0].KeyArn' --output text",
        right: "shell:\n  run: aws kms describe-key --key-id alias/example --query KeyMetadata.Arn --output text",
        check: Some(list_keys),
    },
    Lint {
        name: "script-deletes-data",
        rules: &[23],
        level: Level::Warning,
        line: "A script deletes data or keys in a step that claims a way back",
        why: "A bucket, a table, a database without a last snapshot or a key that is scheduled for deletion does not come back, \
              and a key takes with it whatever was encrypted with it. In a rollback it happens while nobody has time to think; \
              there it has no place at all. In a phase the step is one-way and says so.",
        wrong: "shell:\n  run: aws kms schedule-key-deletion --key-id \"$KEY\" --pending-window-in-days 7\nundo: nothing",
        right: "shell:\n  run: aws kms schedule-key-deletion --key-id \"$KEY\" --pending-window-in-days 30\nundo: {one-way: what the key has encrypted cannot be read any more}",
        check: Some(deletes_data),
    },
    Lint {
        name: "raw-endpoint",
        rules: &[11],
        level: Level::Warning,
        line: "Clients are given the address of one region's API",
        why: "A client that holds `ID.execute-api.REGION.amazonaws.com` asks no name that the plan can move. Setting a secret or \
              an app's configuration to the new region's address sends all of its users there at once, past every weight, and \
              a rollback of the record does not bring them back; an installed app keeps the address for months. First point \
              clients at the custom domain while it still answers from the old region; then the weights mean something.\n\nWhat \
              counts is a literal address in an `edit`, and in scripts that set secrets or configuration an address in their \
              text or environment, also one that comes from the outputs of a stack.",
        wrong: "shell:\n  env: {ENDPOINT: \"${outputs.stack-chime.ApiEndpoint}\"}\n  run: supabase secrets set CHIME_API_ENDPOINT=\"$ENDPOINT\"",
        right: "shell:\n  env: {ENDPOINT: \"https://api.example.com\"}\n  run: supabase secrets set CHIME_API_ENDPOINT=\"$ENDPOINT\"",
        check: Some(raw_endpoint),
    },
];

/// A script of a plan.
pub struct Used<'a> {
    /// The step it is of.
    pub step: &'a Step,
    /// The rollback that the step is of.
    pub rollback: Option<&'a Rollback>,
    /// The script.
    pub script: &'a Script,
    /// Where it is: its `shell` key.
    pub spot: Spot<'a>,
    /// It takes its step back.
    pub is_undo: bool,
}

/// Every script of a plan: those of steps, and those that take steps back.
pub fn all<'a>(of: &Subject<'a>) -> Vec<Used<'a>> {
    let mut out = Vec::new();
    for (step, rollback) in of.every_step() {
        if let Action::Shell(script) = &step.action {
            out.push(Used { step, rollback, script, spot: of.action(step), is_undo: false });
        }
        if let Undo::Script(undo) = &step.undo
            && let Action::Shell(script) = &undo.action
        {
            out.push(Used { step, rollback, script, spot: of.spot(step).key("undo").key("shell"), is_undo: true });
        }
    }
    out
}

/// One command of a script.
pub struct Command {
    /// Where it begins in the text, and how long its first line is.
    pub at: (usize, usize),
    /// Its words without their quotes.
    pub words: Vec<String>,
}

impl Command {
    /// Whether these words follow each other in it.
    pub fn has(&self, words: &[&str]) -> bool {
        self.words.windows(words.len()).any(|window| window.iter().zip(words).all(|(a, b)| a == b))
    }

    /// The value of an option, behind it or after `=`.
    pub fn option(&self, name: &str) -> Option<&str> {
        let at =
            self.words.iter().position(|word| word == name || word.strip_prefix(name).is_some_and(|r| r.starts_with('=')))?;
        match self.words[at].split_once('=') {
            Some((_, value)) => Some(value),
            None => self.words.get(at + 1).map(String::as_str),
        }
    }
}

/// Words that may stand before a command.
const BEFORE: [&str; 13] = ["!", "{", "if", "elif", "while", "until", "then", "do", "else", "time", "exec", "command", "export"];
/// Options of the AWS CLI that stand before the service and have no value.
const FLAGS: [&str; 6] =
    ["--debug", "--no-cli-auto-prompt", "--no-cli-pager", "--no-paginate", "--no-sign-request", "--no-verify-ssl"];

impl Command {
    /// Service and operation where it calls the AWS CLI, such as `kms` and `list-keys`.
    pub fn aws(&self) -> Option<(&str, &str)> {
        let given = |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.starts_with('-'));
        let mut words = self.words.iter().map(String::as_str).skip_while(|word| BEFORE.contains(word) || given(word)).peekable();
        words.next_if_eq(&"aws")?;
        while let Some(option) = words.next_if(|word| word.starts_with("--")) {
            if !option.contains('=') && !FLAGS.contains(&option) {
                words.next();
            }
        }
        let named = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let service = words.next().filter(|word| named(word))?;
        Some((service, words.next().filter(|word| named(word)).unwrap_or_default()))
    }
}

/// The commands of a script.
pub fn commands(text: &str) -> Vec<Command> {
    let mut out = Vec::new();
    let (mut words, mut word, mut start) = (Vec::new(), String::new(), None);
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices().peekable();
    let mut end_command = |words: &mut Vec<String>, start: &mut Option<usize>| {
        if let Some(start) = start.take()
            && !words.is_empty()
        {
            let length = text[start..].find('\n').unwrap_or(text.len() - start);
            // What stands in `$(...)` within quotes is a command as well; outside of them the brackets have told it apart.
            let nested = words.iter().filter_map(|word: &String| word.split_once("$(")).flat_map(|(_, inner)| commands(inner));
            out.extend(nested.map(|command| Command { at: (start, length), ..command }));
            out.push(Command { at: (start, length), words: std::mem::take(words) });
        }
        words.clear();
    };
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some('"') | None, '\\') => match chars.next() {
                // A line that goes on.
                None | Some((_, '\n')) => {}
                Some((_, other)) => word.push(other),
            },
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.push(c),
            (None, '"' | '\'') => {
                start.get_or_insert(at);
                quote = Some(c);
            }
            (None, '#') if word.is_empty() => while chars.next_if(|(_, c)| *c != '\n').is_some() {},
            (None, '\n' | ';' | '|' | '&' | '(' | ')' | '`' | ' ' | '\t' | '\r') => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if !matches!(c, ' ' | '\t' | '\r') {
                    end_command(&mut words, &mut start);
                }
            }
            (None, _) => {
                start.get_or_insert(at);
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    end_command(&mut words, &mut start);
    out
}

/// Tells something of a command of a script: at its line where the script is a file, else where the plan has it.
pub fn tell(found: &mut Found, used: &Used<'_>, command: &Command, message: String, help: &str) {
    match &used.script.path {
        Some(path) => found.in_file(path, &used.script.text, command.at, message, help),
        None => found.at(used.spot.key("run"), message, help),
    }
}

/// Every health check that a template makes: path, text, the check, the parameters of its stack.
fn templates_checks<'a>(of: &Subject<'a>) -> Vec<(Applied<'a>, Resource)> {
    let mut out = Vec::new();
    for applied in of.templates() {
        for check in template::resources(applied.text).into_iter().filter(|r| r.kind == "AWS::Route53::HealthCheck") {
            out.push((applied.clone(), check));
        }
    }
    out
}

fn disabled(of: &Subject<'_>, found: &mut Found) {
    for (applied, check) in templates_checks(of) {
        if check.values("Disabled", &applied.parameters).iter().any(|said| said == "true") {
            let message = format!("{} is disabled, so it counts as healthy whatever happens", check.id);
            found.in_file(applied.path, applied.text, check.at, message, "remove `Disabled`; to make it fail, invert it");
        }
    }
    for used in all(of) {
        for command in commands(&used.script.text) {
            let named = command.has(&["route53", "update-health-check"]) || command.has(&["route53", "create-health-check"]);
            let off = |word: &String| {
                let word = word.replace([' ', '\n'], "").to_lowercase();
                word == "--disabled" || word.contains("\"disabled\":true") || word.contains("disabled=true")
            };
            if named && command.words.iter().any(off) {
                let message = format!("`{}` disables a health check, which then counts as healthy", used.step.id);
                tell(found, &used, &command, message, "to make it fail, invert it with a `health-check` step");
            }
        }
    }
}

/// A word of a script with the variables of its environment filled in.
pub fn filled(word: &str, script: &Script) -> String {
    let mut out = word.to_owned();
    // The longest names first: `$API_ZONE` is not `$API` with something behind it.
    let mut env: Vec<&(String, Text)> = script.env.iter().collect();
    env.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, value) in env {
        let value = value.to_string();
        out = out.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value);
    }
    out
}

/// A change of a stack's termination protection.
pub struct Protection {
    /// Region; empty where the command names none.
    pub region: String,
    /// Name of the stack.
    pub stack: String,
    /// It is switched on, and not off.
    pub on: bool,
}

/// What a script does to the termination protection of stacks, in its order.
pub fn protections(script: &Script) -> Vec<Protection> {
    let mut out = Vec::new();
    for command in commands(&script.text) {
        let on = command.has(&["--enable-termination-protection"]);
        if command.has(&["cloudformation"]) && (on || command.has(&["--no-enable-termination-protection"])) {
            let option = |name: &str| command.option(name).map(|word| filled(word, script)).unwrap_or_default();
            out.push(Protection { region: option("--region"), stack: option("--stack-name"), on });
        }
    }
    out
}

impl Protection {
    /// Whether it is about this stack.
    pub fn is_of(&self, region: &str, stack: &str) -> bool {
        self.stack == stack && (self.region.is_empty() || self.region == region)
    }
}

fn of_itself(of: &Subject<'_>, found: &mut Found) {
    let mut guarded: Vec<&str> = of.plan.traffic.iter().map(|traffic| traffic.record.as_str()).collect();
    guarded.extend(of.records().into_iter().filter(|(_, r, _)| r.health_check.is_some()).map(|(_, r, _)| r.name.as_str()));
    for (applied, check) in templates_checks(of) {
        let asks = check.values("FullyQualifiedDomainName", &applied.parameters);
        if let Some(name) = asks.iter().find(|name| guarded.contains(&name.to_lowercase().trim_end_matches('.'))) {
            let message = format!("{} asks for `{name}`, whose record it is to decide about", check.id);
            found.in_file(applied.path, applied.text, check.at, message, "ask for a name that only this side has");
        }
    }
    for used in all(of) {
        for command in commands(&used.script.text) {
            if !command.has(&["route53", "create-health-check"]) && !command.has(&["route53", "update-health-check"]) {
                continue;
            }
            let asks = command.words.iter().find_map(|word| {
                let word = filled(word, used.script);
                let (_, rest) =
                    word.split_once("FullyQualifiedDomainName").or_else(|| word.split_once("--fully-qualified-domain-name"))?;
                let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "\"=:'".contains(c));
                let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
                Some(name.to_lowercase())
            });
            let asks = asks.filter(|name| !name.is_empty());
            let asks = asks.or_else(|| command.option("--fully-qualified-domain-name").map(|name| filled(name, used.script)));
            if let Some(name) = asks.filter(|name| guarded.contains(&name.as_str())) {
                let message = format!("the health check asks for `{name}`, whose record it is to decide about");
                tell(found, &used, &command, message, "ask for a name that only this side has");
            }
        }
    }
}

fn list_keys(of: &Subject<'_>, found: &mut Found) {
    for used in all(of) {
        for command in commands(&used.script.text).iter().filter(|command| command.has(&["kms", "list-keys"])) {
            let message = format!("`{}` takes a key from a list that has no order", used.step.id);
            tell(found, &used, command, message, "take the id from the answer to `create-key`, or name an alias");
        }
    }
}

/// What a command deletes that does not come back.
fn deleted(command: &Command) -> Option<&'static str> {
    let has = |words: &[&str]| command.has(words);
    if has(&["kms", "schedule-key-deletion"]) {
        Some("a key, and with it whatever it has encrypted")
    } else if has(&["s3", "rb"]) || has(&["s3api", "delete-bucket"]) || has(&["s3", "rm"]) && has(&["--recursive"]) {
        Some("a bucket or what is in it")
    } else if has(&["dynamodb", "delete-table"]) {
        Some("a table")
    } else if (has(&["rds", "delete-db-instance"]) || has(&["rds", "delete-db-cluster"]))
        && !has(&["--final-db-snapshot-identifier"])
    {
        Some("a database without a last snapshot")
    } else {
        None
    }
}

fn deletes_data(of: &Subject<'_>, found: &mut Found) {
    for used in all(of) {
        // What takes a step back may delete what that step has made, and nobody has written to since.
        let allowed = used.rollback.is_none() && (used.is_undo || matches!(used.step.undo, Undo::OneWay(_)));
        for command in commands(&used.script.text) {
            if let Some(what) = deleted(&command).filter(|_| !allowed) {
                let message = format!("`{}` deletes {what}", used.step.id);
                let help =
                    if used.rollback.is_some() { "leave it for after the incident" } else { "write `undo: {one-way: ...}`" };
                tell(found, &used, &command, message, help);
            }
        }
    }
}

/// The default host of an API in a text.
fn raw_host(text: &str) -> Option<String> {
    let host = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    text.match_indices(".execute-api.").find_map(|(at, _)| {
        let id: String = text[..at].chars().rev().take_while(char::is_ascii_alphanumeric).collect();
        let id: String = id.chars().rev().collect();
        // A custom domain's regional name begins with `d-`.
        let custom = text[..at - id.len()].ends_with("d-");
        let rest: String = text[at..].chars().take_while(|c| host(*c)).collect();
        (!id.is_empty() && !custom).then(|| format!("{id}{rest}"))
    })
}

/// The first address of one region's API in a text, written out or given by a stack.
fn raw(of: &Subject<'_>, text: &Text) -> Option<String> {
    text.0.iter().find_map(|part| match part {
        Part::Plain(text) => raw_host(text),
        Part::Output { step, name } => {
            let Action::Stack(stack) = &of.plan.steps.get(of.plan.step_named(step)?)?.action else { return None };
            let applied = of.templates();
            let template = applied.iter().find(|a| a.name == stack.name && a.region == stack.region)?;
            template::output(template.text, name)
                .filter(|value| value.contains("execute-api"))
                .map(|_| format!("the output {name} of `{step}`"))
        }
        Part::Secret(_) => None,
    })
}

/// Commands that give clients a value.
const PUBLISHES: [&[&str]; 6] = [
    &["secrets", "set"],
    &["functions:config:set"],
    &["functions:secrets:set"],
    &["ssm", "put-parameter"],
    &["secretsmanager", "put-secret-value"],
    &["secretsmanager", "update-secret"],
];

fn raw_endpoint(of: &Subject<'_>, found: &mut Found) {
    let help = "give clients the custom domain, whose record the plan moves";
    for used in all(of).into_iter().filter(|used| !used.is_undo && used.rollback.is_none()) {
        let commands = commands(&used.script.text);
        let mut publishing = commands.iter().filter(|command| PUBLISHES.iter().any(|words| command.has(words)));
        if publishing.clone().next().is_none() {
            continue;
        }
        for (name, value) in &used.script.env {
            if let Some(raw) = raw(of, value) {
                let message = format!("`{}` gives clients the address of one region's API: {raw}", used.step.id);
                found.at(used.spot.key("env").key(name), message, help);
            }
        }
        if let Some((command, host)) = publishing.find_map(|c| Some((c, c.words.iter().find_map(|word| raw_host(word))?))) {
            let message = format!("`{}` gives clients the address of one region's API: {host}", used.step.id);
            tell(found, &used, command, message, help);
        }
    }
    for (step, _) in of.every_step().filter(|(_, rollback)| rollback.is_none()) {
        let Action::Edit(edit) = &step.action else { continue };
        for (change, spot) in edit.changes.iter().zip(of.action(step).key("changes").items()) {
            let host = change.with.0.iter().find_map(|part| match part {
                Part::Plain(text) => raw_host(text),
                _ => None,
            });
            // What stays as it was is not given to anybody anew.
            if let Some(host) = host.filter(|host| !change.replace.contains(host)) {
                let message = format!("`{}` gives clients the address of one region's API: {host}", step.id);
                found.at(spot.key("with"), message, help);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart_as_a_shell_would() {
        let text =
            "# aws kms list-keys\nKEY=$(aws kms list-keys \\\n  --query 'Keys[0] # no comment')\necho \"a; b\" | cat && true\n";
        let words: Vec<Vec<String>> = commands(text).into_iter().map(|command| command.words).collect();
        let expected: [&[&str]; 5] =
            [&["KEY=$"], &["aws", "kms", "list-keys", "--query", "Keys[0] # no comment"], &["echo", "a; b"], &["cat"], &["true"]];
        assert_eq!(words, expected.map(|words| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()));
        let found = commands(text);
        assert_eq!(found[1].option("--query"), Some("Keys[0] # no comment"));
        assert!(text[found[1].at.0..].starts_with("aws kms"));
        assert!(commands("x=\"$(aws kms list-keys)\"").iter().any(|command| command.has(&["kms", "list-keys"])));
        let aws = |text: &str| commands(text).iter().find_map(|c| c.aws().map(|(a, b)| (a.to_owned(), b.to_owned())));
        for text in [
            "if ! aws kms list-keys",
            "PAGER= aws --region eu-west-1 --no-cli-pager kms list-keys",
            "x=$(aws --region=eu-west-1 kms list-keys)",
            "[ \"$(aws kms list-keys)\" = x ]",
        ] {
            assert_eq!(aws(text), Some(("kms".into(), "list-keys".into())), "{text}");
        }
        for text in ["echo aws kms list-keys", "echo 'aws kms list-keys'", "# aws kms list-keys", "awscli kms", "aws $service x"]
        {
            assert_eq!(aws(text), None, "{text}");
        }
        assert!(commands("").is_empty() && commands("# x").is_empty() && commands("'unclosed").len() == 1);
    }

    #[test]
    fn hosts_of_one_region_are_found() {
        assert_eq!(
            raw_host("https://abc123.execute-api.eu-west-1.amazonaws.com/Dev"),
            Some("abc123.execute-api.eu-west-1.amazonaws.com".into())
        );
        assert_eq!(raw_host("d-abc123.execute-api.eu-west-1.amazonaws.com:443"), None);
        assert_eq!(raw_host("arn:aws:execute-api:eu-west-1"), None);
    }
}
