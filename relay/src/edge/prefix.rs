//! The first bytes of a caller's body, for whoever has to name its request later.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem::Finder;

use super::card_request::CARD_METHODS;
use super::envelope::{Envelope, scan};
use super::glance::{Glance, glance};

/// Bytes in which a JSON-RPC `id` is looked for, and a method.
pub const BYTES_MAX: usize = 64 * 1024;
/// So many of them are looked through as they come, before anybody asks.
const LOOK_AT: usize = 4 * 1024;
/// Patience for the `id` of a request that is refused anyway.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Stands in the name of each method whose result is a card.
static EXTENDED: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("Extended"));

/// What was read of a body so far, sharing its memory. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Prefix(Arc<Mutex<Read>>);

#[derive(Debug, Default)]
struct Read {
    /// The first bytes, until they have told all; copied, so that no read buffer is held by them.
    bytes: Vec<u8>,
    found: Envelope,
    /// What was seen of them, once they are gone.
    glance: Option<Box<Glance>>,
    /// So many of them were looked through.
    scanned: usize,
    over: bool,
}

impl Read {
    fn scan(&mut self) {
        if self.scanned == self.bytes.len() {
            return;
        }
        self.found = scan(&self.bytes);
        self.scanned = self.bytes.len();
        if self.found.is_known() {
            self.over = true;
            self.glance = Some(Box::new(glance(&self.bytes)));
            self.bytes = Vec::new();
            self.scanned = 0;
        }
    }
}

impl Prefix {
    /// Keeps what of `data` belongs to the first bytes.
    pub fn remember(&self, data: &Bytes) {
        let mut read = self.lock();
        if read.over {
            return;
        }
        let room = BYTES_MAX.saturating_sub(read.bytes.len()).min(data.len());
        read.bytes.extend_from_slice(data.get(..room).unwrap_or_default());
        let full = read.bytes.len() >= BYTES_MAX;
        // Small ones are looked through when somebody asks, which is seldom; large ones are not kept
        // for longer than they must.
        if full || read.bytes.len() >= LOOK_AT.max(read.scanned * 2) {
            read.scan();
        }
        read.over |= full;
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.lock().over = true;
    }

    /// Whether there is nothing to wait for.
    pub fn is_settled(&self) -> bool {
        let mut read = self.lock();
        read.scan();
        read.over
    }

    /// What the first bytes say, as far as they have been read.
    pub fn envelope(&self) -> Envelope {
        let mut read = self.lock();
        read.scan();
        read.found.clone()
    }

    /// What the first bytes show at a glance, as far as they have been read.
    pub fn glance(&self) -> Glance {
        let read = self.lock();
        read.glance.as_deref().copied().unwrap_or_else(|| glance(&read.bytes))
    }

    /// Whether what has been read shows a JSON-RPC method whose result is a card. Waits for nothing.
    pub fn asks_for_card(&self) -> bool {
        let mut read = self.lock();
        // Nearly every body is told by this, without being looked through.
        if read.found.method.is_none() && EXTENDED.find(&read.bytes).is_none() {
            return false;
        }
        read.scan();
        read.found.method.as_deref().is_some_and(|method| CARD_METHODS.contains(&method))
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_asked_for_by_the_method_alone() {
        for (body, asks) in [
            (r#"{"method":"GetExtendedAgentCard","id":1}"#, true),
            (r#"{"id":1,"method":"agent\/getAuthenticatedExtendedCard"}"#, true),
            (
                r#"{"id":1,"method":"message/send","params":{"method":"GetExtendedAgentCard"}}"#,
                false,
            ),
            (r#"{"id":1,"params":"GetExtendedAgentCard"}"#, false),
            (r#"[{"method":"GetExtendedAgentCard","id":1}]"#, false),
            (r#"{"id":1,"method":"GetExtendedAgent"#, false),
        ] {
            let prefix = Prefix::default();
            prefix.remember(&Bytes::from_static(body.as_bytes()));
            assert_eq!(prefix.asks_for_card(), asks, "{body}");
            assert_eq!(prefix.asks_for_card(), asks, "{body}, once more");
        }
    }

    #[test]
    fn only_the_first_bytes_are_kept() {
        let prefix = Prefix::default();
        for _ in 0..3 {
            prefix.remember(&Bytes::from(vec![b' '; BYTES_MAX / 2 + 1]));
        }
        assert!(prefix.is_settled());
        assert_eq!(prefix.lock().bytes.len(), BYTES_MAX);
    }
}
