//! What an SDK error means for the caller. Every error of a cloud call is classified here and nowhere else.
//!
//! The rule for doubt: only what *certainly* was not applied may be called refused, throttled, credentials or
//! unreachable; everything else is [`FailureKind::Unknown`] and has to be settled by reading (rule 30).

use std::error::Error;
use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::cloud::{Failure, FailureKind, Receipt};

/// Longest message, in characters: it is journaled and shown on one line.
const MESSAGE_CHARS_MAX: usize = 300;

/// Codes that say "too fast" or "another change is still going on": the request was turned away at the door.
const THROTTLED: [&str; 12] = [
    "BandwidthLimitExceeded",
    "OperationInProgressException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes that only a human can mend: log in again, or set the clock (signatures expire).
const CREDENTIALS: [&str; 14] = [
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Classifies an SDK error. `operation` is for people, such as `route53 GetChange`.
pub(super) fn failure<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            service(operation, status, answer.err().code(), answer.err().message())
        }
        // The request could not even be built, so it never left this process.
        SdkError::ConstructionFailure(_) => refused(format!("{operation}: cannot build the request: {}", causes(error))),
        SdkError::DispatchFailure(_) => dispatch(operation, error),
        SdkError::TimeoutError(_) => unknown(format!("{operation}: no answer in time")),
        _ => unknown(format!("{operation}: broken answer: {}", causes(error))),
    }
}

/// A refusal for good, made here or by the service.
pub(super) fn refused(message: impl AsRef<str>) -> Failure {
    Failure { kind: FailureKind::Refused, message: one_line(message.as_ref()) }
}

/// An answer that says neither yes nor no.
pub(super) fn unknown(message: impl AsRef<str>) -> Failure {
    Failure { kind: FailureKind::Unknown, message: one_line(message.as_ref()) }
}

/// An answer without a body is accepted by the SDK whatever it says: with 200 from a captive portal, a call that was
/// never made would count as done. The services always send their request id, so that is what is looked for.
pub(super) fn confirmed(operation: &str, request_id: Option<&str>) -> Result<Receipt, Failure> {
    match request_id {
        Some(_) => Ok(Receipt::default()),
        None => Err(unknown(format!("{operation}: the answer is not the service's: it has no request id"))),
    }
}

/// Whether CloudFormation says that the stack is not there. It has no code of its own for that.
pub(super) fn is_missing_stack<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata,
{
    error.code() == Some("ValidationError") && error.message().is_some_and(|m| m.contains("does not exist"))
}

/// Classifies what the service itself answered.
fn service(operation: &str, status: u16, code: Option<&str>, message: Option<&str>) -> Failure {
    let Some(code) = code.filter(|c| !c.is_empty()) else {
        // Without a code it was perhaps not the service that answered, so its 4xx proves nothing. 429 is the
        // exception: whoever says it says that the request was not passed on.
        let kind = if status == 429 { FailureKind::Throttled } else { FailureKind::Unknown };
        return Failure { kind, message: one_line(&format!("{operation}: HTTP status {status} without an error code")) };
    };
    let message = message.unwrap_or_default();
    let kind = if THROTTLED.contains(&code) || is_busy_stack(code, message) {
        FailureKind::Throttled
    } else if CREDENTIALS.contains(&code) {
        FailureKind::Credentials
    } else if (400..500).contains(&status) && !code.starts_with("RequestTimeout") {
        FailureKind::Refused
    } else {
        FailureKind::Unknown
    };
    // The text of a signature error quotes the signed request, session token and all.
    let message = if code.contains("Signature") { "the signature was not accepted" } else { message };
    Failure { kind, message: one_line(&format!("{operation}: {code}: {message}")) }
}

/// CloudFormation refuses a change during another change with `ValidationError`; waiting helps then. It does
/// not help in `REVIEW_IN_PROGRESS`, which lasts until somebody acts (rule 35).
fn is_busy_stack(code: &str, message: &str) -> bool {
    code == "ValidationError" && message.contains("_IN_PROGRESS state") && !message.contains("REVIEW_IN_PROGRESS")
}

/// Classifies a request that failed on its way.
fn dispatch(operation: &str, error: &(dyn Error + 'static)) -> Failure {
    if let Some(credentials) = chain(error).find_map(|e| e.downcast_ref::<CredentialsError>()) {
        // Only the outermost text: a credential process may print anything in its errors.
        return Failure {
            kind: FailureKind::Credentials,
            message: one_line(&format!("{operation}: no credentials: {credentials}")),
        };
    }
    // `is_connect` covers name resolution, TCP, the connect time-out and the TLS handshake: everything before the
    // first byte of a request. Any other failure may have come after the request was sent.
    let connecting = chain(error)
        .filter_map(|e| e.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect);
    let (kind, what) =
        if connecting { (FailureKind::Unreachable, "cannot connect") } else { (FailureKind::Unknown, "the connection broke") };
    Failure { kind, message: one_line(&format!("{operation}: {what}: {}", causes(error))) }
}

/// The error and everything behind it. An `io::Error` hides its payload from `source`, so it is asked for it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// The last two different causes: the outer layers only say that there was an error.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = chain(error).map(ToString::to_string).filter(|t| !t.is_empty()).collect();
    texts.dedup();
    texts[texts.len().saturating_sub(2)..].join(": ")
}

/// One line without control characters and of bounded length.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, code: &str, message: &str) -> FailureKind {
        service("op", status, Some(code), Some(message)).kind
    }

    #[test]
    fn service_answers_are_classified_by_code_first_and_status_second() {
        assert_eq!(kind(400, "InvalidChangeBatch", "no"), FailureKind::Refused);
        assert_eq!(kind(403, "AccessDenied", "no"), FailureKind::Refused);
        assert_eq!(kind(400, "PriorRequestNotComplete", "wait"), FailureKind::Throttled);
        assert_eq!(kind(503, "Throttling", "slow"), FailureKind::Throttled);
        assert_eq!(kind(403, "ExpiredToken", "old"), FailureKind::Credentials);
        assert_eq!(kind(500, "InternalFailure", "oops"), FailureKind::Unknown);
        assert_eq!(kind(408, "RequestTimeout", "oops"), FailureKind::Unknown);
        assert_eq!(service("op", 404, None, None).kind, FailureKind::Unknown);
        assert_eq!(service("op", 429, None, None).kind, FailureKind::Throttled);
    }

    #[test]
    fn a_stack_that_is_busy_is_worth_another_try_but_one_in_review_is_not() {
        let text = |word: &str| format!("Stack:arn is in {word} state and can not be updated.");
        assert_eq!(kind(400, "ValidationError", &text("UPDATE_IN_PROGRESS")), FailureKind::Throttled);
        assert_eq!(kind(400, "ValidationError", &text("REVIEW_IN_PROGRESS")), FailureKind::Refused);
        assert_eq!(kind(400, "ValidationError", &text("ROLLBACK_COMPLETE")), FailureKind::Refused);
    }

    #[test]
    fn messages_are_one_bounded_line_without_the_signed_request() {
        let failure =
            service("op", 403, Some("SignatureDoesNotMatch"), Some("The Canonical String: x-amz-security-token:SECRET"));
        assert!(!failure.message.contains("SECRET"), "{}", failure.message);
        assert_eq!(one_line("a\n\tb\u{1b}[1m  c"), "a b [1m c");
        assert_eq!(one_line(&"x".repeat(1000)).chars().count(), MESSAGE_CHARS_MAX + 1);
    }
}
