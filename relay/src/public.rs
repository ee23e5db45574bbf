//! The relay's public address, and the bases of its agents: below it, and at hosts of their own.

pub mod domain;

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

use shared::ids::Alias;

use self::domain::{Domain, Hosted};
use crate::registry::{CallerPolicy, Workspace};

/// Where callers reach the edge: scheme and authority, without a final slash; and the agents' domain,
/// if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    authority: Authority,
    domain: Option<Domain>,
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
        Self { text: format!("http://{authority}"), authority, domain: None }
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

    /// The base below which agents are by their names, with a final slash.
    pub fn agents(&self) -> String {
        format!("{}/agents/", self.text)
    }

    /// The public base by one of a workspace's names, with a final slash.
    pub fn base(&self, name: &str) -> String {
        format!("{}/agents/{name}/", self.text)
    }

    /// The same, with hosts for agents below this domain.
    pub fn with_domain(self, domain: Option<Domain>) -> Self {
        Self { domain, ..self }
    }

    /// Whose host a request names. `authority` may have a port, which means nothing here. The relay's
    /// own host is no agent's, even below the domain.
    pub fn hosted(&self, authority: &str) -> Hosted {
        let Some(domain) = &self.domain else { return Hosted::Elsewhere };
        let host = authority.split(':').next().unwrap_or_default();
        match domain.read(host) {
            Hosted::Agent(_)
                if host.trim_end_matches('.').eq_ignore_ascii_case(self.authority.host()) =>
            {
                Hosted::Elsewhere
            }
            whose => whose,
        }
    }

    /// Host of an agent, and the port if the relay's URL has one.
    pub fn host_authority(&self, alias: &Alias) -> Option<String> {
        let domain = self.domain.as_ref()?;
        Some(match self.authority.port() {
            Some(port) => format!("{alias}.{domain}:{port}"),
            None => format!("{alias}.{domain}"),
        })
    }

    /// The base of an agent at its own host, with a final slash: its origin, one to one.
    pub fn host_base(&self, alias: &Alias) -> Option<String> {
        let scheme = self.text.split("://").next().unwrap_or_default();
        Some(format!("{scheme}://{}/", self.host_authority(alias)?))
    }

    /// The alias by whose host callers of a workspace may go: a policy other than `link` opens it.
    pub fn host_alias<'w>(&self, workspace: &'w Workspace) -> Option<&'w Alias> {
        let alias = workspace.alias.as_ref()?;
        (self.domain.is_some() && workspace.callers != CallerPolicy::Link).then_some(alias)
    }

    /// The base of a workspace at its own host, if it has one.
    pub fn host_base_of(&self, workspace: &Workspace) -> Option<String> {
        self.host_base(self.host_alias(workspace)?)
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
        Ok(Self {
            text: format!("{scheme}://{authority}"),
            authority: authority.clone(),
            domain: None,
        })
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

    #[test]
    fn agents_have_hosts_of_their_own_beside_the_relays() {
        let url: PublicUrl = "https://relay.example.com:8443".parse().unwrap();
        let alias = "echo".parse().unwrap();
        assert_eq!(url.host_base(&alias), None);
        assert_eq!(url.hosted("echo.example.com"), Hosted::Elsewhere);
        let url = url.with_domain("example.com".parse().ok());
        assert_eq!(url.host_base(&alias).unwrap(), "https://echo.example.com:8443/");
        for (authority, whose) in [
            ("echo.example.com", Hosted::Agent(alias.clone())),
            ("ECHO.example.com.:1", Hosted::Agent(alias)),
            ("relay.example.com:8443", Hosted::Elsewhere),
            ("Relay.example.com.", Hosted::Elsewhere),
            ("x.relay.example.com", Hosted::Nobody),
            ("[::1]:8443", Hosted::Elsewhere),
        ] {
            assert_eq!(url.hosted(authority), whose, "{authority}");
        }
    }
}
