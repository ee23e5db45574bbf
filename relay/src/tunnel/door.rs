//! Takes links over TLS over TCP in, for one shard: from the first byte to the first message.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use shared::codes::CloseCode;
use shared::limits::{
    ALPN, ALPN_REFUSAL, CONNECTOR_STREAMS_MAX, HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, IN_FLIGHT_MAX,
};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::{StartHandshake, TlsStream};
use transport::tcp::{self, Peer, Role, Streams};
use transport::{Connection, tcp::Driver};

use super::listener::{HANDSHAKES_MAX, PENDING_MAX, Tunnel, carry};
use super::newcomers::network;
use crate::shard::Home;

/// Connections of one source whose first message has not come: the connectors of a site behind one
/// address, and never all that the shard takes.
const PENDING_PER_SOURCE_MAX: usize = PENDING_MAX / 4;
/// Connections that wait between the public listener and the door.
const GUESTS_MAX: usize = 64;
/// After accepting failed, which for want of descriptors it goes on doing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where links over TCP come in, on the tunnel's port and on that of callers.
#[derive(Debug)]
pub struct Door {
    tls: Arc<rustls::ServerConfig>,
    tunnel: Arc<Tunnel>,
    home: Home,
    running: Arc<Semaphore>,
    pending: Arc<Semaphore>,
    sources: Arc<Sources>,
    /// Says that every link ends.
    closing: watch::Receiver<bool>,
}

/// A connection that came to the public listener and asks for a link.
type Guest = (StartHandshake<TcpStream>, SocketAddr);

/// The way from the public listener to the door of its shard.
#[derive(Clone)]
pub struct Guests(mpsc::Sender<Guest>);

impl std::fmt::Debug for Guests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guests")
    }
}

impl Guests {
    /// For the public listener, and for the door.
    pub fn new() -> (Self, mpsc::Receiver<Guest>) {
        let (guests, inbox) = mpsc::channel(GUESTS_MAX);
        (Self(guests), inbox)
    }

    /// Whether the ClientHello asks for a link: no caller offers a protocol of the tunnel.
    pub fn asks_for_link(hello: &ClientHello<'_>) -> bool {
        let mut offered = hello.alpn().into_iter().flatten();
        offered.any(|protocol| protocol == ALPN || protocol == ALPN_REFUSAL)
    }

    /// Hands a connection on. Where too many wait it is closed, and its connector comes again.
    pub fn send(&self, start: StartHandshake<TcpStream>, remote: SocketAddr) {
        if self.0.try_send((start, remote)).is_err() {
            tracing::debug!(%remote, "a connector found no room at the public listener");
        }
    }
}

/// A connection that has not said anything useful yet.
#[derive(Debug)]
struct Place {
    _pending: OwnedSemaphorePermit,
    sources: Arc<Sources>,
    source: IpAddr,
}

/// How many of those each source has.
#[derive(Debug, Default)]
struct Sources(Mutex<HashMap<IpAddr, usize>>);

impl Sources {
    /// Counts one more, unless the source has too many. There are never more sources than connections.
    fn enter(&self, source: IpAddr) -> bool {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        let room = *count < PENDING_PER_SOURCE_MAX;
        *count += usize::from(room);
        room
    }

    fn leave(&self, source: IpAddr) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&source);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sources.leave(self.source);
    }
}

impl Door {
    /// A door of the shard `home`, which serves as `tls` says until `closing` does.
    pub fn new(
        tls: Arc<rustls::ServerConfig>,
        tunnel: Arc<Tunnel>,
        home: Home,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self {
            tls,
            tunnel,
            home,
            running: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            pending: Arc::new(Semaphore::new(PENDING_MAX)),
            sources: Arc::default(),
            closing,
        }
    }

