//! The task that owns a connection: socket, multiplexer and streams.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::AsyncWrite as _;
use shared::codes::CloseCode;
use shared::limits::{IDLE_TIMEOUT, LINK_WRITE_TIMEOUT};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::entry::{Entry, Found, Opening};
use super::farewell;
use super::pipe::PipeEnd;
use super::{Role, Shared, Streams};
use crate::ConnectionEnd;

/// Bytes read of the socket at a time.
const READ_BYTES: usize = 32 * 1024;
/// Bytes that wait for the multiplexer, above which the socket has to wait.
const INBOUND_MAX: usize = 64 * 1024;
/// Streams of the other end that have not been answered, above which it is told that they were noticed:
/// the multiplexer opens no more than 256 such.
const UNANSWERED_MAX: usize = 64;
/// What the multiplexer gives each stream at first, bytes.
const STREAM_WINDOW: usize = 256 * 1024;
/// Windows of all streams together may grow by so much, bytes: the credit that a link can have granted.
const GROWTH_MAX: usize = 128 * 1024 * 1024;
/// For the farewell to leave, and for the other end to take it.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection, as its task holds it. Dropping it ends the connection without a word.
pub(super) struct Drive<Io> {
    io: Io,
    pipe: PipeEnd,
    multiplexer: yamux::Connection<PipeEnd>,
    shared: Arc<Shared>,
    limits: Streams,
    entries: HashMap<u64, Entry>,
    /// Of them, those that the other end opened.
    theirs: usize,
    unanswered: Vec<u64>,
    woken: Vec<u64>,
    heard_at: Instant,
    /// When bytes left last, or nothing waited to.
    wrote_at: Instant,
    clock: Pin<Box<Sleep>>,
}

/// Whether anything was moved.
type Moved = Result<bool, ConnectionEnd>;

impl<Io: AsyncRead + AsyncWrite + Unpin> Drive<Io> {
    pub(super) fn new(io: Io, role: Role, limits: Streams, shared: Arc<Shared>) -> Self {
        let mode = match role {
            Role::Connector => yamux::Mode::Client,
            Role::Relay => yamux::Mode::Server,
        };
        // Streams that have ended at one end, and not yet at the other, have to fit as well.
        let streams = 2 * (limits.ours + limits.theirs) + 2;
        let mut config = yamux::Config::default();
        config.set_max_connection_receive_window(None);
        config.set_max_num_streams(streams);
        config.set_max_connection_receive_window(Some(streams * STREAM_WINDOW + GROWTH_MAX));
        let (pipe, now) = (PipeEnd::default(), Instant::now());
        Self {
            io,
            multiplexer: yamux::Connection::new(pipe.clone(), config, mode),
            pipe,
            shared,
            limits,
            entries: HashMap::new(),
            theirs: 0,
            unanswered: Vec::new(),
            woken: Vec::new(),
            heard_at: now,
            wrote_at: now,
            clock: Box::pin(sleep(IDLE_TIMEOUT)),
        }
    }

    /// Carries the connection to its end.
    pub(super) async fn run(mut self) {
        let end = poll_fn(|cx| self.poll_live(cx)).await;
        self.lose(end);
        let farewell = self.shared.queues().farewell.take();
        // The other end may take it or not; nobody waits for longer.
        let _ = timeout(FAREWELL_TIMEOUT, self.leave(farewell)).await;
    }

