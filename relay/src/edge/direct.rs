//! Carries a request to an agent that has no link, at the URL that it registered.
//!
//! The URL is judged by [`crate::direct_url`] and dialled by `dial`, which connects to nothing but
//! addresses that were judged; `upload` is the body on its way there, `answer` the one on its way back,
//! `probe` looks now and then whether an agent answers,
//! and `push` posts what an agent has to tell. Each request has a connection of its own,
//! which is closed behind it, and no redirect is followed: it is the agent's answer.

mod answer;
mod crowd;
mod dial;
mod patient;
pub mod probe;
pub mod push;
mod upload;

use std::future::Future;
use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, VIA,
};
use http::response::Parts;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use shared::codes::{AbortCode, Delivery};
use shared::exposure::Exposure;
use shared::ids::WorkspaceId;
use shared::limits::ANSWER_HEAD_TIMEOUT;
use shared::wire::fields::within_limits;
use shared::wire::{Abort, Target};
use tokio::time::{sleep, timeout};

use super::answer_body::{AnswerBody, Streamed};
use super::card_answer::{self, map_locations};
use super::deadline::{Deadline, patience};
use super::exchange::{
    Admitted, Pending, Refused, Way, announced_length, answer_with, ask_plainly, ended, stream,
    upload_failure,
};
use super::failure::Failure;
use super::forwarded::toward_caller;
use super::method_policy;
use super::record::Carrier;
use super::upload::Carrying;
use crate::admin::Api;
use crate::direct_url::{DirectUrl, Rule};
use crate::registry::Workspace;
use crate::tunnel::Presence;
pub use answer::DirectAnswer;
use crowd::{Crowd, Seat};
use dial::{Connection, Dialler, Unreached};
use upload::{Lent, Upload};

/// What of such an agent crosses: its endpoint and its card, which need no entry. Nobody has announced
/// more.
pub static EXPOSURE: Exposure = Exposure { all: false, endpoint: String::new(), rules: Vec::new() };

/// What the relay calls itself in `Via`.
const PSEUDONYM: &str = "a2a-relay";

/// Agents at their own URLs. One for the process.
#[derive(Debug)]
pub struct Direct {
    api: Arc<Api>,
    dialler: Dialler,
    crowd: Arc<Crowd>,
}

impl Direct {
    /// Calls agents as the API's rules for URLs allow it.
    pub fn new(api: Arc<Api>) -> Self {
        Self { api, dialler: Dialler::default(), crowd: Arc::default() }
    }

    /// How a request gets to an agent that has no link.
    pub fn way(&self, workspace: &Workspace) -> Way {
        match self.api.looks.judge(workspace) {
            Some(judged) => Way::Direct(judged.map(Box::new)),
            None => Way::Here,
        }
    }

