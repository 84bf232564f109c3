//! In which region this machine is, if it is one of EC2's.

use std::time::Duration;

use aws_config::imds::Client;

/// Longest that the question takes altogether: the service is in the machine's own host, or nowhere.
const LIMIT: Duration = Duration::from_secs(1);
/// Where the answer is.
const PATH: &str = "/latest/meta-data/placement/region";

/// The region, as the instance metadata service says; nothing when there is none. `endpoint` is another place for it than
/// its own (or what `AWS_EC2_METADATA_SERVICE_ENDPOINT` says). It takes a second at most.
pub async fn metadata_region(endpoint: Option<&str>) -> Option<String> {
    let mut builder = Client::builder().max_attempts(1).connect_timeout(LIMIT).read_timeout(LIMIT);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint(endpoint).ok()?;
    }
    let client = builder.build();
    let region = String::from(tokio::time::timeout(LIMIT, client.get(PATH)).await.ok()?.ok()?);
    // What answers there may be a captive portal.
    let good = !region.is_empty()
        && region.len() < 40
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    good.then_some(region)
}
