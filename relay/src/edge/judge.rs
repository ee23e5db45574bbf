//! Judges the head of a request before anything else looks at it. Pure.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Uri, Version};
use shared::limits::{METHOD_BYTES_MAX, URI_BYTES_MAX};
use shared::wire::fields::within_limits;

use super::failure::Failure;

/// Says no to heads that two servers could read in two ways, or that are over the limits.
/// `has_body` is what the framing says.
pub fn judge(
    method: &Method,
    uri: &Uri,
    version: Version,
    fields: &HeaderMap,
    has_body: bool,
) -> Result<(), Failure> {
    if version < Version::HTTP_11 {
        return Err(Failure::HttpVersion);
    }
    if method.as_str().len() > METHOD_BYTES_MAX {
        return Err(Failure::NotImplemented("No method has a name this long."));
    }
    if method == Method::CONNECT {
        return Err(Failure::MethodNotAllowed("GET, POST, DELETE, OPTIONS"));
    }
    if uri.path_and_query().map_or(0, |raw| raw.as_str().len()) > URI_BYTES_MAX {
        return Err(Failure::UriTooLong);
    }
    if !within_limits(fields) {
        return Err(Failure::HeadersTooLarge);
    }
    judge_host(uri, version, fields)?;
    if fields.keys().any(|name| name.as_str().contains('_')) {
        return Err(Failure::BadRequest(
            "A header name contains an underscore, which servers read in different ways. Use a hyphen.",
        ));
    }
    if has_body && (method == Method::GET || method == Method::HEAD) {
        return Err(Failure::BadRequest(
            "A GET request with a body means different things to different servers.",
        ));
    }
    judge_framing(fields)
}

/// The host that a request names, perhaps with a port: what [`judge`] lets through names one alone.
pub fn host<'r>(uri: &'r Uri, fields: &'r HeaderMap) -> &'r str {
    let field = || fields.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(|authority| authority.as_str()).or_else(field).unwrap_or_default()
}

/// One host: that of Host, and no other one in the request line (RFC 9112, 3.2); on HTTP/2 that of
/// `:authority`, and no other one in Host (RFC 9113, 8.3.1).
fn judge_host(uri: &Uri, version: Version, fields: &HeaderMap) -> Result<(), Failure> {
    let mut hosts = fields.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let (host, more) = (hosts.next(), hosts.next());
    let named = if version == Version::HTTP_2 { host.or(authority) } else { host };
    let (Some(host), None) = (named, more) else {
        return Err(Failure::BadRequest("A request has exactly one Host field."));
    };
    if authority.is_some_and(|authority| authority != host) {
        return Err(Failure::BadRequest("The request line names another host than Host does."));
    }
    if !uri.path().starts_with('/') {
        return Err(Failure::BadRequest("The request line names no path."));
    }
    Ok(())
}

fn judge_framing(fields: &HeaderMap) -> Result<(), Failure> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if codings.next().is_some() {
        return Err(Failure::BadRequest("A request has one Transfer-Encoding at most."));
    }
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Failure::NotImplemented("The only transfer coding here is chunked."));
    }
    if coding.is_some() && fields.contains_key(CONTENT_LENGTH) {
        return Err(Failure::BadRequest(
            "A request has Content-Length or Transfer-Encoding, not both.",
        ));
    }
    if fields.get(EXPECT).is_some_and(|what| !what.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Failure::BadRequest("The only expectation here is 100-continue."));
    }
    Ok(())
}

/// Whether a media type is JSON: `application/json`, or any with the suffix `+json`.
pub fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    let part = |range: Option<&[u8]>, text: &[u8]| {
        range.is_some_and(|part| part.eq_ignore_ascii_case(text))
    };
    let application = part(essence.get(..12), b"application/");
    let end = |bytes: usize| essence.get(essence.len().saturating_sub(bytes)..);
    essence.eq_ignore_ascii_case(b"application/json") || application && part(end(5), b"+json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn code(
        method: &str,
        uri: &str,
        version: Version,
        list: &[(&'static str, &str)],
    ) -> &'static str {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let fields = fields(list);
        let has_body = fields.contains_key(TRANSFER_ENCODING)
            || fields.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
        match judge(&method, &uri.parse().unwrap(), version, &fields, has_body) {
            Ok(()) => "ok",
            Err(failure) => failure.verdict().code,
        }
    }

    #[test]
    fn heads_are_judged() {
        let host = ("host", "relay");
        let long_uri = format!("/{}", "x".repeat(URI_BYTES_MAX));
        let long_value = "x".repeat(33 * 1024);
        for (method, uri, list, expected) in [
            ("POST", "/a2a", &[host, ("content-length", "3")][..], "ok"),
            ("POST", "http://relay/a2a", &[host], "ok"),
            ("GET", "/", &[host, ("content-length", "0")], "ok"),
            ("AMETHODWITHAVERYLONGNAMEX", "/", &[host], "RELAY_NOT_IMPLEMENTED"),
            ("POST", "/a2a", &[], "RELAY_BAD_REQUEST"),
            ("POST", "/a2a", &[host, host], "RELAY_BAD_REQUEST"),
            ("POST", "http://other/a2a", &[host], "RELAY_BAD_REQUEST"),
            ("CONNECT", "relay:443", &[host], "RELAY_METHOD_NOT_ALLOWED"),
            ("OPTIONS", "*", &[host], "RELAY_BAD_REQUEST"),
            ("GET", "/", &[host, ("content-length", "3")], "RELAY_BAD_REQUEST"),
            ("GET", "/", &[host, ("transfer-encoding", "chunked")], "RELAY_BAD_REQUEST"),
            ("POST", "/", &[host, ("transfer-encoding", "gzip, chunked")], "RELAY_NOT_IMPLEMENTED"),
            (
                "POST",
                "/",
                &[host, ("transfer-encoding", "chunked"), ("content-length", "3")],
                "RELAY_BAD_REQUEST",
            ),
            ("POST", "/", &[host, ("x_y", "1")], "RELAY_BAD_REQUEST"),
            ("POST", "/", &[host, ("expect", "tea")], "RELAY_BAD_REQUEST"),
            ("POST", long_uri.as_str(), &[host], "RELAY_URI_TOO_LONG"),
            ("POST", "/", &[host, ("x-long", long_value.as_str())], "RELAY_HEADERS_TOO_LARGE"),
        ] {
            assert_eq!(
                code(method, uri, Version::HTTP_11, list),
                expected,
                "{method} {uri:.40} {list:.80?}"
            );
        }
        assert_eq!(code("POST", "/a2a", Version::HTTP_10, &[host]), "RELAY_HTTP_VERSION");
        for (uri, list, expected) in [
            ("http://relay/a2a", &[][..], "ok"),
            ("http://relay/a2a", &[host], "ok"),
            ("http://relay/a2a", &[host, host], "RELAY_BAD_REQUEST"),
            ("http://other/a2a", &[host], "RELAY_BAD_REQUEST"),
            ("/a2a", &[], "RELAY_BAD_REQUEST"),
        ] {
            assert_eq!(code("POST", uri, Version::HTTP_2, list), expected, "HTTP/2 {uri} {list:?}");
        }
    }

    #[test]
    fn json_is_json_with_parameters_and_suffixes() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "application/a2a+json"]
        {
            assert!(is_json(json.as_bytes()), "{json}");
        }
        for other in ["text/plain", "application/jsonp", "text/json", ""] {
            assert!(!is_json(other.as_bytes()), "{other}");
        }
    }
}
