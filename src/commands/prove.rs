//! `cutover check --live`: proves a plan against its account, with reading calls only.
//!
//! What the plan takes for granted is [`crate::plan::claims`]; here each claim is looked up. A look-up that fails is "not
//! proved", with the reason, and ends none of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::cli::Cli;
use crate::aws::Aws;
use crate::aws::survey::MetricSeen;
use crate::cloud::{Failure, FailureKind};
use crate::exit::Failed;
use crate::plan::claims::scripts::raisers_of_quota;
use crate::plan::claims::{Claim, Subject, Verdict, claims, judge, makers_of_buckets, placeholders, switch_of};
use crate::plan::{Metric, Plan};

mod cli;
mod permissions;

/// Look-ups that are under way at the same time: Route 53 takes five calls a second of an account.
const AT_ONCE: usize = 4;
/// Longest time of one call.
const CALL: Duration = Duration::from_secs(20);
/// How long it is waited after an answer of "too fast", each time.
const WAITS: [Duration; 4] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Longest time of everything; what was not looked up by then is not proved.
const ALL: Duration = Duration::from_mins(3);

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    verdict: Verdict,
    kind: &'static str,
    what: String,
    region: String,
    why: String,
    named_by: Vec<String>,
}

/// What was looked up.
#[derive(Debug)]
pub struct Proof {
    account: String,
    identity: String,
    /// In the order of the claims.
    rows: Vec<Row>,
}

impl Proof {
    /// Whether nothing is refuted.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.count(Verdict::Refuted) == 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// The table, a line each: what is refuted comes last, where it is seen.
    #[must_use]
    pub fn table(&self) -> Vec<String> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.verdict);
        let width = |of: fn(&Row) -> usize| rows.iter().map(|row| of(row)).max().unwrap_or_default();
        let kinds = width(|row| row.kind.chars().count());
        let names = width(|row| row.what.chars().count()).min(60);
        let regions = width(|row| row.region.chars().count());
        let mut lines = vec![format!("looked up in account {} as {}:", self.account, self.identity)];
        for row in rows {
            let Row { kind, what, region, why, named_by, .. } = row;
            let by = if named_by.is_empty() { String::new() } else { format!(" ({})", few(named_by)) };
            let verdict = row.verdict.word();
            lines.push(format!("{verdict:<10}  {kind:<kinds$}  {what:<names$}  {region:<regions$}  {why}{by}"));
        }
        let count = |verdict| self.count(verdict);
        lines.push(format!(
            "{} proved, {} not proved, {} refuted",
            count(Verdict::Proved),
            count(Verdict::NotProved),
            count(Verdict::Refuted)
        ));
        lines
    }

    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let row = |row: &Row| {
            json!({ "verdict": row.verdict.word(), "kind": row.kind, "what": row.what, "why": row.why, "named_by": row.named_by,
                    "region": Some(&row.region).filter(|region| !region.is_empty()) })
        };
        json!({
            "account": self.account,
            "identity": self.identity,
            "proved": self.count(Verdict::Proved),
            "not_proved": self.count(Verdict::NotProved),
            "refuted": self.count(Verdict::Refuted),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// The first names of many.
fn few(names: &[String]) -> String {
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown} and {} more", names.len() - 3) } else { shown }
}

/// Text of an account or of a program draws nothing on the terminal but itself.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Proves a plan.
///
/// # Errors
/// Exit code 7 with credentials of another account, or with none: then nothing else was asked.
pub async fn prove(plan: &Plan) -> Result<Proof, Failed> {
    let aws = Aws::connect().await;
    let identity = super::run::guard(&aws, plan).await?;
    let claims = claims(plan);
    let survey = Survey {
        plan,
        aws,
        cli: Cli::find(),
        slots: Semaphore::new(AT_ONCE),
        end: Instant::now() + ALL,
        offered: claims.iter().map(|claim| (claim.region.clone(), OnceCell::new())).collect(),
        all_services: OnceCell::new(),
    };
    let looked = futures_util::future::join_all(claims.iter().map(|claim| survey.row(claim)));
    // The futures of the SDK are large.
    let (looked, permissions) = futures_util::join!(Box::pin(looked), Box::pin(survey.permissions(&identity)));
    let known = |verdict, kind, what: &str, why: &str| Row {
        verdict,
        kind,
        what: what.to_owned(),
        region: String::new(),
        why: why.to_owned(),
        named_by: Vec::new(),
    };
    let mut rows = vec![known(Verdict::Proved, "account", &plan.account, "the credentials are of the plan's account")];
    if claims.iter().all(|claim| !matches!(claim.about, Subject::Placeholder(..))) {
        rows.push(known(Verdict::Proved, "placeholder", "none", "no value of the plan looks like one"));
    }
    rows.extend(looked);
    rows.extend(permissions);
    Ok(Proof { account: plan.account.clone(), identity: plain(&identity), rows })
}

/// A verdict, and why.
type Judged = (Verdict, String);

/// What look-ups have in common.
struct Survey<'a> {
    plan: &'a Plan,
    aws: Aws,
    cli: Option<Cli>,
    slots: Semaphore,
    end: Instant,
    /// Region → the services that are offered there, asked for once each.
    offered: BTreeMap<String, OnceCell<Listed>>,
    /// The services of all regions.
    all_services: OnceCell<Listed>,
}

