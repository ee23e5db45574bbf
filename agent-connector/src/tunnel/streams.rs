//! The request streams of one link: accepts them, counts them, and stops them with the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use quinn::{Connection, RecvStream, SendStream};
use shared::codes::AbortCode;
use shared::flow::LinkFlow;
use shared::limits::IN_FLIGHT_MAX;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::forward::{Agent, exchange};

/// The open exchanges of a link. Dropping it stops them all.
pub(crate) struct Streams {
    count: Arc<Count>,
    /// The task that accepts; it owns those of the exchanges.
    _acceptor: JoinSet<()>,
}

#[derive(Default)]
struct Count {
    /// Exchanges whose answer is not out yet.
    open: AtomicUsize,
    /// Exchanges whose answer the relay does not have yet.
    undelivered: AtomicUsize,
    refusing: AtomicBool,
    last_exchange: AtomicU64,
    idle: Notify,
}

/// Counts one open exchange.
struct Place(Arc<Count>);

impl Place {
    /// A place, unless all are taken.
    fn enter(count: &Arc<Count>) -> Option<Self> {
        let before = count.open.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(count));
        (before < IN_FLIGHT_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one answer until the relay has it: closing the link would discard the rest.
struct Undelivered(Arc<Count>);

impl Undelivered {
    fn enter(count: &Arc<Count>) -> Self {
        count.undelivered.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        if self.0.undelivered.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Streams {
    /// Accepts the relay's streams until the link is lost.
    pub(crate) fn accept(connection: Connection, flow: LinkFlow, agent: Arc<Agent>) -> Self {
        let count = Arc::new(Count::default());
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(connection, flow, agent, Arc::clone(&count)));
        Self { count, _acceptor: acceptor }
    }

    /// How many exchanges are open.
    pub(crate) fn open(&self) -> usize {
        self.count.open.load(Ordering::Relaxed)
    }

    /// Refuses new exchanges from now on; answers the counter of the last one that was begun.
    pub(crate) fn refuse_new(&self) -> u64 {
        self.count.refusing.store(true, Ordering::Relaxed);
        self.count.last_exchange.load(Ordering::Relaxed)
    }

    /// Resolves once the relay has every answer. Cancel safe.
    pub(crate) fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        let count = Arc::clone(&self.count);
        async move {
            loop {
                let notified = count.idle.notified();
                if count.undelivered.load(Ordering::Relaxed) == 0 {
                    return;
                }
                notified.await;
            }
        }
    }
}

async fn accept(connection: Connection, flow: LinkFlow, agent: Arc<Agent>, count: Arc<Count>) {
    let mut exchanges = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((send, recv)) => begin(&mut exchanges, send, recv, &flow, &agent, &count),
                // The control stream tells why.
                Err(_) => return,
            },
            Some(_) = exchanges.join_next(), if !exchanges.is_empty() => {}
        }
    }
}

fn begin(
    exchanges: &mut JoinSet<()>,
    send: SendStream,
    recv: RecvStream,
    flow: &LinkFlow,
    agent: &Arc<Agent>,
    count: &Arc<Count>,
) {
    let undelivered = Undelivered::enter(count);
    let (code, message) = if count.refusing.load(Ordering::Relaxed) {
        (AbortCode::Refused, "The agent's connector is shutting down. Try again in a moment.")
    } else if let Some(place) = Place::enter(count) {
        let (flow, agent, count) = (flow.clone(), Arc::clone(agent), Arc::clone(count));
        exchanges.spawn(async move {
            let _undelivered = undelivered;
            let begun = |counter| {
                count.last_exchange.fetch_max(counter, Ordering::Relaxed);
            };
            exchange::run(send, recv, &flow, &agent, begun, place).await;
        });
        return;
    } else {
        (AbortCode::Busy, "The agent's connector has 4,096 exchanges open. Try again later.")
    };
    exchanges.spawn(async move {
        let _undelivered = undelivered;
        // Kept until the refusal is out: dropping it stops the request.
        let _recv = recv;
        exchange::refuse(send, code, message).await;
    });
}
