//! The two halves of a stream, as their users hold them.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use shared::codes::StreamCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::{Ending, Stream};
use crate::{ConnectionEnd, ReadError, WriteError};

/// The sending half. Dropped before its end, it resets the stream.
#[derive(Debug)]
pub struct SendStream(pub(super) Arc<Stream>);

impl SendStream {
    /// Takes all of the chunks, which are whole frames, once there is room. Cancel safe: it takes all of
    /// them or none.
    pub(crate) async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        poll_fn(|cx| self.0.poll_room(cx)).await?;
        let chunks = chunks.iter_mut().map(std::mem::take).filter(|chunk| !chunk.is_empty());
        self.0.write(chunks.collect());
        Ok(())
    }

    pub(crate) fn finish(&mut self) {
        self.0.end(Ending::Finished);
    }

    pub(crate) fn reset(&mut self, code: StreamCode) {
        self.0.end(Ending::Reset(code));
    }

    pub(crate) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<StreamCode>, ConnectionEnd>> + Send + Sync + use<> {
        let stream = Arc::clone(&self.0);
        async move {
            loop {
                let changed = stream.fate.notified();
                {
                    let state = stream.lock();
                    if let Some(code) = state.stopped {
                        return Ok(Some(code));
                    }
                    if state.delivered && state.ending == Ending::Finished {
                        return Ok(None);
                    }
                    if state.is_lost() || matches!(state.ending, Ending::Reset(_)) {
                        return Err(ConnectionEnd::Lost("the stream is over".into()));
                    }
                }
                changed.await;
            }
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.waker.stream
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        self.0.end(Ending::Reset(StreamCode::Cancelled));
    }
}

impl AsyncWrite for SendStream {
    /// Takes all of the bytes, which are whole frames, or none.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(self.0.poll_room(cx)) {
            Ok(()) => {
                self.0.write([Bytes::copy_from_slice(bytes)].into());
                Poll::Ready(Ok(bytes.len()))
            }
            Err(error) => Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, error))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().finish();
        Poll::Ready(Ok(()))
    }
}

/// The receiving half. Dropped before the stream's end, it stops the stream.
#[derive(Debug)]
pub struct RecvStream(pub(super) Arc<Stream>);

impl RecvStream {
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        self.0.poll_read(cx, most)
    }

    pub(crate) fn stop(&mut self, code: StreamCode) {
        self.0.stop(code);
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        self.0.stop(StreamCode::Ok);
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.0.poll_read(cx, buffer.remaining())) {
            Ok(bytes) => {
                buffer.put_slice(&bytes.unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, error))),
        }
    }
}
