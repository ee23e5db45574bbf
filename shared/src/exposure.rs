//! What of an agent's origin crosses the tunnel: announced by the connector, checked at both ends.

use serde::{Deserialize, Serialize};

use crate::limits::EXPOSURE_RULES_MAX;

/// The list of what crosses; everything else is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Exposure {
    /// Whether the whole origin crosses, by explicit choice.
    #[serde(default)]
    pub all: bool,
    /// The raw path of the JSON-RPC endpoint; empty when the agent has none.
    #[serde(default)]
    pub endpoint: String,
    /// What else crosses.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One thing that crosses. Paths are raw and compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// This path alone.
    Exact(String),
    /// This path and everything below it, by whole segments.
    Below(String),
    /// The known paths of the HTTP+JSON binding below this base, of A2A v0.3 and v1.0, with or
    /// without a tenant segment.
    HttpJson(String),
    /// Every method of this gRPC service, such as `lf.a2a.v1.A2AService`. It lets no other request
    /// through than one of gRPC.
    Grpc(String),
    /// A rule of a newer version, or one narrowed in a way that this version cannot judge: it lets
    /// nothing through. What it says is not kept, lest it come to mean something when written again.
    #[serde(untagged, deserialize_with = "anything")]
    Unknown,
}

fn anything<'de, D: serde::Deserializer<'de>>(rule: D) -> Result<(), D::Error> {
    serde::de::IgnoredAny::deserialize(rule).map(drop)
}

/// The two names of the public card (A2A 8.2, and 0.2 before it).
pub const CARD_PATHS: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];

/// Where an extended card stands at an agent's origin: A2A 0.2 and 0.3, then 1.0 and the HTTP+JSON
/// binding of 0.3.
pub const EXTENDED_CARD_PATHS: [&str; 3] =
    ["/agent/authenticatedExtendedCard", "/extendedAgentCard", "/v1/card"];

/// The gRPC services of A2A 1.0 and of 0.3, which have no other paths.
pub const GRPC_SERVICES: [&str; 2] = ["lf.a2a.v1.A2AService", "a2a.v1.A2AService"];

impl Exposure {
    /// Whether a request of gRPC with this raw path crosses: to a service that has a rule, or to what
    /// the owner lets through whatever it is.
    pub fn allows_grpc(&self, path: &str) -> bool {
        if self.all {
            return path.starts_with('/');
        }
        is_plain(path)
            && self.rules.iter().any(|rule| match rule {
                Rule::Grpc(service) => {
                    let method = path
                        .strip_prefix('/')
                        .and_then(|path| path.strip_prefix(service.as_str()))
                        .and_then(|rest| rest.strip_prefix('/'));
                    method.is_some_and(|method| !method.is_empty() && !method.contains('/'))
                }
                Rule::Below(base) => below(path, base).is_some(),
                Rule::Exact(_) | Rule::HttpJson(_) | Rule::Unknown => false,
            })
    }

    /// Whether the list is within its bounds.
    pub fn is_bounded(&self) -> bool {
        self.rules.len() <= EXPOSURE_RULES_MAX
    }

    /// Whether a path that crosses is that of an extended card: at the origin (A2A 0.2 and 0.3), or an
    /// operation of the HTTP+JSON binding.
    pub fn is_extended_card(&self, path: &str) -> bool {
        is_plain(path) && self.rules.iter().any(|rule| rule.is_extended_card(path))
    }

    /// Each way in which a raw path can be read as an operation of the HTTP+JSON binding: what stands
    /// behind a base, the version and the tenant, such as `tasks/1:cancel`. Several ways are one too
    /// many for whoever has to judge by it.
    pub fn operations<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let bases = self.rules.iter().filter_map(|rule| match rule {
            Rule::HttpJson(base) => Some(base),
            Rule::Exact(_) | Rule::Below(_) | Rule::Grpc(_) | Rule::Unknown => None,
        });
        bases.filter_map(move |base| below(path, base)).flat_map(operations)
    }

    /// Whether a raw path of the agent's origin crosses.
    ///
    /// Dot segments, plain or encoded, empty segments, backslashes, and whatever would end the path
    /// early (`?`, `#`, NUL) match nothing but `all`: an agent's server may resolve them
    /// to another path than the one that was checked.
    pub fn allows(&self, path: &str) -> bool {
        if self.all {
            return path.starts_with('/');
        }
        is_plain(path) && (path == self.endpoint || self.rules.iter().any(|rule| rule.allows(path)))
    }
}

