//! Which of the API's resources a path names, and which methods it takes.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// A resource of the API. The texts in it name a workspace, or a thing of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Workspaces,
    Workspace(String),
    Join(String),
    Tokens(String),
    Token(String, String),
    Callers(String),
    CallerToken(String, String),
    Secrets(String),
    SecretValues(String),
    Secret(String, String),
    State(String),
    Events(String),
    Refusals(String),
    Delegate(String),
    Pause(String),
    Resume(String),
    Register,
    Heartbeat,
    UpdateCard,
    Discover(String),
    Peers(String),
    Keys,
    Key(String),
    Trail,
    Backups,
    Description,
}

/// What to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Create,
    Put,
    Change,
    Remove,
}

/// Makes a resource of what stands in the braces of its path.
type Make = fn([String; 2]) -> Resource;

/// Every path, as `openapi.json` has it. The first that fits counts.
const PATHS: &[(&str, Make)] = &[
    ("/workspaces", |_| Resource::Workspaces),
    ("/workspaces/{id}", |[id, _]| Resource::Workspace(id)),
    ("/workspaces/{id}/join", |[id, _]| Resource::Join(id)),
    ("/workspaces/{id}/tokens", |[id, _]| Resource::Tokens(id)),
    ("/workspaces/{id}/tokens/{tokenId}", |[id, token]| Resource::Token(id, token)),
    ("/workspaces/{id}/callers", |[id, _]| Resource::Callers(id)),
    ("/workspaces/{id}/callers/{tokenId}", |[id, token]| Resource::CallerToken(id, token)),
    ("/workspaces/{id}/secrets", |[id, _]| Resource::Secrets(id)),
    // No secret can have this name, which the SDK's path takes.
    ("/workspaces/{id}/secrets/values", |[id, _]| Resource::SecretValues(id)),
    ("/workspaces/{id}/secrets/{key}", |[id, key]| Resource::Secret(id, key)),
    ("/workspaces/{id}/state", |[id, _]| Resource::State(id)),
    ("/workspaces/{id}/events", |[id, _]| Resource::Events(id)),
    ("/workspaces/{id}/refusals", |[id, _]| Resource::Refusals(id)),
    ("/workspaces/{id}/delegate", |[id, _]| Resource::Delegate(id)),
    ("/workspaces/{id}/pause", |[id, _]| Resource::Pause(id)),
    ("/workspaces/{id}/resume", |[id, _]| Resource::Resume(id)),
    ("/registry/register", |_| Resource::Register),
    ("/registry/heartbeat", |_| Resource::Heartbeat),
    ("/registry/update-card", |_| Resource::UpdateCard),
    ("/registry/discover/{id}", |[id, _]| Resource::Discover(id)),
    ("/registry/{id}/peers", |[id, _]| Resource::Peers(id)),
    ("/keys", |_| Resource::Keys),
    ("/keys/{tokenId}", |[token, _]| Resource::Key(token)),
    ("/events", |_| Resource::Trail),
    ("/backups", |_| Resource::Backups),
    ("/openapi.json", |_| Resource::Description),
];

impl Resource {
    /// The resource at a raw path.
    pub(super) fn at(path: &str) -> Result<Self, Problem> {
        found(path).map(|(_, resource)| resource).ok_or(Problem::NotFound)
    }

    /// The path of the resource at a raw path, with its braces.
    pub(super) fn form(path: &str) -> Option<&'static str> {
        found(path).map(|(form, _)| form)
    }

    /// What `method` does here.
    pub(super) fn verb(&self, method: &Method) -> Result<Verb, Problem> {
        let verb = match *method {
            Method::GET | Method::HEAD => Verb::Read,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Put,
            Method::PATCH => Verb::Change,
            Method::DELETE => Verb::Remove,
            _ => return Err(Problem::MethodNotAllowed(self.allowed())),
        };
        let name = method.as_str();
        match self.allowed().split(", ").any(|allowed| allowed == name) {
            true => Ok(verb),
            false => Err(Problem::MethodNotAllowed(self.allowed())),
        }
    }

    /// Its methods, as `Allow` has them.
    pub(super) const fn allowed(&self) -> &'static str {
        match self {
            Self::Workspaces | Self::Callers(_) | Self::Keys => "GET, HEAD, POST",
            Self::Workspace(_) => "GET, HEAD, PATCH, DELETE",
            Self::Tokens(_) => "GET, HEAD, POST, DELETE",
            Self::Secrets(_) => "GET, HEAD, POST, PUT",
            Self::Secret(..) => "PUT, DELETE",
            Self::Token(..) | Self::CallerToken(..) | Self::Key(_) => "DELETE",
            Self::Join(_)
            | Self::Delegate(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Register
            | Self::Heartbeat
            | Self::UpdateCard
            | Self::Backups => "POST",
            Self::SecretValues(_)
            | Self::State(_)
            | Self::Events(_)
            | Self::Refusals(_)
            | Self::Discover(_)
            | Self::Peers(_)
            | Self::Trail
            | Self::Description => "GET, HEAD",
        }
    }
}

