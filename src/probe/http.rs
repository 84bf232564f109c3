//! One HTTP request over a connection of its own, with the time of every phase.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::CertificateError;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::Probe;
use crate::cloud::Value;
use crate::plan::{HttpSource, Measure};

/// As much of a body as is read; the rest does not matter to a probe.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest text of a failure, in characters.
const ERROR_CHARS_MAX: usize = 80;

/// What one request saw. Times are in microseconds; a phase that was not reached, or not needed, has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Name resolution. None for an address.
    pub dns_us: Option<i64>,
    /// TCP connect to the address that answered.
    pub connect_us: Option<i64>,
    /// TLS handshake.
    pub tls_us: Option<i64>,
    /// From the request sent to the head of the answer.
    pub first_byte_us: Option<i64>,
    /// Everything, up to the end of the body or to the failure.
    pub total_us: i64,
    /// The answer's status.
    pub status: Option<u16>,
    /// The kind of failure: `bad url`, `dns`, `refused`, `unreachable`, `connect timeout`, `tls: …`, `timeout`,
    /// `closed`, `garbage`, `status 503`. None when the answer was as expected.
    pub error: Option<String>,
}

impl Sample {
    /// As a monitor's value: the latency of the measured part, or the kind of failure.
    #[must_use]
    pub fn value(&self, measure: Measure) -> Value {
        if let Some(error) = &self.error {
            return Value::Failed(error.clone());
        }
        let latency = match measure {
            Measure::Connect => self.connect_us,
            Measure::FirstByte => self.first_byte_us,
            Measure::Total => Some(self.total_us),
        };
        latency.map_or_else(|| Value::Missing("not measured".to_owned()), Value::Number)
    }
}

/// Where a URL leads.
struct Target {
    tls: bool,
    host: String,
    port: u16,
    /// The Host header: the port only when it is not the scheme's own.
    authority: String,
    path: String,
}

pub(super) async fn sample(probe: &Probe, source: &HttpSource) -> Sample {
    let mut sample = Sample::default();
    let begin = Instant::now();
    let timeout_ms = u64::try_from(source.timeout_ms).unwrap_or(0);
    let deadline = begin + Duration::from_millis(timeout_ms);
    sample.error = run(probe, source, deadline, &mut sample).await.err();
    sample.total_us = micros(begin);
    if sample.error.is_none()
        && let Some(status) = sample.status.filter(|&status| status != source.status)
    {
        sample.error = Some(format!("status {status}"));
    }
    sample
}

/// All phases, one after the other; what was measured up to a failure stays in the sample.
async fn run(probe: &Probe, source: &HttpSource, deadline: Instant, sample: &mut Sample) -> Result<(), String> {
    let target = target(&source.url).ok_or("bad url")?;
    let (host, port) = match &source.connect_to {
        Some(place) => host_and_port(place).ok_or("bad url")?,
        None => (target.host.clone(), target.port),
    };
    let name = ServerName::try_from(target.host.clone()).map_err(|_| "bad url")?;

    let begin = Instant::now();
    let addresses = within(deadline, "dns", probe.resolver.addresses(&host)).await?;
    if host.parse::<IpAddr>().is_err() {
        sample.dns_us = Some(micros(begin));
    }
    let (stream, connect_us) = connect(&addresses, port, deadline).await?;
    sample.connect_us = Some(connect_us);

    if target.tls {
        let begin = Instant::now();
        let connector = TlsConnector::from(probe.tls.clone());
        let stream = within(deadline, "timeout", connector.connect(name, stream)).await?.map_err(|e| tls_error(&e))?;
        sample.tls_us = Some(micros(begin));
        exchange(stream, &target, deadline, sample).await
    } else {
        exchange(stream, &target, deadline, sample).await
    }
}

