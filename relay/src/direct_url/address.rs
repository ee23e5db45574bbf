//! What kind of network an address belongs to (IANA's special-purpose registries). Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It may be anywhere on the internet.
    Public,
    /// This host, from itself.
    Loopback,
    /// A network of somebody's own (RFC 1918, RFC 4193).
    Private,
    /// Between a provider and its customers (RFC 6598).
    Shared,
    /// Examples in documents.
    Documentation,
    /// Laboratories (RFC 2544).
    Benchmarking,
    /// No host at all; some systems take it for this one.
    Unspecified,
    /// The network at hand; clouds hand out credentials there.
    LinkLocal,
    /// Many hosts.
    Multicast,
    /// An IPv4 address in IPv6 clothes, which sockets take for the IPv4 address itself.
    Mapped,
    /// Nothing that an agent could have.
    Reserved,
}

use Kind::{
    Benchmarking, Documentation, LinkLocal, Loopback, Mapped, Multicast, Private, Public, Reserved,
    Shared, Unspecified,
};

const fn v4(a: u8, b: u8, c: u8, bits: u32, kind: Kind) -> (u32, u32, Kind) {
    (Ipv4Addr::new(a, b, c, 0).to_bits(), bits, kind)
}

const fn v6(a: u16, b: u16, bits: u32, kind: Kind) -> (u128, u32, Kind) {
    (Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0).to_bits(), bits, kind)
}

/// Networks of IPv4 that are not public.
const V4: [(u32, u32, Kind); 15] = [
    v4(0, 0, 0, 8, Unspecified),
    v4(10, 0, 0, 8, Private),
    v4(100, 64, 0, 10, Shared),
    v4(127, 0, 0, 8, Loopback),
    v4(169, 254, 0, 16, LinkLocal),
    v4(172, 16, 0, 12, Private),
    v4(192, 0, 0, 24, Reserved),
    v4(192, 0, 2, 24, Documentation),
    v4(192, 88, 99, 24, Reserved),
    v4(192, 168, 0, 16, Private),
    v4(198, 18, 0, 15, Benchmarking),
    v4(198, 51, 100, 24, Documentation),
    v4(203, 0, 113, 24, Documentation),
    v4(224, 0, 0, 4, Multicast),
    v4(240, 0, 0, 4, Reserved),
];

/// Networks of IPv6, the first that fits; the rest is not given out.
const V6: [(u128, u32, Kind); 11] = [
    // Teredo, ORCHID and other tunnels, whose addresses hold others.
    v6(0x2001, 0, 23, Reserved),
    v6(0x2001, 0xdb8, 32, Documentation),
    // 6to4: it holds an IPv4 address, and nobody routes it any more.
    v6(0x2002, 0, 16, Reserved),
    v6(0x3fff, 0, 20, Documentation),
    v6(0x2000, 0, 3, Public),
    v6(0xfc00, 0, 7, Private),
    v6(0xfe80, 0, 10, LinkLocal),
    v6(0xfec0, 0, 10, Private),
    v6(0xff00, 0, 8, Multicast),
    v6(0x0100, 0, 64, Reserved),
    v6(0x5f00, 0, 16, Reserved),
];

/// The prefix by which networks without IPv4 reach it (RFC 6052); the address stands behind it.
const NAT64: u128 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits();

impl Kind {
    /// What an address is for.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => {
                let bits = ip.to_bits();
                let found = V4.iter().find(|(net, len, _)| (bits ^ net) >> (32 - len) == 0);
                found.map_or(Public, |(_, _, kind)| *kind)
            }
            IpAddr::V6(ip) if ip.is_loopback() => Loopback,
            IpAddr::V6(ip) if ip.is_unspecified() => Unspecified,
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => Mapped,
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                if (bits ^ NAT64) >> 32 == 0 {
                    let [.., a, b, c, d] = ip.octets();
                    return Self::of(Ipv4Addr::new(a, b, c, d).into());
                }
                let found = V6.iter().find(|(net, len, _)| (bits ^ net) >> (128 - len) == 0);
                found.map_or(Reserved, |(_, _, kind)| *kind)
            }
        }
    }

    /// Whether a laboratory has agents there.
    pub const fn is_of_a_laboratory(self) -> bool {
        matches!(self, Loopback | Private | Shared | Documentation | Benchmarking)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Public => "a public",
            Loopback => "a loopback",
            Private => "a private",
            Shared => "a provider's private",
            Documentation => "a documentation",
            Benchmarking => "a benchmarking",
            Unspecified => "an unspecified",
            LinkLocal => "a link-local",
            Multicast => "a multicast",
            Mapped => "an IPv4-mapped",
            Reserved => "a reserved",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_is_known_from_its_first_address_to_its_last() {
        for (first, last, kind) in [
            ("0.0.0.0", "0.255.255.255", Unspecified),
            ("1.0.0.0", "9.255.255.255", Public),
            ("10.0.0.0", "10.255.255.255", Private),
            ("100.64.0.0", "100.127.255.255", Shared),
            ("100.128.0.0", "126.255.255.255", Public),
            ("127.0.0.0", "127.255.255.255", Loopback),
            ("169.254.0.0", "169.254.255.255", LinkLocal),
            ("172.16.0.0", "172.31.255.255", Private),
            ("172.32.0.0", "191.255.255.255", Public),
            ("192.0.0.0", "192.0.0.255", Reserved),
            ("192.0.2.0", "192.0.2.255", Documentation),
            ("192.168.0.0", "192.168.255.255", Private),
            ("198.18.0.0", "198.19.255.255", Benchmarking),
            ("198.51.100.0", "198.51.100.255", Documentation),
            ("203.0.113.0", "203.0.113.255", Documentation),
            ("203.0.114.0", "223.255.255.255", Public),
            ("224.0.0.0", "239.255.255.255", Multicast),
            ("240.0.0.0", "255.255.255.255", Reserved),
            ("::", "::", Unspecified),
            ("::1", "::1", Loopback),
            ("::2", "::ffff", Reserved),
            ("::ffff:0.0.0.0", "::ffff:255.255.255.255", Mapped),
            ("64:ff9b::8.8.8.8", "64:ff9b::9.9.9.9", Public),
            ("64:ff9b::127.0.0.1", "64:ff9b::127.0.0.1", Loopback),
            ("64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", LinkLocal),
            ("64:ff9b:1::", "64:ff9b:1::8.8.8.8", Reserved),
            ("100::", "100::ffff", Reserved),
            ("2001::", "2001:1ff:ffff::", Reserved),
            ("2001:200::", "2001:db7:ffff::", Public),
            ("2001:db8::", "2001:db8:ffff::", Documentation),
            ("2002:7f00:1::", "2002:ffff::", Reserved),
            ("2600::", "3ffe:ffff::", Public),
            ("3fff::", "3fff:fff::", Documentation),
            ("fc00::", "fdff:ffff::", Private),
            ("fe80::", "febf:ffff::", LinkLocal),
            ("fec0::", "feff::", Private),
            ("ff00::", "ffff::", Multicast),
        ] {
            for ip in [first, last] {
                assert_eq!(Kind::of(ip.parse().unwrap()), kind, "{ip}");
            }
        }
    }
}