    /// Carries a request to its agent; answers with the agent's answer, or says why there is none.
    ///
    /// Dropping the future closes the connection to the agent.
    pub async fn run(
        &self,
        url: Result<Box<DirectUrl>, Rule>,
        mut admitted: Box<Admitted>,
        pending: Pending,
    ) -> Result<Response<AnswerBody>, Refused> {
        let Pending { mut body, mut record } = pending;
        let workspace = Arc::clone(&admitted.workspace);
        if !admitted.allowed.is_all()
            && let Err(failure) = method_policy::judge(&admitted, &mut body).await
        {
            let (body, record) = (Some(body), Some(record));
            return Err(Refused { failure, body, prefix: None, record });
        }
        ask_plainly(&mut admitted, &body.prefix());
        let begun = match url {
            Ok(url) => {
                let deadline = admitted.deadline;
                within(deadline, self.begin(url, &mut admitted)).await
            }
            Err(rule) => Err(self.uncalled(&workspace, rule)),
        };
        let Begun { url, seat, mut connection, head } = match begun {
            Ok(begun) => *begun,
            Err(failure) => {
                return Err(Refused {
                    failure,
                    body: Some(body),
                    prefix: None,
                    record: Some(record),
                });
            }
        };
        let prefix = body.prefix();
        let (upload, mut lent) = Upload::lend(body, record.shared_metrics());
        (record.carrier, record.delivery) = (Carrier::Url, Delivery::Maybe);
        let answered = head_of(connection.send(head.map(|()| upload)), &admitted, &mut lent);
        let (parts, incoming) = match answered.await.and_then(|answer| judge(answer, workspace.id))
        {
            Ok(answer) => answer,
            Err(failure) => {
                // The connection gives the body back as it goes.
                connection.close().await;
                let (body, broken) = lent.take();
                let failure = broken.and_then(upload_failure).unwrap_or(failure);
                return Err(Refused { failure, body, prefix: None, record: Some(record) });
            }
        };
        self.api.looks.note(&workspace, Ok(()));
        let Parts { status, headers: mut fields, .. } = parts;
        record.answered(status.as_u16());
        record.observed.body(admitted.called, &prefix);
        toward_caller(&mut fields, &record.request_id);
        map_locations(&mut fields, &admitted, || vec![url.origin()]);
        let expected = match announced_length(&fields, &admitted, status) {
            Ok(expected) => expected,
            Err(failure) => {
                let failure = of_a_url(failure);
                return Err(Refused { failure, body: None, prefix: None, record: Some(record) });
            }
        };
        let answer = DirectAnswer::new(incoming, url.origin(), connection, seat);
        if card_answer::concerns(&admitted, &prefix, status, &fields) {
            let card = card_answer::respond(&admitted, status, fields, answer, record).await;
            return card.map_err(|failure| Refused {
                failure: of_a_url(failure),
                body: None,
                prefix: Some(prefix.clone()),
                record: None,
            });
        }
        let streamed = Streamed::new(answer, record, expected, Carrying::Gone);
        let streamed = stream(streamed, &admitted, &fields, &prefix);
        Ok(answer_with(status, fields, AnswerBody::direct(streamed)))
    }

    /// Opens a connection and makes the head that goes out on it; nothing is sent yet.
    async fn begin(
        &self,
        url: Box<DirectUrl>,
        admitted: &mut Admitted,
    ) -> Result<Box<Begun>, Failure> {
        let workspace = Arc::clone(&admitted.workspace);
        if came_round(&admitted.head.fields) {
            return Err(self.uncalled(&workspace, Rule::Circle));
        }
        let Some(seat) = self.crowd.enter(workspace.id) else {
            return Err(Failure::AgentBusy(workspace.id));
        };
        let head = head(admitted, &url)?;
        let connection = match self.dialler.open(&url, self.api.looks.rules()).await {
            Ok(connection) => connection,
            Err(why) => {
                self.api.looks.note(&workspace, Err(why.to_string()));
                tracing::debug!(workspace = %workspace.id, %why, "an agent's own URL was not reached");
                return Err(match why {
                    Unreached::Broken(rule) => self.uncalled(&workspace, rule),
                    Unreached::Failed(_) => unreached(workspace.id, &why),
                });
            }
        };
        Ok(Box::new(Begun { url, seat, connection, head }))
    }

    fn uncalled(&self, workspace: &Workspace, rule: Rule) -> Failure {
        let last_seen = match self.api.live.presence(&workspace.id) {
            Presence::Left(since) => Some(since),
            Presence::Connected(_) | Presence::Never => None,
        };
        Failure::Uncalled(workspace.id, last_seen, rule)
    }
}

/// A request that can be sent.
struct Begun {
    url: Box<DirectUrl>,
    seat: Seat,
    connection: Connection,
    head: Request<()>,
}

/// Does something as long as the caller waits.
async fn within<T>(
    deadline: Option<Deadline>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(deadline) = deadline else { return work.await };
    let late = |_| Failure::Deadline(deadline.total);
    timeout(deadline.left(), work).await.map_err(late).flatten()
}

/// Whether the request came through a relay before it came here: each adds itself to `Via`, and this
/// one has too.
fn came_round(fields: &HeaderMap) -> bool {
    let values = fields.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|hop| hop.contains(PSEUDONYM)).count() > 1
}

