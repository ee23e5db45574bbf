//! The API: registers workspaces and agents, shows, changes and removes them, for whoever may.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use certs::CaFingerprint;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use self::repeats::Asked;
use super::body::Fields;
use super::delegations::Delegations;
use super::description;
use super::looks::Looks;
use super::problem::Problem;
use super::pulse::Pulses;
use super::refusals::Refusals;
use super::route::{Resource, Verb};
use crate::card::kept::KeptCards;
use crate::metrics::Metrics;
use crate::platform::Bridge;
use crate::principal::{Doorman, Principal};
use crate::public::PublicUrl;
use crate::registry::{Actor, Found, Lookup, Registry, StoreError, Workspace};
use crate::tunnel::LiveLinks;

mod adoption;
mod allowance;
mod backups;
mod changes;
mod credentials;
mod delegation;
mod joining;
mod peers;
mod registration;
mod repeats;
mod secrets;
mod trail;

#[cfg(test)]
mod tests;

pub use repeats::Repeats;

/// The paths that are the API's, with all below them.
const ROOTS: [&str; 6] =
    ["/workspaces", "/registry", "/keys", "/events", "/backups", "/openapi.json"];

/// The API of one relay.
#[derive(Debug)]
pub struct Api {
    /// The workspaces.
    pub registry: Registry,
    /// Who is connected.
    pub live: LiveLinks,
    /// Who sends heartbeats over HTTP.
    pub pulses: Pulses,
    /// What was done under a key of its caller's.
    pub repeats: Repeats,
    /// The tasks that agents give each other.
    pub delegations: Delegations,
    /// What callers were refused of late.
    pub refusals: Refusals,
    /// Cards of agents, for the time that those are away.
    pub kept_cards: Arc<KeptCards>,
    /// The platform that agents are brought to, where the relay is none itself.
    pub platform: Option<Bridge>,
    /// Who answers at a URL of its own.
    pub looks: Looks,
    /// The public address of the edge.
    pub public: PublicUrl,
    /// Where connectors reach the tunnel, `host:port`; at least one.
    pub endpoints: Vec<String>,
    /// How connectors know this relay.
    pub relay_ca: CaFingerprint,
    /// Who may call the API.
    pub doorman: Doorman,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Who calls, and whence.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The credential.
    pub principal: Principal,
    /// The address that the call came from, where it is known.
    pub source: Option<IpAddr>,
    /// Whether it came over a link: what it registers is reached by that link.
    pub over_link: bool,
}

impl Asker {
    /// The workspace whose agent it is.
    const fn sender(&self) -> Option<WorkspaceId> {
        match &self.principal {
            Principal::Workspace(id, _) => Some(*id),
            Principal::Operator | Principal::Key(_) | Principal::Caller(..) => None,
        }
    }

    /// For the audit trail.
    fn actor(&self) -> Actor {
        self.principal.actor(self.source)
    }
}

/// One call. Its path is raw, without its query; its body is whole and was bounded by whoever read
/// it.
#[derive(Debug)]
pub struct Request<'r> {
    /// Its method.
    pub method: &'r Method,
    /// Its path.
    pub path: &'r str,
    /// Its query.
    pub query: Option<&'r str>,
    /// Its fields.
    pub headers: &'r HeaderMap,
    /// Its body.
    pub body: &'r [u8],
}

impl Request<'_> {
    /// The fields of its JSON.
    fn fields(&self) -> Result<Fields, Problem> {
        Fields::read(self.headers, self.body)
    }
}

