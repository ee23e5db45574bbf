//! Maps what a request is for to a path of the local agent, or refuses it.

use http::uri::{InvalidUri, PathAndQuery};
use shared::exposure::CARD_PATHS;
use shared::wire::{Binding, Target};

use super::exposure::Derived;

/// What of the agent is known: what crosses, and where its card is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// What crosses, and to which port.
    pub crosses: Derived,
    /// The card, or null.
    pub card: serde_json::Value,
    /// Where the card was found.
    pub card_path: Option<String>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Raw path and query.
    pub path: PathAndQuery,
    /// To which of the further ports; else to TARGET's.
    pub also: Option<usize>,
}

/// Why a request is for nothing that the agent has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTarget {
    /// The path does not cross.
    Denied(String),
    /// Path or query cannot stand in a request line.
    Malformed,
}

impl From<InvalidUri> for NoTarget {
    fn from(_: InvalidUri) -> Self {
        Self::Malformed
    }
}

/// The raw path and query to ask the agent for. Nothing is decoded or normalised.
pub fn map(
    target: &Target,
    binding: Binding,
    query: Option<&str>,
    agent: &Description,
) -> Result<Mapped, NoTarget> {
    let crosses = &agent.crosses;
    let (path, also) = match target {
        Target::Raw(path) if binding == Binding::Grpc && crosses.exposure.allows_grpc(path) => {
            (path.as_str(), crosses.grpc_also)
        }
        Target::Raw(path) if binding == Binding::Grpc => {
            return Err(NoTarget::Denied(path.clone()));
        }
        Target::Endpoint | Target::Card if binding == Binding::Grpc => {
            return Err(NoTarget::Malformed);
        }
        Target::Endpoint => (crosses.exposure.endpoint.as_str(), crosses.endpoint_also),
        Target::Card => (agent.card_path.as_deref().unwrap_or_else(|| first_card_path()), None),
        Target::Raw(path) if crosses.exposure.allows(path) => {
            (path.as_str(), crosses.also_of(path))
        }
        Target::Raw(path) => return Err(NoTarget::Denied(path.clone())),
    };
    let mapped = match query {
        None => PathAndQuery::try_from(path)?,
        Some(query) => PathAndQuery::from_maybe_shared(format!("{path}?{query}"))?,
    };
    // What would be asked for is what was judged.
    if mapped.path() == path { Ok(Mapped { path: mapped, also }) } else { Err(NoTarget::Malformed) }
}

/// Whether a request is for the public card.
pub fn is_card(target: &Target) -> bool {
    match target {
        Target::Card => true,
        Target::Raw(path) => CARD_PATHS.iter().any(|name| path.ends_with(name)),
        Target::Endpoint => false,
    }
}

fn first_card_path() -> &'static str {
    let [path, _] = CARD_PATHS;
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::exposure::{Exposure, Rule};

    fn agent() -> Description {
        let rules = vec![Rule::Below("/hooks".into()), Rule::HttpJson("/".into())];
        let exposure = Exposure { all: false, endpoint: "/rpc".into(), rules };
        let also = vec![(Rule::HttpJson("/".into()), 1)];
        let crosses = Derived { exposure, also, endpoint_also: None, grpc_also: None };
        Description { crosses, card: serde_json::Value::Null, card_path: None }
    }

    #[test]
    fn what_a_further_port_serves_goes_there_and_nothing_else() {
        for (path, also) in [("/v1/message:send", Some(1)), ("/hooks/x", None), ("/rpc", None)] {
            let mapped = map(&Target::Raw(path.into()), Binding::JsonRpc, None, &agent()).unwrap();
            assert_eq!(mapped.also, also, "{path}");
        }
        assert_eq!(map(&Target::Endpoint, Binding::JsonRpc, None, &agent()).unwrap().also, None);
        let mut agent = agent();
        agent.crosses.endpoint_also = Some(0);
        assert_eq!(map(&Target::Endpoint, Binding::JsonRpc, None, &agent).unwrap().also, Some(0));
    }

    #[test]
    fn a_target_becomes_a_path_with_its_raw_query() {
        let raw = |path: &str| Target::Raw(path.into());
        for (target, query, asked) in [
            (Target::Endpoint, None, "/rpc"),
            (Target::Endpoint, Some("A2A-Version=1.0&a=1&a=2"), "/rpc?A2A-Version=1.0&a=1&a=2"),
            (Target::Card, None, "/.well-known/agent-card.json"),
            (raw("/hooks/%41/b:c"), Some(""), "/hooks/%41/b:c?"),
            (raw("/rpc"), Some("x?y"), "/rpc?x?y"),
        ] {
            assert_eq!(
                map(&target, Binding::JsonRpc, query, &agent()).unwrap().path.as_str(),
                asked
            );
        }
    }

    #[test]
    fn a_card_is_asked_for_where_it_was_found() {
        let agent = Description { card_path: Some("/rpc/agent.json".into()), ..agent() };
        assert_eq!(
            map(&Target::Card, Binding::JsonRpc, None, &agent).unwrap().path.as_str(),
            "/rpc/agent.json"
        );
    }

    #[test]
    fn a_path_outside_the_list_is_denied() {
        for path in ["/", "/admin", "/hooks/../admin", "/hooks/%2e%2e/x", "//hooks", "/rpc/"] {
            let denied = map(&Target::Raw(path.into()), Binding::JsonRpc, None, &agent());
            assert_eq!(denied, Err(NoTarget::Denied(path.into())), "{path}");
        }
        let open = Exposure { all: true, ..Exposure::default() };
        let crosses = Derived { exposure: open, ..Derived::default() };
        let agent = Description { crosses, ..Description::default() };
        assert!(map(&Target::Raw("/admin".into()), Binding::JsonRpc, None, &agent).is_ok());
    }
}
