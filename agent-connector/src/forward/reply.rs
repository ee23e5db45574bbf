//! The answer's half of a request stream: frames out, and a reset when it is dropped before its end.

use bytes::Bytes;
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::limits::LINK_WRITE_TIMEOUT;
use shared::wire::frame::put_data_header;
use shared::wire::{Abort, Chunks, Frame};
use tokio::time::timeout;
use transport::SendStream;

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

/// The sending half. Dropping a quinn stream would send a clean FIN, and a cut answer would look
/// whole; dropping this one resets it.
pub(crate) struct Reply {
    send: Option<SendStream>,
    finished: Option<SendStream>,
}

impl Reply {
    pub(crate) const fn new(send: SendStream) -> Self {
        Self { send: Some(send), finished: None }
    }

    /// Resolves when the relay wants no answer any more, or the link is lost.
    pub(crate) fn given_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.send.as_ref().map(SendStream::stopped);
        async move {
            if let Some(stopped) = stopped {
                let _ = stopped.await;
            }
        }
    }

    /// Writes what was gathered.
    pub(crate) async fn flush(&mut self, gathered: &mut Gathered) -> Result<(), Ending> {
        let mut chunks = gathered.chunks.close();
        gathered.bytes = 0;
        if chunks.is_empty() {
            return Ok(());
        }
        let Some(send) = &mut self.send else { return Err(Ending::Abandon(StreamCode::Cancelled)) };
        let written = timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(&mut chunks)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ending::Abandon(StreamCode::Cancelled)),
            Err(_) => Err(Ending::Abandon(StreamCode::Slow)),
        }
    }

    /// Ends the stream on purpose, behind END or ABORT.
    pub(crate) fn finish(&mut self) {
        if let Some(mut send) = self.send.take() {
            send.finish();
            self.finished = Some(send);
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
        match self.flush(&mut gathered).await {
            Ok(()) => self.finish(),
            Err(Ending::Abandon(code)) => self.abandon(code),
            Err(Ending::Abort(_)) => {}
        }
    }

    /// Ends the exchange without words.
    pub(crate) fn abandon(&mut self, code: StreamCode) {
        if let Some(mut send) = self.send.take() {
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
