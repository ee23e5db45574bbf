//! What is below `/api/`: the relay's own API for the operator, and what only the canvas needs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use shared::ids::WorkspaceId;

use super::answer::{AnyBody, text, whole};
use super::origin::{self, From};
use super::session::Key;
use super::{Canvas, is_media};
use crate::admin::api::{Asker, Request};
use crate::admin::feed::body::FeedBody;
use crate::admin::presence::Status;
use crate::admin::problem::Problem;
use crate::principal::Principal;
use crate::registry::Lookup;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Whoever showed that they are the operator.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operator {
    /// By a session.
    Session(Key),
    /// By the token itself.
    Token,
}

impl Canvas {
    /// Lets the operator in, by a session or the admin token, and nobody that a web page of another
    /// site makes ask.
    pub(super) fn operator(
        &self,
        method: &Method,
        fields: &HeaderMap,
        source: IpAddr,
    ) -> Result<Operator, Problem> {
        if fields.contains_key(AUTHORIZATION) {
            return match self.api.doorman.judge(fields) {
                Ok(Some(Principal::Operator)) => Ok(Operator::Token),
                _ if self.guesses.allow(source, Instant::now()) => Err(Problem::Unauthenticated),
                _ => Err(Problem::RateLimited),
            };
        }
        let session = self.sessions.find(fields, Instant::now()).ok_or(Problem::Unauthenticated)?;
        let changes = ![Method::GET, Method::HEAD].contains(method);
        if origin::is_embedded(fields) || changes && origin::of(fields) != From::OwnPage {
            return Err(Problem::Forbidden(
                "A session is for the relay's own page alone; elsewhere show the admin token as \
                 `Authorization: Bearer TOKEN`."
                    .into(),
            ));
        }
        if changes && !is_media(fields, "application/json") {
            return Err(Problem::UnsupportedMediaType);
        }
        Ok(Operator::Session(session))
    }

    /// Answers a call of the operator at `path`, which is below `/api`.
    pub(super) async fn call(
        self: &Arc<Self>,
        operator: Operator,
        parts: &Parts,
        path: &str,
        body: Bytes,
        source: IpAddr,
    ) -> Result<Response<AnyBody>, Problem> {
        let reads = [Method::GET, Method::HEAD].contains(&parts.method);
        match path {
            "/feed" if parts.method == Method::GET => self.follow(operator, &parts.headers),
            "/feed" => Err(Problem::MethodNotAllowed("GET")),
            "/relay" if reads => Ok(self.about()),
            "/relay" => Err(Problem::MethodNotAllowed("GET, HEAD")),
            _ => match chat_of(path) {
                Some(id) if parts.method == Method::POST => match self.api.registry.by_id(&id) {
                    Lookup::Live(_) => Ok(self.messenger.send(id, body).await),
                    Lookup::Gone | Lookup::Unknown => Err(Problem::unknown(&id.to_string())),
                },
                Some(_) => Err(Problem::MethodNotAllowed("POST")),
                None => {
                    let request = Request {
                        method: &parts.method,
                        path,
                        query: parts.uri.query(),
                        headers: &parts.headers,
                        body: &body,
                    };
                    let asker = Asker {
                        principal: Principal::Operator,
                        source: Some(source),
                        over_link: false,
                    };
                    Ok(self.api.handle(&request, Some(&asker)).await.map(whole))
                }
            },
        }
    }

    /// The live changes, as long as the session lasts.
    fn follow(
        self: &Arc<Self>,
        operator: Operator,
        fields: &HeaderMap,
    ) -> Result<Response<AnyBody>, Problem> {
        let last = fields.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
        let subscription = self.feed.subscribe(None, last).map_err(|_| {
            Problem::Overloaded(
                "Too many pages follow this relay; close some of them, or wait a moment.".into(),
            )
        })?;
        let canvas = Arc::clone(self);
        let body = FeedBody::new(subscription, move || match operator {
            Operator::Session(key) => canvas.sessions.is_open(&key, Instant::now()),
            Operator::Token => true,
        });
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        let media = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(CONTENT_TYPE, media);
        Ok(response)
    }

    /// What the page says of the relay.
    fn about(&self) -> Response<AnyBody> {
        let api = &self.api;
        let workspaces = api.registry.workspaces();
        let statuses: Vec<_> =
            workspaces.iter().map(|workspace| api.status_of(workspace)).collect();
        let count = |status: Status| statuses.iter().filter(|one| **one == status).count();
        let counts: serde_json::Map<_, _> = Status::ALL
            .into_iter()
            .map(|status| (status.name().to_owned(), count(status).into()))
            .collect();
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "public_url": api.public.as_str(),
            "tunnel": api.endpoints,
            "relay_ca": api.relay_ca,
            "org_id": api.registry.org_id(),
            "workspaces": workspaces.len(),
            "statuses": counts,
        });
        text(StatusCode::OK, "application/json", about.to_string())
    }
}

/// The workspace to chat with, by the path `/workspaces/{id}/chat`.
fn chat_of(path: &str) -> Option<WorkspaceId> {
    path.strip_prefix("/workspaces/")?.strip_suffix("/chat")?.parse().ok()
}
