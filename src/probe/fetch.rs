//! One request with a body and an answer that is read: what a plan's `http` step makes. The connection is opened as a probe
//! opens its own, past DNS where that is wanted.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::http::{connect, tls_error, within};
use super::{Probe, url};
use crate::plan::{Family, Protocol};

/// Most bytes of an answer that are read.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Method.
    pub method: &'a str,
    /// `http://` or `https://` URL.
    pub url: &'a str,
    /// Connect here (`host:port`) instead of where DNS says; TLS name and Host header stay the URL's.
    pub connect_to: Option<&'a str>,
    /// Header fields.
    pub headers: &'a [(String, String)],
    /// Body; empty for none.
    pub body: &'a str,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its status.
    pub status: u16,
    /// The version of HTTP, such as `HTTP/1.1`.
    pub version: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// Its body; what is no UTF-8 is replaced.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub struct NotFetched {
    /// In words for people.
    pub why: String,
    /// True when the request was on its way: it may have been taken.
    pub sent: bool,
}

/// Makes a request over a connection of its own.
///
/// # Errors
/// Why there is no answer, and whether the request may have been taken.
pub async fn fetch(exchange: &Exchange<'_>) -> Result<Fetched, NotFetched> {
    let not_sent = |why: String| NotFetched { why, sent: false };
    let begin = Instant::now();
    let deadline = begin + exchange.timeout;
    let place = url::place(exchange.url).ok_or_else(|| not_sent(format!("`{}` is no URL", exchange.url)))?;
    let mut request = Request::builder()
        .method(exchange.method)
        .uri(&place.path)
        .header(HOST, &place.authority)
        .header(USER_AGENT, concat!("cutover/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close");
    if !exchange.body.is_empty() || !matches!(exchange.method, "GET" | "HEAD" | "OPTIONS") {
        request = request.header(CONTENT_LENGTH, exchange.body.len());
    }
    for (name, value) in exchange.headers {
        if let Some(headers) = request.headers_mut() {
            // What the plan says of a field comes instead of ours, not beside it.
            headers.remove(name.as_str());
        }
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(exchange.body.as_bytes())));
    let request = request.map_err(|error| not_sent(format!("the request cannot be made: {error}")))?;

    let probe = Probe::new();
    let (host, port) = match exchange.connect_to {
        Some(elsewhere) => url::host_and_port(elsewhere).ok_or_else(|| not_sent(format!("`{elsewhere}` is no host:port")))?,
        None => (place.host.clone(), place.port),
    };
    let addresses = within(deadline, "dns", probe.resolver.addresses(&host, Family::Any)).await;
    let addresses = addresses.and_then(|found| found).map_err(not_sent)?;
    let (stream, ..) = connect(&addresses, port, deadline).await.map_err(not_sent)?;
    let fetched = if place.tls {
        let name = ServerName::try_from(place.host.clone()).map_err(|_| not_sent("bad host name".into()))?;
        let connector = TlsConnector::from(probe.tls(Protocol::Http1));
        let stream = within(deadline, "timeout", connector.connect(name, stream)).await.map_err(not_sent)?;
        over(stream.map_err(|error| not_sent(tls_error(&error)))?, request, deadline).await
    } else {
        over(stream, request, deadline).await
    }?;
    Ok(Fetched { took: begin.elapsed(), ..fetched })
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>, deadline: Instant) -> Result<Fetched, NotFetched>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lost = |why: String| NotFetched { why, sent: true };
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| NotFetched { why: error.to_string(), sent: false })?;
    let carrier = tokio::spawn(connection);
    let answer = timeout_at(deadline, sender.send_request(request)).await;
    let answer = answer.map_err(|_| lost("timeout".into())).and_then(|answer| answer.map_err(|error| lost(error.to_string())));
    let fetched = match answer {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let body = timeout_at(deadline, Limited::new(body, BODY_BYTES_MAX).collect()).await;
            let body = body.map_err(|_| lost("timeout in the middle of the answer".into()))?;
            let bytes = body.map_err(|error| lost(error.to_string()))?.to_bytes();
            let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            Ok(Fetched {
                status: head.status.as_u16(),
                version: format!("{:?}", head.version),
                headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
                took: Duration::ZERO,
            })
        }
        Err(error) => Err(error),
    };
    carrier.abort();
    fetched
}
