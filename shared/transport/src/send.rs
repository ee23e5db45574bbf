//! The sending half of a stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::VarInt;
use shared::codes::StreamCode;
use tokio::io::AsyncWrite;

use crate::error::stream_code;
use crate::{ConnectionEnd, WriteError, tcp};

/// The sending half of a stream. Whoever drops it should have finished or reset it: over QUIC a drop
/// finishes.
#[derive(Debug)]
pub enum SendStream {
    /// Over QUIC.
    Quic(quinn::SendStream),
    /// Over TCP.
    Tcp(tcp::SendStream),
}

enum Either<Q, T> {
    Quic(Q),
    Tcp(T),
}

impl SendStream {
    /// Writes some of the chunks, at least a part of the first; those that were written are empty
    /// afterwards. Answers how many were written whole. Cancel safe.
    #[inline]
    pub async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        match self {
            Self::Quic(send) => Ok(send.write_chunks(chunks).await?.chunks),
            Self::Tcp(send) => {
                send.write_chunks(chunks).await?;
                Ok(chunks.len())
            }
        }
    }

    /// Writes all of the chunks, which are whole frames. Not cancel safe: a part may be written.
    #[inline]
    pub async fn write_all_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), WriteError> {
        match self {
            Self::Quic(send) => Ok(send.write_all_chunks(chunks).await?),
            Self::Tcp(send) => send.write_chunks(chunks).await,
        }
    }

    /// Ends the stream on purpose, behind all that was written. Does nothing where it is over.
    #[inline]
    pub fn finish(&mut self) {
        match self {
            // An error means that the other end stopped the stream or the connection is lost.
            Self::Quic(send) => drop(send.finish()),
            Self::Tcp(send) => send.finish(),
        }
    }

    /// Abandons the stream. Does nothing where it is over.
    #[inline]
    pub fn reset(&mut self, code: StreamCode) {
        match self {
            // An error means that the stream is over already.
            Self::Quic(send) => drop(send.reset(VarInt::from_u32(code.number()))),
            Self::Tcp(send) => send.reset(code),
        }
    }

    /// Resolves with a code when the other end wants no more of the stream, without one when it was
    /// finished and closing the connection would no longer lose any of it.
    pub fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<StreamCode>, ConnectionEnd>> + Send + Sync + use<> {
        let stopped = match self {
            Self::Quic(send) => Either::Quic(send.stopped()),
            Self::Tcp(send) => Either::Tcp(send.stopped()),
        };
        async move {
            match stopped {
                Either::Quic(stopped) => match stopped.await {
                    Ok(code) => Ok(code.map(stream_code)),
                    Err(quinn::StoppedError::ConnectionLost(lost)) => Err(lost.into()),
                    Err(error) => Err(ConnectionEnd::Lost(error.to_string())),
                },
                Either::Tcp(stopped) => stopped.await,
            }
        }
    }

    /// Tells streams of one connection apart.
    pub fn id(&self) -> u64 {
        match self {
            Self::Quic(send) => send.id().into(),
            Self::Tcp(send) => send.id(),
        }
    }
}

impl AsyncWrite for SendStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Quic(send) => AsyncWrite::poll_write(Pin::new(send), cx, bytes),
            Self::Tcp(send) => Pin::new(send).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Quic(send) => Pin::new(send).poll_flush(cx),
            Self::Tcp(send) => Pin::new(send).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Quic(send) => Pin::new(send).poll_shutdown(cx),
            Self::Tcp(send) => Pin::new(send).poll_shutdown(cx),
        }
    }
}
