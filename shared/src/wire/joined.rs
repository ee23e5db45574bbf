//! Pieces of a stream as packets cut them, joined into one: a copy costs less than each piece's own way.

use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};

/// Bytes taken from a stream at a time.
const TAKEN_MAX: usize = 64 * 1024;
/// A piece from here on, bytes, was probably cut by the end of its packet: more stands behind it.
const CUT_MIN: usize = 1024;
/// Room made for joined pieces, bytes; it doubles as more come, so that at most half of it is idle.
const ROOM: usize = 4 * 1024;

/// What has been read of one stream, other than the bytes that were handed on.
#[derive(Debug)]
pub struct Joined<E> {
    /// The end of the stream, which came while there were bytes to hand on before it.
    over: Option<Result<(), E>>,
}

impl<E> Default for Joined<E> {
    fn default() -> Self {
        Self { over: None }
    }
}

impl<E> Joined<E> {
    /// What the stream has now: up to 64 KiB of it, or its end. A small piece that stands alone is not
    /// copied.
    ///
    /// `read` takes at most so many bytes from the stream. It is not called again after the end or an
    /// error was answered.
    pub fn poll(
        &mut self,
        mut read: impl FnMut(usize) -> Poll<Result<Option<Bytes>, E>>,
    ) -> Poll<Result<Option<Bytes>, E>> {
        if let Some(over) = self.over.take() {
            return Poll::Ready(over.map(|()| None));
        }
        let first = match ready!(read(TAKEN_MAX)) {
            Ok(Some(first)) if (CUT_MIN..TAKEN_MAX).contains(&first.len()) => first,
            other => return Poll::Ready(other),
        };
        let mut joined = BytesMut::new();
        let mut length = first.len();
        while length < TAKEN_MAX {
            match read(TAKEN_MAX - length) {
                Poll::Ready(Ok(Some(piece))) => {
                    if joined.is_empty() {
                        joined.reserve(ROOM);
                        joined.extend_from_slice(&first);
                    }
                    length += piece.len();
                    joined.extend_from_slice(&piece);
                }
                Poll::Ready(Ok(None)) => {
                    self.over = Some(Ok(()));
                    break;
                }
                Poll::Ready(Err(error)) => {
                    self.over = Some(Err(error));
                    break;
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(Some(if joined.is_empty() { first } else { joined.freeze() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Poll<Result<Option<Bytes>, &'static str>>;

    fn piece(byte: u8, length: usize) -> Read {
        Poll::Ready(Ok(Some(Bytes::from(vec![byte; length]))))
    }

    /// The length of each answer until the end, the error or a pause; the bytes of all of them.
    fn answers(script: Vec<Read>) -> (Vec<usize>, Vec<u8>, Read) {
        let mut script = script.into_iter();
        let (mut joined, mut lengths, mut bytes) = (Joined::default(), Vec::new(), Vec::new());
        loop {
            let answer = joined.poll(|most| {
                let next = script.next().expect("a read after the end, or a pause");
                if let Poll::Ready(Ok(Some(piece))) = &next {
                    assert!(piece.len() <= most, "{} of {most}", piece.len());
                }
                next
            });
            match answer {
                Poll::Ready(Ok(Some(piece))) => {
                    lengths.push(piece.len());
                    bytes.extend_from_slice(&piece);
                }
                other => return (lengths, bytes, other),
            }
        }
    }

    #[test]
    fn pieces_that_packets_cut_are_joined_in_their_order() {
        let script =
            vec![piece(1, 1400), piece(2, 1400), piece(3, 7), Poll::Pending, Poll::Pending];
        let (lengths, bytes, last) = answers(script);
        assert_eq!((lengths, last), (vec![2807], Poll::Pending));
        assert_eq!((bytes[1399], bytes[1400], bytes[2806]), (1, 2, 3));
    }

    #[test]
    fn no_more_is_joined_than_is_taken_at_a_time() {
        let mut script: Vec<_> = (0..64).map(|_| piece(1, 1024)).collect();
        script.extend([piece(2, 1400), Poll::Pending, Poll::Pending]);
        assert_eq!(answers(script).0, [TAKEN_MAX, 1400]);
    }

    #[test]
    fn a_small_piece_waits_for_nothing_and_is_not_copied() {
        let small = Bytes::from(vec![1; CUT_MIN - 1]);
        let answer = Joined::<()>::default().poll(|_| Poll::Ready(Ok(Some(small.clone()))));
        let Poll::Ready(Ok(Some(answer))) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.as_ptr(), small.as_ptr());
    }

    #[test]
    fn the_end_and_an_error_come_after_the_bytes_before_them() {
        let ended = vec![piece(1, 1400), Poll::Ready(Ok(None))];
        assert_eq!(answers(ended).2, Poll::Ready(Ok(None)));
        let broken = vec![piece(1, 1400), piece(1, 1400), Poll::Ready(Err("reset"))];
        assert_eq!(answers(broken), (vec![2800], vec![1; 2800], Poll::Ready(Err("reset"))));
    }
}
