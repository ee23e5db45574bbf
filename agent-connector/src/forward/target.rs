//! Maps what a request is for to a path of the local agent, or refuses it.

use http::uri::{InvalidUri, PathAndQuery};
use shared::exposure::{CARD_PATHS, Exposure};
use shared::wire::Target;

/// What of the agent is known: what crosses, and where its card is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Description {
    /// What crosses.
    pub exposure: Exposure,
    /// The card, or null.
    pub card: serde_json::Value,
    /// Where the card was found.
    pub card_path: Option<String>,
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
    query: Option<&str>,
    agent: &Description,
) -> Result<PathAndQuery, NoTarget> {
    let path = match target {
        Target::Endpoint => agent.exposure.endpoint.as_str(),
        Target::Card => agent.card_path.as_deref().unwrap_or_else(|| first_card_path()),
        Target::Raw(path) if agent.exposure.allows(path) => path,
        Target::Raw(path) => return Err(NoTarget::Denied(path.clone())),
    };
    let mapped = match query {
        None => PathAndQuery::try_from(path)?,
        Some(query) => PathAndQuery::from_maybe_shared(format!("{path}?{query}"))?,
    };
    // What would be asked for is what was judged.
    if mapped.path() == path { Ok(mapped) } else { Err(NoTarget::Malformed) }
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
    use shared::exposure::Rule;

    fn agent() -> Description {
        let exposure = Exposure {
            all: false,
            endpoint: "/rpc".into(),
            rules: vec![Rule::Below("/hooks".into())],
        };
        Description { exposure, card: serde_json::Value::Null, card_path: None }
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
            assert_eq!(map(&target, query, &agent()).unwrap().as_str(), asked);
        }
    }

    #[test]
    fn a_card_is_asked_for_where_it_was_found() {
        let agent = Description { card_path: Some("/rpc/agent.json".into()), ..agent() };
        assert_eq!(map(&Target::Card, None, &agent).unwrap().as_str(), "/rpc/agent.json");
    }

    #[test]
    fn a_path_outside_the_list_is_denied() {
        for path in ["/", "/admin", "/hooks/../admin", "/hooks/%2e%2e/x", "//hooks", "/rpc/"] {
            let denied = map(&Target::Raw(path.into()), None, &agent());
            assert_eq!(denied, Err(NoTarget::Denied(path.into())), "{path}");
        }
        let open = Exposure { all: true, ..Exposure::default() };
        let agent = Description { exposure: open, ..Description::default() };
        assert!(map(&Target::Raw("/admin".into()), None, &agent).is_ok());
    }
}
