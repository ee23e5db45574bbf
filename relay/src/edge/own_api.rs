//! The relay's own API on the public listener: its bodies are read whole, since they are its own.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode, request};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::answer_body::AnswerBody;
use super::failure::Failure;
use super::forwarded::Caller;
use super::service::Edge;
use crate::admin::api::{self, Asker};
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
        let mut answer = self.api.handle(&request, asker.as_ref()).await;
        if answer.status() == StatusCode::UNAUTHORIZED
            && !self.guesses.allow(caller.ip, Instant::now())
        {
            return Err(Failure::RateLimited);
        }
        answer.headers_mut().insert("x-request-id", request_id.clone());
        Ok(answer.map(AnswerBody::whole))
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
    pub(super) async fn ready(&self) -> Response<AnswerBody> {
        if self.draining.load(Ordering::Relaxed) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match readiness(&self.api).await {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {why}\n")),
        }
    }
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
