//! What a client was told of its workspaces and keys, and whether the relay agrees.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tests::{Cut, RawResponse, api::Api};

/// The id of a credential whose making was not answered: there is one, and nobody knows which.
const UNTOLD: &str = "?";

/// The API as the operator calls it.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) api: Api,
    pub(super) admin_token: String,
}

impl Desk {
    /// A call of the operator.
    pub(super) async fn call(&self, call: &str, body: Option<&Value>) -> Result<RawResponse, Cut> {
        self.api.call(&self.admin_token, call, body).await
    }

    /// Reads something as the operator; the relay must be there.
    async fn read(&self, path: &str) -> RawResponse {
        self.read_with(&self.admin_token, path).await
    }

    async fn read_with(&self, token: &str, path: &str) -> RawResponse {
        let answer = self.api.call(token, &format!("GET {path}"), None).await;
        answer.unwrap_or_else(|cut| panic!("no answer to GET {path}: {cut}"))
    }
}

/// Credentials of one owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Credentials {
    /// Those that are good, by id, with their texts.
    pub(super) live: BTreeMap<String, Option<String>>,
    /// Texts of some that are good no longer.
    pub(super) revoked: Vec<String>,
}

impl Credentials {
    /// Takes in a new one; `None` if its making was not answered.
    pub(super) fn add(&mut self, text: Option<&str>) {
        // The id follows the prefix: `rtok_` and 26 letters.
        let id = text.and_then(|text| text.get(5..31)).unwrap_or(UNTOLD);
        self.live.insert(id.to_owned(), text.map(str::to_owned));
    }

    /// One is good no longer.
    pub(super) fn revoke(&mut self, id: &str) {
        self.revoked.extend(self.live.remove(id).flatten());
    }

    /// None is good any longer.
    pub(super) fn revoke_all(&mut self) {
        self.revoked.extend(std::mem::take(&mut self.live).into_values().flatten());
    }

    /// The text of one that is good.
    pub(super) fn good(&self) -> Option<&str> {
        self.live.values().flatten().next().map(String::as_str)
    }

    /// Compares with the ids that the relay lists, and learns the one that nobody was told.
    fn settle(&mut self, listed: BTreeSet<String>) -> Result<(), String> {
        let known: BTreeSet<_> = self.live.keys().filter(|id| *id != UNTOLD).cloned().collect();
        let more: Vec<&String> = listed.difference(&known).collect();
        let untold = usize::from(self.live.contains_key(UNTOLD));
        if !known.is_subset(&listed) || more.len() != untold {
            return Err(format!("live credentials: {listed:?} where {:?} were told", self.live));
        }
        if let [id] = more[..] {
            self.live.remove(UNTOLD);
            self.live.insert(id.clone(), None);
        }
        Ok(())
    }

    /// Tries each text; whether it opens is told by the status.
    async fn open(&self, desk: &Desk, path: &str, opened: u16) -> Result<(), String> {
        let live = self.live.values().flatten().map(|text| (text, opened));
        for (text, status) in live.chain(self.revoked.iter().map(|text| (text, 401))) {
            let answer = desk.read_with(text, path).await;
            if answer.status != status {
                return Err(format!("{}… answers {} at {path}", &text[..12], answer.status));
            }
        }
        Ok(())
    }
}

/// A workspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Workspace {
    /// Empty as long as its making was not answered.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) url: String,
    pub(super) expose: String,
    pub(super) paused: bool,
    pub(super) gone: bool,
    pub(super) tokens: Credentials,
    pub(super) secrets: BTreeMap<String, String>,
}

impl Workspace {
    /// What names it in a path.
    pub(super) fn selector(&self) -> &str {
        if self.id.is_empty() { &self.name } else { &self.id }
    }

