//! A shard: one thread with a runtime of its own, its share of the links and of the callers.
//!
//! A QUIC endpoint driven by one single-threaded runtime costs a quarter of one whose tasks wander
//! between threads, so work is never stolen: what a shard accepts, it keeps, but for the requests that
//! are for a link of another shard, which are handed to that one.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use quinn::{Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime, VarInt};
use shared::codes::CloseCode;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::edge::connection::Tls;
use crate::edge::{self, Edge};
use crate::tunnel::door::{Door, Guests};
use crate::tunnel::listener::{self, Tunnel};
use crate::tunnel::steering::Mailbox;

/// What open requests may still take once the relay is told to stop.
pub const GRACE: Duration = Duration::from_secs(30);
/// Patience for the closing of links to be acknowledged.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What one shard is made of. Its sockets are bound already.
#[derive(Debug)]
pub struct Parts {
    /// Its number, from 0.
    pub number: u8,
    /// For callers.
    pub http: TcpListener,
    /// For connectors.
    pub tunnel_socket: UdpSocket,
    /// For connectors that come over TCP; `None` where the public listener takes them.
    pub tunnel_tcp: Option<TcpListener>,
    /// How those are accepted.
    pub link_tls: Arc<rustls::ServerConfig>,
    /// To the other shards' sockets.
    pub mailbox: Mailbox,
    /// The endpoint's keys.
    pub endpoint: EndpointConfig,
    /// How connectors are accepted.
    pub server: ServerConfig,
    /// What links share.
    pub tunnel: Arc<Tunnel>,
    /// What callers share.
    pub edge: Arc<Edge>,
    /// The public listener's TLS, if it has any.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Says when to stop.
    pub stop: watch::Receiver<bool>,
    /// Where the shards wait for each other: a link carries requests of every shard's callers.
    pub answered: Arc<Barrier>,
}

/// Where a link lives: its shard, and the runtime of that shard's thread.
#[derive(Debug, Clone)]
pub struct Home {
    shard: u8,
    runtime: Handle,
}

impl Home {
    /// The runtime that this runs on is that of `shard`.
    pub fn here(shard: u8) -> Self {
        Self { shard, runtime: Handle::current() }
    }

    /// The shard's number.
    pub const fn shard(&self) -> u8 {
        self.shard
    }

    /// Where its tasks are spawned.
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Starts a shard's thread; it ends when it was told to stop and its requests are answered.
pub fn start(parts: Parts) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    std::thread::Builder::new().name(format!("shard-{}", parts.number)).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(parts))
    })
}

async fn run(parts: Parts) -> std::io::Result<()> {
    let Parts {
        number,
        http,
        tunnel_socket,
        tunnel_tcp,
        link_tls,
        mailbox,
        endpoint,
        server,
        tunnel,
        edge,
        tls,
        stop,
        answered,
    } = parts;
    let home = Home::here(number);
    tunnel.metrics.watch(home.clone());
    let runtime = Arc::new(TokioRuntime);
    let socket = mailbox.steer(runtime.wrap_udp_socket(tunnel_socket)?);
    let endpoint = Endpoint::new_with_abstract_socket(endpoint, Some(server), socket, runtime)?;
    http.set_nonblocking(true)?;
    let http = tokio::net::TcpListener::from_std(http)?;
    let (close, closing) = watch::channel(false);
    let door = Arc::new(Door::new(link_tls, Arc::clone(&tunnel), home.clone(), closing));
    let mut links = JoinSet::new();
    links.spawn(listener::run(endpoint.clone(), tunnel, home));
    let tunnel_tcp = tunnel_tcp.map(tokio::net::TcpListener::from_std).transpose()?;
    let (guests, inbox) = Guests::new();
    links.spawn(door.run(tunnel_tcp, inbox));
    let mut stopping = stop.clone();
    let tls = tls.map(|callers| Tls { callers, guests });
    let callers = edge::listener::run(http, edge, number, tls, stop);
    let all = async {
        callers.await;
        answered.wait().await;
    };
    let mut all = std::pin::pin!(all);
    tokio::select! {
        () = &mut all => {}
        _ = stopping.wait_for(|stop| *stop) => {
            if timeout(GRACE, all).await.is_err() {
                tracing::warn!(grace_s = GRACE.as_secs(), "open requests were cut at the end of their grace");
            }
        }
    }
    endpoint.close(VarInt::from_u32(CloseCode::Draining.number()), b"the relay shuts down");
    // An error means that nobody waits for it.
    let _ = close.send(true);
    // The links' own tasks end with their endpoint.
    let _ = timeout(CLOSE_TIMEOUT, async { while links.join_next().await.is_some() {} }).await;
    let _ = timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await;
    Ok(())
}
