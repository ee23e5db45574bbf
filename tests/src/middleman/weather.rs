//! What the network does to datagrams, and the state that the test and the middleman share.

use super::lane::Exit;
use crate::chance::Chance;
use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the connector to the relay.
    Up,
    /// From the relay to the connector.
    Down,
    /// Both.
    Both,
}

/// Index of the way up.
pub(super) const UP: usize = 0;
/// Index of the way down.
pub(super) const DOWN: usize = 1;

impl Direction {
    pub(super) fn ways(self) -> &'static [usize] {
        match self {
            Direction::Up => &[UP],
            Direction::Down => &[DOWN],
            Direction::Both => &[UP, DOWN],
        }
    }
}

/// What happens to datagrams in one direction. The default lets all pass at once.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that it comes twice.
    pub duplicate: f64,
    /// Probability that it skips the delay, and so overtakes others.
    pub reorder: f64,
    /// Time under way.
    pub delay: Duration,
    /// Up to so much more, by chance; order is kept.
    pub jitter: Duration,
    /// Bytes per second; `None` is unlimited.
    pub rate: Option<u64>,
    /// Larger datagrams are lost.
    pub size_max: usize,
    /// Datagrams under way at most; more are lost.
    pub queue_max: usize,
    /// All are lost.
    pub black_hole: bool,
}

impl Default for Weather {
    fn default() -> Weather {
        Weather {
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            size_max: usize::MAX,
            queue_max: 4_096,
            black_hole: false,
        }
    }
}

impl Weather {
    /// Fair weather with this probability of loss.
    #[must_use]
    pub fn loss(loss: f64) -> Weather {
        Weather { loss, ..Weather::default() }
    }

    /// Fair weather with half of this round trip in each direction.
    #[must_use]
    pub fn round_trip(time: Duration) -> Weather {
        Weather { delay: time / 2, ..Weather::default() }
    }
}

/// Datagrams of one direction by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// All that came in.
    pub received: u64,
    /// All that went out, duplicates among them.
    pub sent: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Lost in a black hole.
    pub swallowed: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Lost because they were too large.
    pub oversized: u64,
}

impl Counters {
    pub(super) fn plus(&self, other: &Counters) -> Counters {
        Counters {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            swallowed: self.swallowed + other.swallowed,
            overflowed: self.overflowed + other.overflowed,
            oversized: self.oversized + other.oversized,
        }
    }
}

/// A datagram as it came in, its direction, and where it was to leave.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) way: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) exit: Exit,
}

/// What the test sets and the middleman obeys.
pub(super) struct State {
    pub(super) weather: [Weather; 2],
    pub(super) counters: [Counters; 2],
    pub(super) chance: Chance,
    pub(super) relay: Option<SocketAddr>,
    /// Grows with each rebinding.
    pub(super) epoch: u64,
    pub(super) tcp_blocked: bool,
    /// Grows each time that all links are cut.
    pub(super) cuts: u64,
    pub(super) recording: bool,
    /// All that came in while it was recorded.
    pub(super) tape: Vec<Recorded>,
    /// What is to be carried once more.
    pub(super) again: Vec<Recorded>,
}

impl State {
    /// How often a datagram of this size is to be sent in this direction, all losses counted.
    pub(super) fn copies(&mut self, way: usize, size: usize, queued: usize) -> usize {
        let (weather, counters) = (&self.weather[way], &mut self.counters[way]);
        counters.received += 1;
        let fate = if weather.black_hole {
            &mut counters.swallowed
        } else if size > weather.size_max {
            &mut counters.oversized
        } else if self.chance.happens(weather.loss) {
            &mut counters.lost
        } else if queued >= weather.queue_max {
            &mut counters.overflowed
        } else if self.chance.happens(weather.duplicate) {
            counters.duplicated += 1;
            return 2;
        } else {
            return 1;
        };
        *fate += 1;
        0
    }
}

/// The shared state, with a bell that rings at each change.
pub(super) struct Sky {
    state: Mutex<State>,
    bell: watch::Sender<()>,
}

impl Sky {
    pub(super) fn new(weather: Weather, seed: u64) -> Sky {
        let state = State {
            weather: [weather.clone(), weather],
            counters: Default::default(),
            chance: Chance::seeded(seed),
            relay: None,
            epoch: 0,
            tcp_blocked: false,
            cuts: 0,
            recording: false,
            tape: Vec::new(),
            again: Vec::new(),
        };
        Sky { state: Mutex::new(state), bell: watch::Sender::new(()) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.bell.send_replace(());
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }
}
