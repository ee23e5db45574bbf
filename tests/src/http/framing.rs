//! HTTP/1 framing by the book: heads, lengths and chunks, told apart from their absence.

use bytes::{Buf, Bytes, BytesMut};

/// A field: its name in its own case, and its value.
pub type Field = (String, Vec<u8>);

/// A head (of a request or a response) as it stood on the wire, names in their own case.
#[derive(Clone, Debug)]
pub struct Head {
    /// The first line, without its line end.
    pub start_line: String,
    /// All fields in order.
    pub headers: Vec<Field>,
}

impl Head {
    /// The first value of a field, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// How the body of this head is framed; a request without any framing has none.
    #[must_use]
    pub fn framing(&self) -> Framing {
        let chunked = self.header("transfer-encoding").is_some_and(|value| {
            value.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
        });
        let length = self.header("content-length").and_then(|text| text.trim().parse().ok());
        match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Unframed,
        }
    }
}

/// The first value of a field in a list of fields, if it is text.
#[must_use]
pub fn header<'a>(headers: &'a [Field], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// Takes one head off the front of the buffer once it is there whole.
///
/// # Errors
/// Says what is not HTTP about it.
pub fn take_head(buffer: &mut BytesMut) -> Result<Option<Head>, String> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        let http = buffer.len() < 5 || buffer.is_ascii();
        return if http { Ok(None) } else { Err(format!("no HTTP: {buffer:?}")) };
    };
    let block = buffer.split_to(end + 4);
    let mut lines = block[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let start_line = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let headers = lines.map(|line| {
        let colon = line.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or_else(|| format!("a field without a colon: {line:?}"))?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        Ok((String::from_utf8_lossy(name).into_owned(), value.trim_ascii().to_vec()))
    });
    Ok(Some(Head { start_line, headers: headers.collect::<Result<_, String>>()? }))
}

/// How a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// By `Content-Length`.
    Length(u64),
    /// By chunks.
    Chunked,
    /// Not at all: only the end of the connection ends it, which proves nothing.
    Unframed,
}

/// What the decoder made of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Bytes of the body; `whole` when they end a chunk (or are of no chunk).
    Data {
        /// The bytes.
        bytes: Bytes,
        /// Whether the chunk ends here.
        whole: bool,
    },
    /// The buffer is used up.
    NeedMore,
    /// The framing said that the body is complete.
    End {
        /// Trailer fields, after chunks.
        trailers: Vec<Field>,
    },
}

/// Takes the body off a buffer, piece by piece.
#[derive(Debug)]
pub struct BodyDecoder(State);

#[derive(Debug)]
enum State {
    Length(u64),
    Unframed,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

impl BodyDecoder {
    /// A decoder at the first byte of a body.
    #[must_use]
    pub fn new(framing: Framing) -> BodyDecoder {
        BodyDecoder(match framing {
            Framing::Empty => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::Unframed => State::Unframed,
        })
    }

