//! One rollback as a script: bash and the AWS CLI, nothing else.

use serde_json::{Value, json};

use super::{Does, Facts, Part, kind, line, plain};
use crate::cloud::Call;
use crate::plan::{Plan, RecordSet, Rollback};

/// Ends a heredoc. JSON in lines of its own never has a line like it.
const END: &str = "JSON";

/// The script.
pub(super) fn script(plan: &Plan, facts: &Facts, rollback: &Rollback, parts: &[Part]) -> String {
    let mut out = String::new();
    line(&mut out, &format!("# Rollback {} of {} {}: {}", rollback.name, kind(facts), facts.run, plain(&rollback.title)));
    line(&mut out, "set -eu");
    line(&mut out, "export AWS_PAGER=''");
    // Only who one is is asked for there; version 1 of the CLI does not know AWS_REGION.
    line(&mut out, &format!("export AWS_DEFAULT_REGION=\"${{AWS_DEFAULT_REGION:-${{AWS_REGION:-{}}}}}\"", rollback.to));
    line(&mut out, r#"say() { printf '%s\n' "$*" >&2; }"#);
    if facts.drill {
        line(&mut out, "say 'this is the runbook of a drill: nothing real stands as it says'");
        line(&mut out, "exit 2");
    }
    line(&mut out, "confirm() {");
    line(&mut out, r#"  say "$1""#);
    line(&mut out, "  printf 'type yes to go on: ' >&2");
    line(&mut out, "  answer=''");
    line(&mut out, "  read -r answer || true");
    line(&mut out, r#"  [ "$answer" = yes ] || { say 'stopped here'; exit 4; }"#);
    line(&mut out, "}");
    line(&mut out, "account=$(aws sts get-caller-identity --query Account --output text)");
    line(
        &mut out,
        &format!(
            r#"[ "$account" = {0} ] || {{ say "these are credentials of account $account, and not of "{0}; exit 7; }}"#,
            quoted(&plan.account)
        ),
    );
    line(&mut out, "dir=$(mktemp -d)");
    line(&mut out, r#"say "the batches are in $dir""#);
    let mut batch = 0;
    for part in parts {
        line(&mut out, "");
        line(&mut out, &format!("# {}. {}", part.number, plain(&part.title)));
        line(&mut out, &format!("say {}", quoted(&format!("{}. {}", part.number, plain(&part.title)))));
        for proof in &part.proof {
            line(&mut out, &format!("confirm {}", quoted(&format!("before this it must be so: {proof}. Is it?"))));
        }
        match &part.does {
            Does::ByHand(items) => {
                for item in items {
                    line(&mut out, &format!("confirm {}", quoted(&format!("by hand: {}. Done?", plain(item)))));
                }
            }
            Does::Calls(calls) => {
                for call in calls {
                    batch += 1;
                    out.push_str(&commands(facts, call, &format!("{}-{batch}.json", rollback.name)));
                }
            }
        }
        for verify in &part.verify {
            line(&mut out, &format!("say {}", quoted(&format!("now it must be so: {verify}"))));
        }
    }
    line(&mut out, "");
    line(&mut out, &format!("say {}", quoted(&format!("rollback {} is done", rollback.name))));
    out
}

/// The commands of one call.
fn commands(facts: &Facts, call: &Call, file: &str) -> String {
    let mut out = String::new();
    match call {
        Call::ChangeRecords { zone, delete, create } => {
            let zone = quoted(zone);
            line(&mut out, &format!("cat > \"$dir\"/{} <<'{END}'", quoted(file)));
            line(&mut out, &serde_json::to_string_pretty(&change_batch(facts, delete, create)).unwrap_or_default());
            line(&mut out, END);
            line(
                &mut out,
                &format!(
                    "change=$(aws route53 change-resource-record-sets --hosted-zone-id {zone} \
                     --change-batch \"file://$dir/\"{} --query ChangeInfo.Id --output text)",
                    quoted(file)
                ),
            );
            line(&mut out, r#"say "accepted as $change; waiting until every server of the zone has it""#);
            line(&mut out, r#"aws route53 wait resource-record-sets-changed --id "$change""#);
            let mut names: Vec<&str> = delete.iter().chain(create).map(|r| r.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                line(
                    &mut out,
                    &format!("aws route53 list-resource-record-sets --hosted-zone-id {zone} {} --output json", filter(name)),
                );
            }
        }
        Call::UpdateHealthCheck { id, version, inverted } => {
            let flag = if *inverted { "--inverted" } else { "--no-inverted" };
            line(
                &mut out,
                &format!(
                    "aws route53 update-health-check --health-check-id {} --health-check-version {version} {flag} --output json",
                    quoted(id)
                ),
            );
        }
        Call::PutMetric { region, namespace, metric, dimensions, value } => {
            let dimensions: Vec<Value> = dimensions.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
            let point = json!([{ "MetricName": metric, "Dimensions": dimensions, "Value": decimal(*value) }]);
            line(
                &mut out,
                &format!(
                    "aws cloudwatch put-metric-data --region {} --namespace {} --metric-data {}",
                    quoted(region),
                    quoted(namespace),
                    quoted(&point.to_string())
                ),
            );
        }
        Call::DeleteStack { region, stack } => {
            let (region, stack) = (quoted(region), quoted(stack));
            line(&mut out, &format!("confirm \"delete the stack \"{stack}\" in \"{region}\"?\""));
            line(&mut out, &format!("aws cloudformation delete-stack --region {region} --stack-name {stack}"));
            line(&mut out, &format!("aws cloudformation wait stack-delete-complete --region {region} --stack-name {stack}"));
        }
        Call::EditFile { file, splices, .. } => {
            for splice in splices {
                let (old, new) = (splice.old.escape_debug(), splice.new.escape_debug());
                let text = format!("in the file {file}, replace \"{old}\" by \"{new}\": done?");
                line(&mut out, &format!("confirm {}", quoted(&text)));
            }
        }
        // No rollback makes these by itself; a part that needs one is done by hand.
        Call::CreateChangeSet { .. } | Call::ExecuteChangeSet { .. } | Call::RunScript { .. } | Call::MakeRequest { .. } => {
            line(&mut out, "exit 4");
        }
    }
    out
}

fn change_batch(facts: &Facts, delete: &[RecordSet], create: &[RecordSet]) -> Value {
    let change = |action: &str, record: &RecordSet| json!({ "Action": action, "ResourceRecordSet": record_set(record) });
    let changes: Vec<Value> =
        delete.iter().map(|r| change("DELETE", r)).chain(create.iter().map(|r| change("CREATE", r))).collect();
    json!({ "Comment": format!("cutover runbook of {}", facts.run), "Changes": changes })
}

/// A record set with every field that it has, and no other: a field left out would be lost.
fn record_set(record: &RecordSet) -> Value {
    let mut set = json!({ "Name": format!("{}.", record.name), "Type": record.kind });
    if let Some(identifier) = &record.set {
        set["SetIdentifier"] = json!(identifier);
    }
    if let Some(weight) = record.weight {
        set["Weight"] = json!(weight);
    }
    if let Some(ttl) = record.ttl {
        set["TTL"] = json!(ttl);
    }
    if !record.values.is_empty() {
        set["ResourceRecords"] = record.values.iter().map(|value| json!({ "Value": value })).collect();
    }
    if let Some(alias) = &record.alias {
        set["AliasTarget"] = json!({
            "HostedZoneId": alias.zone,
            "DNSName": format!("{}.", alias.name),
            "EvaluateTargetHealth": alias.evaluate_health,
        });
    }
    if let Some(check) = &record.health_check {
        set["HealthCheckId"] = json!(check);
    }
    set
}

/// Asks for the record sets of one name. Route 53 writes an asterisk as `\052`.
fn filter(name: &str) -> String {
    let name = name.replace('*', "\\052");
    // A name with anything else in it is looked for by eye.
    let simple = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '\\'));
    if simple { format!("--query \"ResourceRecordSets[?Name=='{name}.']\"") } else { String::new() }
}

/// A value in millionths as a JSON number.
fn decimal(micros: i64) -> Value {
    if micros % 1_000_000 == 0 {
        return json!(micros / 1_000_000);
    }
    let sign = if micros < 0 { "-" } else { "" };
    let digits = format!("{sign}{}.{:06}", micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    serde_json::from_str(digits.trim_end_matches('0')).unwrap_or_default()
}

/// A text as one word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", plain(text).replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_shell_stay_words() {
        assert_eq!(quoted("it's $HOME\n`x`"), r"'it'\''s $HOME `x`'");
        assert_eq!(filter("*.example.com"), "--query \"ResourceRecordSets[?Name=='\\052.example.com.']\"");
        assert_eq!(filter("a$b.example.com"), "");
        let numbers: Vec<String> = [1_000_000, 0, -500_000, 1_250_000].into_iter().map(|n| decimal(n).to_string()).collect();
        assert_eq!(numbers, ["1", "0", "-0.5", "1.25"]);
    }
}
