//! Looks around an account before a run, with reading calls only.

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_route53::types::HealthCheckConfig;

use super::silence::{self, Listed};
use super::{Aws, errors};
use crate::cloud::{Failure, FailureKind, metric_regions};
use crate::plan::claims::judge::{CheckSeen, StackSeen};
use crate::plan::{Metric, Plan, RecordSet};

/// Where a metric was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricSeen {
    /// In the region in which it is read.
    Here,
    /// Not there, but in this region.
    Elsewhere(String),
    /// In no region of the plan.
    Nowhere,
}

impl Aws {
    /// Whether CloudFormation can read a template: its words if not.
    ///
    /// # Errors
    /// As classified in [`FailureKind`].
    pub async fn template_refusal(&self, region: &str, template: &str) -> Result<Option<String>, Failure> {
        const OPERATION: &str = "cloudformation ValidateTemplate";
        match self.stacks(region).validate_template().template_body(template).send().await {
            Ok(_) => Ok(None),
            Err(e) if e.code() == Some("ValidationError") => Ok(Some(errors::failure(OPERATION, &e).message)),
            Err(e) => Err(errors::failure(OPERATION, &e)),
        }
    }

    /// The name of a hosted zone without its final dot, and whether it is private; `None` when it is not there.
    ///
    /// # Errors
    /// As classified in [`FailureKind`].
    pub async fn zone(&self, id: &str) -> Result<Option<(String, bool)>, Failure> {
        const OPERATION: &str = "route53 GetHostedZone";
        match self.inner.route53.get_hosted_zone().id(id).send().await {
            Ok(answer) => match answer.hosted_zone() {
                Some(zone) => {
                    let private = zone.config().is_some_and(aws_sdk_route53::types::HostedZoneConfig::private_zone);
                    Ok(Some((zone.name().trim_end_matches('.').to_ascii_lowercase(), private)))
                }
                None => Err(errors::unknown(format!("{OPERATION}: the answer has no zone"))),
            },
            Err(e) if matches!(e.code(), Some("NoSuchHostedZone" | "InvalidInput")) => Ok(None),
            Err(e) => Err(errors::failure(OPERATION, &e)),
        }
    }

    /// All record sets of a name, of every type.
    ///
    /// # Errors
    /// As classified in [`FailureKind`]; `Refused` also for a record that this release cannot carry.
    pub async fn records(&self, zone: &str, name: &str) -> Result<Vec<RecordSet>, Failure> {
        super::records::list(&self.inner.route53, zone, name).await
    }

    /// A stack; `None` when it is not there.
    ///
    /// # Errors
    /// As classified in [`FailureKind`].
    pub async fn stack_seen(&self, region: &str, stack: &str) -> Result<Option<StackSeen>, Failure> {
        const OPERATION: &str = "cloudformation DescribeStacks";
        let answer = match self.stacks(region).describe_stacks().stack_name(stack).send().await {
            Ok(answer) => answer,
            Err(e) if errors::is_missing_stack(&e) => return Ok(None),
            Err(e) => return Err(errors::failure(OPERATION, &e)),
        };
        match answer.stacks() {
            [one] => Ok(Some(StackSeen {
                status: one.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
                protected: one.enable_termination_protection().unwrap_or(false),
            })),
            many => Err(errors::unknown(format!("{OPERATION}: {} stacks instead of one", many.len()))),
        }
    }

    /// A health check; `None` when it is not there.
    ///
    /// # Errors
    /// As classified in [`FailureKind`].
    pub async fn health_check(&self, id: &str) -> Result<Option<CheckSeen>, Failure> {
        const OPERATION: &str = "route53 GetHealthCheck";
        let answer = match self.inner.route53.get_health_check().health_check_id(id).send().await {
            Ok(answer) => answer,
            Err(e) if matches!(e.code(), Some("NoSuchHealthCheck" | "InvalidInput")) => return Ok(None),
            Err(e) => return Err(errors::failure(OPERATION, &e)),
        };
        let check =
            answer.health_check().ok_or_else(|| errors::unknown(format!("{OPERATION}: the answer has no health check")))?;
        let config = check.health_check_config();
        let alarm = check.cloud_watch_alarm_configuration();
        let metric = alarm.map(|alarm| {
            let dimension = |d: &aws_sdk_route53::types::Dimension| (d.name().to_owned(), d.value().to_owned());
            let mut dimensions: Vec<(String, String)> = alarm.dimensions().iter().map(dimension).collect();
            dimensions.sort();
            (alarm.namespace().to_owned(), alarm.metric_name().to_owned(), dimensions)
        });
        let follows = config.map(follows).unwrap_or_default();
        let told = metric.as_ref().map(|(namespace, name, _)| format!(" ({namespace} {name})")).unwrap_or_default();
        Ok(Some(CheckSeen {
            disabled: config.and_then(HealthCheckConfig::disabled).unwrap_or(false),
            inverted: config.and_then(HealthCheckConfig::inverted).unwrap_or(false),
            follows: follows + &told,
            alarm_region: config.and_then(|c| c.alarm_identifier()).map(|alarm| alarm.region().as_str().to_owned()),
            metric,
        }))
    }

    /// Where a metric is listed: in its region, or in another one of the plan.
    ///
    /// # Errors
    /// As classified in [`FailureKind`], also when another region did not answer.
    pub async fn metric(&self, plan: &Plan, region: &str, metric: &Metric) -> Result<MetricSeen, Failure> {
        let regions = metric_regions(plan);
        match silence::find(&|region: &str| self.metrics(region), (region, &regions), metric).await? {
            Listed::Here => Ok(MetricSeen::Here),
            Listed::Elsewhere(region) => Ok(MetricSeen::Elsewhere(region)),
            Listed::Nowhere => Ok(MetricSeen::Nowhere),
            Listed::Unsaid => Err(Failure { kind: FailureKind::Unknown, message: "nobody said where it is".into() }),
        }
    }
}

/// What a health check follows, in words.
fn follows(config: &HealthCheckConfig) -> String {
    if let Some(alarm) = config.alarm_identifier() {
        return format!("the alarm {} in {}", alarm.name(), alarm.region().as_str());
    }
    if !config.child_health_checks().is_empty() {
        return format!("{} other health checks", config.child_health_checks().len());
    }
    let host = config.fully_qualified_domain_name().or(config.ip_address()).unwrap_or("an endpoint");
    let port = config.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{} {host}{port}{}", config.r#type().as_str(), config.resource_path().unwrap_or_default())
}
