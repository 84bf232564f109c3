//! The credentials of this process: until when they last, and new ones after a person has logged in again.
//!
//! The SDK's own cache is left out in favour of this one, because it cannot say how long the credentials last, and
//! because it hands out what a service has refused until it would have expired, which for keys in a file is never
//! (rule 31).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::Mutex;

use super::errors;
use crate::cloud::{Failure, FailureKind, Millis};

/// Credentials with less than this left are asked for again: newer ones may be there already, and a rollback wants
/// as much time as it can get.
const EARLY: Duration = Duration::from_mins(15);
/// While there are usable ones, newer ones are asked for at most this often.
const AGAIN: Duration = Duration::from_mins(1);
/// Time-out of asking: shorter than a request's, so that "no credentials" is told from "no answer".
const LOAD_TIMEOUT: Duration = Duration::from_secs(4);

/// Where credentials come from, and those that are held. Cheap to clone; clones share what is held.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    source: Arc<Source>,
    held: Arc<Mutex<Option<Held>>>,
}

#[derive(Debug)]
enum Source {
    /// The usual chain, built anew each time: one that was built remembers the files it has read.
    Usual(Region),
    /// Somebody else's, if there is one.
    Given(Option<SharedCredentialsProvider>),
}

#[derive(Debug)]
struct Held {
    credentials: Credentials,
    /// When newer ones were asked for last.
    asked: Instant,
    /// A service has refused them.
    refused: bool,
}

impl Keys {
    /// Those of the usual chain.
    pub(super) fn usual(region: Region) -> Keys {
        Keys { source: Arc::new(Source::Usual(region)), held: Arc::default() }
    }

    /// Those of a provider.
    pub(super) fn given(provider: Option<SharedCredentialsProvider>) -> Keys {
        Keys { source: Arc::new(Source::Given(provider)), held: Arc::default() }
    }

    /// Until when the credentials are valid; `None` when they do not say.
    ///
    /// # Errors
    /// `Credentials` when there are none, or they have expired or were refused and no newer ones can be had.
    pub(super) async fn expire(&self) -> Result<Option<Millis>, Failure> {
        let failure = |message: &str| Failure { kind: FailureKind::Credentials, ..errors::refused(message) };
        let credentials = self.get().await.map_err(|e| failure(&format!("no credentials: {e}")))?;
        if left(&credentials).is_some_and(|left| left.is_zero()) {
            return Err(failure("the credentials have expired, and there are no newer ones"));
        }
        if self.held.lock().await.as_ref().is_some_and(|held| held.refused) {
            return Err(failure("the credentials were refused, and there are no newer ones"));
        }
        let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(credentials.expiry().map(|at| Millis::try_from(since(at).as_millis()).unwrap_or(Millis::MAX)))
    }

    /// A service has refused the credentials, or has taken them. While they are refused, each request asks for newer ones.
    pub(super) async fn heard(&self, refused: bool) {
        if let Some(held) = self.held.lock().await.as_mut() {
            held.refused = refused;
        }
    }

    async fn get(&self) -> Result<Credentials, CredentialsError> {
        let got = tokio::time::timeout(LOAD_TIMEOUT, self.held_or_newer()).await;
        got.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LOAD_TIMEOUT)))
    }

    async fn held_or_newer(&self) -> Result<Credentials, CredentialsError> {
        let mut held = self.held.lock().await;
        let usable = held.as_ref().filter(|h| left(&h.credentials).is_none_or(|left| !left.is_zero()));
        if let Some(Held { credentials, asked, refused: false }) = usable
            && (left(credentials).is_none_or(|left| left > EARLY) || asked.elapsed() < AGAIN)
        {
            return Ok(credentials.clone());
        }
        let usable = usable.map(|h| h.credentials.clone());
        let credentials = self.source.load().await.or_else(|error| usable.ok_or(error))?;
        let refused = held.as_ref().is_some_and(|h| h.refused && is_same(&h.credentials, &credentials));
        *held = Some(Held { credentials: credentials.clone(), asked: Instant::now(), refused });
        Ok(credentials)
    }
}

/// True when a service cannot tell them apart.
fn is_same(one: &Credentials, other: &Credentials) -> bool {
    let of =
        |c: &Credentials| [Some(c.access_key_id()), Some(c.secret_access_key()), c.session_token()].map(|t| t.map(str::to_owned));
    of(one) == of(other)
}

/// How long they are valid; `None` when they do not say.
fn left(credentials: &Credentials) -> Option<Duration> {
    credentials.expiry().map(|at| at.duration_since(SystemTime::now()).unwrap_or_default())
}

impl Source {
    async fn load(&self) -> Result<Credentials, CredentialsError> {
        let provider = match self {
            Source::Usual(region) => {
                let config = aws_config::defaults(BehaviorVersion::latest()).region(region.clone()).load().await;
                config.credentials_provider()
            }
            Source::Given(provider) => provider.clone(),
        };
        provider.ok_or_else(CredentialsError::not_loaded_no_source)?.provide_credentials().await
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> Provided<'a>
    where
        Self: 'a,
    {
        Provided::new(self.get())
    }
}
