//! The connector's half of a call: its head, its body, its end.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use shared::codes::StreamCode;
use shared::flow::BodyReceiver;
use shared::wire::{Direction, Frame, Joined, MessageReader, RequestHead, WireError};
use transport::{ReadError, RecvStream};

use super::part_of;

/// A piece of a call's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Bytes of it; never none.
    Data(Bytes),
    /// It is whole, and these are its trailers.
    End(HeaderMap),
}

/// Why a call's body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyCut {
    /// The agent or the connector gave it up, or the link was lost.
    #[error("the call was cut")]
    Lost,
    /// The connector broke the protocol.
    #[error("the connector broke the protocol: {0}")]
    Protocol(#[from] WireError),
}

/// The body of a call as it comes. Dropped before its end, it tells the connector that no more of it
/// is wanted.
#[derive(Debug)]
pub struct CallBody {
    recv: RecvStream,
    reader: MessageReader,
    unread: Bytes,
    joined: Joined<ReadError>,
    receiver: Option<BodyReceiver>,
}

impl CallBody {
    pub(super) fn new(recv: RecvStream) -> Self {
        let reader = MessageReader::new(Direction::Request, 0);
        Self { recv, reader, unread: Bytes::new(), joined: Joined::default(), receiver: None }
    }

    /// The head, which comes first.
    pub(super) async fn head(&mut self) -> Result<Box<RequestHead>, BodyCut> {
        match std::future::poll_fn(|cx| self.poll_frame(cx)).await? {
            Frame::RequestHead(head) => Ok(head),
            frame => Err(self.broken(WireError::Unexpected(frame.kind()))),
        }
    }

    pub(super) fn receive_with(&mut self, receiver: BodyReceiver) {
        self.receiver = Some(receiver);
    }

    /// The next piece; nothing comes behind [`Part::End`]. Cancel safe.
    pub async fn part(&mut self) -> Result<Part, BodyCut> {
        std::future::poll_fn(|cx| self.poll_part(cx)).await
    }

    /// The next piece.
    pub fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, BodyCut>> {
        let frame = ready!(self.poll_frame(cx))?;
        Poll::Ready(part_of(frame).map_err(|error| self.broken(error)))
    }

    /// Notes that `bytes` of it were handed on: the connector may send as many more, and then some.
    pub fn consumed(&mut self, bytes: usize) {
        if let Some(receiver) = &mut self.receiver {
            self.reader.allow(receiver.consumed(bytes));
        }
    }

    /// Wants no more of it.
    pub fn stop(&mut self, code: StreamCode) {
        self.recv.stop(code);
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, BodyCut>> {
        loop {
            match self.reader.next(&mut self.unread) {
                // It concerns the answer, whose own half tells of it.
                Ok(Some(Frame::Stop(_))) => {}
                Ok(Some(Frame::Reset(_) | Frame::Abort(_))) => {
                    return Poll::Ready(Err(BodyCut::Lost));
                }
                Ok(Some(frame)) => {
                    if self.reader.is_over() {
                        // Reads the FIN that came with END, so that nothing is left to stop.
                        let _ = self.poll_chunk(cx);
                    }
                    return Poll::Ready(Ok(frame));
                }
                Ok(None) => match ready!(self.poll_chunk(cx)) {
                    Ok(Some(bytes)) => self.unread = bytes,
                    Ok(None) => return Poll::Ready(Err(self.broken(WireError::Cut))),
                    Err(cut) => return Poll::Ready(Err(cut)),
                },
                Err(error) => return Poll::Ready(Err(self.broken(error))),
            }
        }
    }

    fn broken(&mut self, error: WireError) -> BodyCut {
        self.stop(StreamCode::Protocol);
        BodyCut::Protocol(error)
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyCut>> {
        let read = self.joined.poll(|most| self.recv.poll_chunk(cx, most));
        read.map(|read| match read {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(BodyCut::Lost),
        })
    }
}

impl Drop for CallBody {
    fn drop(&mut self) {
        self.stop(StreamCode::Ok);
    }
}