/// The head as the agent gets it.
fn head(admitted: &mut Admitted, url: &DirectUrl) -> Result<Request<()>, Failure> {
    let head = &mut admitted.head;
    let query = head.query.as_deref();
    let path = match &head.target {
        Target::Endpoint => url.endpoint(query),
        Target::Card => DirectUrl::card(query),
        Target::Raw(_) => return Err(Failure::PathDenied),
    };
    let path = path.map_err(|_| Failure::BadRequest("The query cannot stand in a request."))?;
    let mut fields = std::mem::take(&mut head.fields);
    fields.insert(HOST, url.authority.clone());
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    if head.has_body && !fields.contains_key(CONTENT_LENGTH) {
        // Said outright, since hyper takes some methods to have no body otherwise.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = fields;
    Ok(request)
}

/// Waits for the head of the answer, as long as the caller does.
async fn head_of(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    admitted: &Admitted,
    lent: &mut Lent,
) -> Result<Response<Incoming>, Failure> {
    let (patience, named) = patience(admitted.deadline.as_ref(), ANSWER_HEAD_TIMEOUT);
    tokio::select! {
        biased;
        answer = answer => answer.map_err(|error| no_head(admitted.workspace.id, &error)),
        // What the caller did wrong is told whatever hyper makes of it.
        failure = lent.broken() => Err(failure),
        failure = ended(admitted) => Err(failure),
        () = sleep(patience) => Err(Failure::Deadline(named)),
    }
}

/// Whether an answer can be passed on.
fn judge(answer: Response<Incoming>, workspace: WorkspaceId) -> Result<(Parts, Incoming), Failure> {
    let (mut parts, body) = answer.into_parts();
    let fields = &mut parts.headers;
    // Another coding would be lost with the field, and the body be read as what it is not.
    let coded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(bad_answer(workspace, "it switches protocols"));
    }
    if fields.get_all(TRANSFER_ENCODING).iter().any(coded) {
        return Err(bad_answer(workspace, "its transfer coding is not chunked"));
    }
    if fields.contains_key(TRANSFER_ENCODING) {
        // The chunks say where the body ends, whatever the length says (RFC 9112, 6.3).
        fields.remove(CONTENT_LENGTH);
    }
    if !within_limits(fields) {
        return Err(bad_answer(workspace, "its head is over 32 KiB or 100 fields"));
    }
    Ok((parts, body))
}

fn aborted(
    workspace: WorkspaceId,
    code: AbortCode,
    delivery: Delivery,
    message: String,
) -> Failure {
    Failure::Aborted(workspace, Abort { code, delivery, message })
}

/// No connection came about.
fn unreached(workspace: WorkspaceId, why: &Unreached) -> Failure {
    let message = format!(
        "Agent {workspace} cannot be called at its own URL: {why}. Start it, or run \
         agent-connector beside it."
    );
    aborted(workspace, AbortCode::UpstreamRefused, Delivery::NotSent, message)
}

/// The request was handed over, and no head of an answer came of it.
fn no_head(workspace: WorkspaceId, error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return bad_answer(workspace, "it is no HTTP");
    }
    let message = format!(
        "Agent {workspace} closed the connection at its own URL before it answered. It may have got \
         the request: ask for its task before sending it again."
    );
    aborted(workspace, AbortCode::UpstreamReset, Delivery::Maybe, message)
}

fn bad_answer(workspace: WorkspaceId, what: &str) -> Failure {
    let message = format!("The answer of agent {workspace} cannot be passed on: {what}.");
    aborted(workspace, AbortCode::UpstreamProtocol, Delivery::Maybe, message)
}

/// A failure as it reads where no link and no connector had a part in it.
fn of_a_url(failure: Failure) -> Failure {
    match failure {
        Failure::TunnelLost(workspace) => {
            let message = format!("Agent {workspace} closed the connection within its answer.");
            aborted(workspace, AbortCode::UpstreamReset, Delivery::Maybe, message)
        }
        Failure::Protocol(workspace) => bad_answer(workspace, "it is no valid HTTP, or too long"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_came_through_a_relay_is_known() {
        for (via, round) in [
            (&["1.1 a2a-relay"][..], false),
            (&["1.1 proxy", "1.1 a2a-relay"], false),
            (&["2 a2a-relay, 1.1 proxy", "1.1 a2a-relay"], true),
            (&["1.1 a2a-relay, 1.1 a2a-relay"], true),
        ] {
            let mut fields = HeaderMap::new();
            for value in via {
                fields.append(VIA, HeaderValue::from_static(value));
            }
            assert_eq!(came_round(&fields), round, "{via:?}");
        }
    }
}
