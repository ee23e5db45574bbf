//! Follows the frames of an HTTP/2 connection by their headers (RFC 9113, 4.1), for what the library
//! does not tell: how long a head takes to come, and how many frames carry nothing. Pure.

/// The preface, which is no frame (RFC 9113, 3.4).
const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;
/// Requests, and the room for their answers. All others carry nothing, known or not.
const CARRY_SOMETHING: [u8; 4] = [DATA, HEADERS, WINDOW_UPDATE, CONTINUATION];

/// Where the bytes of a connection stand.
#[derive(Debug)]
pub struct Frames {
    /// Bytes that belong to the preface or to a payload.
    skip: usize,
    header: [u8; FRAME_HEADER_BYTES],
    header_bytes: usize,
    head: Head,
    idle: u64,
}

/// What of a head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// None is under way.
    None,
    /// One is, and more frames of it follow.
    Begun,
    /// The payload of its last frame.
    Last,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE_BYTES,
            header: [0; FRAME_HEADER_BYTES],
            header_bytes: 0,
            head: Head::None,
            idle: 0,
        }
    }
}

impl Frames {
    /// Takes the next bytes of the connection.
    pub fn push(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.skip > 0 {
                return;
            }
            if self.head == Head::Last {
                self.head = Head::None;
            }
            let Some((first, rest)) = bytes.split_first() else { return };
            if let Some(place) = self.header.get_mut(self.header_bytes) {
                *place = *first;
            }
            self.header_bytes += 1;
            bytes = rest;
            if self.header_bytes == FRAME_HEADER_BYTES {
                self.header_bytes = 0;
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if kind == HEADERS || kind == CONTINUATION {
            self.head = if flags & END_HEADERS == 0 { Head::Begun } else { Head::Last };
        }
        if !CARRY_SOMETHING.contains(&kind) {
            self.idle += 1;
        }
    }

    /// Whether a head has begun and is not complete.
    pub fn is_in_head(&self) -> bool {
        self.head != Head::None
    }

    /// Frames so far that carry nothing.
    pub const fn idle(&self) -> u64 {
        self.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    #[test]
    fn a_head_is_under_way_until_its_last_byte() {
        let ping = frame(0x6, 0, &[0; 8]);
        let head = [frame(HEADERS, 0, b"abc"), frame(CONTINUATION, END_HEADERS, b"de")].concat();
        let wire = [&[b'P'; PREFACE_BYTES][..], &ping, &head, &frame(0, 1, b"data")].concat();
        let (begins, ends) = (24 + ping.len(), 24 + ping.len() + head.len());
        // In whichever pieces the bytes come.
        for piece in [1, 2, 7, 1000] {
            let mut frames = Frames::default();
            let mut at = 0;
            for bytes in wire.chunks(piece) {
                frames.push(bytes);
                at += bytes.len();
                let inside = at >= begins + FRAME_HEADER_BYTES && at < ends;
                assert_eq!(frames.is_in_head(), inside, "at {at} in pieces of {piece}");
            }
            assert_eq!(frames.idle(), 1);
        }
    }

    #[test]
    fn a_head_without_payload_is_complete_at_once() {
        let mut frames = Frames::default();
        frames.push(&[0; PREFACE_BYTES]);
        frames.push(&frame(HEADERS, END_HEADERS, b""));
        assert!(!frames.is_in_head());
    }
}
