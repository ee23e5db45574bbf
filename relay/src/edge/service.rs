//! Answers one public request: judges it, finds its agent, forwards it, or says no.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use http::{Method, Request, Response, StatusCode, Version, request};
use http_body::Body;
use hyper::body::Incoming;
use shared::ids::{ExchangeId, InstanceId, WorkspaceId};
use shared::wire::RequestHead;
use shared::wire::fields::within_limits;

use super::access::{self, Entry, Reach};
use super::answer_body::AnswerBody;
use super::caller_body::CallerBody;
use super::card_request::{CardAsked, Cards, Document};
use super::cards::no_card_keys;
use super::deadline::Deadline;
use super::direct::{self, Direct};
use super::exchange::{self, Admitted, Pending, Refused, Way};
use super::failure::{Failure, Verdict};
use super::forwarded::{Caller, Origin, toward_agent};
use super::grpc;
use super::handed;
use super::judge::{host, judge};
use super::keep_alive;
use super::load::Load;
use super::own_api;
use super::record::Record;
use super::render::{Dialect, refusal};
use super::route::{AgentName, Route, route_at};
use crate::admin::Api;
use crate::admin::feed::Feed;
use crate::admin::refusals::Refused as Told;
use crate::clock::unix_ms;
use crate::guesses::Guesses;
use crate::metrics::Metrics;
use crate::principal::{BadCredential, Principal};
use crate::public::PublicUrl;
use crate::registry::{Lookup, Registry, Workspace};
use crate::tunnel::{LiveLinks, Presence};

/// What a connector waits longer than its relay.
const HEAD_TIMEOUT_LEEWAY: Duration = Duration::from_secs(1);
/// The public face of the relay. One for the process.
#[derive(Debug)]
pub struct Edge {
    /// Who has which name.
    pub registry: Registry,
    /// Who is connected.
    pub live: LiveLinks,
    /// The relay's public address.
    pub public: PublicUrl,
    /// What the operator says of cards.
    pub cards: Arc<Cards>,
    /// The registration API.
    pub api: Arc<Api>,
    /// Agents without a link, at their own URLs.
    pub direct: Direct,
    /// Largest body of a request to an agent, bytes.
    pub max_body_bytes: u64,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The relay process.
    pub instance: InstanceId,
    /// Its name as text, with which those of requests begin.
    pub instance_name: String,
    /// Counts requests, for their names.
    pub requests: AtomicU64,
    /// How much it carries.
    pub load: Load,
    /// What changes.
    pub feed: Arc<Feed>,
    /// Who guesses.
    pub guesses: Guesses,
    /// Whether the relay shuts down; the tunnel knows it too.
    pub draining: Arc<AtomicBool>,
}

/// A request that is to be refused.
pub(super) struct No {
    failure: Failure,
    dialect: Dialect,
    id: Option<Vec<u8>>,
    /// Its head is in doubt, and so is what would be read behind it: the connection ends.
    last: bool,
    /// Whether the record of an exchange has told of it.
    pub(super) recorded: bool,
}

impl No {
    pub(super) const fn new(failure: Failure, dialect: Dialect, id: Option<Vec<u8>>) -> Self {
        Self { failure, dialect, id, last: false, recorded: false }
    }
}

