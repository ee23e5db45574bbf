//! One caller's connection: TLS where the listener has it, then HTTP/1.1 or HTTP/2.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::http2;
use super::service::Edge;
use super::watch::{HEAD_TIMEOUT, IDLE_TIMEOUT, Watch, Watched};
use crate::tunnel::door::Guests;

/// Bytes of an answer that hyper may gather: more would hide from us that a caller has stopped.
pub(super) const BUFFER_BYTES_MAX: usize = 128 * 1024;
/// From the first byte to the end of the TLS handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// The first read of a connection, bytes: it holds the whole of a usual request's head.
const FIRST_READ_BYTES: usize = 1024;
/// What a connection that comes during the drain has for its first byte, or its handshake.
const LATE_PATIENCE: Duration = Duration::from_secs(2);
/// With these an HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read of a caller that still sends while its answer is out, so that it can read it.
const LINGER_BYTES_MAX: u64 = 256 * 1024;
/// And for how long.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// TLS of the public listener, on which connectors may ask for a link as well.
#[derive(Debug, Clone)]
pub struct Tls {
    /// How callers are served.
    pub callers: Arc<rustls::ServerConfig>,
    /// Where connectors are handed to.
    pub guests: Guests,
}

/// What a connection needs of its relay.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) edge: Arc<Edge>,
    /// The shard that serves it.
    pub(super) shard: u8,
    /// How it shows who it is, where the listener has TLS.
    pub(super) tls: Option<Tls>,
    /// Says when to stop.
    pub(super) stop: watch::Receiver<bool>,
    /// Whether the connection came during the drain.
    pub(super) late: bool,
}

impl Host {
    /// Resolves when the drain begins, or is under way: then one that has said nothing ends. Whoever
    /// comes during it has a moment to ask, and hears of it. Cancel safe.
    async fn drains(&mut self) {
        if self.late {
            return sleep(LATE_PATIENCE).await;
        }
        // An error means that the relay has ended.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Serves one connection until its caller leaves, breaks the rules, or is overdue.
pub(super) async fn serve(stream: TcpStream, remote: SocketAddr, mut host: Host) {
    host.late = *host.stop.borrow();
    // Without it each small answer waits for an acknowledgement; the failure costs only that.
    let _ = stream.set_nodelay(true);
    let Some(tls) = host.tls.clone() else {
        return serve_plain(stream, remote, host).await;
    };
    let shaken = tokio::select! {
        biased;
        shaken = timeout(TLS_TIMEOUT, shake(stream, remote, &tls)) => shaken,
        () = host.drains() => return,
    };
    match shaken {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(stream))) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            serve_http2(stream, remote, host).await;
        }
        Ok(Ok(Some(stream))) => serve_http1(stream, Bytes::new(), remote, host).await,
        Ok(Err(error)) => tracing::debug!(%remote, %error, "a caller's TLS handshake failed"),
        Err(_) => tracing::debug!(%remote, "a caller's TLS handshake took too long"),
    }
}

/// Shakes hands with a caller; `None`: it was a connector, which needs another certificate.
async fn shake(
    stream: TcpStream,
    remote: SocketAddr,
    tls: &Tls,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    if Guests::asks_for_link(&start.client_hello()) {
        tls.guests.send(start, remote);
        return Ok(None);
    }
    start.into_stream(Arc::clone(&tls.callers)).await.map(Some)
}

/// Without TLS nothing is negotiated: whoever begins with the preface speaks HTTP/2 (RFC 9113, 3.3).
async fn serve_plain(mut stream: TcpStream, remote: SocketAddr, mut host: Host) {
    match first_bytes(&mut stream, &mut host).await {
        Ok(begun) if begun.starts_with(PREFACE) => {
            http2::serve(stream, begun, remote, host).await;
        }
        Ok(begun) => serve_http1(stream, begun, remote, host).await,
        Err(error) => tracing::debug!(%remote, %error, "a caller's connection never began"),
    }
}

/// Serves HTTP/2 once the caller has begun: before that, hyper does not end it for a drain.
async fn serve_http2(mut stream: TlsStream<TcpStream>, remote: SocketAddr, mut host: Host) {
    match first_bytes(&mut stream, &mut host).await {
        Ok(begun) => http2::serve(stream, begun, remote, host).await,
        Err(error) => tracing::debug!(%remote, %error, "a caller's connection never began"),
    }
}

/// Reads until it is clear whether the connection begins with the preface. An error, too, where
/// nothing came before the drain.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin), host: &mut Host) -> io::Result<Bytes> {
    let mut begun = BytesMut::with_capacity(FIRST_READ_BYTES);
    tokio::select! {
        biased;
        begins = timeout(IDLE_TIMEOUT, stream.read_buf(&mut begun)) => begins??,
        () = host.drains() => return Err(io::Error::other("the relay drains")),
    };
    let rest = async {
        let mut more = !begun.is_empty();
        while more && begun.len() < PREFACE.len() && PREFACE.starts_with(&begun) {
            more = stream.read_buf(&mut begun).await? > 0;
        }
        io::Result::Ok(())
    };
    timeout(HEAD_TIMEOUT, rest).await??;
    Ok(begun.freeze())
}

/// Serves HTTP/1.1. `begun` was read of the connection already.
async fn serve_http1<T>(stream: T, begun: Bytes, remote: SocketAddr, mut host: Host)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Arc::new(Watch::of_requests());
    let edge = &host.edge;
    let caller = Arc::new(edge.caller(remote.ip(), host.shard));
    let service = service_fn(|request| {
        let (edge, caller, serving) = (Arc::clone(edge), Arc::clone(&caller), watch.serve());
        Box::pin(async move {
            let response = edge.answer(request, &caller).await;
            Ok::<_, Infallible>(response.map(|body| body.serving(serving)))
        })
    });
    let io = TokioIo::new(Watched::new(stream, begun, Arc::clone(&watch)));
    // No timer of hyper's: the watch has the limits of a head and of an idle connection.
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(io, service);
    let ended = {
        let mut overdue = pin!(watch.overdue());
        // One that comes during the drain hears of it before it is closed.
        let mut draining = *host.stop.borrow();
        loop {
            tokio::select! {
                ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
                why = &mut overdue => {
                    return tracing::debug!(%remote, ?why, "a caller's connection was ended");
                }
                _ = host.stop.changed(), if !draining => {
                    draining = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
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
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    if stream.shutdown().await.is_ok() {
        let rest = async {
            let mut rest = (&mut stream).take(LINGER_BYTES_MAX);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        };
        let _ = timeout(LINGER_TIMEOUT, rest).await;
    }
}
