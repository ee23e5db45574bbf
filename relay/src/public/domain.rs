//! The domain under which each agent with an alias has a host name of its own. Pure.

use std::fmt;
use std::str::FromStr;

use shared::ids::Alias;

/// A name may have so many characters, dots included (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// A DNS name in lower case, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

/// A text that cannot be the agents' domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the agents' domain. Give a DNS name like agents.example.com.")]
pub struct DomainError(String);

/// Whose host a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosted {
    /// Not one of the domain.
    Elsewhere,
    /// The one of the agent with this alias, if there is such an agent.
    Agent(Alias),
    /// One below the domain that no alias can have.
    Nobody,
}

impl Domain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a host, without its port. Case and one final dot mean nothing in a name (RFC 4343;
    /// RFC 1034, 3.1). The domain itself is no agent's.
    pub fn read(&self, host: &str) -> Hosted {
        let host = host.strip_suffix('.').unwrap_or(host);
        let Some((label, domain)) =
            host.len().checked_sub(self.0.len() + 1).and_then(|at| host.split_at_checked(at))
        else {
            return Hosted::Elsewhere;
        };
        match domain.strip_prefix('.') {
            Some(domain) if domain.eq_ignore_ascii_case(&self.0) => {
                label.to_ascii_lowercase().parse().map_or(Hosted::Nobody, Hosted::Agent)
            }
            _ => Hosted::Elsewhere,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // Each label of a host name has the shape of an alias.
        let labels = name.split('.').all(|label| label.parse::<Alias>().is_ok());
        let address = name.rsplit('.').next().is_some_and(|last| last.parse::<u32>().is_ok());
        if labels && !address && name.len() <= NAME_BYTES_MAX {
            Ok(Self(name))
        } else {
            Err(DomainError(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_below_the_domain_is_an_agents() {
        let domain: Domain = "Agents.Example.COM.".parse().unwrap();
        assert_eq!(domain.as_str(), "agents.example.com");
        let echo = Hosted::Agent("echo".parse().unwrap());
        for (host, whose) in [
            ("echo.agents.example.com", echo.clone()),
            ("ECHO.Agents.Example.Com", echo.clone()),
            ("echo.agents.example.com.", echo),
            ("a.echo.agents.example.com", Hosted::Nobody),
            (".agents.example.com", Hosted::Nobody),
            ("-x.agents.example.com", Hosted::Nobody),
            ("user@echo.agents.example.com", Hosted::Nobody),
            ("echo.agents.example.com..", Hosted::Elsewhere),
            ("agents.example.com", Hosted::Elsewhere),
            ("echoagents.example.com", Hosted::Elsewhere),
            ("echo.agents.example.com.evil.example", Hosted::Elsewhere),
            ("example.com", Hosted::Elsewhere),
            ("é.agents.example.com", Hosted::Nobody),
            ("éagents.example.com", Hosted::Elsewhere),
            ("", Hosted::Elsewhere),
        ] {
            assert_eq!(domain.read(host), whose, "{host}");
        }
    }

    #[test]
    fn a_domain_is_a_dns_name() {
        for wrong in ["", ".", "a..b", "a b", "https://x", "x:1", "127.0.0.1", "*.x", "a_b.c"] {
            assert!(wrong.parse::<Domain>().is_err(), "{wrong}");
        }
        assert!(format!("{}com", "a.".repeat(126)).parse::<Domain>().is_err());
        assert!("localhost".parse::<Domain>().is_ok());
    }
}
