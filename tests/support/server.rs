//! Servers of the tests' own, on loopback: they answer what they are told and keep what they were asked.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server was asked, by connection.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Vec<String>>>>);

impl Seen {
    /// How many connections it got.
    pub fn connections(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// All requests with their bodies, by connection.
    pub fn requests(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().flatten().cloned().collect()
    }
}

/// A server that answers every request with these bytes; its URL, and what it sees.
pub async fn answering(answer: String) -> (String, Seen) {
    serving(move |_| answer.clone()).await
}

/// A server that answers a request with what `answer` says to it, and keeps the connection if the answer says so.
pub async fn serving(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, answer) = (Seen::default(), Arc::new(answer));
    let kept = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let connection = kept.connections();
            kept.0.lock().unwrap().push(Vec::new());
            let (kept, answer) = (kept.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                while let Some(request) = read_request(&mut stream).await {
                    let answer = answer(&request);
                    kept.0.lock().unwrap()[connection].push(request);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    if !answer.contains("Connection: keep-alive\r\n") {
                        break;
                    }
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, seen)
}

/// Stands in front of another server, given by its URL, and changes its answers. What is changed must keep its length.
/// It blocks its thread while the other one answers.
pub async fn between(upstream: &str, change: impl Fn(String) -> String + Send + Sync + 'static) -> (String, Seen) {
    let upstream = upstream.trim_start_matches("http://").to_owned();
    serving(move |request| {
        let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        let mut stream = std::net::TcpStream::connect(&upstream).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        change(answer)
    })
    .await
}

/// Reads a request with its body, so that closing afterwards is no reset; nothing when there is none any more.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")).map_or(0, |n| n.trim().parse().unwrap());
            if body.len() >= length {
                return Some(String::from_utf8_lossy(&request).into_owned());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
}

/// An answer, after which the connection closes.
pub fn http(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// An error as Route 53, CloudFormation and STS send it.
pub fn failing(status: &str, code: &str, message: &str) -> String {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    http(status, "text/xml", &body)
}
