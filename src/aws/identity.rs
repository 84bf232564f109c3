//! Who the credentials belong to: a live run refuses to start with those of another account.

use aws_sdk_sts::Client;

use super::errors;
use crate::cloud::Failure;

/// Whose credentials these are, as STS reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Account, 12 digits.
    pub account: String,
    /// ARN of the user or of the assumed role.
    pub arn: String,
}

/// STS `GetCallerIdentity`.
pub(super) async fn read(client: &Client) -> Result<Identity, Failure> {
    const OPERATION: &str = "sts GetCallerIdentity";
    let answer = client.get_caller_identity().send().await.map_err(|e| errors::failure(OPERATION, &e))?;
    match (answer.account(), answer.arn()) {
        (Some(account), Some(arn)) => Ok(Identity { account: account.to_owned(), arn: arn.to_owned() }),
        _ => Err(errors::unknown(format!("{OPERATION}: the answer names no account"))),
    }
}
