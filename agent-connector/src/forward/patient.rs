//! A connection to an agent that may answer before it has read everything, and close.
//!
//! Writing then fails, but the answer may have come: it is in our receive buffer, and a caller wants
//! it. So a failed write is no failure here. What is written from then on goes nowhere, and reading
//! tells how the exchange ended.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads what came although nobody takes what is written any more.
#[derive(Debug)]
pub(crate) struct Patient<T> {
    io: T,
    /// The other end reads no more.
    deaf: bool,
}

impl<T> Patient<T> {
    pub(crate) const fn new(io: T) -> Self {
        Self { io, deaf: false }
    }

    /// Takes `bytes` for written where the other end has gone deaf.
    fn forgive(
        &mut self,
        written: Poll<io::Result<usize>>,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if went_deaf(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(bytes))
            }
            other => other,
        }
    }
}

fn went_deaf(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(bytes));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.forgive(written, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf { Poll::Ready(Ok(())) } else { Pin::new(&mut self.io).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf { Poll::Ready(Ok(())) } else { Pin::new(&mut self.io).poll_shutdown(cx) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_though_its_sender_has_closed_on_an_upload() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut agent, _) = listener.accept().await.unwrap();
        let mut upload = Patient::new(dialled);
        upload.write_all(b"the upload begins").await.unwrap();
        agent.write_all(b"no, thanks").await.unwrap();
        // What it has not read makes its close a reset.
        drop(agent);
        while !upload.deaf {
            upload.write_all(b"the upload goes on").await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = Vec::new();
        // A reset behind the answer is how the connection ends.
        let _ = upload.read_to_end(&mut answer).await;
        assert_eq!(answer, b"no, thanks");
    }
}
