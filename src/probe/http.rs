//! One HTTP request, with the time of every phase.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use rustls::CertificateError;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_rustls::TlsConnector;
use x509_cert::der::Decode;

use super::Probe;
use super::line::{Line, Lines, Peer};
use super::url::{self, Place};
use crate::cloud::Value;
use crate::plan::{Connection, HttpSource, Measure, Protocol};

/// As much of a body as is read; the rest does not matter to a probe.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The connection was closed before the request was written.
const UNASKED: &str = "unasked";
/// Longest text of a failure, in characters.
const ERROR_CHARS_MAX: usize = 80;

/// What one request saw. Times are in microseconds; a phase that was not reached, or not needed, has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Name resolution. None for an address and on a kept connection.
    pub dns_us: Option<i64>,
    /// TCP connect to the address that answered. None on a kept connection.
    pub connect_us: Option<i64>,
    /// TLS handshake. None without TLS and on a kept connection.
    pub tls_us: Option<i64>,
    /// From the request sent to the head of the answer.
    pub first_byte_us: Option<i64>,
    /// Everything, up to the end of the body or to the failure.
    pub total_us: i64,
    /// The answer's status.
    pub status: Option<u16>,
    /// The version of HTTP that was spoken: `1.1` or `2`.
    pub http: Option<String>,
    /// The address that answered.
    pub address: Option<IpAddr>,
    /// True when the request went over a connection that was open already.
    pub kept: bool,
    /// Until when the server's certificate is valid, in Unix seconds.
    pub certificate_not_after: Option<i64>,
    /// The kind of failure: `bad url`, `dns`, `no IPv6 address`, `refused`, `unreachable`, `connect timeout`, `tls: …`,
    /// `timeout`, `closed`, `garbage`, `status 503`. None when the answer was as expected.
    pub error: Option<String>,
}

impl Sample {
    /// As a monitor's value: the latency of the measured part, or the kind of failure. `late_us` is by how much the
    /// request was sent later than it was due: whoever waits for everything waits for that too.
    #[must_use]
    pub fn value(&self, measure: Measure, late_us: i64) -> Value {
        if let Some(error) = &self.error {
            return Value::Failed(error.clone());
        }
        let latency = match measure {
            Measure::Connect => self.connect_us,
            Measure::FirstByte => self.first_byte_us,
            Measure::Total => Some(self.total_us.saturating_add(late_us)),
        };
        latency.map_or_else(|| Value::Missing("not measured".to_owned()), Value::Number)
    }
}

pub(super) async fn sample(probe: &Probe, source: &HttpSource, lines: &Lines) -> Sample {
    let mut sample = Sample::default();
    let begin = Instant::now();
    let timeout_ms = u64::try_from(source.timeout_ms).unwrap_or(0);
    let deadline = begin + Duration::from_millis(timeout_ms);
    sample.error = run(probe, source, lines, deadline, &mut sample).await.err();
    sample.total_us = micros(begin);
    if sample.error.is_none()
        && let Some(status) = sample.status.filter(|&status| status != source.status)
    {
        sample.error = Some(format!("status {status}"));
    }
    sample
}

/// All phases, one after the other; what was measured up to a failure stays in the sample.
async fn run(probe: &Probe, source: &HttpSource, lines: &Lines, deadline: Instant, sample: &mut Sample) -> Result<(), String> {
    let place = url::place(&source.url).ok_or("bad url")?;
    let keeps = source.connection == Connection::Kept;
    while let Some(line) = lines.take() {
        let crew = Arc::clone(&line.crew);
        match exchange(line, &place, keeps.then_some(lines), deadline, sample).await {
            Ok(()) => {
                sample.kept = true;
                return Ok(());
            }
            Err(broken) => {
                lines.forget(&crew);
                // It was closed before anything was sent, as servers do after some rest: nothing was asked yet.
                if broken != UNASKED {
                    sample.kept = true;
                    return Err(broken);
                }
            }
        }
    }
    // A handshake is a large future; on the heap it goes when the connection is there.
    let line = Box::pin(open(probe, source, &place, deadline, sample)).await?;
    exchange(line, &place, keeps.then_some(lines), deadline, sample)
        .await
        .map_err(|error| if error == UNASKED { "closed".to_owned() } else { error })
}

