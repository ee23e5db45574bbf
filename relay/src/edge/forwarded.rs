//! The header fields of a request on its way to the agent, and of its answer on the way back.

use std::net::IpAddr;

use http::Version;
use http::header::{
    ACCEPT_ENCODING, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, VIA,
};
use shared::headers::{remove_hop_by_hop, remove_relay_fields};
use shared::wire::Target;

use crate::public::PublicUrl;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static X_WORKSPACE_ID: HeaderName = HeaderName::from_static("x-workspace-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request came from and what it is called.
#[derive(Debug, Clone)]
pub struct Origin<'o> {
    /// The caller's address.
    pub caller: IpAddr,
    /// The HTTP version that it speaks.
    pub version: Version,
    /// The relay's public address.
    pub public: &'o PublicUrl,
    /// The path of the base by which the agent was asked, without a final slash.
    pub prefix: &'o str,
    /// The relay's name for the request.
    pub request_id: &'o HeaderValue,
    /// A trace context, for a request that brings none.
    pub traceparent: HeaderValue,
}

/// Makes a caller's fields those that the agent gets: end to end ones as they are, forwarding ones
/// set and never trusted.
pub fn toward_agent(fields: &mut HeaderMap, origin: Origin<'_>, target: &Target) {
    remove_hop_by_hop(fields);
    remove_relay_fields(fields);
    for name in [&HOST, &EXPECT, &X_WORKSPACE_ID] {
        fields.remove(name);
    }
    if *target == Target::Card {
        // The relay may have to edit the card, so it must read it, and whole.
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields.remove(IF_NONE_MATCH);
        fields.remove(IF_MODIFIED_SINCE);
    }
    let proto = if origin.public.as_str().starts_with("https:") { "https" } else { "http" };
    let host = origin.public.authority().as_str();
    let caller = match origin.caller {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    set(fields, &FORWARDED, &format!("for={caller};host=\"{host}\";proto={proto}"));
    set(fields, &X_FORWARDED_FOR, &origin.caller.to_string());
    set(fields, &X_FORWARDED_HOST, host);
    set(fields, &X_FORWARDED_PREFIX, origin.prefix);
    fields.insert(X_FORWARDED_PROTO.clone(), HeaderValue::from_static(proto));
    fields.insert(X_REQUEST_ID.clone(), origin.request_id.clone());
    // RFC 9110, 7.6.3: the version in which the request was received.
    let via = if origin.version == Version::HTTP_2 { "2 a2a-relay" } else { "1.1 a2a-relay" };
    fields.append(VIA, HeaderValue::from_static(via));
    if !fields.contains_key(&TRACEPARENT) {
        fields.insert(TRACEPARENT.clone(), origin.traceparent);
    }
}

/// Makes an agent's fields those that the caller gets. The connector has done the same; it is the
/// agent owner's, so its word is not enough.
pub fn toward_caller(fields: &mut HeaderMap, request_id: &HeaderValue) {
    remove_hop_by_hop(fields);
    remove_relay_fields(fields);
    fields.insert(X_REQUEST_ID.clone(), request_id.clone());
}

fn set(fields: &mut HeaderMap, name: &HeaderName, value: &str) {
    // What is set is made of addresses and configured names; a value that cannot stand is left out.
    match HeaderValue::from_str(value) {
        Ok(value) => fields.insert(name.clone(), value),
        Err(_) => fields.remove(name),
    };
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
        let request_id = HeaderValue::from_static("r-1");
        let origin = Origin {
            caller: "192.0.2.1".parse().unwrap(),
            version: Version::HTTP_11,
            public: &public,
            prefix: "/agents/echo",
            request_id: &request_id,
            traceparent: HeaderValue::from_static("00-aa-bb-01"),
        };
        toward_agent(&mut fields, origin, &Target::Endpoint);
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
                "x-request-id: r-1",
            ]
        );
    }
}
