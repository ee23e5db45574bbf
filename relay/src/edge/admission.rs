//! Decides, before a byte of the body is read, whether a request goes to an agent, and as what.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_LENGTH, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::{Method, request};
use shared::ids::{ExchangeId, WorkspaceId};
use shared::wire::RequestHead;
use shared::wire::fields::within_limits;

use super::access::{self, Entry, Reach};
use super::bridged;
use super::called::Called;
use super::card_request::{CardAsked, Document};
use super::deadline::Deadline;
use super::direct;
use super::exchange::{Admitted, Way};
use super::failure::Failure;
use super::forwarded::{Origin, toward_agent};
use super::grpc;
use super::keep_alive;
use super::render::Dialect;
use super::route::AgentName;
use super::service::{Asked, Edge};
use super::waiting;
use crate::principal::Principal;
use crate::registry::{Lookup, Workspace};
use crate::tunnel::Presence;

/// What a connector waits longer than its relay.
const HEAD_TIMEOUT_LEEWAY: Duration = Duration::from_secs(1);

impl Edge {
    /// The request as it goes to the agent, or why it does not, in the dialect to say so.
    pub(super) fn admit(
        &self,
        parts: &mut request::Parts,
        asked: &Asked<'_>,
        request_id: &HeaderValue,
        bodiless: bool,
    ) -> Result<Box<Admitted>, (Failure, Dialect)> {
        let no = |failure| (failure, asked.dialect);
        if self.draining.load(Ordering::Relaxed) {
            return Err(no(Failure::Draining));
        }
        let workspace = self.admitted(asked).map_err(no)?;
        let wished = |dialect: Dialect| dialect.wished_by(&workspace);
        let no = |failure| (failure, wished(asked.dialect));
        let (reach, called, way) = self.reach(&workspace, parts, asked).map_err(no)?;
        let Reach { target, binding, dialect, document } = reach;
        let dialect = wished(dialect);
        let platform = self.api.platform.as_ref();
        if workspace.paused || platform.is_some_and(|one| one.is_paused(&workspace.id)) {
            return Err((Failure::AgentPaused(workspace.id), dialect));
        }
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if length
            .and_then(|length| length.parse().ok())
            .is_some_and(|n: u64| n > self.max_body_bytes)
        {
            return Err((Failure::BodyTooLarge(self.max_body_bytes), dialect));
        }
        let deadline = match dialect {
            Dialect::Grpc => grpc::deadline(&parts.headers, Instant::now),
            _ => Deadline::of(&parts.headers, Instant::now),
        };
        let deadline = deadline.map_err(|failure| (failure, dialect))?;
        let wait = waiting::wished(&parts.headers);
        let validators = parts.headers.get(IF_NONE_MATCH);
        let card_asked =
            CardAsked::new(document, &parts.method, &self.cards, &asked.name, validators);
        let streams = takes_events(&parts.headers);
        // A platform takes every answer whole, comments and all.
        let keep_alive = workspace.keep_alive
            && dialect != Dialect::Molecule
            && keep_alive::is_wanted(&parts.headers);
        let credential = asked.principal().and_then(Principal::credential);
        let of_token = credential.map(|credential| credential.allowance.methods);
        let allowed = workspace.allowance.methods.within(of_token.unwrap_or_default());
        let validity = credential.map(|credential| self.registry.validity(credential));
        let mut fields = std::mem::take(&mut parts.headers);
        let token = &self.api.doorman.token;
        access::remove_relay_credentials(&mut fields, token.bytes(), |word| token.is(word));
        let origin = Origin {
            caller: asked.caller,
            version: parts.version,
            prefix: asked.prefix,
            request_id,
            principal: asked.principal(),
        };
        toward_agent(&mut fields, origin, card_asked.is_get());
        if matches!(card_asked.document, Document::Grpc(_)) {
            // The relay reads it.
            fields.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
        }
        let query = parts.uri.query();
        let keep = self.prepare_card(&mut fields, &card_asked, &workspace, &way, query);
        let method = if card_asked.head_only { Method::GET } else { parts.method.clone() };
        // The relay's own fields may be what is too much.
        if !within_limits(&fields) {
            return Err((Failure::HeadersTooLarge, dialect));
        }
        // The relay's own deadline speaks first; the connector's ends what nobody waits for.
        let head_timeout = deadline.as_ref().map(|deadline| deadline.total + HEAD_TIMEOUT_LEEWAY);
        Ok(Box::new(Admitted {
            workspace,
            head: RequestHead {
                exchange: ExchangeId { instance: self.instance, counter: 0 },
                target,
                binding,
                has_body: !bodiless,
                method,
                query: query.map(str::to_owned),
                request_credit: 0,
                response_credit: 0,
                fields,
                head_timeout_ms: head_timeout
                    .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            },
            dialect,
            called,
            allowed,
            asked: card_asked,
            keep,
            deadline,
            wait,
            validity,
            streams,
            keep_alive,
            way,
        }))
    }

