//! Who may call an agent, and what of it a path reaches. Pure.

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use shared::exposure::{CARD_PATHS, Exposure};
use shared::wire::{Binding, Target};

use super::failure::Failure;
use super::judge::is_json;
use super::render::Dialect;
use super::route::AgentName;
use crate::registry::{CallerPolicy, ExposurePolicy};

/// Judges a caller by the workspace's policy and the name that it used.
///
/// No caller token exists yet that could satisfy `token` or `workspaces`: they let nobody in. A
/// relay credential that is not valid is refused under every policy, rather than passed over.
pub fn admit(policy: CallerPolicy, name: &AgentName, fields: &HeaderMap) -> Result<(), Failure> {
    if shows_relay_credential(fields) {
        return Err(Failure::Unauthenticated);
    }
    match (policy, name) {
        (CallerPolicy::Link, AgentName::Address(_)) | (CallerPolicy::Open, _) => Ok(()),
        _ => Err(Failure::Unauthenticated),
    }
}

/// Prefixes of caller tokens, which are checked wherever they stand.
const CALLER_TOKEN: &[u8] = b"rcall_";
/// Prefixes of the relay's credentials, which never cross to an agent.
const NEVER_CROSS: [&[u8]; 4] = [CALLER_TOKEN, b"rtok_", b"okey_", b"radm_"];

fn shows_relay_credential(fields: &HeaderMap) -> bool {
    fields.contains_key("x-relay-authorization")
        || fields
            .get_all(AUTHORIZATION)
            .iter()
            .any(|value| bearer(value.as_bytes()).starts_with(CALLER_TOKEN))
}

/// Removes the fields that hold a credential of the relay, wherever a caller put it. `is_admin` knows
/// the admin token, which has `admin_bytes`.
pub fn remove_relay_credentials(
    fields: &mut HeaderMap,
    admin_bytes: usize,
    is_admin: impl Fn(&[u8]) -> bool,
) {
    let is_ours =
        |word: &[u8]| NEVER_CROSS.iter().any(|prefix| word.starts_with(prefix)) || is_admin(word);
    let tainted: Vec<_> = fields
        .iter()
        .filter(|(_, value)| {
            let value = value.as_bytes();
            // Each of the prefixes has an underscore: most values are told by that alone.
            let may = value.contains(&b'_') || value.len() >= admin_bytes;
            may && (is_ours(bearer(value)) || words(value).any(is_ours))
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in tainted {
        fields.remove(name);
    }
}

/// What stands between schemes, names of cookies, quotes and commas.
fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| !(byte.is_ascii_alphanumeric() || b"_-.~+/".contains(byte)))
}

/// The token behind `Bearer`, or the whole value where there is none.
fn bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => value.trim_ascii(),
    }
}

/// What a request reaches, and how its caller is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// What of the agent it is for.
    pub target: Target,
    /// Its binding.
    pub binding: Binding,
    /// The caller's dialect.
    pub dialect: Dialect,
}

/// The dialect of a path before its agent is known: what a refusal would look like.
pub fn dialect(rest: &str, method: &Method) -> Dialect {
    if card_path(rest).is_some() {
        Dialect::Problem
    } else if is_endpoint_alias(rest) && *method == Method::POST {
        Dialect::JsonRpc
    } else {
        Dialect::HttpJson
    }
}

/// Maps the path behind an agent's name to what it reaches, under both policies: the narrower holds.
///
/// `announced` is the connector's list; `None` while the agent is away, when only the paths that
/// every agent has can be told from those that it has not.
pub fn reach(
    rest: &str,
    method: &Method,
    policy: ExposurePolicy,
    announced: Option<&Exposure>,
) -> Result<Option<Reach>, Failure> {
    let all = policy == ExposurePolicy::All && announced.is_some_and(|announced| announced.all);
    if all {
        let path = if rest.is_empty() { "/" } else { rest };
        let dialect = dialect(rest, method);
        // The origin as it is, but for the one document that must not name it.
        let target = match card_path(rest) {
            Some(_) if !rest.starts_with("/a2a") => Target::Card,
            _ => Target::Raw(path.into()),
        };
        return Ok(Some(Reach { target, binding: binding(dialect), dialect }));
    }
    if is_endpoint_alias(rest) || announced.is_some_and(|list| list.endpoint == rest) {
        return match *method {
            Method::POST | Method::OPTIONS => Ok(Some(Reach {
                target: Target::Endpoint,
                binding: Binding::JsonRpc,
                dialect: Dialect::JsonRpc,
            })),
            _ => Err(Failure::MethodNotAllowed("POST, OPTIONS")),
        };
    }
    if card_path(rest).is_some() {
        return match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Ok(Some(Reach {
                target: Target::Card,
                binding: Binding::HttpJson,
                dialect: Dialect::Problem,
            })),
            _ => Err(Failure::MethodNotAllowed("GET, HEAD, OPTIONS")),
        };
    }
    let Some(announced) = announced else { return Ok(None) };
    let narrow = Exposure { all: false, ..announced.clone() };
    if !narrow.allows(rest) {
        return Err(Failure::NotFound(
            "The agent serves nothing at this path, or its exposure does not include it.",
        ));
    }
    let target = Target::Raw(rest.into());
    Ok(Some(Reach { target, binding: Binding::HttpJson, dialect: Dialect::HttpJson }))
}

