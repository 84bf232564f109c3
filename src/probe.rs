//! Probes: what a user would see, measured from here. One fresh connection per request, phases timed one by one.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::{ClientConfig, Resumption};

pub use self::http::Sample;
use crate::cloud::Value;
use crate::plan::HttpSource;

mod dns;
mod http;

/// The vantage point that this release has.
const LOCAL: &str = "local";

/// Makes probes. Holds what is worth loading once: root certificates and the system's resolver settings.
#[derive(Debug, Clone)]
pub struct Probe {
    tls: Arc<ClientConfig>,
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
        // Every probe is a first visit: a resumed session would hide what a handshake costs.
        tls.resumption = Resumption::disabled();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Probe { tls: Arc::new(tls), resolver: dns::Resolver::system() }
    }

    /// Makes one request and says what was seen: the latency that the source measures, or the kind of failure.
    pub async fn read(&self, source: &HttpSource) -> Value {
        if source.from != LOCAL {
            let from = &source.from;
            return Value::Missing(format!("vantage {from} is not connected: this release measures from local only"));
        }
        self.sample(source).await.value(source.measure)
    }

    /// Makes one request from here, wherever the source wants it made from. It takes `timeout_ms` at most.
    pub async fn sample(&self, source: &HttpSource) -> Sample {
        http::sample(self, source).await
    }
}
