//! Where a URL leads.

use hyper::Uri;

/// A URL, taken apart.
pub(super) struct Place {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// The Host header: the port only when it is not the scheme's own.
    pub(super) authority: String,
    pub(super) path: String,
    /// The whole, as HTTP/2 wants it.
    pub(super) uri: Uri,
}

/// Takes a URL apart; `None` when it is not an `http` or `https` URL with a host.
pub(super) fn place(url: &str) -> Option<Place> {
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let standard = if tls { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(standard);
    let bracketed = uri.host().filter(|host| !host.is_empty())?;
    let authority = if port == standard { bracketed.to_owned() } else { format!("{bracketed}:{port}") };
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Some(Place { tls, host: unbracketed(bracketed), port, authority, path, uri })
}

/// Takes `host:port` apart; an IPv6 address stands in brackets.
pub(super) fn host_and_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = place.rsplit_once(':')?;
    (!host.is_empty()).then_some(())?;
    Some((unbracketed(host), port.parse().ok()?))
}

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let t = place("https://api.example.com/health?deep=1").unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port, t.authority.as_str()), (true, "api.example.com", 443, "api.example.com"));
        assert_eq!(t.path, "/health?deep=1");
        let t = place("http://[::1]:8080").unwrap();
        assert_eq!((t.host.as_str(), t.port, t.authority.as_str(), t.path.as_str()), ("::1", 8080, "[::1]:8080", "/"));
        for bad in ["api.example.com", "ftp://x/", "http://", "/health"] {
            assert!(place(bad).is_none(), "{bad}");
        }
        assert_eq!(host_and_port("[::1]:80"), Some(("::1".to_owned(), 80)));
        assert_eq!(host_and_port("no-port"), None);
    }
}
