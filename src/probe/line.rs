//! A connection to a server, opened for one request or kept for the next.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::stamp::{Stamped, Stamps};

/// Most connections to one target that wait for their next request.
const IDLE_MAX: usize = 4;

/// The kept connections to one target. While one is busy the next request goes over another: a slow answer must not
/// hold up the request that is due after it.
#[derive(Debug, Default)]
pub struct Lines {
    idle: Mutex<Vec<Line>>,
}

impl Lines {
    /// A connection that was open a moment ago.
    pub(super) fn take(&self) -> Option<Line> {
        // A panic cannot leave the list half changed, so a poisoned lock is as good as any.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|line| !line.is_closed());
        // HTTP/2 carries several requests at once.
        if let Some(shared) = idle.iter().find_map(Line::share) {
            return Some(shared);
        }
        idle.pop()
    }

    /// Lets go of a connection that did not answer as it should: also of its other ends.
    pub(super) fn forget(&self, crew: &Arc<Crew>) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(|line| !Arc::ptr_eq(&line.crew, crew));
    }

    /// Gives a connection back.
    pub(super) fn keep(&self, line: Line) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = line.sender.is_shared() && idle.iter().any(|other| Arc::ptr_eq(&other.crew, &line.crew));
        if !known && idle.len() < IDLE_MAX {
            idle.push(line);
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    sender: Sender,
    pub(super) crew: Arc<Crew>,
    /// Who is at the other end.
    pub(super) peer: Peer,
    /// The times of its newest request; `None` for HTTP/2, where bytes of several requests share the stream.
    stamps: Option<Stamps>,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Until when its certificate is valid, in Unix seconds.
    pub(super) not_after: Option<i64>,
}

#[derive(Debug)]
enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    fn is_shared(&self) -> bool {
        matches!(self, Sender::Two(_))
    }
}

impl Line {
    /// Begins to speak HTTP over a stream.
    pub(super) async fn over<S>(stream: S, http2: bool, peer: Peer) -> hyper::Result<Line>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let crew = Arc::new(Crew::default());
        let hands = Hands(Arc::clone(&crew.0));
        let (sender, stamps) = if http2 {
            let (sender, connection) = http2::handshake(hands.clone(), TokioIo::new(stream)).await?;
            hands.execute(connection);
            (Sender::Two(sender), None)
        } else {
            let stamps = Stamps::default();
            let stream = TokioIo::new(Stamped::new(stream, stamps.clone()));
            let (sender, connection) = http1::handshake(stream).await?;
            hands.execute(connection);
            (Sender::One(sender), Some(stamps))
        };
        Ok(Line { sender, crew, peer, stamps })
    }

    /// Sends a request; the answer's head, and how long its first byte took.
    pub(super) async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<(Response<Incoming>, Duration)> {
        if let Some(stamps) = &self.stamps {
            stamps.begin();
        }
        let begin = Instant::now();
        let answer = match &mut self.sender {
            Sender::One(sender) => sender.send_request(request).await,
            Sender::Two(sender) => sender.send_request(request).await,
        }?;
        let took = self.stamps.as_ref().and_then(Stamps::took).unwrap_or_else(|| begin.elapsed());
        Ok((answer, took))
    }

    /// Waits until a request can be sent.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await,
            Sender::Two(sender) => sender.ready().await,
        }
    }

    /// True for HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.sender.is_shared()
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Two(sender) => sender.is_closed(),
        }
    }

    /// The same connection once more, where it carries several requests at once.
    fn share(&self) -> Option<Line> {
        let Sender::Two(sender) = &self.sender else { return None };
        Some(Line { sender: Sender::Two(sender.clone()), crew: Arc::clone(&self.crew), peer: self.peer.clone(), stamps: None })
    }
}

/// The tasks that move a connection's bytes. They end with it: nothing outlives a probe, not even a server that hangs.
#[derive(Debug, Default)]
pub(super) struct Crew(Arc<Mutex<Vec<AbortHandle>>>);

impl Drop for Crew {
    fn drop(&mut self) {
        for task in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

/// Takes on tasks for a crew without keeping it alive.
#[derive(Debug, Clone)]
struct Hands(Arc<Mutex<Vec<AbortHandle>>>);

impl<F> Executor<F> for Hands
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let handle = tokio::spawn(task).abort_handle();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle);
    }
}
