//! Answers the calls that agents make over their own links: what a caller gets from the public
//! listener, an agent without a route to it gets here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, request};
use http_body::Body;
use shared::codes::{AbortCode, Delivery};
use shared::headers::remove_hop_by_hop;
use shared::ids::WorkspaceId;
use shared::wire::fields::{fit_in_end, within_limits};
use shared::wire::{RequestHead, ResponseHead};
use tokio::time::timeout;

use super::access::{self, Entry};
use super::answer_body::AnswerBody;
use super::body_source::Source;
use super::caller_body::CallerBody;
use super::cards::no_card_keys;
use super::failure::Failure;
use super::forwarded::Caller;
use super::own_api::{self, API_BODY_BYTES_MAX, API_BODY_TIMEOUT};
use super::own_call::OwnCall;
use super::push;
use super::render::Dialect;
use super::route::{Route, route};
use super::service::{Asked, Edge, No};
use super::upstream;
use crate::admin::api::{self, Asker};
use crate::platform::outward;
use crate::principal::{BadCredential, Principal};
use crate::tunnel::outbound::{BodyCut, Call, CallBody, CallReply, Part, ReplyEnd, Speaker};

/// Why a call is not carried on to its answer.
enum Unheard {
    /// The agent is told why.
    Refused(No),
    /// Its connector went wrong or away.
    Cut(BodyCut),
}

/// Answers one call. Dropping this ends it.
pub async fn answer(edge: Arc<Edge>, call: Call) {
    let Call { speaker, head, body, mut reply } = call;
    let method = head.method.clone();
    let request_id = edge.names.next();
    let mut note = OwnCall::begin(&edge.metrics, request_id.clone(), Arc::clone(&speaker), &head);
    let answered = Box::pin(edge.hear(&speaker, *head, body, &request_id, &mut note)).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(Unheard::Refused(no)) => {
            if !no.recorded {
                note.became_none();
            }
            edge.refuse(&no, &request_id)
        }
        Err(Unheard::Cut(BodyCut::Lost)) => return,
        Err(Unheard::Cut(BodyCut::Protocol(error))) => {
            note.cut();
            return reply.broke_protocol(&error).await;
        }
    };
    response.headers_mut().insert("x-request-id", request_id);
    note.answered(&response);
    match deliver(&mut reply, &method, response, &mut note).await {
        Ok(()) => note.complete(),
        Err(end) => {
            tracing::debug!(workspace = ?speaker.workspace, %end, "a call was cut");
        }
    }
}

impl From<Failure> for Unheard {
    fn from(failure: Failure) -> Self {
        Self::Refused(No::new(failure, Dialect::Problem, None))
    }
}

