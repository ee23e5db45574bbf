//! The control stream over any byte stream: messages out, messages, ACKs and DONEs in.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::control::{ControlError, Message};
use crate::wire::{Ack, Frame, FrameReader, WireError};

/// Bytes asked of the stream at a time: a PING is 30, a card comes in several reads.
const READ_BYTES: usize = 4096;

/// What the control stream brings.
#[derive(Debug, PartialEq)]
pub enum ControlEvent<M> {
    /// A message.
    Message(M),
    /// A message of a kind that this version does not know: answer UNSUPPORTED and go on.
    Unknown(String),
    /// The other end handed bodies on.
    Acks(Vec<Ack>),
    /// Exchanges that may be forgotten.
    Done(Vec<u64>),
}

/// Why a control stream is over.
#[derive(Debug, thiserror::Error)]
pub enum ControlStreamError {
    /// The other end finished it, which only happens with the link.
    #[error("the control stream ended")]
    Ended,
    /// The link was lost.
    #[error("the control stream was lost: {0}")]
    Lost(#[from] std::io::Error),
    /// The bytes are no frames.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A frame is no message.
    #[error(transparent)]
    Message(#[from] ControlError),
}

/// Reads one end's half of the control stream.
#[derive(Debug)]
pub struct ControlReader<R> {
    input: R,
    frames: FrameReader,
    unread: Bytes,
}

impl<R: AsyncRead + Unpin> ControlReader<R> {
    /// Reads from `input`, from the first byte of the stream.
    pub fn new(input: R) -> Self {
        Self { input, frames: FrameReader::default(), unread: Bytes::new() }
    }

    /// The next event. Cancel safe.
    pub async fn next<M: Message>(&mut self) -> Result<ControlEvent<M>, ControlStreamError> {
        loop {
            match self.frames.next(&mut self.unread)? {
                Some(Frame::Control(json)) => {
                    return match M::decode(&json) {
                        Ok(message) => Ok(ControlEvent::Message(message)),
                        Err(ControlError::UnknownKind(kind)) => Ok(ControlEvent::Unknown(kind)),
                        Err(error) => Err(error.into()),
                    };
                }
                Some(Frame::Acks(acks)) => return Ok(ControlEvent::Acks(acks)),
                Some(Frame::Done(exchanges)) => return Ok(ControlEvent::Done(exchanges)),
                Some(frame) => return Err(WireError::Unexpected(frame.kind()).into()),
                None => {
                    let mut bytes = BytesMut::with_capacity(READ_BYTES);
                    if self.input.read_buf(&mut bytes).await? == 0 {
                        return Err(ControlStreamError::Ended);
                    }
                    self.unread = bytes.freeze();
                }
            }
        }
    }
}

/// Writes one end's half of the control stream.
#[derive(Debug)]
pub struct ControlWriter<W> {
    output: W,
}

impl<W: AsyncWrite + Unpin> ControlWriter<W> {
    /// Writes to `output`, from the first byte of the stream.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Sends one message. Not cancel safe.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), ControlStreamError> {
        let mut frame = BytesMut::new();
        Frame::Control(message.encode()?).put(&mut frame);
        self.send_frames(&frame).await
    }

    /// Sends frames that are encoded already. Not cancel safe.
    pub async fn send_frames(&mut self, frames: &[u8]) -> Result<(), ControlStreamError> {
        Ok(self.output.write_all(frames).await?)
    }

    /// The stream itself, to finish it.
    pub fn into_inner(self) -> W {
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ToConnector, ToRelay};

    #[tokio::test]
    async fn messages_and_acks_share_the_stream() {
        let (here, there) = tokio::io::duplex(64);
        let mut writer = ControlWriter::new(here);
        let mut reader = ControlReader::new(there);
        let acks = vec![Ack { exchange: 1, offset: 2, limit: 3 }];
        let mut frames = BytesMut::new();
        Frame::Acks(acks.clone()).put(&mut frames);
        let sent = async {
            writer.send(&ToRelay::Ping { seq: 7 }).await.unwrap();
            writer.send_frames(&frames).await.unwrap();
            writer.send(&ToConnector::Replaced { by: crate::ids::InstanceId(1) }).await.unwrap();
        };
        let received = async {
            let ping = reader.next::<ToRelay>().await.unwrap();
            assert_eq!(ping, ControlEvent::Message(ToRelay::Ping { seq: 7 }));
            assert_eq!(reader.next::<ToRelay>().await.unwrap(), ControlEvent::Acks(acks));
            let unknown = reader.next::<ToRelay>().await.unwrap();
            assert_eq!(unknown, ControlEvent::Unknown("replaced".into()));
        };
        tokio::join!(sent, received);
    }

    #[tokio::test]
    async fn a_frame_of_a_request_stream_is_refused() {
        let mut bytes = BytesMut::new();
        Frame::Accepted.put(&mut bytes);
        let error = ControlReader::new(&bytes[..]).next::<ToRelay>().await.unwrap_err();
        assert!(matches!(error, ControlStreamError::Wire(WireError::Unexpected(_))));
    }
}
