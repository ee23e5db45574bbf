//! HTTP/2 connections to the local agent, with prior knowledge: gRPC is spoken on nothing else.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::limits::HEADER_LIST_BYTES_MAX;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::pool::dial;
use super::request_body::RequestBody;
use super::server::Server;

/// Streams of one connection before another one is opened: servers allow a hundred as a rule.
const STREAMS_MAX: usize = 100;
/// Connections to one server; further streams wait on the least busy one for their turn.
const CONNECTIONS_MAX: usize = 16;
/// A connection that carries nothing for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Bytes of one answer that the agent may send ahead of us.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// As many unread answers as a connection has streams hold up no other one.
const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * STREAMS_MAX as u32;
/// hyper's own limit of a header list, above ours, which is judged with words.
const HEADER_LIST_BYTES_HARD_MAX: u32 = 2 * HEADER_LIST_BYTES_MAX as u32;

/// A share of a connection: one exchange.
pub(crate) struct Shared {
    sender: SendRequest<RequestBody>,
    /// The connection lives as long as one of its shares, or its place in the pool.
    _tasks: Tasks,
    reused: bool,
}

/// What drives a connection and the bodies on it; it ends with the last handle.
type Tasks = Arc<Mutex<JoinSet<()>>>;

/// Spawns for a connection, as long as that lives.
#[derive(Clone)]
struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let Some(tasks) = self.0.upgrade() else { return };
        let mut tasks = lock(&tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Connection for Shared {
    async fn take(server: &Server) -> Option<Self> {
        server.http2.take()
    }

    async fn connect(server: &Server) -> io::Result<Self> {
        // One at a time, so that a burst of first calls shares what the first of them opens.
        let _turn = server.http2.opening.lock().await;
        if let Some(shared) = server.http2.take() {
            return Ok(shared);
        }
        let stream = dial(&server.origin).await?;
        let tasks = Tasks::default();
        let (sender, connection) = Builder::new(Spawner(Arc::downgrade(&tasks)))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADER_LIST_BYTES_HARD_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        lock(&tasks).spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to the agent broke");
            }
        });
        server.http2.keep(Open {
            sender: sender.clone(),
            tasks: Arc::clone(&tasks),
            used: Instant::now(),
        });
        Ok(Self { sender, _tasks: tasks, reused: false })
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

    fn drive(&mut self, _cx: &mut Context<'_>) {}

    fn failure(&self) -> Option<&hyper::Error> {
        None
    }

    async fn give_back(self, _server: &Server) {}
}

/// A connection that is open.
struct Open {
    sender: SendRequest<RequestBody>,
    tasks: Tasks,
    used: Instant,
}

impl Open {
    /// Exchanges on it: each holds it, as its place here does.
    fn streams(&self) -> usize {
        Arc::strong_count(&self.tasks).saturating_sub(1)
    }
}

/// The open connections to one server.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<Vec<Open>>,
    /// Held by whoever opens one.
    opening: tokio::sync::Mutex<()>,
}

impl Connections {
    /// A share of the least busy connection, unless a new one is better.
    fn take(&self) -> Option<Shared> {
        let mut open = lock(&self.open);
        open.retain(|connection| !connection.sender.is_closed());
        let may_open = open.len() < CONNECTIONS_MAX;
        let least = open.iter_mut().min_by_key(|connection| connection.streams())?;
        if may_open && least.streams() >= STREAMS_MAX {
            return None;
        }
        least.used = Instant::now();
        let (sender, tasks) = (least.sender.clone(), Arc::clone(&least.tasks));
        Some(Shared { sender, _tasks: tasks, reused: true })
    }

    fn keep(&self, connection: Open) {
        let mut open = lock(&self.open);
        if open.len() < CONNECTIONS_MAX {
            open.push(connection);
        }
    }

    /// Closes the connections that have carried nothing for too long.
    pub(crate) fn prune(&self) {
        let now = Instant::now();
        lock(&self.open).retain_mut(|connection| {
            if connection.streams() > 0 {
                connection.used = now;
            }
            !connection.sender.is_closed() && now.duration_since(connection.used) < IDLE_MAX
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks, so a poisoned one is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
