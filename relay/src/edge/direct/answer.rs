//! An answer from an agent's own server, frame by frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use http_body::Body;
use hyper::body::Incoming;
use shared::wire::Frame;

use super::crowd::Seat;
use super::dial::Connection;
use crate::edge::answer_source::AnswerSource;
use crate::tunnel::AnswerCut;

/// The body of an answer, and the connection that brings it. Dropping it closes the connection.
#[derive(Debug)]
pub struct DirectAnswer {
    body: Incoming,
    bytes: u64,
    trailers: HeaderMap,
    origin: String,
    _connection: Connection,
    _seat: Seat,
}

impl DirectAnswer {
    pub(super) fn new(body: Incoming, origin: String, connection: Connection, seat: Seat) -> Self {
        let trailers = HeaderMap::new();
        Self { body, bytes: 0, trailers, origin, _connection: connection, _seat: seat }
    }
}

impl AnswerSource for DirectAnswer {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, AnswerCut>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                // Whatever broke, the agent is out of reach.
                Some(Err(_)) => return Poll::Ready(Err(AnswerCut::LinkLost)),
                None => {
                    let trailers = std::mem::take(&mut self.trailers);
                    return Poll::Ready(Ok(Frame::End { total: self.bytes, trailers }));
                }
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.bytes += data.len() as u64;
                    return Poll::Ready(Ok(Frame::Data(data)));
                }
                Err(frame) => self.trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
    }

    /// hyper asks the agent for more as its frames are taken.
    fn consumed(&mut self, _bytes: usize) {}

    fn release(&mut self) {}

    fn origins(&self) -> Vec<String> {
        vec![self.origin.clone()]
    }
}
