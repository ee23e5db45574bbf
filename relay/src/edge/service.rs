//! Answers one public request: judges it, finds its agent, forwards it, or says no.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use http::header::{CONNECTION, EXPECT, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Version, request};
use http_body::Body;
use hyper::body::Incoming;
use shared::codes::Delivery;
use shared::ids::{InstanceId, WorkspaceId};

use super::access::{self, Entry};
use super::answer_body::AnswerBody;
use super::bridged::Continued;
use super::budgets::Budgets;
use super::caller_body::CallerBody;
use super::card_request::Cards;
use super::cards::no_card_keys;
use super::direct::Direct;
use super::exchange::{self, Pending, Refused, Way};
use super::failure::{Failure, Verdict};
use super::forwarded::Caller;
use super::grpc;
use super::handed;
use super::judge::{host, judge};
use super::load::Load;
use super::observed::Observed;
use super::own_api;
use super::proxied::Proxies;
use super::push::Paces;
use super::record::Record;
use super::render::{Dialect, refusal};
use super::request_name::RequestNames;
use super::route::{AgentName, Route, route_at};
use crate::admin::Api;
use crate::admin::feed::Feed;
use crate::admin::refusals::Refused as Told;
use crate::clock::unix_ms;
use crate::guesses::Guesses;
use crate::metrics::Metrics;
use crate::principal::{BadCredential, Principal};
use crate::public::PublicUrl;
use crate::registry::Registry;
use crate::tunnel::LiveLinks;

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
    /// What its requests are called.
    pub names: RequestNames,
    /// How much it carries.
    pub load: Load,
    /// What changes.
    pub feed: Arc<Feed>,
    /// Who guesses.
    pub guesses: Guesses,
    /// In front of the relay, trusted to say who calls.
    pub proxies: Proxies,
    /// How fast agents post to webhooks.
    pub paces: Paces,
    /// What the platform's calls left, whose caller may have gone.
    pub continued: Continued,
    /// What each agent asks of the platform.
    pub asking: Arc<Budgets<WorkspaceId>>,
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

    /// Whether the agent got the request.
    pub(super) fn delivery(&self) -> Delivery {
        self.failure.verdict().delivery
    }
}

impl Edge {
    /// Whoever is at the other end of a connection of this shard.
    pub(super) fn caller(&self, ip: IpAddr, shard: u8) -> Caller {
        Caller::new(ip, Some(shard), &self.public).proxy(self.proxies.has(ip))
    }

    /// Who called a proxy that made this request of it; `None` where the other end is the caller.
    fn behind(&self, end: &Caller, fields: &HeaderMap) -> Option<Box<Caller>> {
        let ip = if end.is_proxy { self.proxies.caller_behind(fields) } else { None };
        ip.map(|ip| Box::new(end.behind(ip)))
    }

    /// Answers one request. `caller` is the other end of the connection that it came on.
    pub async fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Response<AnswerBody> {
        let request_id = self.names.next();
        let (mut parts, body) = request.into_parts();
        let behind = self.behind(caller, &parts.headers);
        let caller = behind.as_deref().unwrap_or(caller);
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
        self: &Arc<Self>,
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
            Route::Bridged(_) if self.api.platform.is_some() => Dialect::Molecule,
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
            Route::Bridged(address) if self.api.platform.is_some() => {
                let body = CallerBody::new(body, parts.version, self.max_body_bytes);
                Box::pin(self.called_by_platform(parts, body, address, caller, request_id)).await
            }
            Route::Bridged(_) | Route::Nothing => Err(plain(Failure::NotFound(
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
        let place = match self.load.enter_for(asked.principal(), &admitted.workspace) {
            Ok(place) => place,
            Err(failure) => return Err(No::new(failure, dialect, None)),
        };
        let (workspace, called) = (admitted.workspace.id, admitted.called);
        let observed = Observed::head(called, &admitted.head);
        let caller = asked.principal().map(Principal::name);
        let record =
            Record::begin(&self.metrics, request_id.clone(), workspace, observed, caller, place);
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
        let prefix = body.as_ref().map(|body| body.prefix()).or(prefix);
        let id = match body {
            Some(mut body) => Box::pin(id_of(&mut body, dialect, expects)).await,
            None => {
                let prefix = prefix.as_ref().filter(|_| dialect.is_json_rpc());
                prefix.and_then(|prefix| prefix.envelope().id)
            }
        };
        if let Some(mut record) = record {
            if let Some(prefix) = &prefix {
                record.observed.body(called, prefix);
            }
            record.refused(&failure.verdict());
            record.status = dialect.status(&failure.verdict()).as_u16();
        }
        Err(No { recorded: true, ..No::new(failure, dialect, id) })
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
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref().ok().and_then(Option::as_ref)
    }
}

/// The JSON-RPC id for a refusal. A caller that waits for 100 is not asked for its body.
pub(super) async fn id_of(
    body: &mut CallerBody,
    dialect: Dialect,
    expects: bool,
) -> Option<Vec<u8>> {
    if !dialect.is_json_rpc() || expects {
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
