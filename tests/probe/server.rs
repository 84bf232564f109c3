//! Servers on loopback that answer as they are told, and count their connections.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
pub const OK_KEPT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Until when the certificates are valid: 2100-01-01.
pub const EXPIRES: i64 = 4_102_444_800;

/// How many connections a server got.
#[derive(Debug, Clone, Default)]
pub struct Count(Arc<AtomicUsize>);

impl Count {
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A TLS server for `api.test`.
pub struct Tls {
    pub address: SocketAddr,
    /// What trusts its certificate.
    pub roots: RootCertStore,
    pub connections: Count,
}

/// Reads the head of a request; nothing when there is none any more.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Reads the head of a request, waits, answers and closes; the head.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: &str, after: Duration) -> String {
    let head = head(&mut stream).await;
    sleep(after).await;
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    head
}

/// Answers so many requests on one connection, each after this long, and closes.
async fn serve_kept<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, requests: usize, after: Duration) {
    for _ in 0..requests {
        let head = head(&mut stream).await;
        if head.is_empty() {
            return;
        }
        sleep(after).await;
        let _ = stream.write_all(if head.contains("connection: close") { OK } else { OK_KEPT }.as_bytes()).await;
    }
    let _ = stream.shutdown().await;
}

/// A server that answers every request like this, after this long, and closes.
pub async fn server(answer: impl Into<String>, after: Duration) -> SocketAddr {
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

/// The same at once, at a place of the caller's choice.
pub fn counting(listener: TcpListener, answer: &'static str) -> (SocketAddr, Count) {
    let (address, count) = (listener.local_addr().unwrap(), Count::default());
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.add();
            tokio::spawn(serve(stream, answer, Duration::ZERO));
        }
    });
    (address, count)
}

/// A server that keeps connections for so many requests and answers each after this long.
pub async fn kept_server(requests: usize, after: Duration) -> (SocketAddr, Count) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Count::default());
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.add();
            tokio::spawn(serve_kept(stream, requests, after));
        }
    });
    (address, count)
}

/// A certificate of its own for `api.test` and `localhost`; what a server needs, what trusts it, and the same as PEM.
pub fn certificate(protocols: &[&str]) -> (TlsAcceptor, RootCertStore, String) {
    let mut params = CertificateParams::new(["api.test".to_owned(), "localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2100, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (TlsAcceptor::from(Arc::new(config)), roots, pem(certificate.der()))
}

/// A certificate as a file of certificates has it.
fn pem(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[usize::try_from(bits >> (18 - 6 * place) & 63).unwrap()];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A TLS server that keeps connections and speaks these protocols.
pub async fn tls_server(protocols: &[&str]) -> Tls {
    let (acceptor, roots, _) = certificate(protocols);
    let (address, connections) = tls_serving(acceptor).await;
    Tls { address, roots, connections }
}

pub async fn tls_serving(acceptor: TlsAcceptor) -> (SocketAddr, Count) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Count::default());
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.add();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve_kept(stream, usize::MAX, Duration::ZERO).await;
                }
            });
        }
    });
    (address, connections)
}

/// A TLS server that speaks HTTP/2 and answers each request after this long.
pub async fn h2_server(after: Duration) -> Tls {
    let (acceptor, roots, _) = certificate(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Count::default());
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.add();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().host(), Some("api.test"));
                    tokio::spawn(async move {
                        sleep(after).await;
                        let _ = respond.send_response(hyper::Response::new(()), true);
                    });
                }
            });
        }
    });
    Tls { address, roots, connections }
}

/// A server whose delays are exact, in threads, and that says how long it really took to answer each request, in
/// microseconds and in order.
pub struct Exact {
    pub address: SocketAddr,
    held: Arc<Mutex<Vec<i64>>>,
    /// When it began to stall, and when it went on.
    pub stall: Arc<Mutex<Option<(Instant, Instant)>>>,
}

impl Exact {
    /// Keeps connections and answers each request after this long. If `stall` is given, everything that arrives in that
    /// time from the request of that number on is answered at its end only.
    pub fn start(delay: Duration, stall: Option<(usize, Duration)>) -> Exact {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let exact = Exact { address: listener.local_addr().unwrap(), held: Arc::default(), stall: Arc::default() };
        let (held, window, seen) = (Arc::clone(&exact.held), Arc::clone(&exact.stall), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (held, window, seen) = (Arc::clone(&held), Arc::clone(&window), Arc::clone(&seen));
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let (mut stream, mut line) = (stream, String::new());
                    loop {
                        line.clear();
                        match reader.read_line(&mut line) {
                            Ok(0) | Err(_) => return,
                            Ok(_) if line == "\r\n" => {}
                            Ok(_) => continue,
                        }
                        let begin = Instant::now();
                        let number = seen.fetch_add(1, Ordering::SeqCst);
                        let mut until = begin + delay;
                        if let Some((from, length)) = stall {
                            let mut window = window.lock().unwrap();
                            if number == from {
                                *window = Some((begin, begin + length));
                            }
                            until = window.filter(|(_, end)| begin < *end).map_or(until, |(_, end)| end);
                        }
                        std::thread::sleep(until.saturating_duration_since(Instant::now()));
                        held.lock().unwrap().push(i64::try_from(begin.elapsed().as_micros()).unwrap());
                        if stream.write_all(OK_KEPT.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        exact
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How long it took to answer each request, in microseconds.
    pub fn held(&self) -> Vec<i64> {
        self.held.lock().unwrap().clone()
    }
}
