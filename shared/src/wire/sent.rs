//! What was sent of one direction of an exchange and may not have arrived: another stream can go on with it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::frame::put_data_header;
use super::{Chunks, Frame, FrameKind, FrameReader, WireError};

/// The frames that were written and are not acknowledged, as they were encoded. Handles to the bytes,
/// so that what is written costs no copy; they are read again only where a link was lost.
///
/// Memory: what of the body is not acknowledged, which credit bounds, and the frames around it.
#[derive(Debug, Default)]
pub struct SentFrames {
    /// Each with the body's offset behind it where a write ended with it.
    chunks: VecDeque<(Bytes, Option<u64>)>,
    /// Bytes of the chunks.
    bytes: usize,
    /// The body's offset before the first chunk.
    begin: u64,
    /// The body's offset behind the last one.
    end: u64,
    over: bool,
    /// Chunks that are forgotten.
    forgotten: u64,
}

impl SentFrames {
    /// Notes one write: whole frames, with `body` bytes of the body in them. With `over` it is the last.
    pub fn push(&mut self, chunks: &[Bytes], body: u64, over: bool) {
        self.end += body;
        self.over |= over;
        for chunk in chunks {
            self.bytes += chunk.len();
            self.chunks.push_back((chunk.clone(), None));
        }
        if let Some((_, behind)) = self.chunks.back_mut() {
            *behind = Some(self.end);
        }
    }

    /// Bytes that are kept.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the body that were noted.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Whether the last frame was noted.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Forgets writes up to this offset of the body. Whoever has some of it has the head; the last frame
    /// stays.
    pub fn acknowledge(&mut self, offset: u64) {
        if offset == 0 {
            return;
        }
        // What stays begins behind the last write that is acknowledged as a whole.
        let (mut stays, mut begin) = (0, self.begin);
        for (at, (_, behind)) in self.chunks.iter().enumerate() {
            let Some(behind) = *behind else { continue };
            if behind > offset || (self.over && at + 1 == self.chunks.len()) {
                break;
            }
            (stays, begin) = (at + 1, behind);
        }
        for (chunk, _) in self.chunks.drain(..stays) {
            self.bytes -= chunk.len();
            self.forgotten += 1;
        }
        self.begin = begin;
    }

    /// Forgets all of it: nothing will be asked for again.
    pub fn forget(&mut self) {
        let forgotten = self.mark();
        *self =
            Self { begin: self.end, end: self.end, over: self.over, forgotten, ..Self::default() };
    }

    /// Tells what was noted so far from what comes later.
    pub fn mark(&self) -> u64 {
        self.forgotten + self.chunks.len() as u64
    }

    /// What was noted since `mark` and is still kept: whole frames.
    pub fn since(&self, mark: u64) -> Vec<Bytes> {
        let known = mark.saturating_sub(self.forgotten) as usize;
        self.chunks.iter().skip(known).map(|(chunk, _)| chunk.clone()).collect()
    }

    /// What follows `offset` in the body, as frames; and what stands before the body, unless the other
    /// end `has_head`.
    ///
    /// An offset beyond what was sent, or below what was acknowledged, breaks the protocol.
    pub fn after(&self, has_head: bool, offset: u64) -> Result<Vec<Bytes>, WireError> {
        let kind = FrameKind::Continue;
        if offset > self.end || (offset > 0 && !has_head) {
            return Err(WireError::Malformed { kind, what: "an offset that was never sent" });
        }
        if offset < self.begin || (self.begin > 0 && !has_head) {
            return Err(WireError::Malformed { kind, what: "an offset that was acknowledged" });
        }
        let (mut reader, mut out) = (FrameReader::default(), Chunks::default());
        let mut at = self.begin;
        for (chunk, _) in &self.chunks {
            let mut input = chunk.clone();
            while let Some(frame) = reader.next(&mut input)? {
                match frame {
                    Frame::Data(bytes) => {
                        let known = offset.saturating_sub(at).min(bytes.len() as u64);
                        at += bytes.len() as u64;
                        let rest = bytes.slice(known as usize..);
                        if !rest.is_empty() {
                            put_data_header(out.frames(), rest.len());
                            out.bytes(&rest);
                        }
                    }
                    Frame::End { .. } | Frame::Abort(_) => frame.put(out.frames()),
                    Frame::RequestHead(_) => {}
                    before if !has_head => before.put(out.frames()),
                    _ => {}
                }
            }
        }
        Ok(out.close())
    }
}

