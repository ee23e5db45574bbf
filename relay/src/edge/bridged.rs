//! The calls that a platform makes to the agents that are bridged to it.
//!
//! It calls the URL that it was told, without any credential, and sends again what it lost sight of. So
//! each message runs in a task of its own, which goes on when its caller leaves, and what came of it is
//! `remembered` by its `message_id`; `turns` says whose turn it is to run. Peers call the same URL with a credential of the platform's, which
//! goes no further than to the platform itself.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, request, response};
use http_body::Body;
use http_body_util::BodyExt;
use shared::codes::Delivery;
use shared::ids::{Address, WorkspaceId};
use shared::wire::{Binding, Target};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::access::Reach;
use super::answer_body::{AnswerBody, Cut};
use super::caller_body::CallerBody;
use super::card_request::Document;
use super::failure::Failure;
use super::forwarded::Caller;
use super::handed::{FRAMES_MAX, Handed, Piece};
use super::remembered::{ANSWER_BYTES_MAX, Kept, Lost, Remembered, Ticket};
use super::render::Dialect;
use super::route::AgentName;
use super::service::{Asked, Edge, No};
use super::turns::Turn;
use crate::platform::Bridge;
use crate::platform::peers::Unproved;

/// The longest answer that a platform reads, bytes: it takes what is behind for nothing, and the stump
/// for the whole.
const ANSWER_MAX: u64 = 10 * 1024 * 1024;

/// What the platform's calls reach: the agent's endpoint, whatever else is exposed, as it is.
pub const REACH: Reach = Reach {
    target: Target::Endpoint,
    binding: Binding::JsonRpc,
    dialect: Dialect::Molecule,
    document: Document::None,
};

/// The messages of a platform: those under way, and those that were. One for the process.
#[derive(Debug, Default)]
pub struct Continued {
    pub(super) remembered: Remembered,
    under_way: Mutex<JoinSet<()>>,
}

impl Continued {
    /// Carries one to its end, whoever waits for it. Dropping this ends all.
    fn spawn(&self, message: impl Future<Output = ()> + Send + 'static) {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        while under_way.try_join_next().is_some() {}
        under_way.spawn(message);
    }
}

/// What a task of [`Continued`] owns of its request.
struct Message {
    parts: request::Parts,
    body: Box<CallerBody>,
    workspace: WorkspaceId,
    prefix: String,
    caller: Caller,
    request_id: HeaderValue,
    /// Where what comes of it is remembered, if it is named.
    ticket: Option<Ticket>,
}

type Told = Result<(response::Parts, mpsc::Receiver<Piece>, bool), No>;

impl Edge {
    /// Answers a call to the URL that the platform was told for an agent.
    pub(super) async fn called_by_platform(
        self: &Arc<Self>,
        parts: &mut request::Parts,
        mut body: Box<CallerBody>,
        address: Address,
        caller: &Caller,
        request_id: &HeaderValue,
    ) -> Result<Response<AnswerBody>, No> {
        let no = |failure| No::new(failure, Dialect::Molecule, None);
        if parts.method != Method::POST {
            return Err(no(Failure::MethodNotAllowed("POST")));
        }
        let unknown = || no(Failure::UnknownWorkspace);
        let bridge = self.api.platform.as_ref().ok_or_else(unknown)?;
        let workspace = bridge.workspace_at(&address).ok_or_else(unknown)?;
        judge_caller(bridge, &workspace, &parts.headers, caller.ip).await.map_err(no)?;
        make_plain(&mut parts.headers);
        let ticket = match self.turn(workspace, parts, &mut body, request_id).await.map_err(no)? {
            Turn::Runs(ticket) => ticket,
            Turn::Answered(response) => return Ok(response),
        };
        let (taken, ()) = Request::new(()).into_parts();
        let message = Message {
            prefix: format!("/molecule/{}", address.reveal()),
            parts: std::mem::replace(parts, taken),
            body,
            workspace,
            caller: caller.clone(),
            request_id: request_id.clone(),
            ticket,
        };
        let (tell, told) = oneshot::channel();
        self.continued.spawn(carry(Arc::clone(self), message, tell));
        match told.await {
            Ok(Ok((head, frames, over))) => {
                Ok(Response::from_parts(head, AnswerBody::handed(Handed::taken(frames, over))))
            }
            Ok(Err(refused)) => Err(refused),
            // Its task died, and nobody can say how far it came.
            Err(_) => Err(no(Failure::TunnelLost(workspace))),
        }
    }
}

