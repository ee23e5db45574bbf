//! Serves a card: read whole, edited where its URLs are not public, with a validator of its own.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, LAST_MODIFIED, LOCATION,
};
use http::{Response, StatusCode};
use shared::limits::CONTROL_BYTES_MAX;
use shared::wire::Frame;
use tokio::time::timeout;

use super::answer_body::AnswerBody;
use super::answer_source::AnswerSource;
use super::card_request::{CardAsked, Document};
use super::card_tag;
use super::deadline::patience;
use super::exchange::{Admitted, answer_with};
use super::failure::Failure;
use super::judge::is_json;
use super::prefix::Prefix;
use super::record::Record;
use super::{grpc, grpc_card};
use crate::card::{self, Edit, kept, public_location};
use crate::registry::Workspace;
use crate::tunnel::AnswerCut;

/// Patience for a card that has begun: it is small, and read whole.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Digests of a document that is not sent any more.
const DIGESTS: [&str; 4] = ["content-md5", "digest", "repr-digest", "content-digest"];

/// Whether an answer is a card that the relay may have to edit. The request decides, and never the
/// look of the answer: a message that quotes a card stays as it is.
pub fn concerns(
    admitted: &Admitted,
    prefix: &Prefix,
    status: StatusCode,
    fields: &HeaderMap,
) -> bool {
    let asked = &admitted.asked;
    match asked.document {
        Document::None => false,
        Document::Public | Document::Extended => {
            asked.head_only || status == StatusCode::NOT_MODIFIED || is_readable(status, fields)
        }
        // One that failed has no card, and no answer of another status is one of gRPC.
        Document::Grpc(_) => status == StatusCode::OK && !grpc::is_trailers_only(fields),
        Document::Called => {
            is_readable(status, fields)
                && fields.contains_key(CONTENT_TYPE)
                && prefix.asks_for_card()
        }
    }
}

/// A whole JSON document. What an agent compresses although it was asked not to stays as it is.
fn is_readable(status: StatusCode, fields: &HeaderMap) -> bool {
    status == StatusCode::OK
        && !fields.contains_key(CONTENT_ENCODING)
        && fields.get(CONTENT_TYPE).is_none_or(|media| is_json(media.as_bytes()))
}

/// Maps the fields of any answer that name a place of the agent's origin into its public base.
pub fn map_locations(
    fields: &mut HeaderMap,
    admitted: &Admitted,
    origins: impl Fn() -> Vec<String>,
) {
    for name in [LOCATION, CONTENT_LOCATION] {
        let Some(place) = fields.get(&name).and_then(|place| place.to_str().ok()) else { continue };
        let asked = &admitted.asked;
        let mapped =
            asked.look(&admitted.workspace, &origins(), |view| public_location(place, view));
        if let Some(mapped) = mapped.and_then(|mapped| HeaderValue::try_from(mapped).ok()) {
            fields.insert(name, mapped);
        }
    }
}

/// Reads the card, edits it if it must be, and answers.
pub async fn respond(
    admitted: &Admitted,
    status: StatusCode,
    fields: HeaderMap,
    mut answer: impl AnswerSource,
    mut record: Box<Record>,
) -> Result<Response<AnswerBody>, Failure> {
    let (asked, workspace) = (&admitted.asked, &admitted.workspace);
    if let Document::Grpc(schema) = asked.document {
        return grpc_card::respond(admitted, schema, fields, answer, record).await;
    }
    let origins = answer.origins();
    if status == StatusCode::NOT_MODIFIED {
        record.complete();
        if let Some((kept, key)) = &admitted.keep {
            kept.confirm(&workspace.id, key);
        }
        let ending = asked.look(workspace, &origins, card_tag::ending);
        return Ok(not_modified(asked, fields, &ending));
    }
    if !is_readable(status, &fields) {
        record.complete();
        return Ok(answer_with(status, fields, AnswerBody::whole(Bytes::new())));
    }
    let (patience, named) = patience(admitted.deadline.as_ref(), READ_TIMEOUT);
    let read = timeout(patience, read(&mut answer, admitted)).await;
    let whole = read.unwrap_or(Err(Failure::Deadline(named))).inspect_err(|failure| {
        record.refused(&failure.verdict());
    })?;
    if let Some((kept, key)) = admitted.keep.as_ref().filter(|_| card::is_object(&whole)) {
        kept.keep(workspace, key.clone(), &fields, &whole, &origins);
    }
    let (response, bytes) = served(asked, workspace, &origins, fields, whole);
    record.complete();
    record.passed(bytes);
    Ok(response)
}

