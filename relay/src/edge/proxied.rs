//! Who calls through a proxy that the operator trusts, as the proxy's fields say (RFC 7239).

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName};

use super::forwarded::X_FORWARDED_FOR;
use crate::networks::Networks;

/// The proxies in front of the relay.
#[derive(Debug, Default)]
pub struct Proxies(Networks);

impl Proxies {
    /// Those in these networks.
    pub const fn new(networks: Networks) -> Self {
        Self(networks)
    }

    /// Whether this address is one of theirs.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.has(address)
    }

    /// Whom a proxy names as its caller: the last in the row of addresses that is no proxy itself.
    ///
    /// Most proxies write one of the two fields and pass the other on as the caller sent it, so that
    /// where both are there and disagree, neither is believed.
    pub fn caller_behind(&self, fields: &HeaderMap) -> Option<IpAddr> {
        let named = |name: &HeaderName, read: fn(&str) -> Option<IpAddr>| {
            let rows = fields.get_all(name).iter();
            let rows: Option<Vec<&str>> = rows.map(|row| row.to_str().ok()).collect();
            let rows = rows.filter(|rows| !rows.is_empty())?;
            Some(self.last_of(rows.iter().flat_map(|row| elements(row)), read))
        };
        match (named(&FORWARDED, in_element), named(&X_FORWARDED_FOR, address)) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other).flatten(),
        }
    }

    /// The last of these that is no proxy, or the first if all are. One that tells no address hides
    /// whatever stands before it.
    fn last_of<'t>(
        &self,
        elements: impl Iterator<Item = &'t str>,
        read: fn(&str) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        let mut caller = None;
        for element in elements.collect::<Vec<_>>().into_iter().rev() {
            let address = read(element)?;
            caller = Some(address);
            if !self.has(address) {
                break;
            }
        }
        caller
    }
}

/// What stands between commas that are not in quotes.
fn elements(row: &str) -> impl Iterator<Item = &str> {
    parts(row, ',')
}

/// The address in `for=` of an element of Forwarded.
fn in_element(element: &str) -> Option<IpAddr> {
    let mut nodes = parts(element, ';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    let node = nodes.next()?;
    let bare = node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    // A second one leaves open who is meant.
    nodes.next().is_none().then(|| address(bare.unwrap_or(node)))?
}

/// An address, with or without a port; one of IPv6 is in brackets where it has one.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // One colon stands before a port; an address of IPv6 has more.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => host,
            _ => text,
        },
    };
    Some(bare.parse::<IpAddr>().ok()?.to_canonical())
}

/// What stands between separators that are not in quotes, without the spaces around it.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let between = move |character: char| {
        let was_escaped = std::mem::take(&mut escaped);
        match character {
            _ if was_escaped => false,
            '\\' if quoted => {
                escaped = true;
                false
            }
            '"' => {
                quoted = !quoted;
                false
            }
            other => other == separator && !quoted,
        }
    };
    text.split(between).map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn behind(fields: &[(&'static str, &str)]) -> Option<String> {
        let proxies = Proxies::new(Networks::read("10.0.0.0/8, 2001:db8:ff::/48").unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        proxies.caller_behind(&map).map(|address| address.to_string())
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_caller() {
        const XFF: &str = "x-forwarded-for";
        const FWD: &str = "forwarded";
        for (fields, caller) in [
            (&[][..], None),
            (&[(XFF, "192.0.2.7")], Some("192.0.2.7")),
            // What the caller wrote itself stands further to the left.
            (&[(XFF, "6.6.6.6, 192.0.2.7")], Some("192.0.2.7")),
            (&[(XFF, "6.6.6.6"), (XFF, "192.0.2.7, 10.1.1.1")], Some("192.0.2.7")),
            (&[(XFF, "10.0.0.9, 10.0.0.8")], Some("10.0.0.9")),
            (&[(XFF, "192.0.2.7:4711")], Some("192.0.2.7")),
            (&[(XFF, "[2001:db8::1]:4711")], Some("2001:db8::1")),
            (&[(XFF, "2001:db8::1")], Some("2001:db8::1")),
            (&[(XFF, "::ffff:192.0.2.7")], Some("192.0.2.7")),
            (&[(XFF, "6.6.6.6, unknown")], None),
            (&[(XFF, "6.6.6.6, what")], None),
            (&[(XFF, "6.6.6.6, what, 10.0.0.1")], None),
            (&[(XFF, ", ,")], None),
            (&[(XFF, "6.6.6.6"), (XFF, "\u{e9}")], None),
            (&[(FWD, "for=192.0.2.7")], Some("192.0.2.7")),
            (
                &[(FWD, "for=6.6.6.6, For=\"192.0.2.7:80\";proto=https;by=10.0.0.1")],
                Some("192.0.2.7"),
            ),
            (&[(FWD, "proto=https;for=\"[2001:db8::1]:80\"")], Some("2001:db8::1")),
            (&[(FWD, "for=192.0.2.7, for=\"[2001:db8:ff::1]\"")], Some("192.0.2.7")),
            (&[(FWD, "for=6.6.6.6, for=_hidden")], None),
            (&[(FWD, "for=6.6.6.6, proto=https")], None),
            (&[(FWD, "for=6.6.6.6;for=192.0.2.7")], None),
            (&[(FWD, "host=\"a,for=6.6.6.6\";for=192.0.2.7")], Some("192.0.2.7")),
            (&[(FWD, "host=\"a\\\",for=6.6.6.6\";for=192.0.2.7")], Some("192.0.2.7")),
            (&[(FWD, "for=192.0.2.7"), (XFF, "192.0.2.7")], Some("192.0.2.7")),
            // One of the two comes from the caller.
            (&[(FWD, "for=6.6.6.6"), (XFF, "192.0.2.7")], None),
            (&[(FWD, "for=_x"), (XFF, "192.0.2.7")], None),
        ] {
            assert_eq!(behind(fields).as_deref(), caller, "{fields:?}");
        }
    }
}
