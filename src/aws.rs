//! The live backend: asks and changes the real cloud. It keeps the promises of [`crate::cloud`] and nothing more:
//! no retries, no waiting, and no memory but for why a metric is silent and what a health check makes of its endpoint. Whether to ask again is the core's to decide (rule 30).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

use self::checks::Checks;
pub use self::identity::Identity;
use self::keys::Keys;
use self::math::Memory;
use self::metrics::Polled;
pub use self::place::metadata_region;
use self::silence::Silence;
use crate::cloud::{
    Answer, Call, Failure, FailureKind, Millis, PollGroup, PollKind, Query, Reading, Receipt, metric_regions, metrics_of,
    warm_regions,
};
use crate::plan::{MonitorId, Plan, ROUTE53_REGION, Source};

mod checks;
mod errors;
mod identity;
mod keys;
mod math;
mod metrics;
mod place;
mod records;
mod silence;
mod stacks;
pub mod survey;

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
    keys: Keys,
    sts: aws_sdk_sts::Client,
    route53: aws_sdk_route53::Client,
    stacks: Mutex<BTreeMap<String, aws_sdk_cloudformation::Client>>,
    metrics: Mutex<BTreeMap<String, aws_sdk_cloudwatch::Client>>,
    silence: Silence,
    math: Memory,
    checks: Checks,
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
        let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        let region = config.region().cloned().unwrap_or(Region::from_static(ROUTE53_REGION));
        Aws::with_keys(config, Keys::usual(region))
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
    /// are part of what [`crate::cloud::FailureKind`] promises. Its cache of credentials gives way to one that can be
    /// asked how long they last.
    #[must_use]
    pub fn from_config(config: SdkConfig) -> Aws {
        let keys = Keys::given(config.credentials_provider());
        Aws::with_keys(config, keys)
    }

    fn with_keys(config: SdkConfig, keys: Keys) -> Aws {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = config
            .into_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .credentials_provider(SharedCredentialsProvider::new(keys.clone()))
            .identity_cache(IdentityCache::no_cache())
            .build();
        let route53 = aws_sdk_route53::config::Builder::from(&config).region(Region::new(ROUTE53_REGION)).build();
        let inner = Inner {
            sts: aws_sdk_sts::Client::new(&config),
            route53: aws_sdk_route53::Client::from_conf(route53),
            stacks: Mutex::default(),
            metrics: Mutex::default(),
            silence: Silence::default(),
            math: Memory::default(),
            checks: Checks::default(),
            keys,
            config,
        };
        Aws { inner: Arc::new(inner) }
    }

    /// Whose credentials these are.
    ///
    /// # Errors
    /// As classified in [`crate::cloud::FailureKind`]; `Credentials` when there are none or they have expired.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        self.noting(identity::read(&self.inner.sts)).await
    }

    /// Reads something. `groups` are the plan's, as [`crate::cloud::poll_groups`] gives them.
    ///
    /// # Errors
    /// As classified in [`crate::cloud::FailureKind`]. A monitor that cannot be seen while others can is no error
    /// but a missing value.
    pub async fn ask(&self, plan: &Plan, groups: &[PollGroup], query: &Query) -> Result<Answer, Failure> {
        // The provider of credentials is no service.
        let unsigned = matches!(query, Query::Credentials);
        // The SDK's futures are large; one that is kept in two places would be twice as large.
        let answer = Box::pin(self.answer(plan, groups, query));
        if unsigned { answer.await } else { self.noting(answer).await }
    }

    async fn answer(&self, plan: &Plan, groups: &[PollGroup], query: &Query) -> Result<Answer, Failure> {
        match query {
            Query::Records { zone, name } => records::list(&self.inner.route53, zone, name).await.map(Answer::Records),
            Query::Change { id } => records::in_sync(&self.inner.route53, id).await.map(|in_sync| Answer::Change { in_sync }),
            Query::Stack { region, stack } => stacks::stack(&self.stacks(region), stack).await.map(Answer::Stack),
            Query::StackEvents { region, stack, after } => {
                stacks::events(&self.stacks(region), stack, after.as_deref()).await.map(Answer::StackEvents)
            }
            Query::ChangeSet { region, stack, change_set } => {
                stacks::change_set(&self.stacks(region), stack, change_set).await.map(Answer::ChangeSet)
            }
            Query::HealthCheck { id } => checks::read(&self.inner.route53, id).await.map(Answer::HealthCheck),
            Query::Credentials => self.inner.keys.expire().await.map(|expires| Answer::Credentials { expires }),
            Query::File { .. } | Query::DoneIf { .. } => Err(errors::refused("no service is asked that")),
            Query::Poll(index) => match groups.get(*index) {
                Some(group) => self.poll(plan, group).await,
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
        self.noting(self.make(token, call, template)).await
    }

    async fn make(&self, token: &str, call: &Call, template: Option<&str>) -> Result<Receipt, Failure> {
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
            Call::UpdateHealthCheck { id, version, inverted } => {
                checks::invert(&self.inner.route53, id, *version, *inverted).await
            }
            Call::PutMetric { region, namespace, metric, dimensions, value } => {
                metrics::put(&self.metrics(region), namespace, metric, dimensions, *value).await
            }
            Call::RunScript { .. } | Call::EditFile { .. } | Call::MakeRequest { .. } => {
                Err(errors::refused(format!("{} is no call of a service", call.operation())))
            }
        }
    }

    /// Remembers whether a service took the credentials: after a refusal somebody may have logged in again.
    async fn noting<T>(&self, asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let result = asked.await;
        match &result {
            Ok(_) => self.inner.keys.heard(false).await,
            Err(failure) if failure.kind == FailureKind::Credentials => self.inner.keys.heard(true).await,
            Err(_) => {}
        }
        result
    }

    /// Opens the connections that the rollbacks of a plan would need, so that their first calls do not pay for it. Those
    /// of Route 53 are not among them: the engine reads the records over the same client once a minute, and a connection
    /// stays open for 90 seconds after its last use. What the services answer does not matter and is not looked at.
    pub async fn warm(&self, plan: &Plan) {
        let (stacks, switches) = warm_regions(plan);
        let stacks = stacks.into_iter().map(async |region| {
            let _ = self.stacks(region).describe_account_limits().send().await;
        });
        let switches = switches.into_iter().map(async |region| {
            let _ = self.metrics(region).describe_alarms().max_records(1).send().await;
        });
        futures_util::join!(futures_util::future::join_all(stacks), futures_util::future::join_all(switches));
    }

    async fn poll(&self, plan: &Plan, group: &PollGroup) -> Result<Answer, Failure> {
        let sources = || group.monitors.iter().filter_map(|&id| plan.monitors.get(id).map(|monitor| (id, &monitor.source)));
        match group.kind {
            PollKind::Stacks => {
                let stacks: Vec<(MonitorId, &str)> = sources()
                    .filter_map(|(id, source)| match source {
                        Source::Stack { stack } => Some((id, stack.as_str())),
                        Source::Metric(_) | Source::HealthCheck { .. } | Source::Http(_) | Source::Dns(_) => None,
                    })
                    .collect();
                stacks::poll(&self.stacks(&group.region), &stacks, now_ms()).await
            }
            PollKind::Metrics => self.poll_metrics(plan, group).await.map(Answer::Readings),
            PollKind::Probe | PollKind::Dns => Err(errors::refused("probes are not made by AWS")),
        }
    }

    /// Reads the metrics of a region, and finds a word for those that say nothing.
    async fn poll_metrics(&self, plan: &Plan, group: &PollGroup) -> Result<Vec<(MonitorId, Reading)>, Failure> {
        let (now, metrics) = (now_ms(), metrics_of(plan, group));
        let client = |region: &str| self.metrics(region);
        let polled = metrics::poll(&client(&group.region), &self.inner.math, &group.region, &metrics, now).await?;
        let source = |id: MonitorId| metrics.iter().find(|(of, _)| *of == id).map(|(_, source)| *source);
        let (mut readings, mut silent, mut hushes) = (Vec::with_capacity(polled.len()), Vec::new(), Vec::new());
        for (id, polled) in polled {
            match (polled, source(id)) {
                (Polled::Reading(reading), _) => readings.push((id, reading)),
                (Polled::Silent(hush), Some(source)) => {
                    silent.push((id, source));
                    hushes.push(hush);
                }
                (Polled::Silent(_), None) => {}
            }
        }
        let regions = metric_regions(plan);
        let listed = self.inner.silence.explain(client, (&group.region, &regions), &silent, now).await;
        let words = silent.into_iter().zip(hushes.iter().zip(&listed));
        readings.extend(words.map(|((id, source), (hush, listed))| (id, silence::word(hush, listed, source, now))));
        readings.sort_by_key(|(id, _)| *id);
        self.inner.checks.explain(&self.inner.route53, plan, &mut readings, now).await;
        Ok(readings)
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
