//! What a plan takes for granted about its account before its first step: from the plan alone, without a cloud.
//!
//! `cutover check --live` looks each claim up with reading calls. What an answer means is judged in [`judge`], so that it
//! can be tested without an account.

use std::collections::{BTreeMap, BTreeSet};

use super::lint::scripts::protections;
use super::lint::zones::Zones;
use super::record::is_late;
use super::{
    Action, Metric, Plan, ROUTE53_REGION, RecordSet, Records, Shift, Source, StackAction, StackChange, State, Step, Switch, Test,
};

pub mod judge;
pub mod permissions;
pub mod placeholders;
pub mod scripts;

/// What the look-up of a claim says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is as the plan takes it to be.
    Proved,
    /// Nobody could say.
    NotProved,
    /// It is not as the plan takes it to be.
    Refuted,
}

impl Verdict {
    /// For people and for JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Proved => "proved",
            Verdict::NotProved => "not proved",
            Verdict::Refuted => "refuted",
        }
    }
}

/// Something that the plan takes for granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What it is about.
    pub about: Subject,
    /// Where it is looked up; empty where no region has a part in it.
    pub region: String,
    /// The steps and monitors that name it, such as `step canary-10`.
    pub named_by: BTreeSet<String>,
}

/// What a claim is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A value that somebody wrote down to be replaced, and how it is recognised.
    Placeholder(String, &'static str),
    /// A stack, what the plan does with it first, and the step that deletes it as protected as it is found.
    Stack(String, First, Option<String>),
    /// A template: the stack's name, its path and its text.
    Template(String, String, String),
    /// A hosted zone.
    Zone(String),
    /// The record sets of one name and type.
    Records(Siblings),
    /// A health check.
    HealthCheck(String),
    /// A CloudWatch metric: namespace, name, dimensions.
    Metric(String, String, Vec<(String, String)>),
    /// A bucket; the region of the claim is empty where the plan does not tell it.
    Bucket(String),
    /// An ACM certificate.
    Certificate(String),
    /// A service, by its name in the list of services per region.
    Service(String),
    /// A quota: service code, quota code, the least that the plan asks for.
    Quota(String, String, u64),
    /// A variable that has to be in the environment.
    Secret(String),
    /// A program that has to be on the path.
    Program(String),
}

/// What the plan does first with a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum First {
    /// Nothing: it is only watched.
    Watched,
    /// Nothing: it is watched, and every condition wants it to be absent.
    WatchedAbsent,
    /// This step creates or updates it.
    Applied(String),
    /// This step deletes it.
    Deleted(String),
}

/// The record sets of one name and type, and what the plan expects of them before it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Siblings {
    /// Hosted zone id.
    pub zone: String,
    /// Name without the final dot.
    pub name: String,
    /// Type.
    pub kind: String,
    /// Set identifier → the step that needs it there.
    pub needed: BTreeMap<Option<String>, String>,
    /// Set identifier → the step that makes it before anything needs it.
    pub made: BTreeMap<Option<String>, String>,
    /// The first change of records: the step, what it puts, and the sets that it removes.
    pub first: Option<(String, Vec<RecordSet>, Vec<Option<String>>)>,
    /// What the plan says for its drills that is there.
    pub believed: Vec<RecordSet>,
    /// A shift comes before any change of records, so that its sets have to be all of them.
    pub shifted: Option<String>,
}

/// Names of resource types and namespaces (`AWS::X`, `AWS/X`), and of the same service in the list of services per region.
/// Services that belong to no region are not in it.
pub const SERVICES: [(&str, &str); 20] = [
    ("ApiGateway", "apigateway"),
    ("ApiGatewayV2", "apigateway"),
    ("CertificateManager", "acm"),
    ("CloudWatch", "cloudwatch"),
    ("DynamoDB", "dynamodb"),
    ("EC2", "ec2"),
    ("ECS", "ecs"),
    ("EFS", "efs"),
    ("ElastiCache", "elasticache"),
    ("ElasticLoadBalancingV2", "elb"),
    ("Events", "events"),
    ("KMS", "kms"),
    ("Kinesis", "kinesis"),
    ("Lambda", "lambda"),
    ("Logs", "logs"),
    ("RDS", "rds"),
    ("S3", "s3"),
    ("SNS", "sns"),
    ("SQS", "sqs"),
    ("SSM", "ssm"),
];

