//! Where the local agent listens: the one host and port that anything is ever forwarded to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderValue;
use shared::wire::Binding;

/// The agent's origin, from the connector's own configuration only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    host: String,
    port: u16,
}

/// TARGET as its owner writes it: an origin, and perhaps the path of the A2A endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTarget {
    /// Where the agent listens.
    pub origin: Origin,
    /// The path of the endpoint, if TARGET had one.
    pub path: Option<String>,
}

/// A further port of the same agent, with the binding that it speaks there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Also {
    /// The binding.
    pub binding: Binding,
    /// The port, on the host of TARGET.
    pub port: u16,
}

impl FromStr for Also {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (binding, port) =
            text.split_once('=').ok_or("write BINDING=PORT, like http+json=8081")?;
        let binding = match binding.to_ascii_lowercase().as_str() {
            "http+json" => Binding::HttpJson,
            "jsonrpc" => Binding::JsonRpc,
            "grpc" => Binding::Grpc,
            _ => return Err("the binding is http+json, jsonrpc or grpc"),
        };
        let port = parse_port(port).ok_or("the port is a number from 1 to 65535")?;
        Ok(Self { binding, port })
    }
}

/// Why a text is no TARGET.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It has another scheme than plain HTTP.
    #[error("`{0}` is not served over plain HTTP; give the agent's http:// address or its port")]
    Scheme(String),
    /// It is no port, no `host:port` and no URL.
    #[error("`{0}` is no port, no host:port and no http:// URL; write for example 8000")]
    Shape(String),
}

impl Origin {
    /// The agent at `port` of loopback.
    pub fn loopback(port: u16) -> Self {
        Self { host: "127.0.0.1".into(), port }
    }

    /// Host and port to dial; an IPv6 address stands without brackets.
    pub fn dial(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether `host`, as a URL writes it, is the host of this origin.
    pub fn has_host(&self, host: &str) -> bool {
        self.host.eq_ignore_ascii_case(host)
    }

    /// The value of `Host`.
    pub fn authority(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }

    /// The same host at another port.
    pub fn at(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }

    /// Such as `http://127.0.0.1:8000`.
    pub fn url(&self) -> String {
        format!("http://{self}")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for LocalTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let shape = || TargetError::Shape(text.to_owned());
        if let Ok(port) = text.parse::<u16>() {
            let origin = Some(Origin::loopback(port)).filter(|_| port != 0).ok_or_else(shape)?;
            return Ok(Self { origin, path: None });
        }
        let (authority, path, default_port) = match text.split_once("://") {
            None => (text, "", None),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (authority, path, Some(80))
            }
            Some(_) => return Err(TargetError::Scheme(text.to_owned())),
        };
        let (host, port) = split_authority(authority, default_port).ok_or_else(shape)?;
        if path.contains(['?', '#']) || !path.is_ascii() {
            return Err(shape());
        }
        let path = (path.len() > 1).then(|| path.to_owned());
        Ok(Self { origin: Origin { host: host.to_owned(), port }, path })
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets.
pub(crate) fn split_authority(text: &str, default_port: Option<u16>) -> Option<(&str, u16)> {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    let colon = text.get(after_address..)?.find(':').map(|at| after_address + at);
    let (host, port) = match colon {
        None => (text, default_port?),
        Some(at) => (text.get(..at)?, parse_port(text.get(at + 1..)?)?),
    };
    is_host(host).then_some((host, port))
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address.strip_suffix(']').is_some_and(|ip| ip.parse::<IpAddr>().is_ok());
    }
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_port_an_authority_or_a_url() {
        for (text, origin, path) in [
            ("8000", "127.0.0.1:8000", None),
            ("localhost:8000", "localhost:8000", None),
            ("[::1]:9", "[::1]:9", None),
            ("http://127.0.0.1:8000", "127.0.0.1:8000", None),
            ("http://127.0.0.1:8000/", "127.0.0.1:8000", None),
            ("HTTP://agent.internal", "agent.internal:80", None),
            ("http://127.0.0.1:8000/rpc/v1", "127.0.0.1:8000", Some("/rpc/v1")),
        ] {
            let target: LocalTarget = text.parse().unwrap();
            assert_eq!(
                (target.origin.to_string().as_str(), target.path.as_deref()),
                (origin, path)
            );
        }
    }

    #[test]
    fn a_further_port_has_a_binding() {
        let also = |binding, port| Ok(Also { binding, port });
        assert_eq!("http+json=8081".parse(), also(Binding::HttpJson, 8081));
        assert_eq!("grpc=10000".parse(), also(Binding::Grpc, 10_000));
        assert_eq!("JSONRPC=1".parse(), also(Binding::JsonRpc, 1));
        for wrong in ["", "8081", "http+json", "http+json=0", "rest=1", "http+json=+1"] {
            assert!(wrong.parse::<Also>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "0",
            "70000",
            "localhost",
            "a:0",
            "a:+1",
            "http://",
            "http://a:1/x?y",
            "u@h:1",
            "::1:9",
        ] {
            assert!(matches!(text.parse::<LocalTarget>(), Err(TargetError::Shape(_))), "{text}");
        }
        let https = "https://127.0.0.1:8000".parse::<LocalTarget>();
        assert!(matches!(https, Err(TargetError::Scheme(_))));
    }
}
