//! The request streams of one link: accepts them, counts them, and stops them with the link.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::codes::AbortCode;
use shared::flow::LinkFlow;
use shared::limits::IN_FLIGHT_MAX;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use transport::{Connection, RecvStream, SendStream};

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
    /// Tasks that have not ended.
    under_way: AtomicUsize,
    /// The answers that were finished last, which the relay may not have yet.
    finished: Mutex<VecDeque<SendStream>>,
    door: Mutex<Door>,
    idle: Notify,
}

/// What may begin. One lock, so that no exchange begins behind the number that DRAIN tells.
#[derive(Default)]
struct Door {
    closed: bool,
    /// The highest counter of those that were begun.
    last_exchange: u64,
}

impl Door {
    /// Lets the exchange with this counter begin, unless DRAIN says that it was not begun.
    fn begin(&mut self, counter: u64) -> bool {
        if self.closed {
            return counter <= self.last_exchange;
        }
        self.last_exchange = self.last_exchange.max(counter);
        true
    }

    const fn close(&mut self) -> u64 {
        self.closed = true;
        self.last_exchange
    }
}

impl Count {
    fn door(&self) -> MutexGuard<'_, Door> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self) -> MutexGuard<'_, VecDeque<SendStream>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers an answer that is out.
    fn keep(&self, answer: SendStream) {
        let mut finished = self.finished();
        // All that were open may have been finished within one round trip.
        if finished.len() >= IN_FLIGHT_MAX {
            finished.pop_front();
        }
        finished.push_back(answer);
    }
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

/// Counts one task.
struct UnderWay(Arc<Count>);

impl UnderWay {
    fn enter(count: &Arc<Count>) -> Self {
        count.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
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
        self.count.door().close()
    }

    /// Resolves once the relay has every answer: closing the link would discard the rest. Cancel
    /// safe.
    pub(crate) fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        let count = Arc::clone(&self.count);
        async move {
            loop {
                let notified = count.idle.notified();
                if count.under_way.load(Ordering::Relaxed) > 0 {
                    notified.await;
                    continue;
                }
                let oldest = count.finished().front().map(|answer| (answer.id(), answer.stopped()));
                let Some((id, delivered)) = oldest else { return };
                // An error means that the link is lost, and everything with it.
                let _ = delivered.await;
                // Another one may have taken its place meanwhile.
                let mut finished = count.finished();
                if finished.front().is_some_and(|answer| answer.id() == id) {
                    finished.pop_front();
                }
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
    let under_way = UnderWay::enter(count);
    let (code, message) = if count.door().closed {
        (AbortCode::Refused, exchange::SHUTTING_DOWN)
    } else if let Some(place) = Place::enter(count) {
        let (flow, agent, count) = (flow.clone(), Arc::clone(agent), Arc::clone(count));
        // In a box: tokio moves a task's future about, and this one is large.
        exchanges.spawn(Box::pin(async move {
            let (_under_way, _place) = (under_way, place);
            let may_begin = |counter| count.door().begin(counter);
            if let Some(answer) = exchange::run(send, recv, &flow, &agent, may_begin).await {
                count.keep(answer);
            }
        }));
        return;
    } else {
        (AbortCode::Busy, "The agent's connector has 4,096 exchanges open. Try again later.")
    };
    let count = Arc::clone(count);
    exchanges.spawn(async move {
        let _under_way = under_way;
        // Kept until the refusal is out: dropping it stops the request.
        let _recv = recv;
        if let Some(refusal) = exchange::refuse(send, code, message).await {
            count.keep(refusal);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_begins_behind_the_number_that_drain_tells() {
        let mut door = Door::default();
        assert!(door.begin(41));
        assert!(door.begin(39));
        assert_eq!(door.close(), 41);
        assert!(!door.begin(42));
        assert!(door.begin(40), "the relay takes this one for begun");
        assert_eq!(door.close(), 41);
    }
}