/// The card of an agent that is away, as it was when it was last seen.
pub fn away(asked: &CardAsked, workspace: &Workspace, card: kept::Card) -> Response<AnswerBody> {
    let age = card.age();
    let kept::Card { fields, body, origins, .. } = card;
    let (mut response, _) = served(asked, workspace, &origins, fields, body);
    response.headers_mut().insert(AGE, HeaderValue::from(age));
    response.headers_mut().insert("x-relay-card", HeaderValue::from_static("cached"));
    response
}

/// What a caller gets of a whole card, and how many bytes of it.
fn served(
    asked: &CardAsked,
    workspace: &Workspace,
    origins: &[String],
    mut fields: HeaderMap,
    whole: Bytes,
) -> (Response<AnswerBody>, usize) {
    let called = asked.document == Document::Called;
    let edit = asked.look(workspace, origins, |view| match called {
        true => card::edit_result(&whole, view),
        false => card::edit(&whole, view),
    });
    let body = match edit {
        Edit::Public => whole,
        Edit::Strict => {
            tracing::warn!(workspace = %workspace.id, "a signed card with URLs that are not public \
                was served as it is, as `relay workspace set --strict-card on` wants it; callers \
                cannot use it until the agent signs its public URL");
            fields.insert("x-relay-card", HeaderValue::from_static("unedited"));
            whole
        }
        Edit::Rewritten(edited) => {
            fields.insert("x-relay-card", HeaderValue::from_static("rewritten"));
            for digest in DIGESTS {
                fields.remove(digest);
            }
            fields.remove(ACCEPT_RANGES);
            fields.remove(LAST_MODIFIED);
            if let Some(agents) = fields.remove(ETAG) {
                let ending = asked.look(workspace, origins, card_tag::ending);
                if let Some(tag) = card_tag::derived(&agents, &ending) {
                    fields.insert(ETAG, tag);
                }
            }
            Bytes::from(edited)
        }
    };
    if called {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let bytes = body.len();
        return (answer_with(StatusCode::OK, fields, AnswerBody::whole(body)), bytes);
    }
    let tag = fields.entry(ETAG).or_insert_with(|| card_tag::of_body(&body));
    if asked.if_none_match.as_ref().is_some_and(|theirs| card_tag::matches(theirs, tag)) {
        fields.remove(CONTENT_LENGTH);
        fields.remove(CONTENT_TYPE);
        let response =
            answer_with(StatusCode::NOT_MODIFIED, fields, AnswerBody::whole(Bytes::new()));
        return (response, 0);
    }
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let body = if asked.head_only { Bytes::new() } else { body };
    let bytes = body.len();
    (answer_with(StatusCode::OK, fields, AnswerBody::whole(body)), bytes)
}

/// The agent's 304 is about the card that it sent, and so about the one that was made of it: no other
/// tag went to it.
fn not_modified(asked: &CardAsked, mut fields: HeaderMap, ending: &str) -> Response<AnswerBody> {
    let agents = fields.remove(ETAG).or_else(|| {
        asked.if_none_match.as_ref().and_then(|callers| card_tag::for_agent(callers, ending))
    });
    if let Some(tag) = agents.and_then(|tag| card_tag::derived(&tag, ending)) {
        fields.insert(ETAG, tag);
    }
    fields.remove(LAST_MODIFIED);
    answer_with(StatusCode::NOT_MODIFIED, fields, AnswerBody::whole(Bytes::new()))
}

/// The whole card, unless it is too long or was cut.
async fn read(answer: &mut impl AnswerSource, admitted: &Admitted) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    loop {
        match poll_fn(|cx| answer.poll_frame(cx)).await {
            Ok(Frame::Data(bytes)) if whole.len() + bytes.len() <= CONTROL_BYTES_MAX => {
                answer.consumed(bytes.len());
                whole.extend_from_slice(&bytes);
            }
            Ok(Frame::Data(_)) => return Err(Failure::CardTooLong(admitted.workspace.id)),
            Ok(Frame::End { .. }) => return Ok(whole.freeze()),
            Ok(Frame::Accepted) => {}
            Err(AnswerCut::LinkLost) => return Err(Failure::TunnelLost(admitted.workspace.id)),
            _ => return Err(Failure::Protocol(admitted.workspace.id)),
        }
    }
}