impl Rule {
    fn is_extended_card(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact && EXTENDED_CARD_PATHS.contains(&path),
            Self::HttpJson(base) => below(path, base).is_some_and(is_http_json_card),
            Self::Below(_) | Self::Grpc(_) | Self::Unknown => false,
        }
    }

    /// Whether this rule alone lets a path through that [`Exposure::allows`] has judged.
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Below(base) => below(path, base).is_some(),
            Self::HttpJson(base) => below(path, base).is_some_and(is_http_json),
            Self::Grpc(_) | Self::Unknown => false,
        }
    }
}

/// The part of `path` behind `base`, by whole segments: empty, or beginning with a slash.
fn below<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(base.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// No segment that a server could resolve away.
fn is_plain(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let last = rest.split('/').count() - 1;
    !path.contains(['\\', '?', '#', '\0'])
        && !["%5c", "%2f", "%00"].iter().any(|encoded| contains_ignore_case(path, encoded))
        && rest.split('/').enumerate().all(|(index, segment)| {
            // One empty segment at the end is a final slash.
            (!segment.is_empty() || index == last) && !is_dots(segment)
        })
}

fn is_dots(segment: &str) -> bool {
    let mut plain = segment.to_ascii_lowercase().replace("%2e", ".").replace("%3b", ";");
    // Some servers cut path parameters before they resolve dots.
    if let Some(end) = plain.find(';') {
        plain.truncate(end);
    }
    plain == "." || plain == ".."
}

fn contains_ignore_case(text: &str, needle: &str) -> bool {
    text.as_bytes().windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle.as_bytes()))
}

/// Whether `rest`, behind a base, is one of the paths of the HTTP+JSON binding.
fn is_http_json(rest: &str) -> bool {
    operations(rest).next().is_some()
}

/// The operations that `rest`, behind a base, may be.
fn operations(rest: &str) -> impl Iterator<Item = &str> {
    let unversioned = |rest| str::strip_prefix(rest, "v1/").unwrap_or(rest);
    let plain = rest.strip_prefix('/').map(unversioned);
    // A tenant stands as one segment before the operation.
    let of_tenant = plain.and_then(|rest| rest.split_once('/')).map(|(_, rest)| unversioned(rest));
    [plain, of_tenant].into_iter().flatten().filter(|rest| is_operation(rest))
}

/// Whether `rest`, behind a base, is the card of the HTTP+JSON binding, and not the task of that name.
fn is_http_json_card(rest: &str) -> bool {
    let is_card = |rest: &str| {
        matches!(rest.strip_prefix("v1/").unwrap_or(rest), "card" | "extendedAgentCard")
    };
    let Some(rest) = rest.strip_prefix('/') else { return false };
    let operation = rest.strip_prefix("v1/").unwrap_or(rest);
    is_card(rest)
        || (!is_operation(operation)
            && operation.split_once('/').is_some_and(|(_, rest)| is_card(rest)))
}

