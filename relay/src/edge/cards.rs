//! Cards as the edge serves them by itself: those of agents that are away, and the keys that sign.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, IF_NONE_MATCH};

use super::answer_body::AnswerBody;
use super::card_answer;
use super::card_request::{CardAsked, Document};
use super::card_tag;
use super::exchange::{Admitted, Way};
use super::failure::Failure;
use super::record::Record;
use super::service::Edge;
use crate::card::kept::{KeptCards, Key};
use crate::registry::Workspace;
use crate::tunnel::Presence;

/// The refusal of a relay that signs nothing.
pub(super) const fn no_card_keys() -> Failure {
    Failure::NotFound("This relay signs no cards (relay serve --sign-cards).")
}

/// A request for a public card, in case that its agent is away.
pub(super) struct Away {
    workspace: Arc<Workspace>,
    asked: CardAsked,
    key: Key,
}

impl Edge {
    /// What is needed to answer from the kept cards; nothing for any other request.
    pub(super) fn away(&self, admitted: &Admitted) -> Option<Box<Away>> {
        let (_, key) = admitted.keep.as_ref()?;
        let (workspace, asked) = (Arc::clone(&admitted.workspace), admitted.asked.clone());
        Some(Box::new(Away { workspace, asked, key: key.clone() }))
    }

    /// The last good card of an agent that is away, if there is one.
    pub(super) fn kept_card(
        &self,
        away: Away,
        record: Option<&mut Record>,
        request_id: &HeaderValue,
    ) -> Option<Response<AnswerBody>> {
        let Away { workspace, asked, key } = away;
        let card = self.api.kept_cards.find(&workspace, &key)?;
        let mut response = card_answer::away(&asked, &workspace, card);
        response.headers_mut().insert("x-request-id", request_id.clone());
        if let Some(record) = record {
            record.status = response.status().as_u16();
            record.complete();
        }
        Some(response)
    }

    /// Gives the agent what it needs for a card, and says where that is kept, if it may be.
    pub(super) fn prepare_card(
        &self,
        fields: &mut HeaderMap,
        asked: &CardAsked,
        workspace: &Workspace,
        way: &Way,
        query: Option<&str>,
    ) -> Option<(Arc<KeptCards>, Key)> {
        if asked.is_get() {
            self.ask_conditionally(fields, asked, workspace, way);
        }
        if asked.document != Document::Public {
            return None;
        }
        Some((Arc::clone(&self.api.kept_cards), Key::of(query, fields)?))
    }

    /// Gives the agent those of the caller's validators that are its own.
    fn ask_conditionally(
        &self,
        fields: &mut HeaderMap,
        asked: &CardAsked,
        workspace: &Workspace,
        way: &Way,
    ) {
        let Some(theirs) = &asked.if_none_match else { return };
        let origins = match (way, self.live.presence(&workspace.id)) {
            (Way::Direct(Ok(url)), _) => vec![url.origin()],
            (_, Presence::Connected(link)) => link.announced().origins(),
            _ => return,
        };
        let ending = asked.look(workspace, &origins, card_tag::ending);
        if let Some(agents) = card_tag::for_agent(theirs, &ending) {
            fields.insert(IF_NONE_MATCH, agents);
        }
    }

    /// The keys with which cards are signed (RFC 7517), if they are.
    pub(super) fn card_keys(&self) -> Option<Response<AnswerBody>> {
        let keys = self.cards.signer.as_ref()?.key_set().to_string();
        let mut response = Response::new(AnswerBody::whole(Bytes::from(keys)));
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        Some(response)
    }
}
