//! Takes the agent's connections on loopback and speaks HTTP/1.1 with each.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Platform;
use super::watch::{Watch, Watched};

/// Connections at a time: twice as many as calls, for those that wait between two of them.
const CONNECTIONS_MAX: usize = 128;
/// Bytes of an answer that hyper may gather: more would hide from us that the agent has stopped.
const BUFFER_BYTES_MAX: usize = 128 * 1024;
/// What is read of an agent that still sends while its answer is out, so that it can read it.
const LINGER_BYTES_MAX: u64 = 256 * 1024;
/// And for how long.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// After the system refused another connection: it has no descriptors left, and will have some soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until this is dropped.
pub(super) async fn serve(listener: TcpListener, platform: Arc<Platform>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_one(stream, Arc::clone(&platform)));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection to the platform was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Serves one connection until the agent leaves, breaks the rules, or is overdue.
async fn serve_one(stream: TcpStream, platform: Arc<Platform>) {
    // Without it each small answer waits for an acknowledgement; the failure costs only that.
    let _ = stream.set_nodelay(true);
    let watch = Watch::new();
    let service = service_fn(|request| {
        let (platform, serving) = (Arc::clone(&platform), watch.serve());
        Box::pin(async move {
            let response = platform.answer(request).await;
            Ok::<_, Infallible>(response.map(|body| body.serving(serving)))
        })
    });
    // No timer of hyper's: the watch has the limits of a head and of an idle connection.
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(&watch))), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = watch.overdue() => {
            return tracing::debug!("a connection to the platform was overdue");
        }
    };
    match ended {
        Ok(()) => linger(connection.into_parts().io.into_inner().into_inner()).await,
        Err(error) => tracing::debug!(%error, "a connection to the platform broke"),
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
