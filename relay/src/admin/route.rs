//! Which of the API's resources a path names, and which methods it takes.

use http::Method;
use percent_encoding::percent_decode_str;

use super::problem::Problem;

/// A resource of the API. The text in it names a workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Workspaces,
    Workspace(String),
    Join(String),
    Tokens(String),
    Pause(String),
    Resume(String),
}

/// What to do with a resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    List,
    Create,
    Show(String),
    Change(String),
    Remove(String),
    Join(String),
    Revoke(String),
    Pause(String),
    Resume(String),
}

impl Resource {
    /// The resource at a raw path.
    pub(super) fn at(path: &str) -> Result<Self, Problem> {
        let rest = path.strip_prefix("/workspaces").ok_or(Problem::NotFound)?;
        if rest.is_empty() {
            return Ok(Self::Workspaces);
        }
        let rest = rest.strip_prefix('/').ok_or(Problem::NotFound)?;
        let (name, below) = match rest.split_once('/') {
            Some((name, below)) => (name, Some(below)),
            None => (rest, None),
        };
        let name = percent_decode_str(name).decode_utf8().map_err(|_| Problem::NotFound)?;
        if name.is_empty() {
            return Err(Problem::NotFound);
        }
        let name = name.into_owned();
        match below {
            None => Ok(Self::Workspace(name)),
            Some("join") => Ok(Self::Join(name)),
            Some("tokens") => Ok(Self::Tokens(name)),
            Some("pause") => Ok(Self::Pause(name)),
            Some("resume") => Ok(Self::Resume(name)),
            Some(_) => Err(Problem::NotFound),
        }
    }

    /// What `method` does here.
    pub(super) fn call(self, method: &Method) -> Result<Call, Problem> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        let posts = *method == Method::POST;
        let deletes = *method == Method::DELETE;
        match self {
            Self::Workspaces if reads => Ok(Call::List),
            Self::Workspaces if posts => Ok(Call::Create),
            Self::Workspaces => Err(Problem::MethodNotAllowed("GET, HEAD, POST")),
            Self::Workspace(name) if reads => Ok(Call::Show(name)),
            Self::Workspace(name) if deletes => Ok(Call::Remove(name)),
            Self::Workspace(name) if *method == Method::PATCH => Ok(Call::Change(name)),
            Self::Workspace(_) => Err(Problem::MethodNotAllowed("GET, HEAD, PATCH, DELETE")),
            Self::Join(name) if posts => Ok(Call::Join(name)),
            Self::Pause(name) if posts => Ok(Call::Pause(name)),
            Self::Resume(name) if posts => Ok(Call::Resume(name)),
            Self::Join(_) | Self::Pause(_) | Self::Resume(_) => {
                Err(Problem::MethodNotAllowed("POST"))
            }
            Self::Tokens(name) if deletes => Ok(Call::Revoke(name)),
            Self::Tokens(_) => Err(Problem::MethodNotAllowed("DELETE")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_method_make_a_call() {
        let call = |method: &Method, path: &str| Resource::at(path).and_then(|r| r.call(method));
        let name = || "x".to_owned();
        for (method, path, expected) in [
            (Method::GET, "/workspaces", Ok(Call::List)),
            (Method::POST, "/workspaces", Ok(Call::Create)),
            (Method::HEAD, "/workspaces/x", Ok(Call::Show(name()))),
            (Method::GET, "/workspaces/my%20agent", Ok(Call::Show("my agent".into()))),
            (Method::PATCH, "/workspaces/x", Ok(Call::Change(name()))),
            (Method::DELETE, "/workspaces/x", Ok(Call::Remove(name()))),
            (Method::POST, "/workspaces/x/join", Ok(Call::Join(name()))),
            (Method::DELETE, "/workspaces/x/tokens", Ok(Call::Revoke(name()))),
            (Method::POST, "/workspaces/x/pause", Ok(Call::Pause(name()))),
            (Method::POST, "/workspaces/x/resume", Ok(Call::Resume(name()))),
            (Method::PUT, "/workspaces", Err(Problem::MethodNotAllowed("GET, HEAD, POST"))),
            (Method::GET, "/workspaces/x/join", Err(Problem::MethodNotAllowed("POST"))),
            (Method::GET, "/workspaces/", Err(Problem::NotFound)),
            (Method::GET, "/workspaces/x/", Err(Problem::NotFound)),
            (Method::PUT, "/workspaces/x/nothing", Err(Problem::NotFound)),
            (Method::GET, "/workspaces/%ff", Err(Problem::NotFound)),
            (Method::POST, "/registry/register", Err(Problem::NotFound)),
            (Method::POST, "/a2a", Err(Problem::NotFound)),
        ] {
            assert_eq!(call(&method, path), expected, "{method} {path}");
        }
    }
}