/// What a call that went well answers.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Json(Value),
    /// One JSON object a line.
    Lines(String),
    /// JSON that is the same for everyone.
    Fixed(&'static str),
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, content: Content::Json(body) }
    }

    fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, content: Content::Json(body) }
    }

    fn response(self) -> Response<Bytes> {
        let (media, body) = match self.content {
            Content::Json(json) => ("application/json", json.to_string().into()),
            Content::Lines(lines) => ("application/x-ndjson", lines.into()),
            Content::Fixed(text) => ("application/json", Bytes::from_static(text.as_bytes())),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        // Answers hold join strings, tokens, secrets and addresses.
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Refuses whoever has not `what` it takes.
fn require(has: bool, what: &str) -> Result<(), Problem> {
    if has {
        return Ok(());
    }
    Err(Problem::Forbidden(format!("This credential does not open that; it takes {what}.")))
}

fn require_admin(asker: &Asker) -> Result<(), Problem> {
    require(asker.principal.may_administer(), "the admin token or a key of scope admin")
}

impl Api {
    /// Whether this path is the API's.
    pub fn owns(path: &str) -> bool {
        ROOTS.iter().any(|root| {
            path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// The path as the description has it, without what stands in its braces; `None` if there is none
    /// like it.
    pub fn form(path: &str) -> Option<&'static str> {
        Resource::form(path)
    }

    /// Answers one call; `asker` is `None` for whoever showed no valid credential.
    pub async fn handle(
        self: &Arc<Self>,
        request: &Request<'_>,
        asker: Option<&Asker>,
    ) -> Response<Bytes> {
        match self.answer(request, asker).await {
            Ok(answer) => answer.response(),
            Err(problem) => {
                self.metrics.refusal(problem.kind().1);
                problem.response()
            }
        }
    }

    /// Whose live changes a call asks for, if it asks for some.
    pub fn followed(
        &self,
        request: &Request<'_>,
        asker: Option<&Asker>,
    ) -> Option<Result<WorkspaceId, Problem>> {
        let resource = Resource::at(request.path).ok()?;
        let Resource::Events(name) = &resource else { return None };
        let judged = resource.verb(request.method).and_then(|_| {
            let asker = asker.ok_or(Problem::Unauthenticated)?;
            Ok(self.readable(asker, name)?.id)
        });
        Some(judged.inspect_err(|problem| self.metrics.refusal(problem.kind().1)))
    }

    async fn answer(
        self: &Arc<Self>,
        request: &Request<'_>,
        asker: Option<&Asker>,
    ) -> Result<Answer, Problem> {
        let resource = Resource::at(request.path)?;
        let verb = resource.verb(request.method)?;
        if resource == Resource::Description {
            let description = description::of(self.platform.is_some());
            return Ok(Answer { status: StatusCode::OK, content: Content::Fixed(description) });
        }
        let asker = asker.ok_or(Problem::Unauthenticated)?;
        match resource {
            Resource::Workspaces | Resource::Workspace(_) | Resource::Join(_) => {
                self.workspaces(resource, verb, request, asker).await
            }
            Resource::Delegate(name) => self.delegate(&name, &request.fields()?, asker),
            Resource::Pause(name) => {
                self.set_paused(self.administered(asker, &name)?.id, true, asker).await
            }
            Resource::Resume(name) => {
                self.set_paused(self.administered(asker, &name)?.id, false, asker).await
            }
            Resource::Tokens(_)
            | Resource::Token(..)
            | Resource::Callers(_)
            | Resource::CallerToken(..)
            | Resource::Keys
            | Resource::Key(_) => self.credentials(resource, verb, request, asker).await,
            Resource::Secrets(_) | Resource::SecretValues(_) | Resource::Secret(..) => {
                self.secrets(resource, verb, request, asker).await
            }
            Resource::Register => {
                let fields = request.fields()?;
                self.once(request, asker, |api, asker| async move {
                    api.register(&fields, &asker).await
                })
                .await
            }
            Resource::Heartbeat => self.heartbeat(&request.fields()?, asker),
            Resource::UpdateCard => self.update_card(&request.fields()?, asker).await,
            Resource::Refusals(name) => {
                let workspace = self.readable(asker, &name)?;
                Ok(Answer::ok(self.refusals.list(&workspace.id)))
            }
            Resource::State(name) => Ok(self.state(&*self.owned(asker, &name)?)),
            Resource::Discover(id) => self.discover(&id, request.headers, asker),
            Resource::Peers(id) => self.peers(&id, request.query, asker),
            Resource::Trail => self.trail(request, asker).await,
            Resource::Backups => self.back_up(asker).await,
            // Told apart by [`Api::followed`], since its answer never ends.
            Resource::Events(_) | Resource::Description => Err(Problem::NotFound),
        }
    }

    /// The calls about workspaces themselves.
    async fn workspaces(
        self: &Arc<Self>,
        resource: Resource,
        verb: Verb,
        request: &Request<'_>,
        asker: &Asker,
    ) -> Result<Answer, Problem> {
        match (resource, verb) {
            (Resource::Workspaces, Verb::Read) => {
                require(asker.principal.may_read(), "an admin token or a key of scope read")?;
                let all = self.registry.workspaces();
                Ok(Answer::ok(all.iter().map(|workspace| self.view(workspace)).collect()))
            }
            (Resource::Workspaces, _) => {
                require_admin(asker)?;
                let fields = request.fields()?;
                self.once(
                    request,
                    asker,
                    |api, asker| async move { api.create(&fields, &asker).await },
                )
                .await
            }
            (Resource::Workspace(name), Verb::Read) => {
                Ok(Answer::ok(self.view(&*self.readable(asker, &name)?)))
            }
            (Resource::Workspace(name), Verb::Remove) => {
                self.remove(self.administered(asker, &name)?.id, asker).await
            }
            (Resource::Workspace(name), _) => {
                let workspace = self.administered(asker, &name)?;
                self.change(&workspace, &request.fields()?, asker).await
            }
            (Resource::Join(name), _) => {
                let workspace = self.administered(asker, &name)?;
                self.join(&workspace, &request.fields()?, asker).await
            }
            _ => Err(Problem::NotFound),
        }
    }

    /// Does something once for the key that a request has, if it has one.
    async fn once<W>(
        self: &Arc<Self>,
        request: &Request<'_>,
        asker: &Asker,
        work: impl FnOnce(Arc<Self>, Asker) -> W,
    ) -> Result<Answer, Problem>
    where
        W: Future<Output = Result<Answer, Problem>> + Send + 'static,
    {
        let asked = Asked::read(request, asker)?;
        let work = work(Arc::clone(self), asker.clone());
        match asked {
            Some(asked) => self.repeats.once(asked, work, Instant::now()).await,
            None => work.await,
        }
    }

    /// A workspace, for whoever may change it.
    fn administered(&self, asker: &Asker, selector: &str) -> Result<Arc<Workspace>, Problem> {
        require_admin(asker)?;
        self.workspace(selector)
    }

    /// A workspace, for whoever may see it.
    fn readable(&self, asker: &Asker, selector: &str) -> Result<Arc<Workspace>, Problem> {
        if asker.principal.may_read() {
            self.workspace(selector)
        } else {
            self.own(asker, selector)
        }
    }

    /// A workspace, for its own agent and for whoever may change it.
    fn owned(&self, asker: &Asker, selector: &str) -> Result<Arc<Workspace>, Problem> {
        let administers = asker.principal.may_administer();
        if administers { self.workspace(selector) } else { self.own(asker, selector) }
    }

    /// The agent's own workspace. Another one is refused whether it exists or not.
    fn own(&self, asker: &Asker, selector: &str) -> Result<Arc<Workspace>, Problem> {
        let own = selector.parse().ok().filter(|id| asker.principal.speaks_for(id));
        match own.map(|id| self.registry.by_id(&id)) {
            Some(Lookup::Live(workspace)) => Ok(workspace),
            _ => Err(Problem::Forbidden(
                "This credential does not open that workspace; use the workspace's own token, or \
                 one of the operator."
                    .into(),
            )),
        }
    }

    /// The workspace that the operator means.
    fn workspace(&self, selector: &str) -> Result<Arc<Workspace>, Problem> {
        match self.registry.find(selector) {
            Found::One(workspace) => Ok(workspace),
            Found::Ambiguous(ids) => Err(Problem::Ambiguous(selector.to_owned(), ids)),
            Found::None => match selector.parse::<WorkspaceId>() {
                Ok(id) if self.registry.by_id(&id) == Lookup::Gone => {
                    Err(StoreError::WorkspaceGone { id }.into())
                }
                _ => Err(Problem::unknown(selector)),
            },
        }
    }

    /// Waits for an intent and notes how long it took.
    async fn timed<T>(
        &self,
        intent: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Problem> {
        let begun = Instant::now();
        let outcome = intent.await;
        self.metrics.store_round_trip(begun.elapsed());
        Ok(outcome?)
    }

    /// Proves that the store can write.
    pub(super) async fn store_is_ready(&self) -> Result<(), Problem> {
        self.timed(self.registry.ready()).await
    }
}

/// What a call that changes a workspace's state answers.
fn done(id: WorkspaceId, status: &'static str) -> Answer {
    Answer::ok(json!({ "status": status, "workspace_id": id }))
}
