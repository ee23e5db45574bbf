//! The last events, bounded: each subscriber reads on from where it is, and learns when it lost some.

use std::collections::VecDeque;

use bytes::Bytes;
use shared::ids::WorkspaceId;

/// Events that are kept at most: a whole fleet of 2,000 that comes back at once fits.
const EVENTS_MAX: usize = 4096;
/// And their bytes: a card may be 256 KiB, and the slowest subscriber must not make us keep many.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The last events, in their order.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The number of the first entry, or of the next event.
    first: u64,
}

#[derive(Debug)]
struct Entry {
    workspace: WorkspaceId,
    frame: Bytes,
}

/// What comes next for a subscriber.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This event, which has this number.
    Event(u64, Bytes),
    /// Nothing yet; everything up to this number was read.
    Nothing(u64),
    /// Events that are no longer kept. It goes on behind this number.
    Lost(u64),
}

impl Default for Log {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, first: 1 }
    }
}

impl Log {
    /// The number of the last event.
    pub(super) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// Adds an event, made of the number that it gets.
    pub(super) fn push(&mut self, workspace: WorkspaceId, frame: impl FnOnce(u64) -> Bytes) {
        let frame = frame(self.last() + 1);
        self.bytes += frame.len();
        self.entries.push_back(Entry { workspace, frame });
        while self.bytes > BYTES_MAX || self.entries.len() > EVENTS_MAX {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.frame.len();
            self.first += 1;
        }
    }

    /// Forgets everything, and lets whoever comes back notice: what happens now is not seen.
    pub(super) fn interrupt(&mut self) {
        self.first = self.last() + 2;
        self.entries.clear();
        self.bytes = 0;
    }

    /// What follows the event with the number `read`, of one workspace or of all.
    pub(super) fn after(&self, read: u64, of: Option<WorkspaceId>) -> Next {
        if read > self.last() || read + 1 < self.first {
            return Next::Lost(self.last());
        }
        let skip = usize::try_from(read + 1 - self.first).unwrap_or(usize::MAX);
        let mut later = (read + 1..).zip(self.entries.iter().skip(skip));
        match later.find(|(_, entry)| of.is_none_or(|of| of == entry.workspace)) {
            Some((number, entry)) => Next::Event(number, entry.frame.clone()),
            None => Next::Nothing(self.last()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> WorkspaceId {
        WorkspaceId::new(ulid::Ulid::from(n))
    }

    fn event(text: &'static str) -> impl FnOnce(u64) -> Bytes {
        move |_| Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn each_reader_reads_on_from_where_it_is() {
        let mut log = Log::default();
        assert_eq!(log.after(0, None), Next::Nothing(0));
        log.push(id(1), event("a"));
        log.push(id(2), event("b"));
        assert_eq!(log.after(0, None), Next::Event(1, "a".into()));
        assert_eq!(log.after(0, Some(id(2))), Next::Event(2, "b".into()));
        assert_eq!(log.after(1, Some(id(1))), Next::Nothing(2));
        assert_eq!(log.after(2, None), Next::Nothing(2));
        assert_eq!(log.after(3, None), Next::Lost(2), "a number of another log");
        log.interrupt();
        assert_eq!(log.after(2, None), Next::Lost(3), "what happened meanwhile was not seen");
        log.push(id(1), event("c"));
        assert_eq!(log.after(3, None), Next::Event(4, "c".into()));
    }

    #[test]
    fn a_slow_reader_loses_events_and_learns_it() {
        let mut log = Log::default();
        for _ in 0..=EVENTS_MAX {
            log.push(id(1), event("x"));
        }
        let newest = EVENTS_MAX as u64 + 1;
        assert_eq!(log.after(0, None), Next::Lost(newest));
        assert!(matches!(log.after(1, None), Next::Event(2, _)));
        for _ in 0..40 {
            log.push(id(1), |_| vec![b'x'; 1024 * 1024].into());
        }
        assert!(log.bytes <= BYTES_MAX && log.entries.len() == 16, "{}", log.bytes);
        log.push(id(1), |_| vec![b'x'; BYTES_MAX + 1].into());
        assert_eq!((log.bytes, log.entries.len()), (0, 0));
        assert_eq!(log.after(newest + 40, None), Next::Lost(newest + 41));
        log.push(id(1), event("y"));
        assert_eq!(log.after(newest + 41, None), Next::Event(newest + 42, "y".into()));
    }
}
