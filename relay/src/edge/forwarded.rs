//! The header fields of a request on its way to the agent, and of its answer on the way back.

use std::net::IpAddr;

use http::Version;
use http::header::{
    ACCEPT_ENCODING, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, VIA,
};
use shared::headers::{remove_hop_by_hop, remove_relay_fields};

use super::trace::{TRACEPARENT, traceparent};
use crate::principal::Principal;
use crate::public::PublicUrl;

/// The addresses of those through whom a request came, the caller's first.
pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static X_WORKSPACE_ID: HeaderName = HeaderName::from_static("x-workspace-id");
static X_RELAY_CALLER: HeaderName = HeaderName::from_static("x-relay-caller");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields that the relay adds.
const OWN_FIELDS: usize = 9;

/// Who is at the other end of a connection, with the fields that say so: made once for all of its
/// requests.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address.
    pub ip: IpAddr,
    /// The shard that serves its connection, if one does.
    pub shard: Option<u8>,
    /// Whether it is a proxy whose word on who calls is taken.
    pub is_proxy: bool,
    forwarded: HeaderValue,
    forwarded_for: HeaderValue,
    forwarded_host: HeaderValue,
    forwarded_proto: HeaderValue,
}

impl Caller {
    /// A caller of the relay at `public`, whose connection is served by `shard`.
    pub fn new(ip: IpAddr, shard: Option<u8>, public: &PublicUrl) -> Self {
        let proto = if public.as_str().starts_with("https:") { "https" } else { "http" };
        Self::of(ip, shard, public.authority().as_str(), HeaderValue::from_static(proto))
    }

    /// The same caller, who is one of the operator's proxies.
    pub fn proxy(self, is_proxy: bool) -> Self {
        Self { is_proxy, ..self }
    }

    /// The caller with this address, who came through this proxy.
    pub fn behind(&self, ip: IpAddr) -> Self {
        let host = self.forwarded_host.to_str().unwrap_or_default();
        Self::of(ip, self.shard, host, self.forwarded_proto.clone())
    }

    /// The same caller, who asked the host of an agent.
    pub fn at(&self, host: &str) -> Self {
        Self::of(self.ip, self.shard, host, self.forwarded_proto.clone())
    }

    fn of(ip: IpAddr, shard: Option<u8>, host: &str, forwarded_proto: HeaderValue) -> Self {
        let proto = forwarded_proto.to_str().unwrap_or_default();
        let node = match ip {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("\"[{v6}]\""),
        };
        Self {
            ip,
            shard,
            is_proxy: false,
            forwarded: value(format!("for={node};host=\"{host}\";proto={proto}")),
            forwarded_for: value(ip.to_string()),
            forwarded_host: value(host.to_owned()),
            forwarded_proto,
        }
    }
}

/// What is made of addresses and configured names can stand in a field.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// How a request came and what it is called.
#[derive(Debug, Clone)]
pub struct Origin<'o> {
    /// Who sent it.
    pub caller: &'o Caller,
    /// In which HTTP version.
    pub version: Version,
    /// The path of the base by which the agent was asked, without a final slash: empty at its own host.
    pub prefix: &'o str,
    /// The relay's name for the request.
    pub request_id: &'o HeaderValue,
    /// Who sent it, if its credential told.
    pub principal: Option<&'o Principal>,
}

/// Makes a caller's fields those that the agent gets: end to end ones as they are, forwarding ones
/// set and never trusted. `is_card`: the relay has to read the answer.
pub fn toward_agent(fields: &mut HeaderMap, origin: Origin<'_>, is_card: bool) {
    remove_hop_by_hop(fields);
    remove_relay_fields(fields);
    for name in [&HOST, &EXPECT, &X_WORKSPACE_ID] {
        fields.remove(name);
    }
    if is_card {
        // The relay may have to edit the card, so it must read it, and whole.
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for name in [&IF_NONE_MATCH, &IF_MODIFIED_SINCE, &IF_RANGE, &RANGE] {
            fields.remove(name);
        }
    }
    join_cookies(fields);
    fields.reserve(OWN_FIELDS);
    let Origin { caller, version, prefix, request_id, principal } = origin;
    fields.insert(FORWARDED, caller.forwarded.clone());
    fields.insert(&X_FORWARDED_FOR, caller.forwarded_for.clone());
    fields.insert(&X_FORWARDED_HOST, caller.forwarded_host.clone());
    fields.insert(&X_FORWARDED_PROTO, caller.forwarded_proto.clone());
    match HeaderValue::from_str(prefix) {
        Ok(prefix) if !prefix.is_empty() => fields.insert(&X_FORWARDED_PREFIX, prefix),
        _ => fields.remove(&X_FORWARDED_PREFIX),
    };
    fields.insert(&X_REQUEST_ID, request_id.clone());
    if let Some(Ok(name)) = principal.map(|principal| HeaderValue::try_from(principal.name())) {
        fields.insert(&X_RELAY_CALLER, name);
    }
    // RFC 9110, 7.6.3: the version in which the request was received.
    let via = if version == Version::HTTP_2 { "2 a2a-relay" } else { "1.1 a2a-relay" };
    fields.append(VIA, HeaderValue::from_static(via));
    if !fields.contains_key(&TRACEPARENT) {
        fields.insert(&TRACEPARENT, traceparent());
    }
}

/// HTTP/2 may cut the cookie field into several, which HTTP/1.1 does not know (RFC 9113, 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = fields.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(one) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        fields.insert(COOKIE, one);
    }
}

/// Makes an agent's fields those that the caller gets. The connector has done the same; it is the
/// agent owner's, so its word is not enough.
pub fn toward_caller(fields: &mut HeaderMap, request_id: &HeaderValue) {
    remove_hop_by_hop(fields);
    remove_relay_fields(fields);
    fields.insert(&X_REQUEST_ID, request_id.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_fields_are_set_and_never_trusted() {
        let mut fields: HeaderMap = [
            ("host", "relay"),
            ("x-forwarded-for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-request-id", "theirs"),
            ("x-workspace-id", "ws_other"),
            ("x-relay-caller", "admin"),
            ("connection", "x-secret"),
            ("x-secret", "1"),
            ("authorization", "Bearer the-agents-own"),
            ("a2a-version", "1.0"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let public = "https://relay.example".parse().unwrap();
        let caller = Caller::new("192.0.2.1".parse().unwrap(), Some(0), &public);
        let request_id = HeaderValue::from_static("r-1");
        let sender = Principal::Workspace("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(), None);
        let origin = Origin {
            caller: &caller,
            version: Version::HTTP_11,
            prefix: "/agents/echo",
            request_id: &request_id,
            principal: Some(&sender),
        };
        fields.insert(&TRACEPARENT, HeaderValue::from_static("00-aa-bb-01"));
        toward_agent(&mut fields, origin, false);
        let mut seen: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        seen.sort();
        assert_eq!(
            seen,
            [
                "a2a-version: 1.0",
                "authorization: Bearer the-agents-own",
                "forwarded: for=192.0.2.1;host=\"relay.example\";proto=https",
                "traceparent: 00-aa-bb-01",
                "via: 1.1 a2a-relay",
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: relay.example",
                "x-forwarded-prefix: /agents/echo",
                "x-forwarded-proto: https",
                "x-relay-caller: ws_01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "x-request-id: r-1",
            ]
        );
    }
}
