//! Carries one request to the platform and its whole answer back: pooled connections, bounded bodies,
//! bounded waiting, and no redirect ever followed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::url::PlatformUrl;
use crate::roots;

/// From the name to an open connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request to the last byte of its answer.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that are kept: as many as calls are under way at a time.
const IDLE_MAX: usize = 16;
/// A connection that was idle for longer may be closed by the other end at any moment.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Answers of up to so many bytes are read whenever they come.
const SHORT_BYTES_MAX: usize = 1024 * 1024;
/// Of longer ones, so many at a time: 256 MiB at the most, with 16 MiB each.
const LONG_MAX: usize = 16;
/// What of an answer's head is held before it is parsed, bytes.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// The request was not sent; why, as the end of a sentence.
    NotSent(String),
    /// The request was sent, or some of it; why there is no whole answer, as the end of a sentence.
    NoAnswer(String),
}

/// One connection. Dropping it closes it.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Connections to one platform.
#[derive(Debug)]
pub(super) struct Transport {
    url: PlatformUrl,
    idle: Mutex<Vec<Idle>>,
    /// Read when it is first called over https.
    tls: OnceCell<Arc<ClientConfig>>,
    /// For answers that are longer than [`SHORT_BYTES_MAX`].
    long: Semaphore,
}

impl Transport {
    pub(super) fn new(url: PlatformUrl) -> Self {
        Self { url, idle: Mutex::default(), tls: OnceCell::new(), long: Semaphore::new(LONG_MAX) }
    }

    /// Sends `request` and reads its answer, of at most `bytes_max`. What must not be done twice goes
    /// on a connection of its own; anything else is sent again, once, if a kept connection had been
    /// closed. Cancel safe: the connection goes with the call.
    pub(super) async fn exchange(
        &self,
        request: Request<Bytes>,
        bytes_max: usize,
        once: bool,
        patience: Duration,
    ) -> Result<Response<Bytes>, Lost> {
        let kept = if once { None } else { self.kept() };
        if let Some(connection) = kept {
            match self.on(connection, request.clone(), bytes_max, patience).await {
                Err(Lost::NoAnswer(_)) => {}
                answered => return answered,
            }
        }
        let connection = timeout(CONNECT_TIMEOUT, Box::pin(self.open())).await;
        let connection = connection.unwrap_or_else(|_| {
            Err(format!("no connection came about within {} s", CONNECT_TIMEOUT.as_secs()))
        });
        self.on(connection.map_err(Lost::NotSent)?, request, bytes_max, patience).await
    }

    async fn on(
        &self,
        mut connection: Connection,
        request: Request<Bytes>,
        bytes_max: usize,
        patience: Duration,
    ) -> Result<Response<Bytes>, Lost> {
        let request = request.map(Full::new);
        let answered = timeout(patience, async {
            let broke = |error: hyper::Error| format!("the connection broke ({error})");
            let answer = connection.sender.send_request(request).await.map_err(broke)?;
            let (parts, body) = answer.into_parts();
            Ok(Response::from_parts(parts, self.whole(body, bytes_max).await?))
        });
        let answered = answered.await.unwrap_or_else(|_| {
            Err(format!("no whole answer came within {} s", patience.as_secs()))
        });
        if answered.is_ok() {
            self.keep(connection);
        }
        answered.map_err(Lost::NoAnswer)
    }

    /// Reads a body to its end. Of the long ones there are few at a time: all are held in memory.
    async fn whole(&self, mut body: Incoming, bytes_max: usize) -> Result<Bytes, String> {
        let (mut whole, mut long) = (BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("the connection broke ({error})"))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let length = whole.len() + bytes.len();
            if length > bytes_max {
                return Err(format!("the answer is over {bytes_max} bytes"));
            }
            if length > SHORT_BYTES_MAX && long.is_none() {
                long = self.long.acquire().await.ok();
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| {
            idle.since.elapsed() < IDLE_TIMEOUT && idle.connection.sender.is_ready()
        });
        idle.pop().map(|idle| idle.connection)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !connection.sender.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    async fn open(&self) -> Result<Connection, String> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionRefused => "it refuses connections".to_owned(),
            _ => format!("it cannot be connected to ({error})"),
        };
        let stream = TcpStream::connect((self.url.host(), self.url.port())).await;
        let stream = stream.map_err(failed)?;
        // It only makes a good connection a little better.
        let _ = stream.set_nodelay(true);
        if !self.url.is_tls() {
            return begin(stream).await;
        }
        let name = ServerName::try_from(self.url.host().to_owned())
            .map_err(|_| "its host cannot stand in a certificate".to_owned())?;
        let tls = TlsConnector::from(self.tls().await?);
        let stream = tls.connect(name, stream).await;
        begin(stream.map_err(|error| format!("TLS failed ({error})"))?).await
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let read = || async {
            let read = spawn_blocking(roots::client_config).await;
            let mut config = read.unwrap_or_else(|error| Err(error.into()))?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        };
        let config = self.tls.get_or_try_init(read).await.cloned();
        config.map_err(|error: io::Error| format!("the relay has no roots ({error})"))
    }
}

async fn begin<S>(stream: S) -> Result<Connection, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.max_buf_size(READ_BUFFER_BYTES_MAX);
    let begun = http.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = begun.map_err(|error| format!("HTTP failed ({error})"))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // What went wrong is told by the answer.
        let _ = connection.await;
    });
    Ok(Connection { sender, _driver: driver })
}
