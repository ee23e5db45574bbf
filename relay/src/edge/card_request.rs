//! Which requests ask for a card, by what they ask and never by the look of an answer.

use std::sync::Arc;

use http::Method;
use http::header::HeaderValue;

use super::route::AgentName;
use crate::card::grpc::Schema;
use crate::card::signing::CardSigner;
use crate::card::{Rules, View};
use crate::public::PublicUrl;
use crate::registry::Workspace;

/// What an answer may hold that the relay has to edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// Nothing.
    None,
    /// The public card.
    Public,
    /// The card for callers whom the agent knows.
    Extended,
    /// A JSON-RPC response, whose result is a card if the request's method says so.
    Called,
    /// A card in protobuf, if the call succeeds.
    Grpc(Schema),
}

/// What the operator says of all cards. One for the process.
#[derive(Debug)]
pub struct Cards {
    /// The relay's public address.
    pub public: PublicUrl,
    /// Whether URLs that pass the relay by are left out.
    pub drop_foreign: bool,
    /// Signs edited cards that were signed.
    pub signer: Option<CardSigner>,
}

/// How an agent, and perhaps its card, was asked for.
#[derive(Debug, Clone)]
pub struct CardAsked {
    /// What the answer may hold.
    pub document: Document,
    /// The rules.
    pub cards: Arc<Cards>,
    /// The name by which the agent was asked.
    pub name: AgentName,
    /// The caller wants the head alone. The agent is asked for the whole card: only that has the
    /// length and the validator of what the relay would send.
    pub head_only: bool,
    /// The caller's validators.
    pub if_none_match: Option<HeaderValue>,
}

impl CardAsked {
    /// A request that is for a document if its method gets one.
    pub fn new(
        document: Document,
        method: &Method,
        cards: &Arc<Cards>,
        name: &AgentName,
        if_none_match: Option<&HeaderValue>,
    ) -> Self {
        let gets = matches!(*method, Method::GET | Method::HEAD);
        let fits = match document {
            Document::None => false,
            Document::Public | Document::Extended => gets,
            Document::Called | Document::Grpc(_) => *method == Method::POST,
        };
        let document = if fits { document } else { Document::None };
        Self {
            document,
            cards: Arc::clone(cards),
            name: name.clone(),
            head_only: *method == Method::HEAD && document != Document::None,
            if_none_match: if_none_match.filter(|_| is_get(document)).cloned(),
        }
    }

    /// Whether the agent is asked for a document that the relay has to read.
    pub const fn is_get(&self) -> bool {
        is_get(self.document)
    }

    /// Looks at the agent's URLs from where it was asked.
    pub fn look<T>(
        &self,
        workspace: &Workspace,
        origins: &[String],
        look: impl FnOnce(&View<'_>) -> T,
    ) -> T {
        let public = &self.cards.public;
        let by_path = match &self.name {
            AgentName::Address(address) => public.base(&address.reveal()),
            AgentName::Id(id) | AgentName::Bridged(id) => public.base(&id.to_string()),
            AgentName::Alias(alias) | AgentName::Host(alias) => public.base(alias.as_str()),
        };
        let (base, host) = match &self.name {
            AgentName::Host(alias) => (public.host_base(alias), public.host_base(alias)),
            _ => (None, public.host_base_of(workspace)),
        };
        let secret_base = match &self.name {
            AgentName::Address(_) => None,
            _ => Some(public.base_of(workspace)),
        };
        look(&View {
            base: base.as_deref().unwrap_or(&by_path),
            agents: &public.agents(),
            host: host.as_deref(),
            endpoint: &format!("{by_path}a2a"),
            secret_base: secret_base.as_deref(),
            origins,
            rules: Rules {
                strict: workspace.strict_card,
                drop_foreign: self.cards.drop_foreign,
                signer: self.cards.signer.as_ref(),
            },
        })
    }
}

const fn is_get(document: Document) -> bool {
    matches!(document, Document::Public | Document::Extended)
}

/// The methods whose results are cards (A2A 0.3, 7.10; 1.0, 9.4.11).
pub const CARD_METHODS: [&str; 2] = ["agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"];
