//! The agent's answer on its way to the relay: each chunk leaves as it comes.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use shared::codes::{Delivery, StreamCode};
use shared::flow::BodySender;
use shared::headers::{remove_forbidden_trailers, remove_hop_by_hop, remove_relay_fields};
use shared::limits::IDLE_EXCHANGE_TIMEOUT;
use shared::wire::fields::{fit_in_end, within_limits};
use shared::wire::{Frame, ResponseHead};
use tokio::time::sleep;

use super::connection::{Connection, beside, poll_frame};
use super::failure;
use super::reply::{Ending, Gathered, Reply};

/// What of an exchange its answer needs.
pub(crate) struct AnswerWay<'a, C, S> {
    pub(crate) reply: &'a mut Reply,
    pub(crate) local: &'a mut C,
    pub(crate) credit: BodySender,
    /// Resolves when the relay gives up.
    pub(crate) given_up: Pin<&'a mut S>,
    /// The local agent, for sentences.
    pub(crate) agent: &'a str,
}

impl<C: Connection, S: Future<Output = ()>> AnswerWay<'_, C, S> {
    /// Sends the whole answer, END included, and finishes the stream.
    pub(crate) async fn send(
        mut self,
        method: &Method,
        response: Response<Incoming>,
    ) -> Result<(), Ending> {
        let (parts, mut body) = response.into_parts();
        if ends_with_its_connection(method, &parts) {
            tracing::debug!("the answer has no length; its end is that of the connection");
        }
        let mut gathered = Gathered::default();
        let head = answer_head(parts).map_err(|what| failure::bad_answer(self.agent, what))?;
        gathered.frame(&Frame::ResponseHead(Box::new(head)));
        let trailers = self.send_body(&mut body, &mut gathered).await?;
        gathered.frame(&Frame::End { total: self.credit.sent(), trailers });
        beside(self.local, self.reply.end(&mut gathered)).await
    }

    /// Sends the body; answers its trailers, which wait for the end.
    async fn send_body(
        &mut self,
        body: &mut Incoming,
        gathered: &mut Gathered,
    ) -> Result<HeaderMap, Ending> {
        let mut trailers = HeaderMap::new();
        while !body.is_end_stream() {
            let frame = match self.next_frame(body, gathered).await? {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    // What came is sent on, so that the caller sees how far the agent got.
                    self.flush(gathered).await?;
                    return Err(failure::cut_answer(self.agent, self.local.failure(), &error));
                }
            };
            match frame.into_data() {
                Ok(bytes) => self.send_data(bytes, gathered).await?,
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        remove_forbidden_trailers(&mut trailers);
        if !fit_in_end(&trailers) {
            self.flush(gathered).await?;
            let what = "its trailers are over the limits";
            return Err(failure::bad_trailers(self.agent, what));
        }
        Ok(trailers)
    }

    /// The next frame of the body. What was gathered is written before anything is waited for.
    async fn next_frame(
        &mut self,
        body: &mut Incoming,
        gathered: &mut Gathered,
    ) -> Result<Option<Result<http_body::Frame<Bytes>, hyper::Error>>, Ending> {
        let now = poll_fn(|cx| Poll::Ready(poll_frame(self.local, body, cx))).await;
        if let Poll::Ready(frame) = now {
            return Ok(frame);
        }
        self.flush(gathered).await?;
        let Self { local, given_up, .. } = self;
        tokio::select! {
            biased;
            frame = poll_fn(|cx| poll_frame(*local, body, cx)) => Ok(frame),
            () = given_up.as_mut() => Err(Ending::Abandon(StreamCode::Cancelled)),
            () = sleep(IDLE_EXCHANGE_TIMEOUT) => {
                Err(failure::silent(self.agent, IDLE_EXCHANGE_TIMEOUT, Delivery::Delivered))
            }
        }
    }

    /// Sends bytes of the body, waiting for credit.
    async fn send_data(&mut self, mut bytes: Bytes, gathered: &mut Gathered) -> Result<(), Ending> {
        while !bytes.is_empty() {
            let wanted = bytes.len();
            let now = match poll_fn(|cx| Poll::Ready(self.credit.poll_spend(cx, wanted))).await {
                Poll::Ready(now) => now,
                Poll::Pending => {
                    self.flush(gathered).await?;
                    let Self { local, given_up, credit, .. } = self;
                    tokio::select! {
                        biased;
                        now = beside(*local, credit.spend(wanted)) => now,
                        () = given_up.as_mut() => {
                            return Err(Ending::Abandon(StreamCode::Cancelled));
                        }
                    }
                }
            };
            gathered.data(&bytes.split_to(now));
            if gathered.is_full() {
                self.flush(gathered).await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self, gathered: &mut Gathered) -> Result<(), Ending> {
        let Self { local, reply, credit, .. } = self;
        beside(*local, reply.flush(gathered, || credit.acknowledged())).await
    }
}

/// The head as it crosses; the error says what of it cannot.
fn answer_head(parts: Parts) -> Result<ResponseHead, &'static str> {
    let (status, mut fields) = (parts.status, parts.headers);
    if status.is_informational() {
        return Err("it switches protocols");
    }
    // Another coding would be lost with the field, and the body be read as what it is not.
    let coded = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if fields.get_all(TRANSFER_ENCODING).iter().any(coded) {
        return Err("its transfer coding is not chunked");
    }
    if fields.contains_key(TRANSFER_ENCODING) {
        // The chunks say where the body ends, whatever the length says (RFC 9112, 6.3).
        fields.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(&mut fields);
    remove_relay_fields(&mut fields);
    if !within_limits(&fields) {
        return Err("its head is over 32 KiB or 100 fields");
    }
    Ok(ResponseHead { status, fields })
}

fn ends_with_its_connection(method: &Method, parts: &Parts) -> bool {
    let no_body = *method == Method::HEAD
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !no_body
        && !parts.headers.contains_key(CONTENT_LENGTH)
        && !parts.headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> Result<ResponseHead, &'static str> {
        let mut response = Response::new(());
        for (name, value) in fields {
            response.headers_mut().append(*name, http::HeaderValue::from_static(value));
        }
        answer_head(response.into_parts().0)
    }

    #[test]
    fn the_agent_cannot_speak_as_the_relay_or_as_a_hop() {
        let head = head(&[
            ("x-relay-error", "RELAY_FORBIDDEN"),
            ("connection", "x-private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/event-stream"),
        ]);
        let fields = head.unwrap().fields;
        assert_eq!(fields.len(), 1, "{fields:?}");
    }

    #[test]
    fn a_length_beside_chunks_does_not_cross() {
        let both = [("content-length", "3"), ("transfer-encoding", "Chunked")];
        assert!(head(&both).unwrap().fields.is_empty());
        let length = head(&both[..1]).unwrap().fields;
        assert_eq!(length[CONTENT_LENGTH], "3");
    }

    #[test]
    fn another_transfer_coding_is_no_answer() {
        assert!(head(&[("transfer-encoding", "gzip, chunked")]).is_err());
    }
}
