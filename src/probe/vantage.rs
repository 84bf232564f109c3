//! The pipe to an agent on another machine: started, listened to, judged, started again.
//!
//! What an agent says is not trusted further than it can be checked. Its clock counts for nothing: a reading is as old
//! as its arrival here, and older if it came late. Numbers that cannot be true, lines that are none, another version
//! and silence all end the agent, and until the next one speaks its monitors have no readings, in words that say why.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::feed::Feed;
use super::wire::{Job, Line, PROTOCOL};
use crate::cloud::{Millis, Value};

/// Pause before an agent is started again: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// An agent that lived so long was well: the next pause is the first one again.
const LIVED: Duration = Duration::from_mins(1);
/// Longest time until an agent says its first line: a login may take long.
const FIRST_LINE: Duration = Duration::from_secs(30);
/// Longest time without a line. An agent has something to say every five seconds.
const SILENCE: Duration = Duration::from_secs(20);
/// How often the agent is told that somebody listens.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longest line, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// As much of what the command says about its troubles as is kept, in bytes.
const TROUBLE_BYTES_MAX: usize = 4 * 1024;
/// As much of a text from there as is shown, in characters.
const SHOWN_MAX: usize = 120;
/// How far two machines' clocks may drift apart, in millionths, before it looks like lateness.
const DRIFT_PPM: i64 = 500;

/// A vantage point and what is measured there.
pub(super) struct Post {
    name: String,
    command: Vec<String>,
    job: String,
    feeds: Vec<Arc<Feed>>,
}

impl Post {
    /// A vantage point; the feeds are in the order of the job's targets.
    pub(super) fn new(name: &str, command: &[String], job: &Job, feeds: Vec<Arc<Feed>>) -> Post {
        let mut job = serde_json::to_string(job).unwrap_or_default();
        job.push('\n');
        Post { name: name.to_owned(), command: command.to_vec(), job, feeds }
    }
}

/// Keeps an agent there, for good. Dropping the future kills it, and everything else in its process group.
pub(super) async fn keep(post: Post, now: fn() -> Millis) {
    let mut pause = PAUSE.0;
    loop {
        let begin = Instant::now();
        let why = format!("vantage {} {}", post.name, session(&post, now).await);
        tracing::warn!("{why}");
        for feed in &post.feeds {
            feed.trouble(&why);
        }
        if begin.elapsed() >= LIVED {
            pause = PAUSE.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// One life of an agent; what ended it, in words.
async fn session(post: &Post, now: fn() -> Millis) -> String {
    let Some((program, arguments)) = post.command.split_first() else { return "has no command".to_owned() };
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: what a person presses at the terminal is not meant for it, and what it starts ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return format!("is down: {} cannot be started: {error}", shown(program)),
    };
    let _group = Group::of(&child);
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut reader = JoinSet::new();
    if let Some(stderr) = child.stderr.take() {
        reader.spawn(read_troubles(stderr, Arc::clone(&said)));
    }
    match listen(post, &mut child, now).await {
        Ended::Broken(why) => why,
        Ended::Closed => {
            let how = match timeout(Duration::from_secs(2), child.wait()).await {
                Ok(Ok(status)) => words(status),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it closed the pipe".to_owned(),
            };
            // What it said last may still be in the pipe.
            let _ = timeout(Duration::from_millis(200), reader.join_next()).await;
            match trouble(&said.lock().unwrap_or_else(PoisonError::into_inner)) {
                said if said.is_empty() => format!("is down: {how}"),
                said => format!("is down: {how}: {said}"),
            }
        }
    }
}

/// How a session ends.
enum Ended {
    /// It closed the pipe.
    Closed,
    /// It cannot be listened to any longer.
    Broken(String),
}

/// Gives the job and takes in lines until there are no more, or none that can be trusted.
async fn listen(post: &Post, child: &mut Child, now: fn() -> Millis) -> Ended {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Ended::Closed };
    // A command that ends at once does not read it; why it ended says more than that.
    let _ = timeout(FIRST_LINE, stdin.write_all(post.job.as_bytes())).await;
    let mut stdout = BufReader::new(stdout);
    let mut heartbeat = interval(HEARTBEAT);
    let mut until = Instant::now() + FIRST_LINE;
    let mut line = Vec::new();
    let mut hearing = Hearing { post, started: false, begin: Instant::now(), delay: Delay::default() };
    loop {
        let taken = tokio::select! {
            _ = heartbeat.tick() => {
                let _ = timeout(HEARTBEAT, stdin.write_all(b"\n")).await;
                continue;
            }
            () = sleep_until(until) => {
                let silence = if hearing.started { SILENCE } else { FIRST_LINE };
                return Ended::Broken(format!("is silent: nothing came for {} s", silence.as_secs()));
            }
            // Nothing is lost when one of the others comes first: what was read stays in the buffer.
            bytes = stdout.fill_buf() => match bytes {
                Ok([]) | Err(_) => return Ended::Closed,
                Ok(bytes) => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                    (end.map_or(bytes.len(), |end| end + 1), end.is_some())
                }
            },
        };
        let (count, whole) = taken;
        stdout.consume(count);
        if line.len() > LINE_BYTES_MAX {
            return Ended::Broken("sends a line without an end".to_owned());
        }
        if whole {
            if let Err(why) = hearing.line(&line, now) {
                return Ended::Broken(why);
            }
            line.clear();
            until = Instant::now() + SILENCE;
        }
    }
}

/// What was understood so far.
struct Hearing<'p> {
    post: &'p Post,
    started: bool,
    begin: Instant,
    delay: Delay,
}

/// As much of a first line as every version has.
#[derive(Deserialize)]
struct Hello {
    protocol: Option<u32>,
    cutover: Option<String>,
}

