//! Whether the caller may do what the plan does: by a simulation of the caller's policies, which is a reading call.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Row, Survey, plain};
use crate::plan::ROUTE53_REGION;
use crate::plan::claims::Verdict;
use crate::plan::claims::permissions::{Evaluated, Family, Needs, Principal, judge, needs, principal};

/// Actions in one simulation.
const ACTIONS_MAX: usize = 100;
/// What is said of the caller, whatever the simulation answers.
const UNSEEN: &str = "simulated from the policies of the identity: conditions of a call and policies of resources and of the \
                      session are not seen, and what templates make is not among it";

impl Survey<'_> {
    /// A line for each action that the plan needs, and one for the caller.
    pub(super) async fn permissions(&self, identity: &str) -> Vec<Row> {
        let row = |verdict, kind, what: &str, why: &str, by: &BTreeSet<String>| Row {
            verdict,
            kind,
            what: plain(what),
            region: String::new(),
            why: plain(why),
            named_by: by.iter().cloned().collect(),
        };
        let caller = |why: &str| row(Verdict::NotProved, "permissions", identity, why, &BTreeSet::new());
        let needs = needs(self.plan);
        let who = match principal(identity) {
            _ if needs.is_empty() => return vec![caller("the plan asks the account for nothing")],
            Principal::None(why) => return vec![caller(why)],
            Principal::Arn(arn) => arn,
            Principal::Role(name, arn) => self.role(&name).await.unwrap_or(arn),
        };
        let mut rows = Vec::new();
        for family in [Family::Route53, Family::CloudFormation, Family::Whole, Family::Scripts] {
            let answers = self.in_time(self.simulated(&who, family, &needs)).await;
            for ((of, action), need) in needs.iter().filter(|((of, _), _)| *of == family) {
                let (verdict, why) = match &answers {
                    Ok(answers) => judge(*of, action, need, answers),
                    Err(why) => (Verdict::NotProved, why.clone()),
                };
                rows.push(row(verdict, "permission", action, &why, &need.named_by));
            }
        }
        rows.push(caller(UNSEEN));
        rows
    }

    /// The ARN of a role with its path.
    async fn role(&self, name: &str) -> Option<String> {
        let asked = async {
            self.ask(&["iam", "get-role", "--region", ROUTE53_REGION, "--role-name", name]).await.map_err(|why| why.message)
        };
        let answer = self.in_time(asked).await.ok()?;
        answer.pointer("/Role/Arn").and_then(Value::as_str).map(str::to_owned)
    }

    /// What a simulation says of the needs of one family.
    async fn simulated(&self, who: &str, family: Family, needs: &Needs) -> Result<Vec<Evaluated>, String> {
        let of: Vec<_> = needs.iter().filter(|((of, _), _)| *of == family).collect();
        let mut out = Vec::new();
        for some in of.chunks(ACTIONS_MAX) {
            // IAM is of no region either, and has its one endpoint where Route 53 has its own.
            let mut arguments = vec![
                "iam",
                "simulate-principal-policy",
                "--region",
                ROUTE53_REGION,
                "--policy-source-arn",
                who,
                "--action-names",
            ];
            arguments.extend(some.iter().map(|((_, action), _)| action.as_str()));
            arguments.push("--resource-arns");
            let resources: BTreeSet<&str> = some.iter().flat_map(|(_, need)| &need.resources).map(String::as_str).collect();
            arguments.extend(&resources);
            out.extend(read(&self.ask(&arguments).await.map_err(|why| why.message)?, &resources));
        }
        Ok(out)
    }
}

/// The answers of a simulation. Each action has one, with a list for the resources that were asked for; the name of a resource
/// above that list is a pattern of the service's and none of these. With a single resource the list may be missing.
fn read(answer: &Value, resources: &BTreeSet<&str>) -> Vec<Evaluated> {
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let missing =
        |of: &Value| list(of, "MissingContextValues").iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
    let denied = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_bool) == Some(false);
    let only = resources.first().filter(|_| resources.len() == 1);
    let mut out = Vec::new();
    for result in list(answer, "EvaluationResults") {
        let one = |of: &Value, decision: &str| Evaluated {
            action: text(&result, "EvalActionName"),
            resource: only.map_or_else(|| text(of, "EvalResourceName"), |only| (*only).to_owned()),
            decision: text(of, decision),
            missing: missing(of),
            by_organisation: denied(&result, "/OrganizationsDecisionDetail/AllowedByOrganizations"),
            by_boundary: denied(of, "/PermissionsBoundaryDecisionDetail/AllowedByPermissionsBoundary"),
        };
        let specific = list(&result, "ResourceSpecificResults");
        out.extend(specific.iter().map(|of| one(of, "EvalResourceDecision")));
        if specific.is_empty() {
            out.push(one(&result, "EvalDecision"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read_with_and_without_a_list_for_each_resource() {
        let told = |answer: &Value, resources: &[&str]| -> Vec<(String, String, usize, bool, bool)> {
            let read = read(answer, &resources.iter().copied().collect());
            read.into_iter().map(|e| (e.resource, e.decision, e.missing.len(), e.by_organisation, e.by_boundary)).collect()
        };
        let several = json!({"EvaluationResults": [
            {"EvalActionName": "route53:GetChange", "EvalResourceName": "arn:${Partition}:route53:::change/${Id}",
             "EvalDecision": "explicitDeny", "ResourceSpecificResults": [
                {"EvalResourceName": "a", "EvalResourceDecision": "allowed"},
                {"EvalResourceName": "b", "EvalResourceDecision": "implicitDeny", "MissingContextValues": ["aws:SourceIp"],
                 "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": false}},
             ]},
        ]});
        let (allowed, denied) = (|| "allowed".to_owned(), || "implicitDeny".to_owned());
        assert_eq!(
            told(&several, &["a", "b"]),
            [("a".to_owned(), allowed(), 0, false, false), ("b".to_owned(), denied(), 1, false, true),]
        );
        let single = json!({"EvaluationResults": [
            {"EvalActionName": "kms:ListAliases", "EvalResourceName": "arn:${Partition}:kms:${Region}", "EvalDecision": "allowed",
             "OrganizationsDecisionDetail": {"AllowedByOrganizations": true}},
            {"EvalActionName": "kms:ListKeys", "EvalResourceName": "*", "EvalDecision": "implicitDeny",
             "OrganizationsDecisionDetail": {"AllowedByOrganizations": false}},
        ]});
        assert_eq!(
            told(&single, &["*"]),
            [("*".to_owned(), allowed(), 0, false, false), ("*".to_owned(), denied(), 0, true, false),]
        );
    }
}