impl Edge {
    /// Answers one request. `caller` is the other end of the connection that it came on.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Response<AnswerBody> {
        let request_id = self.name_request();
        let (mut parts, body) = request.into_parts();
        match self.try_answer(&mut parts, body, caller, &request_id).await {
            Ok(response) => response,
            Err(mut no) => {
                let guess =
                    matches!(no.failure, Failure::Unauthenticated | Failure::UnknownWorkspace);
                if guess && !self.guesses.allow(caller.ip, Instant::now()) {
                    no.failure = Failure::RateLimited;
                }
                self.refuse(&no, &request_id)
            }
        }
    }

    async fn try_answer(
        &self,
        parts: &mut request::Parts,
        body: Incoming,
        caller: &Caller,
        request_id: &HeaderValue,
    ) -> Result<Response<AnswerBody>, No> {
        let plain = |failure| No::new(failure, Dialect::Problem, None);
        let uri = parts.uri.clone();
        let path = uri.path();
        let found = route_at(self.public.hosted(host(&uri, &parts.headers)), path);
        let is_grpc = grpc::is_call(&parts.headers);
        let dialect = match &found {
            Route::Agent { name: AgentName::Host(_), .. } | Route::NoAgent
                if is_grpc && parts.version == Version::HTTP_2 =>
            {
                Dialect::Grpc
            }
            Route::Agent { name, rest } => {
                access::dialect(Entry::of(name, Dialect::Problem), rest, &parts.method)
            }
            Route::Send(_) => Dialect::JsonRpc,
            _ => Dialect::Problem,
        };
        let has_body = !body.is_end_stream();
        let judged = judge(&parts.method, &parts.uri, parts.version, &parts.headers, has_body);
        if let Err(failure) = judged {
            // A body is read for its id only where its framing is beyond doubt.
            let readable = matches!(failure, Failure::HeadersTooLarge | Failure::UriTooLong);
            let mut body = CallerBody::new(body, parts.version, self.max_body_bytes);
            let id = if readable { Box::pin(id_of(&mut body, dialect, false)).await } else { None };
            return Err(No { last: !readable, ..No::new(failure, dialect, id) });
        }
        match found {
            Route::Health | Route::Ready | Route::CardKeys if !own_api::is_read(&parts.method) => {
                Err(plain(Failure::MethodNotAllowed("GET, HEAD")))
            }
            Route::Health => Ok(own_api::text(StatusCode::OK, "ok\n")),
            // What is seldom awaited is boxed: the future of each request is as large as its largest part.
            Route::Ready => Box::pin(self.ready()).await.map_err(plain),
            Route::Api => {
                Box::pin(self.api(parts, path, body, caller, request_id)).await.map_err(plain)
            }
            Route::Send(target) => {
                let body = CallerBody::new(body, parts.version, self.max_body_bytes);
                let principal = self.api.doorman.judge(&parts.headers);
                Box::pin(self.send(parts, body, target, caller, request_id, principal)).await
            }
            Route::Secrets => Err(plain(Failure::NotFound(
                "Secrets belong to a workspace: ask for /workspaces/{id}/secrets.",
            ))),
            Route::CardKeys => self.card_keys().ok_or_else(|| plain(no_card_keys())),
            Route::MissingSlash => Err(plain(Failure::NotFound(
                "No card is here. The base URL of an agent needs its final slash.",
            ))),
            Route::NoAgent => Err(No::new(Failure::UnknownWorkspace, dialect, None)),
            Route::Nothing => Err(plain(Failure::NotFound(
                "Nothing is here. An agent's URL looks like /agents/{address}/.",
            ))),
            Route::Agent { name: AgentName::Host(alias), rest } => {
                if is_grpc {
                    grpc::judge_version(parts.version).map_err(plain)?;
                }
                let principal = self.api.doorman.judge(&parts.headers);
                let authority = self.public.host_authority(&alias).unwrap_or_default();
                let caller = Box::new(caller.at(&authority));
                let name = AgentName::Host(alias);
                let asked = Asked { name, prefix: "", rest, dialect, caller: &caller, principal };
                let body = CallerBody::new(body, parts.version, self.max_body_bytes);
                Box::pin(self.forward(parts, body, &asked, request_id)).await
            }
            Route::Agent { name, rest } => {
                let prefix = path.strip_suffix(rest).unwrap_or(path);
                let principal = self.api.doorman.judge(&parts.headers);
                let asked = Asked { name, prefix, rest, dialect, caller, principal };
                let body = CallerBody::new(body, parts.version, self.max_body_bytes);
                self.forward(parts, body, &asked, request_id).await
            }
        }
    }

    /// Forwards a request to its agent.
    pub(super) async fn forward(
        &self,
        parts: &mut request::Parts,
        mut body: Box<CallerBody>,
        asked: &Asked<'_>,
        request_id: &HeaderValue,
    ) -> Result<Response<AnswerBody>, No> {
        let expects = parts.headers.contains_key(EXPECT);
        let (mut admitted, dialect) = match self.admit(parts, asked, request_id, body.is_over()) {
            Ok(admitted) => {
                let dialect = admitted.dialect;
                (admitted, dialect)
            }
            Err((failure, dialect)) => {
                let id = Box::pin(id_of(&mut body, dialect, expects)).await;
                return Err(No::new(failure, dialect, id));
            }
        };
        // Who is refused for want of room is not read either.
        let place = match self.load.enter(asked.principal()) {
            Ok(place) => place,
            Err(failure) => return Err(No::new(failure, dialect, None)),
        };
        let (workspace, binding) = (admitted.workspace.id, admitted.head.binding);
        let caller = asked.principal().map(Principal::name);
        let record =
            Record::begin(&self.metrics, request_id.clone(), workspace, binding, caller, place);
        let pending = Pending { body, record };
        let away = self.away(&admitted);
        // A link belongs to one shard, which all that touches it runs on.
        let answered = match std::mem::replace(&mut admitted.way, Way::Here) {
            Way::Here => exchange::run(&self.live, admitted, pending).await,
            Way::Elsewhere(home) => {
                Box::pin(handed::run(&home, self.live.clone(), admitted, pending)).await
            }
            Way::Direct(url) => Box::pin(self.direct.run(url, admitted, pending)).await,
        };
        let Refused { failure, body, prefix, mut record } = match answered {
            Ok(response) => return Ok(response),
            Err(refused) => refused,
        };
        if let Some(away) = away.filter(|_| failure.is_offline())
            && let Some(response) = self.kept_card(*away, record.as_deref_mut(), request_id)
        {
            return Ok(response);
        }
        let id = match body {
            Some(mut body) => Box::pin(id_of(&mut body, dialect, expects)).await,
            None => {
                prefix.filter(|_| dialect == Dialect::JsonRpc).and_then(|read| read.envelope().id)
            }
        };
        if let Some(mut record) = record {
            record.refused(&failure.verdict());
        }
        Err(No { recorded: true, ..No::new(failure, dialect, id) })
    }

    /// Decides, before a byte of the body is read, whether a request goes to an agent, and as what.
    fn admit(
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
        let (reach, way) = self.reach(&workspace, parts, asked).map_err(no)?;
        let Reach { target, binding, dialect, document } = reach;
        if workspace.paused {
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
        let validators = parts.headers.get(IF_NONE_MATCH);
        let card_asked =
            CardAsked::new(document, &parts.method, &self.cards, &asked.name, validators);
        let streams = takes_events(&parts.headers);
        let keep_alive = keep_alive::is_wanted(&parts.headers);
        let credential = asked.principal().and_then(Principal::credential);
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
            asked: card_asked,
            keep,
            deadline,
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
            AgentName::Id(id) => self.registry.by_id(id),
            AgentName::Alias(alias) | AgentName::Host(alias) => self.registry.by_alias(alias),
        };
        match (found, name) {
            (Lookup::Live(workspace), _) => Ok(workspace),
            (Lookup::Gone, AgentName::Id(id)) => Err(Failure::WorkspaceGone(*id)),
            (Lookup::Gone | Lookup::Unknown, _) => Err(Failure::UnknownWorkspace),
        }
    }

    fn reach(
        &self,
        workspace: &Workspace,
        parts: &request::Parts,
        asked: &Asked<'_>,
    ) -> Result<(Reach, Way), Failure> {
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
        let reach = access::reach(entry, asked.rest, &parts.method, workspace.expose, list)?;
        let last_seen = match presence {
            Presence::Left(since) => Some(since),
            Presence::Connected(_) | Presence::Never => None,
        };
        let reach = reach.ok_or(Failure::AgentOffline(workspace.id, last_seen))?;
        access::judge_media_type(&reach, &parts.method, &parts.headers)?;
        Ok((reach, way))
    }

    pub(super) fn refuse(&self, no: &No, request_id: &HeaderValue) -> Response<AnswerBody> {
        let verdict = no.failure.verdict();
        self.metrics.refusal(verdict.code);
        let name = request_id.to_str().unwrap_or_default();
        if let Some(workspace) = verdict.workspace
            && verdict.status != StatusCode::GONE
        {
            self.api.refusals.note(workspace, told(&verdict, name));
        }
        let mut response =
            refusal(&verdict, no.dialect, no.id.as_deref(), name).map(AnswerBody::whole);
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert("x-request-id", request_id.clone());
        if no.last || matches!(no.failure, Failure::Draining | Failure::BodyTooLarge(_)) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    pub(super) fn name_request(&self) -> HeaderValue {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number);
        let mut name = BytesMut::with_capacity(self.instance_name.len() + 1 + digits.len());
        name.extend_from_slice(self.instance_name.as_bytes());
        name.extend_from_slice(b"-");
        name.extend_from_slice(digits.as_bytes());
        HeaderValue::from_maybe_shared(name.freeze())
            .unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }
}