    /// Tells everybody that the connection is over; the first reason stays.
    fn lose(&mut self, end: ConnectionEnd) {
        self.shared.end_with(end);
        for entry in self.entries.values_mut() {
            entry.stream.lose();
        }
        let opened = std::mem::take(&mut self.shared.queues().opened);
        opened.iter().for_each(|stream| stream.lose());
    }

    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        self.shared.ready.register(cx.waker());
        loop {
            if self.shared.over().is_some() {
                return Poll::Ready(ConnectionEnd::Ours);
            }
            let moved = self.move_all(cx);
            match moved {
                Ok(true) => {}
                Ok(false) => break,
                Err(end) => return Poll::Ready(end),
            }
        }
        self.poll_clock(cx)
    }

    /// One turn: in from the socket, through the multiplexer and the streams, and out again.
    fn move_all(&mut self, cx: &mut Context<'_>) -> Moved {
        let mut moved = self.fill(cx)?;
        moved |= self.open_streams(cx)?;
        let waiting = self.pipe.lock().inbound.len();
        moved |= self.turn_multiplexer(cx)?;
        moved |= self.pipe.lock().inbound.len() != waiting;
        moved |= self.pump_woken()?;
        moved |= self.flush(cx).map_err(lost)?;
        if self.pipe.lock().gave_up {
            let breach = "the other end broke the protocol of the multiplexer";
            self.shared.queues().farewell = Some((CloseCode::Protocol, breach.into()));
            return Err(ConnectionEnd::Lost(breach.into()));
        }
        Ok(moved)
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Moved {
        let mut pipe = self.pipe.lock();
        if pipe.ended || pipe.inbound.len() >= INBOUND_MAX {
            return Ok(false);
        }
        pipe.inbound.reserve(READ_BYTES);
        // The future keeps no state of its own.
        let read = match pin!(self.io.read_buf(&mut pipe.inbound)).poll(cx) {
            Poll::Ready(read) => read.map_err(lost)?,
            Poll::Pending => return Ok(false),
        };
        pipe.ended = read == 0;
        self.heard_at = Instant::now();
        self.shared.heard.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn open_streams(&mut self, cx: &mut Context<'_>) -> Moved {
        let mut moved = false;
        while !self.shared.queues().opened.is_empty() {
            match self.multiplexer.poll_new_outbound(cx) {
                Poll::Ready(Ok(multiplexed)) => {
                    let Some(stream) = self.shared.queues().opened.pop_front() else { break };
                    stream.waker.notify();
                    let name = stream.waker.stream;
                    self.entries.insert(name, Entry::new(multiplexed, stream, Opening::Ours));
                    // It may have been woken before it was known.
                    self.pump(name)?;
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(ConnectionEnd::Lost(error.to_string())),
                Poll::Pending => break,
            }
        }
        Ok(moved)
    }

    fn turn_multiplexer(&mut self, cx: &mut Context<'_>) -> Moved {
        let mut moved = false;
        loop {
            match self.multiplexer.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(multiplexed))) => {
                    moved = true;
                    let stream = self.shared.stream(None);
                    let name = stream.waker.stream;
                    self.entries.insert(name, Entry::new(multiplexed, stream, Opening::Silent));
                    self.theirs += 1;
                    if self.theirs > 2 * self.limits.theirs {
                        return Err(self.breach("the other end opened too many streams"));
                    }
                    self.unanswered.push(name);
                    self.pump(name)?;
                    self.answer_some();
                }
                Poll::Ready(Some(Err(error))) => return Err(self.end_of(&error.to_string())),
                Poll::Ready(None) => return Err(self.end_of("the other end is gone")),
                Poll::Pending => return Ok(moved),
            }
        }
    }

    /// Lets the other end open more, though nothing has been said to those that it has open.
    fn answer_some(&mut self) {
        if self.unanswered.len() >= UNANSWERED_MAX {
            for name in self.unanswered.drain(..) {
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.acknowledge();
                }
            }
        }
    }

    fn pump_woken(&mut self) -> Moved {
        let mut woken = std::mem::take(&mut self.woken);
        self.shared.ready.take(&mut woken);
        let moved = !woken.is_empty();
        let mut pumped = Ok(());
        for name in woken.drain(..) {
            pumped = pumped.and_then(|()| self.pump(name));
        }
        self.woken = woken;
        pumped.map(|()| moved)
    }

    fn pump(&mut self, name: u64) -> Result<(), ConnectionEnd> {
        // It may have ended before, or not be known to the multiplexer yet.
        let Some(entry) = self.entries.get_mut(&name) else { return Ok(()) };
        match entry.pump() {
            Found::Nothing => {}
            Found::Arrived => {
                let stream = Arc::clone(&entry.stream);
                // Its end, and what its user does, come by its waker.
                stream.waker.notify();
                self.shared.queues().accepted.push_back(stream);
                self.shared.accepted.notify_one();
            }
            Found::Over => {
                let gone = self.entries.remove(&name);
                let was_theirs = gone.is_some_and(|entry| entry.opening != Opening::Ours);
                self.theirs -= usize::from(was_theirs);
            }
            Found::Overrun => {
                return Err(self.breach("the other end sent more than it had credit for"));
            }
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        let mut pipe = self.pipe.lock();
        while !pipe.outbound.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, &pipe.outbound)?
            else {
                return Ok(moved);
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            pipe.outbound.advance(written);
            self.wrote_at = Instant::now();
            moved = true;
        }
        if Pin::new(&mut self.io).poll_flush(cx)?.is_ready() {
            self.wrote_at = Instant::now();
        }
        Ok(moved)
    }

    /// Ends a connection on which nothing comes, or from which nothing is taken.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        loop {
            let (silent, stuck) =
                (self.heard_at + IDLE_TIMEOUT, self.wrote_at + LINK_WRITE_TIMEOUT);
            let now = Instant::now();
            if now >= silent {
                return Poll::Ready(ConnectionEnd::Lost("nothing came for 20 s".into()));
            }
            let waiting = !self.pipe.lock().outbound.is_empty();
            if waiting && now >= stuck {
                return Poll::Ready(ConnectionEnd::Lost("nothing was taken for 30 s".into()));
            }
            let next = if waiting { silent.min(stuck) } else { silent };
            if self.clock.deadline() != next {
                self.clock.as_mut().reset(next);
            }
            ready!(self.clock.as_mut().poll(cx));
        }
    }

    fn breach(&self, what: &str) -> ConnectionEnd {
        self.shared.queues().farewell = Some((CloseCode::Protocol, what.to_owned()));
        ConnectionEnd::Lost(what.to_owned())
    }

    /// The multiplexer is over: by the other end's farewell, if there was one. What came before it can
    /// still be read.
    fn end_of(&mut self, error: &str) -> ConnectionEnd {
        let mut told = None;
        for entry in self.entries.values_mut() {
            // Streams that were cut with the connection have not ended.
            entry.stream.lose();
            entry.take_in();
            if let Opening::Farewell(words) = &entry.opening {
                told = told.or_else(|| farewell::decode(words));
            }
        }
        match told {
            Some((code, reason)) => ConnectionEnd::Closed { code, reason },
            None => ConnectionEnd::Lost(error.to_owned()),
        }
    }

    /// Says why, ends the multiplexer and the socket, and reads on until the other end has done so too:
    /// closing a socket with unread bytes would take the last words back.
    async fn leave(&mut self, farewell: Option<(CloseCode, String)>) -> io::Result<()> {
        if let Some((code, reason)) = farewell {
            let mut words = farewell::encode(code, &reason);
            poll_fn(|cx| {
                let Poll::Ready(Ok(mut stream)) = self.multiplexer.poll_new_outbound(cx) else {
                    return Poll::Ready(());
                };
                while !words.is_empty() {
                    match Pin::new(&mut stream).poll_write(cx, &words) {
                        Poll::Ready(Ok(now)) => words.advance(now),
                        _ => break,
                    }
                }
                // An error means that the connection is gone.
                let _ = Pin::new(&mut stream).poll_close(cx);
                Poll::Ready(())
            })
            .await;
        }
        poll_fn(|cx| {
            loop {
                let closed = self.multiplexer.poll_close(cx).is_ready();
                let moved = self.flush(cx)?;
                let empty = self.pipe.lock().outbound.is_empty();
                if closed && empty {
                    return Poll::Ready(io::Result::Ok(()));
                }
                if !moved {
                    return Poll::Pending;
                }
            }
        })
        .await?;
        poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await?;
        let mut rest = BytesMut::with_capacity(READ_BYTES);
        while self.io.read_buf(&mut rest).await? > 0 {
            rest.clear();
        }
        Ok(())
    }
}

impl<Io> Drop for Drive<Io> {
    fn drop(&mut self) {
        self.shared.end_with(ConnectionEnd::Lost("the connection was dropped".into()));
        for entry in self.entries.values() {
            entry.stream.lose();
        }
    }
}

fn lost(error: io::Error) -> ConnectionEnd {
    ConnectionEnd::Lost(error.to_string())
}
