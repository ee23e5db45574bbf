//! Whether a request may come from a web page, and from which. Pure.
//!
//! A page of another site can send requests here, with the operator's cookie if the site is another
//! port of the same host: the browser tells where they come from, and that is judged.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where a request says that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// A page of this listener.
    OwnPage,
    /// Nothing that says so: a typed address, a link, a script, curl.
    Unsaid,
    /// A page of another site or port.
    Elsewhere,
}

/// Where a request with these fields comes from. Its `Host` was found to be our own.
pub(super) fn of(fields: &HeaderMap) -> From {
    let mut origins = fields.get_all(ORIGIN).iter();
    let site = fields.get(SEC_FETCH_SITE).map(http::HeaderValue::as_bytes);
    match (origins.next(), origins.next(), site) {
        (_, Some(_), _) => From::Elsewhere,
        (Some(origin), None, _) if is_own(origin.as_bytes(), fields) => From::OwnPage,
        // A form that is sent without a referrer names no origin, but its site (Fetch, 3.2).
        (Some(origin), None, Some(b"same-origin")) if origin == "null" => From::OwnPage,
        (Some(_), ..) => From::Elsewhere,
        (None, _, Some(b"same-origin")) => From::OwnPage,
        (None, ..) => From::Unsaid,
    }
}

/// Whether a page of another site caused a request without an `Origin`, other than by leading to it.
pub(super) fn is_embedded(fields: &HeaderMap) -> bool {
    fields.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// Whether the origin is this listener, by the name that the request calls it.
fn is_own(origin: &[u8], fields: &HeaderMap) -> bool {
    let rest = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    match (rest, fields.get(HOST)) {
        (Some(rest), Some(host)) => rest.eq_ignore_ascii_case(host.as_bytes()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listeners_own_pages_pass_as_such() {
        for (origin, site, expected) in [
            ("http://localhost:8081", "", From::OwnPage),
            ("https://LOCALHOST:8081", "same-origin", From::OwnPage),
            ("null", "same-origin", From::OwnPage),
            ("", "same-origin", From::OwnPage),
            ("", "none", From::Unsaid),
            ("", "cross-site", From::Unsaid),
            ("", "", From::Unsaid),
            ("null", "", From::Elsewhere),
            ("null", "cross-site", From::Elsewhere),
            ("http://localhost:3000", "same-site", From::Elsewhere),
            ("http://localhost", "", From::Elsewhere),
            ("http://evil.example", "cross-site", From::Elsewhere),
            ("http://localhost:8081.evil.example", "", From::Elsewhere),
            ("ftp://localhost:8081", "", From::Elsewhere),
        ] {
            let mut fields = HeaderMap::from_iter([(HOST, "localhost:8081".parse().unwrap())]);
            if !origin.is_empty() {
                fields.insert(ORIGIN, origin.parse().unwrap());
            }
            if !site.is_empty() {
                fields.insert(SEC_FETCH_SITE, site.parse().unwrap());
            }
            assert_eq!(of(&fields), expected, "{origin:?} {site:?}");
            assert_eq!(is_embedded(&fields), ["cross-site", "same-site"].contains(&site));
        }
        let mut two = HeaderMap::from_iter([(HOST, "localhost".parse().unwrap())]);
        two.append(ORIGIN, "http://localhost".parse().unwrap());
        assert_eq!(of(&two), From::OwnPage);
        two.append(ORIGIN, "http://evil.example".parse().unwrap());
        assert_eq!(of(&two), From::Elsewhere);
    }
}