impl Edge {
    /// Answers what an agent asks: of the API, or of another agent.
    async fn hear(
        &self,
        speaker: &Speaker,
        mut head: RequestHead,
        body: CallBody,
        request_id: &HeaderValue,
        note: &mut OwnCall,
    ) -> Result<Response<AnswerBody>, Unheard> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Failure::Draining.into());
        }
        let path = head.target.path().to_owned();
        if speaker.workspace.is_none() && !is_registration(&head.method, &path) {
            return Err(Failure::RegistrationOnly.into());
        }
        remove_hop_by_hop(&mut head.fields);
        if path == push::PATH {
            return self.hear_push(speaker, head, body).await;
        }
        let judged = self.api.doorman.judge(&head.fields);
        if let (Some(bridge), Some(workspace)) = (&self.api.platform, speaker.workspace)
            && let Some((own, asked)) = upstream::asked(bridge, workspace, &judged, &head, &path)
        {
            let _place = self.load.enter()?;
            let parts = parts_of(head, &path)?;
            let body = whole(Some(body), outward::REQUEST_BYTES_MAX).await?;
            return Ok(self.ask_platform(bridge, &own, asked, &parts, body).await?);
        }
        let principal = whose_call(speaker.workspace, judged, &path);
        let mut parts = parts_of(head, &path)?;
        let caller = || Caller::new(speaker.remote.ip(), Some(speaker.home.shard()), &self.public);
        let forwarded = match route(&path) {
            Route::Api => {
                // Held until the answer's head is here; its bytes are bounded by the link's credit.
                let _place = self.load.enter()?;
                return self.hear_api(speaker, &parts, &path, body, principal).await;
            }
            Route::Send(target) => {
                let body = self.carried(body);
                note.becomes_exchange();
                self.send(&mut parts, body, target, &caller(), request_id, principal).await
            }
            Route::Agent { name, rest } => {
                let prefix = path.strip_suffix(rest).unwrap_or(&path);
                let (caller, dialect) =
                    (&caller(), access::dialect(Entry::Base, rest, &parts.method));
                let asked = Asked { name, prefix, rest, dialect, caller, principal };
                note.becomes_exchange();
                self.forward(&mut parts, self.carried(body), &asked, request_id).await
            }
            Route::Health => return Ok(own_api::text(StatusCode::OK, "ok\n")),
            Route::Ready => return Ok(self.ready().await?),
            Route::CardKeys => {
                return self.card_keys().ok_or_else(|| no_card_keys().into());
            }
            Route::Bridged(_)
            | Route::Secrets
            | Route::MissingSlash
            | Route::NoAgent
            | Route::Nothing => {
                return Err(Failure::NotFound("The relay has nothing at this path.").into());
            }
        };
        forwarded.map_err(Unheard::Refused)
    }

    /// Posts a push notification of an agent's own.
    async fn hear_push(
        &self,
        speaker: &Speaker,
        head: RequestHead,
        body: CallBody,
    ) -> Result<Response<AnswerBody>, Unheard> {
        let _place = self.load.enter()?;
        let webhook = self.webhook(speaker.workspace, &head.method, &head.fields)?;
        let body = whole(head.has_body.then_some(body), push::BODY_BYTES_MAX).await?;
        Ok(self.post(webhook, head.fields, body).await?)
    }

    fn carried(&self, body: CallBody) -> Box<CallerBody> {
        CallerBody::of(Source::Link(Box::new(body)), self.max_body_bytes)
    }

    /// Answers a call of the API, whose body is taken in whole.
    async fn hear_api(
        &self,
        speaker: &Speaker,
        parts: &request::Parts,
        path: &str,
        body: CallBody,
        principal: Result<Option<Principal>, BadCredential>,
    ) -> Result<Response<AnswerBody>, Unheard> {
        let source = Some(speaker.remote.ip());
        let asker =
            principal.ok().flatten().map(|principal| Asker { principal, source, over_link: true });
        // Of whom nobody knows not even a body is read; the head alone says no.
        let body = whole(asker.is_some().then_some(body), API_BODY_BYTES_MAX).await?;
        let query = parts.uri.query();
        let (method, headers, body) = (&parts.method, &parts.headers, &body[..]);
        let request = api::Request { method, path, query, headers, body };
        if let Some(followed) = self.api.followed(&request, asker.as_ref()) {
            let shown = self.credential_in(&parts.headers);
            // Who is known by the link alone may follow for as long as the link is there.
            let by_link = !shown();
            return Ok(self.follow(followed, &parts.headers, move || by_link || shown()));
        }
        let answer = self.api.handle(&request, asker.as_ref()).await;
        let guess = answer.status() == StatusCode::UNAUTHORIZED;
        if guess && !self.guesses.allow(speaker.remote.ip(), Instant::now()) {
            return Err(Failure::RateLimited.into());
        }
        Ok(answer.map(AnswerBody::whole))
    }
}

