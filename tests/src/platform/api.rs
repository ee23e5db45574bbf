//! The platform's routes: what each does, and what it answers.

use super::{
    journal::Credential,
    oddity::Fault,
    rules::{Head, takes_url},
    state::{State, is_uuid},
};
use serde_json::{Value, json};

/// The most characters of a name.
const NAME_MAX: usize = 255;
/// The most characters of a role.
const ROLE_MAX: usize = 1000;
/// What neither may hold.
const FORBIDDEN: &str = "\n{}[]|>*&!";
/// The most tokens of one workspace.
const TOKENS_MAX: usize = 50;

pub(super) type Answer = (u16, Value);

impl State {
    /// Answers a call that is within the limit.
    pub(super) fn answer(&mut self, head: &Head, credential: &Credential, body: &Value) -> Answer {
        self.pass_time();
        let path = head.path.split('?').next().unwrap_or_default();
        if path == "/health" {
            return (200, json!({"status": "ok"}));
        }
        if self.faults.contains(&Fault::Unavailable) {
            let error = "platform database unavailable";
            return (503, json!({"error": error, "code": "platform_unavailable"}));
        }
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if let Some(answer) = self.of_agent(head, &segments, credential, body) {
            return answer;
        }
        match (head.method.as_str(), segments.as_slice()) {
            ("POST", ["registry", "register"]) => self.register(credential, body),
            ("POST", ["registry", "heartbeat"]) => self.beat(credential, body),
            ("POST", ["registry", "update-card"]) => self.update_card(credential, body),
            ("GET", ["workspaces", id]) => self.row_of(id),
            ("GET", ["workspaces", id, "state"]) => self.state_of(credential, id),
            (method, ["workspaces", rest @ ..]) if *credential == Credential::Admin => {
                self.administer(method, rest, path, body)
            }
            (_, ["workspaces", ..]) => (401, json!({"error": "invalid or missing credential"})),
            _ => (404, json!({"error": "not found"})),
        }
    }

    fn administer(&mut self, method: &str, rest: &[&str], path: &str, body: &Value) -> Answer {
        match (method, rest) {
            ("POST", []) => self.create(body),
            ("GET", []) if self.faults.contains(&Fault::NoList) => {
                (500, json!({"error": "failed to list workspaces"}))
            }
            ("GET", []) => {
                let living = self.rows.iter().filter(|row| row.status != "removed");
                (200, living.map(super::Row::json).collect())
            }
            ("DELETE", [id]) => self.delete(id),
            ("POST", [id, "pause"]) => {
                self.find(id).map_or(unknown(), |row| {
                    row.pause();
                    (200, json!({"status": "paused"}))
                })
            }
            ("POST", [id, "tokens"]) => self.find(id).map_or(unknown(), |row| {
                if row.live().count() >= TOKENS_MAX {
                    return (429, json!({"error": "too many tokens"}));
                }
                let token = row.mint();
                (201, json!({"auth_token": token, "workspace_id": row.id, "message": "shown once"}))
            }),
            ("GET", [id, "tokens"]) => self.find(id).map_or(unknown(), |row| {
                let told = |token: &super::state::Token| {
                    json!({"id": token.id, "prefix": token.text.get(..8)})
                };
                (200, row.live().map(told).collect())
            }),
            ("DELETE", [id, "tokens", token]) => match self.find(id).map(|row| row.revoke(token)) {
                Some(true) => (200, json!({"status": "revoked"})),
                _ => unknown(),
            },
            _ => (404, json!({"error": format!("no route {path}")})),
        }
    }

