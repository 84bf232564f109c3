//! The HTTP probe against small local servers.

#![expect(clippy::unwrap_used, reason = "a helper that cannot do its work shall fail the test at once")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover::cloud::Value;
use cutover::plan::{HttpSource, Measure};
use cutover::probe::Probe;
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

fn source(url: &str) -> HttpSource {
    HttpSource {
        url: url.into(),
        connect_to: None,
        status: 200,
        timeout_ms: 2_000,
        measure: Measure::Total,
        from: "local".into(),
    }
}

fn untrusting() -> Probe {
    Probe::with_roots(RootCertStore::empty())
}

/// Reads the head of a request, waits, answers and closes; the head.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &str, after: Duration) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    sleep(after).await;
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    String::from_utf8(head).unwrap()
}

/// A server that answers every request like this, after this long.
async fn server(answer: impl Into<String>, after: Duration) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { serve(stream, &answer, after).await });
        }
    });
    address
}

/// A TLS server for `api.test` with a certificate of its own, and the roots that trust it.
async fn tls_server() -> (SocketAddr, RootCertStore) {
    let key = rcgen::generate_simple_self_signed(["api.test".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::from(key.signing_key))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, OK, Duration::ZERO).await;
                }
            });
        }
    });
    (address, roots)
}

fn failed(word: &str) -> Value {
    Value::Failed(word.to_owned())
}

#[tokio::test]
async fn every_phase_has_its_own_latency() {
    let address = server(OK, Duration::from_millis(80)).await;
    let sample = untrusting().sample(&source(&format!("http://{address}/health"))).await;
    assert_eq!((sample.status, &sample.error, sample.dns_us, sample.tls_us), (Some(200), &None, None, None));
    let (connect, first_byte) = (sample.connect_us.unwrap(), sample.first_byte_us.unwrap());
    assert!((0..60_000).contains(&connect), "{sample:?}");
    assert!((80_000..1_500_000).contains(&first_byte) && sample.total_us >= first_byte + connect, "{sample:?}");
    assert_eq!(sample.value(Measure::Connect), Value::Number(connect));
    assert_eq!(sample.value(Measure::FirstByte), Value::Number(first_byte));
    assert_eq!(sample.value(Measure::Total), Value::Number(sample.total_us));
}

#[tokio::test]
async fn the_request_names_the_url_even_when_it_connects_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let head = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, OK, Duration::ZERO).await });
    let source = HttpSource { connect_to: Some(place), ..source("http://api.test/health?deep=1") };
    assert!(matches!(untrusting().read(&source).await, Value::Number(us) if us > 0));
    let head = head.await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /health?deep=1 http/1.1\r\n") && head.contains("\r\nhost: api.test\r\n"), "{head}");
}

#[tokio::test]
async fn localhost_is_resolved_and_the_time_shown() {
    let address = server(OK, Duration::ZERO).await;
    let sample = untrusting().sample(&source(&format!("http://localhost:{}/", address.port()))).await;
    assert_eq!((sample.status, &sample.error), (Some(200), &None), "{sample:?}");
    assert!(sample.dns_us.is_some());
}

#[tokio::test]
async fn an_unexpected_status_is_a_failure_and_an_expected_one_is_not() {
    let address = server("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Duration::ZERO).await;
    let source = source(&format!("http://{address}/"));
    assert_eq!(untrusting().read(&source).await, failed("status 503"));
    assert!(matches!(untrusting().read(&HttpSource { status: 503, ..source }).await, Value::Number(_)));
}

#[tokio::test]
async fn the_time_out_bounds_the_whole_request() {
    let begin = Instant::now();
    let silent = server(OK, Duration::from_mins(1)).await;
    let quick = |url: String| HttpSource { timeout_ms: 200, ..source(&url) };
    assert_eq!(untrusting().read(&quick(format!("http://{silent}/"))).await, failed("timeout"));
    // A head without its body is not an answer either.
    let half = server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Duration::ZERO).await;
    assert_eq!(untrusting().read(&quick(format!("http://{half}/"))).await, failed("closed"));
    // A handshake that never ends counts to the same bound.
    assert_eq!(untrusting().read(&quick(format!("https://{silent}/"))).await, failed("timeout"));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn failures_have_words_of_their_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(untrusting().read(&source(&format!("http://{nobody}/"))).await, failed("refused"));
    let garbage = server("SSH-2.0-OpenSSH_9.9\r\n\r\n", Duration::ZERO).await;
    assert_eq!(untrusting().read(&source(&format!("http://{garbage}/"))).await, failed("garbage"));
    let closing = server("", Duration::ZERO).await;
    assert_eq!(untrusting().read(&source(&format!("http://{closing}/"))).await, failed("closed"));
    assert_eq!(untrusting().read(&source("gopher://localhost/")).await, failed("bad url"));
}

#[tokio::test]
async fn a_body_without_end_is_read_only_so_far() {
    let body = "x".repeat(1024 * 1024);
    let address = server(format!("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{body}"), Duration::ZERO).await;
    assert!(matches!(untrusting().read(&source(&format!("http://{address}/"))).await, Value::Number(_)));
}

#[tokio::test]
async fn certificates_are_checked_against_the_name_of_the_url() {
    let (address, roots) = tls_server().await;
    let at = |url: &str| HttpSource { connect_to: Some(address.to_string()), ..source(url) };
    let sample = Probe::with_roots(roots.clone()).sample(&at("https://api.test/")).await;
    assert_eq!((sample.status, &sample.error), (Some(200), &None), "{sample:?}");
    assert!(sample.tls_us.is_some());
    assert_eq!(Probe::with_roots(roots).read(&at("https://other.test/")).await, failed("tls: wrong name"));
    assert_eq!(untrusting().read(&at("https://api.test/")).await, failed("tls: unknown issuer"));
    // A server that speaks something else on a port where TLS is expected.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        sleep(Duration::from_mins(1)).await;
    });
    let Value::Failed(why) = untrusting().read(&source(&format!("https://{plain}/"))).await else { panic!("no failure") };
    assert!(why.starts_with("tls: "), "{why}");
}

#[tokio::test]
async fn another_vantage_point_is_missing_not_failed() {
    let source = HttpSource { from: "germany".into(), ..source("http://127.0.0.1:9/") };
    let Value::Missing(why) = untrusting().read(&source).await else { panic!("not missing") };
    assert!(why.contains("vantage germany is not connected"), "{why}");
}
