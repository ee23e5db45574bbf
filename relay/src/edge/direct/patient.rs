//! A connection to an agent that may answer before it has read everything, and close.
//!
//! Writing then fails, but the answer may have come, and a caller wants it. So what is written from
//! then on goes nowhere, and reading tells how the exchange ended. (The connector does the same.)

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads what came although nobody takes what is written any more.
#[derive(Debug)]
pub(super) struct Patient<T> {
    io: T,
    /// The other end reads no more.
    deaf: bool,
}

impl<T> Patient<T> {
    pub(super) const fn new(io: T) -> Self {
        Self { io, deaf: false }
    }

    /// Takes `instead` for what came of writing where the other end has gone deaf.
    fn forgive<R>(&mut self, written: Poll<io::Result<R>>, instead: R) -> Poll<io::Result<R>> {
        match written {
            Poll::Ready(Err(error)) if went_deaf(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(instead))
            }
            other => other,
        }
    }
}

fn went_deaf(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.forgive(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.forgive(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.forgive(shut, ())
    }
}
