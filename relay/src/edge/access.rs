//! Who may call an agent, and what of it a path reaches. Pure.

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap};
use shared::exposure::{CARD_PATHS, Exposure};
use shared::ids::WorkspaceId;
use shared::wire::{Binding, Target};

use super::card_request::Document;
use super::failure::Failure;
use super::judge::is_json;
use super::render::Dialect;
use super::route::AgentName;
use crate::card::grpc::Schema;
use crate::principal::Principal;
use crate::registry::{CallerPolicy, ExposurePolicy, Workspace};

/// Judges a caller by its credential, or else by the workspace's policy and the name that it used.
///
/// `may_talk` says whether the agent of a workspace may talk to this one. No URL gets round that
/// rule: an agent that shows who it is is held to it, whichever name it uses.
pub fn admit(
    workspace: &Workspace,
    name: &AgentName,
    principal: Option<&Principal>,
    may_talk: impl FnOnce(&WorkspaceId) -> bool,
) -> Result<(), Failure> {
    let open = workspace.callers == CallerPolicy::Open;
    match principal {
        Some(principal) if principal.may_call() || open => Ok(()),
        Some(Principal::Caller(id, _)) if *id == workspace.id => Ok(()),
        Some(Principal::Workspace(id, _)) if may_talk(id) => Ok(()),
        Some(_) => Err(Failure::Forbidden),
        None if open => Ok(()),
        None => match (workspace.callers, name) {
            (CallerPolicy::Link, AgentName::Address(_)) | (_, AgentName::Bridged(_)) => Ok(()),
            _ => Err(Failure::Unauthenticated),
        },
    }
}

/// Prefixes of the relay's credentials, which never cross to an agent.
pub(super) const NEVER_CROSS: [&[u8]; 4] = [b"rcall_", b"rtok_", b"okey_", b"radm_"];

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
    /// What of its answer may have to be edited.
    pub document: Document,
}

/// By which kind of URL an agent was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Below a base of the relay's own host, which has names for the endpoint and the card wherever
    /// the agent has them.
    Base,
    /// At the agent's own host, where every path is the agent's.
    Host,
    /// There too, by gRPC.
    Grpc,
}

impl Entry {
    /// What `name` opens to a caller who speaks so.
    pub fn of(name: &AgentName, dialect: Dialect) -> Self {
        match name {
            AgentName::Host(_) if dialect == Dialect::Grpc => Self::Grpc,
            AgentName::Host(_) => Self::Host,
            AgentName::Address(_)
            | AgentName::Id(_)
            | AgentName::Alias(_)
            | AgentName::Bridged(_) => Self::Base,
        }
    }
}