/// One frame, encoded.
pub fn encoded(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    frame.put(&mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ResponseHead;

    fn head() -> Frame {
        let fields = HeaderMap::new();
        Frame::ResponseHead(Box::new(ResponseHead { status: StatusCode::OK, fields }))
    }

    fn end(total: u64) -> Frame {
        Frame::End { total, trailers: HeaderMap::new() }
    }

    /// An answer whose body is 0, 1, 2 …, in writes of these sizes, and its frames.
    fn answer(sizes: &[usize], is_whole: bool) -> (SentFrames, Vec<u8>) {
        let (mut sent, mut body) = (SentFrames::default(), Vec::new());
        let head = [encoded(&Frame::Accepted), encoded(&head())];
        sent.push(&head, 0, false);
        for size in sizes {
            let bytes: Vec<u8> = (body.len()..body.len() + size).map(|at| at as u8).collect();
            let mut header = BytesMut::new();
            put_data_header(&mut header, bytes.len());
            body.extend_from_slice(&bytes);
            sent.push(&[header.freeze(), bytes.into()], *size as u64, false);
        }
        if is_whole {
            sent.push(&[encoded(&end(body.len() as u64))], 0, true);
        }
        (sent, body)
    }

    fn frames(chunks: &[Bytes]) -> Vec<Frame> {
        let (mut reader, mut frames) = (FrameReader::default(), Vec::new());
        for chunk in chunks {
            let mut input = chunk.clone();
            while let Some(frame) = reader.next(&mut input).unwrap() {
                frames.push(frame);
            }
        }
        frames
    }

    #[test]
    fn all_of_an_answer_is_kept_until_some_of_it_is_acknowledged() {
        let (mut sent, _) = answer(&[], true);
        assert_eq!(frames(&sent.after(false, 0).unwrap()), [Frame::Accepted, head(), end(0)]);
        sent.acknowledge(0);
        assert_eq!(frames(&sent.after(true, 0).unwrap()), [end(0)]);
        let (mut sent, _) = answer(&[10, 10], true);
        sent.acknowledge(20);
        assert_eq!(frames(&sent.after(true, 20).unwrap()), [end(20)], "the end stays");
        let mark = sent.mark();
        sent.push(&[encoded(&Frame::Accepted)], 0, true);
        assert_eq!(frames(&sent.since(mark)), [Frame::Accepted], "what came since");
        sent.forget();
        assert!(sent.since(mark).is_empty());
        assert_eq!((sent.bytes(), sent.after(true, 20).unwrap().len()), (0, 0));
    }

    #[test]
    fn offsets_that_lie_are_refused() {
        let (mut sent, _) = answer(&[10, 10], false);
        assert!(sent.after(true, 21).is_err(), "beyond what was sent");
        assert!(sent.after(false, 1).is_err(), "a body without its head");
        sent.acknowledge(10);
        assert!(sent.after(true, 9).is_err(), "below what was acknowledged");
        assert!(sent.after(false, 0).is_err(), "a head that was acknowledged");
        assert!(sent.after(true, 10).is_ok());
    }

    proptest! {
        /// Wherever a link is lost, what came before and what comes again are the whole body once.
        #[test]
        fn the_rest_begins_where_the_other_end_stands(
            sizes in prop::collection::vec(1usize..5000, 0..20),
            acknowledged in 0.0f64..=1.0,
            further in 0.0f64..=1.0,
            is_whole: bool,
        ) {
            let (mut sent, body) = answer(&sizes, is_whole);
            let acknowledged = (body.len() as f64 * acknowledged) as u64;
            let has = acknowledged + ((body.len() as u64 - acknowledged) as f64 * further) as u64;
            sent.acknowledge(acknowledged);
            let mut came = body[..has as usize].to_vec();
            for frame in frames(&sent.after(true, has).unwrap()) {
                match frame {
                    Frame::Data(bytes) => came.extend_from_slice(&bytes),
                    frame => prop_assert_eq!(frame, end(body.len() as u64)),
                }
            }
            prop_assert!(came == body);
            let longest = sizes.iter().max().copied().unwrap_or_default();
            let unacknowledged = body.len() - acknowledged as usize;
            prop_assert!(sent.bytes() <= unacknowledged + longest + 16 * (sizes.len() + 2));
        }
    }
}
