//! One request against small local servers.

use std::time::{Duration, Instant};

use cutover::cloud::Value;
use cutover::plan::{Connection, Family, HttpSource, Measure, Protocol};
use cutover::probe::{Lines, Probe};
use rustls::RootCertStore;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::server::{EXPIRES, OK, Tls, counting, h2_server, kept_server, serve, server, tls_server};
use crate::source;

fn untrusting() -> Probe {
    Probe::with_roots(RootCertStore::empty())
}

/// What a monitor would say of one request.
async fn read(probe: &Probe, source: &HttpSource) -> Value {
    probe.sample(source).await.value(source.measure, 0)
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
    assert_eq!(sample.value(Measure::Connect, 9), Value::Number(connect));
    assert_eq!(sample.value(Measure::FirstByte, 9), Value::Number(first_byte));
    // Who waits for the whole waits for a late start too.
    assert_eq!(sample.value(Measure::Total, 9), Value::Number(sample.total_us + 9));
}

#[tokio::test]
async fn the_request_names_the_url_even_when_it_connects_elsewhere() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let head = tokio::spawn(async move { serve(listener.accept().await.unwrap().0, OK, Duration::ZERO).await });
    let source = HttpSource { connect_to: Some(place), ..source("http://api.test/health?deep=1") };
    assert!(matches!(read(&untrusting(), &source).await, Value::Number(us) if us > 0));
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
    assert_eq!(read(&untrusting(), &source).await, failed("status 503"));
    assert!(matches!(read(&untrusting(), &HttpSource { status: 503, ..source }).await, Value::Number(_)));
}

#[tokio::test]
async fn the_time_out_bounds_the_whole_request() {
    let begin = Instant::now();
    let silent = server(OK, Duration::from_mins(1)).await;
    let quick = |url: String| HttpSource { timeout_ms: 200, ..source(&url) };
    assert_eq!(read(&untrusting(), &quick(format!("http://{silent}/"))).await, failed("timeout"));
    // A head without its body is not an answer either.
    let half = server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Duration::ZERO).await;
    assert_eq!(read(&untrusting(), &quick(format!("http://{half}/"))).await, failed("closed"));
    // A handshake that never ends counts to the same bound.
    assert_eq!(read(&untrusting(), &quick(format!("https://{silent}/"))).await, failed("timeout"));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn failures_have_words_of_their_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(read(&untrusting(), &source(&format!("http://{nobody}/"))).await, failed("refused"));
    let garbage = server("SSH-2.0-OpenSSH_9.9\r\n\r\n", Duration::ZERO).await;
    assert_eq!(read(&untrusting(), &source(&format!("http://{garbage}/"))).await, failed("garbage"));
    let closing = server("", Duration::ZERO).await;
    assert_eq!(read(&untrusting(), &source(&format!("http://{closing}/"))).await, failed("closed"));
    assert_eq!(read(&untrusting(), &source("gopher://localhost/")).await, failed("bad url"));
}

#[tokio::test]
async fn a_body_without_end_is_read_only_so_far() {
    let body = "x".repeat(1024 * 1024);
    let address = server(format!("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n{body}"), Duration::ZERO).await;
    assert!(matches!(read(&untrusting(), &source(&format!("http://{address}/"))).await, Value::Number(_)));
}

#[tokio::test]
async fn certificates_are_checked_against_the_name_of_the_url() {
    let Tls { address, roots, .. } = tls_server(&[]).await;
    let at = |url: &str| HttpSource { connect_to: Some(address.to_string()), ..source(url) };
    let sample = Probe::with_roots(roots.clone()).sample(&at("https://api.test/")).await;
    assert_eq!((sample.status, &sample.error), (Some(200), &None), "{sample:?}");
    assert!(sample.tls_us.is_some());
    assert_eq!(read(&Probe::with_roots(roots), &at("https://other.test/")).await, failed("tls: wrong name"));
    assert_eq!(read(&untrusting(), &at("https://api.test/")).await, failed("tls: unknown issuer"));
    // A server that speaks something else on a port where TLS is expected.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        sleep(Duration::from_mins(1)).await;
    });
    let Value::Failed(why) = read(&untrusting(), &source(&format!("https://{plain}/"))).await else { panic!("no failure") };
    assert!(why.starts_with("tls: "), "{why}");
}