/// Names, or why there are none.
type Listed = Result<Vec<String>, String>;

impl Survey<'_> {
    /// The line of a claim.
    async fn row(&self, claim: &Claim) -> Row {
        let (kind, what) = title(&claim.about);
        let (verdict, why) = self.judged(claim).await;
        let named_by = claim.named_by.iter().cloned().collect();
        Row { verdict, kind, what: plain(&what), region: claim.region.clone(), why: plain(&why), named_by }
    }

    async fn judged(&self, claim: &Claim) -> Judged {
        // Those of a region wait for one list; a slot each would keep the others out meanwhile.
        if let Subject::Service(name) = &claim.about {
            return self.service(name, &claim.region).await.unwrap_or_else(|why| (Verdict::NotProved, why));
        }
        // What is looked up by an id that is none would only say so once more, in other words.
        let id = match &claim.about {
            Subject::Zone(id) | Subject::HealthCheck(id) | Subject::Certificate(id) => Some(id),
            Subject::Records(siblings) => Some(&siblings.zone),
            _ => None,
        };
        if id.is_some_and(|id| !placeholders::find(id).is_empty()) {
            return (Verdict::Refuted, "not looked up: a placeholder names it".into());
        }
        // The SDK's futures are large.
        let judged = Box::pin(self.in_time(async { Ok(self.look(claim).await) })).await;
        judged.unwrap_or_else(|why| (Verdict::NotProved, why))
    }

    /// Waits for a slot, and for no longer than there is time.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let held = async {
            let _slot = self.slots.acquire().await;
            asked.await
        };
        timeout_at(self.end, held).await.unwrap_or_else(|_| Err("there was no time left to look it up".into()))
    }

    async fn look(&self, claim: &Claim) -> Judged {
        let region = claim.region.as_str();
        let looked = match &claim.about {
            Subject::Placeholder(_, why) => return (Verdict::Refuted, (*why).to_owned()),
            Subject::Secret(name) => return secret(name),
            Subject::Program(name) => return program(name),
            Subject::Service(_) => return (Verdict::NotProved, String::new()),
            Subject::Bucket(name) => return self.bucket(name, region).await,
            Subject::Certificate(arn) => return self.certificate(arn, region).await,
            Subject::Quota(service, code, least) => return self.quota((service, code, *least), region).await,
            Subject::Stack(name, first, deleted_by) => patiently(async || self.aws.stack_seen(region, name).await)
                .await
                .map(|seen| judge::stack(first, deleted_by.as_deref(), seen.as_ref())),
            Subject::Template(_, path, text) => {
                patiently(async || self.aws.template_refusal(region, text).await).await.map(|refusal| match refusal {
                    None => (Verdict::Proved, format!("CloudFormation reads {path}")),
                    Some(why) => (Verdict::Refuted, format!("{path}: {why}")),
                })
            }
            Subject::Zone(id) => patiently(async || self.aws.zone(id).await).await.map(|zone| self.zone(id, zone)),
            Subject::Records(siblings) => {
                let found = patiently(async || self.aws.records(&siblings.zone, &siblings.name).await).await;
                match found {
                    Ok(mut found) => {
                        found.retain(|record| record.kind == siblings.kind);
                        Ok(judge::records(siblings, &found))
                    }
                    // The zone has a row of its own; a record that a run would not touch is what is refused here.
                    Err(failure) if failure.message.contains("this release cannot carry") => {
                        Ok((Verdict::Refuted, failure.message))
                    }
                    Err(failure) => Err(failure),
                }
            }
            Subject::HealthCheck(id) => patiently(async || self.aws.health_check(id).await)
                .await
                .map(|seen| judge::health_check(seen.as_ref(), switch_of(self.plan, id))),
            Subject::Metric(namespace, name, dimensions) => {
                let (namespace, name, dimensions) = (namespace.clone(), name.clone(), dimensions.clone());
                let metric = Metric { namespace, name, dimensions, stat: String::new() };
                patiently(async || self.aws.metric(self.plan, region, &metric).await).await.map(|seen| match seen {
                    MetricSeen::Here => (Verdict::Proved, "listed".to_owned()),
                    MetricSeen::Elsewhere(other) => (Verdict::Refuted, format!("wrong region: it is in {other}")),
                    MetricSeen::Nowhere => {
                        let why = "in no region of the plan: nobody has published it in the last two weeks; a step may enable it";
                        (Verdict::NotProved, why.to_owned())
                    }
                })
            }
        };
        looked.unwrap_or_else(|failure| (Verdict::NotProved, failure.message))
    }

    /// A zone, and whether the names of the plan are in it.
    fn zone(&self, id: &str, zone: Option<(String, bool)>) -> Judged {
        let Some((name, private)) = zone else { return (Verdict::Refuted, "there is no such zone".into()) };
        let outside = claims(self.plan).into_iter().find_map(|claim| match claim.about {
            Subject::Records(of) if of.zone == id && of.name != name && !of.name.ends_with(&format!(".{name}")) => Some(of.name),
            _ => None,
        });
        match outside {
            Some(outside) => (Verdict::Refuted, format!("it is the zone of {name}, and {outside} is not in it")),
            None => (Verdict::Proved, format!("the {} zone of {name}", if private { "private" } else { "public" })),
        }
    }

    async fn bucket(&self, name: &str, region: &str) -> Judged {
        let arguments = ["s3api", "get-bucket-location", "--bucket", name];
        match self.ask(&arguments).await {
            Ok(answer) => {
                // What is in the first region of all has no word for it, and an old one had another.
                let location = match answer.get("LocationConstraint").and_then(serde_json::Value::as_str) {
                    None | Some("") => "us-east-1",
                    Some("EU") => "eu-west-1",
                    Some(location) => location,
                };
                match region {
                    "" => (Verdict::Proved, format!("it is in {location}")),
                    region if region == location => (Verdict::Proved, "it is there".into()),
                    region => (Verdict::Refuted, format!("it is in {location} and not in {region}")),
                }
            }
            Err(why) if why.code == "NoSuchBucket" => match makers_of_buckets(self.plan, region).as_slice() {
                [] => (Verdict::Refuted, "not there, and no template of the plan makes a bucket in that region".into()),
                steps => (Verdict::NotProved, format!("not there yet; the template of step {} may make it", few(steps))),
            },
            Err(why) => (Verdict::NotProved, why.message),
        }
    }

    async fn certificate(&self, arn: &str, region: &str) -> Judged {
        let of = arn.split(':').nth(3).unwrap_or_default();
        if of != region {
            return (Verdict::Refuted, format!("a certificate of {of} for a stack in {region}"));
        }
        match self.ask(&["acm", "describe-certificate", "--region", region, "--certificate-arn", arn]).await {
            Ok(answer) => match answer.pointer("/Certificate/Status").and_then(serde_json::Value::as_str) {
                Some("ISSUED") => (Verdict::Proved, "issued".into()),
                status => (Verdict::Refuted, format!("its status is {}", status.unwrap_or("not told"))),
            },
            Err(why) if why.code == "ResourceNotFoundException" => (Verdict::Refuted, "there is no such certificate".into()),
            Err(why) => (Verdict::NotProved, why.message),
        }
    }

    async fn quota(&self, (service, code, least): (&str, &str, u64), region: &str) -> Judged {
        let of = ["--region", region, "--service-code", service, "--quota-code", code];
        let asked = |verb: &'static str| [&["service-quotas", verb], of.as_slice()].concat();
        let mut answer = self.ask(&asked("get-service-quota")).await;
        // A quota that nobody ever changed is only known as a default.
        if answer.as_ref().is_err_and(|why| why.code == "NoSuchResourceException") {
            answer = self.ask(&asked("get-aws-default-service-quota")).await;
        }
        match answer.map(|answer| answer.pointer("/Quota/Value").and_then(serde_json::Value::as_f64)) {
            Ok(Some(value)) => judge::quota(value, least, &raisers_of_quota(self.plan, code, region)),
            Ok(None) => (Verdict::NotProved, "the answer has no value".into()),
            Err(why) => (Verdict::NotProved, why.message),
        }
    }

    /// A service: whether it is offered in a region. That a region lacks it is believed only where another one has it.
    async fn service(&self, name: &str, region: &str) -> Result<Judged, String> {
        let Some(offered) = self.offered.get(region) else { return Err("no list was asked for".into()) };
        let path = format!("/aws/service/global-infrastructure/regions/{region}/services");
        let offered = offered.get_or_init(|| self.in_time(self.names(&path))).await.as_ref().map_err(Clone::clone)?;
        if offered.is_empty() || offered.iter().any(|of| of == name) {
            return Ok(judge::service(name, offered, &[]));
        }
        let path = "/aws/service/global-infrastructure/services";
        let all = self.all_services.get_or_init(|| self.in_time(self.names(path))).await.as_ref().map_err(Clone::clone)?;
        Ok(judge::service(name, offered, all))
    }

    /// The values below a path of public parameters. They are asked for where they can be read (rule 28).
    async fn names(&self, path: &str) -> Listed {
        let arguments =
            ["ssm", "get-parameters-by-path", "--region", "eu-central-1", "--path", path, "--query", "Parameters[].Value"];
        let answer = self.ask(&arguments).await.map_err(|why| why.message)?;
        let names = answer.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        Ok(names.map(str::to_owned).collect())
    }

    async fn ask(&self, arguments: &[&str]) -> Result<serde_json::Value, cli::Refusal> {
        match &self.cli {
            Some(cli) => cli.ask(arguments).await,
            None => Err(cli::Refusal {
                code: String::new(),
                message: "the AWS CLI is not on the path: install it (the package awscli, or AWS's own installer)".into(),
            }),
        }
    }
}

