//! Agents find each other: who may talk to whom, and by which URL.

use http::HeaderMap;
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::{Answer, Api, Asker};
use crate::admin::problem::Problem;
use crate::card::{self, Edit, Rules};
use crate::registry::{Lookup, Workspace};

impl Api {
    /// The URL of an agent, for one that may talk to it.
    pub(super) fn discover(
        &self,
        target: &str,
        headers: &HeaderMap,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let target = match asker.sender() {
            None => self.readable(asker, target)?,
            Some(sender) => {
                claims_nothing_else(headers, &sender)?;
                let id = target.parse().ok().filter(|id| self.registry.may_talk(&sender, id));
                match id.map(|id| self.registry.by_id(&id)) {
                    Some(Lookup::Live(workspace)) => workspace,
                    _ => return Err(not_for_you()),
                }
            }
        };
        Ok(Answer::ok(json!({
            "id": target.id,
            "url": self.url_by_id(&target),
            "name": target.name,
        })))
    }

    /// Whom an agent may talk to, by name and card.
    pub(super) fn peers(
        &self,
        id: &str,
        query: Option<&str>,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        let own = self.owned(asker, id)?;
        let wanted = parameter(query, "q").unwrap_or_default().to_lowercase();
        let peers = self.registry.workspaces().into_iter().filter(|peer| {
            peer.id != own.id
                && self.registry.may_talk(&own.id, &peer.id)
                && peer.name.to_lowercase().contains(&wanted)
        });
        Ok(Answer::ok(peers.map(|peer| self.peer_view(&peer)).collect()))
    }

    /// The base by a workspace's id: the address is a secret of its owner.
    pub(in crate::admin) fn url_by_id(&self, workspace: &Workspace) -> String {
        self.public.base(&workspace.id.to_string())
    }

    /// An agent's card with the URLs that a peer can use.
    pub(in crate::admin) fn card_for_peers(&self, peer: &Workspace, card: &Value) -> Value {
        let origins = self.live.newest(&peer.id).map(|link| link.announced().origins());
        let (base, secret_base) = (self.url_by_id(peer), self.public.base_of(peer));
        let host = self.public.host_base_of(peer);
        let view = card::View {
            base: &base,
            agents: &self.public.agents(),
            host: host.as_deref(),
            endpoint: &format!("{base}a2a"),
            secret_base: Some(&secret_base),
            origins: &origins.unwrap_or_default(),
            rules: Rules { strict: peer.strict_card, ..Rules::default() },
        };
        match card::edit(card.to_string().as_bytes(), &view) {
            Edit::Rewritten(edited) => serde_json::from_slice(&edited).unwrap_or_default(),
            Edit::Public | Edit::Strict => card.clone(),
        }
    }
}

/// A sender is told by its credential: a field that names another one is a mistake.
fn claims_nothing_else(headers: &HeaderMap, sender: &WorkspaceId) -> Result<(), Problem> {
    let own = sender.to_string();
    match headers.get_all("x-workspace-id").iter().all(|claimed| claimed == own.as_str()) {
        true => Ok(()),
        false => Err(Problem::Forbidden(
            "`X-Workspace-ID` names another workspace than the credential; send your own.".into(),
        )),
    }
}

pub(super) fn not_for_you() -> Problem {
    Problem::Forbidden(
        "Your workspace may not talk to that one: only to its siblings, ancestors and descendants."
            .into(),
    )
}

/// A parameter of a query, decoded.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let spaced = value.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
    Some(decoded.into_owned())
}
