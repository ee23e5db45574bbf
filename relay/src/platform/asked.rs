//! What an agent may ask of the platform, as it stands in a request: by its own ids, and about itself. Pure.

use http::Method;
use serde_json::Value;
use shared::ids::WorkspaceId;

use super::config::is_name;

/// What an agent asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To be registered, by a body whose `id` is its own.
    Register,
    /// To be alive, by a body whose `workspace_id` is its own.
    Heartbeat,
    /// To have another card.
    Card,
    /// How the platform sees it.
    State,
    /// Its secrets, in an object of their own.
    Secrets,
    /// Something that the platform answers.
    Carried(Carried),
}

/// A call that is carried to the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// What it is called in metrics.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its path there, and its query.
    pub path: String,
}

/// Reads what an agent asks; `own` are its ids, here and there, and `target` the field by which
/// `POST /a2a` names whom it is for. `None` is nothing of the platform's. Pure.
pub fn read(
    method: &Method,
    path: &str,
    query: Option<&str>,
    own: &Own,
    target: Option<&str>,
) -> Option<Asked> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let is_own = |id: &str| own.is(id);
    let there = own.there.as_deref().unwrap_or_default();
    let carried = |name, rest: &str| {
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let (method, path) = (method.clone(), format!("{rest}{query}"));
        Some(Asked::Carried(Carried { name, method, path }))
    };
    let named = |id: &str| if is_own(id) { there.to_owned() } else { id.to_owned() };
    match (method.as_str(), segments.as_slice()) {
        ("POST", ["registry", "register"]) => Some(Asked::Register),
        ("POST", ["registry", "heartbeat"]) => Some(Asked::Heartbeat),
        ("POST", ["registry", "update-card"]) => Some(Asked::Card),
        ("GET", ["registry", "discover", id]) if is_name(id) => {
            carried("discover", &format!("/registry/discover/{}", named(id)))
        }
        ("GET", ["registry", id, "peers"]) if is_own(id) => {
            carried("peers", &format!("/registry/{there}/peers"))
        }
        ("GET", ["workspaces", id, "state"]) if is_own(id) => Some(Asked::State),
        ("GET", ["workspaces", id, "secrets"]) if is_own(id) => Some(Asked::Secrets),
        ("GET", ["workspaces", id, "secrets", "values"]) if is_own(id) => {
            carried("secrets", &format!("/workspaces/{there}/secrets/values"))
        }
        ("POST" | "PUT", ["workspaces", id, "secrets"]) if is_own(id) => {
            carried("secrets", &format!("/workspaces/{there}/secrets"))
        }
        ("DELETE", ["workspaces", id, "secrets", key]) if is_own(id) && is_name(key) => {
            carried("secrets", &format!("/workspaces/{there}/secrets/{key}"))
        }
        ("POST", ["workspaces", id, "delegate"]) if is_own(id) => {
            carried("delegate", &format!("/workspaces/{there}/delegate"))
        }
        ("POST", ["workspaces", id, "a2a"]) if is_name(id) => {
            carried("a2a", &format!("/workspaces/{}/a2a", named(id)))
        }
        ("POST", ["a2a"]) => {
            let target = target.filter(|target| is_name(target))?;
            carried("a2a", &format!("/workspaces/{}/a2a", named(target)))
        }
        ("GET", ["workspaces", id]) if is_name(id) => {
            carried("row", &format!("/workspaces/{}", named(id)))
        }
        _ => None,
    }
}

/// The ids of an agent's workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Here.
    pub here: WorkspaceId,
    /// On the platform, if it is there already.
    pub there: Option<String>,
}

impl Own {
    /// Whether a text is one of them.
    pub fn is(&self, id: &str) -> bool {
        self.there.as_deref() == Some(id) || self.here.to_string() == id
    }

    /// Puts the id that the relay knows in the place of the platform's, in this field of a body. Answers
    /// whether the body names this workspace.
    pub fn put_here(&self, body: &mut Value, field: &str) -> bool {
        let Some(named) = body.get_mut(field) else { return false };
        let is_own = named.as_str().is_some_and(|id| self.is(id));
        if is_own {
            *named = self.here.to_string().into();
        }
        is_own
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HERE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const THERE: &str = "6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11";

    fn own() -> Own {
        Own { here: HERE.parse().unwrap(), there: Some(THERE.to_owned()) }
    }

    #[test]
    fn an_agent_asks_as_itself_by_either_of_its_ids() {
        let word = |asked: Option<Asked>| match asked {
            None => "nothing".to_owned(),
            Some(Asked::Carried(carried)) => format!("{} {}", carried.method, carried.path),
            Some(other) => format!("{other:?}"),
        };
        for (call, expected) in [
            ("POST /registry/register", "Register"),
            ("POST /registry/heartbeat", "Heartbeat"),
            ("POST /registry/update-card", "Card"),
            ("GET /workspaces/ID/state", "State"),
            ("GET /workspaces/ID/secrets", "Secrets"),
            ("GET /workspaces/ID/secrets/values", "GET /workspaces/THERE/secrets/values"),
            ("PUT /workspaces/ID/secrets", "PUT /workspaces/THERE/secrets"),
            ("DELETE /workspaces/ID/secrets/KEY", "DELETE /workspaces/THERE/secrets/KEY"),
            ("POST /workspaces/ID/delegate", "POST /workspaces/THERE/delegate"),
            ("GET /registry/ID/peers", "GET /registry/THERE/peers"),
            ("GET /registry/discover/other", "GET /registry/discover/other"),
            ("POST /workspaces/other/a2a", "POST /workspaces/other/a2a"),
            ("POST /workspaces/ID/a2a", "POST /workspaces/THERE/a2a"),
            ("POST /a2a", "POST /workspaces/other/a2a"),
            ("GET /workspaces/ID", "GET /workspaces/THERE"),
            ("GET /workspaces/other/state", "nothing"),
            ("GET /workspaces/other/secrets/values", "nothing"),
            ("POST /workspaces/other/delegate", "nothing"),
            ("POST /workspaces/ID/tokens", "nothing"),
            ("POST /workspaces/ID/pause", "nothing"),
            ("DELETE /workspaces/ID", "nothing"),
            ("POST /workspaces/../a2a", "nothing"),
            ("GET /workspaces", "nothing"),
            ("GET /healthz", "nothing"),
        ] {
            for id in [HERE, THERE] {
                let (method, path) = call.split_once(' ').unwrap();
                let path = path.replace("ID", id);
                let asked = read(&method.parse().unwrap(), &path, None, &own(), Some("other"));
                assert_eq!(word(asked), expected.replace("THERE", THERE), "{call} as {id}");
            }
        }
        let asked =
            read(&Method::GET, &format!("/registry/{HERE}/peers"), Some("q=a%20b"), &own(), None);
        assert_eq!(word(asked), format!("GET /registry/{THERE}/peers?q=a%20b"));
        assert_eq!(read(&Method::POST, "/a2a", None, &own(), None), None, "nobody is named");
    }

    #[test]
    fn a_body_is_about_its_own_workspace() {
        for (id, is_own) in [(HERE, true), (THERE, true), ("other", false)] {
            let mut body = json!({ "id": id });
            assert_eq!(own().put_here(&mut body, "id"), is_own);
            assert_eq!(body["id"], if is_own { HERE } else { id });
        }
        assert!(!own().put_here(&mut json!([]), "id"));
    }
}
