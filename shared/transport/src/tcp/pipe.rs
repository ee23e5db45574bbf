//! The multiplexer's end of a connection in memory: the driver alone reads and writes the socket.
//!
//! So the driver sees each byte that comes, decides when bytes leave, and many small frames leave in
//! one write.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use futures::io::{AsyncRead, AsyncWrite};

/// Bytes that wait for the socket, above which the multiplexer has to wait.
const OUTBOUND_MAX: usize = 256 * 1024;
/// The header of a frame of the multiplexer, bytes: version, type, flags (2), stream (4), length (4).
const HEADER_BYTES: usize = 12;
/// The type of a frame by which the multiplexer gives the connection up.
const GO_AWAY: u8 = 3;

/// Bytes on their way between socket and multiplexer.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// From the socket.
    pub(super) inbound: BytesMut,
    /// Nothing more comes from the socket.
    pub(super) ended: bool,
    /// To the socket.
    pub(super) outbound: BytesMut,
    /// The multiplexer has said GO_AWAY: it found a breach, or was told to close.
    pub(super) gave_up: bool,
    /// Bytes of the frame under way that come behind its header.
    body_left: usize,
}

/// Both ends' handle of a pipe.
#[derive(Debug, Clone, Default)]
pub(super) struct PipeEnd(Arc<Mutex<Pipe>>);

impl PipeEnd {
    pub(super) fn lock(&self) -> MutexGuard<'_, Pipe> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// Takes what the multiplexer writes: a header or a body, each in one piece.
    fn note(&mut self, bytes: &[u8]) {
        if self.body_left > 0 {
            self.body_left = self.body_left.saturating_sub(bytes.len());
        } else if let (HEADER_BYTES, [_, kind, _, _, _, _, _, _, length @ ..]) =
            (bytes.len(), bytes)
        {
            self.gave_up |= *kind == GO_AWAY;
            let length = length.try_into().map_or(0, u32::from_be_bytes);
            self.body_left = if *kind == 0 { length as usize } else { 0 };
        }
    }
}

// The driver polls the multiplexer again whenever it has moved bytes, so that nobody needs a waker here.
impl AsyncRead for PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.lock();
        let now = buffer.len().min(pipe.inbound.len());
        if now == 0 && !pipe.ended {
            return Poll::Pending;
        }
        if let Some(buffer) = buffer.get_mut(..now) {
            pipe.inbound.copy_to_slice(buffer);
        }
        Poll::Ready(Ok(now))
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.lock();
        if pipe.outbound.remaining() >= OUTBOUND_MAX {
            return Poll::Pending;
        }
        pipe.note(bytes);
        pipe.outbound.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_away_is_told_from_a_body_that_looks_like_one() {
        let mut pipe = Pipe::default();
        let data = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 12];
        let go_away = [0, GO_AWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        pipe.note(&data);
        pipe.note(&go_away);
        assert!(!pipe.gave_up, "this was a body");
        pipe.note(&go_away);
        assert!(pipe.gave_up);
    }
}
