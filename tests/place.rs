//! Where an engine is: what a machine's metadata service says, and who is believed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover::aws::metadata_region;

/// A metadata service that hands out a token, and then this.
fn serving(region: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&lines);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, asked) = (stream.unwrap(), Arc::clone(&asked));
            std::thread::spawn(move || {
                let mut buffer = [0; 4_096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]).to_lowercase();
                    let first = text.lines().next().unwrap_or_default().to_owned();
                    let (status, body) = match first.as_str() {
                        line if line.starts_with("put /latest/api/token ") => (200, "token"),
                        line if line.starts_with("get /latest/meta-data/placement/region ") && text.contains(": token") => {
                            (200, region)
                        }
                        _ => (404, ""),
                    };
                    asked.lock().unwrap().push(first);
                    let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600";
                    let _ = write!(stream, "HTTP/1.1 {status} x\r\n{ttl}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                }
            });
        }
    });
    (url, lines)
}

#[tokio::test]
async fn the_metadata_service_knows_the_region() {
    let (url, asked) = serving("eu-west-1");
    assert_eq!(metadata_region(Some(&url)).await.as_deref(), Some("eu-west-1"));
    assert_eq!(asked.lock().unwrap().len(), 2, "a token, then the region");
    let (url, _) = serving("<html>Please log in</html>");
    assert_eq!(metadata_region(Some(&url)).await, None);
}

#[tokio::test]
async fn a_service_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let begin = Instant::now();
    assert_eq!(metadata_region(Some(&format!("http://{}", silent.local_addr().unwrap()))).await, None);
    assert!(begin.elapsed() < Duration::from_millis(1_500), "{:?}", begin.elapsed());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(metadata_region(Some(&format!("http://{closed}"))).await, None);
    assert_eq!(metadata_region(Some("no url")).await, None);
}
