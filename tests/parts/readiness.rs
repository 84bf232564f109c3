//! What keeps a rollback armed: health checks, the switch in the data plane, credentials that last, warm connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use aws_sdk_route53::types::{HealthCheckConfig, HealthCheckType};
use cutover::aws::Aws;
use cutover::cloud::{Answer, Call, Failure, FailureKind, HealthCheckInfo, Query};
use cutover::plan::{Action, Plan, Rollback, StackAction, StackChange, Step, Switch, Undo};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::support::ministack;
use crate::support::plan::{REGION, plan};
use crate::support::server::{answering, between, failing, http, serving};
use crate::{ask, change, emulator, sdk_config, sdk_config_at, weighted};

/// A rollback that deletes a stack in one region and flips a switch in another.
fn rollback_plan() -> Plan {
    let step = |id: &str, action: Action| Step {
        id: id.into(),
        phase: 0,
        day: 1,
        title: id.into(),
        note: String::new(),
        action,
        windows: Vec::new(),
        gate: Vec::new(),
        verify: Vec::new(),
        undo: Undo::Nothing,
        expected_ms: 1_000,
        owner: String::new(),
        needs: Vec::new(),
        control_planes: Vec::new(),
        override_people: 1,
        stand_in: cutover::plan::StandIn::default(),
        parts: Vec::new(),
    };
    let switch = Switch {
        health_check: "hc".into(),
        region: "eu-west-2".into(),
        namespace: "Cutover".into(),
        metric: "Leave".into(),
        dimensions: Vec::new(),
        value: 1_000_000,
    };
    let delete = StackAction { region: REGION.into(), name: "s".into(), change: StackChange::Delete };
    let rollback = Rollback {
        name: "back".into(),
        title: "Back".into(),
        key: None,
        to: "eu-west-1".into(),
        after: None,
        until_ms: None,
        restores: String::new(),
        expected_ms: 1_000,
        replication: Vec::new(),
        auto: Vec::new(),
        steps: vec![step("switch", Action::Switch(switch)), step("delete", Action::Stack(delete))],
    };
    Plan { rollbacks: vec![rollback], ..plan(Vec::new()) }
}

#[tokio::test]
async fn warming_up_opens_the_connections_that_a_rollback_uses() {
    let denied = failing("403 Forbidden", "AccessDenied", "no").replace("Connection: close", "Connection: keep-alive");
    let (url, seen) = answering(denied).await;
    let aws = Aws::with_endpoint(&url);
    let connections = async || {
        // A connection is free again a moment after its answer was read.
        sleep(Duration::from_millis(50)).await;
        seen.connections()
    };
    aws.warm(&rollback_plan()).await;
    assert_eq!(connections().await, 2, "one for the stack's region, one for the switch's");
    let delete = Call::DeleteStack { region: REGION.into(), stack: "s".into() };
    aws.send("token", &delete, None).await.unwrap_err();
    aws.send("token", &flip("eu-west-2", "Leave", 1_000_000), None).await.unwrap_err();
    assert_eq!(connections().await, 2, "the rollback's first calls go over the connections that are there");
    // Route 53's is kept by the reading of records, which goes over the client that changes them.
    for _ in 0..2 {
        ask(&aws, &Query::Records { zone: "Z1".into(), name: "api.example.com".into() }).await.unwrap_err();
        change(&aws, "Z1", &[], &[weighted("api.example.com", "a", 1, None)]).await.unwrap_err();
        assert_eq!(connections().await, 3);
    }
}

#[tokio::test]
async fn warming_up_never_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    emulator().warm(&rollback_plan()).await;
    Aws::with_endpoint(&nowhere).warm(&rollback_plan()).await;
}

