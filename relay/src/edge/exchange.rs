//! One exchange: a judged request goes to its agent's link, and the answer's head comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use shared::codes::Delivery;
use shared::ids::Generation;
use shared::limits::{ANSWER_HEAD_TIMEOUT, FIRST_CREDIT};
use shared::wire::{Frame, RequestHead, ResponseHead};
use tokio::time::{sleep, timeout};

use super::answer_body::{AnswerBody, Streamed};
use super::answer_source::AnswerSource;
use super::called::Called;
use super::caller_body::{BodyBroken, CallerBody};
use super::card_answer::{self, map_locations};
use super::card_request::{CardAsked, Document};
use super::deadline::{Deadline, patience};
use super::failure::Failure;
use super::forwarded::toward_caller;
use super::grpc;
use super::last_event::LastEvents;
use super::method_policy;
use super::prefix::Prefix;
use super::record::{Carrier, Record};
use super::render::Dialect;
use super::upload::{Carried, Carrying};
use super::waiting;
use crate::card::kept::{KeptCards, Key};
use crate::direct_url::{DirectUrl, Rule};
use crate::methods::Methods;
use crate::registry::{Validity, Workspace};
use crate::shard::Home;
use crate::tunnel::{Answer, AnswerCut, Link, LiveLinks, OpenError, Presence, Upload};

/// Bytes of a body that go out with the head, so that a small request is one write: the first
/// credit of a link, which the head itself raises on a crowded one.
const FIRST_BYTES_MAX: usize = FIRST_CREDIT as usize;

/// A request that was admitted, judged and mapped.
#[derive(Debug)]
pub struct Admitted {
    /// Whose agent it is for.
    pub workspace: Arc<Workspace>,
    /// Its head, as the connector gets it; the link that takes it names it.
    pub head: RequestHead,
    /// How its caller is spoken to.
    pub dialect: Dialect,
    /// What of A2A it is for.
    pub called: Called,
    /// What its caller may use.
    pub allowed: Methods,
    /// By which name the agent was asked, and whether for a card.
    pub asked: CardAsked,
    /// Where the answer is kept for the time that the agent is away, if it may be.
    pub keep: Option<(Arc<KeptCards>, Key)>,
    /// When the caller wants the whole answer, if it said so.
    pub deadline: Option<Deadline>,
    /// How long it waits for an agent that is away.
    pub wait: Option<Duration>,
    /// Until when the credential is good that the caller showed, if it did.
    pub validity: Option<Validity>,
    /// Whether the caller takes a stream of events for its answer.
    pub streams: bool,
    /// Whether it takes comments in the silences of such a stream.
    pub keep_alive: bool,
    /// How it gets to the agent.
    pub way: Way,
}

/// How a request gets to its agent.
#[derive(Debug)]
pub enum Way {
    /// By a link of this shard, if there is one at all.
    Here,
    /// By a link that another shard owns.
    Elsewhere(Home),
    /// There is no link, and the agent has a URL of its own; it may break a rule.
    Direct(Result<Box<DirectUrl>, Rule>),
}

/// What a request still owns while nobody has answered it; a refusal looks through it.
#[derive(Debug)]
pub struct Pending {
    /// The caller's body, until it is on its way.
    pub body: Box<CallerBody>,
    /// The record, until an answer takes it along.
    pub record: Box<Record>,
}

/// What is left of a request that was not answered.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// The body, whose first bytes tell the caller's JSON-RPC id.
    pub body: Option<Box<CallerBody>>,
    /// Those first bytes, where the body itself is on its way.
    pub prefix: Option<Prefix>,
    /// The record, to be closed with the refusal.
    pub record: Option<Box<Record>>,
}

/// A link that surely did not begin the request, and why: it is sent once more, on a newer one.
type PassedOver = Option<(Generation, Failure)>;

