//! What the platform answers to agents themselves: their secrets, their peers, and calls to these.

use super::{
    api::{Answer, unauthorized, unknown},
    journal::Credential,
    rules::Head,
    state::{Row, State, uuid},
};
use serde_json::{Value, json};

impl State {
    /// Answers what only agents ask; `None` is something else. A call to another agent that is let in
    /// is answered with 200 and nothing, and made by the server.
    pub(super) fn of_agent(
        &mut self,
        head: &Head,
        segments: &[&str],
        credential: &Credential,
        body: &Value,
    ) -> Option<Answer> {
        let caller = head.caller.as_deref();
        Some(match (head.method.as_str(), segments) {
            ("GET", ["registry", "discover", target]) => self.discover(credential, caller, target),
            ("GET", ["registry", id, "peers"]) => self.peers(credential, id),
            ("POST", ["workspaces", target, "a2a"]) => self.calls(credential, caller, target),
            (method, ["workspaces", id, rest @ ..]) if is(rest) => {
                if *credential != Credential::Workspace((*id).to_owned()) {
                    return Some(unauthorized());
                }
                self.own(method, id, rest, body)
            }
            _ => return None,
        })
    }

    fn own(&mut self, method: &str, id: &str, rest: &[&str], body: &Value) -> Answer {
        let Some(row) = self.find(id) else { return unknown() };
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
        match (method, rest) {
            ("GET", ["secrets", "values"]) => (200, row.secrets.clone().into()),
            // Names and dates, never values.
            ("GET", ["secrets"]) => {
                (200, row.secrets.keys().map(|key| json!({ "key": key })).collect())
            }
            ("POST" | "PUT", ["secrets"]) => {
                row.secrets.insert(text("key").to_owned(), text("value").into());
                (200, json!({"status": "saved", "key": text("key")}))
            }
            ("DELETE", ["secrets", key]) => match row.secrets.remove(*key) {
                Some(_) => (200, json!({"status": "deleted", "key": key})),
                None => (404, json!({"error": "secret not found"})),
            },
            ("POST", ["delegate"]) => {
                let target = text("target_id").to_owned();
                (202, json!({"delegation_id": uuid(), "status": "delegated", "target_id": target}))
            }
            _ => (404, json!({"error": "not found"})),
        }
    }

    fn discover(&mut self, who: &Credential, caller: Option<&str>, target: &str) -> Answer {
        let Some(caller) = caller else { return (400, json!({"error": "X-Workspace-ID missing"})) };
        if !self.opens_registry(who, caller) {
            return unauthorized();
        }
        self.find(target)
            .map_or(unknown(), |row| (200, json!({"id": row.id, "url": row.url, "name": row.name})))
    }

    fn peers(&mut self, who: &Credential, id: &str) -> Answer {
        if !self.opens_registry(who, id) {
            return unauthorized();
        }
        let others = self.rows.iter().filter(|row| row.id != id && row.status != "removed");
        (200, others.map(Row::json).collect())
    }

    /// A caller that names itself has to show that it is.
    fn calls(&mut self, who: &Credential, caller: Option<&str>, target: &str) -> Answer {
        match caller {
            Some(caller) if caller != target && !self.opens_registry(who, caller) => unauthorized(),
            _ => (200, Value::Null),
        }
    }
}

/// Whether it is one of the routes that only a workspace's own token opens.
fn is(rest: &[&str]) -> bool {
    matches!(rest, ["secrets", ..] | ["delegate"])
}
