//! Flow control of one body: what its sender may send, what its receiver grants.

use super::Ack;
use super::WireError;
use crate::limits::CREDIT_MAX;

/// The sender's side: bytes sent, and how far it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendCredit {
    sent: u64,
    acknowledged: u64,
    limit: u64,
}

impl SendCredit {
    /// Begins a body with its first credit, bytes.
    pub const fn new(first: u64) -> Self {
        Self { sent: 0, acknowledged: 0, limit: first }
    }

    /// Bytes that may be sent now.
    pub const fn available(&self) -> u64 {
        self.limit.saturating_sub(self.sent)
    }

    /// Bytes sent so far: the offset of the next one.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that the other end acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Notes that `bytes` were sent.
    pub fn spend(&mut self, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
    }

    /// Takes an ACK. Acknowledging what was never sent, or taking credit back, breaks the protocol.
    pub fn acknowledge(&mut self, ack: &Ack) -> Result<(), WireError> {
        let kind = super::FrameKind::Acks;
        if ack.offset > self.sent {
            return Err(WireError::Malformed { kind, what: "an offset that was never sent" });
        }
        if ack.offset < self.acknowledged || ack.limit < self.limit {
            return Err(WireError::Malformed { kind, what: "credit taken back" });
        }
        self.acknowledged = ack.offset;
        self.limit = ack.limit;
        Ok(())
    }
}

/// The receiver's side: what was handed on, and how much more it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveCredit {
    consumed: u64,
    acknowledged: u64,
    limit: u64,
    window: u64,
}

impl ReceiveCredit {
    /// Begins a body with its first credit, bytes.
    pub const fn new(first: u64) -> Self {
        Self { consumed: 0, acknowledged: 0, limit: first, window: first }
    }

    /// Bytes that the sender may reach: more is a breach.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The window, bytes: what it has beyond the first credit counts against the link's budget.
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// The ACK that says all of it anew: those of a link that was lost may be lost with it.
    pub fn renew(&mut self, exchange: u64) -> Ack {
        self.acknowledged = self.consumed;
        self.limit = self.limit.max(self.consumed + self.window);
        Ack { exchange, offset: self.consumed, limit: self.limit }
    }

    /// Notes that `bytes` were handed on, and says which ACK to send, if one is due.
    ///
    /// The window doubles with each ACK up to [`CREDIT_MAX`], by at most `spare` bytes: what the
    /// budget of the link still has. Credit once granted is never taken back, only not renewed.
    pub fn consume(&mut self, exchange: u64, bytes: u64, spare: u64) -> Option<Ack> {
        self.consumed = self.consumed.saturating_add(bytes);
        if self.consumed - self.acknowledged < self.window / 2 {
            return None;
        }
        let growth = self.window.min(CREDIT_MAX.saturating_sub(self.window)).min(spare);
        self.window += growth;
        Some(self.renew(exchange))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FIRST_CREDIT;
    use proptest::prelude::*;

    #[test]
    fn a_small_body_costs_no_ack() {
        let mut receive = ReceiveCredit::new(FIRST_CREDIT);
        assert_eq!(receive.consume(1, FIRST_CREDIT / 2 - 1, u64::MAX), None);
    }

    #[test]
    fn a_window_without_spare_budget_is_renewed_but_does_not_grow() {
        let mut receive = ReceiveCredit::new(100);
        assert_eq!(receive.consume(7, 50, 0), Some(Ack { exchange: 7, offset: 50, limit: 150 }));
        assert_eq!(receive.consume(7, 50, 10), Some(Ack { exchange: 7, offset: 100, limit: 210 }));
    }

    #[test]
    fn lying_acks_are_refused() {
        let mut send = SendCredit::new(100);
        send.spend(60);
        assert!(send.acknowledge(&Ack { exchange: 1, offset: 61, limit: 200 }).is_err());
        assert!(send.acknowledge(&Ack { exchange: 1, offset: 60, limit: 99 }).is_err());
        assert!(send.acknowledge(&Ack { exchange: 1, offset: 60, limit: 160 }).is_ok());
        assert!(send.acknowledge(&Ack { exchange: 1, offset: 59, limit: 160 }).is_err());
        assert_eq!(send.available(), 100);
    }

    proptest! {
        /// Whatever the sizes and the budget, the sender never starves for good and never passes
        /// what the receiver allows.
        #[test]
        fn sender_and_receiver_agree(
            first in 1u64..10_000,
            steps in prop::collection::vec((1u64..5_000, 0u64..10_000), 1..200),
        ) {
            let mut send = SendCredit::new(first);
            let mut receive = ReceiveCredit::new(first);
            for (want, spare) in steps {
                let bytes = want.min(send.available());
                prop_assert!(bytes > 0);
                send.spend(bytes);
                prop_assert!(send.sent() <= receive.limit());
                if let Some(ack) = receive.consume(1, bytes, spare) {
                    prop_assert!(ack.limit - ack.offset <= CREDIT_MAX.max(first));
                    prop_assert_eq!(send.acknowledge(&ack), Ok(()));
                }
            }
        }
    }
}
