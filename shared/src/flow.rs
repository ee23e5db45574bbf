//! Flow control of all the exchanges of one link: who may send how much, and which ACKs are due.
//!
//! One [`LinkFlow`] belongs to one link. Senders wait in it for credit; receivers report to it what
//! they handed on; the writer of the control stream takes the ACKs that are due from it. An exchange that
//! goes on over another link moves there with what it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use crate::limits::{
    ACKS_PER_FRAME_MAX, CROWDED_EXCHANGES, FIRST_CREDIT, FIRST_CREDIT_CROWDED, LINK_CREDIT_MAX,
};
use crate::wire::{Ack, Frame, ReceiveCredit, SendCredit, WireError};

/// The flow control of one link. Clones are handles to the same link.
#[derive(Debug, Clone, Default)]
pub struct LinkFlow {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    senders: HashMap<u64, Place>,
    receivers: usize,
    /// Credit granted beyond the first credits, bytes.
    granted: u64,
    /// The newest ACK of each exchange that has one to send.
    due: BTreeMap<u64, Ack>,
    /// Exchanges that the other end may forget.
    done: Vec<u64>,
    writer: Option<Waker>,
}

/// Where a body stands that this end sends.
#[derive(Debug)]
enum Place {
    Here(Waiting),
    /// It went on over another link.
    Moved(LinkFlow),
}

#[derive(Debug)]
struct Waiting {
    credit: SendCredit,
    waker: Option<Waker>,
}

impl LinkFlow {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first credit of an exchange that opens now, bytes each way.
    pub fn first_credit(&self) -> u64 {
        if self.lock().receivers < CROWDED_EXCHANGES { FIRST_CREDIT } else { FIRST_CREDIT_CROWDED }
    }

    /// Enters a body that this end sends, with its first credit.
    pub fn sender(&self, exchange: u64, first: u64) -> BodySender {
        let waiting = Waiting { credit: SendCredit::new(first), waker: None };
        self.lock().senders.insert(exchange, Place::Here(waiting));
        BodySender { flow: self.clone(), exchange }
    }

    /// Moves a body that this end sends to the link that its exchange goes on over; answers how it
    /// stands. From then on that link's ACKs count. `None`: there is none.
    pub fn move_sender(&self, exchange: u64, to: &Self) -> Option<SendCredit> {
        if Arc::ptr_eq(&self.inner, &to.inner) {
            return self.credit(exchange);
        }
        // Both at once, so that no credit is spent or granted in between; always in the same order.
        let (mut from, mut new);
        if Arc::as_ptr(&self.inner) < Arc::as_ptr(&to.inner) {
            from = self.lock();
            new = to.lock();
        } else {
            new = to.lock();
            from = self.lock();
        }
        let place = from.senders.get_mut(&exchange)?;
        let Place::Here(_) = place else { return None };
        let Place::Here(waiting) = std::mem::replace(place, Place::Moved(to.clone())) else {
            return None;
        };
        let credit = waiting.credit;
        new.senders.insert(exchange, Place::Here(waiting));
        Some(credit)
    }

    /// How a body stands that this end sends on this link.
    fn credit(&self, exchange: u64) -> Option<SendCredit> {
        match self.lock().senders.get(&exchange)? {
            Place::Here(waiting) => Some(waiting.credit),
            Place::Moved(_) => None,
        }
    }

    /// Enters a body that this end receives, with its first credit.
    pub fn receiver(&self, exchange: u64, first: u64) -> BodyReceiver {
        self.lock().receivers += 1;
        BodyReceiver { flow: self.clone(), exchange, credit: ReceiveCredit::new(first), first }
    }

    /// Takes ACKs of the other end. One for an exchange that is over says nothing.
    pub fn acknowledge(&self, acks: &[Ack]) -> Result<(), WireError> {
        let mut inner = self.lock();
        for ack in acks {
            if let Some(Place::Here(waiting)) = inner.senders.get_mut(&ack.exchange) {
                waiting.credit.acknowledge(ack)?;
                if let Some(waker) = waiting.waker.take() {
                    waker.wake();
                }
            }
        }
        Ok(())
    }

    /// This end is through with an exchange: the other one may forget what it keeps for it.
    pub fn done(&self, exchange: u64) {
        let mut inner = self.lock();
        inner.done.push(exchange);
        if let Some(writer) = inner.writer.take() {
            writer.wake();
        }
    }

