//! The `/workspaces` API: makes, shows, changes and removes workspaces, for the operator.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use certs::CaFingerprint;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::body::Fields;
use super::problem::Problem;
use super::route::{Call, Resource};
use super::token::AdminToken;
use crate::metrics::Metrics;
use crate::public::PublicUrl;
use crate::registry::{Found, Lookup, Registry, StoreError, Workspace};
use crate::tunnel::LiveLinks;

mod changes;
mod joining;

#[cfg(test)]
mod tests;

/// The paths that are the API's, with all below them.
const ROOTS: [&str; 3] = ["/workspaces", "/registry", "/a2a"];

/// The API of one relay.
#[derive(Debug)]
pub struct Api {
    /// The workspaces.
    pub registry: Registry,
    /// Who is connected.
    pub live: LiveLinks,
    /// The public address of the edge.
    pub public: PublicUrl,
    /// Where connectors reach the tunnel, `host:port`; at least one.
    pub endpoints: Vec<String>,
    /// How connectors know this relay.
    pub relay_ca: CaFingerprint,
    /// Who may call the API.
    pub token: AdminToken,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What a call that went well answers.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, body }
    }
}

impl Api {
    /// Whether this path is the API's.
    pub fn owns(path: &str) -> bool {
        ROOTS.iter().any(|root| {
            path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Whether these fields bring the operator's credential: nobody else needs a body read.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        self.authenticate(headers).is_ok()
    }

    /// Answers one call. `path` is raw, without its query; the body is whole and was bounded by
    /// whoever read it.
    pub async fn handle(
        &self,
        method: &Method,
        path: &str,
        _query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response<Bytes> {
        match self.answer(method, path, headers, &body).await {
            Ok(answer) => {
                let mut response = Response::new(Bytes::from(answer.body.to_string()));
                *response.status_mut() = answer.status;
                let fields = response.headers_mut();
                fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                // Answers hold join strings and addresses.
                fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(problem) => {
                self.metrics.refusal(problem.kind().1);
                problem.response()
            }
        }
    }

    async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Answer, Problem> {
        let call = Resource::at(path)?.call(method)?;
        self.authenticate(headers)?;
        match call {
            Call::List => {
                let all = self.registry.workspaces();
                Ok(Answer::ok(all.iter().map(|workspace| self.view(workspace)).collect()))
            }
            Call::Show(name) => Ok(Answer::ok(self.view(&*self.workspace(&name)?))),
            Call::Create => self.create(&Fields::read(headers, body)?).await,
            Call::Join(name) => {
                let workspace = self.workspace(&name)?;
                self.join(&workspace, &Fields::read(headers, body)?).await
            }
            Call::Change(name) => {
                let workspace = self.workspace(&name)?;
                self.change(&workspace, &Fields::read(headers, body)?).await
            }
            Call::Pause(name) => self.set_paused(self.workspace(&name)?.id, true).await,
            Call::Resume(name) => self.set_paused(self.workspace(&name)?.id, false).await,
            Call::Revoke(name) => self.revoke(self.workspace(&name)?.id).await,
            Call::Remove(name) => self.remove(self.workspace(&name)?.id).await,
        }
    }

    /// Lets the operator in, by the one credential that there is so far.
    fn authenticate(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut credentials = headers.get_all(AUTHORIZATION).iter();
        match (credentials.next().and_then(bearer), credentials.next()) {
            (Some(token), None) if self.token.matches(token) => Ok(()),
            _ => Err(Problem::Unauthenticated),
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

/// The token of an `Authorization` field of the scheme Bearer (RFC 6750, 2.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a call that changes a workspace's state answers.
fn done(id: WorkspaceId, status: &'static str) -> Answer {
    Answer::ok(json!({ "status": status, "workspace_id": id }))
}