    /// The workspace that is asked, for a caller who may call it.
    fn admitted(&self, asked: &Asked<'_>) -> Result<Arc<Workspace>, Failure> {
        let Ok(principal) = &asked.principal else { return Err(Failure::Unauthenticated) };
        let workspace = match self.look_up(&asked.name) {
            Ok(workspace) => workspace,
            // Who may call some agents is not told which of the others exist.
            Err(_) if principal.as_ref().is_some_and(Principal::is_of_one_workspace) => {
                return Err(Failure::Forbidden);
            }
            Err(failure) => return Err(failure),
        };
        let may_talk = |sender: &WorkspaceId| self.registry.may_talk(sender, &workspace.id);
        access::admit(&workspace, &asked.name, principal.as_ref(), may_talk)?;
        Ok(workspace)
    }

    fn look_up(&self, name: &AgentName) -> Result<Arc<Workspace>, Failure> {
        let found = match name {
            AgentName::Address(address) => self.registry.by_address(address),
            AgentName::Id(id) | AgentName::Bridged(id) => self.registry.by_id(id),
            AgentName::Alias(alias) | AgentName::Host(alias) => self.registry.by_alias(alias),
        };
        match (found, name) {
            (Lookup::Live(workspace), _) => Ok(workspace),
            (Lookup::Gone, AgentName::Id(id) | AgentName::Bridged(id)) => {
                Err(Failure::WorkspaceGone(*id))
            }
            (Lookup::Gone | Lookup::Unknown, _) => Err(Failure::UnknownWorkspace),
        }
    }

    fn reach(
        &self,
        workspace: &Workspace,
        parts: &request::Parts,
        asked: &Asked<'_>,
    ) -> Result<(Reach, Called, Way), Failure> {
        let presence = self.live.presence(&workspace.id);
        let (announced, way) = match &presence {
            Presence::Connected(link) if Some(link.home.shard()) != asked.caller.shard => {
                (Some(link.announced()), Way::Elsewhere(link.home.clone()))
            }
            Presence::Connected(link) => (Some(link.announced()), Way::Here),
            Presence::Left(_) | Presence::Never => (None, self.direct.way(workspace)),
        };
        let list = match (&announced, &way) {
            (Some(announced), _) => Some(&announced.exposure),
            (None, Way::Direct(Ok(_))) => Some(&direct::EXPOSURE),
            (None, _) => None,
        };
        let entry = Entry::of(&asked.name, asked.dialect);
        let reach = match asked.name {
            AgentName::Bridged(_) => Some(bridged::REACH),
            _ => access::reach(entry, asked.rest, &parts.method, workspace.expose, list)?,
        };
        let last_seen = match presence {
            Presence::Left(since) => Some(since),
            Presence::Connected(_) | Presence::Never => None,
        };
        let reach = reach.ok_or(Failure::AgentOffline(workspace.id, last_seen))?;
        access::judge_media_type(&reach, &parts.method, &parts.headers)?;
        let called = Called::of(&reach, &parts.method, list);
        Ok((reach, called, way))
    }
}

/// Whether a caller takes a stream of events for its answer.
fn takes_events(fields: &HeaderMap) -> bool {
    let events =
        |value: &HeaderValue| value.to_str().is_ok_and(|media| media.contains("text/event-stream"));
    fields.get_all(ACCEPT).iter().any(events)
}