    /// Appends an ACKS frame, a DONE frame or both to `out` once some are due; pending until then.
    pub fn poll_due(&self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<()> {
        let mut inner = self.lock();
        if inner.due.is_empty() && inner.done.is_empty() {
            inner.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if !inner.done.is_empty() {
            let now = inner.done.len().min(ACKS_PER_FRAME_MAX);
            Frame::Done(inner.done.drain(..now).collect()).put(out);
        }
        if inner.due.is_empty() {
            return Poll::Ready(());
        }
        let mut acks = Vec::with_capacity(inner.due.len().min(ACKS_PER_FRAME_MAX));
        while acks.len() < ACKS_PER_FRAME_MAX {
            let Some((_, ack)) = inner.due.pop_first() else { break };
            acks.push(ack);
        }
        Frame::Acks(acks).put(out);
        Poll::Ready(())
    }
}

/// One body that this end sends. Dropping it leaves the link's books.
#[derive(Debug)]
pub struct BodySender {
    flow: LinkFlow,
    exchange: u64,
}

impl BodySender {
    /// Takes credit for up to `wanted` bytes, at least one; pending while there is none.
    pub fn poll_spend(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<usize> {
        loop {
            let mut inner = self.flow.lock();
            let waiting = match inner.senders.get_mut(&self.exchange) {
                Some(Place::Here(waiting)) => waiting,
                Some(Place::Moved(_)) => {
                    drop(inner);
                    self.follow();
                    continue;
                }
                None => return Poll::Pending,
            };
            let available = usize::try_from(waiting.credit.available()).unwrap_or(usize::MAX);
            if available == 0 {
                waiting.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let now = wanted.min(available);
            waiting.credit.spend(now as u64);
            return Poll::Ready(now);
        }
    }

    /// Takes credit for up to `wanted` bytes. Cancel safe: credit is taken only when it answers.
    pub async fn spend(&mut self, wanted: usize) -> usize {
        std::future::poll_fn(|cx| self.poll_spend(cx, wanted)).await
    }

    /// Bytes sent so far.
    pub fn sent(&mut self) -> u64 {
        self.credit().map_or(0, |credit| credit.sent())
    }

    /// Bytes that the other end acknowledged.
    pub fn acknowledged(&mut self) -> u64 {
        self.credit().map_or(0, |credit| credit.acknowledged())
    }

    fn credit(&mut self) -> Option<SendCredit> {
        loop {
            match self.flow.lock().senders.get(&self.exchange)? {
                Place::Here(waiting) => return Some(waiting.credit),
                Place::Moved(_) => {}
            }
            self.follow();
        }
    }

    /// Goes to the link that the exchange goes on over, and leaves the books of those before.
    fn follow(&mut self) {
        loop {
            let mut inner = self.flow.lock();
            let Some(Place::Moved(to)) = inner.senders.get(&self.exchange) else { return };
            let to = to.clone();
            inner.senders.remove(&self.exchange);
            drop(inner);
            self.flow = to;
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        loop {
            let left = self.flow.lock().senders.remove(&self.exchange);
            let Some(Place::Moved(to)) = left else { return };
            self.flow = to;
        }
    }
}

/// One body that this end receives. Dropping it gives its share of the budget back.
#[derive(Debug)]
pub struct BodyReceiver {
    flow: LinkFlow,
    exchange: u64,
    credit: ReceiveCredit,
    first: u64,
}

impl BodyReceiver {
    /// How far the sender may go, bytes.
    pub const fn limit(&self) -> u64 {
        self.credit.limit()
    }

    /// Notes that `bytes` were handed on; answers how far the sender may now go, bytes.
    pub fn consumed(&mut self, bytes: usize) -> u64 {
        let mut inner = self.flow.lock();
        let spare = LINK_CREDIT_MAX.saturating_sub(inner.granted);
        let before = self.credit.window();
        if let Some(ack) = self.credit.consume(self.exchange, bytes as u64, spare) {
            inner.granted += self.credit.window() - before;
            inner.due.insert(self.exchange, ack);
            if let Some(writer) = inner.writer.take() {
                writer.wake();
            }
        }
        self.credit.limit()
    }

    /// Moves to the link that the exchange goes on over, and says there once more how the body stands:
    /// what was said on the link before may be lost with it. Answers how far the sender may go, bytes.
    pub fn move_to(&mut self, flow: &LinkFlow) -> u64 {
        self.leave();
        self.flow = flow.clone();
        let mut inner = flow.lock();
        inner.receivers += 1;
        inner.granted += self.credit.window() - self.first;
        inner.due.insert(self.exchange, self.credit.renew(self.exchange));
        if let Some(writer) = inner.writer.take() {
            writer.wake();
        }
        self.credit.limit()
    }

    fn leave(&self) {
        let mut inner = self.flow.lock();
        inner.receivers -= 1;
        inner.granted -= self.credit.window() - self.first;
        // The body is over, or goes on elsewhere: its sender waits for no more credit here.
        inner.due.remove(&self.exchange);
    }
}

impl Drop for BodyReceiver {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FrameReader;

    fn acks(flow: &LinkFlow) -> Option<Vec<Ack>> {
        let mut out = BytesMut::new();
        let mut cx = Context::from_waker(Waker::noop());
        if flow.poll_due(&mut cx, &mut out).is_pending() {
            return None;
        }
        match FrameReader::default().next(&mut out.freeze()).unwrap() {
            Some(Frame::Acks(acks)) => Some(acks),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn credit_spent_comes_back_with_an_ack() {
        let (here, there) = (LinkFlow::default(), LinkFlow::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut sender = here.sender(1, 100);
        let mut receiver = there.receiver(1, 100);
        assert_eq!(sender.poll_spend(&mut cx, 1000), Poll::Ready(100));
        assert_eq!(sender.poll_spend(&mut cx, 1000), Poll::Pending);
        assert_eq!(acks(&there), None);
        receiver.consumed(60);
        here.acknowledge(&acks(&there).unwrap()).unwrap();
        assert_eq!(sender.poll_spend(&mut cx, 1000), Poll::Ready(160));
        assert_eq!(sender.sent(), 260);
    }

    #[test]
    fn budget_comes_back_when_a_body_ends() {
        let flow = LinkFlow::default();
        for round in 0..3 {
            let mut receivers: Vec<_> = (0..40).map(|n| flow.receiver(n, FIRST_CREDIT)).collect();
            for receiver in &mut receivers {
                for _ in 0..200 {
                    receiver.consumed(FIRST_CREDIT as usize);
                }
            }
            assert_eq!(flow.lock().granted, LINK_CREDIT_MAX, "round {round}");
            drop(receivers);
            assert_eq!(flow.lock().granted, 0, "round {round}");
            assert_eq!(acks(&flow), None, "round {round}");
        }
    }

    #[test]
    fn an_exchange_that_moves_takes_its_credit_along_and_what_was_lost_is_said_again() {
        let (old, new, there) = (LinkFlow::default(), LinkFlow::default(), LinkFlow::default());
        let mut cx = Context::from_waker(Waker::noop());
        let mut sender = old.sender(1, 100);
        let mut receiver = there.receiver(1, 100);
        assert_eq!(sender.poll_spend(&mut cx, 1000), Poll::Ready(100));
        receiver.consumed(60);
        let lost = acks(&there).expect("an ACK that goes down with its link");
        let credit = old.move_sender(1, &new).expect("a sender");
        assert_eq!((credit.sent(), credit.acknowledged()), (100, 0));
        assert_eq!(old.acknowledge(&lost), Ok(()), "it comes late, and says nothing any more");
        assert_eq!(sender.poll_spend(&mut cx, 1000), Poll::Pending);
        let further = LinkFlow::default();
        assert_eq!(receiver.move_to(&further), 260);
        assert_eq!(there.lock().granted, 0);
        new.acknowledge(&acks(&further).unwrap()).unwrap();
        assert_eq!(sender.poll_spend(&mut cx, 1000), Poll::Ready(160));
        assert_eq!((sender.sent(), sender.acknowledged()), (260, 60));
        drop(sender);
        assert!(old.lock().senders.is_empty() && new.lock().senders.is_empty());
        assert!(old.move_sender(1, &new).is_none());
    }

    #[test]
    fn what_is_done_is_told_in_batches() {
        let flow = LinkFlow::default();
        (0..600).for_each(|exchange| flow.done(exchange));
        let mut cx = Context::from_waker(Waker::noop());
        for count in [ACKS_PER_FRAME_MAX, 600 - ACKS_PER_FRAME_MAX] {
            let mut out = BytesMut::new();
            assert_eq!(flow.poll_due(&mut cx, &mut out), Poll::Ready(()));
            let frame = FrameReader::default().next(&mut out.freeze()).unwrap();
            assert!(matches!(frame, Some(Frame::Done(list)) if list.len() == count));
        }
        assert_eq!(acks(&flow), None);
    }

    #[test]
    fn an_ack_for_an_ended_exchange_says_nothing() {
        let flow = LinkFlow::default();
        drop(flow.sender(1, 10));
        assert_eq!(flow.acknowledge(&[Ack { exchange: 1, offset: 999, limit: 999 }]), Ok(()));
    }

    #[test]
    fn a_crowded_link_gives_small_first_credits() {
        let flow = LinkFlow::default();
        let crowd: Vec<_> =
            (0..CROWDED_EXCHANGES as u64).map(|n| flow.receiver(n, flow.first_credit())).collect();
        assert_eq!(flow.first_credit(), FIRST_CREDIT_CROWDED);
        drop(crowd);
        assert_eq!(flow.first_credit(), FIRST_CREDIT);
    }
}
