//! The relay's public address, and the bases of its agents below it.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::registry::Workspace;

/// Where callers reach the edge: scheme and authority, without a final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    authority: Authority,
}

/// A text that cannot be the relay's public address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be the public URL: {why}. Give one like https://relay.example.com.")]
pub struct PublicUrlError {
    text: String,
    why: &'static str,
}

impl PublicUrl {
    /// The address of a listener on this host's loopback.
    pub fn loopback(port: u16) -> Self {
        let authority = Authority::from_static("127.0.0.1");
        let authority = format!("127.0.0.1:{port}").parse().unwrap_or(authority);
        Self { text: format!("http://{authority}"), authority }
    }

    /// The URL without a final slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host, and its port if it has one.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The public base of a workspace, by its address, with a final slash.
    pub fn base_of(&self, workspace: &Workspace) -> String {
        self.base(&workspace.address.reveal())
    }

    /// The public base by one of a workspace's names, with a final slash.
    pub fn base(&self, name: &str) -> String {
        format!("{}/agents/{name}/", self.text)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;
    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let wrong = |why| PublicUrlError { text: text.to_owned(), why };
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let scheme = uri.scheme().ok_or_else(|| wrong("it has no scheme"))?;
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(wrong("its scheme is neither http nor https"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it contains a user"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it has a path or a query"));
        }
        Ok(Self { text: format!("{scheme}://{authority}"), authority: authority.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        let url: PublicUrl = "https://relay.example.com/".parse().unwrap();
        assert_eq!(url.as_str(), "https://relay.example.com");
        assert_eq!(url.base("x"), "https://relay.example.com/agents/x/");
        for wrong in
            ["relay.example.com", "ftp://x", "https://u@x", "https://x/path", "https://x?q"]
        {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }
}
