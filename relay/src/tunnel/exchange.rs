//! One exchange on a link: the request goes up, the answer comes down.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use shared::codes::StreamCode;
use shared::flow::{BodyReceiver, BodySender};
use shared::ids::ExchangeId;
use shared::limits::{IN_FLIGHT_MAX, LINK_WRITE_TIMEOUT};
use shared::wire::frame::{put_data_header, put_request_head};
use shared::wire::{Chunks, Direction, Frame, Joined, MessageReader, RequestHead, WireError};
use tokio::time::timeout;
use transport::{ReadError, RecvStream, SendStream, WriteError};

use super::link::Link;

/// Patience for the connector to allow another stream. It allows more than we ever open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Event streams among the open exchanges of a link: those stay, and leave room for what comes and
/// goes.
const EVENT_STREAMS_MAX: usize = IN_FLIGHT_MAX / 2;
/// Why an exchange could not be opened. The agent got nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The link was lost before anything was written.
    #[error("the link was lost before the request was written")]
    Lost,
    /// The link has as many exchanges open as it may.
    #[error("the link has {IN_FLIGHT_MAX} exchanges open, or {EVENT_STREAMS_MAX} event streams")]
    Busy,
}

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

/// Counts one open exchange of a link.
#[derive(Debug)]
struct InFlight {
    link: Arc<Link>,
    streams: bool,
}