    /// Bytes still owed by `Content-Length` or by the chunk at hand.
    #[must_use]
    pub fn owed(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) | State::ChunkData(left) => Some(left),
            _ => None,
        }
    }

    /// True when only the end of the connection can end this body.
    #[must_use]
    pub fn is_unframed(&self) -> bool {
        matches!(self.0, State::Unframed)
    }

    /// The next piece of the body in the buffer.
    ///
    /// # Errors
    /// Says what is wrong with the chunks.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Decoded, String> {
        loop {
            match self.0 {
                State::Length(0) => return Ok(Decoded::End { trailers: Vec::new() }),
                State::Unframed | State::Length(_) | State::ChunkData(_) if buffer.is_empty() => {
                    return Ok(Decoded::NeedMore);
                }
                State::Unframed => {
                    return Ok(Decoded::Data { bytes: take(buffer, u64::MAX), whole: true });
                }
                State::Length(left) => {
                    let bytes = take(buffer, left);
                    self.0 = State::Length(left - bytes.len() as u64);
                    return Ok(Decoded::Data { bytes, whole: true });
                }
                State::ChunkData(left) => {
                    let bytes = take(buffer, left);
                    let left = left - bytes.len() as u64;
                    self.0 = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                    return Ok(Decoded::Data { bytes, whole: left == 0 });
                }
                State::ChunkEnd if buffer.len() < 2 => return Ok(Decoded::NeedMore),
                State::ChunkEnd if buffer.starts_with(b"\r\n") => {
                    buffer.advance(2);
                    self.0 = State::ChunkSize;
                }
                State::ChunkEnd => return Err("a chunk longer than its size".to_owned()),
                State::ChunkSize => {
                    let Some(end) = line_end(buffer) else { return Ok(Decoded::NeedMore) };
                    let line =
                        String::from_utf8_lossy(&buffer.split_to(end + 2)[..end]).into_owned();
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(digits, 16);
                    let size = size.map_err(|_| format!("a chunk of size {line:?}"))?;
                    self.0 = if size == 0 { State::Trailers } else { State::ChunkData(size) };
                }
                State::Trailers => return trailers(buffer),
            }
        }
    }
}

/// The block after the last chunk; nothing is taken until it is there whole.
fn trailers(buffer: &mut BytesMut) -> Result<Decoded, String> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Decoded::End { trailers: Vec::new() });
    }
    if !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
        return Ok(Decoded::NeedMore);
    }
    // Read as a head whose first line is missing.
    let mut block = BytesMut::from(&b"\r\n"[..]);
    block.unsplit(buffer.split());
    let head = take_head(&mut block)?;
    *buffer = block;
    Ok(Decoded::End { trailers: head.map(|head| head.headers).unwrap_or_default() })
}

fn take(buffer: &mut BytesMut, most: u64) -> Bytes {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_to(length).freeze()
}

fn line_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(2).position(|window| window == b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All data and the trailers, fed in pieces of `step` bytes.
    fn decode(wire: &[u8], step: usize) -> Result<(Vec<u8>, Vec<Field>), String> {
        let (mut decoder, mut buffer) = (BodyDecoder::new(Framing::Chunked), BytesMut::new());
        let mut data = Vec::new();
        for piece in wire.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.next(&mut buffer)? {
                    Decoded::Data { bytes, .. } => data.extend_from_slice(&bytes),
                    Decoded::NeedMore => break,
                    Decoded::End { trailers } => return Ok((data, trailers)),
                }
            }
        }
        Err("no end".to_owned())
    }

    #[test]
    fn chunks_decode_however_they_are_cut() {
        let wire = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: 1\r\nB: 2\r\n\r\n";
        for step in 1..wire.len() {
            let (data, trailers) = decode(wire, step).expect("complete");
            assert_eq!(data, b"abcde");
            assert_eq!(trailers.len(), 2);
            assert_eq!(header(&trailers, "b"), Some("2"));
        }
        for cut in 1..wire.len() {
            assert!(decode(&wire[..cut], 4).is_err(), "cut at {cut} looked complete");
        }
        assert!(decode(b"3\r\nabcd\r\n0\r\n\r\n", 99).is_err());
        assert!(decode(b"zz\r\nabcd\r\n0\r\n\r\n", 99).is_err());
    }

    #[test]
    fn heads_say_their_framing() {
        let framing = |text: &str| {
            let mut buffer = BytesMut::from(text.as_bytes());
            take_head(&mut buffer).expect("HTTP").expect("whole").framing()
        };
        assert_eq!(framing("HTTP/1.1 200 OK\r\ncontent-LENGTH: 7\r\n\r\n"), Framing::Length(7));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        assert_eq!(framing(chunked), Framing::Chunked);
        assert_eq!(framing("HTTP/1.0 200 OK\r\n\r\n"), Framing::Unframed);
    }
}