/// What a raw path names, and how its form is written.
fn found(path: &str) -> Option<(&'static str, Resource)> {
    let segments = path.strip_prefix('/').unwrap_or(path).split('/');
    let segments: Result<Vec<_>, _> =
        segments.map(|raw| percent_decode_str(raw).decode_utf8()).collect();
    let segments = segments.ok()?;
    PATHS.iter().find_map(|(form, make)| Some((*form, make(fill(form, &segments)?))))
}

/// What stands in the braces of a form, where a path has it.
fn fill(form: &str, segments: &[Cow<'_, str>]) -> Option<[String; 2]> {
    let parts = form.split('/').skip(1);
    let mut names = [String::new(), String::new()];
    let mut free = names.iter_mut();
    if parts.clone().count() != segments.len() {
        return None;
    }
    for (part, segment) in parts.zip(segments) {
        match part.starts_with('{') {
            true if !segment.is_empty() => segment.as_ref().clone_into(free.next()?),
            false if part == segment => {}
            _ => return None,
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_path_and_a_method_make_a_call() {
        let call = |method: &Method, path: &str| {
            let resource = Resource::at(path)?;
            resource.verb(method).map(|verb| (resource, verb))
        };
        let x = || "x".to_owned();
        for (method, path, expected) in [
            (Method::GET, "/workspaces", Ok((Resource::Workspaces, Verb::Read))),
            (Method::POST, "/workspaces", Ok((Resource::Workspaces, Verb::Create))),
            (Method::HEAD, "/workspaces/x", Ok((Resource::Workspace(x()), Verb::Read))),
            (
                Method::GET,
                "/workspaces/my%20agent",
                Ok((Resource::Workspace("my agent".into()), Verb::Read)),
            ),
            (Method::PATCH, "/workspaces/x", Ok((Resource::Workspace(x()), Verb::Change))),
            (Method::DELETE, "/workspaces/x/tokens", Ok((Resource::Tokens(x()), Verb::Remove))),
            (Method::DELETE, "/workspaces/x/tokens/1", {
                Ok((Resource::Token(x(), "1".into()), Verb::Remove))
            }),
            (Method::GET, "/workspaces/x/secrets/values", {
                Ok((Resource::SecretValues(x()), Verb::Read))
            }),
            (Method::PUT, "/workspaces/x/secrets/K", {
                Ok((Resource::Secret(x(), "K".into()), Verb::Put))
            }),
            (Method::POST, "/registry/register", Ok((Resource::Register, Verb::Create))),
            (Method::GET, "/registry/discover/x", Ok((Resource::Discover(x()), Verb::Read))),
            (Method::GET, "/registry/x/peers", Ok((Resource::Peers(x()), Verb::Read))),
            (Method::PUT, "/workspaces", Err(Problem::MethodNotAllowed("GET, HEAD, POST"))),
            (Method::GET, "/workspaces/x/join", Err(Problem::MethodNotAllowed("POST"))),
            (Method::TRACE, "/registry/register", Err(Problem::MethodNotAllowed("POST"))),
            (Method::GET, "/workspaces/", Err(Problem::NotFound)),
            (Method::GET, "/workspaces/x/", Err(Problem::NotFound)),
            (Method::PUT, "/workspaces/x/nothing", Err(Problem::NotFound)),
            (Method::GET, "/workspaces/%ff", Err(Problem::NotFound)),
            (Method::POST, "/registry", Err(Problem::NotFound)),
            (Method::POST, "/a2a", Err(Problem::NotFound)),
        ] {
            assert_eq!(call(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn the_description_has_every_path_with_its_methods_and_no_other() {
        let description: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let described = description["paths"].as_object().unwrap().iter().map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            (path.as_str(), methods.map(|method| method.to_uppercase()).collect())
        });
        let described: BTreeMap<&str, Vec<String>> = described.collect();
        let served = PATHS.iter().map(|(path, make)| {
            let resource = make(<[String; 2]>::default());
            (*path, resource.allowed().split(", ").filter(|method| *method != "HEAD").collect())
        });
        // What the edge serves by itself.
        let served = served.chain([
            ("/a2a", vec!["POST"]),
            ("/workspaces/{id}/a2a", vec!["POST"]),
            ("/molecule/{address}", vec!["POST"]),
            ("/molecule/{address}/a2a", vec!["POST"]),
            ("/healthz", vec!["GET"]),
            ("/readyz", vec!["GET"]),
        ]);
        let sorted = |mut methods: Vec<String>| {
            methods.sort();
            methods
        };
        let served: BTreeMap<&str, Vec<String>> = served
            .map(|(path, methods)| (path, methods.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(described.keys().collect::<Vec<_>>(), served.keys().collect::<Vec<_>>());
        for (path, methods) in described {
            assert_eq!(sorted(methods), sorted(served[path].clone()), "{path}");
        }
    }
}
