//! The request on its way up a link, and up the next one where that is lost.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use shared::codes::StreamCode;
use shared::flow::BodySender;
use shared::limits::LINK_WRITE_TIMEOUT;
use shared::wire::Frame;
use shared::wire::frame::put_data_header;
use shared::wire::sent::encoded;
use tokio::time::timeout;
use transport::{SendStream, WriteError};

use super::exchange::OpenError;
use super::line::{Line, Next};

/// How an upload ended before its END.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UploadEnd {
    /// The connector wants no more of it: the answer stands without.
    #[error("the connector stopped the upload")]
    Stopped,
    /// The link was lost, or took no byte for too long.
    #[error("the link was lost during the upload")]
    Lost,
}

/// Bytes that are kept of an upload before it is asked how many of them the connector has acknowledged.
const TRIM_MIN: usize = 16 * 1024;

/// The sending half. Dropped before its end, it resets the stream, so that no cut body looks whole.
#[derive(Debug)]
pub struct Upload {
    out: Out,
    credit: Option<BodySender>,
    line: Arc<Line>,
    trim_at: usize,
}

/// Where the request goes.
#[derive(Debug)]
enum Out {
    Open(SendStream),
    /// Its link is lost; another one brings a new stream.
    Lost,
    Over,
}

impl Upload {
    /// On `send`, with the credit of its body unless all of that is at hand.
    pub(super) fn new(send: SendStream, line: Arc<Line>, credit: Option<BodySender>) -> Self {
        Self { out: Out::Open(send), credit, line, trim_at: TRIM_MIN }
    }

    /// Notes what goes out with the head, which is within the first credit.
    pub(super) async fn spent(&mut self, bytes: usize) {
        if let Some(credit) = &mut self.credit
            && bytes > 0
        {
            credit.spend(bytes).await;
        }
    }

    /// Sends bytes of the body, waiting for credit; while the link is lost, as far as it goes. Not cancel
    /// safe: drop the upload instead.
    pub async fn data(&mut self, mut bytes: Bytes) -> Result<(), UploadEnd> {
        while !bytes.is_empty() {
            let now = self.spend(bytes.len()).await?;
            let mut header = BytesMut::with_capacity(9);
            put_data_header(&mut header, now);
            self.write(&mut [header.freeze(), bytes.split_to(now)], now as u64, false).await?;
        }
        Ok(())
    }

    /// Ends the body with its trailers.
    pub async fn end(mut self, trailers: HeaderMap) -> Result<(), UploadEnd> {
        let total = self.credit.as_mut().map_or(0, BodySender::sent);
        self.write(&mut [encoded(&Frame::End { total, trailers })], 0, true).await?;
        self.close();
        Ok(())
    }

    /// Gives the upload up for a reason.
    pub fn reset(mut self, code: StreamCode) {
        self.abandon(code);
    }

    /// Writes the first chunks, which the line knows. A link that takes none of them has surely delivered
    /// nothing; once it took some, the answer tells what became of them.
    pub(super) async fn begin(&mut self, chunks: &mut [Bytes]) -> Result<(), OpenError> {
        let Out::Open(send) = &mut self.out else { return Err(OpenError::Lost) };
        let written = match timeout(LINK_WRITE_TIMEOUT, send.write_chunks(chunks)).await {
            Ok(Ok(written)) => written,
            Ok(Err(WriteError::Stopped(_))) => return Ok(()),
            Ok(Err(_)) | Err(_) => return Err(OpenError::Lost),
        };
        if let Some(rest @ [_, ..]) = chunks.get_mut(written..)
            && self.put(rest).await == Err(UploadEnd::Lost)
        {
            // A part of a frame went out: whatever came behind it would be read as its rest.
            self.abandon(StreamCode::Timeout);
        }
        Ok(())
    }

    /// Takes credit; follows the exchange from link to link meanwhile.
    async fn spend(&mut self, wanted: usize) -> Result<usize, UploadEnd> {
        loop {
            let Self { out, credit: Some(credit), line, .. } = self else {
                return Err(UploadEnd::Lost);
            };
            let next = async {
                match out {
                    Out::Open(send) => match send.stopped().await {
                        Ok(_) => Err(UploadEnd::Stopped),
                        Err(_) => Ok(Out::Lost),
                    },
                    Out::Lost => match line.next_stream().await {
                        Next::Stream(send) => Ok(Out::Open(send)),
                        Next::Unwanted => Err(UploadEnd::Stopped),
                        Next::None => Err(UploadEnd::Lost),
                    },
                    Out::Over => Err(UploadEnd::Lost),
                }
            };
            let next = tokio::select! {
                biased;
                now = credit.spend(wanted) => return Ok(now),
                next = next => next?,
            };
            *out = next;
        }
    }

    /// Writes frames with `body` bytes of the body; the last ones end it. They are kept for the next link.
    async fn write(
        &mut self,
        chunks: &mut [Bytes],
        body: u64,
        last: bool,
    ) -> Result<(), UploadEnd> {
        let Self { out, credit, line, trim_at } = self;
        let acknowledged = || credit.as_mut().map_or(0, BodySender::acknowledged);
        if let Some(newer) = line.note(chunks, body, last, trim_at, acknowledged)? {
            *out = Out::Open(newer);
        }
        self.put(chunks).await
    }

    async fn put(&mut self, chunks: &mut [Bytes]) -> Result<(), UploadEnd> {
        let send = match &mut self.out {
            Out::Open(send) => send,
            Out::Lost => return Ok(()),
            Out::Over => return Err(UploadEnd::Lost),
        };
        match timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(chunks)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(WriteError::Stopped(_))) => Err(UploadEnd::Stopped),
            Ok(Err(WriteError::Lost)) => {
                self.out = Out::Lost;
                Ok(())
            }
            Err(_) => Err(UploadEnd::Lost),
        }
    }

    /// Ends the stream on purpose, behind END.
    pub(super) fn close(&mut self) {
        if let Some(newer) = self.line.newest() {
            self.out = Out::Open(newer);
        }
        if let Out::Open(mut send) = std::mem::replace(&mut self.out, Out::Over) {
            send.finish();
        }
    }

    fn abandon(&mut self, code: StreamCode) {
        match std::mem::replace(&mut self.out, Out::Over) {
            Out::Open(mut send) => send.reset(code),
            Out::Lost => {}
            Out::Over => return,
        }
        self.line.abandon(code);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.abandon(StreamCode::Cancelled);
    }
}