/// Refuses a body that is said not to be JSON, where JSON-RPC is spoken.
pub fn judge_media_type(reach: &Reach, method: &Method, fields: &HeaderMap) -> Result<(), Failure> {
    let json_rpc = reach.target == Target::Endpoint && *method == Method::POST;
    match fields.get(CONTENT_TYPE) {
        Some(media) if json_rpc && !is_json(media.as_bytes()) => Err(Failure::UnsupportedMediaType),
        _ => Ok(()),
    }
}

/// Under the exposure `a2a` these stand for the agent's JSON-RPC endpoint, wherever that is.
fn is_endpoint_alias(rest: &str) -> bool {
    matches!(rest, "" | "/" | "/a2a" | "/a2a/")
}

/// The card's two names, below the base and below the endpoint's alias.
fn card_path(rest: &str) -> Option<&'static str> {
    let rest = rest.strip_prefix("/a2a").unwrap_or(rest);
    CARD_PATHS.into_iter().find(|path| *path == rest)
}

const fn binding(dialect: Dialect) -> Binding {
    match dialect {
        Dialect::JsonRpc => Binding::JsonRpc,
        Dialect::HttpJson | Dialect::Problem => Binding::HttpJson,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use shared::exposure::Rule;
    use shared::ids::Address;

    fn announced() -> Exposure {
        Exposure { all: false, endpoint: "/rpc".into(), rules: vec![Rule::HttpJson("/".into())] }
    }

    #[test]
    fn paths_reach_what_both_policies_allow() {
        let list = announced();
        let open = Exposure { all: true, ..announced() };
        let reached = |rest: &str, method: Method, policy, list: Option<&Exposure>| match reach(
            rest, &method, policy, list,
        ) {
            Ok(Some(reach)) => format!("{:?}", reach.target),
            Ok(None) => "unknown".into(),
            Err(failure) => failure.verdict().code.into(),
        };
        let (a2a, all) = (ExposurePolicy::A2a, ExposurePolicy::All);
        for (rest, method, policy, list, expected) in [
            ("", Method::POST, a2a, Some(&list), "Endpoint"),
            ("/a2a", Method::POST, a2a, None, "Endpoint"),
            ("/rpc", Method::POST, a2a, Some(&list), "Endpoint"),
            ("/rpc", Method::GET, a2a, Some(&list), "RELAY_METHOD_NOT_ALLOWED"),
            ("", Method::GET, a2a, Some(&list), "RELAY_METHOD_NOT_ALLOWED"),
            ("/.well-known/agent-card.json", Method::GET, a2a, None, "Card"),
            ("/a2a/.well-known/agent.json", Method::HEAD, a2a, None, "Card"),
            ("/.well-known/agent.json", Method::POST, a2a, None, "RELAY_METHOD_NOT_ALLOWED"),
            ("/v1/tasks/1:cancel", Method::POST, a2a, Some(&list), "Raw(\"/v1/tasks/1:cancel\")"),
            ("/v1/tasks/1", Method::GET, a2a, None, "unknown"),
            ("/admin", Method::GET, a2a, Some(&list), "RELAY_NOT_FOUND"),
            ("/admin", Method::GET, a2a, Some(&open), "RELAY_NOT_FOUND"),
            ("/admin", Method::GET, all, Some(&list), "RELAY_NOT_FOUND"),
            ("/admin", Method::GET, all, Some(&open), "Raw(\"/admin\")"),
            ("", Method::POST, all, Some(&open), "Raw(\"/\")"),
            ("/.well-known/agent.json", Method::GET, all, Some(&open), "Card"),
            ("/a2a/../admin", Method::POST, a2a, Some(&list), "RELAY_NOT_FOUND"),
        ] {
            assert_eq!(reached(rest, method.clone(), policy, list), expected, "{method} {rest}");
        }
    }

    #[test]
    fn the_address_is_a_credential_and_an_alias_is_not() {
        let address = AgentName::Address(Address::new([1; 16]));
        let alias = AgentName::Alias("echo".parse().unwrap());
        let none = HeaderMap::new();
        let mut bad = HeaderMap::new();
        bad.insert(AUTHORIZATION, HeaderValue::from_static("bearer rcall_stale"));
        for (policy, name, fields, admitted) in [
            (CallerPolicy::Link, &address, &none, true),
            (CallerPolicy::Link, &alias, &none, false),
            (CallerPolicy::Open, &alias, &none, true),
            (CallerPolicy::Open, &alias, &bad, false),
            (CallerPolicy::Link, &address, &bad, false),
            (CallerPolicy::Token, &address, &none, false),
            (CallerPolicy::Workspaces, &address, &none, false),
        ] {
            assert_eq!(admit(policy, name, fields).is_ok(), admitted, "{policy} {name:?}");
        }
    }

    #[test]
    fn the_relays_credentials_never_cross() {
        let mut fields = HeaderMap::new();
        fields.insert(AUTHORIZATION, HeaderValue::from_static("Bearer rtok_1"));
        fields.insert("x-api-key", HeaderValue::from_static("admin-secret"));
        fields.insert("cookie", HeaderValue::from_static("a=1; t=\"radm_1\""));
        fields.insert("x-scheme", HeaderValue::from_static("Token admin-secret"));
        fields.insert("x-other", HeaderValue::from_static("Bearer theirs"));
        remove_relay_credentials(&mut fields, 12, |token| token == b"admin-secret");
        assert_eq!(fields.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-other"]);
    }
}
