//! When the first byte of a request went out and when the first byte of its answer came in, taken where the bytes are. What
//! the HTTP library does before and after, with caches that have gone cold since the last request, is not the server's time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The two times of the newest request of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps(Arc<Mutex<Times>>);

#[derive(Debug, Clone, Copy, Default)]
struct Times {
    sent: Option<Instant>,
    came: Option<Instant>,
}

impl Stamps {
    /// A request is about to be sent.
    pub(super) fn begin(&self) {
        self.with(|times| *times = Times::default());
    }

    /// From the first byte that was sent to the first one that came; `None` when one of them has not been seen.
    pub(super) fn took(&self) -> Option<Duration> {
        self.with(|times| Some(times.came?.saturating_duration_since(times.sent?)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Times) -> T) -> T {
        // Two times that are written one by one cannot be left half changed.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn sent(&self, at: Instant) {
        self.with(|times| {
            times.sent.get_or_insert(at);
        });
    }

    fn came(&self) {
        self.with(|times| {
            // What came before the request, such as the end of an earlier answer, is no answer to it.
            if times.sent.is_some() {
                times.came.get_or_insert_with(Instant::now);
            }
        });
    }
}

/// A stream that notes when bytes go out and come in.
#[derive(Debug)]
pub(super) struct Stamped<S> {
    stream: S,
    stamps: Stamps,
}

impl<S> Stamped<S> {
    pub(super) fn new(stream: S, stamps: Stamps) -> Stamped<S> {
        Stamped { stream, stamps }
    }

    /// Writes, and notes when that began if anything was written.
    fn write(&mut self, write: impl FnOnce(&mut S) -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let begin = Instant::now();
        let written = write(&mut self.stream);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.stamps.sent(begin);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stamped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.stamps.came();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stamped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(|stream| Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.write(|stream| Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_comes_before_a_request_is_no_answer_to_it() {
        let (near, mut far) = tokio::io::duplex(64);
        let stamps = Stamps::default();
        let mut near = Stamped::new(near, stamps.clone());
        far.write_all(b"late").await.unwrap();
        let mut bytes = [0; 4];
        near.read_exact(&mut bytes).await.unwrap();
        assert_eq!(stamps.took(), None);
        near.write_all(b"ask").await.unwrap();
        assert_eq!(stamps.took(), None);
        let pause = Duration::from_millis(20);
        tokio::time::sleep(pause).await;
        far.write_all(b"tell").await.unwrap();
        near.read_exact(&mut bytes).await.unwrap();
        let took = stamps.took().unwrap();
        assert!(took >= pause && took < pause * 50, "{took:?}");
        // Only the first byte counts, and the next request counts anew.
        far.write_all(b"more").await.unwrap();
        near.read_exact(&mut bytes).await.unwrap();
        assert_eq!(stamps.took(), Some(took));
        stamps.begin();
        assert_eq!(stamps.took(), None);
    }
}
