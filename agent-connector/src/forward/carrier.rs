//! One link as the exchanges on it see it: what they may begin, their credit, and how many are under way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::codes::CloseCode;
use shared::flow::LinkFlow;
use shared::limits::IN_FLIGHT_MAX;
use tokio::sync::Notify;
use transport::{Connection, ConnectionEnd, SendStream};

/// One link. Exchanges that go on over another one leave it.
pub(crate) struct Carrier {
    connection: Connection,
    /// The credit of what it carries.
    pub(crate) flow: LinkFlow,
    /// Exchanges that it carries, and refusals that are not out.
    under_way: AtomicUsize,
    /// The answers that were finished last, which the relay may not have yet.
    finished: Mutex<VecDeque<SendStream>>,
    door: Mutex<Door>,
    idle: Notify,
    /// Nothing goes on over another link: the relay broke the protocol.
    is_final: AtomicBool,
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

impl Carrier {
    pub(crate) fn new(connection: Connection, flow: LinkFlow) -> Arc<Self> {
        Arc::new(Self {
            connection,
            flow,
            under_way: AtomicUsize::new(0),
            finished: Mutex::default(),
            door: Mutex::default(),
            idle: Notify::new(),
            is_final: AtomicBool::new(false),
        })
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self) -> MutexGuard<'_, VecDeque<SendStream>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the exchange with this counter may begin.
    pub(crate) fn may_begin(&self, counter: u64) -> bool {
        self.door().begin(counter)
    }

    /// Refuses new exchanges from now on; answers the counter of the last one that was begun.
    pub(crate) fn refuse_new(&self) -> u64 {
        self.door().close()
    }

    /// Exchanges that it carries.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Remembers an answer that is out.
    pub(crate) fn keep(&self, answer: SendStream) {
        let mut finished = self.finished();
        // All that were open may have been finished within one round trip.
        if finished.len() >= IN_FLIGHT_MAX {
            finished.pop_front();
        }
        finished.push_back(answer);
    }

    /// Resolves once the relay has every answer: closing the link would discard the rest. Cancel safe.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            if self.under_way() > 0 {
                notified.await;
                continue;
            }
            let oldest = self.finished().front().map(|answer| (answer.id(), answer.stopped()));
            let Some((id, delivered)) = oldest else { return };
            // An error means that the link is lost, and everything with it.
            let _ = delivered.await;
            // Another one may have taken its place meanwhile.
            let mut finished = self.finished();
            if finished.front().is_some_and(|answer| answer.id() == id) {
                finished.pop_front();
            }
        }
    }

    /// Ends everything that it carries with the link: none of it goes on elsewhere.
    pub(crate) fn give_up(&self) {
        self.is_final.store(true, Ordering::Relaxed);
    }

    /// Ends the link, if it has not ended: the relay has lost it.
    pub(crate) fn is_lost(&self) {
        self.connection.close(CloseCode::Done, "the relay goes on over another link");
    }

    /// Whether what it carried may go on over another link: it was lost, and not closed for a reason.
    pub(crate) fn leaves_exchanges(&self) -> bool {
        !self.is_final.load(Ordering::Relaxed)
            && match self.connection.close_reason() {
                Some(ConnectionEnd::Closed { code, .. }) => {
                    code == u64::from(CloseCode::Timeout.number())
                }
                Some(ConnectionEnd::Lost(_) | ConnectionEnd::Ours) | None => true,
            }
    }

    /// Ends the link, if it has not ended.
    pub(crate) fn close(&self) {
        self.connection.close(CloseCode::Done, "");
    }
}

/// Counts one exchange on the link that carries it.
pub(crate) struct UnderWay(Arc<Carrier>);

impl UnderWay {
    /// Enters; false when the link carries as many already as it may.
    pub(crate) fn enter(carrier: &Arc<Carrier>) -> (Self, bool) {
        let before = carrier.under_way.fetch_add(1, Ordering::Relaxed);
        (Self(Arc::clone(carrier)), before < IN_FLIGHT_MAX)
    }

    /// The link.
    pub(crate) const fn carrier(&self) -> &Arc<Carrier> {
        &self.0
    }

    /// Whether both are on the same link.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.idle.notify_waiters();
        }
    }
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
