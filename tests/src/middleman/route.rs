//! Carries datagrams: each connector that sends has its own socket towards the relay.

use super::{
    lane::Lane,
    weather::{DOWN, Sky, UP},
};
use std::{collections::HashMap, net::Ipv4Addr, net::SocketAddr, sync::Arc};
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
    let (mut epoch, mut last_due) = (0, Instant::now());
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
        let Some(received) = received else { continue };
        // An error tells of an earlier datagram that found no listener.
        let Ok((length, connector)) = received else { continue };
        let Some(relay) = sky.state().relay else { continue };
        let mapping = match mappings.get(&connector) {
            Some(mapping) => mapping,
            None => {
                let fresh = map(&front, connector, &down).await;
                mappings.entry(connector).or_insert(fresh)
            }
        };
        up.enter(&buffer[..length], &(mapping.socket.clone(), relay), &mut last_due);
    }
}

async fn map(front: &Arc<UdpSocket>, connector: SocketAddr, down: &Lane) -> Mapping {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let socket = Arc::new(socket);
    let (from, lane, exit) = (socket.clone(), down.clone(), (front.clone(), connector));
    let back = tokio::spawn(async move {
        let (mut buffer, mut last_due) = (vec![0; DATAGRAM_MAX], Instant::now());
        loop {
            if let Ok((length, _)) = from.recv_from(&mut buffer).await {
                lane.enter(&buffer[..length], &exit, &mut last_due);
            }
        }
    });
    Mapping { socket, back }
}