impl Hearing<'_> {
    /// Takes in one line, or says why the agent cannot be listened to.
    fn line(&mut self, bytes: &[u8], now: fn() -> Millis) -> Result<(), String> {
        let garbage = || format!("sends what is no sample: {}", shown(&String::from_utf8_lossy(bytes)));
        if !self.started
            && let Ok(Hello { protocol: Some(protocol), cutover }) = serde_json::from_slice(bytes)
            && protocol != PROTOCOL
        {
            let release = cutover.map_or_else(String::new, |release| format!(" (cutover {})", shown(&release)));
            return Err(format!("is of another version: it speaks protocol {protocol}{release}, this release {PROTOCOL}"));
        }
        let line: Line = serde_json::from_slice(bytes).map_err(|_| garbage())?;
        let arrived = i64::try_from(self.begin.elapsed().as_micros()).unwrap_or(i64::MAX);
        match line {
            Line::Refused { why, .. } => return Err(format!("refuses the job: {}", shown(&why))),
            Line::Start { targets, .. } if !self.started && targets.len() == self.post.feeds.len() => self.started = true,
            Line::Alive { done_us } if self.started => {
                self.delay.late_us(arrived, done_us);
            }
            Line::Sample(line) if self.started && line.is_possible() => {
                let feed = self.post.feeds.get(line.target).ok_or_else(garbage)?;
                let late_us = self.delay.late_us(arrived, line.done_us);
                self.feed(feed, late_us, line.sample.value(feed.measure, line.late_us), now);
            }
            Line::Skipped { target, why, done_us, .. } if self.started => {
                let feed = self.post.feeds.get(target).ok_or_else(garbage)?;
                let late_us = self.delay.late_us(arrived, done_us);
                self.feed(feed, late_us, Value::Missing(format!("not measured: {}", shown(&why))), now);
            }
            _ => return Err(garbage()),
        }
        Ok(())
    }

    /// A sample came, so much later than samples of this agent come at best.
    fn feed(&self, feed: &Feed, late_us: i64, value: Value, now: fn() -> Millis) {
        let most = feed.every + feed.timeout;
        if u128::from(late_us.unsigned_abs()) > most.as_micros() {
            // How it was then says nothing about now.
            let seconds = late_us / 1_000_000;
            feed.push(now(), Value::Missing(format!("vantage {} is slow: its samples come {seconds} s late", self.post.name)));
        } else {
            feed.push(now() - late_us / 1_000, value);
        }
    }
}

/// How much later than at best things arrive. The other clock is only ever compared with itself.
#[derive(Debug, Default)]
struct Delay {
    /// Smallest difference between arrival here and the other's own count, and when it was looked at last.
    best: Option<(i64, i64)>,
}

impl Delay {
    /// By how much this is late, in microseconds; not negative.
    fn late_us(&mut self, arrived: i64, done: i64) -> i64 {
        let difference = arrived.saturating_sub(done);
        let best = match self.best {
            // The two clocks may drift apart, a little.
            Some((best, at)) => difference.min(best.saturating_add((arrived - at) / 1_000_000 * DRIFT_PPM)),
            None => difference,
        };
        // Counted in whole seconds, so that what is left over of one is not lost.
        let at = self.best.map_or(arrived, |(_, at)| at + (arrived - at) / 1_000_000 * 1_000_000);
        self.best = Some((best, at));
        difference - best
    }
}

/// The process group of an agent's command. It ends with this.
#[derive(Debug)]
pub struct Group(Option<Pid>);

impl Group {
    /// The group that a child was made the leader of.
    #[must_use]
    pub fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Mostly there is nobody left.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Reads what the command says about its troubles, and keeps the end of it.
async fn read_troubles(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..count]);
        let surplus = said.len().saturating_sub(TROUBLE_BYTES_MAX);
        said.drain(..surplus);
    }
}

/// The line that says most: the first that speaks of an error, else the last.
fn trouble(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = lines().find(|line| line.to_ascii_lowercase().contains("error")).or_else(|| lines().next_back());
    telling.map(shown).unwrap_or_default()
}

fn words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// A text from elsewhere as it may stand on a screen: short, and without control characters.
fn shown(text: &str) -> String {
    let mut out: String = text.trim().chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    if text.trim().chars().count() > SHOWN_MAX {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_told_from_two_clocks_that_differ() {
        let second = 1_000_000;
        let mut delay = Delay::default();
        // The other clock began to count 7 s earlier, and a line takes 30 ms.
        let arrival = |done: i64| done - 7 * second + 30_000;
        assert_eq!(delay.late_us(arrival(second), second), 0);
        assert_eq!(delay.late_us(arrival(2 * second) + 4 * second, 2 * second) / 10_000, 399);
        assert!(delay.late_us(arrival(7 * second) + 500, 7 * second) <= 500);
        // A day later its clock is 4 s behind: slow drift is no lateness.
        let mut late = 0;
        for hour in 1..=24 {
            let done = hour * 3_600 * second;
            late = delay.late_us(arrival(done) + hour * second / 6, done);
        }
        assert_eq!(late, 0);
        // A backlog that grows is.
        assert!(delay.late_us(arrival(90_000 * second) + 60 * second, 90_000 * second) > 10 * second);
    }

    #[test]
    fn the_telling_line_is_found() {
        assert_eq!(
            trouble(b"Warning: added host\nssh: connect to host x port 22: Connection refused\n\n"),
            "ssh: connect to host x port 22: Connection refused"
        );
        assert_eq!(
            trouble(b"error: unexpected argument '--agent' found\n\nUsage: cutover\n"),
            "error: unexpected argument '--agent' found"
        );
        assert_eq!(trouble(b"\x1b[31m\x07bad"), "[31mbad");
    }
}
