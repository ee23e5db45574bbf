//! What the platform knows: its workspaces, their tokens, and what time makes of them.

use super::{
    calls::{Idle, Queued},
    journal::Call,
    oddity::{Fault, Odd},
};
use certs::random::random_bytes;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// The platform's own times.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Without a heartbeat for so long an agent is offline.
    pub silent: Duration,
    /// How long the key lives that a registration makes and a heartbeat extends.
    pub key: Duration,
    /// How long a workspace may wait for its first registration.
    pub provisioning: Duration,
    /// How long an agent that was called may give no sign of life: no answer, and no heartbeat.
    pub patience: Duration,
    /// When a delegation is sent again after a 502.
    pub delegate_again: Duration,
}

impl Default for Times {
    fn default() -> Times {
        let seconds = Duration::from_secs;
        Times {
            silent: seconds(90),
            key: seconds(180),
            provisioning: seconds(600),
            patience: seconds(300),
            delegate_again: seconds(8),
        }
    }
}

/// A workspace.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id, a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// `external`, if its creation said so, or what it was taken for.
    pub runtime: String,
    /// Its status.
    pub status: String,
    /// Where it is called.
    pub url: String,
    /// The card that was registered.
    pub card: Value,
    /// The last heartbeat, whole.
    pub report: Value,
    /// How many heartbeats came.
    pub beats: usize,
    /// How many registrations came.
    pub registrations: usize,
    /// Its secrets.
    pub secrets: serde_json::Map<String, Value>,
    tokens: Vec<Token>,
    made: Instant,
    heard: Option<Instant>,
    key: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) live: bool,
}

impl Row {
    fn new(id: String, name: &str, role: &str, runtime: &str) -> Row {
        Row {
            id,
            name: name.to_owned(),
            role: role.to_owned(),
            runtime: runtime.to_owned(),
            status: "provisioning".to_owned(),
            url: String::new(),
            card: Value::Null,
            report: Value::Null,
            beats: 0,
            registrations: 0,
            secrets: serde_json::Map::new(),
            tokens: Vec::new(),
            made: Instant::now(),
            heard: None,
            key: None,
        }
    }

    /// Its JSON, as `GET /workspaces/:id` shows it.
    pub(super) fn json(&self) -> Value {
        let report = |field: &str| self.report.get(field).cloned().unwrap_or_default();
        json!({
            "id": self.id, "name": self.name, "role": self.role, "tier": 1, "status": self.status,
            "url": self.url, "agent_card": self.card, "runtime": self.runtime, "parent_id": null,
            "active_tasks": report("active_tasks"), "current_task": report("current_task"),
        })
    }

    pub(super) fn pause(&mut self) {
        "paused".clone_into(&mut self.status);
        self.url.clear();
    }

    pub(super) fn remove(&mut self) {
        "removed".clone_into(&mut self.status);
        self.url.clear();
        self.revoke_all();
    }

    pub(super) fn revoke_all(&mut self) {
        for token in &mut self.tokens {
            token.live = false;
        }
    }

    pub(super) fn mint(&mut self) -> String {
        let text = BASE64URL_NOPAD.encode(&random::<32>());
        self.tokens.push(Token { id: uuid(), text: text.clone(), live: true });
        text
    }

