//! The answer as it comes down a link, and down the next one where that is lost.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use shared::codes::StreamCode;
use shared::flow::BodyReceiver;
use shared::ids::ExchangeId;
use shared::limits::FIRST_CREDIT;
use shared::wire::{Direction, Frame, Joined, MessageReader, WireError};
use transport::{ReadError, RecvStream};

use super::exchange::InFlight;
use super::further::{Further, Goes, search};
use super::line::Line;
use super::link::Link;

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
    stream: AnswerStream,
    receiver: BodyReceiver,
    /// The exchange's name.
    pub exchange: ExchangeId,
    in_flight: InFlight,
    line: Arc<Line>,
    /// Its link is lost, and the next one is looked for.
    is_lost: bool,
    /// It ended while its link was lost.
    ended: Option<AnswerCut>,
    /// The connector proved that it never began the exchange.
    unbegun: bool,
    continued: u32,
    released: bool,
}

/// The frames of an answer as they come on one stream.
#[derive(Debug)]
pub(super) struct AnswerStream {
    pub(super) recv: RecvStream,
    pub(super) reader: MessageReader,
    unread: Bytes,
    joined: Joined<ReadError>,
}

/// Why a stream has no further frame.
enum NoFrame {
    /// Its link is lost.
    Lost,
    Cut(AnswerCut),
}

impl AnswerStream {
    /// An answer that begins, or goes on, on `recv`.
    pub(super) fn new(recv: RecvStream, reader: MessageReader) -> Self {
        Self { recv, reader, unread: Bytes::new(), joined: Joined::default() }
    }

    /// The next frame.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, NoFrame>> {
        loop {
            match self.reader.next(&mut self.unread) {
                Ok(Some(Frame::Stop(_))) => {}
                Ok(Some(Frame::Reset(code))) => {
                    return Poll::Ready(Err(NoFrame::Cut(AnswerCut::Reset(code))));
                }
                Ok(Some(frame)) => {
                    if self.reader.is_over() {
                        // Reads the FIN that came with the last frame, so that nothing is left to stop.
                        let _ = self.poll_chunk(cx);
                    }
                    return Poll::Ready(Ok(frame));
                }
                Ok(None) => match ready!(self.poll_chunk(cx))? {
                    Some(bytes) => self.unread = bytes,
                    None => {
                        let cut = self.reader.end_of_stream().err().unwrap_or(WireError::Cut);
                        return Poll::Ready(Err(NoFrame::Cut(cut.into())));
                    }
                },
                Err(error) => {
                    self.recv.stop(StreamCode::Protocol);
                    return Poll::Ready(Err(NoFrame::Cut(error.into())));
                }
            }
        }
    }

    /// The next frame; `None` where the link is lost. Cancel safe.
    pub(super) async fn frame(&mut self) -> Result<Option<Frame>, AnswerCut> {
        match poll_fn(|cx| self.poll_frame(cx)).await {
            Ok(frame) => Ok(Some(frame)),
            Err(NoFrame::Lost) => Ok(None),
            Err(NoFrame::Cut(cut)) => Err(cut),
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, NoFrame>> {
        let read = self.joined.poll(|most| self.recv.poll_chunk(cx, most));
        Poll::Ready(match ready!(read) {
            Ok(bytes) => Ok(bytes),
            Err(ReadError::Reset(code)) => Err(NoFrame::Cut(AnswerCut::Reset(code))),
            Err(ReadError::Lost) => Err(NoFrame::Lost),
        })
    }
}

impl Answer {
    /// The answer to an exchange that was just opened.
    pub(super) fn new(
        recv: RecvStream,
        receiver: BodyReceiver,
        exchange: ExchangeId,
        in_flight: InFlight,
        line: Arc<Line>,
    ) -> Self {
        let reader = MessageReader::new(Direction::Response, receiver.limit());
        Self {
            stream: AnswerStream::new(recv, reader),
            receiver,
            exchange,
            in_flight,
            line,
            is_lost: false,
            ended: None,
            unbegun: false,
            continued: 0,
            released: false,
        }
    }

    /// The next frame: ACCEPTED, INTERIM, HEAD, DATA…, END or ABORT, in that order. Where the link is lost
    /// it waits, within bounds, for one that goes on with the exchange.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, AnswerCut>> {
        loop {
            if self.is_lost {
                let further = ready!(self.line.poll_further(cx));
                self.is_lost = false;
                match further {
                    Further::Goes(goes) => self.go_on(*goes),
                    Further::Ends(frame) => return Poll::Ready(Ok(frame)),
                    Further::Unbegun => {
                        self.unbegun = true;
                        self.ended = Some(AnswerCut::LinkLost);
                    }
                    Further::Cut(cut) => self.ended = Some(cut),
                }
            }
            if let Some(cut) = self.ended {
                return Poll::Ready(Err(cut));
            }
            match ready!(self.stream.poll_frame(cx)) {
                Ok(frame) => {
                    if matches!(frame, Frame::ResponseHead(_)) {
                        self.line.answered();
                    }
                    return Poll::Ready(Ok(frame));
                }
                Err(NoFrame::Cut(cut)) => return Poll::Ready(Err(cut)),
                Err(NoFrame::Lost) if self.link().leaves_exchanges() == Some(false) => {
                    return Poll::Ready(Err(AnswerCut::LinkLost));
                }
                Err(NoFrame::Lost) => self.look_further(),
            }
        }
    }

    /// Looks for a link that goes on with the exchange.
    fn look_further(&mut self) {
        self.is_lost = true;
        // The one that is left knows no head, and is never read again.
        let unread = MessageReader::new(Direction::Response, 0);
        let reader = std::mem::replace(&mut self.stream.reader, unread);
        let lost = Arc::clone(self.link());
        let search = search(self.exchange, lost, Arc::clone(&self.line), reader);
        self.line.search(search);
    }

    /// Goes on over another link.
    fn go_on(&mut self, goes: Goes) {
        let Goes { link, stream } = goes;
        self.stream = stream;
        let limit = self.receiver.move_to(&link.flow);
        self.stream.reader.allow(limit);
        self.in_flight = self.in_flight.further(&link);
        self.continued += 1;
    }

    /// Whether it waits for a link that goes on with it.
    pub const fn is_paused(&self) -> bool {
        self.is_lost
    }

    /// How often it went on over another link.
    pub const fn continued(&self) -> u32 {
        self.continued
    }

    /// The next frame. Cancel safe.
    pub async fn frame(&mut self) -> Result<Frame, AnswerCut> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Notes that `bytes` of the body were handed to the caller's connection.
    pub fn consumed(&mut self, bytes: usize) {
        self.stream.reader.allow(self.receiver.consumed(bytes));
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
        self.unbegun || self.link().never_began(self.exchange.counter)
    }

    fn stop(&mut self, code: StreamCode) {
        self.stream.recv.stop(code);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.released && !self.stream.reader.is_over() {
            self.stop(StreamCode::Cancelled);
        }
        if self.is_lost || self.continued > 0 {
            self.line.end_search();
        }
        let link = self.link();
        // A small answer makes room at the connector by itself.
        if link.is_closed()
            || self.continued > 0
            || self.stream.reader.received() >= FIRST_CREDIT / 2
        {
            link.live.done(link, self.exchange.counter);
        }
    }
}

impl From<AnswerCut> for io::Error {
    fn from(cut: AnswerCut) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, cut)
    }
}
