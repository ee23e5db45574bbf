//! Where a caller's body comes from: its own connection, or the link of an agent that calls.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::Body;
use hyper::body::Incoming;

use crate::tunnel::outbound::{CallBody, Part};

/// A body as it comes.
#[derive(Debug)]
pub enum Source {
    /// Over HTTP.
    Http {
        /// hyper's half.
        incoming: Incoming,
        /// Whether it comes over HTTP/2, where hyper knows an end from a reset.
        over_http2: bool,
    },
    /// Over a link. Boxed, since few do.
    Link(Box<CallBody>),
    /// It is all at hand.
    Whole(Option<Bytes>),
}

/// What came: a piece, or the end with its trailers.
#[derive(Debug)]
pub enum Came {
    /// Bytes, perhaps none.
    Data(Bytes),
    /// The end.
    End(HeaderMap),
}

/// The caller left, or its bytes are no HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Source {
    /// The body of a request over this version of HTTP.
    pub fn http(incoming: Incoming, version: Version) -> Self {
        Self::Http { incoming, over_http2: version == Version::HTTP_2 }
    }

    /// Whether its end is known to be reached.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Http { incoming, .. } => incoming.is_end_stream(),
            Self::Link(_) => false,
            Self::Whole(bytes) => bytes.is_none(),
        }
    }

    /// What comes next.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came, Gone>> {
        let (incoming, over_http2) = match self {
            Self::Http { incoming, over_http2 } => (incoming, *over_http2),
            Self::Link(call) => return poll_link(call, cx),
            Self::Whole(bytes) => {
                let end = || Came::End(HeaderMap::new());
                return Poll::Ready(Ok(bytes.take().map_or_else(end, Came::Data)));
            }
        };
        Poll::Ready(match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => Ok(match frame.into_data() {
                Ok(data) => Came::Data(data),
                Err(frame) => Came::End(frame.into_trailers().unwrap_or_default()),
            }),
            // hyper takes a reset with NO_ERROR for an end (RFC 9113, 8.1), which it is for an answer
            // alone.
            None if over_http2 && !incoming.is_end_stream() => Err(Gone),
            None => Ok(Came::End(HeaderMap::new())),
            Some(Err(_)) => Err(Gone),
        })
    }
}

fn poll_link(call: &mut CallBody, cx: &mut Context<'_>) -> Poll<Result<Came, Gone>> {
    Poll::Ready(match ready!(call.poll_part(cx)) {
        Ok(Part::Data(bytes)) => {
            call.consumed(bytes.len());
            Ok(Came::Data(bytes))
        }
        Ok(Part::End(trailers)) => Ok(Came::End(trailers)),
        Err(_) => Err(Gone),
    })
}