/// Every claim of a plan, each once, always in the same order.
#[must_use]
pub fn claims(plan: &Plan) -> Vec<Claim> {
    let mut found = Found::default();
    for (value, by) in values(plan) {
        for (word, why) in placeholders::find(&value) {
            found.add(Subject::Placeholder(word, why), "", &by);
        }
    }
    stacks(plan, &mut found);
    records(plan, &mut found);
    checks_and_metrics(plan, &mut found);
    scripts::look(plan, &mut found);
    for name in &plan.secrets {
        let users = all_steps(plan).filter(|step| scripts::use_secret(step, name)).map(|step| format!("step {}", step.id));
        let users: Vec<String> = users.collect();
        found.add(Subject::Secret(name.clone()), "", "the plan's secrets");
        for by in users {
            found.add(Subject::Secret(name.clone()), "", &by);
        }
    }
    found.0.into_iter().map(|((about, region), named_by)| Claim { about, region, named_by }).collect()
}

/// The steps of the plan, then those of its rollbacks.
pub fn all_steps(plan: &Plan) -> impl Iterator<Item = &Step> {
    plan.steps.iter().chain(plan.rollbacks.iter().flat_map(|rollback| &rollback.steps))
}

/// Claims by what they are about and where.
#[derive(Default)]
struct Found(BTreeMap<(Subject, String), BTreeSet<String>>);

impl Found {
    fn add(&mut self, about: Subject, region: &str, by: &str) {
        self.0.entry((about, region.to_owned())).or_default().insert(by.to_owned());
    }
}

/// The values of a plan that the account has to know, and who names them.
fn values(plan: &Plan) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for monitor in &plan.monitors {
        let by = format!("monitor {}", monitor.name);
        let mut say = |value: &str| out.push((value.to_owned(), by.clone()));
        match &monitor.source {
            Source::Stack { stack } => say(stack),
            Source::HealthCheck { id, .. } => say(id),
            Source::Metric(metric) => {
                metric.metrics().flat_map(|(_, metric)| &metric.dimensions).for_each(|(_, value)| say(value));
            }
            Source::Http(http) => {
                say(&http.url);
                http.connect_to.iter().for_each(|to| say(to));
            }
            Source::Dns(dns) => say(&dns.name),
        }
    }
    for step in all_steps(plan) {
        let by = format!("step {}", step.id);
        let mut say = |value: &str| out.push((value.to_owned(), by.clone()));
        match &step.action {
            Action::Shift(shift) => say(&shift.zone),
            Action::Records(change) => {
                say(&change.zone);
                for record in &change.put {
                    record.values.iter().chain(&record.health_check).for_each(|value| say(value));
                    record.alias.iter().for_each(|alias| [&alias.zone, &alias.name].into_iter().for_each(|value| say(value)));
                }
            }
            Action::Stack(StackAction { change: StackChange::Apply { parameters, .. }, .. }) => {
                for value in parameters.values() {
                    say(&value.to_string());
                }
            }
            Action::HealthCheck(check) => say(&check.id),
            Action::Switch(switch) => say(&switch.health_check),
            Action::Shell(script) => script.env.iter().for_each(|(_, value)| say(&value.to_string())),
            Action::Http(request) => say(&request.url.to_string()),
            _ => {}
        }
    }
    out
}

