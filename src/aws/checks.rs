//! Route 53 health checks: read them, and invert them by compare-and-swap on their version (rule 34).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_route53::Client;

use super::errors;
use crate::cloud::{CHECK_EVERY_MS, Failure, HealthCheckInfo, Millis, Reading, Receipt, Value};
use crate::plan::{MonitorId, Plan, Source};

/// How much earlier than it is due a check is read again: a poll that comes a moment early shall not wait for the next one.
const EARLY_MS: i64 = 1_000;

/// `GetHealthCheck`. Not for polling whether it is healthy: that is CloudWatch's to say (rule 6).
pub(super) async fn read(client: &Client, id: &str) -> Result<HealthCheckInfo, Failure> {
    const OPERATION: &str = "route53 GetHealthCheck";
    let answer = client.get_health_check().health_check_id(id).send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    let check = answer.health_check().ok_or_else(|| errors::unknown(format!("{OPERATION}: the answer has no health check")))?;
    let config = check.health_check_config();
    Ok(HealthCheckInfo {
        version: check.health_check_version(),
        // What was never set is not in the answer.
        inverted: config.and_then(aws_sdk_route53::types::HealthCheckConfig::inverted).unwrap_or(false),
        disabled: config.and_then(aws_sdk_route53::types::HealthCheckConfig::disabled).unwrap_or(false),
    })
}

/// `UpdateHealthCheck` of `Inverted` and nothing else: what is not named stays. A version that is no longer the newest
/// is refused (`HealthCheckVersionMismatch`).
pub(super) async fn invert(client: &Client, id: &str, version: i64, inverted: bool) -> Result<Receipt, Failure> {
    const OPERATION: &str = "route53 UpdateHealthCheck";
    let request = client.update_health_check().health_check_id(id).health_check_version(version).inverted(inverted);
    let answer = request.send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    match answer.health_check().and_then(|c| c.health_check_config()).map(|c| c.inverted().unwrap_or(false)) {
        Some(now) if now == inverted => Ok(Receipt::default()),
        _ => Err(errors::unknown(format!("{OPERATION}: the answer does not show the change"))),
    }
}

/// What each health check makes of its endpoint's status, and when that was read.
#[derive(Debug, Default)]
pub(super) struct Checks {
    known: Mutex<BTreeMap<String, (Millis, Read)>>,
}

/// A check as it was read, or why it could not be.
type Read = Result<HealthCheckInfo, String>;

impl Checks {
    /// Puts a status of CloudWatch's into words: without `Inverted` and `Disabled` it says nothing about the endpoint
    /// (rules 1 and 2). These are read more slowly than the status. What cannot be read is not guessed.
    pub(super) async fn explain(&self, client: &Client, plan: &Plan, readings: &mut [(MonitorId, Reading)], now: Millis) {
        let checked = readings.iter_mut().filter_map(|(id, reading)| match &plan.monitors.get(*id)?.source {
            Source::HealthCheck { id, .. } => Some((id.as_str(), reading)),
            _ => None,
        });
        let checked: Vec<(&str, &mut Reading)> = checked.collect();
        let mut due: Vec<&str> = checked.iter().map(|(id, _)| *id).filter(|id| self.is_due(id, now)).collect();
        due.sort_unstable();
        due.dedup();
        let asked = due.into_iter().map(async |id| (id, read(client, id).await));
        let answers = futures_util::future::join_all(asked).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, answer) in answers {
            known.insert(id.to_owned(), (now, answer.map_err(|failure| failure.message)));
        }
        for (id, reading) in checked {
            match known.get(id).map(|(_, info)| info) {
                Some(Ok(info)) => put_into_words(*info, reading, now),
                Some(Err(why)) => *reading = missing(&format!("inverted or disabled is not known: {why}"), now),
                None => *reading = missing("inverted or disabled is not known", now),
            }
        }
    }

    fn is_due(&self, id: &str, now: Millis) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).is_none_or(|(at, _)| now.saturating_sub(*at) >= CHECK_EVERY_MS - EARLY_MS)
    }
}

/// A disabled check has no status of its own, and need not publish any.
fn put_into_words(info: HealthCheckInfo, reading: &mut Reading, now: Millis) {
    if info.disabled {
        *reading = Reading { at: now, value: Value::Status(info.word(true).to_owned()) };
    } else if let Value::Number(status) = reading.value {
        reading.value = Value::Status(info.word(status > 0).to_owned());
    }
}

fn missing(why: &str, now: Millis) -> Reading {
    Reading { at: now, value: Value::Missing(why.to_owned()) }
}
