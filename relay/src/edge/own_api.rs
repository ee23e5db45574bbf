//! The relay's own API on the public listener: its bodies are read whole, since they are its own.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, request};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use shared::ids::WorkspaceId;
use tokio::time::timeout;

use super::answer_body::AnswerBody;
use super::failure::Failure;
use super::forwarded::Caller;
use super::service::Edge;
use crate::admin::api::{self, Asker};
use crate::admin::feed::body::FeedBody;
use crate::admin::problem::Problem;
use crate::admin::readiness;

/// Largest body of a call to the relay's own API, bytes. A card is the largest thing in one.
pub(super) const API_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Patience for the body of such a call.
pub(super) const API_BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl Edge {
    /// Answers a call of the API.
    pub(super) async fn api(
        &self,
        parts: &request::Parts,
        path: &str,
        body: Incoming,
        caller: &Caller,
        request_id: &HeaderValue,
    ) -> Result<Response<AnswerBody>, Failure> {
        let principal = self.api.doorman.judge(&parts.headers).ok().flatten();
        let asker = principal.map(|principal| Asker {
            principal,
            source: Some(caller.ip),
            over_link: false,
        });
        // Only those with a credential have a body read; the others are answered by the head alone.
        let body = self.api_body(asker.is_some().then_some(body)).await?;
        let request = api::Request {
            method: &parts.method,
            path,
            query: parts.uri.query(),
            headers: &parts.headers,
            body: &body,
        };
        let mut answer = match self.api.followed(&request, asker.as_ref()) {
            Some(followed) => {
                self.follow(followed, &parts.headers, self.credential_in(&parts.headers))
            }
            None => self.api.handle(&request, asker.as_ref()).await.map(AnswerBody::whole),
        };
        if answer.status() == StatusCode::UNAUTHORIZED
            && !self.guesses.allow(caller.ip, Instant::now())
        {
            return Err(Failure::RateLimited);
        }
        answer.headers_mut().insert("x-request-id", request_id.clone());
        Ok(answer)
    }

    /// Whether the credential that these fields show is good, whenever it is asked.
    pub(super) fn credential_in(&self, fields: &HeaderMap) -> impl Fn() -> bool + Send + 'static {
        let (doorman, fields) = (self.api.doorman.clone(), fields.clone());
        move || matches!(doorman.judge(&fields), Ok(Some(_)))
    }

    /// The live changes of a workspace, as long as who follows them may.
    pub(super) fn follow(
        &self,
        followed: Result<WorkspaceId, Problem>,
        fields: &HeaderMap,
        may_go_on: impl Fn() -> bool + Send + 'static,
    ) -> Response<AnswerBody> {
        let last = fields.get("last-event-id").and_then(|id| id.to_str().ok());
        let subscribed = followed.and_then(|id| {
            self.feed.subscribe(Some(id), last).map_err(|_| {
                Problem::Overloaded("Too many follow this relay's changes; try again later.".into())
            })
        });
        let subscription = match subscribed {
            Ok(subscription) => subscription,
            Err(problem) => return problem.response().map(AnswerBody::whole),
        };
        let mut response =
            Response::new(AnswerBody::events(FeedBody::new(subscription, may_go_on)));
        let media = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(CONTENT_TYPE, media);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn api_body(&self, body: Option<Incoming>) -> Result<Bytes, Failure> {
        let Some(body) = body else { return Ok(Bytes::new()) };
        if body.size_hint().lower() > API_BODY_BYTES_MAX as u64 {
            return Err(Failure::BodyTooLarge(API_BODY_BYTES_MAX as u64));
        }
        let whole = timeout(API_BODY_TIMEOUT, Limited::new(body, API_BODY_BYTES_MAX).collect());
        match whole.await {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Failure::BodyTooLarge(API_BODY_BYTES_MAX as u64))
            }
            Ok(Err(_)) => Err(Failure::BadRequest("The body was cut before its end.")),
            Err(_) => Err(Failure::BadRequest("The body stopped for 30 s before its end.")),
        }
    }

    /// Whether the relay can do its work.
    pub(super) async fn ready(&self) -> Result<Response<AnswerBody>, Failure> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Failure::Draining);
        }
        match readiness(&self.api).await {
            Ok(()) => Ok(text(StatusCode::OK, "ready\n")),
            Err(why) => Err(Failure::StoreUnavailable(why)),
        }
    }
}

/// Whether a method takes a page as it is.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// A plain answer.
pub(super) fn text(status: StatusCode, text: &str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
