//! The body of a request as hyper takes it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, SizeHint};
use shared::headers::remove_forbidden_trailers;
use shared::wire::Frame;

use super::held::Held;
use super::request_stream::{Intake, UploadError};

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
    exchange: Arc<Held>,
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
    pub(crate) fn new(exchange: Arc<Held>, length: Option<u64>) -> Self {
        Self { exchange, left: length, held: None, end: End::NotYet }
    }

    fn hand_on(&mut self, bytes: Bytes) -> http_body::Frame<Bytes> {
        self.exchange.request().consumed(bytes.len());
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
            let frame = self.exchange.request().poll_frame(cx);
            let taken = match frame {
                Poll::Ready(Ok(Frame::Data(bytes))) => self.take_data(bytes),
                Poll::Ready(Ok(Frame::End { trailers, .. })) => {
                    self.take_end(trailers).map(|()| None)
                }
                Poll::Ready(Ok(frame)) => Err(self.exchange.request().unexpected(&frame)),
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

impl Drop for Upload {
    fn drop(&mut self) {
        *self.exchange.request() = Intake::Over;
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
