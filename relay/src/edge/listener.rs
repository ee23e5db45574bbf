//! Accepts callers on one shard, serves HTTP/1.1 to them, and lets them go politely.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::service::Edge;
use super::watch::{Watch, Watched};

/// Connections of callers that one shard holds.
const CONNECTIONS_MAX: usize = 16 * 1024;
/// A connection without a request is kept this long.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of an answer that hyper may gather: more would hide from us that a caller has stopped.
const BUFFER_BYTES_MAX: usize = 128 * 1024;
/// After accepting failed, which for want of descriptors it goes on doing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is read of a caller that still sends while its answer is out, so that it can read it.
const LINGER_BYTES_MAX: u64 = 256 * 1024;
/// And for how long.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves callers until `stop` says so, then until the requests that are open by then are answered.
/// Callers that come in between are told that the relay drains.
pub async fn run(listener: TcpListener, edge: Arc<Edge>, mut stop: watch::Receiver<bool>) {
    let mut callers =
        Callers { room: Arc::new(Semaphore::new(CONNECTIONS_MAX)), edge, stop: stop.clone() };
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
    edge: Arc<Edge>,
    stop: watch::Receiver<bool>,
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
                let serving = serve(stream, remote, Arc::clone(&self.edge), self.stop.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a caller's connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection.
async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    edge: Arc<Edge>,
    mut stop: watch::Receiver<bool>,
) {
    // Without it each small answer waits for an acknowledgement; the failure costs only that.
    let _ = stream.set_nodelay(true);
    let watch = Arc::new(Watch::default());
    let service = service_fn(|request| {
        let (edge, serving) = (Arc::clone(&edge), watch.serve());
        Box::pin(async move {
            let response = edge.answer(request, remote.ip()).await;
            Ok::<_, Infallible>(response.map(|body| body.serving(serving)))
        })
    });
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&watch)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE_TIMEOUT)
        .half_close(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(io, service);
    let ended = {
        let mut overdue = pin!(watch.overdue());
        // One that comes during the drain hears of it before it is closed.
        let mut draining = *stop.borrow();
        loop {
            tokio::select! {
                ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
                why = &mut overdue => {
                    return tracing::debug!(%remote, ?why, "a caller's connection was ended");
                }
                _ = stop.changed(), if !draining => {
                    draining = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    };
    match ended {
        Ok(()) => linger(connection.into_parts().io.into_inner().into_inner()).await,
        Err(error) => tracing::debug!(%remote, %error, "a caller's connection broke"),
    }
}

/// Closes the sending side and reads what still comes, for a moment: closing with unread bytes
/// resets the connection, and takes an answer along that is still on its way (RFC 9112, 9.6).
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_ok() {
        let rest = async {
            let mut rest = (&mut stream).take(LINGER_BYTES_MAX);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        };
        let _ = timeout(LINGER_TIMEOUT, rest).await;
    }
}
