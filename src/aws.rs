//! The live backend: asks and changes the real cloud. It keeps the promises of [`crate::cloud`] and nothing more:
//! no retries, no waiting, no memory. Whether to ask again is the core's to decide (rule 30).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

pub use self::identity::Identity;
use crate::cloud::{Answer, Call, Failure, Millis, PollGroup, PollKind, Query, Reading, Receipt};
use crate::plan::{MetricSource, MonitorId, Plan, Source};
use crate::probe::Probe;

mod errors;
mod identity;
mod metrics;
mod records;
mod stacks;

/// Where the control plane of Route 53 lives (rule 5).
const ROUTE53_REGION: &str = "us-east-1";
/// Time-out of TCP connect and TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time-out of one attempt: longer than connecting, so that "could not connect" is told from "no answer".
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time-out of one operation; there is only ever one attempt.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(6);

/// The real cloud. Cheap to clone; clones share clients and their connections.
#[derive(Debug, Clone)]
pub struct Aws {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: SdkConfig,
    sts: aws_sdk_sts::Client,
    route53: aws_sdk_route53::Client,
    stacks: Mutex<BTreeMap<String, aws_sdk_cloudformation::Client>>,
    metrics: Mutex<BTreeMap<String, aws_sdk_cloudwatch::Client>>,
    probe: OnceLock<Probe>,
}

impl Aws {
    /// The account that the usual chain leads to: environment, profile, SSO, container or instance role.
    /// `AWS_ENDPOINT_URL` and its per-service variants are honoured. Calls no service yet.
    pub async fn connect() -> Aws {
        // The SDK's own chain would ask the instance metadata service for a region, which off EC2 costs a second
        // and is never needed: every client here is told its region by the plan.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::new(ROUTE53_REGION));
        Aws::from_config(aws_config::defaults(BehaviorVersion::latest()).region(region).load().await)
    }

