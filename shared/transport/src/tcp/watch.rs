//! Watches the frames of one direction go by, for what concerns the other direction.
//!
//! The frames are not taken out: whoever reads the stream sees all of them. But STOP must be noticed
//! though nobody reads, and an end must be known before the stream's own.

use shared::codes::StreamCode;
use shared::wire::{FrameKind, varint};

/// The longest header of a frame: its kind and eight bytes of length.
const HEADER_BYTES_MAX: usize = 9;
/// The longest payload that is looked at, that of STOP.
const CODE_BYTES_MAX: usize = 8;

/// What goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The other end wants no more of this end's direction.
    Stop(StreamCode),
    /// The direction is over: nothing but STOP may follow.
    Over,
}

/// Where in the frames the stream is.
#[derive(Debug)]
pub(super) enum Watch {
    /// In a header, of which this has come.
    Header { bytes: [u8; HEADER_BYTES_MAX], have: usize },
    /// In a payload.
    Payload { kind: FrameKind, left: u64, code: [u8; CODE_BYTES_MAX], have: usize },
    /// These are no frames; their reader says so.
    Astray,
}

impl Default for Watch {
    fn default() -> Self {
        Self::Header { bytes: [0; HEADER_BYTES_MAX], have: 0 }
    }
}

impl Watch {
    /// Looks at the next bytes.
    pub(super) fn look(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Seen)) {
        while !bytes.is_empty() || matches!(self, Self::Payload { left: 0, .. }) {
            match self {
                Self::Header { bytes: header, have } => {
                    let Some((first, rest)) = bytes.split_first() else { return };
                    bytes = rest;
                    if let Some(free) = header.get_mut(*have) {
                        *free = *first;
                        *have += 1;
                    }
                    if let Some(next) = header.get(..*have).and_then(begun) {
                        *self = next;
                    }
                }
                Self::Payload { kind, left, code, have } => {
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (these, rest) = bytes.split_at(now);
                    bytes = rest;
                    for (free, byte) in code.iter_mut().skip(*have).zip(these) {
                        *free = *byte;
                        *have += 1;
                    }
                    *left -= now as u64;
                    if *left > 0 {
                        return;
                    }
                    match kind {
                        FrameKind::Stop => {
                            let number =
                                code.get(..*have).and_then(|mut code| varint::take(&mut code));
                            let code = number.and_then(StreamCode::from_number);
                            seen(Seen::Stop(code.unwrap_or(StreamCode::Cancelled)));
                        }
                        FrameKind::End | FrameKind::Abort | FrameKind::Reset => seen(Seen::Over),
                        _ => {}
                    }
                    *self = Self::default();
                }
                Self::Astray => return,
            }
        }
    }
}

/// What follows a header, once all of it is there.
fn begun(header: &[u8]) -> Option<Watch> {
    let (kind, mut length) = header.split_first()?;
    let left = varint::take(&mut length)?;
    let kind = FrameKind::from_number(*kind).filter(|kind| left <= kind.bytes_max());
    Some(kind.map_or(Watch::Astray, |kind| Watch::Payload {
        kind,
        left,
        code: [0; CODE_BYTES_MAX],
        have: 0,
    }))
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use http::HeaderMap;
    use shared::wire::Frame;

    use super::*;

    fn seen(pieces: &[&[u8]]) -> Vec<Seen> {
        let (mut watch, mut found) = (Watch::default(), Vec::new());
        for piece in pieces {
            watch.look(piece, |seen| found.push(seen));
        }
        found
    }

    #[test]
    fn stop_and_the_end_are_seen_wherever_the_bytes_are_cut() {
        let mut bytes = BytesMut::new();
        Frame::Accepted.put(&mut bytes);
        // A body may look like a STOP.
        Frame::Data(Bytes::from_static(&[8, 1, 1, 8, 1, 1])).put(&mut bytes);
        Frame::Stop(StreamCode::Slow).put(&mut bytes);
        Frame::End { total: 6, trailers: HeaderMap::new() }.put(&mut bytes);
        Frame::Stop(StreamCode::Ok).put(&mut bytes);
        let expected = [Seen::Stop(StreamCode::Slow), Seen::Over, Seen::Stop(StreamCode::Ok)];
        for at in 0..bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(seen(&[left, right]), expected, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(seen(&single), expected);
    }

    #[test]
    fn what_are_no_frames_is_looked_at_no_further() {
        assert_eq!(seen(&[&[0x77, 0, 4, 0]]), []);
        assert_eq!(
            seen(&[&[8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]]),
            [],
            "a STOP that is too long"
        );
    }
}