/// What a claim is about: its kind and its name.
fn title(about: &Subject) -> (&'static str, String) {
    match about {
        Subject::Placeholder(value, _) => ("placeholder", value.clone()),
        Subject::Stack(name, ..) => ("stack", name.clone()),
        Subject::Template(stack, ..) => ("template", stack.clone()),
        Subject::Zone(id) => ("zone", id.clone()),
        Subject::Records(of) => ("records", format!("{} {} in {}", of.name, of.kind, of.zone)),
        Subject::HealthCheck(id) => ("health check", id.clone()),
        Subject::Metric(namespace, name, dimensions) => {
            let dimensions = dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
            ("metric", format!("{namespace} {name} {dimensions}").trim_end().to_owned())
        }
        Subject::Bucket(name) => ("bucket", name.clone()),
        Subject::Certificate(arn) => ("certificate", arn.clone()),
        Subject::Service(name) => ("service", name.clone()),
        Subject::Quota(service, code, _) => ("quota", format!("{service} {code}")),
        Subject::Secret(name) => ("secret", name.clone()),
        Subject::Program(name) => ("program", name.clone()),
    }
}

/// Whether a secret is there; its value is never looked at.
fn secret(name: &str) -> Judged {
    if std::env::var_os(name).is_some_and(|value| !value.is_empty()) {
        (Verdict::Proved, "in the environment".into())
    } else {
        (Verdict::Refuted, "not in the environment, or empty".into())
    }
}

fn program(name: &str) -> Judged {
    match cli::on_path(name) {
        Some(_) => (Verdict::Proved, "on the path".into()),
        None => (Verdict::Refuted, "not on the path, and scripts of the plan call it".into()),
    }
}

/// Asks, and again when the answer was "too fast".
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    let once = async || {
        let late = |_| Err(Failure { kind: FailureKind::Unknown, message: format!("no answer within {} s", CALL.as_secs()) });
        timeout(CALL, ask()).await.unwrap_or_else(late)
    };
    for wait in WAITS {
        match once().await {
            Err(failure) if failure.kind == FailureKind::Throttled => sleep(wait).await,
            other => return other,
        }
    }
    once().await
}
