//! Route 53 health checks: read them, and invert them by compare-and-swap on their version (rule 34).

use aws_sdk_route53::Client;

use super::errors;
use crate::cloud::{Failure, HealthCheckInfo, Receipt};

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
