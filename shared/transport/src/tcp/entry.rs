//! The driver's side of one stream: carries bytes between the multiplexer and the halves.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use futures::{AsyncWrite, Stream as _};
use shared::limits::{QUIC_CONNECTION_WINDOW, QUIC_STREAM_WINDOW};
use shared::wire::Frame;

use super::farewell;
use super::stream::{Ending, State, Stream};
use super::watch::{Seen, Watch};

/// A stream that the multiplexer knows.
pub(super) struct Entry {
    multiplexed: yamux::Stream,
    pub(super) stream: Arc<Stream>,
    /// The stream's own waker, as the multiplexer takes it.
    waker: Waker,
    pub(super) opening: Opening,
    watch: Watch,
    /// The write that is under way.
    current: VecDeque<Bytes>,
    /// Something has been sent on it.
    answered: bool,
    /// The other end's frames are over, though STOP may follow.
    over: bool,
    told_to_stop: bool,
    told_reset: bool,
    finished: bool,
}

/// How a stream came about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// This end opened it.
    Ours,
    /// The other end did, and nothing has come on it.
    Silent,
    /// The other end did, and it was handed on.
    Theirs,
    /// The other end did, to say farewell; so much has come of that.
    Farewell(BytesMut),
}

/// What a look at a stream brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that concerns others.
    Nothing,
    /// Its first bytes: it may be handed on.
    Arrived,
    /// It is over in both directions.
    Over,
    /// The other end sends without credit.
    Overrun,
}

impl Entry {
    pub(super) fn new(multiplexed: yamux::Stream, stream: Arc<Stream>, opening: Opening) -> Self {
        let waker = Waker::from(Arc::clone(&stream.waker));
        Self {
            multiplexed,
            stream,
            waker,
            opening,
            watch: Watch::default(),
            current: VecDeque::new(),
            answered: false,
            over: false,
            told_to_stop: false,
            told_reset: false,
            finished: false,
        }
    }

    /// Moves what can be moved.
    pub(super) fn pump(&mut self) -> Found {
        self.stream.waker.looked_at();
        let silent = self.opening == Opening::Silent;
        if !self.take_in() {
            return Found::Overrun;
        }
        if silent && self.opening == Opening::Theirs {
            return Found::Arrived;
        }
        if !matches!(self.opening, Opening::Silent | Opening::Farewell(_)) {
            self.send_out();
        }
        let ended = self.stream.lock().ended;
        if ended && self.finished { Found::Over } else { Found::Nothing }
    }

    /// Tells the other end that the stream was noticed: it waits with new ones while too many were not.
    pub(super) fn acknowledge(&mut self) {
        if !self.answered {
            let mut cx = Context::from_waker(&self.waker);
            let empty = Pin::new(&mut self.multiplexed).poll_write(&mut cx, &[]);
            self.answered = empty.is_ready();
        }
    }

