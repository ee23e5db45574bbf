//! Serves a card: read whole, edited where its URLs are not public, with a validator of its own.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue,
    LAST_MODIFIED,
};
use http::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use shared::limits::CONTROL_BYTES_MAX;
use shared::wire::Frame;
use tokio::time::timeout;

use super::answer_body::{AnswerBody, AnswerSource};
use super::deadline::patience;
use super::exchange::{Admitted, CardAsked};
use super::failure::Failure;
use super::judge::is_json;
use super::record::Record;
use crate::card;
use crate::tunnel::AnswerCut;

/// Patience for a card that has begun: it is small, and read whole.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether an answer is a card that the relay may have to edit. The request decides, and never the
/// look of the answer: a message that quotes a card stays as it is.
pub fn concerns<'a>(
    admitted: &'a Admitted,
    status: StatusCode,
    fields: &HeaderMap,
) -> Option<&'a CardAsked> {
    let readable = admitted.head.method == Method::GET
        && status == StatusCode::OK
        && !fields.contains_key(CONTENT_ENCODING)
        && fields.get(CONTENT_TYPE).is_none_or(|media| is_json(media.as_bytes()));
    admitted.card.as_ref().filter(|_| readable)
}

/// Reads the card, edits it if it must be, and answers.
pub async fn respond(
    admitted: &Admitted,
    asked: &CardAsked,
    mut fields: HeaderMap,
    mut answer: impl AnswerSource,
    mut record: Box<Record>,
) -> Result<Response<AnswerBody>, Failure> {
    let origin = answer.origin();
    let (patience, named) = patience(admitted.deadline.as_ref(), READ_TIMEOUT);
    let whole = match timeout(patience, read(&mut answer, admitted)).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(failure)) => {
            let verdict = failure.verdict();
            record.refused(&verdict);
            return Err(failure);
        }
        Err(_) => {
            let failure = Failure::Deadline(named);
            record.refused(&failure.verdict());
            return Err(failure);
        }
    };
    let view = card::View {
        base: &asked.base,
        secret_base: asked.secret_base.as_deref(),
        origin: &origin,
    };
    let body = match card::edit(&whole, &view) {
        None => whole,
        Some(edited) => {
            fields.insert("x-relay-card", HeaderValue::from_static("rewritten"));
            for digest in ["content-md5", "digest", "repr-digest", "content-digest"] {
                fields.remove(digest);
            }
            fields.remove(ACCEPT_RANGES);
            fields.remove(LAST_MODIFIED);
            Bytes::from(edited)
        }
    };
    record.complete();
    record.passed(body.len());
    let tag = validator(&body);
    fields.insert(ETAG, tag.clone());
    if asked.if_none_match.as_ref().is_some_and(|theirs| matches(theirs, &tag)) {
        fields.remove(CONTENT_LENGTH);
        fields.remove(CONTENT_TYPE);
        return Ok(answer_with(StatusCode::NOT_MODIFIED, fields, Bytes::new()));
    }
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok(answer_with(StatusCode::OK, fields, body))
}

fn answer_with(status: StatusCode, fields: HeaderMap, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
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
            Ok(Frame::End { .. }) => return Ok(whole.freeze()),
            Ok(Frame::Accepted) => {}
            Err(AnswerCut::LinkLost) => return Err(Failure::TunnelLost(admitted.workspace.id)),
            _ => return Err(Failure::Protocol(admitted.workspace.id)),
        }
    }
}

/// A weak validator of what is served, whatever the agent's own validates.
fn validator(body: &[u8]) -> HeaderValue {
    let hash = Sha256::digest(body);
    let short = data_encoding::HEXLOWER.encode(hash.get(..12).unwrap_or_default());
    HeaderValue::from_str(&format!("W/\"{short}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

/// Weak comparison (RFC 9110, 8.8.3.2 and 13.1.2).
fn matches(theirs: &HeaderValue, ours: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let (Ok(theirs), Ok(ours)) = (theirs.to_str(), ours.to_str()) else { return false };
    theirs.trim() == "*" || theirs.split(',').any(|tag| opaque(tag) == opaque(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_compare_weakly() {
        let ours = HeaderValue::from_static("W/\"abc\"");
        for (theirs, same) in [
            ("\"abc\"", true),
            ("W/\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"abd\"", false),
            ("", false),
        ] {
            assert_eq!(matches(&HeaderValue::from_static(theirs), &ours), same, "{theirs}");
        }
    }
}