/// By which URL an agent was asked, and by whom.
pub(super) struct Asked<'r> {
    pub(super) name: AgentName,
    /// The path up to and with it.
    pub(super) prefix: &'r str,
    pub(super) rest: &'r str,
    pub(super) dialect: Dialect,
    pub(super) caller: &'r Caller,
    /// Who asks, by a credential of the relay.
    pub(super) principal: Result<Option<Principal>, BadCredential>,
}

impl Asked<'_> {
    fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref().ok().and_then(Option::as_ref)
    }
}

/// The JSON-RPC id for a refusal. A caller that waits for 100 is not asked for its body.
pub(super) async fn id_of(
    body: &mut CallerBody,
    dialect: Dialect,
    expects: bool,
) -> Option<Vec<u8>> {
    if dialect != Dialect::JsonRpc || expects {
        return None;
    }
    body.find_envelope().await.id
}

/// What the operator sees of a refusal.
fn told(verdict: &Verdict, request: &str) -> Told {
    Told {
        at_ms: unix_ms(),
        status: verdict.status.as_u16(),
        code: verdict.code,
        delivery: verdict.delivery.name(),
        request: request.to_owned(),
    }
}

/// Whether a caller takes a stream of events for its answer.
fn takes_events(fields: &HeaderMap) -> bool {
    let events =
        |value: &HeaderValue| value.to_str().is_ok_and(|media| media.contains("text/event-stream"));
    fields.get_all(ACCEPT).iter().any(events)
}