/// Connects to the first address that answers. Each gets an equal share of the time that is left, so that a
/// black hole in front does not hide a good address behind it.
async fn connect(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<(TcpStream, i64), String> {
    let mut error = "dns";
    for (index, &address) in addresses.iter().enumerate() {
        let begin = Instant::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let until = begin + deadline.saturating_duration_since(begin) / left;
        match timeout_at(until, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(Ok(stream)) => {
                let connect_us = micros(begin);
                // A request is one small write: waiting to fill a segment would be measured as latency.
                let _ = stream.set_nodelay(true);
                return Ok((stream, connect_us));
            }
            Ok(Err(e)) => {
                error = match e.kind() {
                    io::ErrorKind::ConnectionRefused => "refused",
                    io::ErrorKind::TimedOut => "connect timeout",
                    _ => "unreachable",
                }
            }
            Err(_) => error = "connect timeout",
        }
    }
    Err(error.to_owned())
}

/// Sends the request and reads the answer.
async fn exchange<S>(stream: S, target: &Target, deadline: Instant, sample: &mut Sample) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get(&target.path)
        .header(HOST, &target.authority)
        .header(USER_AGENT, concat!("cutover-probe/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| "bad url")?;
    let handshake = within(deadline, "timeout", http1::handshake(TokioIo::new(stream))).await?;
    let (mut sender, connection) = handshake.map_err(|e| http_error(&e))?;
    // The task that moves bytes ends with the set, and the set with this function: nothing outlives a probe.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);

    let begin = Instant::now();
    let answer = within(deadline, "timeout", sender.send_request(request)).await?.map_err(|e| http_error(&e))?;
    sample.first_byte_us = Some(micros(begin));
    sample.status = Some(answer.status().as_u16());
    let mut body = answer.into_body();
    let mut read = 0;
    while read < BODY_BYTES_MAX {
        match within(deadline, "timeout", body.frame()).await? {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(e)) => return Err(http_error(&e)),
            None => break,
        }
    }
    Ok(())
}

/// The future's output, or this word when the deadline passes first.
async fn within<T>(deadline: Instant, word: &str, future: impl Future<Output = T>) -> Result<T, String> {
    timeout_at(deadline, future).await.map_err(|_| word.to_owned())
}

fn http_error(error: &hyper::Error) -> String {
    // Half an answer is as broken as none, but the two are looked for in different places.
    let word = if error.is_parse() { "garbage" } else { "closed" };
    word.to_owned()
}

/// What is wrong with the certificate, in words that people search for.
fn tls_error(error: &io::Error) -> String {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return "tls: closed".to_owned();
    };
    let why = match inner {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "expired".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "not valid yet".to_owned()
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "wrong name".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => "unknown issuer".to_owned(),
        other => other.to_string().chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect(),
    };
    format!("tls: {why}")
}

/// Takes a URL apart; `None` when it is not an `http` or `https` URL with a host.
fn target(url: &str) -> Option<Target> {
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
    Some(Target { tls, host: unbracketed(bracketed), port, authority, path })
}

/// Takes `host:port` apart; an IPv6 address stands in brackets.
fn host_and_port(place: &str) -> Option<(String, u16)> {
    let (host, port) = place.rsplit_once(':')?;
    (!host.is_empty()).then_some(())?;
    Some((unbracketed(host), port.parse().ok()?))
}

fn unbracketed(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

fn micros(begin: Instant) -> i64 {
    i64::try_from(begin.elapsed().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let t = target("https://api.example.com/health?deep=1").unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port, t.authority.as_str()), (true, "api.example.com", 443, "api.example.com"));
        assert_eq!(t.path, "/health?deep=1");
        let t = target("http://[::1]:8080").unwrap();
        assert_eq!((t.host.as_str(), t.port, t.authority.as_str(), t.path.as_str()), ("::1", 8080, "[::1]:8080", "/"));
        for bad in ["api.example.com", "ftp://x/", "http://", "/health"] {
            assert!(target(bad).is_none(), "{bad}");
        }
        assert_eq!(host_and_port("[::1]:80"), Some(("::1".to_owned(), 80)));
        assert_eq!(host_and_port("no-port"), None);
    }
}