/// Holds a call to what the operator says of who may make it.
async fn judge_caller(
    bridge: &Bridge,
    workspace: &WorkspaceId,
    fields: &HeaderMap,
    source: IpAddr,
) -> Result<(), Failure> {
    match fields.get(AUTHORIZATION) {
        Some(shown) if bridge.verifies_peers() => {
            let proved = bridge.verify(workspace, shown, fields.get("x-workspace-id")).await;
            proved.map_err(|unproved| match unproved {
                Unproved::Wrong => Failure::Unauthenticated,
                Unproved::NotAllowed => Failure::Forbidden,
                Unproved::Busy => Failure::Overloaded,
                Unproved::Away(why) => Failure::PlatformAway(why, Delivery::NotSent),
                Unproved::Open => {
                    let why = "The platform takes any credential for the workspace that you name, so \
                        yours proves nothing.";
                    Failure::PlatformAway(why.to_owned(), Delivery::NotSent)
                }
            })
        }
        _ if bridge.takes_from(source) => Ok(()),
        _ => Err(Failure::SourceDenied),
    }
}

/// What only the platform may know stays here, and the answer comes as it is: the platform would
/// unpack it beyond what it reads.
fn make_plain(fields: &mut HeaderMap) {
    fields.remove(AUTHORIZATION);
    fields.remove(COOKIE);
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Carries a message to its agent, and its answer to whoever waits, and into the memory.
async fn carry(edge: Arc<Edge>, message: Message, tell: oneshot::Sender<Told>) {
    let Message { mut parts, body, workspace, prefix, caller, request_id, ticket } = message;
    let asked = Asked {
        name: AgentName::Bridged(workspace),
        prefix: &prefix,
        rest: "",
        dialect: Dialect::Molecule,
        caller: &caller,
        principal: Ok(None),
    };
    let answered = Box::pin(edge.forward(&mut parts, body, &asked, &request_id)).await;
    let answered = answered.and_then(|response| judge_answer(response, workspace));
    match answered {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let (frames, taken) = mpsc::channel(FRAMES_MAX);
            let (status, media) = (head.status, head.headers.get(CONTENT_TYPE).cloned());
            let sized = head.headers.contains_key(CONTENT_LENGTH);
            let over = body.is_end_stream();
            // An error means that nobody waits any more; the agent goes on.
            let _ = tell.send(Ok((head, taken, over)));
            let read = pass_on(body, frames, sized, ticket.is_some()).await;
            let Some(ticket) = ticket else { return };
            match read {
                Ok(body) => {
                    let body = body.freeze();
                    ticket.answered(Kept { status, media, body }, Instant::now());
                }
                Err(why) => ticket.lost(why, Instant::now()),
            }
        }
        Err(no) => {
            if let Some(ticket) = ticket {
                match no.delivery() {
                    Delivery::NotSent => ticket.not_sent(),
                    // What it was is said again in few words.
                    Delivery::Maybe => ticket.lost(Lost::Uncertain, Instant::now()),
                    Delivery::Delivered => ticket.lost(Lost::NotKept, Instant::now()),
                }
            }
            let _ = tell.send(Err(no));
        }
    }
}

/// Refuses what the platform would mistake for something else.
fn judge_answer(
    response: Response<AnswerBody>,
    workspace: WorkspaceId,
) -> Result<Response<AnswerBody>, No> {
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<u64>().ok());
    let failure = if leads_elsewhere(response.status()) {
        Failure::Redirected(workspace)
    } else if length.is_some_and(|length| length > ANSWER_MAX) {
        Failure::AnswerTooLong(workspace, ANSWER_MAX)
    } else {
        return Ok(response);
    };
    Err(No::new(failure, Dialect::Molecule, None))
}

fn leads_elsewhere(status: StatusCode) -> bool {
    status.is_redirection()
}

