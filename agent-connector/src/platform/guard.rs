//! Who may use the platform, and what of a request's head it takes. Pure.

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version};
use shared::limits::URI_BYTES_MAX;
use shared::wire::fields::within_limits;

use super::refusal::Refusal;

/// Largest body of a request, bytes: what the relay takes at most, unless its operator says otherwise.
pub(super) const BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Refuses what does not come from this machine's own programs, and what cannot cross.
pub(super) fn judge(parts: &Parts, port: u16) -> Result<(), Refusal> {
    judge_source(parts, port)?;
    if parts.version < Version::HTTP_11 {
        return Err(Refusal::http_version());
    }
    let path = parts.uri.path();
    let uri_bytes = parts.uri.path_and_query().map_or(0, |uri| uri.as_str().len());
    if parts.method == Method::CONNECT || !path.starts_with('/') {
        return Err(Refusal::bad_request("A request here names a path."));
    }
    if uri_bytes > URI_BYTES_MAX {
        return Err(Refusal::uri_too_long());
    }
    if !within_limits(&parts.headers) {
        return Err(Refusal::headers_too_large());
    }
    match content_length(&parts.headers) {
        Some(length) if length > BODY_BYTES_MAX => Err(Refusal::body_too_large()),
        _ => Ok(()),
    }
}

/// A web page that has found the port is in another origin, or has led a name of its own here.
fn judge_source(parts: &Parts, port: u16) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let of_uri = parts.uri.authority().map(Authority::as_str);
    let right = |authority: Option<&str>| authority.is_some_and(|text| is_ours(text, port));
    if !right(host) || !(of_uri.is_none() || right(of_uri)) {
        return Err(Refusal::forbidden("The platform answers under its own address only."));
    }
    let same_origin = |value: &HeaderValue| {
        let origin = value.to_str().ok().and_then(|text| text.strip_prefix("http://"));
        origin.is_some_and(|authority| Some(authority) == host)
    };
    let of_a_page = parts.headers.get_all("sec-fetch-site").iter().any(|site| {
        // Browsers say so of every request that a page makes.
        site != "same-origin" && site != "none"
    });
    if of_a_page || !parts.headers.get_all(ORIGIN).iter().all(same_origin) {
        return Err(Refusal::forbidden("No web page may use the platform."));
    }
    Ok(())
}

/// Whether a host names this machine's loopback and this port.
fn is_ours(authority: &str, port: u16) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') || authority.port_u16().is_some_and(|own| own != port) {
        return false;
    }
    let host = authority.host();
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let by_number = plain.parse().is_ok_and(super::is_loopback);
    by_number || host.eq_ignore_ascii_case("localhost")
}

fn content_length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn verdict(uri: &str, fields: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        judge(&parts, 9100).map_or_else(|refusal| refusal.status, |()| 200)
    }

    #[test]
    fn no_web_page_can_use_it() {
        let own = ("host", "127.0.0.1:9100");
        for (fields, status) in [
            (&[own][..], 200),
            (&[("host", "localhost:9100")], 200),
            (&[("host", "LOCALHOST")], 200),
            (&[("host", "[::1]:9100")], 200),
            (&[("host", "127.0.0.1")], 200),
            (&[own, ("origin", "http://127.0.0.1:9100")], 200),
            (&[own, ("sec-fetch-site", "none")], 200),
            (&[], 403),
            (&[own, own], 403),
            (&[("host", "127.0.0.1:9101")], 403),
            (&[("host", "evil.example:9100")], 403),
            (&[("host", "localhost.evil.example:9100")], 403),
            (&[("host", "me@localhost:9100")], 403),
            (&[("host", "")], 403),
            (&[own, ("origin", "null")], 403),
            (&[own, ("origin", "http://127.0.0.1")], 403),
            (&[own, ("origin", "https://127.0.0.1:9100")], 403),
            (&[own, ("origin", "http://localhost:9100")], 403),
            (&[own, ("origin", "https://evil.example")], 403),
            (&[own, ("origin", "http://127.0.0.1:9100"), ("origin", "null")], 403),
            (&[own, ("sec-fetch-site", "cross-site")], 403),
            (&[own, ("sec-fetch-site", "same-site")], 403),
        ] {
            assert_eq!(verdict("/workspaces", fields), status, "{fields:?}");
        }
        assert_eq!(verdict("http://127.0.0.1:9100/x", &[own]), 200);
        assert_eq!(verdict("http://evil.example/x", &[own]), 403);
    }

    #[test]
    fn what_cannot_cross_is_refused_before_anything_does() {
        let own = ("host", "127.0.0.1:9100");
        let (long, large) = (format!("/{}", "x".repeat(URI_BYTES_MAX)), "x".repeat(40_000));
        assert_eq!(verdict(&long, &[own]), 414);
        assert_eq!(verdict("/", &[own, ("x-large", &large)]), 431);
        assert_eq!(verdict("/", &[own, ("content-length", "33554432")]), 200);
        assert_eq!(verdict("/", &[own, ("content-length", "33554433")]), 413);
        assert_eq!(verdict("*", &[own]), 400);
    }
}
