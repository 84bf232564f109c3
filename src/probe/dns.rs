//! Name resolution for probes: the system's servers, search list and hosts file, but never a cached answer of our
//! own, because after a DNS change an old answer is exactly what a probe must not see.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;

/// Resolves names as the system is set up to.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// `None` where the system has no settings that can be read; the C library is asked then.
    own: Option<TokioResolver>,
}

impl Resolver {
    /// Reads the system's settings.
    pub(super) fn system() -> Resolver {
        let own = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.cache_size = 0;
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        Resolver { own: own.ok() }
    }

    /// All addresses of a host, IPv4 first; empty when it has none. The caller bounds the time.
    pub(super) async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        match &self.own {
            Some(resolver) => resolver.lookup_ip(host).await.map(|found| found.iter().collect()).unwrap_or_default(),
            None => tokio::net::lookup_host((host, 0)).await.map(|found| found.map(|a| a.ip()).collect()).unwrap_or_default(),
        }
    }
}