/// Opens a connection: name, connect, handshake.
async fn open(probe: &Probe, source: &HttpSource, place: &Place, deadline: Instant, sample: &mut Sample) -> Result<Line, String> {
    let (host, port) = match &source.connect_to {
        Some(elsewhere) => url::host_and_port(elsewhere).ok_or("bad url")?,
        None => (place.host.clone(), place.port),
    };
    let name = ServerName::try_from(place.host.clone()).map_err(|_| "bad url")?;

    let begin = Instant::now();
    let addresses = within(deadline, "dns", probe.resolver.addresses(&host, source.family)).await??;
    if host.parse::<IpAddr>().is_err() {
        sample.dns_us = Some(micros(begin));
    }
    let (stream, address, connect_us) = connect(&addresses, port, deadline).await?;
    sample.connect_us = Some(connect_us);
    sample.address = Some(address);
    if !place.tls {
        let peer = Peer { address, not_after: None };
        let http2 = source.protocol == Protocol::Http2;
        return within(deadline, "timeout", Line::over(stream, http2, peer)).await?.map_err(|e| http_error(&e));
    }

    let begin = Instant::now();
    let connector = TlsConnector::from(probe.tls(source.protocol));
    let stream = within(deadline, "timeout", connector.connect(name, stream)).await?.map_err(|e| tls_error(&e))?;
    sample.tls_us = Some(micros(begin));
    let session = stream.get_ref().1;
    let not_after = session.peer_certificates().and_then(|chain| not_after(chain.first()?));
    sample.certificate_not_after = not_after;
    let http2 = match session.alpn_protocol() {
        Some(b"h2") => true,
        // A server that knows nothing of ALPN would not understand it either.
        _ if source.protocol == Protocol::Http2 => return Err("tls: no HTTP/2".to_owned()),
        _ => false,
    };
    within(deadline, "timeout", Line::over(stream, http2, Peer { address, not_after })).await?.map_err(|e| http_error(&e))
}

/// Connects to the first address that answers. Each gets an equal share of the time that is left, so that a
/// black hole in front does not hide a good address behind it.
pub(super) async fn connect(addresses: &[IpAddr], port: u16, deadline: Instant) -> Result<(TcpStream, IpAddr, i64), String> {
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
                return Ok((stream, address, connect_us));
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

fn request(line: &Line, place: &Place, keeps: bool) -> Result<Request<Empty<Bytes>>, String> {
    let request = Request::get(if line.is_http2() { place.uri.clone() } else { place.path.parse().map_err(|_| "bad url")? })
        .header(USER_AGENT, concat!("cutover-probe/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*");
    let request = match (line.is_http2(), keeps) {
        (true, _) => request,
        (false, true) => request.header(HOST, &place.authority),
        (false, false) => request.header(HOST, &place.authority).header(CONNECTION, "close"),
    };
    request.body(Empty::new()).map_err(|_| "bad url".to_owned())
}

/// Sends the request, reads the answer, and gives the connection back to those that are kept.
async fn exchange(
    mut line: Line,
    place: &Place,
    lines: Option<&Lines>,
    deadline: Instant,
    sample: &mut Sample,
) -> Result<(), String> {
    let request = request(&line, place, lines.is_some())?;
    if within(deadline, "timeout", line.ready()).await?.is_err() {
        return Err(UNASKED.to_owned());
    }
    let (answer, first_byte) = within(deadline, "timeout", line.send(request)).await?.map_err(|e| http_error(&e))?;
    sample.first_byte_us = Some(i64::try_from(first_byte.as_micros()).unwrap_or(i64::MAX));
    sample.status = Some(answer.status().as_u16());
    sample.http = Some(if line.is_http2() { "2" } else { "1.1" }.to_owned());
    sample.address = Some(line.peer.address);
    sample.certificate_not_after = line.peer.not_after;
    let mut body = answer.into_body();
    let mut read = 0;
    while read < BODY_BYTES_MAX {
        match within(deadline, "timeout", body.frame()).await? {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(e)) => return Err(http_error(&e)),
            None => {
                // Only now is the connection free for the next request.
                if let Some(lines) = lines {
                    lines.keep(line);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The future's output, or this word when the deadline passes first.
pub(super) async fn within<T>(deadline: Instant, word: &str, future: impl Future<Output = T>) -> Result<T, String> {
    timeout_at(deadline, future).await.map_err(|_| word.to_owned())
}

fn http_error(error: &hyper::Error) -> String {
    if error.is_canceled() {
        return UNASKED.to_owned();
    }
    // Half an answer is as broken as none, but the two are looked for in different places.
    let word = if error.is_parse() { "garbage" } else { "closed" };
    word.to_owned()
}

/// Until when a certificate is valid, in Unix seconds.
fn not_after(certificate: &[u8]) -> Option<i64> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    i64::try_from(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs()).ok()
}

/// What is wrong with the certificate, in words that people search for.
pub(super) fn tls_error(error: &io::Error) -> String {
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
        rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => "no HTTP/2".to_owned(),
        other => other.to_string().chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect(),
    };
    format!("tls: {why}")
}

fn micros(begin: Instant) -> i64 {
    i64::try_from(begin.elapsed().as_micros()).unwrap_or(i64::MAX)
}
