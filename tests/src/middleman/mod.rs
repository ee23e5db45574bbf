//! A seeded bad network between connectors and the relay: UDP always, TCP on the same port if asked.

mod lane;
mod route;
mod tcp;
#[cfg(test)]
mod tests;
mod weather;

pub use weather::{Counters, Direction, Weather};

use crate::{backstage::Backstage, chance};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};
use weather::Sky;

/// How many ports are tried for a pair of the same number.
const PAIRS: usize = 16;

/// Stands where connectors believe the relay is. It starts before the relay, and forgets all that
/// comes until it knows where the relay is.
pub struct Middleman {
    address: SocketAddr,
    sky: Arc<Sky>,
    _held: Option<socket2::Socket>,
    _threads: Vec<Backstage>,
}

impl Middleman {
    /// Starts it for UDP alone; a TCP connection to its port is refused.
    #[must_use]
    pub fn start(weather: Weather) -> Middleman {
        Middleman::open(weather, false)
    }

    /// Starts it with TCP passed through on the same port, untouched by the weather but for
    /// [`Middleman::block_tcp`].
    #[must_use]
    pub fn with_tcp(weather: Weather) -> Middleman {
        Middleman::open(weather, true)
    }

    fn open(weather: Weather, with_tcp: bool) -> Middleman {
        let sky = Arc::new(Sky::new(weather, chance::seed("middleman")));
        let (udp, held) = pair();
        let address = udp.local_addr().expect("a bound port");
        let over = sky.clone();
        let mut threads = vec![Backstage::open("middleman", move || route::carry(udp, over))];
        let held = if with_tcp {
            held.listen(128).expect("a listener");
            let (listener, over) = (TcpListener::from(held), sky.clone());
            threads.push(Backstage::open("middleman-tcp", move || tcp::carry(listener, over)));
            None
        } else {
            Some(held)
        };
        Middleman { address, sky, _held: held, _threads: threads }
    }

    /// The address that connectors are to dial.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells it where the relay is (again, after the relay moved).
    pub fn lead_to(&self, relay: SocketAddr) {
        self.sky.change(|sky| sky.relay = Some(relay));
    }

    /// Sets the weather of one direction or both.
    pub fn set(&self, direction: Direction, weather: Weather) {
        self.sky.change(|sky| {
            for way in direction.ways() {
                sky.weather[*way] = weather.clone();
            }
        });
    }

    /// Turns a black hole on or off: datagrams vanish, nobody is told.
    pub fn black_hole(&self, direction: Direction, on: bool) {
        self.sky.change(|sky| {
            for way in direction.ways() {
                sky.weather[*way].black_hole = on;
            }
        });
    }

    /// Cuts all TCP connections and refuses new ones by closing them, or lets them through again.
    pub fn block_tcp(&self, on: bool) {
        self.sky.change(|sky| sky.tcp_blocked = on);
    }

    /// Cuts all links for good, and lets new ones through: TCP connections are closed, and of the sockets
    /// that have sent datagrams none gets through any more.
    pub fn cut_links(&self) {
        self.sky.change(|sky| sky.cuts += 1);
    }

    /// Gives every connector a new port towards the relay, as a NAT does that forgot its mapping.
    /// What the relay still sends to the old ports is lost.
    pub fn rebind(&self) {
        self.sky.change(|sky| sky.epoch += 1);
    }

    /// Begins or ends to keep a copy of every datagram that comes in.
    pub fn record(&self, on: bool) {
        self.sky.change(|sky| sky.recording = on);
    }

    /// The copies of what came in one direction (or both).
    #[must_use]
    pub fn recorded(&self, direction: Direction) -> Vec<Vec<u8>> {
        let state = self.sky.state();
        let kept = state.tape.iter().filter(|kept| direction.ways().contains(&kept.way));
        kept.map(|kept| kept.bytes.clone()).collect()
    }

    /// Carries all that was recorded once more, each copy between the addresses that it had.
    pub fn replay(&self) {
        self.sky.change(|sky| sky.again = sky.tape.clone());
    }

    /// What was carried and lost so far in one direction (or the sum of both).
    #[must_use]
    pub fn counters(&self, direction: Direction) -> Counters {
        let state = self.sky.state();
        direction
            .ways()
            .iter()
            .fold(Counters::default(), |sum, way| sum.plus(&state.counters[*way]))
    }
}

/// A UDP socket and a bound TCP socket of the same number.
fn pair() -> (UdpSocket, socket2::Socket) {
    use socket2::{Domain, Socket, Type};
    for _ in 0..PAIRS {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        udp.set_nonblocking(true).expect("a socket that does not block");
        let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        tcp.set_nonblocking(true).expect("a socket that does not block");
        if tcp.bind(&udp.local_addr().expect("a bound port").into()).is_ok() {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}
