//! Ports that stay a story's own while nobody listens on them.
//!
//! What a killed relay listened on may be given away before it is back: to any program that asks for
//! a free port, or dials. These lie below the range from which the system gives ports away, and each
//! is held by a locked file, which every test process of this machine respects.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
    sync::OnceLock,
    sync::atomic::{AtomicU16, Ordering},
};

/// How many there are: every relay of every story that runs at a time, many times over.
const COUNT: u16 = 8_000;
/// Where the system's own range begins unless it says otherwise.
const USUAL_FIRST: u16 = 32_768;

/// A port, for TCP and UDP, until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: File,
}

impl Port {
    /// Takes one that nobody has.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn take() -> Port {
        static TURN: AtomicU16 = AtomicU16::new(0);
        let range = range();
        // Processes begin apart from each other, so that they seldom meet.
        let process = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
        let candidates = (0..COUNT).map(|_| {
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            range.start + process.wrapping_mul(61).wrapping_add(turn) % COUNT
        });
        candidates.into_iter().find_map(Port::try_take).expect("a port that nobody has")
    }

    fn try_take(number: u16) -> Option<Port> {
        let folder = std::env::temp_dir().join("a2a-tunnel-test-ports");
        fs::create_dir_all(&folder).expect("a folder for the marks of ports");
        // Somebody else's file is somebody else's port.
        let file = File::options().create(true).append(true).open(folder.join(number.to_string()));
        let held = file.ok().filter(|file| file.try_lock().is_ok())?;
        let at = (Ipv4Addr::LOCALHOST, number);
        let free = TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok();
        free.then_some(Port { number, _held: held })
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Which of all of them it is, from 0: nothing else on this machine that holds one has the same.
    pub(crate) fn index(&self) -> u16 {
        self.number - range().start
    }
}

/// Those below the range that the system gives away.
fn range() -> Range<u16> {
    static FIRST: OnceLock<u16> = OnceLock::new();
    let end = *FIRST.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
        first.filter(|first| *first > COUNT + 1024).unwrap_or(USUAL_FIRST)
    });
    end - COUNT..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_port_is_one_storys_alone_until_it_is_dropped() {
        let ports: Vec<Port> = (0..50).map(|_| Port::take()).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        assert!(numbers.iter().all(|number| range().contains(number)));
        let number = ports[0].number();
        assert!(Port::try_take(number).is_none());
        drop(ports);
        assert_eq!(Port::try_take(number).expect("it is free again").number(), number);
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_taken() {
        let port = Port::take();
        let (number, listener) = (port.number(), TcpListener::bind(("127.0.0.1", port.number())));
        drop(port);
        assert!(listener.is_ok() && Port::try_take(number).is_none());
    }
}