#[tokio::test]
async fn a_kept_connection_is_measured_without_opening_it() {
    let Tls { address, roots, connections } = tls_server(&[]).await;
    let source =
        HttpSource { connect_to: Some(address.to_string()), connection: Connection::Kept, ..source("https://api.test/") };
    let (probe, lines) = (Probe::with_roots(roots), Lines::default());
    let first = probe.sample_over(&source, &lines).await;
    assert!(first.error.is_none() && first.tls_us.is_some() && first.connect_us.is_some() && !first.kept, "{first:?}");
    for _ in 0..3 {
        let next = probe.sample_over(&source, &lines).await;
        assert_eq!((&next.error, next.status, next.kept), (&None, Some(200), true), "{next:?}");
        assert_eq!((next.dns_us, next.connect_us, next.tls_us), (None, None, None), "{next:?}");
        assert!(next.first_byte_us.is_some() && next.certificate_not_after == Some(EXPIRES), "{next:?}");
        assert_eq!(next.address, Some(address.ip()));
    }
    assert_eq!(connections.get(), 1);
    // A fresh one opens another each time.
    let fresh = HttpSource { connection: Connection::Fresh, ..source };
    for _ in 0..2 {
        let sample = probe.sample(&fresh).await;
        assert!(sample.tls_us.is_some() && !sample.kept, "{sample:?}");
    }
    assert_eq!(connections.get(), 3);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_is_opened_again() {
    let (address, connections) = kept_server(2, Duration::ZERO).await;
    let source = HttpSource { connection: Connection::Kept, ..source(&format!("http://{address}/")) };
    let (probe, lines) = (untrusting(), Lines::default());
    let mut kept = Vec::new();
    for _ in 0..5 {
        let sample = probe.sample_over(&source, &lines).await;
        assert_eq!((&sample.error, sample.status), (&None, Some(200)), "{sample:?}");
        kept.push(sample.kept);
        sleep(Duration::from_millis(30)).await;
    }
    assert_eq!((kept, connections.get()), (vec![false, true, false, true, false], 3));
}

#[tokio::test]
async fn a_request_that_is_due_does_not_wait_for_a_busy_connection() {
    let (address, connections) = kept_server(100, Duration::from_millis(200)).await;
    let source = HttpSource { connection: Connection::Kept, ..source(&format!("http://{address}/")) };
    let (probe, lines) = (untrusting(), Lines::default());
    let begin = Instant::now();
    let (one, two) = tokio::join!(probe.sample_over(&source, &lines), probe.sample_over(&source, &lines));
    assert!(one.error.is_none() && two.error.is_none(), "{one:?} {two:?}");
    assert!(begin.elapsed() < Duration::from_millis(390), "one after the other: {:?}", begin.elapsed());
    assert_eq!(connections.get(), 2);
}

#[tokio::test]
async fn the_version_of_http_is_the_servers_choice_or_ours() {
    let Tls { address, roots, connections } = h2_server(Duration::from_millis(20)).await;
    let with = |protocol, connection| HttpSource {
        connect_to: Some(address.to_string()),
        protocol,
        connection,
        ..source("https://api.test/health")
    };
    let (probe, lines) = (Probe::with_roots(roots), Lines::default());
    for protocol in [Protocol::Any, Protocol::Http2] {
        let sample = probe.sample(&with(protocol, Connection::Fresh)).await;
        assert_eq!((&sample.error, sample.status, sample.http.as_deref()), (&None, Some(200), Some("2")), "{sample:?}");
        assert!(sample.first_byte_us.unwrap() >= 20_000 && sample.tls_us.is_some(), "{sample:?}");
    }
    // One connection carries requests side by side.
    let kept = with(Protocol::Any, Connection::Kept);
    assert!(!probe.sample_over(&kept, &lines).await.kept);
    let before = connections.get();
    let (one, two) = tokio::join!(probe.sample_over(&kept, &lines), probe.sample_over(&kept, &lines));
    assert!(one.kept && two.kept && one.error.is_none() && two.error.is_none(), "{one:?} {two:?}");
    assert_eq!(connections.get(), before);

    // A server that knows HTTP/1.1 only.
    let Tls { address, roots, .. } = tls_server(&["http/1.1"]).await;
    let with = |protocol| HttpSource { connect_to: Some(address.to_string()), protocol, ..source("https://api.test/") };
    let probe = Probe::with_roots(roots);
    for protocol in [Protocol::Any, Protocol::Http1] {
        assert_eq!(probe.sample(&with(protocol)).await.http.as_deref(), Some("1.1"));
    }
    assert_eq!(probe.sample(&with(Protocol::Http2)).await.error.as_deref(), Some("tls: no HTTP/2"));
}

#[tokio::test]
async fn a_kept_connection_that_hangs_is_let_go() {
    let (address, connections) = kept_server(100, Duration::from_mins(1)).await;
    let source = HttpSource { connection: Connection::Kept, timeout_ms: 150, ..source(&format!("http://{address}/")) };
    let (probe, lines) = (untrusting(), Lines::default());
    for _ in 0..2 {
        assert_eq!(probe.sample_over(&source, &lines).await.error.as_deref(), Some("timeout"));
    }
    assert_eq!(connections.get(), 2);
}

#[tokio::test]
async fn addresses_are_tried_in_the_family_that_is_asked_for() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("no IPv6 on this machine: not tested");
        return;
    };
    let (address, connections) = counting(listener, OK);
    let with = |url: String, family| HttpSource { family, ..source(&url) };
    let port = address.port();
    for (url, family) in [
        (format!("http://[::1]:{port}/"), Family::Any),
        (format!("http://[::1]:{port}/"), Family::Ipv6),
        (format!("http://localhost:{port}/"), Family::Ipv6),
    ] {
        let sample = untrusting().sample(&with(url, family)).await;
        assert_eq!((&sample.error, sample.address), (&None, Some(address.ip())), "{sample:?}");
    }
    assert_eq!(connections.get(), 3);
    let wrong = untrusting().sample(&with(format!("http://[::1]:{port}/"), Family::Ipv4)).await;
    assert_eq!(wrong.error.as_deref(), Some("no IPv4 address"));
    // The same name over IPv4: nobody listens there.
    let wrong = untrusting().sample(&with(format!("http://localhost:{port}/"), Family::Ipv4)).await;
    assert_eq!(wrong.error.as_deref(), Some("refused"));
}
