//! HTTP/2 frames as given: for what no library sends, and to see what a server says.

use super::{Cut, Reason};
use bytes::{Buf, Bytes, BytesMut};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
    time::timeout,
};

/// How long one read may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a client says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A frame's length, kind, flags and stream (section 4.1).
const HEAD_BYTES: usize = 9;

/// One connection to an HTTP/2 server, frame by frame. It acknowledges nothing by itself.
pub struct FrameClient {
    stream: TcpStream,
    buffer: BytesMut,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What is in it.
    pub payload: Bytes,
}

impl FrameClient {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// RST_STREAM.
    pub const RST_STREAM: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
    /// The flag END_STREAM of DATA and HEADERS.
    pub const END_STREAM: u8 = 1;
    /// The flag ACK of SETTINGS and PING.
    pub const ACK: u8 = 1;
    /// The flag END_HEADERS of HEADERS and CONTINUATION.
    pub const END_HEADERS: u8 = 4;

    /// Connects, and sends the preface with empty SETTINGS.
    ///
    /// # Errors
    /// The connection's own.
    pub async fn connect(address: impl ToSocketAddrs) -> io::Result<FrameClient> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = FrameClient { stream, buffer: BytesMut::new() };
        client.stream.write_all(PREFACE).await?;
        client.send(FrameClient::SETTINGS, 0, 0, b"").await?;
        Ok(client)
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The connection's own. What the server said may still be there to read.
    pub async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).await
    }

    /// Sends a request without a body: its fields in this order, pseudo-fields among them.
    ///
    /// # Errors
    /// The connection's own.
    pub async fn request(&mut self, stream: u32, fields: &[(&str, &str)]) -> io::Result<()> {
        let flags = FrameClient::END_HEADERS | FrameClient::END_STREAM;
        self.send(FrameClient::HEADERS, flags, stream, &literals(fields)).await
    }

    /// The next frame of the server.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn next(&mut self) -> Result<RawFrame, Cut> {
        self.fill(HEAD_BYTES).await?;
        let mut head = self.buffer.split_to(HEAD_BYTES);
        let length = head.get_uint(3) as usize;
        let (kind, flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32());
        self.fill(length).await?;
        Ok(RawFrame { kind, flags, stream, payload: self.buffer.split_to(length).freeze() })
    }

    /// The status of this connection's first answer, which must come on this stream.
    ///
    /// # Errors
    /// What the server did instead.
    pub async fn status(&mut self, stream: u32) -> Result<u16, Cut> {
        loop {
            let frame = self.next().await?;
            let code = |at: usize| frame.payload.get(at..).map_or(0, |mut code| code.get_u32());
            match frame.kind {
                FrameClient::HEADERS if frame.stream == stream => return status(&frame.payload),
                FrameClient::RST_STREAM if frame.stream == stream => {
                    return Err(Cut::Reset(Some(Reason::from(code(0)))));
                }
                FrameClient::GOAWAY => return Err(Cut::GoAway(Reason::from(code(4)))),
                _ => {}
            }
        }
    }

    async fn fill(&mut self, length: usize) -> Result<(), Cut> {
        while self.buffer.len() < length {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(Cut::Timeout),
                Ok(Err(_)) => return Err(Cut::Reset(None)),
                Ok(Ok(0)) => return Err(Cut::Eof(None)),
                Ok(Ok(_)) => {}
            }
        }
        Ok(())
    }
}

/// Fields as HPACK literals without indexing and without Huffman's code (RFC 7541, section 6.2.2):
/// the bytes of their names and values stand there as given.
#[must_use]
pub fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                // An integer of more than one byte (section 5.1); up to 16,510 it has three.
                let rest = length - 127;
                assert!(rest < 1 << 14, "a short text");
                block.extend([127, (rest & 127) as u8 | 128, (rest >> 7) as u8]);
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The status of a block of fields that nothing was indexed before.
fn status(block: &[u8]) -> Result<u16, Cut> {
    let not_http = || Cut::NotHttp(format!("no status first: {block:?}"));
    match *block {
        // The static table from 8 on (RFC 7541, appendix A).
        [field @ 0x88..=0x8e, ..] => {
            Ok([200, 204, 206, 304, 400, 404, 500][usize::from(field - 0x88)])
        }
        // The name of index 8, and three digits.
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => digits(&[a, b, c]).ok_or_else(not_http),
        [0x08 | 0x18 | 0x48, length, ref value @ ..] if length & 0x80 != 0 => {
            value.get(..usize::from(length & 0x7f)).and_then(from_huffman).ok_or_else(not_http)
        }
        _ => Err(not_http()),
    }
}

fn digits(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0 to 2 in five bits, the others in six.
fn from_huffman(coded: &[u8]) -> Option<u16> {
    let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut number = 0;
    for _ in 0..3 {
        let five = bits.by_ref().take(5).fold(0, |code, bit| code << 1 | bit);
        let digit = match five {
            0..=2 => five,
            _ => (five << 1 | bits.next()?).checked_sub(0b01_1001)? + 3,
        };
        number = number * 10 + u16::from(digit);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_however_they_are_coded() {
        assert_eq!(status(&[0x8d, 0x0f]), Ok(404));
        assert_eq!(status(&[0x48, 3, b'4', b'3', b'1']), Ok(431));
        // RFC 7541, appendix C.6.1.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Ok(302));
        assert_eq!(status(&[0x48, 0x83, 0x68, 0x2c, 0xff]), Ok(413));
        assert!(status(&[0x40, 1]).is_err() && status(&[]).is_err());
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let block = literals(&[("a", &"x".repeat(1_337))]);
        assert_eq!(block[..6], [0, 1, b'a', 127, 186, 9]);
        assert_eq!(block.len(), 3 + 3 + 1_337);
    }
}