    /// An emulator that serves everything at one URL, with credentials that mean nothing.
    #[must_use]
    pub fn with_endpoint(url: &str) -> Aws {
        let credentials = Credentials::new("test", "test", None, None, "emulator");
        Aws::from_config(
            SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new(ROUTE53_REGION))
                .endpoint_url(url)
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                .build(),
        )
    }

    /// A backend with these settings, except that the SDK's retries are switched off and its time-outs set: both
    /// are part of what [`crate::cloud::FailureKind`] promises.
    #[must_use]
    pub fn from_config(config: SdkConfig) -> Aws {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = config.into_builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts).build();
        let route53 = aws_sdk_route53::config::Builder::from(&config).region(Region::new(ROUTE53_REGION)).build();
        let inner = Inner {
            sts: aws_sdk_sts::Client::new(&config),
            route53: aws_sdk_route53::Client::from_conf(route53),
            stacks: Mutex::default(),
            metrics: Mutex::default(),
            probe: OnceLock::new(),
            config,
        };
        Aws { inner: Arc::new(inner) }
    }

    /// Whose credentials these are.
    ///
    /// # Errors
    /// As classified in [`crate::cloud::FailureKind`]; `Credentials` when there are none or they have expired.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        identity::read(&self.inner.sts).await
    }

    /// Reads something. `groups` are the plan's, as [`crate::cloud::poll_groups`] gives them.
    ///
    /// # Errors
    /// As classified in [`crate::cloud::FailureKind`]. A monitor that cannot be seen while others can is no error
    /// but a missing value.
    pub async fn ask(&self, plan: &Plan, groups: &[PollGroup], query: &Query) -> Result<Answer, Failure> {
        match query {
            Query::Records { zone, name } => records::list(&self.inner.route53, zone, name).await.map(Answer::Records),
            Query::Change { id } => records::in_sync(&self.inner.route53, id).await.map(|in_sync| Answer::Change { in_sync }),
            Query::Stack { region, stack } => stacks::stack(&self.stacks(region), stack).await.map(Answer::Stack),
            Query::StackEvents { region, stack } => stacks::events(&self.stacks(region), stack).await.map(Answer::StackEvents),
            Query::ChangeSet { region, stack, change_set } => {
                stacks::change_set(&self.stacks(region), stack, change_set).await.map(Answer::ChangeSet)
            }
            Query::HealthCheck { id } => Err(errors::refused(format!("health check {id} cannot be read yet"))),
            Query::Credentials => Ok(Answer::Credentials { expires: None }),
            Query::Poll(index) => match groups.get(*index) {
                Some(group) => self.poll(plan, group).await.map(Answer::Readings),
                None => Err(errors::refused(format!("there is no poll group {index}"))),
            },
        }
    }

    /// Changes something, once. `token` makes the call recognisable: it is CloudFormation's idempotency token and
    /// stands in the comment of a Route 53 change. `template` is the text that goes with a
    /// [`Call::CreateChangeSet`].
    ///
    /// # Errors
    /// As classified in [`crate::cloud::FailureKind`]: after anything but `Unknown` it was certainly not applied.
    pub async fn send(&self, token: &str, call: &Call, template: Option<&str>) -> Result<Receipt, Failure> {
        match call {
            Call::ChangeRecords { zone, delete, create } => {
                records::change(&self.inner.route53, token, zone, delete, create).await
            }
            Call::CreateChangeSet { region, stack, change_set, create, template_sha256, parameters, capabilities } => {
                let new = stacks::NewChangeSet {
                    stack,
                    change_set,
                    create: *create,
                    template: template.unwrap_or_default(),
                    template_sha256,
                    parameters,
                    capabilities,
                };
                stacks::create_change_set(&self.stacks(region), token, new).await
            }
            Call::ExecuteChangeSet { region, stack, change_set } => {
                stacks::execute_change_set(&self.stacks(region), token, stack, change_set).await
            }
            Call::DeleteStack { region, stack } => stacks::delete_stack(&self.stacks(region), token, stack).await,
            Call::UpdateHealthCheck { .. } | Call::PutMetric { .. } => {
                Err(errors::refused("this release cannot make that call yet".to_owned()))
            }
        }
    }

    /// Opens the connections that a rollback would need, and resolves the credentials, so that the first call does
    /// not pay for it. What the services answer does not matter and is not looked at. A connection that is not used
    /// for about 90 seconds closes again.
    pub async fn warm(&self, regions: &[String]) {
        let route53 = async {
            let _ = self.inner.route53.get_hosted_zone_count().send().await;
        };
        let stacks = regions.iter().map(|region| {
            let client = self.stacks(region);
            async move {
                let _ = client.describe_account_limits().send().await;
            }
        });
        futures_util::join!(route53, futures_util::future::join_all(stacks));
    }

    async fn poll(&self, plan: &Plan, group: &PollGroup) -> Result<Vec<(MonitorId, Reading)>, Failure> {
        let sources = || group.monitors.iter().filter_map(|&id| plan.monitors.get(id).map(|monitor| (id, &monitor.source)));
        match group.kind {
            PollKind::Stacks => {
                let stacks: Vec<(MonitorId, &str)> = sources()
                    .filter_map(|(id, source)| match source {
                        Source::Stack { stack } => Some((id, stack.as_str())),
                        Source::Metric(_) | Source::Http(_) => None,
                    })
                    .collect();
                stacks::poll(&self.stacks(&group.region), &stacks, now_ms()).await
            }
            PollKind::Metrics => {
                let metrics: Vec<(MonitorId, &MetricSource)> = sources()
                    .filter_map(|(id, source)| match source {
                        Source::Metric(metric) => Some((id, metric)),
                        Source::Stack { .. } | Source::Http(_) => None,
                    })
                    .collect();
                metrics::poll(&self.metrics(&group.region), &metrics, now_ms()).await
            }
            PollKind::Probe => {
                let mut readings = Vec::new();
                for (id, source) in sources() {
                    if let Source::Http(http) = source {
                        // Loading the roots reads files, so it waits until somebody probes.
                        let value = self.inner.probe.get_or_init(Probe::new).read(http).await;
                        readings.push((id, Reading { at: now_ms(), value }));
                    }
                }
                Ok(readings)
            }
        }
    }

    fn stacks(&self, region: &str) -> aws_sdk_cloudformation::Client {
        // A panic cannot leave the map half changed, so a poisoned lock is as good as any.
        let mut clients = self.inner.stacks.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let config = aws_sdk_cloudformation::config::Builder::from(&self.inner.config);
            aws_sdk_cloudformation::Client::from_conf(config.region(Region::new(region.to_owned())).build())
        };
        clients.entry(region.to_owned()).or_insert_with(make).clone()
    }

    fn metrics(&self, region: &str) -> aws_sdk_cloudwatch::Client {
        let mut clients = self.inner.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let config = aws_sdk_cloudwatch::config::Builder::from(&self.inner.config);
            aws_sdk_cloudwatch::Client::from_conf(config.region(Region::new(region.to_owned())).build())
        };
        clients.entry(region.to_owned()).or_insert_with(make).clone()
    }
}

/// The wall clock in milliseconds since 1970; 0 for a clock that is set before.
fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
