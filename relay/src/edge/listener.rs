//! Accepts callers on one shard, and lets them go politely.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::{self, Host, Tls};
use super::service::Edge;

/// Connections of callers that one shard holds.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// After accepting failed, which for want of descriptors it goes on doing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// It is told no more often than this: one line per shortage, not one per attempt.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);

/// Serves callers until `stop` says so, then until the requests that are open by then are answered.
/// Callers that come in between are told that the relay drains.
pub async fn run(
    listener: TcpListener,
    edge: Arc<Edge>,
    shard: u8,
    tls: Option<Tls>,
    mut stop: watch::Receiver<bool>,
) {
    let host = Host { edge, shard, tls, stop: stop.clone(), late: false };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut callers = Callers { room, host, complained: None };
    let mut connections = JoinSet::new();
    while !*stop.borrow() {
        tokio::select! {
            _ = stop.changed() => {}
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => callers.take(accepted, &mut connections).await,
        }
    }
    let mut late = JoinSet::new();
    while !connections.is_empty() {
        tokio::select! {
            _ = connections.join_next() => {}
            Some(_) = late.join_next(), if !late.is_empty() => {}
            accepted = listener.accept() => callers.take(accepted, &mut late).await,
        }
    }
}

/// Takes callers in, while there is room.
struct Callers {
    room: Arc<Semaphore>,
    host: Host,
    /// When it was last told that accepting failed.
    complained: Option<Instant>,
}

impl Callers {
    async fn take(
        &mut self,
        accepted: std::io::Result<(TcpStream, SocketAddr)>,
        connections: &mut JoinSet<()>,
    ) {
        match accepted {
            Ok((stream, remote)) => {
                // Over the limit the connection is closed at once: its caller tries elsewhere.
                let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else { return };
                let serving = connection::serve(stream, remote, self.host.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                if self.complained.is_none_or(|then| then.elapsed() > COMPLAINT_EVERY) {
                    tracing::warn!(%error, "a caller's connection could not be accepted");
                    self.complained = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