    /// Compares all of it with what the relay says, and learns what was not told.
    async fn settle(&mut self, desk: &Desk) -> Result<(), String> {
        let path = format!("/workspaces/{}", self.selector());
        let answer = desk.read(&path).await;
        if self.gone {
            return match answer.status {
                410 => self.tokens.open(desk, &format!("{path}/state"), 401).await,
                other => Err(format!("{path} was removed and answers {other}")),
            };
        }
        if answer.status != 200 {
            return Err(format!("{path} answers {}", answer.status));
        }
        let row = answer.json();
        for (field, told) in [("name", &self.name), ("url", &self.url), ("expose", &self.expose)] {
            if row[field] != **told {
                return Err(format!("the {field} of {path} is {}, not {told}", row[field]));
            }
        }
        if row["paused"] != self.paused {
            return Err(format!("{path} is paused: {}, not {}", row["paused"], self.paused));
        }
        row["id"].as_str().expect("an id").clone_into(&mut self.id);
        let tokens = desk.read(&format!("{path}/tokens")).await.json();
        self.tokens.settle(ids(&tokens["tokens"], "")).map_err(|why| format!("{path}: {why}"))?;
        self.tokens.open(desk, &format!("{path}/state"), 200).await?;
        self.secrets_are_there(desk, &path).await
    }

    /// By value, where a token is known that opens them; else by name.
    async fn secrets_are_there(&self, desk: &Desk, path: &str) -> Result<(), String> {
        let (found, told) = match self.tokens.good() {
            Some(token) => {
                let values = desk.read_with(token, &format!("{path}/secrets/values")).await;
                (values.json(), serde_json::json!(self.secrets))
            }
            None => {
                let names = desk.read(&format!("{path}/secrets")).await.json();
                let rows = names["secrets"].as_array().expect("a list").iter();
                let names = rows.map(|row| row["key"].clone()).collect();
                (names, self.secrets.keys().cloned().collect())
            }
        };
        if found == told {
            return Ok(());
        }
        let short = |value: &Value| value.to_string().chars().take(400).collect::<String>();
        Err(format!("secrets of {path}: {} where {} were told", short(&found), short(&told)))
    }
}

fn ids(rows: &Value, name: &str) -> BTreeSet<String> {
    let rows = rows.as_array().expect("a list").iter();
    let rows = rows.filter(|row| row["name"].as_str().unwrap_or_default().starts_with(name));
    rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

/// What of a client's belongings a change touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Workspace(usize),
    Keys,
}

/// All that one client was told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    /// What the names of its things begin with.
    pub(super) prefix: String,
    pub(super) workspaces: Vec<Workspace>,
    pub(super) keys: Credentials,
}

impl Known {
    /// Nothing yet.
    pub(super) fn of(prefix: String) -> Known {
        Known { prefix, workspaces: Vec::new(), keys: Credentials::default() }
    }

    /// Compares what is in a place with what the relay says, and learns what was not told. A
    /// workspace that is not known here must be known to nobody.
    pub(super) async fn settle(&mut self, desk: &Desk, place: Place) -> Result<(), String> {
        match place {
            Place::Workspace(at) => match self.workspaces.get_mut(at) {
                Some(workspace) => workspace.settle(desk).await,
                None => {
                    let path = format!("/workspaces/{}", self.fresh_name());
                    match desk.read(&path).await.status {
                        404 => Ok(()),
                        other => Err(format!("{path} answers {other}")),
                    }
                }
            },
            Place::Keys => {
                let keys = desk.read("/keys").await.json();
                self.keys.settle(ids(&keys["keys"], &self.prefix))?;
                self.keys.open(desk, "/workspaces/nobody", 404).await
            }
        }
    }

    /// The name of the workspace that comes next. A number is never used again, since a workspace
    /// that was made is never forgotten here.
    pub(super) fn fresh_name(&self) -> String {
        format!("{}-{}", self.prefix, self.workspaces.len())
    }

    /// Every place.
    pub(super) fn places(&self) -> BTreeSet<Place> {
        let workspaces = (0..self.workspaces.len()).map(Place::Workspace);
        workspaces.chain([Place::Keys]).collect()
    }
}