/// Stacks, their templates, and what these name: certificates and services.
fn stacks(plan: &Plan, found: &mut Found) {
    let mut first: BTreeMap<(&str, &str), First> = BTreeMap::new();
    let mut named: Vec<(&str, &str, String)> = Vec::new();
    let known =
        |name: &str| SERVICES.iter().find(|(of, _)| *of == name).map(|(_, service)| Subject::Service((*service).to_owned()));
    for step in all_steps(plan) {
        let Action::Stack(stack) = &step.action else { continue };
        let by = format!("step {}", step.id);
        let does = match &stack.change {
            StackChange::Apply { .. } => First::Applied(step.id.clone()),
            StackChange::Delete => First::Deleted(step.id.clone()),
        };
        first.entry((&stack.region, &stack.name)).or_insert(does);
        named.push((&stack.region, &stack.name, by.clone()));
        if let StackChange::Apply { template, template_path, parameters, .. } = &stack.change {
            let about = Subject::Template(stack.name.clone(), template_path.clone(), template.clone());
            found.add(about, &stack.region, &by);
            for service in names_after(template, "AWS::").iter().filter_map(|name| known(name)) {
                found.add(service, &stack.region, &by);
            }
            for value in parameters.values().map(ToString::to_string).filter(|value| value.starts_with("arn:aws:acm:")) {
                found.add(Subject::Certificate(value), &stack.region, &by);
            }
        }
    }
    for (id, monitor) in plan.monitors.iter().enumerate() {
        let region = monitor.region.as_deref().unwrap_or_default();
        if let Source::Stack { stack } = &monitor.source {
            let mut of = plan.conditions.iter().filter(|condition| condition.monitor == id).peekable();
            let absent = of.peek().is_some() && of.all(|condition| condition.test == Test::Is(State::Absent));
            first.entry((region, stack)).or_insert(if absent { First::WatchedAbsent } else { First::Watched });
            named.push((region, stack, format!("monitor {}", monitor.name)));
        }
        for (_, metric) in monitor.source.metric().into_iter().flat_map(super::MetricSource::metrics) {
            if let Some(service) = metric.namespace.strip_prefix("AWS/").and_then(known) {
                found.add(service, region, &format!("monitor {}", monitor.name));
            }
        }
    }
    let deleters = deleters(plan);
    for (region, name, by) in named {
        if let Some(does) = first.get(&(region, name)) {
            let deleted_by = deleters.get(&(region, name)).map(|step| (*step).to_owned());
            found.add(Subject::Stack(name.to_owned(), does.clone(), deleted_by), region, &by);
        }
    }
}

/// Stacks that are deleted with whatever termination protection they have now, each with the first step that does it (rule
/// 23). A rollback may come before most of the plan, so a script of a phase takes nothing off for it.
fn deleters(plan: &Plan) -> BTreeMap<(&str, &str), &str> {
    let mut out = BTreeMap::new();
    for steps in std::iter::once(&plan.steps).chain(plan.rollbacks.iter().map(|rollback| &rollback.steps)) {
        let mut said = Vec::new();
        for step in steps {
            if let Action::Shell(script) = &step.action {
                said.extend(protections(script));
            }
            let Action::Stack(StackAction { region, name, change: StackChange::Delete }) = &step.action else { continue };
            if said.iter().rev().find(|said| said.is_of(region, name)).is_none_or(|last| last.on) {
                out.entry((region.as_str(), name.as_str())).or_insert(step.id.as_str());
            }
        }
    }
    out
}

/// The words that follow a mark, as in `AWS::S3::Bucket`.
fn names_after(text: &str, mark: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
    text.split(mark).skip(1).map(word).collect()
}

/// Zones and record sets.
fn records(plan: &Plan, found: &mut Found) {
    let before = Zones::before(plan);
    let mut groups: BTreeMap<(String, String, String), (Siblings, Vec<String>)> = BTreeMap::new();
    let mut zones: BTreeSet<(String, String)> = BTreeSet::new();
    if let Some(traffic) = &plan.traffic {
        zones.insert((traffic.zone.clone(), "the plan's traffic".to_owned()));
    }
    for step in all_steps(plan) {
        let by = format!("step {}", step.id);
        let mut group = |zone: &str, name: &str, kind: &str, note: &mut dyn FnMut(&mut Siblings)| {
            zones.insert((zone.to_owned(), by.clone()));
            let key = (zone.to_owned(), name.to_owned(), kind.to_owned());
            let (siblings, named_by) = groups.entry(key).or_insert_with(|| {
                let believed = before.siblings(zone, name, kind).to_vec();
                let of = Siblings { zone: zone.into(), name: name.into(), kind: kind.into(), believed, ..Siblings::default() };
                (of, Vec::new())
            });
            note(siblings);
            named_by.push(by.clone());
        };
        match &step.action {
            Action::Shift(Shift { zone, record, kind, weights }) => group(zone, record, kind, &mut |siblings| {
                if siblings.first.is_none() {
                    siblings.shifted.get_or_insert_with(|| step.id.clone());
                }
                for (set, _) in weights {
                    siblings.need(Some(set.clone()), &step.id);
                }
            }),
            Action::Records(Records { zone, put, remove }) => {
                let names: BTreeSet<(&str, &str)> = put
                    .iter()
                    .map(|r| (r.name.as_str(), r.kind.as_str()))
                    .chain(remove.iter().map(|k| (k.name.as_str(), k.kind.as_str())))
                    .collect();
                for (name, kind) in names {
                    let put: Vec<&RecordSet> = put.iter().filter(|r| r.name == name && r.kind == kind).collect();
                    let remove = remove.iter().filter(|k| k.name == name && k.kind == kind).map(|k| k.set.clone());
                    let remove: Vec<Option<String>> = remove.collect();
                    group(zone, name, kind, &mut |siblings| {
                        for set in &remove {
                            siblings.need(set.clone(), &step.id);
                        }
                        for record in &put {
                            siblings.make(record.set.clone(), &step.id);
                        }
                        if siblings.first.is_none() && siblings.shifted.is_none() {
                            let put = put.iter().map(|record| (*record).clone()).collect();
                            siblings.first = Some((step.id.clone(), put, remove.clone()));
                        }
                    });
                }
            }
            _ => {}
        }
    }
    for (zone, by) in zones {
        found.add(Subject::Zone(zone), "", &by);
    }
    for (siblings, named_by) in groups.into_values() {
        for by in named_by {
            found.add(Subject::Records(siblings.clone()), "", &by);
        }
    }
}

