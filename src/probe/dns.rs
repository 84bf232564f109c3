//! Name resolution for probes: the system's servers, search list and hosts file, but never a cached answer of our
//! own, because after a DNS change an old answer is exactly what a probe must not see.

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;

use crate::plan::Family;

/// Resolves names as the system is set up to.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// `None` where the system has no settings that can be read; the C library is asked then. One for each family,
    /// so that a probe of IPv4 alone does not wait for an answer about IPv6.
    own: Option<[TokioResolver; 3]>,
}

impl Resolver {
    /// Reads the system's settings.
    pub(super) fn system() -> Resolver {
        let asking = |strategy| {
            TokioResolver::builder_tokio().and_then(|mut builder| {
                let options = builder.options_mut();
                options.cache_size = 0;
                options.ip_strategy = strategy;
                builder.build()
            })
        };
        let all = [LookupIpStrategy::Ipv4AndIpv6, LookupIpStrategy::Ipv4Only, LookupIpStrategy::Ipv6Only].map(asking);
        let own = match all {
            [Ok(any), Ok(v4), Ok(v6)] => Some([any, v4, v6]),
            _ => None,
        };
        Resolver { own }
    }

    /// The addresses of a host in this family, IPv4 first, or the kind of failure. The caller bounds the time.
    pub(super) async fn addresses(&self, host: &str, family: Family) -> Result<Vec<IpAddr>, String> {
        let wanted = |address: &IpAddr| match family {
            Family::Any => true,
            Family::Ipv4 => address.is_ipv4(),
            Family::Ipv6 => address.is_ipv6(),
        };
        let none = || match family {
            Family::Any => "dns".to_owned(),
            Family::Ipv4 => "no IPv4 address".to_owned(),
            Family::Ipv6 => "no IPv6 address".to_owned(),
        };
        let found: Vec<IpAddr> = if let Ok(address) = host.parse() {
            vec![address]
        } else if let Some([any, v4, v6]) = &self.own {
            let resolver = match family {
                Family::Any => any,
                Family::Ipv4 => v4,
                Family::Ipv6 => v6,
            };
            match resolver.lookup_ip(host).await {
                Ok(found) => found.iter().collect(),
                // There may be a host of this name that has no address in this family.
                Err(error) if error.is_no_records_found() && !error.is_nx_domain() => Vec::new(),
                Err(_) => return Err("dns".to_owned()),
            }
        } else {
            let found = tokio::net::lookup_host((host, 0)).await.map_err(|_| "dns".to_owned())?;
            found.map(|address| address.ip()).collect()
        };
        let found: Vec<IpAddr> = found.into_iter().filter(wanted).collect();
        if found.is_empty() { Err(none()) } else { Ok(found) }
    }
}
