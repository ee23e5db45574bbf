//! The receiving half of a stream.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::VarInt;
use shared::codes::StreamCode;
use tokio::io::{AsyncRead, ReadBuf};

use crate::{ReadError, tcp};

/// The receiving half of a stream. Dropped before its end, it stops the stream.
#[derive(Debug)]
pub enum RecvStream {
    /// Over QUIC.
    Quic(quinn::RecvStream),
    /// Over TCP.
    Tcp(tcp::RecvStream),
}

impl RecvStream {
    /// The next bytes, at most so many, and never none; `None` at the end of the stream.
    #[inline]
    pub fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        match self {
            Self::Quic(recv) => {
                // The future keeps no state of its own: a new one each time is the same as the old one.
                let read = pin!(recv.read_chunk(most, true)).poll(cx);
                read.map_ok(|chunk| chunk.map(|chunk| chunk.bytes)).map_err(ReadError::from)
            }
            Self::Tcp(recv) => recv.poll_chunk(cx, most),
        }
    }

    /// Wants no more of the stream. Does nothing where it is over.
    #[inline]
    pub fn stop(&mut self, code: StreamCode) {
        match self {
            // An error means that the stream is over already.
            Self::Quic(recv) => drop(recv.stop(VarInt::from_u32(code.number()))),
            Self::Tcp(recv) => recv.stop(code),
        }
    }
}

impl AsyncRead for RecvStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Quic(recv) => AsyncRead::poll_read(Pin::new(recv), cx, buffer),
            Self::Tcp(recv) => Pin::new(recv).poll_read(cx, buffer),
        }
    }
}
