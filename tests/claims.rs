//! What a plan takes for granted about its account, from the plan alone, and what an answer means.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use cutover::plan::claims::judge::{CheckSeen, StackSeen, health_check, quota, records, service, stack};
use cutover::plan::claims::permissions::{Evaluated, Family, Need, Principal, judge as permission, needs, principal};
use cutover::plan::claims::scripts::raisers_of_quota;
use cutover::plan::claims::{Claim, First, Siblings, Subject, Verdict, all_steps, claims, switch_of};
use cutover::plan::{Action, Plan, RecordSet};

fn medzen() -> Plan {
    cutover::builtin::find("medzen").unwrap_or_else(|_| panic!("medzen is a plan")).plan
}

fn about(claims: &[Claim], wanted: impl Fn(&Subject) -> bool) -> Vec<&Claim> {
    claims.iter().filter(|claim| wanted(&claim.about)).collect()
}

fn siblings(plan: &Plan, name: &str) -> Siblings {
    let found = claims(plan).into_iter().find_map(|claim| match claim.about {
        Subject::Records(of) if of.name == name => Some(of),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_stack_is_expected_as_its_first_step_finds_it() {
    let claims = claims(&medzen());
    let first = |name: &str| {
        let found = about(&claims, |about| matches!(about, Subject::Stack(of, ..) if of == name));
        assert_eq!(found.len(), 1, "{name}");
        let Subject::Stack(_, first, _) = &found[0].about else { panic!("a stack") };
        (first.clone(), found[0].region.clone())
    };
    assert_eq!(first("medzen-chime-sdk-eu-west-1"), (First::Watched, "eu-west-1".to_owned()));
    let frankfurt = about(&claims, |about| matches!(about, Subject::Stack(_, First::Applied(step), _) if step == "stack-chime"));
    // A rollback deletes it too, but only after it was made; and a monitor watches it.
    assert_eq!(frankfurt.len(), 1);
    assert!(frankfurt[0].named_by.contains("step full/full-delete-chime"), "{:?}", frankfurt[0].named_by);
    assert!(frankfurt[0].named_by.contains("monitor chime-frankfurt"), "{:?}", frankfurt[0].named_by);
    // Every stack step has its template looked at.
    assert!(about(&claims, |about| matches!(about, Subject::Template(..))).len() >= 6);
}

#[test]
fn a_status_is_judged_by_what_the_plan_does_first() {
    let applied = First::Applied("make".into());
    let deleted = First::Deleted("drop".into());
    for (first, status, verdict, word) in [
        (&applied, None, Verdict::Proved, "not there yet, step make creates it"),
        (&applied, Some("CREATE_COMPLETE"), Verdict::Proved, "step make updates it"),
        (&applied, Some("ROLLBACK_COMPLETE"), Verdict::Refuted, "cannot change it"),
        (&applied, Some("UPDATE_IN_PROGRESS"), Verdict::Refuted, "cannot change it"),
        (&deleted, None, Verdict::Refuted, "step drop deletes it"),
        (&deleted, Some("ROLLBACK_COMPLETE"), Verdict::Proved, "step drop deletes it"),
        (&First::Watched, None, Verdict::Refuted, "no step creates it"),
        (&First::Watched, Some("DELETE_FAILED"), Verdict::Refuted, "not usable"),
        (&First::WatchedAbsent, None, Verdict::Proved, "as its conditions want it"),
    ] {
        let seen = status.map(|status| StackSeen { status: status.into(), protected: false });
        let (judged, why) = stack(first, None, seen.as_ref());
        assert_eq!(judged, verdict, "{first:?} {status:?}: {why}");
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn records_that_an_earlier_step_makes_need_not_be_there() {
    let plan = medzen();
    let europe = siblings(&plan, "eu.api.medzenhealth.app");
    assert_eq!(europe.needed, [].into());
    assert_eq!(europe.made.get(&None).map(String::as_str), Some("europe-record"));
    assert_eq!(europe.made.get(&Some("eu-central-1-primary".into())).map(String::as_str), Some("weights-zero"));
    assert_eq!(records(&europe, &[]).0, Verdict::Proved);
}

#[test]
fn a_protected_stack_is_refuted_where_a_step_deletes_it() {
    let applied = First::Applied("make".into());
    let deleted = First::Deleted("drop".into());
    let seen = |status: &str, protected| StackSeen { status: status.into(), protected };
    let (verdict, why) = stack(&applied, Some("drop"), Some(&seen("CREATE_COMPLETE", true)));
    assert_eq!(verdict, Verdict::Refuted, "{why}");
    assert!(why.contains("step drop cannot delete it") && why.contains("--no-enable-termination-protection"), "{why}");
    // Whatever else is wrong with it is told as well.
    let (_, why) = stack(&applied, Some("drop"), Some(&seen("ROLLBACK_COMPLETE", true)));
    assert!(why.contains("cannot change it like that; its termination protection is on"), "{why}");
    assert_eq!(stack(&deleted, Some("drop"), Some(&seen("CREATE_COMPLETE", false))).0, Verdict::Proved);
    // Nobody deletes it, or a script takes the protection off before.
    assert_eq!(stack(&applied, None, Some(&seen("CREATE_COMPLETE", true))).0, Verdict::Proved);
    assert_eq!(stack(&deleted, None, Some(&seen("CREATE_COMPLETE", true))).0, Verdict::Proved);
}

/// A plan of one phase with these steps, and a rollback with those.
fn plan(steps: &str, rollback: &str) -> Plan {
    let indented = |text: &str, by: usize| {
        let lines = text.trim().lines().map(|line| format!("{}{}", " ".repeat(by), line.trim_end()));
        lines.collect::<Vec<_>>().join("\n")
    };
    let text = format!(
        "cutover: 1\nname: small\ntitle: A small plan\naccount: \"558069890522\"\ndays: 1\nregions:\n  eu-west-1: {{role: source}}\n  \
         eu-central-1: {{role: primary}}\nobjectives: {{availability: 99.9%, rto: 10m, rpo: 15m}}\nphases:\n  - id: move\n    \
         title: Move\n    days: 1\n    steps:\n{}\nrollbacks:\n  back:\n    title: Back\n    key: 1\n    to: eu-west-1\n    \
         restores: all\n    steps:\n{}\n",
        indented(steps, 6),
        indented(rollback, 6),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.yaml");
    std::fs::write(&path, text).unwrap();
    match cutover::plan::load::load_path(&path) {
        Ok(loaded) => loaded.plan,
        Err(problems) => panic!("{problems}"),
    }
}

const DELETE: &str = "- {id: drop, title: Drop it, stack: {name: app, region: eu-central-1, delete: true}}";
const UNPROTECT: &str = r#"
- id: unprotect
  title: Take the protection off
  shell: {run: "aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name app --region eu-central-1"}
"#;

#[test]
fn a_script_of_the_same_sequence_takes_the_protection_off() {
    let approve = "- {id: begin, title: Begin, approve: {what: it begins}}";
    let deleted_by = |steps: &str, rollback: &str| {
        let found = claims(&plan(steps, rollback)).into_iter().find_map(|claim| match claim.about {
            Subject::Stack(_, _, by) => Some(by),
            _ => None,
        });
        found.unwrap()
    };
    let undone = format!("{}  undo: nothing\n", UNPROTECT.trim_start());
    assert_eq!(deleted_by(approve, DELETE).as_deref(), Some("back/drop"));
    assert_eq!(deleted_by(approve, &format!("{}{DELETE}", UNPROTECT.trim_start())), None);
    // The rollback may come before the phase's step.
    assert_eq!(deleted_by(&undone, DELETE).as_deref(), Some("back/drop"));
    let another = UNPROTECT.replace("eu-central-1", "eu-west-1");
    assert_eq!(deleted_by(approve, &format!("{}{DELETE}", another.trim_start())).as_deref(), Some("back/drop"));
}

#[test]
fn services_are_known_from_the_commands_of_scripts() {
    let steps = r#"
- id: ask
  title: Ask
  shell:
    env: {REGION: eu-west-1, REGIONS: eu-west-2 eu-west-3}
    run: |
      text=$(aws comprehendmedical detect-entities-v2 --region "$REGION" --text x)
      # aws kms list-keys --region eu-west-1
      aws route53 list-hosted-zones --region us-east-1
      aws s3api list-buckets --region ${REGION}
      for r in $REGIONS; do aws elbv2 describe-load-balancers --region "$r"; done
      OTHER=af-south-1
      if ! aws --region "$OTHER" --no-cli-pager bedrock-runtime invoke-model; then exit 1; fi
      echo aws lambda list-functions --region eu-west-1
      aws translate list-languages --region "$1"
      aws sqs list-queues
  undo: nothing
- id: elsewhere
  title: Ask elsewhere
  shell:
    env: {AWS_REGION: eu-south-1}
    run: aws sns list-topics
    done-if: aws sqs list-queues --region eu-west-1
  undo: nothing
"#;
    let claims = claims(&plan(steps, "- {id: begin, title: Begin, approve: {what: it begins}}"));
    let named = about(&claims, |about| matches!(about, Subject::Service(_))).into_iter().map(|claim| {
        let Subject::Service(name) = &claim.about else { panic!("a service") };
        format!("{name} {} {}", claim.region, claim.named_by.iter().next().unwrap())
    });
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            "bedrock-runtime af-south-1 step ask",
            "comprehendmedical eu-west-1 step ask",
            "elb eu-west-2 step ask",
            "elb eu-west-3 step ask",
            "s3 eu-west-1 step ask",
            "sns eu-south-1 step elsewhere",
            "sqs eu-west-1 step elsewhere",
        ]
    );
}

#[test]
fn a_service_is_refuted_only_where_another_region_has_it() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (here, all) = (names(&["s3", "kms"]), names(&["s3", "kms", "comprehendmedical"]));
    assert_eq!(service("kms", &here, &[]).0, Verdict::Proved);
    assert_eq!(service("comprehendmedical", &here, &all).0, Verdict::Refuted);
    assert_eq!(service("elbv3", &here, &all).0, Verdict::NotProved);
    assert_eq!(service("kms", &[], &all).0, Verdict::NotProved);
}

#[test]
fn a_quota_that_is_too_small_is_refuted_where_no_step_asks_for_more() {
    assert_eq!(quota(100.0, 100, &[]).0, Verdict::Proved);
    assert_eq!(quota(6.0, 100, &[]).0, Verdict::Refuted);
    assert_eq!(quota(6.0, 100, &["more".into()]).0, Verdict::NotProved);
    let plan = medzen();
    assert_eq!(raisers_of_quota(&plan, "L-3032A538", "eu-central-1"), ["quota-request"]);
    assert_eq!(raisers_of_quota(&plan, "L-3032A538", "af-south-1"), [] as [&str; 0]);
    assert_eq!(raisers_of_quota(&plan, "L-00000000", "eu-central-1"), [] as [&str; 0]);
}

fn weighted(set: &str, weight: u8, ttl: u32) -> RecordSet {
    RecordSet {
        name: "api.example.net".into(),
        kind: "A".into(),
        set: Some(set.into()),
        weight: Some(weight),
        ttl: Some(ttl),
        values: vec!["10.0.0.1".into()],
        alias: None,
        health_check: None,
    }
}

#[test]
fn records_are_refuted_by_what_is_missing_left_over_mixed_or_not_as_believed() {
    let mut claim = Siblings { name: "api.example.net".into(), kind: "A".into(), ..Siblings::default() };
    claim.needed = [(Some("a".to_owned()), "half".to_owned()), (Some("b".to_owned()), "half".to_owned())].into();
    claim.shifted = Some("half".into());
    let (a, b) = (weighted("a", 0, 60), weighted("b", 100, 60));
    let judge = |claim: &Siblings, found: &[RecordSet]| records(claim, found);
    assert_eq!(judge(&claim, &[a.clone(), b.clone()]).0, Verdict::Proved);
    let refuted = |claim: &Siblings, found: &[RecordSet], word: &str| {
        let (verdict, why) = judge(claim, found);
        assert_eq!(verdict, Verdict::Refuted, "{why}");
        assert!(why.contains(word), "{why}");
    };
    refuted(&claim, std::slice::from_ref(&a), "the set b is not there, but step half needs it");
    refuted(&claim, &[a.clone(), b.clone(), weighted("c", 1, 60)], "the set c is there too");
    refuted(&claim, &[a.clone(), weighted("b", 100, 300)], "several times to live");
    let simple = RecordSet { set: None, weight: None, ..a.clone() };
    refuted(&claim, &[a.clone(), b.clone(), simple.clone()], "simple and weighted");
    let believing = Siblings { believed: vec![weighted("b", 50, 60)], ..claim.clone() };
    refuted(&believing, &[a.clone(), b.clone()], "the plan's drill begins with");
    // What a first change leaves beside what it puts.
    let put = Siblings { first: Some(("begin".into(), vec![a.clone()], vec![])), ..Siblings::default() };
    refuted(&put, std::slice::from_ref(&simple), "after step begin: simple and weighted");
    let removed = Siblings { first: Some(("begin".into(), vec![a], vec![None])), ..Siblings::default() };
    assert_eq!(judge(&removed, &[simple]).0, Verdict::Proved);
}

#[test]
fn a_health_check_has_to_be_there_to_count_and_to_follow_the_switch() {
    let plan = medzen();
    let id = all_steps(&plan).find_map(|step| match &step.action {
        Action::Switch(switch) => Some(switch.health_check.clone()),
        _ => None,
    });
    let id = id.unwrap();
    // A step makes it, so that nobody looks for it before.
    assert_eq!(about(&claims(&plan), |about| matches!(about, Subject::HealthCheck(_))), [] as [&Claim; 0]);
    let switch = switch_of(&plan, &id).unwrap();
    let metric = Some((switch.namespace.clone(), switch.metric.clone(), switch.dimensions.clone()));
    let good = CheckSeen { alarm_region: Some("eu-west-1".into()), metric, ..CheckSeen::default() };
    assert_eq!(health_check(Some(&good), Some(switch)).0, Verdict::Proved);
    assert_eq!(health_check(None, None).0, Verdict::Refuted);
    assert_eq!(health_check(Some(&CheckSeen { disabled: true, ..good.clone() }), None).0, Verdict::Refuted);
    assert_eq!(health_check(Some(&CheckSeen { inverted: true, ..good.clone() }), None).0, Verdict::Refuted);
    let untold = CheckSeen { metric: None, ..good.clone() };
    assert_eq!(health_check(Some(&untold), Some(switch)).0, Verdict::NotProved);
    let elsewhere = CheckSeen { alarm_region: Some("us-east-1".into()), ..good };
    assert_eq!(health_check(Some(&elsewhere), Some(switch)).0, Verdict::Refuted);
}

#[test]
fn the_placeholders_of_medzen_are_all_found() {
    let claims = claims(&medzen());
    let mut found: Vec<String> = Vec::new();
    for claim in &claims {
        if let Subject::Placeholder(value, _) = &claim.about {
            assert!(!claim.named_by.is_empty());
            found.push(value.clone());
        }
    }
    for wanted in [
        "Z1234567890ABC",
        "d-ireland00000.execute-api.eu-west-1.amazonaws.com",
        "arn:aws:acm:eu-central-1:558069890522:certificate/00000000-0000-0000-0000-000000000000",
        "arn:aws:acm:af-south-1:558069890522:certificate/00000000-0000-0000-0000-000000000000",
        "203.0.113.40",
    ] {
        assert!(found.iter().any(|value| value == wanted), "{wanted} is not among {found:?}");
    }
}

#[test]
fn what_monitors_and_scripts_name_is_looked_up_where_it_is() {
    let claims = claims(&medzen());
    let regions = |wanted: &dyn Fn(&Subject) -> bool| -> Vec<String> {
        about(&claims, wanted).iter().map(|claim| claim.region.clone()).collect()
    };
    // Replication's latency is published where the copies go, so each bucket's region is known from one direction.
    let bucket = |name: &str| regions(&|about| matches!(about, Subject::Bucket(of) if of == name));
    assert_eq!(bucket("medzen-meeting-recordings-558069890522"), ["eu-west-1"]);
    assert_eq!(bucket("medzen-meeting-recordings-eu-central-1"), ["eu-central-1"]);
    assert_eq!(regions(&|about| matches!(about, Subject::Quota(_, code, 100) if code == "L-3032A538")), ["eu-central-1"]);
    assert_eq!(regions(&|about| matches!(about, Subject::Metric(_, name, _) if name == "ReplicaLag")), ["eu-central-1"]);
    assert_eq!(about(&claims, |about| matches!(about, Subject::Program(name) if name == "aws")).len(), 1);
    let service = |name: &str| regions(&|about| matches!(about, Subject::Service(of) if of == name));
    for name in ["apigateway", "lambda", "rds", "s3"] {
        assert!(service(name).contains(&"eu-central-1".to_owned()), "{name}");
    }
    let secret = about(&claims, |about| matches!(about, Subject::Secret(name) if name == "SUPABASE_SERVICE_KEY"));
    assert!(secret[0].named_by.contains("step env-file"), "{:?}", secret[0].named_by);
}

#[test]
fn each_kind_of_step_needs_its_actions() {
    let needs = needs(&medzen());
    let of = |family, action: &str| {
        needs.get(&(family, action.to_owned())).unwrap_or_else(|| panic!("{action} is not among {:?}", needs.keys())).clone()
    };
    let change = of(Family::Route53, "route53:ChangeResourceRecordSets");
    assert_eq!(change.resources, ["arn:aws:route53:::hostedzone/Z1234567890ABC".to_owned()].into());
    assert!(change.named_by.contains("step canary-10"), "{:?}", change.named_by);
    assert_eq!(of(Family::Route53, "route53:GetChange").resources, ["arn:aws:route53:::change/*".to_owned()].into());
    let create = of(Family::CloudFormation, "cloudformation:CreateChangeSet");
    let chime = "arn:aws:cloudformation:eu-central-1:558069890522:stack/medzen-chime-sdk-multi-region-eu-central-1/*";
    assert!(create.resources.contains(chime), "{:?}", create.resources);
    assert!(create.named_by.contains("step stack-chime") && !create.named_by.contains("step full/full-delete-chime"));
    let delete = of(Family::CloudFormation, "cloudformation:DeleteStack");
    assert!(delete.resources.contains(chime) && delete.named_by.contains("step full/full-delete-chime"));
    // What watches a region's stacks names none of them.
    let read = of(Family::CloudFormation, "cloudformation:DescribeStacks");
    assert!(read.resources.contains("arn:aws:cloudformation:eu-west-1:558069890522:stack/*/*"), "{:?}", read.resources);
    of(Family::Whole, "cloudwatch:GetMetricData");
    of(Family::Whole, "cloudwatch:PutMetricData");
    let snapshot = of(Family::Scripts, "rds:CreateDBSnapshot");
    assert_eq!(snapshot.resources, ["*".to_owned()].into());
    of(Family::Scripts, "servicequotas:GetAWSDefaultServiceQuota");
    let named: Vec<&str> = needs.keys().map(|(_, action)| action.as_str()).collect();
    for action in &named {
        assert!(!action.ends_with("Wait") && action.split_once(':').is_some_and(|(_, name)| !name.is_empty()), "{action}");
    }
    // A restore calls what the steps call that it takes back.
    assert!(change.named_by.iter().any(|by| by.starts_with("step immediate/")), "{:?}", change.named_by);
}

#[test]
fn the_policies_that_count_are_those_of_the_user_or_the_role() {
    let role = |name: &str, arn: &str| Principal::Role(name.to_owned(), arn.to_owned());
    let session = "arn:aws:sts::558069890522:assumed-role/Oncall/anna@example.com";
    assert_eq!(principal(session), role("Oncall", "arn:aws:iam::558069890522:role/Oncall"));
    let user = "arn:aws:iam::558069890522:user/teams/anna";
    assert_eq!(principal(user), Principal::Arn(user.to_owned()));
    for nobody in ["arn:aws:iam::558069890522:root", "arn:aws:sts::558069890522:federated-user/anna", "anna", ""] {
        assert!(matches!(principal(nobody), Principal::None(_)), "{nobody}");
    }
}

#[test]
fn a_permission_is_judged_by_every_resource_that_it_is_needed_on() {
    let evaluated = |resource: &str, decision: &str, missing: &[&str]| Evaluated {
        action: "kms:describekey".into(),
        resource: resource.into(),
        decision: decision.into(),
        missing: missing.iter().map(|key| (*key).to_owned()).collect(),
        ..Evaluated::default()
    };
    let need = Need { resources: ["a".to_owned(), "b".to_owned()].into(), named_by: [].into() };
    let judged = |family, answers: &[Evaluated]| permission(family, "kms:DescribeKey", &need, answers);
    let a = evaluated("a", "allowed", &[]);
    assert_eq!(judged(Family::Whole, &[a.clone(), evaluated("b", "allowed", &[])]).0, Verdict::Proved);
    let (verdict, why) = judged(Family::Whole, &[a.clone(), evaluated("b", "implicitDeny", &[])]);
    assert_eq!((verdict, why.as_str()), (Verdict::Refuted, "no policy allows kms:DescribeKey on b"));
    let (verdict, why) = judged(Family::Scripts, &[a.clone(), evaluated("b", "explicitDeny", &[])]);
    assert_eq!((verdict, why.as_str()), (Verdict::Refuted, "a policy forbids kms:DescribeKey on b"));
    let (verdict, why) = judged(Family::Whole, &[a.clone(), evaluated("b", "implicitDeny", &["aws:SourceIp"])]);
    assert_eq!(verdict, Verdict::NotProved);
    assert!(why.contains("aws:SourceIp"), "{why}");
    for answers in [vec![a.clone()], vec![a.clone(), evaluated("b", "", &[])]] {
        assert_eq!(judged(Family::Whole, &answers).0, Verdict::NotProved, "{answers:?}");
    }
    let by_organisation = Evaluated { by_organisation: true, ..evaluated("b", "implicitDeny", &[]) };
    assert_eq!(judged(Family::Whole, &[a.clone(), by_organisation]).0, Verdict::NotProved);
    let by_boundary = Evaluated { by_boundary: true, ..evaluated("b", "implicitDeny", &[]) };
    let (verdict, why) = judged(Family::Whole, &[a.clone(), by_boundary]);
    assert_eq!(verdict, Verdict::Refuted);
    assert!(why.contains("permissions boundary"), "{why}");
    // What a script means may well be allowed, though not everything is.
    assert_eq!(judged(Family::Scripts, &[a, evaluated("b", "implicitDeny", &[])]).0, Verdict::NotProved);
}
