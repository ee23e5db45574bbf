//! The changes that a client asks for, and what each does to what it knows once it is acknowledged.

use super::known::{Known, Place, Workspace};
use serde_json::{Value, json};
use tests::chance::Chance;

/// Workspaces, live tokens, secrets and keys that a client has at most.
const WORKSPACES: usize = 5;
const TOKENS: usize = 4;
const SECRETS: usize = 6;
const KEYS: usize = 4;
/// Texts of revoked credentials that are tried again and again, of each owner.
const REVOKED: usize = 2;

/// One change. Numbers are places in the list of workspaces.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    Create,
    Change { at: usize, name: String, expose: &'static str },
    Pause { at: usize, paused: bool },
    Register { at: usize, url: String },
    AddToken { at: usize },
    RevokeToken { at: usize, id: String },
    RevokeTokens { at: usize },
    SetSecret { at: usize, name: String, value: String },
    RemoveSecret { at: usize, name: String },
    Remove { at: usize },
    AddKey,
    RevokeKey { id: String },
}

impl Order {
    /// A change that the relay must carry out, given what is known.
    pub(super) fn random(known: &Known, chance: &mut Chance) -> Order {
        let live: Vec<usize> =
            (0..known.workspaces.len()).filter(|at| !known.workspaces[*at].gone).collect();
        if live.len() < 2 || (live.len() < WORKSPACES && chance.happens(0.15)) {
            return Order::Create;
        }
        let at = live[chance.below(live.len() as u64) as usize];
        let workspace = &known.workspaces[at];
        let one_of = |ids: Vec<&String>, chance: &mut Chance| {
            let number = (!ids.is_empty()).then(|| chance.below(ids.len() as u64) as usize);
            number.map(|number| ids[number].clone())
        };
        let word = chance.next_u64();
        let token = one_of(workspace.tokens.live.keys().collect(), chance);
        let secret = one_of(workspace.secrets.keys().collect(), chance);
        let key = one_of(known.keys.live.keys().collect(), chance);
        match (chance.below(100), token, secret, key) {
            (0..12, ..) if workspace.tokens.live.len() < TOKENS => Order::AddToken { at },
            (0..20, Some(id), ..) => Order::RevokeToken { at, id },
            (20..24, ..) => Order::RevokeTokens { at },
            (24..40, ..) => Order::Register { at, url: format!("https://{word:x}.agent.invalid") },
            (40..52, _, Some(name), _) => Order::RemoveSecret { at, name },
            // Without a token nobody could tell the new value from the old one.
            (40..68, ..) if workspace.tokens.good().is_some() => {
                let name = format!("KEY_{}", word % SECRETS as u64);
                // Now and then one of the longest, so that the log goes into the file often.
                let length = if chance.happens(0.1) { 60_000 } else { chance.below(200) as usize };
                Order::SetSecret { at, name, value: format!("{word:x}{}", "s".repeat(length)) }
            }
            (68..76, ..) => Order::Change {
                at,
                name: format!("{}-{at}-{word:x}", known.prefix),
                expose: if workspace.expose == "all" { "a2a" } else { "all" },
            },
            (76..82, ..) => Order::Pause { at, paused: !workspace.paused },
            (82..86, ..) => Order::Remove { at },
            (86..94, ..) if known.keys.live.len() < KEYS => Order::AddKey,
            (86.., _, _, Some(id)) => Order::RevokeKey { id },
            _ => Order::Register { at, url: format!("https://{word:x}.agent.invalid") },
        }
    }

