//! gRPC as the edge speaks it: which requests are calls, how long they may take, how they are refused.

use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64_NOPAD;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, Version};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::deadline::Deadline;
use super::failure::{Failure, Verdict};
use super::last_event::{CREDENTIAL_ENDED, DEADLINE};
use crate::protobuf::{put, put_number};

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The media type of every call and answer.
const MEDIA_TYPE: &str = "application/grpc";
/// What `grpc-message` cannot hold as it is: all but printable ASCII, and the percent sign.
const NOT_IN_MESSAGES: &AsciiSet = &CONTROLS.add(b'%');
/// A caller that allows longer sets no limit.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Digits of a timeout (gRPC over HTTP2, `TimeoutValue`).
const TIMEOUT_DIGITS_MAX: usize = 8;

/// Whether a request is a call by its media type: `application/grpc`, perhaps with the name of a coding.
pub(super) fn is_call(fields: &HeaderMap) -> bool {
    let media = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    media.split_at_checked(MEDIA_TYPE.len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Calls need HTTP/2, which has trailers whatever a caller asks for.
pub(super) fn judge_version(version: Version) -> Result<(), Failure> {
    if version == Version::HTTP_2 { Ok(()) } else { Err(Failure::GrpcVersion) }
}

/// Whether the head of an answer is all of it: a status and nothing behind it.
pub(super) fn is_trailers_only(fields: &HeaderMap) -> bool {
    fields.contains_key(&GRPC_STATUS)
}

/// When the caller gives the call up, as `grpc-timeout` says.
pub(super) fn deadline(
    fields: &HeaderMap,
    now: impl FnOnce() -> Instant,
) -> Result<Option<Deadline>, Failure> {
    let Some(text) = fields.get(&GRPC_TIMEOUT) else { return Ok(None) };
    let total = text.to_str().ok().and_then(timeout).ok_or(Failure::BadRequest(
        "`grpc-timeout` is a number of at most eight digits and a unit: H, M, S, m, u or n.",
    ))?;
    let limits = total <= TIMEOUT_MAX;
    Ok(limits.then(|| Deadline { total, at: now() + total }))
}

fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    if !plain || digits.len() > TIMEOUT_DIGITS_MAX {
        return None;
    }
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The status that stands for a refusal. What names no agent is UNAVAILABLE: callers read NOT_FOUND as
/// a task that is not there (A2A 5.4).
pub(super) fn status(verdict: &Verdict) -> u8 {
    match (verdict.status.as_u16(), verdict.code) {
        (_, "RELAY_UNKNOWN_WORKSPACE" | "RELAY_WORKSPACE_GONE") => 14,
        (_, "RELAY_PATH_DENIED" | "RELAY_NOT_FOUND") => 12,
        (401, _) => 16,
        (403, _) => 7,
        (405 | 501 | 505, _) => 12,
        (413 | 414 | 429 | 431, _) => 8,
        (409, _) => 10,
        (503, _) => 14,
        (504, _) => 4,
        (400 | 415, _) => 3,
        _ => 13,
    }
}

/// A refusal that is all trailers, with the details that the other bindings have.
pub(super) fn refusal(verdict: &Verdict, request: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    end(fields, status(verdict), &verdict.message);
    let details = BASE64_NOPAD.encode(&details(verdict, request));
    if let Ok(details) = HeaderValue::try_from(details) {
        fields.insert("grpc-status-details-bin", details);
    }
    response
}

/// The trailers of an answer that broke off, by the code of what broke it. UNAVAILABLE is none of them:
/// it would invite callers to send again what the agent has.
pub(super) fn broken(code: &'static str) -> HeaderMap {
    let (status, message) = match code {
        DEADLINE => (4, "The time that the caller gave this call is over."),
        CREDENTIAL_ENDED => (16, "The credential of this call ended; the task may go on."),
        _ => (13, "The answer broke off; the task may go on, so subscribe to it or get it."),
    };
    let mut trailers = HeaderMap::new();
    end(&mut trailers, status, message);
    trailers.insert("x-relay-error", HeaderValue::from_static(code));
    trailers.insert("x-relay-delivery", HeaderValue::from_static("delivered"));
    trailers
}

fn end(fields: &mut HeaderMap, status: u8, message: &str) {
    fields.insert(&GRPC_STATUS, HeaderValue::from(u16::from(status)));
    let message = utf8_percent_encode(message, NOT_IN_MESSAGES).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        fields.insert("grpc-message", message);
    }
}

/// A `google.rpc.Status` with one `google.rpc.ErrorInfo`.
fn details(verdict: &Verdict, request: &str) -> Vec<u8> {
    let workspace = verdict.workspace.map(|id| id.to_string());
    let mut info = Vec::new();
    put(&mut info, 1, verdict.code.as_bytes());
    put(&mut info, 2, b"relay");
    for (key, value) in [
        ("requestId", Some(request)),
        ("delivery", Some(verdict.delivery.name())),
        ("workspaceId", workspace.as_deref()),
    ] {
        let Some(value) = value else { continue };
        let mut entry = Vec::new();
        put(&mut entry, 1, key.as_bytes());
        put(&mut entry, 2, value.as_bytes());
        put(&mut info, 3, &entry);
    }
    let mut any = Vec::new();
    put(&mut any, 1, b"type.googleapis.com/google.rpc.ErrorInfo");
    put(&mut any, 2, &info);
    let mut whole = Vec::new();
    put_number(&mut whole, 1, u64::from(status(verdict)));
    put(&mut whole, 2, verdict.message.as_bytes());
    put(&mut whole, 3, &any);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::fields;

    #[test]
    fn a_call_is_told_by_its_media_type() {
        for (media, is) in [
            ("application/grpc", true),
            ("Application/gRPC+proto", true),
            ("application/grpc; x=y", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
            ("", false),
        ] {
            let media = HeaderValue::from_static(media);
            assert_eq!(is_call(&HeaderMap::from_iter([(CONTENT_TYPE, media)])), is);
        }
    }

    #[test]
    fn a_timeout_has_a_unit() {
        let now = Instant::now();
        let of = |text: &'static str| {
            let fields =
                HeaderMap::from_iter([(GRPC_TIMEOUT.clone(), HeaderValue::from_static(text))]);
            deadline(&fields, || now).map(|deadline| deadline.map(|found| found.total.as_nanos()))
        };
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2S", 2_000_000_000),
            ("5m", 5_000_000),
            ("7u", 7_000),
            ("0n", 0),
        ] {
            assert_eq!(of(text), Ok(Some(nanos)), "{text}");
        }
        assert_eq!(of("99999999H"), Ok(None), "longer than a day is no limit");
        for text in ["", "S", "5", "1s", "+1S", "123456789S", "1.5S", "é"] {
            if text.is_ascii() {
                assert!(of(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_refusal_is_all_trailers_and_says_the_same_twice() {
        let verdict = Failure::BodyTooLarge(100).verdict();
        let response = refusal(&verdict, "r-1");
        assert_eq!((response.status().as_u16(), response.body().len()), (200, 0));
        let headers = response.headers();
        assert_eq!(headers["grpc-status"], "8");
        assert_eq!(headers["content-type"], MEDIA_TYPE);
        let details = headers["grpc-status-details-bin"].as_bytes();
        let details = BASE64_NOPAD.decode(details).unwrap();
        let status = fields(&details).unwrap();
        assert_eq!(status[1].text(), Some(verdict.message.as_str()));
        let any = fields(status[2].content.unwrap()).unwrap();
        assert_eq!(any[0].text(), Some("type.googleapis.com/google.rpc.ErrorInfo"));
        let info = fields(any[1].content.unwrap()).unwrap();
        assert_eq!((info[0].text(), info[1].text()), (Some("RELAY_BODY_TOO_LARGE"), Some("relay")));
        let mut headers = HeaderMap::new();
        end(&mut headers, 2, "50 % of é\n");
        assert_eq!(headers["grpc-message"], "50 %25 of %C3%A9%0A");
    }

    #[test]
    fn each_refusal_has_its_status() {
        for (failure, number) in [
            (Failure::UnknownWorkspace, 14),
            (Failure::NotFound(""), 12),
            (Failure::PathDenied, 12),
            (Failure::Unauthenticated, 16),
            (Failure::Forbidden, 7),
            (Failure::BadRequest(""), 3),
            (Failure::RateLimited, 8),
            (Failure::HeadersTooLarge, 8),
            (Failure::MethodNotAllowed("POST"), 12),
            (Failure::Overloaded, 14),
            (Failure::Deadline(Duration::ZERO), 4),
            (Failure::TunnelLost("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()), 13),
        ] {
            assert_eq!(status(&failure.verdict()), number, "{failure:?}");
        }
    }
}
