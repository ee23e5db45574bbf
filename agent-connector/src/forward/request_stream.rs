//! The request as it comes down a stream, and goes on coming down another.

use std::fmt;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use shared::codes::StreamCode;
use shared::flow::{BodyReceiver, LinkFlow};
use shared::wire::{Direction, Frame, Joined, MessageReader, WireError};
use transport::{ReadError, RecvStream};

/// Why an upload ended before its end. The agent never sees it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadError {
    /// The relay gave it up, or the link was lost.
    #[error("the upload was cut")]
    Cut(#[source] Left),
    /// The relay broke the protocol.
    #[error("the relay broke the protocol: {0}")]
    Protocol(#[from] WireError),
    /// The body is not as long as its Content-Length says.
    #[error("the body is not as long as its Content-Length says")]
    Length,
}

/// Nobody waits for the answer any more. hyper resets a stream with the reason that it finds behind a
/// body's error, and with INTERNAL_ERROR where it finds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left;

static CANCEL: LazyLock<h2::Error> = LazyLock::new(|| h2::Reason::CANCEL.into());

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody waits for the answer")
    }
}

impl std::error::Error for Left {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*CANCEL)
    }
}

/// The frames of one request.
pub(crate) struct RequestStream {
    recv: RecvStream,
    reader: MessageReader,
    unread: Bytes,
    joined: Joined<ReadError>,
    /// Waits for another stream, where the link is lost.
    waiting: Option<Waker>,
    /// Whether it waits then: an exchange was begun.
    outlives: bool,
}

impl RequestStream {
    pub(crate) fn new(recv: RecvStream) -> Self {
        let reader = MessageReader::new(Direction::Request, 0);
        let (unread, joined) = (Bytes::new(), Joined::default());
        Self { recv, reader, unread, joined, waiting: None, outlives: false }
    }

    /// The next frame. Cancel safe.
    pub(crate) async fn frame(&mut self) -> Result<Frame, UploadError> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, UploadError>> {
        loop {
            match self.reader.next(&mut self.unread) {
                Ok(Some(Frame::Stop(_) | Frame::Reset(_) | Frame::Abort(_))) => {
                    return Poll::Ready(Err(UploadError::Cut(Left)));
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

    fn broken(&mut self, error: WireError) -> UploadError {
        self.recv.stop(StreamCode::Protocol);
        UploadError::Protocol(error)
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UploadError>> {
        if self.waiting.is_some() {
            // Nothing more comes of this stream; it was asked to its end.
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match ready!(self.joined.poll(|most| self.recv.poll_chunk(cx, most))) {
            Ok(bytes) => Poll::Ready(Ok(bytes)),
            Err(ReadError::Lost) if self.outlives && !self.reader.is_over() => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(UploadError::Cut(Left))),
        }
    }

    /// Goes on with what comes down `newer`, whose first frame was CONTINUE.
    fn go_on(&mut self, newer: Self) {
        self.reader.go_on();
        (self.recv, self.unread, self.joined) = (newer.recv, newer.unread, newer.joined);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// What still comes of a request's body.
pub(crate) enum Intake {
    /// It comes on a stream.
    Open(Box<Inflow>),
    /// Nothing comes, or nobody wants it.
    Over,
}

/// A body that comes, and its credit.
pub(crate) struct Inflow {
    stream: RequestStream,
    receiver: BodyReceiver,
}

impl Intake {
    /// The body behind a head, while its exchange is open: a lost link does not end it.
    pub(crate) fn open(mut stream: RequestStream, receiver: BodyReceiver) -> Self {
        stream.outlives = true;
        Self::Open(Box::new(Inflow { stream, receiver }))
    }

    /// The next frame of the body.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, UploadError>> {
        match self {
            Self::Open(inflow) => inflow.stream.poll_frame(cx),
            Self::Over => Poll::Ready(Err(UploadError::Cut(Left))),
        }
    }

    /// Notes that `bytes` went to the agent.
    pub(crate) fn consumed(&mut self, bytes: usize) {
        if let Self::Open(inflow) = self {
            let Inflow { stream, receiver } = &mut **inflow;
            stream.reader.allow(receiver.consumed(bytes));
        }
    }

    /// The relay broke the protocol with this frame.
    pub(crate) fn unexpected(&mut self, frame: &Frame) -> UploadError {
        let error = WireError::Unexpected(frame.kind());
        match self {
            Self::Open(inflow) => inflow.stream.broken(error),
            Self::Over => error.into(),
        }
    }

    /// Goes on with `newer`, on the link of `flow`; answers what has come.
    pub(crate) fn go_on(&mut self, newer: RequestStream, flow: &LinkFlow) -> Came {
        match self {
            Self::Open(inflow) if !inflow.stream.reader.is_over() => {
                let Inflow { stream, receiver } = &mut **inflow;
                stream.go_on(newer);
                stream.reader.allow(receiver.move_to(flow));
                Came { over: false, bytes: stream.reader.received() }
            }
            Self::Open(..) | Self::Over => Came { over: true, bytes: 0 },
        }
    }
}

/// What has come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Came {
    /// Nothing more of it is wanted.
    pub(crate) over: bool,
    /// Bytes of its body; of no meaning where nothing more is wanted.
    pub(crate) bytes: u64,
}