/// The dialect of a path before its agent is known: what a refusal would look like.
pub fn dialect(entry: Entry, rest: &str, method: &Method) -> Dialect {
    if is_card(entry, rest, None) {
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
    entry: Entry,
    rest: &str,
    method: &Method,
    policy: ExposurePolicy,
    announced: Option<&Exposure>,
) -> Result<Option<Reach>, Failure> {
    if entry == Entry::Grpc {
        return by_grpc(rest, method, policy, announced);
    }
    let all = policy == ExposurePolicy::All && announced.is_some_and(|announced| announced.all);
    if all {
        let path = if rest.is_empty() { "/" } else { rest };
        let dialect = dialect(entry, rest, method);
        // The origin as it is, but for the documents that must not name it.
        let raw = || Target::Raw(path.into());
        let (target, document) = match announced {
            _ if CARD_PATHS.contains(&rest) => (Target::Card, Document::Public),
            _ if announced.is_some_and(|list| list.is_extended_card(rest)) => {
                (raw(), Document::Extended)
            }
            _ if announced.is_some_and(|list| list.endpoint == path) => (raw(), Document::Called),
            _ => (raw(), Document::None),
        };
        return Ok(Some(Reach { target, binding: binding(dialect), dialect, document }));
    }
    let is_alias = entry == Entry::Base && is_endpoint_alias(rest);
    if is_alias || announced.is_some_and(|list| list.endpoint == rest) {
        return match *method {
            Method::POST | Method::OPTIONS => Ok(Some(Reach {
                target: Target::Endpoint,
                binding: Binding::JsonRpc,
                dialect: Dialect::JsonRpc,
                document: Document::Called,
            })),
            _ => Err(Failure::MethodNotAllowed("POST, OPTIONS")),
        };
    }
    if is_card(entry, rest, announced) {
        return match *method {
            Method::GET | Method::HEAD | Method::OPTIONS => Ok(Some(Reach {
                target: Target::Card,
                binding: Binding::HttpJson,
                dialect: Dialect::Problem,
                document: Document::Public,
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
    let document = match narrow.is_extended_card(rest) {
        true if !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) => {
            return Err(Failure::MethodNotAllowed("GET, HEAD, OPTIONS"));
        }
        true => Document::Extended,
        false => Document::None,
    };
    let (target, dialect) = (Target::Raw(rest.into()), Dialect::HttpJson);
    Ok(Some(Reach { target, binding: Binding::HttpJson, dialect, document }))
}

/// What a call by gRPC reaches: its paths name services, and none of them is another's.
fn by_grpc(
    rest: &str,
    method: &Method,
    policy: ExposurePolicy,
    announced: Option<&Exposure>,
) -> Result<Option<Reach>, Failure> {
    if *method != Method::POST {
        return Err(Failure::MethodNotAllowed("POST"));
    }
    let Some(announced) = announced else { return Ok(None) };
    let all = announced.all && policy == ExposurePolicy::All;
    if !(Exposure { all, ..announced.clone() }).allows_grpc(rest) {
        return Err(Failure::NotFound(
            "The agent has no such gRPC service, or its exposure does not include it.",
        ));
    }
    Ok(Some(Reach {
        target: Target::Raw(rest.into()),
        binding: Binding::Grpc,
        dialect: Dialect::Grpc,
        document: Schema::of(rest).map_or(Document::None, Document::Grpc),
    }))
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

/// Whether a path is one of the card's two names: at the origin, below the endpoint, and below the
/// endpoint's alias where there is one.
fn is_card(entry: Entry, rest: &str, announced: Option<&Exposure>) -> bool {
    let below = |endpoint: &str| rest.strip_prefix(endpoint.trim_end_matches('/'));
    let alias = below("/a2a").filter(|_| entry == Entry::Base);
    let endpoint = announced.and_then(|list| below(&list.endpoint));
    [Some(rest), alias, endpoint].into_iter().flatten().any(|name| CARD_PATHS.contains(&name))
}

const fn binding(dialect: Dialect) -> Binding {
    match dialect {
        Dialect::JsonRpc | Dialect::JsonRpcOk | Dialect::Molecule => Binding::JsonRpc,
        Dialect::Grpc => Binding::Grpc,
        Dialect::HttpJson | Dialect::Problem => Binding::HttpJson,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;
    use http::header::AUTHORIZATION;
    use shared::exposure::Rule;
    use shared::ids::Address;

    use super::*;
    use crate::registry::{NewCredential, Scope};

    const MINE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const OTHER: &str = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";

    fn announced() -> Exposure {
        Exposure { all: false, endpoint: "/rpc".into(), rules: vec![Rule::HttpJson("/".into())] }
    }

    #[test]
    fn paths_reach_what_both_policies_allow() {
        let list = announced();
        let open = Exposure { all: true, ..announced() };
        let reached = |rest: &str, method: Method, policy, list: Option<&Exposure>| match reach(
            Entry::Base,
            rest,
            &method,
            policy,
            list,
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
            ("/v1/card", Method::GET, a2a, Some(&list), "Raw(\"/v1/card\")"),
            ("/v1/card", Method::POST, a2a, Some(&list), "RELAY_METHOD_NOT_ALLOWED"),
            ("/tasks/card", Method::DELETE, a2a, Some(&list), "Raw(\"/tasks/card\")"),
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
    fn at_an_agents_host_every_path_is_the_agents() {
        let list = announced();
        let open = Exposure { all: true, ..announced() };
        let (a2a, all) = (ExposurePolicy::A2a, ExposurePolicy::All);
        for (rest, method, policy, list, expected) in [
            ("/", Method::POST, a2a, Some(&list), "RELAY_NOT_FOUND"),
            ("/a2a", Method::POST, a2a, Some(&list), "RELAY_NOT_FOUND"),
            ("/a2a", Method::POST, a2a, None, "unknown"),
            ("/rpc", Method::POST, a2a, Some(&list), "Endpoint"),
            ("/v1/card", Method::GET, a2a, Some(&list), "Raw(\"/v1/card\")"),
            ("/.well-known/agent-card.json", Method::GET, a2a, None, "Card"),
            ("/rpc/.well-known/agent-card.json", Method::GET, a2a, Some(&list), "Card"),
            ("/a2a/.well-known/agent-card.json", Method::GET, a2a, Some(&list), "RELAY_NOT_FOUND"),
            (
                "/a2a/.well-known/agent.json",
                Method::GET,
                all,
                Some(&open),
                "Raw(\"/a2a/.well-known/agent.json\")",
            ),
            ("/healthz", Method::GET, a2a, Some(&list), "RELAY_NOT_FOUND"),
            ("/healthz", Method::GET, all, Some(&open), "Raw(\"/healthz\")"),
        ] {
            let reached = match reach(Entry::Host, rest, &method, policy, list) {
                Ok(Some(reach)) => format!("{:?}", reach.target),
                Ok(None) => "unknown".into(),
                Err(failure) => failure.verdict().code.into(),
            };
            assert_eq!(reached, expected, "{method} {rest}");
        }
    }

    #[test]
    fn a_path_tells_which_document_may_need_editing() {
        let list = announced();
        let open = Exposure { all: true, ..announced() };
        let all = ExposurePolicy::All;
        for (rest, method, policy, list, expected) in [
            ("", Method::POST, ExposurePolicy::A2a, &list, Document::Called),
            ("/.well-known/agent.json", Method::GET, ExposurePolicy::A2a, &list, Document::Public),
            ("/extendedAgentCard", Method::GET, ExposurePolicy::A2a, &list, Document::Extended),
            ("/t/extendedAgentCard", Method::GET, ExposurePolicy::A2a, &list, Document::Extended),
            ("/tasks/card", Method::GET, ExposurePolicy::A2a, &list, Document::None),
            ("/rpc", Method::POST, all, &open, Document::Called),
            ("/other", Method::POST, all, &open, Document::None),
            ("/v1/card", Method::GET, all, &open, Document::Extended),
            ("/shop/of/v1/card", Method::GET, all, &open, Document::None),
        ] {
            let reached = reach(Entry::Base, rest, &method, policy, Some(list)).unwrap().unwrap();
            assert_eq!(reached.document, expected, "{method} {rest}");
        }
    }

    fn workspace(callers: CallerPolicy) -> Workspace {
        let id = MINE.parse().unwrap();
        Workspace { id, address: Address::new([1; 16]), callers, ..Workspace::sample() }
    }

    fn key(scope: Scope) -> Principal {
        let (new, _) = NewCredential::org_key("ci".into(), scope, 0).unwrap();
        Principal::Key(Arc::new(new.credential))
    }

    fn caller(id: &str) -> Principal {
        let id = id.parse().unwrap();
        let (new, _) = NewCredential::caller_token(id, "ci".into(), None, 0).unwrap();
        Principal::Caller(id, Arc::new(new.credential))
    }

    #[test]
    fn the_address_is_a_credential_and_an_alias_is_not() {
        use CallerPolicy::{Link, Open, Token, Workspaces};
        let address = AgentName::Address(Address::new([1; 16]));
        let alias = AgentName::Alias("echo".parse().unwrap());
        let agent = |id: &str| Principal::Workspace(id.parse().unwrap(), None);
        let (calls, reads) = (key(Scope::Call), key(Scope::Read));
        let (own_caller, other_caller) = (caller(MINE), caller(OTHER));
        let (sibling, stranger) = (agent(MINE), agent(OTHER));
        for (policy, name, principal, verdict) in [
            (Link, &address, None, "in"),
            (Link, &alias, None, "RELAY_UNAUTHENTICATED"),
            (Token, &address, None, "RELAY_UNAUTHENTICATED"),
            (Workspaces, &address, None, "RELAY_UNAUTHENTICATED"),
            (Open, &alias, None, "in"),
            (Open, &alias, Some(&reads), "in"),
            (Token, &alias, Some(&own_caller), "in"),
            (Link, &alias, Some(&own_caller), "in"),
            (Token, &alias, Some(&other_caller), "RELAY_FORBIDDEN"),
            (Link, &address, Some(&other_caller), "RELAY_FORBIDDEN"),
            (Workspaces, &alias, Some(&sibling), "in"),
            (Link, &alias, Some(&sibling), "in"),
            (Workspaces, &alias, Some(&stranger), "RELAY_FORBIDDEN"),
            (Link, &address, Some(&stranger), "RELAY_FORBIDDEN"),
            (Token, &alias, Some(&calls), "in"),
            (Token, &alias, Some(&reads), "RELAY_FORBIDDEN"),
            (Token, &alias, Some(&Principal::Operator), "in"),
        ] {
            let may_talk = |id: &WorkspaceId| id.to_string() == MINE;
            let judged = match admit(&workspace(policy), name, principal, may_talk) {
                Ok(()) => "in",
                Err(failure) => failure.verdict().code,
            };
            assert_eq!(judged, verdict, "{policy} {name:?} {principal:?}");
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
