//! Calls that a raw connector makes for an agent that is not there.

use super::{RawLink, STEP};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use shared::codes::StreamCode;
use shared::control_stream::ControlEvent;
use shared::ids::{ExchangeId, InstanceId, OUTBOUND_COUNTER_MIN};
use shared::limits::{CREDIT_MAX, FIRST_CREDIT};
use shared::wire::{
    Abort, Ack, Binding, Direction, Frame, MessageReader, RequestHead, ResponseHead, Target,
};
use tokio::time::timeout;

/// The head of a call, as it should be.
#[must_use]
pub fn call_head(
    instance: InstanceId,
    number: u64,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> RequestHead {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        map.append(name, value.parse().expect("a value"));
    }
    RequestHead {
        exchange: ExchangeId { instance, counter: OUTBOUND_COUNTER_MIN + number },
        target: Target::Raw(path.to_owned()),
        binding: Binding::JsonRpc,
        has_body: true,
        method: Method::from_bytes(method.as_bytes()).expect("a method"),
        query: None,
        request_credit: FIRST_CREDIT,
        response_credit: CREDIT_MAX,
        fields: map,
        head_timeout_ms: None,
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum CallEnd {
    /// With a whole answer.
    Answer(Box<ResponseHead>, Vec<u8>),
    /// In words.
    Abort(Abort),
    /// Without.
    Reset(Option<StreamCode>),
}

impl CallEnd {
    /// The status of a whole answer, else 0.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            CallEnd::Answer(head, _) => head.status.as_u16(),
            CallEnd::Abort(_) | CallEnd::Reset(_) => 0,
        }
    }
}

/// A stream that the connector opened.
pub struct RawCall {
    send: SendStream,
    recv: RecvStream,
}

impl RawLink {
    /// Opens a stream for a call; waits where as many are open as may be.
    pub async fn open(&self) -> RawCall {
        let (send, recv) = self.connection.open_bi().await.expect("the link is up");
        RawCall { send, recv }
    }

    /// Makes a call with these bytes and the stream's end, and waits for what comes of it.
    pub async fn call(&self, bytes: &[u8]) -> CallEnd {
        let mut call = self.open().await;
        call.send(bytes).await;
        call.finish();
        call.end().await
    }

    /// The next ACKs of the relay.
    pub async fn acks(&mut self) -> Vec<Ack> {
        loop {
            let event = timeout(STEP, self.reader.next::<shared::control::ToConnector>()).await;
            let event = event.expect("the relay says something").expect("a message");
            if let ControlEvent::Acks(acks) = event {
                return acks;
            }
        }
    }
}

impl RawCall {
    /// Sends bytes; false when the relay wants no more of them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.send.write_all(bytes).await.is_ok()
    }

    /// Ends the stream in order, whatever was sent.
    pub fn finish(&mut self) {
        // The relay may have stopped it.
        let _ = self.send.finish();
    }

    /// Resets the stream.
    pub fn reset(&mut self, code: StreamCode) {
        let _ = self.send.reset(VarInt::from_u32(code.number()));
    }

    /// Wants no answer.
    pub fn stop(&mut self) {
        let _ = self.recv.stop(VarInt::from_u32(StreamCode::Cancelled.number()));
    }

    /// Waits for what comes of the call. The answer must fit its first credit.
    pub async fn end(&mut self) -> CallEnd {
        let mut reader = MessageReader::new(Direction::Response, CREDIT_MAX);
        let (mut head, mut body) = (None, Vec::new());
        loop {
            let chunk = timeout(3 * STEP, self.recv.read_chunk(4096, true)).await;
            let mut bytes: Bytes = match chunk.expect("the relay answers") {
                Ok(chunk) => chunk.expect("no answer is cut").bytes,
                Err(ReadError::Reset(code)) => {
                    return CallEnd::Reset(StreamCode::from_number(code.into_inner()));
                }
                Err(error) => panic!("the link is gone: {error}"),
            };
            while let Some(frame) = reader.next(&mut bytes).expect("a frame") {
                match frame {
                    Frame::ResponseHead(answer) => head = Some(answer),
                    Frame::Data(data) => body.extend_from_slice(&data),
                    Frame::Abort(abort) => return CallEnd::Abort(abort),
                    Frame::End { .. } => return CallEnd::Answer(head.expect("a head"), body),
                    _ => {}
                }
            }
        }
    }
}