impl Siblings {
    fn need(&mut self, set: Option<String>, step: &str) {
        if !self.made.contains_key(&set) {
            self.needed.entry(set).or_insert_with(|| step.to_owned());
        }
    }

    fn make(&mut self, set: Option<String>, step: &str) {
        if !self.needed.contains_key(&set) {
            self.made.entry(set).or_insert_with(|| step.to_owned());
        }
    }
}

/// Health checks, metrics, and the buckets that these name.
fn checks_and_metrics(plan: &Plan, found: &mut Found) {
    for monitor in &plan.monitors {
        let by = format!("monitor {}", monitor.name);
        let region = monitor.region.as_deref().unwrap_or(ROUTE53_REGION);
        if let Source::HealthCheck { id, .. } = &monitor.source {
            found.add(Subject::HealthCheck(id.clone()), "", &by);
        }
        for (_, metric) in monitor.source.metric().into_iter().flat_map(super::MetricSource::metrics) {
            let Metric { namespace, name, dimensions, .. } = metric;
            found.add(Subject::Metric(namespace.clone(), name.clone(), dimensions.clone()), region, &by);
            // Where a metric of replication is published tells where one of the two buckets is (rule 14).
            let here = if name == "OperationsFailedReplication" { "SourceBucket" } else { "DestinationBucket" };
            for (dimension, bucket) in dimensions.iter().filter(|_| namespace == "AWS/S3") {
                match dimension.as_str() {
                    "SourceBucket" | "DestinationBucket" => {
                        let region = if dimension == here { region } else { "" };
                        found.add(Subject::Bucket(bucket.clone()), region, &by);
                    }
                    _ => {}
                }
            }
        }
    }
    // A bucket whose region one monitor tells needs no second claim without one.
    let told: BTreeSet<Subject> =
        found.0.keys().filter(|(_, region)| !region.is_empty()).map(|(about, _)| about.clone()).collect();
    found.0.retain(|(about, region), _| !(matches!(about, Subject::Bucket(_)) && region.is_empty() && told.contains(about)));
    for step in all_steps(plan) {
        let by = format!("step {}", step.id);
        let mut checks: Vec<&String> = Vec::new();
        match &step.action {
            Action::HealthCheck(check) => checks.push(&check.id),
            Action::Switch(switch) => checks.push(&switch.health_check),
            Action::Records(change) => checks.extend(change.put.iter().filter_map(|record| record.health_check.as_ref())),
            _ => {}
        }
        // One that a step makes is not there yet.
        for check in checks.into_iter().filter(|check| !is_late(check)) {
            found.add(Subject::HealthCheck(check.clone()), "", &by);
        }
    }
}

/// The switch that a health check has to follow, if the plan has one.
#[must_use]
pub fn switch_of<'a>(plan: &'a Plan, id: &str) -> Option<&'a Switch> {
    all_steps(plan).find_map(|step| match &step.action {
        Action::Switch(switch) if switch.health_check == id => Some(switch),
        _ => None,
    })
}

/// The steps whose templates make buckets in a region; in any region where it is empty.
#[must_use]
pub fn makers_of_buckets(plan: &Plan, in_region: &str) -> Vec<String> {
    let makes = |step: &&Step| match &step.action {
        Action::Stack(StackAction { region, change: StackChange::Apply { template, .. }, .. }) => {
            (in_region.is_empty() || region == in_region) && template.contains("AWS::S3::Bucket")
        }
        _ => false,
    };
    all_steps(plan).filter(makes).map(|step| step.id.clone()).collect()
}
