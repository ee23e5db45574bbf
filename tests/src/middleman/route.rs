//! Carries datagrams: each connector that sends has its own socket towards the relay.

use super::{
    lane::{Exit, Lane},
    weather::{DOWN, Recorded, Sky, UP},
};
use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{net::UdpSocket, task::JoinHandle, time::Instant};

/// Larger than any datagram.
const DATAGRAM_MAX: usize = 65_536;

/// One connector's way to the relay; dropped and made anew at each rebinding.
struct Mapping {
    socket: Arc<UdpSocket>,
    back: JoinHandle<()>,
}

impl Drop for Mapping {
    fn drop(&mut self) {
        self.back.abort();
    }
}

/// Carries in both directions for ever.
pub(super) async fn carry(front: std::net::UdpSocket, sky: Arc<Sky>) {
    let front = Arc::new(UdpSocket::from_std(front).expect("a socket"));
    let (up, down) = (Lane::open(UP, sky.clone()), Lane::open(DOWN, sky.clone()));
    let mut mappings: HashMap<SocketAddr, Mapping> = HashMap::new();
    let mut changes = sky.changes();
    let (mut epoch, mut cuts, mut last_due) = (0, 0, Instant::now());
    // Whose links were cut.
    let mut dead = HashSet::new();
    // Ports that a NAT forgot: held, so that what still comes to them is lost without a word.
    let mut forgotten = Vec::new();
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let received = tokio::select! {
            received = front.recv_from(&mut buffer) => Some(received),
            _ = changes.changed() => None,
        };
        let now = sky.state().epoch;
        if now != epoch {
            epoch = now;
            forgotten.clear();
            forgotten.extend(mappings.drain().map(|(_, mapping)| mapping.socket.clone()));
        }
        let now = sky.state().cuts;
        if now != cuts {
            cuts = now;
            dead.extend(mappings.drain().map(|(connector, _)| connector));
        }
        let again = std::mem::take(&mut sky.state().again);
        for Recorded { way, bytes, exit } in again {
            [&up, &down][way].enter(&bytes, &exit, &mut Instant::now());
        }
        let Some(received) = received else { continue };
        // An error tells of an earlier datagram that found no listener.
        let Ok((length, connector)) = received else { continue };
        let Some(relay) = sky.state().relay else { continue };
        if dead.contains(&connector) {
            continue;
        }
        let mapping = match mappings.get(&connector) {
            Some(mapping) => mapping,
            None => {
                let fresh = map(&front, connector, &down, &sky).await;
                mappings.entry(connector).or_insert(fresh)
            }
        };
        let exit = (mapping.socket.clone(), relay);
        record(&sky, UP, &buffer[..length], &exit);
        up.enter(&buffer[..length], &exit, &mut last_due);
    }
}

/// Keeps a datagram, if all are kept.
fn record(sky: &Sky, way: usize, bytes: &[u8], exit: &Exit) {
    let mut state = sky.state();
    if state.recording {
        state.tape.push(Recorded { way, bytes: bytes.to_vec(), exit: exit.clone() });
    }
}

async fn map(
    front: &Arc<UdpSocket>,
    connector: SocketAddr,
    down: &Lane,
    sky: &Arc<Sky>,
) -> Mapping {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let socket = Arc::new(socket);
    let (from, lane, exit) = (socket.clone(), down.clone(), (front.clone(), connector));
    let sky = sky.clone();
    let back = tokio::spawn(async move {
        let (mut buffer, mut last_due) = (vec![0; DATAGRAM_MAX], Instant::now());
        loop {
            if let Ok((length, _)) = from.recv_from(&mut buffer).await {
                record(&sky, DOWN, &buffer[..length], &exit);
                lane.enter(&buffer[..length], &exit, &mut last_due);
            }
        }
    });
    Mapping { socket, back }
}
