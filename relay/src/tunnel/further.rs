//! Looks for the link over which an exchange goes on, and has the connector go on with it there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::codes::{AbortCode, Delivery};
use shared::ids::ExchangeId;
use shared::limits::{CONTINUE_TIMEOUT, LINK_WRITE_TIMEOUT};
use shared::wire::sent::encoded;
use shared::wire::{Frame, FrameKind, MessageReader, WireError};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::answer::{AnswerCut, AnswerStream};
use super::exchange::OPEN_TIMEOUT;
use super::line::{Line, Stream};
use super::link::Link;

/// A link whose streams are lost is over a moment later, and then says why.
const END_PATIENCE: Duration = Duration::from_millis(50);

/// What became of an answer whose link was lost.
#[derive(Debug)]
pub(super) enum Further {
    /// It goes on.
    Goes(Box<Goes>),
    /// The connector ended it with this frame.
    Ends(Frame),
    /// The connector proved that it never began the exchange, and never will.
    Unbegun,
    /// It is cut.
    Cut(AnswerCut),
}

/// An answer that goes on.
#[derive(Debug)]
pub(super) struct Goes {
    /// Over this link.
    pub(super) link: Arc<Link>,
    /// On this stream, of which CONTINUED was read.
    pub(super) stream: AnswerStream,
}

/// Goes on with an exchange that `lost` carried, over the next link of the same connector process. `reader`
/// knows how far its answer has come.
pub(super) async fn search(
    name: ExchangeId,
    lost: Arc<Link>,
    line: Arc<Line>,
    reader: MessageReader,
) {
    let deadline = Instant::now() + CONTINUE_TIMEOUT;
    let mut request = Stand { acknowledged: 0, flow_of: Arc::clone(&lost) };
    let found = timeout_at(deadline, find(name, lost, &line, reader, &mut request)).await;
    let found = found.unwrap_or(Err(Further::Cut(AnswerCut::LinkLost)));
    let Found { goes, stream, over, offset } = match found {
        Ok(found) => found,
        Err(further) => return line.answer_goes_on(further),
    };
    let rest = match over {
        true => None,
        false => match line.request_after(offset, request.acknowledged) {
            Some(rest) => Some(rest),
            None => {
                let (kind, what) = (FrameKind::Continued, "an offset that was never sent");
                let lie = WireError::Malformed { kind, what };
                return line.answer_goes_on(Further::Cut(lie.into()));
            }
        },
    };
    line.answer_goes_on(Further::Goes(Box::new(goes)));
    match rest {
        None => line.request_is_unwanted(stream),
        Some((chunks, mark)) => send_rest(&line, stream, chunks, mark).await,
    }
}

/// How the request stood when its link was lost.
struct Stand {
    /// Bytes of its body that the connector needs no more.
    acknowledged: u64,
    /// On which link its credit is.
    flow_of: Arc<Link>,
}

/// A link on which the connector said CONTINUED.
struct Found {
    goes: Goes,
    /// For the request.
    stream: Stream,
    /// Whether the connector wants no more of the request.
    over: bool,
    /// Bytes of the request's body that it has.
    offset: u64,
}

/// Asks on each link that follows, until the connector answers on one.
async fn find(
    name: ExchangeId,
    mut lost: Arc<Link>,
    line: &Line,
    mut reader: MessageReader,
    request: &mut Stand,
) -> Result<Found, Further> {
    if lost.leaves_exchanges().is_none() {
        sleep(END_PATIENCE).await;
    }
    if lost.leaves_exchanges() == Some(false) {
        return Err(Further::Cut(AnswerCut::LinkLost));
    }
    loop {
        let next = lost.live.next_after(&lost).await;
        let Some(link) = next else { return Err(Further::Cut(AnswerCut::LinkLost)) };
        lost = Arc::clone(&link);
        let Ok(Ok((send, recv))) = timeout(OPEN_TIMEOUT, link.connection.open_bi()).await else {
            continue;
        };
        let mut stream = Stream::new(send);
        if let Some(credit) = request.flow_of.flow.move_sender(name.counter, &link.flow) {
            request.acknowledged = credit.acknowledged();
            request.flow_of = Arc::clone(&link);
        }
        let (has_head, response_offset) = (reader.has_head(), reader.received());
        let question = encoded(&Frame::Continue { exchange: name, has_head, response_offset });
        let Some(send) = stream.get() else { continue };
        let asked = timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(&mut [question])).await;
        if !matches!(asked, Ok(Ok(()))) {
            continue;
        }
        reader.go_on();
        let mut answer = AnswerStream::new(recv, reader);
        match answer.frame().await {
            Ok(Some(Frame::Continued { request_over: over, request_offset: offset })) => {
                tracing::debug!(exchange = %name, link = link.generation.0,
                    "an exchange goes on over another link");
                let goes = Goes { link, stream: answer };
                return Ok(Found { goes, stream, over, offset });
            }
            Ok(Some(frame)) => {
                line.finish(stream);
                return Err(ended(frame, has_head));
            }
            Ok(None) => reader = answer.reader,
            Err(cut) => return Err(Further::Cut(cut)),
        }
    }
}

/// What a first frame other than CONTINUED means.
fn ended(frame: Frame, has_head: bool) -> Further {
    let Frame::Abort(mut abort) = frame else { return Further::Ends(frame) };
    match (abort.code, abort.delivery) {
        (AbortCode::UnknownExchange, Delivery::NotSent) if !has_head => Further::Unbegun,
        (AbortCode::UnknownExchange, _) => Further::Cut(AnswerCut::LinkLost),
        // It is about the question alone.
        (_, Delivery::NotSent) => {
            abort.delivery = Delivery::Maybe;
            Further::Ends(Frame::Abort(abort))
        }
        (_, Delivery::Maybe | Delivery::Delivered) => Further::Ends(Frame::Abort(abort)),
    }
}

/// Sends what the connector lacks of the request, and hands the stream over.
async fn send_rest(line: &Line, mut stream: Stream, mut chunks: Vec<Bytes>, mut mark: u64) {
    loop {
        let Some(send) = stream.get() else { return };
        let written = timeout(LINK_WRITE_TIMEOUT, send.write_all_chunks(&mut chunks)).await;
        if !matches!(written, Ok(Ok(()))) {
            // The answer tells what became of it.
            return;
        }
        match line.request_goes_on(stream, &mut mark) {
            Some((same, more)) => (stream, chunks) = (same, more),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
