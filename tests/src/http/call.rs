//! A call under way: its answer is read in the same words, whatever version of HTTP carries it.

use super::{
    Cut, Ending, Event, EventParser, Piece, RawClient, RawResponse, ResponseHead, http2::Stream,
    response::Part,
};
use std::time::Duration;

/// A request that was sent, at least its head. Dropping it leaves: the connection ends without a
/// word, or, where it carries other calls, the one stream is reset.
pub struct Call {
    answer: Answer,
    events: EventParser,
}

enum Answer {
    Http1(RawClient),
    Http2(Stream),
}

impl From<RawClient> for Call {
    fn from(client: RawClient) -> Call {
        Call { answer: Answer::Http1(client), events: EventParser::default() }
    }
}

impl From<Stream> for Call {
    fn from(stream: Stream) -> Call {
        Call { answer: Answer::Http2(stream), events: EventParser::default() }
    }
}

impl Call {
    /// Sets how long one read may take before the answer counts as cut by [`Cut::Timeout`].
    #[must_use]
    pub fn patience(self, patience: Duration) -> Call {
        let answer = match self.answer {
            Answer::Http1(client) => Answer::Http1(client.patience(patience)),
            Answer::Http2(stream) => Answer::Http2(stream.patience(patience)),
        };
        Call { answer, ..self }
    }

    /// Leaves with a reset: of the connection on HTTP/1.1, of the one stream on HTTP/2.
    pub fn reset(self) {
        match self.answer {
            Answer::Http1(client) => client.reset(),
            Answer::Http2(stream) => stream.reset(),
        }
    }

    /// Reads the head of the answer; interim answers are kept in it.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn head(&mut self) -> Result<ResponseHead, Cut> {
        match &mut self.answer {
            Answer::Http1(client) => client.head().await,
            Answer::Http2(stream) => stream.head().await,
        }
    }

    /// The next bytes of the body, as they come.
    ///
    /// # Panics
    /// When no head was read before.
    pub async fn piece(&mut self) -> Piece {
        let part = match &mut self.answer {
            Answer::Http1(client) => client.part().await,
            Answer::Http2(stream) => stream.part().await,
        };
        match part {
            Ok(Part::Data { bytes, .. }) => Piece::Data(bytes),
            Ok(Part::End { .. }) => Piece::End(Ending::Complete),
            Err(cut) => Piece::End(Ending::Cut(cut)),
        }
    }

    /// The next event of a stream of server-sent events.
    ///
    /// # Errors
    /// How the stream ended; a half event before the end is not told.
    pub async fn next_event(&mut self) -> Result<Event, Ending> {
        loop {
            if let Some(event) = self.events.next_event() {
                return Ok(event);
            }
            match self.piece().await {
                Piece::Data(bytes) => self.events.add(&bytes),
                Piece::End(ending) => return Err(ending),
            }
        }
    }

    /// Keep-alive comments seen between events.
    #[must_use]
    pub fn comments(&self) -> usize {
        self.events.comments()
    }

    /// Reads a whole answer, as far as it comes.
    ///
    /// # Errors
    /// Why there is no head.
    pub async fn response(&mut self) -> Result<RawResponse, Cut> {
        let head = self.head().await?;
        Ok(self.rest_of(head).await)
    }

    /// Reads the body that follows a head, as far as it comes.
    pub async fn rest_of(&mut self, head: ResponseHead) -> RawResponse {
        match &mut self.answer {
            Answer::Http1(client) => client.rest_of(head).await,
            Answer::Http2(stream) => stream.rest_of(head).await,
        }
    }
}
