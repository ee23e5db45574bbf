//! What came of a stream and was not read yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A piece below this, bytes, is copied to the one before it: a flood of tiny pieces costs no more
/// memory than its bytes.
const SMALL_MAX: usize = 512;
/// Copied pieces gathered in one, bytes.
const GATHERED_MAX: usize = 4 * 1024;

/// The bytes, in their order.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pieces: VecDeque<Bytes>,
    small: BytesMut,
    bytes: usize,
}

impl Unread {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        if bytes.len() < SMALL_MAX && self.small.len() < GATHERED_MAX {
            return self.small.extend_from_slice(&bytes);
        }
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// The next bytes, at most so many; `None` when there are none.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        let taken = match self.pieces.front_mut() {
            Some(first) if first.len() > most => first.split_to(most),
            Some(_) => self.pieces.pop_front()?,
            None if self.small.is_empty() => return None,
            None => self.small.split_to(most.min(self.small.len())).freeze(),
        };
        self.bytes -= taken.len();
        Some(taken)
    }

    /// Forgets all of it; answers how much it was.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(self).bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_and_tiny_pieces_are_joined() {
        let mut unread = Unread::default();
        let mut sent = Vec::new();
        for (n, length) in [1, 2, 600, 3, 4, 5000, 511].into_iter().enumerate() {
            let piece = vec![n as u8; length];
            sent.extend_from_slice(&piece);
            unread.push(piece.into());
        }
        assert_eq!((unread.bytes(), unread.pieces.len()), (sent.len(), 4));
        let mut got = Vec::new();
        while let Some(piece) = unread.take(700) {
            assert!(!piece.is_empty() && piece.len() <= 700);
            got.extend_from_slice(&piece);
        }
        assert_eq!((got, unread.bytes()), (sent, 0));
    }
}