/// Reads an answer to its end and passes it on as long as somebody takes it. Answers all of it, if it is
/// to be kept and not too long for that.
async fn pass_on(
    mut body: AnswerBody,
    frames: mpsc::Sender<Piece>,
    sized: bool,
    keep: bool,
) -> Result<BytesMut, Lost> {
    let (mut frames, mut kept) = (Some(frames), Ok(BytesMut::new()));
    let (mut bytes, mut last) = (0_u64, body.is_end_stream());
    while !last {
        let mut frame = body.frame().await;
        last = !matches!(frame, Some(Ok(_))) || body.is_end_stream();
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            bytes += data.len() as u64;
            match &mut kept {
                Ok(so_far) if keep && so_far.len() + data.len() <= ANSWER_BYTES_MAX => {
                    so_far.extend_from_slice(data);
                }
                _ => kept = Err(Lost::NotKept),
            }
            if !sized && bytes >= ANSWER_MAX {
                // Nobody can tell it from a whole one any more.
                (frame, last) = (Some(Err(Cut)), true);
            }
        }
        let cut = matches!(frame, Some(Err(_)));
        if let Some(taking) = &frames
            && taking.send((frame, last)).await.is_err()
        {
            frames = None;
        }
        if cut {
            return Err(Lost::Cut);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::watch::IDLE_TIMEOUT;
    use bytes::Bytes;
    use std::time::Duration;

    #[test]
    fn connections_wait_for_longer_than_the_platform_keeps_them() {
        assert!(IDLE_TIMEOUT > Duration::from_secs(90));
    }

    /// A body without a length, as a sum of frames.
    fn frames(count: usize, bytes: usize) -> AnswerBody {
        let (send, taken) = mpsc::channel(count.max(1));
        for n in 1..=count {
            let frame = http_body::Frame::data(Bytes::from(vec![b'x'; bytes]));
            send.try_send((Some(Ok(frame)), n == count)).unwrap();
        }
        AnswerBody::handed(Handed::taken(taken, count == 0))
    }

    #[tokio::test]
    async fn an_answer_is_kept_whole_whether_or_not_somebody_takes_it() {
        for listens in [true, false] {
            let (send, mut taken) = mpsc::channel::<Piece>(FRAMES_MAX);
            let reading = async {
                let mut pieces = 0;
                while listens && taken.recv().await.is_some() {
                    pieces += 1;
                }
                drop(taken);
                pieces
            };
            let (kept, pieces) = tokio::join!(pass_on(frames(9, 10), send, false, true), reading);
            assert_eq!(kept.unwrap().len(), 90);
            assert_eq!(pieces, if listens { 9 } else { 0 });
        }
    }

    #[tokio::test]
    async fn an_answer_without_a_length_is_cut_before_the_platform_would_cut_it() {
        let (send, mut taken) = mpsc::channel::<Piece>(FRAMES_MAX);
        let reading = async {
            let (mut bytes, mut cut) = (0, false);
            while let Some((frame, _)) = taken.recv().await {
                match frame {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    end => cut = end.is_some(),
                }
            }
            (bytes as u64, cut)
        };
        let whole = pass_on(frames(11, 1024 * 1024), send, false, true);
        let (kept, (bytes, cut)) = tokio::join!(whole, reading);
        assert_eq!(kept.unwrap_err(), Lost::Cut);
        assert!(cut && bytes < ANSWER_MAX, "{bytes}");
    }

    #[tokio::test]
    async fn what_is_too_long_to_keep_is_passed_on_all_the_same() {
        let (send, mut taken) = mpsc::channel::<Piece>(FRAMES_MAX);
        let reading = async {
            let mut bytes = 0;
            while let Some((Some(Ok(frame)), _)) = taken.recv().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
            bytes
        };
        let long = pass_on(frames(3, ANSWER_BYTES_MAX / 2), send, true, true);
        let (kept, bytes) = tokio::join!(long, reading);
        assert_eq!(kept.unwrap_err(), Lost::NotKept);
        assert_eq!(bytes, ANSWER_BYTES_MAX / 2 * 3);
    }
}