    pub(super) fn rotate(&mut self) -> String {
        self.revoke_all();
        self.mint()
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| token.live)
    }

    pub(super) fn is_live(&self, text: &str) -> bool {
        self.live().any(|token| token.text == text)
    }

    pub(super) fn revoke(&mut self, id: &str) -> bool {
        let token = self.tokens.iter_mut().find(|token| token.id == id && token.live);
        token.map(|token| token.live = false).is_some()
    }

    pub(super) fn register(&mut self, url: &str, card: &Value, times: &Times) {
        // A URL of this host's loopback is taken for that of a container.
        if !self.url.starts_with("http://127.0.0.1") {
            url.clone_into(&mut self.url);
        }
        self.card = card.clone();
        self.registrations += 1;
        "online".clone_into(&mut self.status);
        self.heard = Some(Instant::now());
        self.key = Instant::now().checked_add(times.key);
    }

    /// When it last showed a sign of life.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    pub(super) fn beat(&mut self, report: &Value, times: &Times) {
        self.beats += 1;
        self.report = report.clone();
        let number = |field: &str| report.get(field).and_then(Value::as_f64).unwrap_or_default();
        let rate = number("error_rate");
        let state = report.get("runtime_state").and_then(Value::as_str).unwrap_or_default();
        let next = match self.status.as_str() {
            "offline" | "provisioning" => Some("online"),
            "degraded" if rate < 0.1 && state.is_empty() => Some("online"),
            "online" if rate >= 0.5 || state == "wedged" => Some("degraded"),
            _ => None,
        };
        if let Some(next) = next {
            next.clone_into(&mut self.status);
        }
        self.heard = Some(Instant::now());
        // A key that is not there is not made.
        let alive = self.key.is_some_and(|end| end > Instant::now());
        self.key = self.key.filter(|_| alive).and_then(|_| Instant::now().checked_add(times.key));
    }

    fn pass_time(&mut self, times: &Times, hosted: bool) {
        let now = Instant::now();
        let silent = self.heard.is_some_and(|heard| now.duration_since(heard) > times.silent);
        let expired = self.key.is_some_and(|end| end <= now);
        let next = match self.status.as_str() {
            "online" | "degraded" if expired || (silent && !hosted) => "offline",
            "provisioning" if now.duration_since(self.made) > times.provisioning => "failed",
            _ => return,
        };
        next.clone_into(&mut self.status);
        self.key = self.key.filter(|end| *end > now);
    }
}

/// Everything.
pub(super) struct State {
    pub(super) org: Option<String>,
    pub(super) admin_token: String,
    pub(super) times: Times,
    pub(super) rows: Vec<Row>,
    pub(super) journal: Vec<Call>,
    pub(super) faults: HashSet<Fault>,
    pub(super) oddities: Vec<Odd>,
    pub(super) hosts: HashMap<String, SocketAddr>,
    pub(super) queue: Vec<Queued>,
    pub(super) idle: Option<Idle>,
    pub(super) per_minute: u32,
    pub(super) window: (Instant, u32),
}

impl State {
    pub(super) fn new(org: Option<String>, per_minute: u32, times: Times) -> State {
        State {
            org,
            admin_token: format!("admin-{}", HEXLOWER.encode(&random::<16>())),
            times,
            rows: Vec::new(),
            journal: Vec::new(),
            faults: HashSet::new(),
            oddities: Vec::new(),
            hosts: HashMap::new(),
            queue: Vec::new(),
            idle: None,
            per_minute,
            window: (Instant::now(), 0),
        }
    }

    pub(super) fn pass_time(&mut self) {
        let hosted = self.org.is_some();
        for row in &mut self.rows {
            row.pass_time(&self.times, hosted);
        }
    }

    pub(super) fn find(&mut self, id: &str) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.id == id)
    }

    pub(super) fn row(&mut self, id: &str) -> &mut Row {
        self.find(id).unwrap_or_else(|| panic!("there is no workspace {id}"))
    }

    pub(super) fn insert(&mut self, name: &str, role: &str, runtime: &str) -> &mut Row {
        self.insert_with(uuid(), name, role, runtime)
    }

    pub(super) fn insert_with(
        &mut self,
        id: String,
        name: &str,
        role: &str,
        runtime: &str,
    ) -> &mut Row {
        self.rows.push(Row::new(id, name, role, runtime));
        self.rows.last_mut().expect("just pushed")
    }

    pub(super) fn make(&mut self, name: &str) -> (String, String) {
        let row = self.insert(name, "", "external");
        (row.id.clone(), row.mint())
    }
}

fn random<const N: usize>() -> [u8; N] {
    random_bytes().expect("random bytes")
}

/// A random UUID.
pub(super) fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    let part = |from: usize, to: usize| &hex[from..to];
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Whether a text is a UUID, as the platform's database sees it.
pub(super) fn is_uuid(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