impl InFlight {
    /// A place for one more, unless all are taken.
    fn enter(link: &Arc<Link>, streams: bool) -> Option<Self> {
        let before = link.in_flight.fetch_add(1, Ordering::Relaxed);
        let streams_before =
            if streams { link.event_streams.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let entered = Self { link: Arc::clone(link), streams };
        (before < IN_FLIGHT_MAX && streams_before < EVENT_STREAMS_MAX).then_some(entered)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.link.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.streams {
            self.link.event_streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Link {
    /// Opens an exchange and writes its head, with as much of the body as is at hand. `head` gets the
    /// exchange's name and its first credits here.
    ///
    /// `first` are the body's first bytes, at most the first credit of a link; with `complete` they
    /// are all of it, and END goes out in the same write. `streams` says that the caller takes a
    /// stream of events for its answer.
    pub async fn open(
        self: &Arc<Self>,
        head: &mut RequestHead,
        streams: bool,
        first: &[Bytes],
        complete: bool,
    ) -> Result<(Upload, Answer), OpenError> {
        let in_flight = InFlight::enter(self, streams).ok_or(OpenError::Busy)?;
        let (send, recv) = match timeout(OPEN_TIMEOUT, self.connection.open_bi()).await {
            Ok(Ok(streams)) => streams,
            Ok(Err(_)) => return Err(OpenError::Lost),
            Err(_) => return Err(OpenError::Busy),
        };
        let exchange = self.next_exchange();
        let credit = self.flow.first_credit();
        let first_bytes: usize = first.iter().map(Bytes::len).sum();
        let request_credit = credit.max(first_bytes as u64);
        head.exchange = exchange;
        head.request_credit = request_credit;
        head.response_credit = credit;
        let mut chunks = Chunks::with_capacity(1024);
        put_request_head(chunks.frames(), head);
        if first_bytes > 0 {
            put_data_header(chunks.frames(), first_bytes);
            first.iter().for_each(|bytes| chunks.bytes(bytes));
        }
        if complete {
            let end = Frame::End { total: first_bytes as u64, trailers: HeaderMap::new() };
            end.put(chunks.frames());
        }
        let mut chunks = chunks.close();
        let credit_left = (!complete).then(|| self.flow.sender(exchange.counter, request_credit));
        let mut upload = Upload { send: Some(send), credit: credit_left };
        if let Some(credit) = &mut upload.credit
            && first_bytes > 0
        {
            credit.spend(first_bytes).await;
        }
        let receiver = self.flow.receiver(exchange.counter, credit);
        let reader = MessageReader::new(Direction::Response, credit);
        let answer = Answer {
            recv,
            reader,
            unread: Bytes::new(),
            joined: Joined::default(),
            receiver,
            exchange,
            in_flight,
            released: false,
        };
        upload.begin(&mut chunks).await?;
        if complete {
            upload.close();
        }
        Ok((upload, answer))
    }
}

/// The sending half. Dropped before its end, it resets the stream, so that no cut body looks whole.
#[derive(Debug)]
pub struct Upload {
    send: Option<SendStream>,
    credit: Option<BodySender>,
}

impl Upload {
    /// Sends bytes of the body, waiting for credit. Not cancel safe: drop the upload instead.
    pub async fn data(&mut self, mut bytes: Bytes) -> Result<(), UploadEnd> {
        while !bytes.is_empty() {
            let (Some(send), Some(credit)) = (&self.send, &mut self.credit) else {
                return Err(UploadEnd::Lost);
            };
            let now = tokio::select! {
                biased;
                now = credit.spend(bytes.len()) => now,
                stopped = send.stopped() => return Err(match stopped {
                    Ok(_) => UploadEnd::Stopped,
                    Err(_) => UploadEnd::Lost,
                }),
            };
            let mut header = BytesMut::with_capacity(9);
            put_data_header(&mut header, now);
            self.write(&mut [header.freeze(), bytes.split_to(now)]).await?;
        }
        Ok(())
    }

    /// Ends the body with its trailers.
    pub async fn end(mut self, trailers: HeaderMap) -> Result<(), UploadEnd> {
        let total = self.credit.as_mut().map_or(0, BodySender::sent);
        let mut out = BytesMut::new();
        Frame::End { total, trailers }.put(&mut out);
        self.write(&mut [out.freeze()]).await?;
        self.close();
        Ok(())
    }

    /// Gives the upload up for a reason.
    pub fn reset(mut self, code: StreamCode) {
        self.abandon(code);
    }

    /// Writes the first chunks. A link that takes none of them has surely delivered nothing; once
    /// it took some, the answer tells what became of them.
    async fn begin(&mut self, chunks: &mut [Bytes]) -> Result<(), OpenError> {
        let Some(send) = &mut self.send else { return Err(OpenError::Lost) };
        let written = match timeout(LINK_WRITE_TIMEOUT, send.write_chunks(chunks)).await {
            Ok(Ok(written)) => written,
            Ok(Err(WriteError::Stopped(_))) => return Ok(()),
            Ok(Err(_)) | Err(_) => return Err(OpenError::Lost),
        };
        if let Some(rest @ [_, ..]) = chunks.get_mut(written..)
            && self.write(rest).await == Err(UploadEnd::Lost)
        {
            // A part of a frame went out: whatever came behind it would be read as its rest.
            self.abandon(StreamCode::Timeout);
        }
        Ok(())
    }

    async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), UploadEnd> {
        let send = self.send.as_mut().ok_or(UploadEnd::Lost)?;
        match timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(chunks)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(WriteError::Stopped(_))) => Err(UploadEnd::Stopped),
            Ok(Err(_)) | Err(_) => Err(UploadEnd::Lost),
        }
    }

    fn close(&mut self) {
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

impl Drop for Upload {
    fn drop(&mut self) {
        self.abandon(StreamCode::Cancelled);
    }
}

/// Why an answer ended before its END, other than by an ABORT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerCut {
    /// The link was lost.
    #[error("the link was lost")]
    LinkLost,
    /// The connector reset the stream.
    #[error("the connector reset the stream with {0}")]
    Reset(StreamCode),
    /// The connector broke the protocol.
    #[error("the connector broke the protocol: {0}")]
    Protocol(#[from] WireError),
}

/// The receiving half. Dropped before its end, it tells the connector that nobody listens.
#[derive(Debug)]
pub struct Answer {
    recv: RecvStream,
    reader: MessageReader,
    unread: Bytes,
    joined: Joined<ReadError>,
    receiver: BodyReceiver,
    /// The exchange's name.
    pub exchange: ExchangeId,
    in_flight: InFlight,
    released: bool,
}

impl Answer {
    /// The next frame: ACCEPTED, INTERIM, HEAD, DATA…, END or ABORT, in that order.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, AnswerCut>> {
        loop {
            match self.reader.next(&mut self.unread) {
                Ok(Some(Frame::Stop(_))) => {}
                Ok(Some(Frame::Reset(code))) => return Poll::Ready(Err(AnswerCut::Reset(code))),
                Ok(Some(frame)) => {
                    if self.reader.is_over() {
                        self.settle(cx);
                    }
                    return Poll::Ready(Ok(frame));
                }
                Ok(None) => match ready!(self.poll_chunk(cx))? {
                    Some(bytes) => self.unread = bytes,
                    None => {
                        let cut = self.reader.end_of_stream().err().unwrap_or(WireError::Cut);
                        return Poll::Ready(Err(cut.into()));
                    }
                },
                Err(error) => {
                    self.stop(StreamCode::Protocol);
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// The next frame. Cancel safe.
    pub async fn frame(&mut self) -> Result<Frame, AnswerCut> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Notes that `bytes` of the body were handed to the caller's connection.
    pub fn consumed(&mut self, bytes: usize) {
        self.reader.allow(self.receiver.consumed(bytes));
    }

    /// Wants no more of it, for no bad reason.
    pub fn release(&mut self) {
        self.stop(StreamCode::Ok);
        self.released = true;
    }

    /// The link that carries it.
    pub fn link(&self) -> &Arc<Link> {
        &self.in_flight.link
    }

    /// Whether the connector said that it did not begin the exchange.
    pub fn never_began(&self) -> bool {
        self.link().never_began(self.exchange.counter)
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, AnswerCut>> {
        let read = self.joined.poll(|most| self.recv.poll_chunk(cx, most));
        Poll::Ready(match ready!(read) {
            Ok(bytes) => Ok(bytes),
            Err(ReadError::Reset(code)) => Err(AnswerCut::Reset(code)),
            Err(ReadError::Lost) => Err(AnswerCut::LinkLost),
        })
    }

    /// Reads the stream's FIN, which came with the last frame, so that nothing is left to stop.
    fn settle(&mut self, cx: &mut Context<'_>) {
        let _ = self.poll_chunk(cx);
    }

    fn stop(&mut self, code: StreamCode) {
        self.recv.stop(code);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.released && !self.reader.is_over() {
            self.stop(StreamCode::Cancelled);
        }
    }
}

impl From<AnswerCut> for io::Error {
    fn from(cut: AnswerCut) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, cut)
    }
}

#[cfg(test)]
mod tests;
