//! The exchanges of this process, whichever link carries them: those that are open, and those whose
//! answers the relay may not have yet.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::ids::{ExchangeId, InstanceId};
use shared::limits::{CONTINUE_TIMEOUT, IDLE_TIMEOUT, IN_FLIGHT_MAX, KEPT_ANSWERS_MAX};
use transport::SendStream;

use super::held::Held;

/// What is over is remembered for at least so long: a relay asks no later.
const REMEMBERED: Duration =
    Duration::from_secs(IDLE_TIMEOUT.as_secs() + CONTINUE_TIMEOUT.as_secs());

/// Every exchange of one relay process with this one. Counts and bytes are bounded: what was over first is
/// forgotten first.
#[derive(Default)]
pub(crate) struct Exchanges {
    inner: Mutex<Inner>,
    /// Links that are up.
    links: AtomicUsize,
}

/// Counts a link that is up.
pub(crate) struct Linked(Arc<Exchanges>);

impl Drop for Linked {
    fn drop(&mut self) {
        self.0.links.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Inner {
    /// The relay process, once one has welcomed this one.
    relay: Option<InstanceId>,
    /// Nothing goes on over another link.
    closed: bool,
    entries: HashMap<u64, Entry>,
    /// Those that are over, in the order of their ends.
    over: VecDeque<u64>,
    /// Bytes kept of those.
    kept: usize,
    /// Exchanges up to this counter may be forgotten.
    forgotten: u64,
    /// When `over` was looked through, and how many were in it then.
    looked: Option<(Instant, usize)>,
}

enum Entry {
    Open(Arc<Held>),
    /// Its answer is out, as a whole; so many bytes of it are kept.
    Out(Arc<Held>, usize),
    /// It was begun, and nothing is kept.
    Gone,
    /// It was not begun, and never will be.
    Never,
}

/// What this process knows of an exchange that the relay wants to go on with.
pub(crate) enum Known {
    /// It is held.
    Held(Arc<Held>),
    /// It may have been begun.
    Perhaps,
    /// It was surely not begun, and never will be.
    Never,
}

/// An exchange that is not to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbegun {
    /// The relay was told that it was not begun.
    ToldNever,
    /// It was begun before.
    Twice,
}

impl Exchanges {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a link: then the relay says what becomes of each exchange, however long a slow
    /// caller keeps it from going on.
    pub(crate) fn is_linked(&self) -> bool {
        self.links.load(Ordering::Relaxed) > 0
    }

    /// A relay process welcomed this one. Exchanges of another one cannot go on.
    pub(crate) fn welcomed_by(self: &Arc<Self>, relay: InstanceId) -> Linked {
        self.links.fetch_add(1, Ordering::Relaxed);
        let linked = Linked(Arc::clone(self));
        let mut inner = self.lock();
        inner.closed = false;
        if inner.relay == Some(relay) {
            return linked;
        }
        for entry in inner.entries.values() {
            if let Entry::Open(held) = entry {
                held.finalize();
            }
        }
        *inner = Inner { relay: Some(relay), ..Inner::default() };
        linked
    }

    /// No exchange goes on over another link, until this process is welcomed anew.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for entry in inner.entries.values() {
            if let Entry::Open(held) = entry {
                held.finalize();
            }
        }
    }

    /// Begins an exchange, which `enter` makes, unless it is not to be begun; the guard ends it.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: ExchangeId,
        enter: impl FnOnce() -> Arc<Held>,
    ) -> Result<Begun, Unbegun> {
        let mut inner = self.lock();
        let is_ours = inner.relay == Some(name.instance);
        if is_ours {
            match inner.entries.get(&name.counter) {
                None => {}
                Some(Entry::Never) => return Err(Unbegun::ToldNever),
                Some(_) => return Err(Unbegun::Twice),
            }
        }
        let held = enter();
        if inner.closed || !is_ours {
            held.finalize();
        }
        if is_ours {
            inner.entries.insert(name.counter, Entry::Open(Arc::clone(&held)));
        }
        Ok(Begun { exchanges: Arc::clone(self), held, out: None })
    }

    /// What is known of an exchange. One that was never begun never will be, from now on.
    pub(crate) fn find(&self, name: ExchangeId) -> Known {
        let mut inner = self.lock();
        if inner.relay != Some(name.instance) {
            return Known::Perhaps;
        }
        match inner.entries.get(&name.counter) {
            Some(Entry::Open(held) | Entry::Out(held, _)) => Known::Held(Arc::clone(held)),
            Some(Entry::Gone) => Known::Perhaps,
            Some(Entry::Never) => Known::Never,
            None if name.counter <= inner.forgotten => Known::Perhaps,
            None => {
                inner.entries.insert(name.counter, Entry::Never);
                inner.remember(name.counter);
                Known::Never
            }
        }
    }

    /// The relay is through with these exchanges.
    pub(crate) fn done(&self, counters: &[u64]) {
        let mut inner = self.lock();
        for counter in counters {
            if let Some(Entry::Open(held)) = inner.entries.get(counter) {
                // Its caller left while no link carried it.
                held.finalize();
            }
            if let Some(Entry::Out(..)) = inner.entries.get(counter)
                && let Some(Entry::Out(_, bytes)) = inner.entries.insert(*counter, Entry::Gone)
            {
                inner.kept -= bytes;
            }
        }
    }

    /// Forgets what has been over for long.
    pub(crate) fn age(&self, now: Instant) {
        let mut inner = self.lock();
        match inner.looked {
            Some((at, _)) if now.duration_since(at) < REMEMBERED => return,
            Some((_, old)) => (0..old).for_each(|_| inner.forget_oldest()),
            None => {}
        }
        inner.looked = Some((now, inner.over.len()));
    }

    fn end(&self, held: &Arc<Held>, kept: Option<usize>) {
        let mut inner = self.lock();
        let counter = held.name.counter;
        let Some(entry) = inner.entries.get_mut(&counter) else { return };
        // Another relay process counts anew.
        if !matches!(entry, Entry::Open(open) if Arc::ptr_eq(open, held)) {
            return;
        }
        *entry = match kept {
            Some(bytes) => Entry::Out(Arc::clone(held), bytes),
            None => Entry::Gone,
        };
        inner.kept += kept.unwrap_or_default();
        inner.remember(counter);
    }
}

impl Inner {
    fn remember(&mut self, counter: u64) {
        self.over.push_back(counter);
        while self.over.len() > IN_FLIGHT_MAX || self.kept > KEPT_ANSWERS_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(counter) = self.over.pop_front() else { return };
        if let Some((_, old)) = &mut self.looked {
            *old = old.saturating_sub(1);
        }
        self.forgotten = self.forgotten.max(counter);
        if let Some(Entry::Out(_, bytes)) = self.entries.remove(&counter) {
            self.kept -= bytes;
        }
    }
}

/// Keeps one exchange open. Dropping it ends it, however that comes about.
pub(crate) struct Begun {
    exchanges: Arc<Exchanges>,
    held: Arc<Held>,
    /// The stream of an answer that is out.
    out: Option<SendStream>,
}

impl Begun {
    /// All of this process.
    pub(crate) const fn exchanges(&self) -> &Arc<Exchanges> {
        &self.exchanges
    }

    /// The exchange.
    pub(crate) const fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Its answer is out, on this stream if on any: whether the relay has it shows there.
    pub(crate) fn over(mut self, out: Option<SendStream>) {
        self.out = out;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (kept, link) = self.held.end();
        if let (Some(link), Some(out)) = (&link, self.out.take()) {
            link.carrier().keep(out);
        }
        self.exchanges.end(&self.held, kept);
    }
}