#[tokio::test]
async fn a_health_check_is_read_and_inverted() {
    // The emulator writes Python's `True` where Route 53 writes `true`, and no client reads that.
    let as_route53_writes = |answer: String| answer.replace(">True<", ">true<").replace(">False<", ">false<");
    let (url, seen) = between(ministack::url(), as_route53_writes).await;
    let client = aws_sdk_route53::Client::new(&sdk_config_at(&url));
    let settings = HealthCheckConfig::builder()
        .r#type(HealthCheckType::Https)
        .fully_qualified_domain_name("api.checks.example")
        .resource_path("/health")
        .build()
        .unwrap();
    let made = client.create_health_check().caller_reference("checks").health_check_config(settings).send().await.unwrap();
    let id = made.health_check().unwrap().id().to_owned();
    let aws = Aws::with_endpoint(&url);
    let read = async || match ask(&aws, &Query::HealthCheck { id: id.clone() }).await {
        Ok(Answer::HealthCheck(info)) => info,
        other => panic!("{other:?}"),
    };
    assert_eq!(read().await, HealthCheckInfo { version: 1, inverted: false, disabled: false });

    let before = seen.requests().len();
    let invert = |version: i64, inverted: bool| Call::UpdateHealthCheck { id: id.clone(), version, inverted };
    aws.send("token", &invert(1, true), None).await.unwrap();
    let requests = seen.requests().split_off(before);
    assert_eq!(requests.len(), 1, "{requests:?}");
    // The emulator takes any version, so here it is looked at what is sent; the next test is about the refusal.
    assert!(requests[0].contains("<HealthCheckVersion>1</HealthCheckVersion>"), "{requests:?}");
    assert!(!requests[0].contains("Disabled"), "a disabled check counts as healthy (rule 1): {requests:?}");
    assert_eq!(read().await, HealthCheckInfo { version: 2, inverted: true, disabled: false });
    let seen = client.get_health_check().health_check_id(&id).send().await.unwrap();
    let settings = seen.health_check().unwrap().health_check_config().unwrap().clone();
    assert_eq!(settings.inverted(), Some(true));
    assert_eq!(settings.fully_qualified_domain_name(), Some("api.checks.example"), "what was not named stays");

    client.update_health_check().health_check_id(&id).disabled(true).send().await.unwrap();
    assert_eq!(read().await, HealthCheckInfo { version: 3, inverted: true, disabled: true });
    aws.send("token", &invert(3, false), None).await.unwrap();
    assert_eq!(read().await, HealthCheckInfo { version: 4, inverted: false, disabled: true });

    let nobody = ask(&aws, &Query::HealthCheck { id: "nobody".into() }).await.unwrap_err();
    assert_eq!(nobody.kind, FailureKind::Refused, "{nobody:?}");
}

