//! The AWS emulator as a child process: one per test binary, on a free loopback port.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the emulator may take to start on a busy machine.
const START_SECONDS_MAX: u64 = 60;

/// Runs the emulator until its standard input closes. The kernel closes it when the test process ends, however it
/// ends, so no emulator is ever left behind.
const UNTIL_STDIN_CLOSES: &str = r#""$0" & pid=$!; read -r _; kill "$pid"; wait "$pid""#;

struct Emulator {
    url: String,
    /// Holds the pipe that keeps the emulator alive.
    _child: Child,
    /// The emulator's working folder, for whatever it writes.
    _folder: tempfile::TempDir,
}

/// The URL of the running emulator; starts it when it is first asked for. All tests of a binary share it, so each
/// uses names of its own.
pub fn url() -> &'static str {
    static EMULATOR: OnceLock<Emulator> = OnceLock::new();
    &EMULATOR.get_or_init(start).url
}

fn start() -> Emulator {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/ministack");
    assert!(
        binary.exists(),
        "the AWS emulator is not installed (target/venv/bin/ministack): run the project's test command, which installs it, \
         or `python3 -m venv target/venv && target/venv/bin/pip install ministack==1.5.33 cbor2==6.2.1`"
    );
    let folder = tempfile::tempdir().unwrap();
    // Another process may take the port before the emulator does; that would fail loudly below.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("sh")
        .args(["-c", UNTIL_STDIN_CLOSES])
        .arg(&binary)
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .env("HOME", folder.path())
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.to_string())
        // These listen on fixed ports of their own, which two test binaries at once would fight over.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        .env("LOG_LEVEL", "ERROR")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !is_up(port) {
        assert!(begin.elapsed() < Duration::from_secs(START_SECONDS_MAX), "the AWS emulator did not start");
        sleep(Duration::from_millis(50));
    }
    Emulator { url: format!("http://127.0.0.1:{port}"), _child: child, _folder: folder }
}

fn is_up(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = "GET /_ministack/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
