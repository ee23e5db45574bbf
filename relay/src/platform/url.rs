//! Where a platform is: its URL, and what of that goes into requests. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use http::uri::Authority;

/// The URL of a platform: scheme, host and port, and a path below which its API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformUrl {
    text: Arc<str>,
    tls: bool,
    authority: Authority,
    path: String,
}

impl PlatformUrl {
    /// Reads one; the error says why it is none, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.trim().parse().map_err(|_| "it is no URL")?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it begins with neither https:// nor http://"),
        };
        let authority = uri.authority().ok_or("it has no host")?;
        if authority.as_str().contains('@') {
            return Err("it holds a user");
        }
        if uri.query().is_some() {
            return Err("it has a query");
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        let scheme = if tls { "https" } else { "http" };
        let text = format!("{scheme}://{}{path}", authority.as_str().to_ascii_lowercase());
        Ok(Self { text: text.into(), tls, authority: authority.clone(), path })
    }

    /// The URL without a final slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, shared: the platform's name in the store.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Whether tokens that are sent there could be read on the way: it is no https, and not on this
    /// machine.
    pub fn shows_secrets(&self) -> bool {
        let here = match self.host().parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host().eq_ignore_ascii_case("localhost"),
        };
        !self.tls && !here
    }

    /// Whether it is https.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host, and port if the URL has one.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host, without the brackets of IPv6.
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Scheme, host and port: what its own pages send as `Origin`.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }

    /// The path before all paths of its API, without a final slash.
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_of_a_platform_is_told() {
        for wrong in ["ftp://x", "https://u:p@x", "https://x?q", "x", ""] {
            assert!(PlatformUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plain_http_shows_secrets_but_on_this_machine() {
        for (url, shows) in [
            ("https://platform.example.com", false),
            ("http://127.0.0.1:8090", false),
            ("http://127.9.9.9", false),
            ("http://[::1]:8090/api", false),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://LocalHost:8090", false),
            ("http://platform.example.com", true),
            ("http://10.0.0.7:8080", true),
            ("http://localhost.example.com", true),
        ] {
            assert_eq!(PlatformUrl::parse(url).unwrap().shows_secrets(), shows, "{url}");
        }
    }
}