    /// Reads all that the multiplexer has, so that STOP and the end are noticed though nobody reads;
    /// false: nobody gave credit for so much.
    pub(super) fn take_in(&mut self) -> bool {
        loop {
            let mut cx = Context::from_waker(&self.waker);
            match Pin::new(&mut self.multiplexed).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(packet))) => {
                    if !self.receive(Bytes::from_owner(packet)) {
                        return false;
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    let mut state = self.stream.lock();
                    if !state.ended && !state.is_lost() {
                        state.ended = true;
                        drop(state);
                        self.stream.wake_all();
                    }
                    return true;
                }
                Poll::Pending => return true,
            }
        }
    }

    fn receive(&mut self, bytes: Bytes) -> bool {
        if self.opening == Opening::Silent {
            let is_farewell = bytes.first() == Some(&farewell::MARK);
            self.opening =
                if is_farewell { Opening::Farewell(BytesMut::new()) } else { Opening::Theirs };
        }
        if let Opening::Farewell(words) = &mut self.opening {
            words.extend_from_slice(&bytes);
            return words.len() <= farewell::BYTES_MAX;
        }
        let (mut stop, over) = (None, &mut self.over);
        self.watch.look(&bytes, |seen| match seen {
            Seen::Stop(code) => stop = Some(code),
            Seen::Over => *over = true,
        });
        let mut state = self.stream.lock();
        if let Some(code) = stop {
            state.stopped.get_or_insert(code);
            // What has not begun is not wanted any more.
            drop_unsent(&mut state);
        }
        let length = bytes.len();
        let mut bounded = true;
        let reader = if state.stop.is_none() {
            let total = self.stream.unread_total.fetch_add(length, Ordering::Relaxed) + length;
            let reader = state.receive(bytes);
            bounded = state.unread.bytes() <= QUIC_STREAM_WINDOW as usize
                && total <= QUIC_CONNECTION_WINDOW as usize;
            reader
        } else {
            None
        };
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        if stop.is_some() {
            self.stream.wake_all();
        }
        bounded
    }

    fn send_out(&mut self) {
        loop {
            self.say_stop();
            if !self.write_current() {
                return;
            }
            let mut state = self.stream.lock();
            if let Some(next) = state.writes.pop_front() {
                self.current = next;
                continue;
            }
            match state.ending {
                Ending::Open => return,
                Ending::Reset(code) if !self.told_reset => {
                    self.told_reset = true;
                    self.current.push_back(frame(&Frame::Reset(code)));
                    continue;
                }
                Ending::Finished | Ending::Reset(_) => {}
            }
            let news = !std::mem::replace(&mut state.delivered, true);
            // STOP may have to follow while the other end's half goes on.
            let may_finish = self.over || self.told_to_stop || state.ended;
            drop(state);
            if news {
                self.stream.fate.notify_waiters();
            }
            if may_finish && !self.finished {
                let mut cx = Context::from_waker(&self.waker);
                let closed = Pin::new(&mut self.multiplexed).poll_close(&mut cx);
                self.finished = closed.is_ready();
            }
            return;
        }
    }

    /// Puts STOP behind the write that is under way, if the other end's half goes on.
    fn say_stop(&mut self) {
        let state = self.stream.lock();
        let Some(code) = state.stop.filter(|_| !self.told_to_stop && !self.finished) else {
            return;
        };
        self.told_to_stop = true;
        if self.over || state.ended {
            return;
        }
        drop(state);
        let bytes = frame(&Frame::Stop(code));
        self.stream.lock().queued += bytes.len();
        self.current.push_back(bytes);
    }

    /// Writes of the current write what goes; false: the rest has to wait.
    fn write_current(&mut self) -> bool {
        let mut sent = 0;
        let all = loop {
            let Some(chunk) = self.current.front_mut() else { break true };
            if chunk.is_empty() {
                self.current.pop_front();
                continue;
            }
            let mut cx = Context::from_waker(&self.waker);
            match Pin::new(&mut self.multiplexed).poll_write(&mut cx, chunk) {
                Poll::Ready(Ok(now)) => {
                    self.answered = true;
                    chunk.advance(now.min(chunk.len()));
                    sent += now;
                }
                // The connection, or the stream, is over: nobody is told of the rest.
                Poll::Ready(Err(_)) => {
                    self.current.clear();
                    self.finished = true;
                    break true;
                }
                Poll::Pending => break false,
            }
        };
        if sent > 0 {
            let room = self.stream.lock().sent(sent);
            if let Some(writer) = room {
                writer.wake();
            }
        }
        all
    }
}

/// Forgets the writes that have not begun.
fn drop_unsent(state: &mut State) {
    let unsent: usize = state.writes.iter().flatten().map(Bytes::len).sum();
    state.queued = state.queued.saturating_sub(unsent);
    state.writes.clear();
}

fn frame(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.put(&mut bytes);
    bytes.freeze()
}