fn is_operation(rest: &str) -> bool {
    let segments: Vec<&str> = rest.split('/').collect();
    match segments.as_slice() {
        ["message:send" | "message:stream" | "tasks" | "task" | "card" | "extendedAgentCard"] => {
            true
        }
        ["tasks" | "task", id] => !id.is_empty(),
        ["tasks" | "task", id, "pushNotificationConfigs"] => !id.is_empty(),
        ["tasks" | "task", id, "pushNotificationConfigs", config] => {
            !id.is_empty() && !config.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Exposure {
        Exposure {
            all: false,
            endpoint: "/a2a".into(),
            rules: vec![
                Rule::Exact("/.well-known/agent-card.json".into()),
                Rule::Below("/hooks/".into()),
                Rule::HttpJson("/rest".into()),
            ],
        }
    }

    #[test]
    fn what_is_listed_crosses() {
        for path in [
            "/a2a",
            "/.well-known/agent-card.json",
            "/hooks",
            "/hooks/a/b",
            "/hooks/",
            "/rest/v1/message:send",
            "/rest/message:stream",
            "/rest/v1/tasks/t%2D1:cancel",
            "/rest/acme/tasks/1/pushNotificationConfigs/2",
            "/rest/extendedAgentCard",
        ] {
            assert!(list().allows(path), "{path}");
        }
    }

    #[test]
    fn everything_else_does_not() {
        for path in [
            "",
            "/",
            "a2a",
            "/a2a/",
            "/A2A",
            "/a2a/../admin",
            "/hooks/../admin",
            "/hooks/%2e%2E/admin",
            "/hooks/..;x=1/admin",
            "/hooks/..%3Bx=1/admin",
            "/hooks/a?b",
            "/rest/admin?/tasks",
            "/rest/admin#/tasks",
            "/rest/admin%00/tasks",
            "/rest/admin\0/tasks",
            "/hooks/.",
            "/hooks//admin",
            "//hooks",
            "/hooks\\..\\admin",
            "/hooks/%5c../admin",
            "/hooks/..%2fadmin",
            "/hooksy",
            "/rest",
            "/rest/",
            "/rest/v1/admin",
            "/rest/a/b/tasks",
            "/.well-known/agent.json",
        ] {
            assert!(!list().allows(path), "{path}");
        }
    }

    #[test]
    fn the_extended_card_is_known_by_its_path() {
        let mut list = list();
        list.rules.push(Rule::Exact("/agent/authenticatedExtendedCard".into()));
        for (path, expected) in [
            ("/agent/authenticatedExtendedCard", true),
            ("/rest/v1/card", true),
            ("/rest/extendedAgentCard", true),
            ("/rest/acme/extendedAgentCard", true),
            ("/rest/tasks/extendedAgentCard", false),
            ("/rest/v1/tasks/card", false),
            ("/rest/message:send", false),
            ("/hooks/v1/card", false),
            ("/v1/card", false),
            ("/rest/../v1/card", false),
        ] {
            assert_eq!(list.is_extended_card(path), expected, "{path}");
        }
    }

    #[test]
    fn all_is_the_whole_origin() {
        let all = Exposure { all: true, ..Exposure::default() };
        assert!(all.allows("/x/../y") && !all.allows("x") && !Exposure::default().allows("/"));
    }

    #[test]
    fn a_rule_of_a_newer_version_lets_nothing_through() {
        let json = r#"{"endpoint":"/a2a","rules":[{"exact":"/x"},{"glob":"/*"},
            {"below":"/y","methods":["GET"]},"everything"]}"#;
        let exposure: Exposure = serde_json::from_str(json).unwrap();
        assert_eq!(exposure.rules.len(), 4);
        assert!(exposure.allows("/a2a") && exposure.allows("/x"));
        assert!(!exposure.allows("/y") && !exposure.allows("/*") && !exposure.allows("/z"));

        // Nor does it when it has been written again.
        let json = r#"{"rules":[{"exact":"/a","exact":"/b"}]}"#;
        let exposure: Exposure = serde_json::from_str(json).unwrap();
        let again: Exposure =
            serde_json::from_str(&serde_json::to_string(&exposure).unwrap()).unwrap();
        assert!(again == exposure && !again.allows("/a") && !again.allows("/b"));
    }

    #[test]
    fn a_service_of_grpc_has_methods_and_lets_nothing_else_through() {
        let list = Exposure {
            rules: vec![
                Rule::Grpc("lf.a2a.v1.A2AService".into()),
                Rule::Below("/own.Service".into()),
                Rule::Exact("/a2a.v1.A2AService/GetTask".into()),
            ],
            ..Exposure::default()
        };
        for (path, grpc, other) in [
            ("/lf.a2a.v1.A2AService/GetTask", true, false),
            ("/lf.a2a.v1.A2AService/", false, false),
            ("/lf.a2a.v1.A2AService/a/b", false, false),
            ("/lf.a2a.v1.A2AService/..", false, false),
            ("/lf.a2a.v1.A2AServices/GetTask", false, false),
            ("/own.Service/Do", true, true),
            ("/a2a.v1.A2AService/GetTask", false, true),
        ] {
            assert_eq!((list.allows_grpc(path), list.allows(path)), (grpc, other), "{path}");
        }
        let json = serde_json::to_string(&list.rules[0]).unwrap();
        assert_eq!(json, r#"{"grpc":"lf.a2a.v1.A2AService"}"#);
    }
}