    /// Accepts links until the relay closes them all. Nothing heavy runs in the loop itself: port scans
    /// and half-open handshakes stall nobody.
    ///
    /// `guests` come from the public listener; there may be no listener besides.
    pub async fn run(
        self: Arc<Self>,
        listener: Option<TcpListener>,
        mut guests: mpsc::Receiver<Guest>,
    ) {
        let mut all_close = pin!(self.all_close());
        let mut links = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut all_close => break,
                Some((start, remote)) = guests.recv() => {
                    if let Some(place) = self.place(remote) {
                        links.spawn(Box::pin(Arc::clone(&self).shake(start, remote, place)));
                    }
                }
                accepted = accept(listener.as_ref()) => match accepted {
                    Ok((stream, remote)) => {
                        if let Some(place) = self.place(remote) {
                            // In a box: tokio moves a task's future about, and this one is large.
                            links.spawn(Box::pin(Arc::clone(&self).greet(stream, remote, place)));
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a connector's connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = links.join_next(), if !links.is_empty() => {}
            }
        }
        while links.join_next().await.is_some() {}
    }

    /// Resolves when every link is to end. Cancel safe.
    async fn all_close(&self) {
        // An error means that the shard has ended.
        let _ = self.closing.clone().wait_for(|closing| *closing).await;
    }

    /// A place among those that have not said anything useful; over the limit the connection is closed at
    /// once, and its connector comes again.
    fn place(&self, remote: SocketAddr) -> Option<Place> {
        let pending = Arc::clone(&self.pending).try_acquire_owned().ok()?;
        let source = network(remote.ip());
        let sources = Arc::clone(&self.sources);
        sources.enter(source).then_some(Place { _pending: pending, sources, source })
    }

    /// Waits for the ClientHello: whoever sends none holds up nobody's handshake.
    async fn greet(self: Arc<Self>, stream: TcpStream, remote: SocketAddr, place: Place) {
        // Without it each small answer waits for an acknowledgement; the failure costs only that.
        let _ = stream.set_nodelay(true);
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        match timeout(HANDSHAKE_TIMEOUT, hello).await {
            Ok(Ok(start)) => self.shake(start, remote, place).await,
            Ok(Err(error)) => self.failed(remote, &error),
            Err(_) => self.late(remote),
        }
    }

    /// Goes on with a handshake whose ClientHello has come.
    async fn shake(
        self: Arc<Self>,
        start: StartHandshake<TcpStream>,
        remote: SocketAddr,
        place: Place,
    ) {
        let began;
        let shaken = {
            let Ok(_turn) = self.running.acquire().await else { return };
            began = Instant::now();
            timeout(HANDSHAKE_TIMEOUT, start.into_stream(Arc::clone(&self.tls))).await
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, remote, began.elapsed(), place).await,
            Ok(Err(error)) => self.failed(remote, &error),
            Err(_) => self.late(remote),
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TlsStream<TcpStream>,
        remote: SocketAddr,
        rtt: Duration,
        place: Place,
    ) {
        let (socket, session) = stream.get_ref();
        let Some(protocol) = session.alpn_protocol() else {
            return self.failed(remote, &"no protocol was agreed on");
        };
        // Not every system has it; then the idle limit alone ends a path that has died.
        let _ = SockRef::from(socket).set_tcp_user_timeout(Some(IDLE_TIMEOUT));
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|der| der.clone().into_owned()).collect();
        let peer = Peer { remote, rtt, certificates, protocol: Some(protocol.to_vec()) };
        let streams = Streams { ours: IN_FLIGHT_MAX, theirs: CONNECTOR_STREAMS_MAX as usize };
        let (connection, mut driver) = tcp::start(stream, Role::Relay, streams, peer);
        self.attend(connection.into(), &mut driver, place).await;
    }

    /// Serves the link until it ends, or all do.
    async fn attend(&self, connection: Connection, driver: &mut Driver, place: Place) {
        let (tunnel, home) = (Arc::clone(&self.tunnel), self.home.clone());
        let mut serving = pin!(carry(connection.clone(), tunnel, place, home));
        tokio::select! {
            () = &mut serving => {}
            () = self.all_close() => {
                connection.close(CloseCode::Draining, "the relay shuts down");
                serving.await;
            }
        }
        connection.close(CloseCode::Done, CloseCode::Done.name());
        driver.over().await;
    }

    fn failed(&self, remote: SocketAddr, error: &dyn std::fmt::Display) {
        self.tunnel.metrics.handshakes.failed.inc();
        tracing::debug!(%remote, %error, "a handshake over TCP failed");
    }

    fn late(&self, remote: SocketAddr) {
        self.tunnel.metrics.handshakes.timed_out.inc();
        tracing::debug!(%remote, "a handshake over TCP took too long");
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_has_a_part_of_the_places_and_gives_them_back() {
        let sources = Sources::default();
        let source = IpAddr::from([192, 0, 2, 1]);
        let entered = (0..PENDING_MAX).filter(|_| sources.enter(source)).count();
        assert_eq!(entered, PENDING_PER_SOURCE_MAX);
        assert!(sources.enter([192, 0, 2, 2].into()));
        (0..entered).for_each(|_| sources.leave(source));
        assert_eq!(sources.0.lock().unwrap().len(), 1);
    }
}
