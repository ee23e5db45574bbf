//! HTTP/2 as raw frames over TCP: writes any frame, right or wrong, and tells what came back.

mod hpack;

pub use hpack::{field, fields};

use bytes::{Buf, Bytes, BytesMut};
use std::{collections::HashMap, io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// With these bytes a connection begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames (RFC 9113, 6).
pub const DATA: u8 = 0;
/// Begins a stream, or ends it with trailers.
pub const HEADERS: u8 = 1;
/// A word on a stream's weight, long out of use.
pub const PRIORITY: u8 = 2;
/// Ends a stream at once.
pub const RST_STREAM: u8 = 3;
/// What an end wants of the other.
pub const SETTINGS: u8 = 4;
/// Only servers push.
pub const PUSH_PROMISE: u8 = 5;
/// Asks for the same bytes back.
pub const PING: u8 = 6;
/// The connection ends.
pub const GOAWAY: u8 = 7;
/// Allows more bytes.
pub const WINDOW_UPDATE: u8 = 8;
/// More of a header block.
pub const CONTINUATION: u8 = 9;

/// The last frame of a stream's direction.
pub const END_STREAM: u8 = 0x1;
/// The answer to SETTINGS or PING.
pub const ACK: u8 = 0x1;
/// The header block ends here.
pub const END_HEADERS: u8 = 0x4;
/// A header block, or a body, with padding.
pub const PADDED: u8 = 0x8;
/// A header block with a priority in front.
pub const WITH_PRIORITY: u8 = 0x20;

/// Codes of errors (RFC 9113, 7). With this one, all is well.
pub const NO_ERROR: u32 = 0x0;
/// Against the rules.
pub const PROTOCOL_ERROR: u32 = 0x1;
/// More bytes than were allowed, or more allowed than there can be.
pub const FLOW_CONTROL_ERROR: u32 = 0x3;
/// A frame of the wrong size.
pub const FRAME_SIZE_ERROR: u32 = 0x6;
/// Not begun: it may be sent again.
pub const REFUSED_STREAM: u32 = 0x7;
/// Not wanted any more.
pub const CANCEL: u32 = 0x8;
/// Too much of something.
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// SETTINGS_HEADER_TABLE_SIZE: with 0, nothing that was said before has to be remembered.
const HEADER_TABLE_SIZE: u16 = 0x1;
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
/// How long one read may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of one frame, whatever it says.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A SETTINGS frame with these values.
#[must_use]
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let bytes = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(bytes).collect::<Vec<u8>>())
}

/// A frame as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream, 0 for the connection.
    pub stream: u32,
    /// What it says.
    pub payload: Bytes,
}

impl Frame {
    /// A 32-bit number in it: the code of RST_STREAM, or of GOAWAY behind the last stream.
    fn number_at(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(u32::MAX, |mut bytes| bytes.get_u32())
    }
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A whole answer.
    Answered(Answer),
    /// It was reset with this code.
    Reset(u32),
    /// The connection ended with this code.
    GoneAway(u32),
    /// The connection ended without a word.
    Closed,
    /// Nothing came in time.
    Silence,
}

/// An answer as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its fields, pseudo-fields included.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The status code, 0 without one.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.header(":status").and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// One connection. It answers no PING and grants no window unless a story does.
pub struct FrameClient {
    stream: TcpStream,
    buffer: BytesMut,
    answers: HashMap<u32, Answer>,
    patience: Duration,
}

impl FrameClient {
    /// Connects, and begins as a client should.
    pub async fn connect(address: SocketAddr) -> FrameClient {
        FrameClient::connect_with(address, &[]).await
    }

    /// Connects with further settings.
    ///
    /// # Panics
    /// When there is no connection.
    pub async fn connect_with(address: SocketAddr, values: &[(u16, u32)]) -> FrameClient {
        let mut client = FrameClient::connect_silently(address).await;
        let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
        let begin = [PREFACE, &settings(&values), &frame(SETTINGS, ACK, 0, &[])].concat();
        client.send(&begin).await.expect("a connection that takes a preface");
        client
    }

    /// Connects, and says nothing.
    ///
    /// # Panics
    /// When there is no connection.
    pub async fn connect_silently(address: SocketAddr) -> FrameClient {
        let stream = TcpStream::connect(address).await.expect("the relay");
        stream.set_nodelay(true).expect("a socket");
        let (buffer, answers) = (BytesMut::new(), HashMap::new());
        FrameClient { stream, buffer, answers, patience: PATIENCE }
    }

    /// Sets how long one read may take.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> FrameClient {
        self.patience = patience;
        self
    }

    /// Waits until the server has allowed the connection more than the standard's 64 KiB.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_allowed(&mut self) {
        loop {
            let frame = self.next().await.expect("a window");
            if (frame.kind, frame.stream) == (WINDOW_UPDATE, 0) {
                return;
            }
        }
    }

    /// Sends bytes as given.
    ///
    /// # Errors
    /// The connection's own. What came before may still be there to read.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame.
    ///
    /// # Errors
    /// `TimedOut` when nothing comes in time; otherwise the connection is over.
    pub async fn next(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(length) = self.buffer.get(..3).map(|mut bytes| bytes.get_uint(3)) {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if self.buffer.len() >= 9 + length {
                    let mut bytes = self.buffer.split_to(9 + length).freeze();
                    bytes.advance(3);
                    let (kind, flags) = (bytes.get_u8(), bytes.get_u8());
                    let stream = bytes.get_u32() & 0x7fff_ffff;
                    return Ok(Frame { kind, flags, stream, payload: bytes });
                }
            }
            let read = timeout(self.patience, self.stream.read_buf(&mut self.buffer)).await;
            match read {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
        }
    }

    /// Reads until it is told what became of a stream. Answers of others that come in between are
    /// kept for who asks later.
    ///
    /// # Panics
    /// When the header block of an answer cannot be read.
    pub async fn fate_of(&mut self, stream: u32) -> Fate {
        loop {
            let frame = match self.next().await {
                Ok(frame) => frame,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Fate::Silence,
                Err(_) => return Fate::Closed,
            };
            match frame.kind {
                HEADERS => {
                    let fields = hpack::decode(&frame.payload);
                    self.answers.entry(frame.stream).or_default().fields.extend(fields);
                }
                DATA => {
                    let answer = self.answers.entry(frame.stream).or_default();
                    answer.body.extend_from_slice(&frame.payload);
                }
                RST_STREAM if frame.stream == stream => return Fate::Reset(frame.number_at(0)),
                GOAWAY => return Fate::GoneAway(frame.number_at(4)),
                _ => continue,
            }
            let over = matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0;
            if over && frame.stream == stream {
                return Fate::Answered(self.answers.remove(&stream).unwrap_or_default());
            }
        }
    }

    /// Whether the connection ends within this time; what still comes is read and forgotten.
    pub async fn is_closed_within(&mut self, patience: Duration) -> bool {
        let end = async { while self.next().await.is_ok() {} };
        timeout(patience, end).await.is_ok()
    }

    /// Leaves with a reset instead of an orderly end.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
