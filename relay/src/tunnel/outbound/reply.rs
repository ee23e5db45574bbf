//! The relay's half of a call: the answer on its way to the agent that called.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use shared::codes::{AbortCode, Delivery, StreamCode};
use shared::flow::BodySender;
use shared::limits::LINK_WRITE_TIMEOUT;
use shared::wire::frame::put_data_header;
use shared::wire::{Abort, Chunks, Frame, ResponseHead, WireError};
use tokio::time::timeout;
use transport::SendStream;

/// Bytes gathered before they are written: what is at hand leaves together.
const GATHERED_BYTES_MAX: usize = 64 * 1024;
/// Patience for an agent to take bytes of its answer, as for a caller of the edge.
const TAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why an answer did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyEnd {
    /// The agent wants no more of it, or the link was lost.
    #[error("nobody takes the answer any more")]
    Lost,
    /// It took no byte for too long.
    #[error("the answer was not taken for too long")]
    Slow,
}

/// The sending half. Dropped before its end, it resets the stream, so that no cut answer looks whole.
#[derive(Debug)]
pub struct CallReply {
    send: Option<SendStream>,
    credit: Option<BodySender>,
    chunks: Chunks,
    gathered: usize,
}

impl CallReply {
    pub(super) fn new(send: SendStream) -> Self {
        Self { send: Some(send), credit: None, chunks: Chunks::default(), gathered: 0 }
    }

    pub(super) fn send_with(&mut self, credit: BodySender) {
        self.credit = Some(credit);
    }

    /// Resolves when nobody waits for the answer any more, or the link is lost.
    pub(super) fn given_up(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.send.as_ref().map(SendStream::stopped);
        async move {
            if let Some(stopped) = stopped
                && let Ok(None) = stopped.await
            {
                // The connector has all of it, and whoever wrote it is about to end.
                std::future::pending().await
            }
        }
    }

    /// Gathers the head of the answer, which leaves with what follows.
    pub fn head(&mut self, head: ResponseHead) {
        Frame::ResponseHead(Box::new(head)).put(self.chunks.frames());
    }

    /// Gathers bytes of the body, and sends what was gathered when it is much or credit runs out. Not
    /// cancel safe: drop the reply instead.
    pub async fn data(&mut self, mut bytes: Bytes) -> Result<(), ReplyEnd> {
        while !bytes.is_empty() {
            let now = self.spend(bytes.len()).await?;
            put_data_header(self.chunks.frames(), now);
            self.chunks.bytes(&bytes.split_to(now));
            self.gathered += now;
            if self.gathered >= GATHERED_BYTES_MAX {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends what was gathered.
    pub async fn flush(&mut self) -> Result<(), ReplyEnd> {
        self.gathered = 0;
        let mut chunks = self.chunks.close();
        if chunks.is_empty() {
            return Ok(());
        }
        let send = self.send.as_mut().ok_or(ReplyEnd::Lost)?;
        match timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(&mut chunks)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReplyEnd::Lost),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Sends the rest and ends the answer.
    pub async fn end(&mut self, trailers: HeaderMap) -> Result<(), ReplyEnd> {
        let total = self.credit.as_mut().map_or(0, BodySender::sent);
        Frame::End { total, trailers }.put(self.chunks.frames());
        self.flush().await?;
        self.finish();
        Ok(())
    }

    /// Ends the answer in words, behind what was gathered of it.
    pub async fn abort(
        &mut self,
        code: AbortCode,
        delivery: Delivery,
        message: &str,
    ) -> Result<(), ReplyEnd> {
        let abort = Abort { code, delivery, message: message.to_owned() };
        Frame::Abort(abort).put(self.chunks.frames());
        self.flush().await?;
        self.finish();
        Ok(())
    }

    /// Ends the answer without words.
    pub(super) fn reset(mut self, code: StreamCode) {
        self.abandon(code);
    }

    /// Tells a connector what it did wrong on this stream.
    pub async fn broke_protocol(mut self, error: &WireError) {
        tracing::debug!(%error, "a connector broke the protocol within a call");
        let message = format!("The connector broke the protocol: {error}.");
        // An error means that nobody listens.
        let _ = self.abort(AbortCode::Protocol, Delivery::NotSent, &message).await;
    }

    /// Takes credit. What was gathered is sent before anything is waited for.
    async fn spend(&mut self, wanted: usize) -> Result<usize, ReplyEnd> {
        let credit = self.credit.as_mut().ok_or(ReplyEnd::Lost)?;
        if let Poll::Ready(now) = poll_fn(|cx| Poll::Ready(credit.poll_spend(cx, wanted))).await {
            return Ok(now);
        }
        self.flush().await?;
        let credit = self.credit.as_mut().ok_or(ReplyEnd::Lost)?;
        match timeout(TAKE_TIMEOUT, credit.spend(wanted)).await {
            Ok(now) => Ok(now),
            Err(_) => Err(self.too_slow()),
        }
    }

    fn too_slow(&mut self) -> ReplyEnd {
        self.abandon(StreamCode::Slow);
        ReplyEnd::Slow
    }

    fn finish(&mut self) {
        if let Some(mut send) = self.send.take() {
            send.finish();
        }
    }

    fn abandon(&mut self, code: StreamCode) {
        if let Some(mut send) = self.send.take() {
            send.reset(code);
        }
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        self.abandon(StreamCode::Cancelled);
    }
}
