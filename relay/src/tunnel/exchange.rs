//! Opens exchanges on a link, and counts them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use shared::limits::IN_FLIGHT_MAX;
use shared::wire::frame::{put_data_header, put_request_head};
use shared::wire::{Chunks, Frame, RequestHead};
use tokio::time::timeout;

use super::answer::Answer;
use super::line::Line;
use super::link::Link;
use super::upload::Upload;

/// Patience for the connector to allow another stream. It allows more than we ever open.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
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

/// Counts one open exchange of a link.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) link: Arc<Link>,
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

    /// The place on another link of an exchange that goes on there: it was admitted before.
    pub(super) fn further(&self, link: &Arc<Link>) -> Self {
        link.in_flight.fetch_add(1, Ordering::Relaxed);
        if self.streams {
            link.event_streams.fetch_add(1, Ordering::Relaxed);
        }
        Self { link: Arc::clone(link), streams: self.streams }
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
        let line = Line::open(&chunks, first_bytes as u64, complete);
        let credit_left = (!complete).then(|| self.flow.sender(exchange.counter, request_credit));
        let mut upload = Upload::new(send, Arc::clone(&line), credit_left);
        upload.spent(first_bytes).await;
        let receiver = self.flow.receiver(exchange.counter, credit);
        let answer = Answer::new(recv, receiver, exchange, in_flight, line);
        upload.begin(&mut chunks).await?;
        if complete {
            upload.close();
        }
        Ok((upload, answer))
    }
}

#[cfg(test)]
mod tests;
