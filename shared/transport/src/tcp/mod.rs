//! Links over TLS over TCP: the streams of one connection through the multiplexer yamux.
//!
//! A driver task owns the socket and the multiplexer; users hold handles, and halves of streams that the
//! driver fills and empties. The multiplexer has no codes, so these travel in frames: see *Links over
//! TCP* in `PROTOCOL.md`. Bodies are bounded by their credit; the bounds in here are for ends that do
//! not keep to it.

mod driver;
mod entry;
mod farewell;
mod halves;
mod pipe;
mod ready;
mod stream;
mod unread;
mod watch;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use shared::codes::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::task::JoinHandle;

use self::driver::Drive;
pub use self::halves::{RecvStream, SendStream};
use self::ready::{Ready, StreamWaker};
use self::stream::Stream;
use crate::ConnectionEnd;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It dialled.
    Connector,
    /// It accepted.
    Relay,
}

/// What the TLS handshake told of the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where it is.
    pub remote: SocketAddr,
    /// The round trip, as the handshake showed it.
    pub rtt: Duration,
    /// The certificates that it showed.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The protocol that was agreed on.
    pub protocol: Option<Vec<u8>>,
}

/// How many streams of each end may be open at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// Those that this end opens.
    pub ours: usize,
    /// Those that the other end opens. Twice as many end the connection: what ends at one end, ends a
    /// little later at the other.
    pub theirs: usize,
}

/// A connection over TCP. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Shared>);

/// What the handles, the streams and the driver of a connection share.
#[derive(Debug)]
struct Shared {
    peer: Peer,
    end: channel::Sender<Option<ConnectionEnd>>,
    ready: Arc<Ready>,
    places: Arc<Semaphore>,
    queues: Mutex<Queues>,
    accepted: Notify,
    names: AtomicU64,
    unread_total: Arc<AtomicUsize>,
    heard: AtomicU64,
}

/// What waits for the driver, or for the users.
#[derive(Debug, Default)]
struct Queues {
    /// Streams that this end opened and the multiplexer does not know yet.
    opened: VecDeque<Arc<Stream>>,
    /// Streams that the other end opened and nobody has taken.
    accepted: VecDeque<Arc<Stream>>,
    /// How the connection is to be closed.
    farewell: Option<(CloseCode, String)>,
}

/// Keeps a connection going. Dropping it closes the connection with `DONE`; the task ends within
/// seconds.
#[derive(Debug)]
pub struct Driver {
    connection: Connection,
    task: JoinHandle<()>,
}

impl Driver {
    /// Resolves when the connection is over, and all that was to be said has been said. Cancel safe.
    pub async fn over(&mut self) {
        // An error means that the runtime ends.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.connection.close(CloseCode::Done, CloseCode::Done.name());
    }
}

/// Begins a connection over `io`, whose TLS handshake is over, on the current runtime.
pub fn start<Io>(io: Io, role: Role, streams: Streams, peer: Peer) -> (Connection, Driver)
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shared = Arc::new(Shared {
        peer,
        end: channel::Sender::new(None),
        ready: Arc::default(),
        places: Arc::new(Semaphore::new(streams.ours)),
        queues: Mutex::default(),
        accepted: Notify::new(),
        names: AtomicU64::new(0),
        unread_total: Arc::default(),
        heard: AtomicU64::new(0),
    });
    let driving = Drive::new(io, role, streams, Arc::clone(&shared));
    // In a box: tokio moves a task's future about, and this one is large.
    let task = tokio::spawn(Box::pin(driving.run()));
    let connection = Connection(shared);
    (connection.clone(), Driver { connection, task })
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream that nobody knows yet.
    fn stream(&self, place: Option<tokio::sync::OwnedSemaphorePermit>) -> Arc<Stream> {
        let name = self.names.fetch_add(1, Ordering::Relaxed);
        let waker = Arc::new(StreamWaker::new(name, Arc::clone(&self.ready)));
        Arc::new(Stream::new(waker, Arc::clone(&self.unread_total), place))
    }

    /// Notes why the connection is over; the first reason stays.
    fn end_with(&self, end: ConnectionEnd) {
        let first = self.end.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert(end);
            first
        });
        if first {
            self.places.close();
            self.accepted.notify_waiters();
        }
    }

    fn over(&self) -> Option<ConnectionEnd> {
        self.end.borrow().clone()
    }
}

impl Connection {
    pub(crate) async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionEnd> {
        let Ok(place) = Arc::clone(&self.0.places).acquire_owned().await else {
            return Err(self.lost());
        };
        let stream = self.0.stream(Some(place));
        self.0.queues().opened.push_back(Arc::clone(&stream));
        if self.0.over().is_some() {
            return Err(self.lost());
        }
        self.0.ready.wake();
        Ok((SendStream(Arc::clone(&stream)), RecvStream(stream)))
    }

    pub(crate) async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionEnd> {
        loop {
            let changed = self.0.accepted.notified();
            let accepted = self.0.queues().accepted.pop_front();
            if let Some(stream) = accepted {
                return Ok((SendStream(Arc::clone(&stream)), RecvStream(stream)));
            }
            if let Some(end) = self.0.over() {
                return Err(end);
            }
            changed.await;
        }
    }

    fn lost(&self) -> ConnectionEnd {
        self.0.over().unwrap_or(ConnectionEnd::Ours)
    }

    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        if self.is_closed() {
            return;
        }
        self.0.queues().farewell.get_or_insert_with(|| (code, reason.to_owned()));
        self.0.end_with(ConnectionEnd::Ours);
        self.0.ready.wake();
    }

    pub(crate) fn close_reason(&self) -> Option<ConnectionEnd> {
        self.0.over()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.end.borrow().is_some()
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.0.peer
    }

    pub(crate) fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
