//! One call over a link: its head and body go up as they come, and so comes its answer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{EXPECT, HeaderMap};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use shared::codes::StreamCode;
use shared::headers::{remove_forbidden_trailers, remove_hop_by_hop, remove_relay_fields};
use shared::ids::{ExchangeId, InstanceId};
use shared::limits::ANSWER_HEAD_TIMEOUT;
use shared::wire::fields::fit_in_end;
use shared::wire::{Binding, Frame, RequestHead, ResponseHead, Target};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::AnswerBody;
use super::guard::BODY_BYTES_MAX;
use super::refusal::Refusal;
use crate::tunnel::call::{AnswerCut, CallAnswer, CallUpload};
use crate::tunnel::uplink::Uplink;

/// Patience for the next bytes of a body.
const BODY_STALL_MAX: Duration = Duration::from_secs(120);
/// The relay's own deadline speaks first; this ends what nobody waits for.
const HEAD_LEEWAY: Duration = Duration::from_secs(60);

/// Why a body did not go up whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotCarried {
    /// It is over the limit.
    TooLarge,
    /// It stopped.
    Stalled,
    /// The agent gave it up.
    Cut,
}

/// Carries one call over `uplink`. Dropping this, or the answer's body, ends it.
pub(super) async fn carry(
    uplink: &Arc<Uplink>,
    place: OwnedSemaphorePermit,
    parts: Parts,
    body: Incoming,
) -> Result<Response<AnswerBody>, Refusal> {
    let head = head_of(parts, !body.is_end_stream());
    let (upload, mut answer) = uplink.open(head, place).await?;
    let mut carrying = JoinSet::new();
    carrying.spawn(carry_body(upload, body));
    let head = wait_for_head(&mut answer, &mut carrying).await?;
    let mut response = Response::new(AnswerBody::streamed(answer, carrying));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// The head as it crosses; the link gives it its name and its credits.
fn head_of(parts: Parts, has_body: bool) -> RequestHead {
    let mut fields = parts.headers;
    remove_hop_by_hop(&mut fields);
    remove_relay_fields(&mut fields);
    // Answered here: the body is asked for as the link takes it.
    fields.remove(EXPECT);
    RequestHead {
        exchange: ExchangeId { instance: InstanceId(0), counter: 0 },
        target: Target::Raw(parts.uri.path().to_owned()),
        binding: Binding::JsonRpc,
        has_body,
        method: parts.method,
        query: parts.uri.query().map(str::to_owned),
        request_credit: 0,
        response_credit: 0,
        fields,
        head_timeout_ms: None,
    }
}

async fn wait_for_head(
    answer: &mut CallAnswer,
    carrying: &mut JoinSet<Result<(), NotCarried>>,
) -> Result<Box<ResponseHead>, Refusal> {
    let patience = sleep(ANSWER_HEAD_TIMEOUT + HEAD_LEEWAY);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            biased;
            frame = answer.frame() => return match frame? {
                Frame::ResponseHead(head) if head.status != StatusCode::SWITCHING_PROTOCOLS => {
                    Ok(head)
                }
                other => {
                    Err(AnswerCut::Protocol(shared::wire::WireError::Unexpected(other.kind())).into())
                }
            },
            Some(carried) = carrying.join_next(), if !carrying.is_empty() => match carried {
                Ok(Err(NotCarried::TooLarge)) => return Err(Refusal::body_too_large()),
                Ok(Err(NotCarried::Stalled)) => return Err(Refusal::stalled_body()),
                Ok(Err(NotCarried::Cut)) => return Err(Refusal::bad_request("The body was cut.")),
                Ok(Ok(())) | Err(_) => {}
            },
            () = patience.as_mut() => return Err(Refusal::silent()),
        }
    }
}

/// Carries the body up. A relay that wants no more of it says why in its answer.
async fn carry_body(mut upload: CallUpload, mut body: Incoming) -> Result<(), NotCarried> {
    let mut carried = 0;
    let mut trailers = HeaderMap::new();
    while !body.is_end_stream() {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        let frame = match timeout(BODY_STALL_MAX, frame).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(NotCarried::Cut),
            Err(_) => {
                upload.reset(StreamCode::Timeout);
                return Err(NotCarried::Stalled);
            }
        };
        match frame.into_data() {
            Ok(bytes) => {
                carried += bytes.len() as u64;
                if carried > BODY_BYTES_MAX {
                    upload.reset(StreamCode::TooLarge);
                    return Err(NotCarried::TooLarge);
                }
                if upload.data(bytes).await.is_err() {
                    return Ok(());
                }
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    remove_forbidden_trailers(&mut trailers);
    if !fit_in_end(&trailers) {
        trailers.clear();
    }
    // An error means that the relay wants no more.
    let _ = upload.end(trailers).await;
    Ok(())
}
