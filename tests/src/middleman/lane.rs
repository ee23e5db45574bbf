//! One direction of one connector: datagrams under way, sent when they are due.

use super::weather::Sky;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Where a datagram leaves, and for whom.
pub(super) type Exit = (Arc<UdpSocket>, SocketAddr);

/// The entrance of a lane; the lane ends when all entrances are dropped.
#[derive(Clone)]
pub(super) struct Lane {
    way: usize,
    sky: Arc<Sky>,
    queued: Arc<AtomicUsize>,
    entrance: mpsc::UnboundedSender<Datagram>,
}

struct Datagram {
    due: Instant,
    bytes: Vec<u8>,
    exit: Exit,
}

impl Lane {
    /// Opens a lane, whose sending runs as a task of the current runtime.
    pub(super) fn open(way: usize, sky: Arc<Sky>) -> Lane {
        let (entrance, arrivals) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        tokio::spawn(drive(way, arrivals, sky.clone(), queued.clone()));
        Lane { way, sky, queued, entrance }
    }

    /// Takes a datagram in, or loses it; `last_due` keeps the order of those that do not overtake.
    pub(super) fn enter(&self, bytes: &[u8], exit: &Exit, last_due: &mut Instant) {
        let queued = self.queued.load(Ordering::Relaxed);
        let mut state = self.sky.state();
        let copies = state.copies(self.way, bytes.len(), queued);
        for _ in 0..copies {
            let weather = state.weather[self.way].clone();
            let now = Instant::now();
            let due = if state.chance.happens(weather.reorder) {
                now
            } else {
                let spacing = weather.rate.map_or(Duration::ZERO, |rate| {
                    Duration::from_secs_f64(bytes.len() as f64 / rate as f64)
                });
                let late = now + weather.delay + state.chance.up_to(weather.jitter);
                *last_due = late.max(*last_due + spacing);
                *last_due
            };
            self.queued.fetch_add(1, Ordering::Relaxed);
            let datagram = Datagram { due, bytes: bytes.to_vec(), exit: exit.clone() };
            let _ = self.entrance.send(datagram);
        }
    }
}

/// Sends each datagram when it is due.
async fn drive(
    way: usize,
    mut arrivals: mpsc::UnboundedReceiver<Datagram>,
    sky: Arc<Sky>,
    queued: Arc<AtomicUsize>,
) {
    let mut waiting: BTreeMap<(Instant, u64), Datagram> = BTreeMap::new();
    let mut number = 0;
    loop {
        let next = waiting.keys().next().map(|(due, _)| *due);
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(datagram) => {
                    number += 1;
                    waiting.insert((datagram.due, number), datagram);
                }
                None => return,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        while let Some(first) = waiting.first_entry().filter(|e| e.key().0 <= Instant::now()) {
            let Datagram { bytes, exit: (socket, to), .. } = first.remove();
            queued.fetch_sub(1, Ordering::Relaxed);
            // A port that nobody listens on is an error of an earlier datagram: lost, as outside.
            if socket.send_to(&bytes, to).await.is_ok() {
                let counters = &mut sky.state().counters[way];
                counters.sent += 1;
                counters.sent_bytes += bytes.len() as u64;
            }
        }
    }
}
