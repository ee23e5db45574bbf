//! Who is let in, how often, and which URLs may be registered.

use super::{journal::Credential, oddity::Fault, state::State};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// The routes that a hosted platform serves without an organisation's id.
const FOR_ALL: [&str; 5] =
    ["/health", "/metrics", "/registry/register", "/registry/heartbeat", "/cp"];
/// How long requests are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// What a request says of itself.
pub(super) struct Head {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) token: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) org: Option<String>,
    /// The field `X-Workspace-ID`.
    pub(super) caller: Option<String>,
}

/// How many requests are left, and when there are more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset: u64,
    pub(super) over: bool,
}

impl State {
    /// Counts a request.
    pub(super) fn count(&mut self) -> Count {
        if self.window.0.elapsed() >= WINDOW {
            self.window = (Instant::now(), 0);
        }
        self.window.1 += 1;
        let left = WINDOW.saturating_sub(self.window.0.elapsed());
        Count {
            limit: self.per_minute,
            remaining: self.per_minute.saturating_sub(self.window.1),
            reset: left.as_secs() + 1,
            over: self.window.1 > self.per_minute,
        }
    }

    /// Whether it is hosted for many and the request does not say for whom.
    pub(super) fn is_nobodys(&self, head: &Head) -> bool {
        let open = FOR_ALL.iter().any(|path| head.path.starts_with(path));
        self.org.is_some() && !open && head.org != self.org
    }

    pub(super) fn credential(&self, token: Option<&str>) -> Credential {
        let Some(token) = token else { return Credential::None };
        if token == self.admin_token {
            return Credential::Admin;
        }
        let owner = self.rows.iter().find(|row| row.is_live(token));
        owner.map_or(Credential::Wrong, |row| Credential::Workspace(row.id.clone()))
    }

    /// Whether a registry call about this workspace is let in.
    pub(super) fn opens_registry(&self, credential: &Credential, id: &str) -> bool {
        let row = self.rows.iter().find(|row| row.id == id);
        let unguarded = row.is_none_or(|row| row.live().next().is_none());
        unguarded
            || self.faults.contains(&Fault::FailsOpen)
            || *credential == Credential::Workspace(id.to_owned())
    }
}

/// Why the platform does not call this host, if it does not.
pub(super) fn dispatch_refusal(host: &str, hosted: bool) -> Option<&'static str> {
    let refused = "workspace URL is not publicly routable";
    let unspecified = ["0.0.0.0", "[::]"].contains(&host);
    let called =
        host != "localhost" && !unspecified && takes_url(&format!("http://{host}"), hosted);
    (!called).then_some(refused)
}

/// Whether the platform takes this URL at registration. Of names, only those below `example.com`
/// resolve in this world, to public addresses.
pub(super) fn takes_url(url: &str, hosted: bool) -> bool {
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    if host == "localhost" {
        return true;
    }
    let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() else {
        return host.ends_with(".example.com");
    };
    match ip {
        IpAddr::V4(ip) if ip.is_private() => hosted,
        IpAddr::V4(ip) if ip.is_unspecified() => true,
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !ip.is_loopback() && !ip.is_link_local() && !ip.is_documentation() && !shared
        }
        IpAddr::V6(ip) => !ip.is_loopback(),
    }
}
