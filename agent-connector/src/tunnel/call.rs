//! One call of the agent on a link: its body goes up, its answer comes down.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use shared::codes::StreamCode;
use shared::flow::{BodyReceiver, BodySender};
use shared::limits::LINK_WRITE_TIMEOUT;
use shared::wire::frame::put_data_header;
use shared::wire::{Abort, Direction, Frame, Joined, MessageReader, WireError};
use tokio::time::timeout;
use transport::{ReadError, RecvStream, SendStream};

use super::uplink::InFlight;

/// The relay takes no more of a call's body: its answer, if there is one, tells why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The sending half. Dropped before its end, it resets the stream, so that no cut body looks whole.
#[derive(Debug)]
pub(crate) struct CallUpload {
    send: Option<SendStream>,
    credit: BodySender,
}

impl CallUpload {
    pub(super) fn new(send: SendStream, credit: BodySender) -> Self {
        Self { send: Some(send), credit }
    }

    /// Sends bytes of the body, waiting for credit. Not cancel safe: drop the upload instead.
    pub(crate) async fn data(&mut self, mut bytes: Bytes) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let send = self.send.as_ref().ok_or(Stopped)?;
            let now = tokio::select! {
                biased;
                now = self.credit.spend(bytes.len()) => now,
                _ = send.stopped() => return Err(Stopped),
            };
            let mut header = BytesMut::with_capacity(9);
            put_data_header(&mut header, now);
            self.write(&mut [header.freeze(), bytes.split_to(now)]).await?;
        }
        Ok(())
    }

    /// Ends the body with its trailers.
    pub(crate) async fn end(mut self, trailers: HeaderMap) -> Result<(), Stopped> {
        let mut out = BytesMut::new();
        Frame::End { total: self.credit.sent(), trailers }.put(&mut out);
        self.write(&mut [out.freeze()]).await?;
        if let Some(mut send) = self.send.take() {
            send.finish();
        }
        Ok(())
    }

    /// Gives the call up for a reason.
    pub(crate) fn reset(mut self, code: StreamCode) {
        self.abandon(code);
    }

    pub(super) async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), Stopped> {
        let send = self.send.as_mut().ok_or(Stopped)?;
        match timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(chunks)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stopped),
        }
    }

    fn abandon(&mut self, code: StreamCode) {
        if let Some(mut send) = self.send.take() {
            send.reset(code);
        }
    }
}

impl Drop for CallUpload {
    fn drop(&mut self) {
        self.abandon(StreamCode::Cancelled);
    }
}

/// Why an answer ended before its END.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerCut {
    /// The link was lost.
    #[error("the link was lost")]
    LinkLost,
    /// The relay took no part in the call.
    #[error("the relay did not begin the call")]
    Refused,
    /// The relay said why.
    #[error("{}", .0.message)]
    Aborted(Abort),
    /// The relay reset the stream.
    #[error("the relay reset the call with {0}")]
    Reset(StreamCode),
    /// The relay broke the protocol.
    #[error("the relay broke the protocol: {0}")]
    Protocol(#[from] WireError),
}

/// The receiving half. Dropped before its end, it tells the relay that nobody listens.
#[derive(Debug)]
pub(crate) struct CallAnswer {
    recv: RecvStream,
    reader: MessageReader,
    unread: Bytes,
    joined: Joined<ReadError>,
    receiver: BodyReceiver,
    _in_flight: InFlight,
}

impl CallAnswer {
    pub(super) fn new(recv: RecvStream, receiver: BodyReceiver, in_flight: InFlight) -> Self {
        let reader = MessageReader::new(Direction::Response, receiver.limit());
        Self {
            recv,
            reader,
            unread: Bytes::new(),
            joined: Joined::default(),
            receiver,
            _in_flight: in_flight,
        }
    }

    /// The next frame: HEAD, DATA…, END, in that order.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, AnswerCut>> {
        loop {
            match self.reader.next(&mut self.unread) {
                Ok(Some(Frame::Stop(_) | Frame::Accepted | Frame::Interim(_))) => {}
                Ok(Some(Frame::Abort(abort))) => {
                    return Poll::Ready(Err(AnswerCut::Aborted(abort)));
                }
                Ok(Some(Frame::Reset(code))) => return Poll::Ready(Err(of_reset(code))),
                Ok(Some(frame)) => {
                    if self.reader.is_over() {
                        // Reads the FIN that came with END, so that nothing is left to stop.
                        let _ = self.poll_chunk(cx);
                    }
                    return Poll::Ready(Ok(frame));
                }
                Ok(None) => match ready!(self.poll_chunk(cx))? {
                    Some(bytes) => self.unread = bytes,
                    None => return Poll::Ready(Err(WireError::Cut.into())),
                },
                Err(error) => {
                    self.stop(StreamCode::Protocol);
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// The next frame. Cancel safe.
    pub(crate) async fn frame(&mut self) -> Result<Frame, AnswerCut> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Notes that `bytes` of the body were handed to the agent.
    pub(crate) fn consumed(&mut self, bytes: usize) {
        self.reader.allow(self.receiver.consumed(bytes));
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, AnswerCut>> {
        let read = self.joined.poll(|most| self.recv.poll_chunk(cx, most));
        read.map(|read| match read {
            Ok(bytes) => Ok(bytes),
            Err(ReadError::Reset(code)) => Err(of_reset(code)),
            Err(ReadError::Lost) => Err(AnswerCut::LinkLost),
        })
    }

    fn stop(&mut self, code: StreamCode) {
        self.recv.stop(code);
    }
}

impl Drop for CallAnswer {
    fn drop(&mut self) {
        if !self.reader.is_over() {
            self.stop(StreamCode::Cancelled);
        }
    }
}

fn of_reset(code: StreamCode) -> AnswerCut {
    match code {
        StreamCode::Refused => AnswerCut::Refused,
        code => AnswerCut::Reset(code),
    }
}
