//! Serves a card that was asked for by gRPC: one message, read whole, edited where it must be.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use shared::headers::remove_forbidden_trailers;
use shared::wire::Frame;
use tokio::time::timeout;

use super::answer_body::AnswerBody;
use super::answer_source::AnswerSource;
use super::deadline::patience;
use super::exchange::{Admitted, answer_with};
use super::failure::Failure;
use super::record::Record;
use crate::card::Edit;
use crate::card::grpc::{Schema, edit};
use crate::tunnel::AnswerCut;

/// Patience for a card that has begun: it is small, and read whole.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// No card is read further, bytes.
const CARD_BYTES_MAX: usize = 1024 * 1024;
/// Before each message: whether it is compressed, and its length (gRPC over HTTP2).
const PREFIX_BYTES: usize = 5;

/// Reads the message, edits it if it must be, and answers. What is no card goes to nobody: what it holds
/// may be what nobody is to see.
pub(super) async fn respond(
    admitted: &Admitted,
    schema: Schema,
    mut fields: HeaderMap,
    mut answer: impl AnswerSource,
    mut record: Box<Record>,
) -> Result<Response<AnswerBody>, Failure> {
    let workspace = &admitted.workspace;
    let (patience, named) = patience(admitted.deadline.as_ref(), READ_TIMEOUT);
    let read = timeout(patience, read(&mut answer, admitted)).await;
    let edited = read.unwrap_or(Err(Failure::Deadline(named))).and_then(|(whole, trailers)| {
        let card = match whole.is_empty() {
            // A call that failed has a status and no message.
            true => None,
            false => Some(message(&whole).ok_or(Failure::Protocol(workspace.id))?),
        };
        let edit = card.map(|card| {
            let edited =
                admitted.asked.look(workspace, &answer.origins(), |view| edit(card, schema, view));
            edited.ok_or(Failure::Protocol(workspace.id))
        });
        Ok((edit.transpose()?, whole, trailers))
    });
    let (edit, whole, trailers) = edited.inspect_err(|failure| {
        record.refused(&failure.verdict());
    })?;
    let (body, mark) = match edit {
        None | Some(Edit::Public) => (whole, None),
        Some(Edit::Strict) => (whole, Some("unedited")),
        Some(Edit::Rewritten(card)) => (framed(&card), Some("rewritten")),
    };
    fields.remove(CONTENT_LENGTH);
    if let Some(mark) = mark {
        fields.insert("x-relay-card", HeaderValue::from_static(mark));
    }
    record.complete();
    record.passed(body.len());
    Ok(answer_with(StatusCode::OK, fields, AnswerBody::with_trailers(body, trailers)))
}

/// The one message of an answer, plain.
fn message(whole: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = whole.split_at_checked(PREFIX_BYTES)?;
    let (compressed, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    (*compressed == 0 && u64::from(length) == message.len() as u64).then_some(message)
}

fn framed(card: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + card.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(card.len()).unwrap_or(u32::MAX));
    framed.put_slice(card);
    framed.freeze()
}

/// The whole answer and its trailers, unless it is too long or was cut.
async fn read(
    answer: &mut impl AnswerSource,
    admitted: &Admitted,
) -> Result<(Bytes, HeaderMap), Failure> {
    let mut whole = BytesMut::new();
    loop {
        match poll_fn(|cx| answer.poll_frame(cx)).await {
            Ok(Frame::Data(bytes)) if whole.len() + bytes.len() <= CARD_BYTES_MAX => {
                answer.consumed(bytes.len());
                whole.extend_from_slice(&bytes);
            }
            Ok(Frame::End { mut trailers, .. }) => {
                remove_forbidden_trailers(&mut trailers);
                return Ok((whole.freeze(), trailers));
            }
            Ok(Frame::Accepted) => {}
            Err(AnswerCut::LinkLost) => return Err(Failure::TunnelLost(admitted.workspace.id)),
            _ => return Err(Failure::Protocol(admitted.workspace.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_one_plain_message() {
        assert_eq!(message(&framed(b"card")), Some(&b"card"[..]));
        for wrong in [&b""[..], b"\0\0\0", b"\x01\0\0\0\x01x", b"\0\0\0\0\x02x", b"\0\0\0\0\0x"] {
            assert_eq!(message(wrong), None, "{wrong:?}");
        }
    }
}
