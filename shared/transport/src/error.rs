//! How connections and streams end, in the protocol's codes.

use bytes::Bytes;
use shared::codes::{CloseCode, StreamCode};

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionEnd {
    /// The other end closed it.
    #[error("closed by the other end ({})", told(*.code, .reason))]
    Closed {
        /// A [`CloseCode`], unless the other end is newer.
        code: u64,
        /// Its sentence; whatever the other end wrote.
        reason: Bytes,
    },
    /// This end closed it.
    #[error("closed by this end")]
    Ours,
    /// It was lost, and this is how.
    #[error("{0}")]
    Lost(String),
}

fn told(code: u64, reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason);
    let name =
        CloseCode::from_number(code).map_or_else(|| code.to_string(), |code| code.to_string());
    if text.is_empty() { name } else { format!("{name}: {}", text.escape_debug()) }
}

impl From<quinn::ConnectionError> for ConnectionEnd {
    fn from(error: quinn::ConnectionError) -> Self {
        match error {
            quinn::ConnectionError::ApplicationClosed(close) => {
                Self::Closed { code: close.error_code.into_inner(), reason: close.reason }
            }
            quinn::ConnectionError::LocallyClosed => Self::Ours,
            other => Self::Lost(other.to_string()),
        }
    }
}

/// Why no more can be written to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The other end wants no more of it.
    #[error("the other end stopped the stream with {0}")]
    Stopped(StreamCode),
    /// The connection is over, or this end ended the stream before.
    #[error("the connection is lost")]
    Lost,
}

impl From<quinn::WriteError> for WriteError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::Stopped(code) => Self::Stopped(stream_code(code)),
            _ => Self::Lost,
        }
    }
}

/// Why no more can be read from a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The other end abandoned it.
    #[error("the other end reset the stream with {0}")]
    Reset(StreamCode),
    /// The connection is over, or this end stopped the stream before.
    #[error("the connection is lost")]
    Lost,
}

impl From<quinn::ReadError> for ReadError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::Reset(code) => Self::Reset(stream_code(code)),
            _ => Self::Lost,
        }
    }
}

/// A code that this version does not know means that the other end left.
pub(crate) fn stream_code(code: quinn::VarInt) -> StreamCode {
    StreamCode::from_number(code.into_inner()).unwrap_or(StreamCode::Cancelled)
}
