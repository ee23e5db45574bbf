//! An answer as it arrived, and the verdict on how it ended.

use super::framing::{self, Framing, Head};
use crate::Fingerprint;
use bytes::{Bytes, BytesMut};
use h2::Reason;
use std::{fmt, time::Instant};

/// Bytes of a body that a failure shows.
const SHOWN: usize = 2_000;

/// The head of an answer.
#[derive(Clone)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// `HTTP/1.1` as in the status line, or `HTTP/2.0`.
    pub version: String,
    /// All fields; on HTTP/1 in order, names in their own case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Statuses of the interim answers that came before.
    pub interims: Vec<u16>,
}

impl ResponseHead {
    /// Reads the status line of a head.
    pub(super) fn read(head: Head) -> Result<ResponseHead, Cut> {
        let (version, rest) = head.start_line.split_once(' ').unwrap_or_default();
        let status = rest.split(' ').next().and_then(|text| text.parse().ok());
        match status {
            Some(status) if version.starts_with("HTTP/1.") => Ok(ResponseHead {
                status,
                version: version.to_owned(),
                headers: head.headers,
                interims: Vec::new(),
            }),
            _ => Err(Cut::NotHttp(head.start_line)),
        }
    }

    /// The first value of a field, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        framing::header(&self.headers, name)
    }

    /// How the body is framed, given whether the request was a HEAD.
    pub(super) fn framing(&self, to_head: bool) -> Framing {
        if to_head || matches!(self.status, 100..=199 | 204 | 304) {
            return Framing::Empty;
        }
        Head { start_line: String::new(), headers: self.headers.clone() }.framing()
    }
}

/// A step in reading a body.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// The body is over.
    End(Ending),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `Content-Length` was reached, or the last chunk or the stream's own end seen.
    Complete,
    /// It was not.
    Cut(Cut),
}

/// Why an answer is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// There was no connection.
    Unreachable,
    /// The connection ended in order, with so many bytes of the length or chunk still owed.
    Eof(Option<u64>),
    /// The connection ended in order and the body had no framing: it may or may not be whole.
    Unframed,
    /// The connection was reset, or the one stream, then with the code that says why.
    Reset(Option<Reason>),
    /// The server ended the connection with GOAWAY, for this error.
    GoAway(Reason),
    /// Nothing came within the client's deadline.
    Timeout,
    /// The chunks are malformed.
    BadChunk(String),
    /// The head is no HTTP, or HTTP/2 was broken.
    NotHttp(String),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer was cut: {self:?}")
    }
}

impl std::error::Error for Cut {}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.status)?;
        for (name, value) in &self.headers {
            write!(f, " | {name}: {}", String::from_utf8_lossy(value))?;
        }
        if self.interims.is_empty() { Ok(()) } else { write!(f, " | after {:?}", self.interims) }
    }
}

/// A part of a body as the framing has it.
pub(super) enum Part {
    /// Bytes, and whether they end a chunk.
    Data {
        /// The bytes.
        bytes: Bytes,
        /// True also for bytes of no chunk.
        whole: bool,
    },
    /// The body is complete.
    End {
        /// The fields behind it.
        trailers: Vec<framing::Field>,
    },
}

/// A whole answer, complete or cut.
#[derive(Clone)]
pub struct RawResponse {
    /// Its head.
    pub head: ResponseHead,
    /// The status code.
    pub status: u16,
    /// The body as far as it came.
    pub body: Bytes,
    /// Each chunk or DATA frame (or, without any, each read) with the time at which its last byte came.
    pub chunks: Vec<(Instant, Bytes)>,
    /// Trailer fields.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// How it ended.
    pub ending: Ending,
}

/// An answer whose body is still coming.
pub(super) struct Arriving {
    head: ResponseHead,
    body: BytesMut,
    chunk: BytesMut,
    chunks: Vec<(Instant, Bytes)>,
}

impl Arriving {
    pub(super) fn new(head: ResponseHead) -> Arriving {
        Arriving { head, body: BytesMut::new(), chunk: BytesMut::new(), chunks: Vec::new() }
    }

    /// Takes in the next bytes, and whether they end a chunk.
    pub(super) fn add(&mut self, bytes: &[u8], whole: bool) {
        self.body.extend_from_slice(bytes);
        self.chunk.extend_from_slice(bytes);
        if whole {
            self.chunks.push((Instant::now(), self.chunk.split().freeze()));
        }
    }

    pub(super) fn end(self, trailers: Vec<framing::Field>, ending: Ending) -> RawResponse {
        let (status, body) = (self.head.status, self.body.freeze());
        RawResponse { head: self.head, status, body, chunks: self.chunks, trailers, ending }
    }
}

impl RawResponse {
    /// The first value of a field, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Whether the framing said that all of it is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.ending == Ending::Complete
    }

    /// The body as text, wrong bytes replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Shows the whole answer when its body is no JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }

    /// Length and hash of the body.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.body)
    }

    /// The relay's own code, if this is a refusal of the relay.
    #[must_use]
    pub fn relay_error(&self) -> Option<&str> {
        self.header("x-relay-error")
    }

    /// What the relay says about the delivery of a refused request.
    #[must_use]
    pub fn delivery(&self) -> Option<&str> {
        self.header("x-relay-delivery")
    }
}

impl fmt::Debug for RawResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(SHOWN)];
        f.debug_struct("RawResponse")
            .field("head", &self.head)
            .field("length", &self.body.len())
            .field("body", &String::from_utf8_lossy(shown))
            .field("chunks", &self.chunks.len())
            .field("trailers", &self.trailers)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
