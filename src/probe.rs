//! Probes: what a user would see, with the time of every phase, on a schedule that does not wait for slow answers.
//!
//! | Module | What is in it |
//! |---|---|
//! | `http`, `line`, `dns` | one request; the connection it goes over; the names it resolves |
//! | `fetch` | a request whose answer is read: what a step of a plan makes |
//! | `names`, `question` | DNS monitors: a name, asked of many servers; one question to one of them |
//! | `clock`, `prober` | when requests are due; many targets at once |
//! | `report` | percentiles, errors by kind, certificates |
//! | `wire` | the lines that an agent writes, which are also what `cutover probe --json` prints |
//! | `feed`, `vantage` | what came of it, for a live run; the pipe to an agent on another machine |
//! | `agent` | the agent itself |

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::{ClientConfig, Resumption};

pub use self::agent::agent;
pub use self::feed::Feeds;
pub use self::fetch::{Exchange, Fetched, NotFetched, fetch};
pub use self::http::Sample;
pub use self::line::Lines;
pub use self::names::Names;
pub use self::prober::{Measured, Outcome, Prober, in_flight_max};
pub use self::report::Report;
pub use self::vantage::Group;
use crate::plan::{HttpSource, Protocol};

mod agent;
mod clock;
mod dns;
mod feed;
mod fetch;
mod http;
mod line;
mod names;
mod prober;
mod question;
pub mod report;
mod stamp;
mod url;
mod vantage;
pub mod wire;

/// True for an `http://` or `https://` URL with a host.
#[must_use]
pub fn is_url(text: &str) -> bool {
    url::place(text).is_some()
}

/// The vantage point that is always there: the machine on which the engine runs.
pub const LOCAL: &str = "local";

/// Makes probes. Holds what is worth loading once: root certificates and the system's resolver settings.
#[derive(Debug, Clone)]
pub struct Probe {
    tls: Arc<ClientConfig>,
    tls_http1: Arc<ClientConfig>,
    tls_http2: Arc<ClientConfig>,
    resolver: dns::Resolver,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// A probe that trusts what the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured. Reads files.
    #[must_use]
    pub fn new() -> Probe {
        let mut roots = RootCertStore::empty();
        // Without any root every TLS probe fails with "tls: unknown issuer", which says what is wrong.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Probe::with_roots(roots)
    }

    /// A probe that trusts these certificates only.
    ///
    /// # Panics
    /// Never: the cryptography that is compiled in knows the default protocol versions.
    #[must_use]
    pub fn with_roots(roots: RootCertStore) -> Probe {
        let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every connection is a first visit: a resumed session would hide what a handshake costs.
        tls.resumption = Resumption::disabled();
        let offering = |protocols: &[&str]| {
            let mut tls = tls.clone();
            tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            Arc::new(tls)
        };
        Probe {
            tls: offering(&["h2", "http/1.1"]),
            tls_http1: offering(&["http/1.1"]),
            tls_http2: offering(&["h2"]),
            resolver: dns::Resolver::system(),
        }
    }

    /// Makes one request over a connection of its own, from here, wherever the source wants it made from. It takes
    /// `timeout_ms` at most.
    pub async fn sample(&self, source: &HttpSource) -> Sample {
        http::sample(self, source, &Lines::default()).await
    }

    /// Makes one request as the source says: over one of these connections if it keeps them. It takes `timeout_ms` at
    /// most.
    pub async fn sample_over(&self, source: &HttpSource, lines: &Lines) -> Sample {
        http::sample(self, source, lines).await
    }

    fn tls(&self, protocol: Protocol) -> Arc<ClientConfig> {
        Arc::clone(match protocol {
            Protocol::Any => &self.tls,
            Protocol::Http1 => &self.tls_http1,
            Protocol::Http2 => &self.tls_http2,
        })
    }
}
