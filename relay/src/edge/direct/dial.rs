//! Opens a connection to an agent's own URL: looked up once, judged, dialled, verified.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::patient::Patient;
use super::upload::Upload;
use crate::direct_url::{DirectUrl, Rule, Rules};
use crate::roots;

/// From the name to an open connection, certificate and all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one of several addresses, so that one that drops packets leaves time for the next.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of a host that are tried. All of them are judged.
const TRIES: usize = 4;
/// Names that are looked up at a time. Each lookup has a thread for as long as the system takes.
const LOOKUPS_MAX: usize = 32;
/// Silence after which the system asks whether the other host is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// What of an answer's head is held before it is parsed, bytes: above our own limit of 32 KiB.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Why no connection came about, for a sentence that begins "cannot be called at its own URL:".
#[derive(Debug)]
pub(super) enum Unreached {
    /// It was not to be.
    Broken(Rule),
    /// It was tried.
    Failed(String),
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(rule) => rule.fmt(f),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<Rule> for Unreached {
    fn from(rule: Rule) -> Self {
        Self::Broken(rule)
    }
}

fn failed(what: &str, error: &io::Error) -> Unreached {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreached::Failed("it refuses connections".into()),
        _ => Unreached::Failed(format!("{what} ({error})")),
    }
}

/// Opens connections. One for the process.
#[derive(Debug)]
pub(super) struct Dialler {
    lookups: Arc<Semaphore>,
    /// Read when the first agent is called over https.
    tls: OnceCell<Arc<ClientConfig>>,
}

impl Default for Dialler {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)), tls: OnceCell::new() }
    }
}

impl Dialler {
    /// Opens a connection within 5 s. Cancel safe.
    pub(super) async fn open(
        &self,
        url: &DirectUrl,
        rules: &Rules,
    ) -> Result<Connection, Unreached> {
        let opening = Box::pin(self.try_open(url, rules));
        timeout(CONNECT_TIMEOUT, opening).await.unwrap_or_else(|_| {
            let seconds = CONNECT_TIMEOUT.as_secs();
            Err(Unreached::Failed(format!("no connection came about within {seconds} s")))
        })
    }

    async fn try_open(&self, url: &DirectUrl, rules: &Rules) -> Result<Connection, Unreached> {
        let addresses = match url.ip() {
            Some(ip) => vec![SocketAddr::new(ip, url.port)],
            None => self.look_up(&url.host, url.port).await?,
        };
        // From here on only what was judged is used: a second lookup could tell something else.
        rules.judge_addresses(&addresses)?;
        let stream = connect(&addresses).await?;
        judge_ends(&stream, rules)?;
        if !url.tls {
            return Connection::begin(stream).await;
        }
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| Unreached::Failed("its host cannot stand in a certificate".into()))?;
        let tls = TlsConnector::from(self.tls().await?);
        let stream = tls.connect(name, stream).await;
        Connection::begin(stream.map_err(|error| failed("TLS failed", &error))?).await
    }

    /// Every address of a name; at least one.
    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreached> {
        let nowhere = |_| Unreached::Failed("its name was not looked up".into());
        let place = Arc::clone(&self.lookups).acquire_owned().await.map_err(nowhere)?;
        let host = host.to_owned();
        let asked = spawn_blocking(move || {
            let _place = place;
            (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        let found: io::Result<Vec<SocketAddr>> =
            asked.await.unwrap_or_else(|error| Err(error.into()));
        match found {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            Ok(_) | Err(_) => Err(Unreached::Failed("its host's name has no address".into())),
        }
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, Unreached> {
        let read = || async {
            let read = spawn_blocking(roots::client_config).await;
            let mut config = read.unwrap_or_else(|error| Err(error.into()))?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        };
        let config = self.tls.get_or_try_init(read).await;
        config.cloned().map_err(|error: io::Error| failed("the relay has no roots", &error))
    }
}

/// Connects to the first address that takes a connection.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Unreached> {
    let alone = addresses.len() == 1;
    let mut last = Unreached::Failed("no address took a connection in time".into());
    for address in addresses.iter().take(TRIES) {
        let patience = if alone { CONNECT_TIMEOUT } else { TRY_TIMEOUT };
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = failed("it cannot be connected to", &error),
            Err(_) => {}
        }
    }
    Err(last)
}

fn judge_ends(stream: &TcpStream, rules: &Rules) -> Result<(), Unreached> {
    let ends = stream.local_addr().and_then(|local| Ok((local, stream.peer_addr()?)));
    let (local, remote) = ends.map_err(|error| failed("its connection broke", &error))?;
    rules.judge_connection(local, remote)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    // Both only make a good connection a little better.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    Ok(())
}

/// One connection, for one request. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Upload>,
    driver: JoinSet<()>,
}

impl Connection {
    async fn begin<S>(stream: S) -> Result<Self, Unreached>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.max_buf_size(READ_BUFFER_BYTES_MAX);
        let begun = http.handshake(TokioIo::new(Patient::new(stream))).await;
        let (sender, connection) = begun.map_err(|error| Unreached::Failed(error.to_string()))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What went wrong is told by the answer.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Sends the request; resolves with the head of its answer.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + use<> {
        self.sender.send_request(request)
    }

    /// Closes it and waits until all that it held is dropped.
    pub(super) async fn close(self) {
        let Self { sender, mut driver } = self;
        drop(sender);
        driver.shutdown().await;
    }
}
