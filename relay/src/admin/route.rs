//! Which of the API's resources a path names, and which methods it takes.

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

impl Resource {
    /// The resource at a raw path.
    pub(super) fn at(path: &str) -> Result<Self, Problem> {
        let mut segments = Vec::new();
        for raw in path.strip_prefix('/').unwrap_or(path).split('/') {
            let text = percent_decode_str(raw).decode_utf8().map_err(|_| Problem::NotFound)?;
            segments.push(text);
        }
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(Problem::NotFound);
        }
        let own = |text: &str| text.to_owned();
        Ok(match *segments.as_slice() {
            ["workspaces"] => Self::Workspaces,
            ["workspaces", name] => Self::Workspace(own(name)),
            ["workspaces", name, "join"] => Self::Join(own(name)),
            ["workspaces", name, "tokens"] => Self::Tokens(own(name)),
            ["workspaces", name, "tokens", id] => Self::Token(own(name), own(id)),
            ["workspaces", name, "callers"] => Self::Callers(own(name)),
            ["workspaces", name, "callers", id] => Self::CallerToken(own(name), own(id)),
            ["workspaces", name, "secrets"] => Self::Secrets(own(name)),
            // No secret can have this name, which the SDK's path takes.
            ["workspaces", name, "secrets", "values"] => Self::SecretValues(own(name)),
            ["workspaces", name, "secrets", key] => Self::Secret(own(name), own(key)),
            ["workspaces", name, "refusals"] => Self::Refusals(own(name)),
            ["workspaces", name, "events"] => Self::Events(own(name)),
            ["workspaces", name, "state"] => Self::State(own(name)),
            ["workspaces", name, "pause"] => Self::Pause(own(name)),
            ["workspaces", name, "resume"] => Self::Resume(own(name)),
            ["registry", "register"] => Self::Register,
            ["registry", "heartbeat"] => Self::Heartbeat,
            ["registry", "update-card"] => Self::UpdateCard,
            ["registry", "discover", id] => Self::Discover(own(id)),
            ["registry", id, "peers"] => Self::Peers(own(id)),
            ["keys"] => Self::Keys,
            ["keys", id] => Self::Key(own(id)),
            ["events"] => Self::Trail,
            ["backups"] => Self::Backups,
            ["openapi.json"] => Self::Description,
            _ => return Err(Problem::NotFound),
        })
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

#[cfg(test)]
mod tests {
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
}
