//! Frames and bytes of bodies on their way into one write: small bytes are copied, large ones never.

use bytes::{Bytes, BytesMut};

/// Bytes up to here are copied beside the frames around them: that costs less than one more chunk to
/// write, acknowledge and free, and the memory that they were read into is free at once.
const COPIED_MAX: usize = 2048;

/// What one write is made of.
#[derive(Debug, Default)]
pub struct Chunks {
    closed: Vec<Bytes>,
    open: BytesMut,
}

impl Chunks {
    /// Nothing yet, with room for so many bytes of frames and small bodies.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { closed: Vec::new(), open: BytesMut::with_capacity(bytes) }
    }

    /// Where frames are appended.
    pub const fn frames(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Appends bytes of a body, whose DATA header stands before them.
    pub fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED_MAX {
            self.open.extend_from_slice(bytes);
            return;
        }
        if !self.open.is_empty() {
            self.closed.push(self.open.split().freeze());
        }
        self.closed.push(bytes.clone());
    }

    /// What is to be written, in order; nothing is left.
    pub fn close(&mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.closed.push(self.open.split().freeze());
        }
        std::mem::take(&mut self.closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bytes_are_copied_and_large_ones_are_not() {
        let mut chunks = Chunks::default();
        let (small, large) = (Bytes::from(vec![1; 10]), Bytes::from(vec![2; COPIED_MAX + 1]));
        chunks.frames().extend_from_slice(b"head");
        chunks.bytes(&small);
        chunks.bytes(&large);
        chunks.frames().extend_from_slice(b"end");
        let written = chunks.close();
        assert_eq!(written.iter().map(Bytes::len).collect::<Vec<_>>(), [14, COPIED_MAX + 1, 3]);
        assert_eq!(written[1].as_ptr(), large.as_ptr());
        assert!(chunks.close().is_empty());
    }
}
