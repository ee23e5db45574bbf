//! The request as it comes down a stream, and its body as hyper takes it.

use std::fmt;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, SizeHint};
use shared::codes::StreamCode;
use shared::flow::BodyReceiver;
use shared::headers::remove_forbidden_trailers;
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
}

impl RequestStream {
    pub(crate) fn new(recv: RecvStream) -> Self {
        let reader = MessageReader::new(Direction::Request, 0);
        Self { recv, reader, unread: Bytes::new(), joined: Joined::default() }
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
        let read = self.joined.poll(|most| self.recv.poll_chunk(cx, most));
        read.map(|read| match read {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(UploadError::Cut(Left)),
        })
    }
}

/// The body of a request to the local agent.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none.
    Empty,
    /// It comes from the relay.
    Upload(Box<Upload>),
}

/// A body on its way. One chunk is held back, so that the last one leaves together with the end
/// and never before it: an agent that counts to Content-Length must not see a cut body as whole.
pub(crate) struct Upload {
    stream: RequestStream,
    receiver: BodyReceiver,
    /// Bytes that Content-Length says are to come.
    left: Option<u64>,
    held: Option<Bytes>,
    end: End,
}

/// What of the end has come.
enum End {
    NotYet,
    Trailers(HeaderMap),
    Over,
}

impl Upload {
    /// The body behind a request head, of `length` bytes if that is known.
    pub(crate) fn new(stream: RequestStream, receiver: BodyReceiver, length: Option<u64>) -> Self {
        Self { stream, receiver, left: length, held: None, end: End::NotYet }
    }

    fn hand_on(&mut self, bytes: Bytes) -> http_body::Frame<Bytes> {
        let limit = self.receiver.consumed(bytes.len());
        self.stream.reader.allow(limit);
        http_body::Frame::data(bytes)
    }

    fn take_data(&mut self, bytes: Bytes) -> Result<Option<Bytes>, UploadError> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes.len() as u64).ok_or(UploadError::Length)?;
        }
        Ok(self.held.replace(bytes))
    }

    fn take_end(&mut self, mut trailers: HeaderMap) -> Result<(), UploadError> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(UploadError::Length);
        }
        remove_forbidden_trailers(&mut trailers);
        self.end = if trailers.is_empty() { End::Over } else { End::Trailers(trailers) };
        Ok(())
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, UploadError>>> {
        loop {
            match std::mem::replace(&mut self.end, End::Over) {
                End::NotYet => self.end = End::NotYet,
                end => {
                    if let Some(last) = self.held.take() {
                        self.end = end;
                        return Poll::Ready(Some(Ok(self.hand_on(last))));
                    }
                    return Poll::Ready(match end {
                        End::Trailers(trailers) => Some(Ok(http_body::Frame::trailers(trailers))),
                        End::NotYet | End::Over => None,
                    });
                }
            }
            let taken = match self.stream.poll_frame(cx) {
                Poll::Ready(Ok(Frame::Data(bytes))) => self.take_data(bytes),
                Poll::Ready(Ok(Frame::End { trailers, .. })) => {
                    self.take_end(trailers).map(|()| None)
                }
                Poll::Ready(Ok(frame)) => {
                    let error = WireError::Unexpected(frame.kind());
                    Err(self.stream.broken(error))
                }
                Poll::Ready(Err(error)) => Err(error),
                // Where the end is near, the last bytes wait for it.
                Poll::Pending if self.left == Some(0) => return Poll::Pending,
                Poll::Pending => match self.held.take() {
                    Some(bytes) => return Poll::Ready(Some(Ok(self.hand_on(bytes)))),
                    None => return Poll::Pending,
                },
            };
            match taken {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(self.hand_on(bytes)))),
                Ok(None) => {}
                Err(error) => {
                    self.held = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("left", &self.left).finish_non_exhaustive()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Upload(upload) => upload.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Upload(upload) => matches!(upload.end, End::Over) && upload.held.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Upload(_) => SizeHint::default(),
        }
    }
}