/// Who calls: by the credential that the call shows, or else by its link. Where a call can only be
/// about the agent's own workspace, a credential that is no longer good does not matter.
fn whose_call(
    workspace: Option<WorkspaceId>,
    judged: Result<Option<Principal>, BadCredential>,
    path: &str,
) -> Result<Option<Principal>, BadCredential> {
    let own = workspace.map(|id| Principal::Workspace(id, None));
    let named = |id: WorkspaceId| path.split('/').any(|segment| segment == id.to_string());
    match judged {
        Ok(Some(shown)) => Ok(Some(shown)),
        Ok(None) => Ok(own),
        Err(_) if path.starts_with("/registry/") || workspace.is_some_and(named) => Ok(own),
        Err(bad) => Err(bad),
    }
}

/// A call as the edge knows requests.
fn parts_of(head: RequestHead, path: &str) -> Result<request::Parts, Failure> {
    let uri = match &head.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let unfit = |_| Failure::BadRequest("The path or the query of the call is no URI.");
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.uri = uri.parse().map_err(unfit)?;
    parts.method = head.method;
    parts.headers = head.fields;
    Ok(parts)
}

/// What crosses a link that nobody knows the workspace of.
fn is_registration(method: &Method, path: &str) -> bool {
    *method == Method::POST && matches!(path, "/workspaces" | "/registry/register")
}

/// Reads a body of at most so many bytes, as long as it keeps coming.
async fn whole(body: Option<CallBody>, bytes_max: usize) -> Result<Bytes, Unheard> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    timeout(API_BODY_TIMEOUT, gathered(body, bytes_max)).await.unwrap_or_else(|_| {
        Err(Failure::BadRequest("The body stopped for 30 s before its end.").into())
    })
}

async fn gathered(mut body: CallBody, bytes_max: usize) -> Result<Bytes, Unheard> {
    let mut whole = BytesMut::new();
    loop {
        match body.part().await.map_err(Unheard::Cut)? {
            Part::Data(bytes) if whole.len() + bytes.len() > bytes_max => {
                return Err(Failure::BodyTooLarge(bytes_max as u64).into());
            }
            Part::Data(bytes) => {
                whole.extend_from_slice(&bytes);
                body.consumed(bytes.len());
            }
            Part::End(_) => return Ok(whole.freeze()),
        }
    }
}

/// Sends an answer, each piece as it comes.
async fn deliver(
    reply: &mut CallReply,
    method: &Method,
    response: Response<AnswerBody>,
    note: &mut OwnCall,
) -> Result<(), ReplyEnd> {
    let (parts, mut body) = response.into_parts();
    let bodiless = *method == Method::HEAD
        || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut fields = parts.headers;
    remove_hop_by_hop(&mut fields);
    if let Some(length) = body.size_hint().exact()
        && parts.status != StatusCode::NO_CONTENT
    {
        // Told by hyper where there is one.
        fields.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    if !within_limits(&fields) {
        let words = "The answer's head is over 32 KiB or 100 fields.";
        return reply.abort(AbortCode::UpstreamProtocol, Delivery::Maybe, words).await;
    }
    reply.head(ResponseHead { status: parts.status, fields });
    let mut trailers = HeaderMap::new();
    while !bodiless && !body.is_end_stream() {
        let frame = match next_frame(&mut body).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                reply.flush().await?;
                poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            }
        };
        match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
            None => break,
            Some(Ok(Ok(bytes))) => {
                note.passed(bytes.len());
                reply.data(bytes).await?;
            }
            Some(Ok(Err(frame))) => trailers = frame.into_trailers().unwrap_or_default(),
            Some(Err(cut)) => {
                let words = format!("The answer was cut: {cut}.");
                return reply.abort(AbortCode::UpstreamReset, Delivery::Delivered, &words).await;
            }
        }
    }
    if !fit_in_end(&trailers) {
        trailers.clear();
    }
    reply.end(trailers).await
}

/// What of the body is at hand.
async fn next_frame(
    body: &mut AnswerBody,
) -> Poll<Option<Result<http_body::Frame<Bytes>, super::answer_body::Cut>>> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await
}