#[tokio::test]
async fn a_health_check_that_somebody_else_changed_is_left_alone() {
    let (url, seen) = answering(failing("409 Conflict", "HealthCheckVersionMismatch", "changed since")).await;
    let call = Call::UpdateHealthCheck { id: "hc".into(), version: 1, inverted: true };
    let failure = Aws::with_endpoint(&url).send("token", &call, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
    assert!(failure.message.contains("HealthCheckVersionMismatch"), "{failure:?}");
    assert_eq!(seen.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_that_does_not_show_the_inversion_is_unknown() {
    // As it comes: the emulator has applied it, and its answer cannot be read.
    let client = aws_sdk_route53::Client::new(&sdk_config());
    let kind = HealthCheckType::Calculated;
    let settings = HealthCheckConfig::builder().r#type(kind).build().unwrap();
    let made = client.create_health_check().caller_reference("unread").health_check_config(settings).send().await.unwrap();
    let id = made.health_check().unwrap().id().to_owned();
    let call = Call::UpdateHealthCheck { id, version: 1, inverted: true };
    let failure = emulator().send("token", &call, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown, "{failure:?}");
    // And an answer that says something else than what was asked for.
    let body = "<UpdateHealthCheckResponse><HealthCheck><Id>hc</Id><CallerReference>r</CallerReference><HealthCheckConfig>\
                <Type>HTTPS</Type><Inverted>false</Inverted></HealthCheckConfig><HealthCheckVersion>2</HealthCheckVersion>\
                </HealthCheck></UpdateHealthCheckResponse>";
    let (url, _) = answering(http("200 OK", "text/xml", body)).await;
    let call = Call::UpdateHealthCheck { id: "hc".into(), version: 1, inverted: true };
    let failure = Aws::with_endpoint(&url).send("token", &call, None).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unknown, "{failure:?}");
}

pub fn flip(region: &str, metric: &str, value: i64) -> Call {
    Call::PutMetric {
        region: region.into(),
        namespace: "Cutover".into(),
        metric: metric.into(),
        dimensions: vec![("Of".into(), "api".into()), ("Zone".into(), "Z1".into())],
        value,
    }
}

#[tokio::test]
async fn a_switch_puts_its_value_where_its_region_is() {
    let aws = emulator();
    aws.send("token", &flip("eu-west-2", "Flipped", 1_500_000), None).await.unwrap();
    aws.send("token", &flip("eu-west-2", "Flipped", 1_500_000), None).await.unwrap();
    let maximum = async |region: &str| {
        let config = sdk_config().into_builder().region(Region::new(region.to_owned())).build();
        let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let minutes = |back: i64| DateTime::from_secs(DateTime::from(SystemTime::now()).secs() - 60 * back);
        let statistics = aws_sdk_cloudwatch::Client::new(&config)
            .get_metric_statistics()
            .namespace("Cutover")
            .metric_name("Flipped")
            .dimensions(dimension("Of", "api"))
            .dimensions(dimension("Zone", "Z1"))
            .statistics(Statistic::Maximum)
            .period(60)
            .start_time(minutes(5))
            .end_time(minutes(-1));
        let points = statistics.send().await.unwrap().datapoints.unwrap_or_default();
        points.iter().filter_map(aws_sdk_cloudwatch::types::Datapoint::maximum).reduce(f64::max)
    };
    assert_eq!(maximum("eu-west-2").await, Some(1.5));
    assert_eq!(maximum(REGION).await, None, "and nowhere else");
}

/// Hands out these credentials one after the other, and the last one again and again; counts how often it is asked.
#[derive(Debug, Clone)]
struct Desk {
    keys: Vec<Credentials>,
    asked: Arc<AtomicUsize>,
}

impl Desk {
    fn aws(url: &str, keys: &[(&str, Option<SystemTime>)]) -> (Aws, Desk) {
        let keys = keys.iter().map(|(id, expiry)| Credentials::new(*id, "secret", None, *expiry, "desk")).collect();
        let desk = Desk { keys, asked: Arc::default() };
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(url)
            .credentials_provider(SharedCredentialsProvider::new(desk.clone()))
            .build();
        (Aws::from_config(config), desk)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for Desk {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        let number = self.asked.fetch_add(1, Ordering::SeqCst).min(self.keys.len().saturating_sub(1));
        Provided::ready(self.keys.get(number).cloned().ok_or_else(|| CredentialsError::not_loaded("nobody is here")))
    }
}

fn in_seconds(seconds: u64) -> SystemTime {
    // Whole milliseconds, as the answer has them.
    UNIX_EPOCH + Duration::from_millis(u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap() + seconds * 1_000)
}

async fn expire(aws: &Aws) -> Result<Option<SystemTime>, Failure> {
    match ask(aws, &Query::Credentials).await? {
        Answer::Credentials { expires } => Ok(expires.map(|at| UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap()))),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn how_long_the_credentials_last_is_told_without_a_call() {
    let (url, seen) = answering(String::new()).await;
    assert_eq!(expire(&Aws::with_endpoint(&url)).await, Ok(None), "keys without an end");
    let end = in_seconds(3_600);
    let (aws, desk) = Desk::aws(&url, &[("one", Some(end))]);
    assert_eq!(expire(&aws).await, Ok(Some(end)));
    assert_eq!(expire(&aws).await, Ok(Some(end)));
    assert_eq!(desk.asked(), 1, "what is held is not asked for again");
    let (aws, _) = Desk::aws(&url, &[("one", Some(in_seconds(0)))]);
    assert_eq!(expire(&aws).await.unwrap_err().kind, FailureKind::Credentials);
    let (aws, _) = Desk::aws(&url, &[]);
    let failure = expire(&aws).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Credentials);
    assert!(!failure.message.contains("nobody is here"), "a provider may say too much: {failure:?}");
    assert_eq!(seen.connections(), 0);
}

#[tokio::test]
async fn credentials_that_run_out_are_replaced_in_good_time() {
    let (url, _) = answering(String::new()).await;
    let end = in_seconds(7_200);
    let (aws, desk) = Desk::aws(&url, &[("one", Some(in_seconds(600))), ("two", Some(end))]);
    // The first ones are worth asking for newer ones, but not more than once a minute.
    assert_eq!(expire(&aws).await.unwrap().map(|at| at < end), Some(true));
    assert_eq!(expire(&aws).await.unwrap().map(|at| at < end), Some(true));
    assert_eq!(desk.asked(), 1);
    let (aws, desk) = Desk::aws(&url, &[("one", Some(in_seconds(0))), ("two", Some(end))]);
    assert!(expire(&aws).await.is_err());
    assert_eq!(expire(&aws).await, Ok(Some(end)), "expired ones are never held");
    assert_eq!(desk.asked(), 2);
}

#[tokio::test]
async fn credentials_that_a_service_refused_are_asked_for_again() {
    let refused = |request: &str| {
        if request.contains("Credential=one/") {
            failing("403 Forbidden", "ExpiredToken", "The security token included in the request is expired")
        } else {
            failing("404 Not Found", "NoSuchChange", "no")
        }
    };
    let (url, seen) = serving(refused).await;
    let (aws, desk) = Desk::aws(&url, &[("one", None), ("one", None), ("one", None), ("two", None)]);
    let query = Query::Change { id: "C1".into() };
    let kind = async || ask(&aws, &query).await.unwrap_err().kind;
    assert_eq!(expire(&aws).await, Ok(None));
    assert_eq!(kind().await, FailureKind::Credentials);
    assert_eq!(desk.asked(), 1);
    // Nobody has logged in yet: what was refused does not count as lasting because it is handed out again.
    assert_eq!(expire(&aws).await.unwrap_err().kind, FailureKind::Credentials);
    assert_eq!(kind().await, FailureKind::Credentials);
    // Somebody has; a call finds out as well as a query.
    let call = change(&aws, "Z1", &[], &[weighted("a.example", "a", 1, None)]).await;
    assert_eq!(call.unwrap_err().kind, FailureKind::Refused);
    assert_eq!(expire(&aws).await, Ok(None));
    assert_eq!(kind().await, FailureKind::Refused);
    assert_eq!((desk.asked(), seen.requests().len()), (4, 4));
}

#[tokio::test]
async fn credentials_that_a_service_takes_again_are_good_again() {
    let turn = AtomicUsize::new(0);
    let (url, _) = serving(move |_| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => failing("403 Forbidden", "RequestExpired", "your clock"),
        _ => http("200 OK", "text/xml", CALLER),
    })
    .await;
    let (aws, _) = Desk::aws(&url, &[("one", None)]);
    assert_eq!(aws.identity().await.unwrap_err().kind, FailureKind::Credentials);
    assert_eq!(expire(&aws).await.unwrap_err().kind, FailureKind::Credentials);
    aws.identity().await.unwrap();
    assert_eq!(expire(&aws).await, Ok(None));
}

/// What STS says to `GetCallerIdentity`.
const CALLER: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn>\
                      <UserId>u</UserId><Account>000000000000</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