    /// What it is called in a summary.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Order::Create => "workspace made",
            Order::Change { .. } | Order::Pause { .. } => "workspace changed",
            Order::Register { .. } => "agent registered",
            Order::AddToken { .. } => "token made",
            Order::RevokeToken { .. } | Order::RevokeTokens { .. } => "token revoked",
            Order::SetSecret { .. } => "secret set",
            Order::RemoveSecret { .. } => "secret removed",
            Order::Remove { .. } => "workspace removed",
            Order::AddKey => "key made",
            Order::RevokeKey { .. } => "key revoked",
        }
    }

    /// What it touches.
    pub(super) fn place(&self, known: &Known) -> Place {
        match self {
            Order::Create => Place::Workspace(known.workspaces.len()),
            Order::AddKey | Order::RevokeKey { .. } => Place::Keys,
            Order::Change { at, .. }
            | Order::Pause { at, .. }
            | Order::Register { at, .. }
            | Order::AddToken { at }
            | Order::RevokeToken { at, .. }
            | Order::RevokeTokens { at }
            | Order::SetSecret { at, .. }
            | Order::RemoveSecret { at, .. }
            | Order::Remove { at } => Place::Workspace(*at),
        }
    }

    /// The call that asks for it.
    pub(super) fn call(&self, known: &Known) -> (String, Option<Value>) {
        let of = |method: &str, at: usize, rest: &str| {
            format!("{method} /workspaces/{}{rest}", known.workspaces[at].selector())
        };
        match self {
            Order::Create => {
                let name = known.fresh_name();
                let url = format!("https://{name}.agent.invalid");
                ("POST /workspaces".into(), Some(json!({"name": name, "url": url})))
            }
            Order::Change { at, name, expose } => {
                (of("PATCH", *at, ""), Some(json!({"name": name, "expose": expose})))
            }
            Order::Pause { at, paused: true } => (of("POST", *at, "/pause"), None),
            Order::Pause { at, paused: false } => (of("POST", *at, "/resume"), None),
            Order::Register { at, url } => {
                let id = &known.workspaces[*at].id;
                let body = json!({"id": id, "url": url, "agent_card": {"name": "an agent"}});
                ("POST /registry/register".into(), Some(body))
            }
            Order::AddToken { at } => (of("POST", *at, "/tokens"), None),
            Order::RevokeToken { at, id } => (of("DELETE", *at, &format!("/tokens/{id}")), None),
            Order::RevokeTokens { at } => (of("DELETE", *at, "/tokens"), None),
            Order::SetSecret { at, name, value } => {
                (of("PUT", *at, &format!("/secrets/{name}")), Some(json!({"value": value})))
            }
            Order::RemoveSecret { at, name } => {
                (of("DELETE", *at, &format!("/secrets/{name}")), None)
            }
            Order::Remove { at } => (of("DELETE", *at, ""), None),
            Order::AddKey => {
                let name = format!("{}-key", known.prefix);
                ("POST /keys".into(), Some(json!({"name": name, "scope": "read"})))
            }
            Order::RevokeKey { id } => (format!("DELETE /keys/{id}"), None),
        }
    }

    /// Carries it out on what is known; `answer` is `None` if it was not answered.
    pub(super) fn apply(&self, known: &mut Known, answer: Option<&Value>) {
        let told = |field: &str| answer.map(|answer| answer[field].as_str().expect("a text"));
        match self {
            Order::Create => {
                let name = known.fresh_name();
                known.workspaces.push(Workspace {
                    id: told("id").unwrap_or_default().to_owned(),
                    url: format!("https://{name}.agent.invalid"),
                    name,
                    expose: "a2a".to_owned(),
                    ..Workspace::default()
                });
            }
            Order::AddKey => known.keys.add(told("key")),
            Order::RevokeKey { id } => known.keys.revoke(id),
            Order::Change { at, .. }
            | Order::Pause { at, .. }
            | Order::Register { at, .. }
            | Order::AddToken { at }
            | Order::RevokeToken { at, .. }
            | Order::RevokeTokens { at }
            | Order::SetSecret { at, .. }
            | Order::RemoveSecret { at, .. }
            | Order::Remove { at } => self.apply_to(&mut known.workspaces[*at], answer),
        }
        forget_old(&mut known.keys.revoked, REVOKED);
    }

    fn apply_to(&self, workspace: &mut Workspace, answer: Option<&Value>) {
        let token = answer.and_then(|answer| answer["auth_token"].as_str());
        match self {
            Order::Change { name, expose, .. } => {
                workspace.name.clone_from(name);
                workspace.expose = (*expose).to_owned();
            }
            Order::Pause { paused, .. } => workspace.paused = *paused,
            Order::Register { url, .. } => {
                workspace.url.clone_from(url);
                // Whoever has a live token is given no other.
                let issues = workspace.tokens.live.is_empty();
                assert!(answer.is_none() || issues == token.is_some(), "{answer:?}");
                if issues {
                    workspace.tokens.add(token);
                }
            }
            Order::AddToken { .. } => workspace.tokens.add(token),
            Order::RevokeToken { id, .. } => workspace.tokens.revoke(id),
            Order::RevokeTokens { .. } => workspace.tokens.revoke_all(),
            Order::SetSecret { name, value, .. } => {
                workspace.secrets.insert(name.clone(), value.clone());
            }
            Order::RemoveSecret { name, .. } => drop(workspace.secrets.remove(name)),
            Order::Remove { .. } => {
                workspace.gone = true;
                workspace.tokens.revoke_all();
                workspace.secrets.clear();
            }
            Order::Create | Order::AddKey | Order::RevokeKey { .. } => {}
        }
        // Of one that is gone one is enough: it is asked for to the end.
        forget_old(&mut workspace.tokens.revoked, if workspace.gone { 1 } else { REVOKED });
    }
}

fn forget_old(texts: &mut Vec<String>, kept: usize) {
    texts.drain(..texts.len().saturating_sub(kept));
}