/// Carries a request to its agent; answers with the agent's answer, or says why there is none.
pub async fn run(
    live: &LiveLinks,
    mut admitted: Box<Admitted>,
    pending: Pending,
) -> Result<Response<AnswerBody>, Refused> {
    let Pending { mut body, mut record } = pending;
    let prefix = body.prefix();
    let mut passed = None;
    if let Some(wait) = admitted.wait {
        let deadline = admitted.deadline.as_ref();
        Box::pin(waiting::hold(live, &admitted.workspace.id, wait, deadline)).await;
    }
    loop {
        let begun = match admitted.deadline {
            None => begin(live, &mut admitted, &mut body, &mut record, &mut passed).await,
            // Few callers set one, and need not make every future large.
            Some(deadline) => {
                let begun = begin(live, &mut admitted, &mut body, &mut record, &mut passed);
                Box::pin(within(deadline, begun)).await
            }
        };
        let opened = match begun {
            Ok(opened) => opened,
            Err(failure) => {
                return Err(Refused {
                    failure,
                    body: Some(body),
                    prefix: None,
                    record: Some(record),
                });
            }
        };
        let Opened { first, upload, mut answer } = opened;
        let mut carrying = Carrying::begin(body, first, upload, record.shared_metrics());
        let headed = head(&mut answer, &mut carrying, &admitted).await;
        record.continued(answer.continued());
        let failure = match headed {
            Ok(ResponseHead { status, mut fields }) => {
                record.answered(status.as_u16());
                toward_caller(&mut fields, &record.request_id);
                map_locations(&mut fields, &admitted, || answer.origins());
                match announced_length(&fields, &admitted, status) {
                    Ok(_) if card_answer::concerns(&admitted, &prefix, status, &fields) => {
                        let card = card_answer::respond(&admitted, status, fields, answer, record);
                        // Cards are seldom asked for, and need not make every future large.
                        return Box::pin(card).await.map_err(|failure| Refused {
                            failure,
                            body: None,
                            prefix: Some(prefix.clone()),
                            record: None,
                        });
                    }
                    Ok(expected) => {
                        let sent = carrying.for_good();
                        let streamed = Streamed::new(answer, record, expected, sent);
                        let streamed = stream(streamed, &admitted, &fields, &prefix);
                        return Ok(answer_with(status, fields, AnswerBody::streamed(streamed)));
                    }
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        let Some(sent) = Box::pin(carrying.stop()).await else {
            return Err(Refused { failure, body: None, prefix: None, record: Some(record) });
        };
        let (taken, whole) = sent.unsend();
        if !whole || passed.is_some() || !failure.is_unbegun() {
            return Err(Refused { failure, body: Some(taken), prefix: None, record: Some(record) });
        }
        body = taken;
        record.delivery = Delivery::NotSent;
        passed = Some((answer.link().generation, failure));
    }
}

/// An exchange that is open: what of the body went with its head, and the way for the rest, if there
/// is one.
struct Opened {
    first: Vec<Bytes>,
    upload: Option<Upload>,
    answer: Answer,
}

/// Opens the exchange with as much of the body as is at hand.
async fn begin(
    live: &LiveLinks,
    admitted: &mut Admitted,
    body: &mut CallerBody,
    record: &mut Record,
    passed: &mut PassedOver,
) -> Result<Opened, Failure> {
    // Reading the body asks the caller for it (RFC 9110, 10.1.1), so the link is looked up before.
    find_link(live, admitted, passed)?;
    if !admitted.allowed.is_all() {
        Box::pin(method_policy::judge(admitted, body)).await?;
    }
    let first = body.at_hand(FIRST_BYTES_MAX).await.map_err(broken)?;
    let complete = body.is_over() && !body.has_trailers();
    let prefix = body.prefix();
    ask_plainly(admitted, &prefix);
    record.observed.body(admitted.called, &prefix);
    let opened = open(live, admitted, &first, complete, passed).await;
    let (upload, answer) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            body.give_back(first, HeaderMap::new());
            return Err(failure);
        }
    };
    record.carrier = Carrier::Link(answer.link().generation);
    record.delivery = Delivery::Maybe;
    let sent = first.iter().map(|bytes| bytes.len() as u64).sum();
    record.metrics().bytes_to_agents.inc_by(sent);
    Ok(Opened { first, upload: (!complete).then_some(upload), answer })
}

/// Has a card come as it is, where its request shows in time that it asks for one.
pub fn ask_plainly(admitted: &mut Admitted, prefix: &Prefix) {
    if admitted.asked.document == Document::Called && prefix.asks_for_card() {
        let plain = HeaderValue::from_static("identity");
        admitted.head.fields.insert(ACCEPT_ENCODING, plain);
    }
}

/// Opens the exchange as long as the caller waits. Given up half-way, its body cannot be sent again.
async fn within(
    deadline: Deadline,
    opening: impl Future<Output = Result<Opened, Failure>>,
) -> Result<Opened, Failure> {
    let late = |_| Failure::Deadline(deadline.total);
    timeout(deadline.left(), opening).await.map_err(late).flatten()
}

/// Opens the exchange on the newest link; once more on a newer one, if the first was lost before it
/// took anything.
async fn open(
    live: &LiveLinks,
    admitted: &mut Admitted,
    first: &[Bytes],
    complete: bool,
    passed: &mut PassedOver,
) -> Result<(Upload, Answer), Failure> {
    let workspace = admitted.workspace.id;
    loop {
        let link = find_link(live, admitted, passed)?;
        match link.open(&mut admitted.head, admitted.streams, first, complete).await {
            Ok(opened) => return Ok(opened),
            Err(OpenError::Busy) => return Err(Failure::AgentBusy(workspace)),
            Err(OpenError::Lost) if passed.is_none() => {
                *passed = Some((link.generation, Failure::LinkLost(workspace)));
            }
            Err(OpenError::Lost) => return Err(Failure::LinkLost(workspace)),
        }
    }
}

fn find_link(
    live: &LiveLinks,
    admitted: &Admitted,
    passed: &PassedOver,
) -> Result<Arc<Link>, Failure> {
    let workspace = admitted.workspace.id;
    match live.presence(&workspace) {
        Presence::Connected(link) => match passed {
            Some((generation, failure)) if *generation == link.generation => Err(failure.clone()),
            _ if link.is_draining() => Err(Failure::AgentDraining(workspace)),
            _ if link.is_closed() => Err(Failure::LinkLost(workspace)),
            _ => Ok(link),
        },
        Presence::Left(since) => match passed {
            Some((_, failure)) => Err(failure.clone()),
            None => Err(Failure::AgentOffline(workspace, Some(since))),
        },
        Presence::Never => Err(Failure::AgentOffline(workspace, None)),
    }
}

/// Waits for the head of the answer, as long as the caller does.
async fn head(
    answer: &mut Answer,
    carrying: &mut Carrying,
    admitted: &Admitted,
) -> Result<ResponseHead, Failure> {
    let (patience, named) = patience(admitted.deadline.as_ref(), ANSWER_HEAD_TIMEOUT);
    tokio::select! {
        biased;
        head = await_head(answer, admitted) => head.map_err(|failure| {
            // A connector's no may be its answer to our own reset of the upload.
            carrying.ended_already().and_then(upload_failure).unwrap_or(failure)
        }),
        failure = broken_upload(carrying) => Err(failure),
        failure = ended(admitted) => Err(failure),
        () = sleep(patience) => Err(Failure::Deadline(named)),
    }
}

/// Reads until the head of the answer. Interim answers end here, on both HTTP versions.
async fn await_head(answer: &mut Answer, admitted: &Admitted) -> Result<ResponseHead, Failure> {
    let workspace = admitted.workspace.id;
    let mut accepted = false;
    loop {
        match answer.frame().await {
            Ok(Frame::ResponseHead(head)) => return Ok(*head),
            Ok(Frame::Abort(mut abort)) => {
                if accepted && abort.delivery == Delivery::NotSent {
                    abort.delivery = Delivery::Maybe;
                }
                return Err(Failure::Aborted(workspace, abort));
            }
            Ok(Frame::Accepted) => accepted = true,
            Ok(_) => {}
            Err(AnswerCut::LinkLost) if answer.never_began() => {
                return Err(Failure::LinkLost(workspace));
            }
            Err(AnswerCut::LinkLost) => return Err(Failure::TunnelLost(workspace)),
            Err(AnswerCut::Reset(_) | AnswerCut::Protocol(_)) => {
                return Err(Failure::Protocol(workspace));
            }
        }
    }
}

/// Answers when the caller may no longer call.
pub async fn ended(admitted: &Admitted) -> Failure {
    match &admitted.validity {
        Some(validity) => validity.ended().await,
        None => std::future::pending().await,
    }
    Failure::CredentialEnded(admitted.workspace.id)
}

/// Answers when the caller's own body is what ends the exchange.
async fn broken_upload(carrying: &mut Carrying) -> Failure {
    loop {
        if let Some(failure) = upload_failure(carrying.ended().await) {
            return failure;
        }
    }
}

/// What the caller did wrong with its body, if it did.
pub fn upload_failure(carried: Carried) -> Option<Failure> {
    match carried {
        Carried::Whole | Carried::Unwanted => None,
        Carried::TooLarge(limit) => Some(Failure::BodyTooLarge(limit)),
        Carried::Cut => Some(broken(BodyBroken::Cut)),
        Carried::Doubtful(doubt) => Some(Failure::MethodUnclear(doubt)),
        Carried::Stalled => Some(Failure::BadRequest("The body stopped for 30 s before its end.")),
    }
}

/// Why a request with such a body goes nowhere.
pub fn broken(broken: BodyBroken) -> Failure {
    match broken {
        BodyBroken::TooLarge(limit) => Failure::BodyTooLarge(limit),
        BodyBroken::Cut => Failure::BadRequest("The body was cut before its end."),
        BodyBroken::Doubtful(doubt) => Failure::MethodUnclear(doubt),
    }
}

/// An agent's head, and what comes behind it.
pub fn answer_with(
    status: StatusCode,
    fields: HeaderMap,
    body: AnswerBody,
) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

/// The answer's body, with what the caller asked of it.
pub fn stream<S: AnswerSource>(
    mut streamed: Streamed<S>,
    admitted: &Admitted,
    fields: &HeaderMap,
    prefix: &Prefix,
) -> Streamed<S> {
    if let Some(deadline) = &admitted.deadline {
        streamed = streamed.until(deadline.at);
    }
    if let Some(validity) = &admitted.validity {
        streamed = streamed.as_long_as(validity.ended());
    }
    if admitted.dialect == Dialect::Grpc {
        streamed = streamed.of_grpc();
    }
    // An event put into a body of announced length would end it cleanly.
    if is_event_stream(fields) && !fields.contains_key(CONTENT_LENGTH) {
        let id = prefix.envelope().id;
        let last = LastEvents::of(admitted, id.as_deref(), streamed.request());
        streamed = streamed.of_events(last, admitted.keep_alive);
    }
    streamed
}

/// The length that the agent announced for the body that will come.
pub fn announced_length(
    fields: &HeaderMap,
    admitted: &Admitted,
    status: StatusCode,
) -> Result<Option<u64>, Failure> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let announced = match (lengths.next().map(digits), lengths.next()) {
        (None, _) => None,
        (Some(Some(number)), None) => Some(number),
        _ => return Err(Failure::Protocol(admitted.workspace.id)),
    };
    // These have no body, whatever length they announce (RFC 9112, 6.3).
    let bodiless = admitted.head.method == Method::HEAD
        || matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT);
    let whole = admitted.dialect == Dialect::Grpc && grpc::is_trailers_only(fields);
    Ok(if bodiless || whole { Some(0) } else { announced })
}

/// A length in digits alone (RFC 9110, 8.6): hyper would drop an answer with any other.
fn digits(length: &HeaderValue) -> Option<u64> {
    let text =
        length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

fn is_event_stream(fields: &HeaderMap) -> bool {
    fields.get(CONTENT_TYPE).is_some_and(|media| {
        media
            .as_bytes()
            .get(..17)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
    }) && !fields.contains_key(http::header::CONTENT_ENCODING)
}

#[cfg(test)]
pub(in crate::edge) mod tests;
