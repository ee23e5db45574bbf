//! From which of this machine's addresses packets leave for the relay, and whether that has changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The way from this machine to one address.
#[derive(Debug)]
pub(crate) struct Route {
    to: SocketAddr,
    /// From where, while there is a way at all.
    from: Option<IpAddr>,
}

impl Route {
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self { to, from: source(to) }
    }

    /// Where it leads.
    pub(crate) const fn destination(&self) -> SocketAddr {
        self.to
    }

    /// Whether packets leave from another address than at the last look, or do so again. Where there is no
    /// way, there is nothing to be done about it.
    pub(crate) fn changed(&mut self) -> bool {
        self.note(source(self.to))
    }

    fn note(&mut self, now: Option<IpAddr>) -> bool {
        let before = std::mem::replace(&mut self.from, now);
        now.is_some() && now != before
    }
}

/// What the system's routes say; no packet leaves for it.
fn source(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_source_or_one_after_none_is_a_change_and_none_is_not() {
        let (wifi, tether) = (Some([192, 0, 2, 7].into()), Some([198, 51, 100, 7].into()));
        let mut route = Route { to: ([127, 0, 0, 1], 1).into(), from: wifi };
        for (now, changed) in [
            (wifi, false),
            (tether, true),
            (tether, false),
            (None, false),
            (None, false),
            (tether, true),
            (wifi, true),
        ] {
            assert_eq!(route.note(now), changed, "{now:?}");
        }
    }

    #[test]
    fn the_way_to_loopback_begins_there() {
        let mut route = Route::to(([127, 0, 0, 1], 9).into());
        assert_eq!(route.from, Some(Ipv4Addr::LOCALHOST.into()));
        assert!(!route.changed());
    }
}
