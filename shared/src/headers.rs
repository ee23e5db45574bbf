//! Which header fields cross: hop-by-hop ones never (RFC 9110, 7.6.1), the relay's own never.

use http::header::{self, HeaderMap, HeaderName};

/// Whether a field belongs to one connection, besides those that `Connection` names.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Prefix of every field that only a relay sets.
pub const RELAY_PREFIX: &str = "x-relay-";

/// Removes the hop-by-hop fields, those that `Connection` names included.
///
/// `Trailer` is none of them: HTTP/1.1 libraries send only trailers that it announces.
/// `Content-Length` stays whatever `Connection` says: it frames the body end to end.
pub fn remove_hop_by_hop(fields: &mut HeaderMap) {
    if fields.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = fields
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
            .collect();
        for name in named {
            fields.remove(name);
        }
    }
    remove(fields, is_hop_by_hop);
}

/// Removes every field that begins with `X-Relay-`: only a relay sets them, and only its own.
pub fn remove_relay_fields(fields: &mut HeaderMap) {
    remove(fields, |name| name.as_str().starts_with(RELAY_PREFIX));
}

/// Looking at each name costs less than looking each of the forbidden ones up.
fn remove(fields: &mut HeaderMap, which: impl Fn(&HeaderName) -> bool) {
    let named: Vec<HeaderName> = fields.keys().filter(|name| which(name)).cloned().collect();
    for name in named {
        fields.remove(name);
    }
}

/// What a trailer section may not carry (RFC 9110, 6.5.1): framing, routing, credentials.
pub fn remove_forbidden_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    remove_relay_fields(trailers);
    let forbidden = |name: &HeaderName| {
        NOT_IN_TRAILERS.contains(name) || name.as_str().starts_with("x-forwarded-")
    };
    remove(trailers, forbidden);
}

/// What some servers would take for a header field, once trailers are merged into the header.
static NOT_IN_TRAILERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::FORWARDED,
    header::HOST,
    header::VIA,
    HeaderName::from_static("x-workspace-id"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_connection_names_goes_with_it() {
        let mut fields = map(&[
            ("connection", "close, X-Secret ,content-length"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("a2a-version", "1.0"),
        ]);
        remove_hop_by_hop(&mut fields);
        assert_eq!(fields, map(&[("content-length", "3"), ("a2a-version", "1.0")]));
    }

    #[test]
    fn trailers_cannot_stand_in_for_header_fields() {
        let mut trailers = map(&[
            ("grpc-status", "0"),
            ("x-workspace-id", "ws_other"),
            ("x-forwarded-for", "6.6.6.6"),
            ("authorization", "Bearer x"),
            ("x-relay-caller", "admin"),
        ]);
        remove_forbidden_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }

    #[test]
    fn the_relays_own_fields_go_whatever_their_end() {
        let mut fields = map(&[("x-relay-error", "X"), ("x-relay-", "Y"), ("x-relays", "kept")]);
        remove_relay_fields(&mut fields);
        assert_eq!(fields, map(&[("x-relays", "kept")]));
    }
}