    fn create(&mut self, body: &Value) -> Answer {
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
        let (name, role, runtime) = (text("name"), text("role"), text("runtime"));
        let fits = |text: &str, most| {
            text.chars().count() <= most && !text.contains(|c| FORBIDDEN.contains(c))
        };
        if name.is_empty() || !fits(name, NAME_MAX) || !fits(role, ROLE_MAX) {
            return (400, json!({"error": "invalid name or role"}));
        }
        if body.get("external") != Some(&json!(true)) {
            return (400, json!({"error": "no container runtime here"}));
        }
        // The runtime is kept only if it was sent.
        let runtime = if runtime.is_empty() { "langgraph" } else { runtime };
        let times = self.times;
        let row = self.insert(name, role, runtime);
        if let Some(url) = body.get("url").and_then(Value::as_str).filter(|url| !url.is_empty()) {
            row.register(url, &Value::Null, &times);
            return (201, json!({"id": row.id, "external": true, "status": "online"}));
        }
        let (id, token) = (row.id.clone(), row.mint());
        let connection = json!({
            "workspace_id": id, "platform_url": "http://platform", "auth_token": token,
            "registry_endpoint": "/registry/register", "heartbeat_endpoint": "/registry/heartbeat",
            "curl_register_template": "curl …", "python_snippet": "…",
        });
        let status = "awaiting_agent";
        (201, json!({"id": id, "external": true, "status": status, "connection": connection}))
    }

    fn register(&mut self, credential: &Credential, body: &Value) -> Answer {
        let text = |field: &str| body.get(field).and_then(Value::as_str).unwrap_or_default();
        let (id, url) = (text("id").to_owned(), text("url"));
        let bad = (400, json!({"error": "invalid request body"}));
        if id.is_empty() || !body.get("agent_card").is_some_and(Value::is_object) {
            return bad;
        }
        if !is_uuid(&id) {
            return (500, json!({"error": "registration failed"}));
        }
        if !self.opens_registry(credential, &id) {
            return unauthorized();
        }
        if !takes_url(url, self.org.is_some()) {
            return bad;
        }
        let times = self.times;
        if self.find(&id).is_none() {
            self.insert_with(id.clone(), &id, "", "langgraph");
        }
        let row = self.row(&id);
        if row.status == "removed" {
            let decoy = data_encoding::BASE64URL_NOPAD.encode(&[7; 32]);
            return (200, json!({"status": "registered", "auth_token": decoy}));
        }
        row.register(url, body.get("agent_card").unwrap_or(&Value::Null), &times);
        if row.live().next().is_some() {
            return (200, json!({"status": "registered"}));
        }
        (200, json!({"status": "registered", "auth_token": row.mint()}))
    }

    fn beat(&mut self, credential: &Credential, body: &Value) -> Answer {
        let id = body.get("workspace_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if id.is_empty() {
            return (400, json!({"error": "invalid request body"}));
        }
        // A removed one has no live token, so anyone is let in.
        if !self.opens_registry(credential, &id) {
            return unauthorized();
        }
        let times = self.times;
        if let Some(row) = self.find(&id).filter(|row| row.status != "removed") {
            row.beat(body, &times);
        }
        (200, json!({"status": "ok"}))
    }

    fn update_card(&mut self, credential: &Credential, body: &Value) -> Answer {
        let id = body.get("workspace_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        if !self.opens_registry(credential, &id) {
            return unauthorized();
        }
        if let Some(row) = self.find(&id) {
            row.card = body.get("agent_card").cloned().unwrap_or_default();
        }
        (200, json!({"status": "updated"}))
    }

    fn row_of(&mut self, id: &str) -> Answer {
        self.find(id).map_or(unknown(), |row| (200, row.json()))
    }

    fn state_of(&mut self, credential: &Credential, id: &str) -> Answer {
        if *credential != Credential::Workspace(id.to_owned()) {
            return unauthorized();
        }
        self.find(id).map_or(unknown(), |row| {
            let paused = row.status == "paused";
            let status = row.status.clone();
            (200, json!({"workspace_id": id, "status": status, "paused": paused, "deleted": false}))
        })
    }

    fn delete(&mut self, id: &str) -> Answer {
        let with_500 = self.faults.contains(&Fault::DeletesWith500);
        let Some(row) = self.find(id) else { return unknown() };
        row.remove();
        match with_500 {
            true => (500, json!({"error": "failed to clean up"})),
            false => (200, json!({"status": "removed", "cascade_deleted": 0})),
        }
    }
}

pub(super) fn unknown() -> Answer {
    (404, json!({"error": "workspace not found"}))
}

pub(super) fn unauthorized() -> Answer {
    (401, json!({"error": "missing or invalid workspace token"}))
}
