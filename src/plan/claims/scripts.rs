//! What the scripts of a plan take for granted: programs, quotas, and the services that they ask by the AWS CLI.

use std::collections::{BTreeMap, BTreeSet};

use super::{Found, Subject, all_steps};
use crate::plan::lint::scripts::{Command, commands, filled};
use crate::plan::{Action, Plan, Script, Step, Undo};

/// The scripts of a step: its own and that of its undo.
pub(super) fn of_step(step: &Step) -> impl Iterator<Item = &Script> {
    let undo = match &step.undo {
        Undo::Script(undo) => Some(&undo.action),
        _ => None,
    };
    std::iter::once(&step.action).chain(undo).filter_map(|action| match action {
        Action::Shell(script) => Some(script),
        _ => None,
    })
}

/// Whether a step is given a secret.
pub(super) fn use_secret(step: &Step, name: &str) -> bool {
    of_step(step).any(|script| script.secrets.iter().any(|secret| secret == name))
}

/// Programs, quotas and services that scripts name.
pub(super) fn look(plan: &Plan, found: &mut Found) {
    for step in all_steps(plan) {
        let by = format!("step {}", step.id);
        for script in of_step(step) {
            found.add(Subject::Program("bash".into()), "", &by);
            let commands = all_commands(script);
            if commands.iter().any(|command| command.aws().is_some()) {
                found.add(Subject::Program("aws".into()), "", &by);
            }
            for (service, region) in services(script, &commands) {
                found.add(Subject::Service(service), &region, &by);
            }
            let Some(region) = value(script, "REGION") else { continue };
            for quota in script.env.iter().flat_map(|(_, value)| quotas(&value.to_string())) {
                found.add(quota, &region, &by);
            }
        }
    }
}

/// The steps whose scripts ask for more of a quota in a region.
#[must_use]
pub fn raisers_of_quota(plan: &Plan, quota: &str, region: &str) -> Vec<String> {
    let is_it = |subject: &Subject| matches!(subject, Subject::Quota(_, code, _) if code == quota);
    let names = |script: &Script| {
        script.text.contains(quota) || script.env.iter().any(|(_, value)| quotas(&value.to_string()).iter().any(is_it))
    };
    let raises = |script: &Script| {
        value(script, "REGION").is_none_or(|of| of == region)
            && names(script)
            && commands(&script.text).iter().any(|c| c.aws() == Some(("service-quotas", "request-service-quota-increase")))
    };
    all_steps(plan).filter(|step| of_step(step).any(raises)).map(|step| step.id.clone()).collect()
}

/// A variable of a script's environment.
fn value(script: &Script, name: &str) -> Option<String> {
    script.env.iter().find(|(of, _)| of == name).map(|(_, value)| value.to_string())
}

/// The commands of a script and of its `done-if`.
pub(super) fn all_commands(script: &Script) -> Vec<Command> {
    let texts = std::iter::once(&script.text).chain(&script.done_if);
    texts.flat_map(|text| commands(text)).collect()
}

/// Quotas as scripts are given them: `service-code:quota-code:at-least`.
fn quotas(text: &str) -> Vec<Subject> {
    let one = |word: &str| {
        let mut parts = word.split(':');
        let (service, code, least) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let good = parts.next().is_none() && code.len() == 10 && code.starts_with("L-");
        good.then(|| Subject::Quota(service.to_owned(), code.to_owned(), least))
    };
    text.split_whitespace().filter_map(one).collect()
}

/// Commands of the CLI whose service has another name in the list of services per region. The others are called alike; where one
/// is not, the list of all services does not know it, and nothing is refuted.
const CALLED: [(&str, &str); 9] = [
    ("bedrock-agent", "bedrock"),
    ("elbv2", "elb"),
    ("keyspaces", "mcs"),
    ("location", "amazonlocationservice"),
    ("macie2", "macie"),
    ("opensearch", "es"),
    ("s3api", "s3"),
    ("sesv2", "ses"),
    ("wafv2", "waf"),
];

/// Commands of the CLI that ask no service of a region.
const NOWHERE: [&str; 16] = [
    "account",
    "budgets",
    "ce",
    "cloudfront",
    "configure",
    "globalaccelerator",
    "health",
    "help",
    "iam",
    "login",
    "organizations",
    "route53",
    "route53domains",
    "shield",
    "sso",
    "support",
];

/// The services that a script asks, each with the region; where the region is known only while it runs it is in no pair.
fn services(script: &Script, commands: &[Command]) -> BTreeSet<(String, String)> {
    let assigned = assigned(script, commands);
    let mut out = BTreeSet::new();
    for command in commands {
        let Some((service, _)) = command.aws().filter(|(service, _)| !NOWHERE.contains(service)) else { continue };
        let service = CALLED.iter().find(|(of, _)| *of == service).map_or(service, |(_, called)| called);
        let regions = match command.option("--region") {
            Some(word) => values(word, script, &assigned),
            None => ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| value(script, name)).into_iter().collect(),
        };
        out.extend(regions.into_iter().filter(|region| is_region(region)).map(|region| (service.to_owned(), region)));
    }
    out
}

/// What a script itself gives its variables, by `NAME=value` and `for NAME in value ...`.
fn assigned(script: &Script, commands: &[Command]) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for command in commands {
        let mut words = command.words.iter().map(String::as_str).peekable();
        while words.next_if(|word| matches!(*word, "export" | "local" | "readonly" | "then" | "do" | "else")).is_some() {}
        if words.next_if_eq(&"for").is_some() {
            let (Some(name), Some("in")) = (words.next(), words.next()) else { continue };
            let values = words.flat_map(|word| filled(word, script).split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            out.entry(name.to_owned()).or_default().extend(values);
            continue;
        }
        for (name, value) in words.map_while(|word| word.split_once('=')) {
            out.entry(name.to_owned()).or_default().insert(filled(value, script));
        }
    }
    out
}

/// What a word may be: as the environment fills it in, or what the script gives the variable that it is.
fn values(word: &str, script: &Script, assigned: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let name = word.strip_prefix('$').map(|name| name.trim_start_matches('{').trim_end_matches('}'));
    let mut out = name.and_then(|name| assigned.get(name)).cloned().unwrap_or_default();
    out.insert(filled(word, script));
    out
}

/// Whether a word is the name of a region, such as `eu-central-1`.
fn is_region(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let Some((number, names)) = parts.split_last() else { return false };
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    names.len() >= 2 && names.iter().all(letters) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}
