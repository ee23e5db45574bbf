//! The answer's half of a request stream: frames out, and a reset when it is dropped before its end.

use std::sync::Arc;

use bytes::Bytes;
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::limits::LINK_WRITE_TIMEOUT;
use shared::wire::frame::put_data_header;
use shared::wire::{Abort, Chunks, Frame};
use tokio::time::timeout;
use transport::{SendStream, WriteError};

use super::exchanges::Begun;
use super::held::Held;

/// Bytes gathered before they are written: what is at hand leaves together.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// How an exchange ends without a whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The relay is told why, in band.
    Abort(Abort),
    /// Nobody listens any more, or no words can get through.
    Abandon(StreamCode),
}

impl Ending {
    pub(crate) fn abort(code: AbortCode, delivery: Delivery, message: impl Into<String>) -> Self {
        Self::Abort(Abort { code, delivery, message: message.into() })
    }
}

/// Bytes that are kept of an answer before it is asked how many of them the relay has acknowledged.
const TRIM_MIN: usize = 16 * 1024;

/// The sending half. Dropping a quinn stream would send a clean FIN, and a cut answer would look
/// whole; dropping this one resets it.
pub(crate) struct Reply {
    out: Out,
    /// The exchange, once it is begun: what goes out is kept there for the link that comes next.
    held: Option<Arc<Held>>,
    trim_at: usize,
    finished: Option<SendStream>,
}

/// Where the answer goes.
enum Out {
    Open(SendStream),
    /// Its link is lost; another one brings a new stream.
    Lost,
    Over,
}

impl Reply {
    pub(crate) const fn new(send: SendStream) -> Self {
        Self { out: Out::Open(send), held: None, trim_at: TRIM_MIN, finished: None }
    }

    /// The exchange is begun, and outlives the link. Answers a future that resolves when the relay wants no
    /// answer any more, or no link goes on with it.
    pub(crate) fn hold(&mut self, begun: &Begun) -> impl Future<Output = ()> + Send + use<> {
        let held = Arc::clone(begun.held());
        self.held = Some(Arc::clone(&held));
        let stopped = match &self.out {
            Out::Open(send) => Some(send.stopped()),
            Out::Lost | Out::Over => None,
        };
        let exchanges = Arc::clone(begun.exchanges());
        async move {
            if let Some(stopped) = stopped {
                held.given_up(stopped, exchanges).await;
            }
        }
    }

    /// Writes what was gathered. While the link is lost it is only kept. `acknowledged` are the bytes of the
    /// body that the relay needs no more.
    pub(crate) async fn flush(
        &mut self,
        gathered: &mut Gathered,
        acknowledged: impl FnOnce() -> u64,
    ) -> Result<(), Ending> {
        self.write(gathered, false, acknowledged).await
    }

    /// Writes what was gathered, END among it, and ends the stream.
    pub(crate) async fn end(&mut self, gathered: &mut Gathered) -> Result<(), Ending> {
        self.write(gathered, true, || 0).await?;
        self.finish();
        Ok(())
    }

    async fn write(
        &mut self,
        gathered: &mut Gathered,
        last: bool,
        acknowledged: impl FnOnce() -> u64,
    ) -> Result<(), Ending> {
        let mut chunks = gathered.chunks.close();
        let body = std::mem::take(&mut gathered.bytes) as u64;
        if chunks.is_empty() {
            return Ok(());
        }
        if let Some(held) = &self.held
            && let Some(newer) = held.note(&chunks, body, last, &mut self.trim_at, acknowledged)
        {
            self.out = Out::Open(newer);
        }
        let send = match &mut self.out {
            Out::Open(send) => send,
            Out::Lost => return Ok(()),
            Out::Over => return Err(Ending::Abandon(StreamCode::Cancelled)),
        };
        match timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(&mut chunks)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(WriteError::Lost)) if self.held.is_some() => {
                self.out = Out::Lost;
                Ok(())
            }
            Ok(Err(_)) => Err(Ending::Abandon(StreamCode::Cancelled)),
            Err(_) => Err(Ending::Abandon(StreamCode::Slow)),
        }
    }

    /// Ends the stream on purpose, behind END or ABORT.
    fn finish(&mut self) {
        if let Some(newer) = self.held.as_ref().and_then(|held| held.newest()) {
            self.out = Out::Open(newer);
        }
        if let Out::Open(mut send) = std::mem::replace(&mut self.out, Out::Over) {
            send.finish();
            self.finished = Some(send);
        }
    }

    /// The stream, for whoever answers on it otherwise.
    pub(crate) fn take(mut self) -> Option<SendStream> {
        match std::mem::replace(&mut self.out, Out::Over) {
            Out::Open(send) => Some(send),
            Out::Lost | Out::Over => None,
        }
    }

    /// The stream, if it was finished on purpose.
    pub(crate) fn into_finished(mut self) -> Option<SendStream> {
        self.finished.take()
    }

    /// Tells the relay why there is no answer, or no whole one. Where the words do not get through,
    /// the stream is reset.
    pub(crate) async fn abort(&mut self, abort: Abort) {
        let mut gathered = Gathered::default();
        gathered.frame(&Frame::Abort(abort));
        match self.end(&mut gathered).await {
            Err(Ending::Abandon(code)) => self.abandon(code),
            Ok(()) | Err(Ending::Abort(_)) => {}
        }
    }

    /// Ends the exchange without words.
    pub(crate) fn abandon(&mut self, code: StreamCode) {
        if let Out::Open(mut send) = std::mem::replace(&mut self.out, Out::Over) {
            send.reset(code);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.abandon(StreamCode::Cancelled);
    }
}

/// Room for the frames of a usual answer, its small body among them.
const GATHERED_BYTES: usize = 1024;

/// What goes up in one write.
pub(crate) struct Gathered {
    chunks: Chunks,
    bytes: usize,
}

impl Default for Gathered {
    fn default() -> Self {
        Self { chunks: Chunks::with_capacity(GATHERED_BYTES), bytes: 0 }
    }
}

impl Gathered {
    pub(crate) fn frame(&mut self, frame: &Frame) {
        frame.put(self.chunks.frames());
    }

    pub(crate) fn data(&mut self, bytes: &Bytes) {
        put_data_header(self.chunks.frames(), bytes.len());
        self.chunks.bytes(bytes);
        self.bytes += bytes.len();
    }

    /// Whether it is time to write.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= GATHERED_BYTES_MAX
    }
}
