//! HTTP/1.1 connections to the local agent, and those that wait for their next request.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::Connection;
use super::origin::Origin;
use super::patient::Patient;
use super::request_body::RequestBody;
use super::server::Server;

/// A connection idle for longer may be closed by the agent at any moment, so it is not used again.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// Connections that wait at a time: more than one per request of a burst is of no use.
const IDLE_CONNECTIONS_MAX: usize = 64;
/// From SYN to an open connection. Nearby it takes a millisecond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection to the local agent, driven by whoever uses it: dropping it closes it at once.
pub(crate) struct Local {
    sender: SendRequest<RequestBody>,
    /// Boxed, since a connection is large, and goes from hand to hand.
    driver: Box<Driver>,
    reused: bool,
}

struct Driver {
    connection: http1::Connection<TokioIo<Patient<TcpStream>>, RequestBody>,
    ended: Option<Result<(), hyper::Error>>,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.ended.is_none()
            && let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx)
        {
            self.ended = Some(ended);
        }
    }
}

/// Opens a TCP connection to the agent.
pub(crate) async fn dial(origin: &Origin) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(origin.dial()))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection for Local {
    async fn take(server: &Server) -> Option<Self> {
        server.pool.take().await
    }

    async fn connect(server: &Server) -> io::Result<Self> {
        Self::open(&server.origin).await
    }

    fn is_reused(&self) -> bool {
        self.reused
    }

    fn request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>
    + Send
    + use<> {
        self.sender.try_send_request(request)
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.driver.poll(cx);
    }

    fn failure(&self) -> Option<&hyper::Error> {
        self.driver.ended.as_ref()?.as_ref().err()
    }

    async fn give_back(self, server: &Server) {
        server.pool.give_back(self).await;
    }
}

impl Local {
    /// Opens a connection to the agent.
    pub(crate) async fn open(origin: &Origin) -> io::Result<Self> {
        let stream = Patient::new(dial(origin).await?);
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Self { sender, driver: Box::new(Driver { connection, ended: None }), reused: false })
    }

    /// Whether it can take another request: nothing is under way and the agent keeps it open.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        self.driver.poll(cx);
        self.driver.ended.is_none() && self.sender.is_ready() && !self.sender.is_closed()
    }
}

/// The connections that wait for their next request, the latest used last.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<(Local, Instant)>>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<(Local, Instant)>> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was open when it was last looked at.
    pub(crate) async fn take(&self) -> Option<Local> {
        loop {
            let (mut local, since) = self.lock().pop()?;
            if since.elapsed() >= IDLE_MAX {
                self.prune();
                return None;
            }
            if poll_fn(|cx| Poll::Ready(local.poll_idle(cx))).await {
                local.reused = true;
                return Some(local);
            }
        }
    }

    /// Takes a connection back whose answer is complete. One that is not idle is closed.
    pub(crate) async fn give_back(&self, mut local: Local) {
        if poll_fn(|cx| Poll::Ready(local.poll_idle(cx))).await {
            let mut idle = self.lock();
            if idle.len() < IDLE_CONNECTIONS_MAX {
                idle.push((local, Instant::now()));
            }
        }
    }

    /// Closes the connections that have waited for too long.
    pub(crate) fn prune(&self) {
        self.lock().retain(|(_, since)| since.elapsed() < IDLE_MAX);
    }
}
