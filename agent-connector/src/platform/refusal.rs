//! Every way in which the platform on loopback itself says no, with the codes of the relay's own API.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;
use shared::codes::Delivery;
use shared::limits::OUTBOUND_MAX;

use super::answer::AnswerBody;
use crate::tunnel::call::AnswerCut;
use crate::tunnel::error::LinkError;
use crate::tunnel::uplink::NoCall;

/// Why a call gets no answer of the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    message: String,
    /// Whether the relay got the call.
    delivery: Delivery,
    retry_after_s: Option<u32>,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let (delivery, retry_after_s) = (Delivery::NotSent, None);
        Self { status, code, message: message.into(), delivery, retry_after_s }
    }

    fn after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(403, "RELAY_FORBIDDEN", message)
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(400, "RELAY_BAD_REQUEST", message)
    }

    pub(super) fn http_version() -> Self {
        let message = "HTTP/1.0 cannot show that an answer was cut. Use HTTP/1.1.";
        Self::new(505, "RELAY_HTTP_VERSION", message)
    }

    pub(super) fn uri_too_long() -> Self {
        Self::new(414, "RELAY_URI_TOO_LONG", "Path and query are over 8 KiB.")
    }

    pub(super) fn headers_too_large() -> Self {
        Self::new(431, "RELAY_HEADERS_TOO_LARGE", "The header is over 32 KiB or 100 fields.")
    }

    pub(super) fn body_too_large() -> Self {
        Self::new(413, "RELAY_BODY_TOO_LARGE", "The body is over 32 MiB.")
    }

    pub(super) fn stalled_body() -> Self {
        Self::new(400, "RELAY_BAD_REQUEST", "The body stopped for 120 s before its end.")
    }

    /// There is no link now.
    pub(super) fn no_link() -> Self {
        let message =
            "The connector has no link to the relay now. It dials; try again in a moment.";
        Self::new(503, "RELAY_AGENT_OFFLINE", message).after(1)
    }

    /// There is no credential to dial with, and this call brings none.
    pub(super) fn not_registered() -> Self {
        let message = "The connector waits for its agent's registration: POST /registry/register here, \
                       with the relay's admin token.";
        Self::new(503, "RELAY_AGENT_OFFLINE", message).after(5)
    }

    /// The relay cannot be reached for a registration.
    pub(super) fn no_bootstrap(error: &LinkError) -> Self {
        let message = format!("The registration cannot cross now. {error}");
        Self::new(503, "RELAY_AGENT_OFFLINE", message).after(5)
    }

    /// As many calls are open as may be.
    pub(super) fn busy() -> Self {
        let message =
            format!("The agent has {OUTBOUND_MAX} calls open, which is all that a link takes.");
        Self::new(503, "RELAY_AGENT_BUSY", message).after(1)
    }

    /// The relay was silent for too long.
    pub(super) fn silent() -> Self {
        let message = "The relay did not begin its answer within 30 minutes.";
        let delivery = Delivery::Maybe;
        Self { delivery, ..Self::new(504, "RELAY_UPSTREAM_TIMEOUT", message) }
    }

    pub(super) fn response(&self) -> Response<AnswerBody> {
        let body = json!({
            "error": self.message,
            "code": self.code,
            "delivery": self.delivery.name(),
        });
        let mut response = Response::new(AnswerBody::whole(Bytes::from(body.to_string())));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert("x-relay-error", HeaderValue::from_static(self.code));
        fields.insert("x-relay-delivery", HeaderValue::from_static(self.delivery.name()));
        if let Some(seconds) = self.retry_after_s {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<NoCall> for Refusal {
    fn from(no: NoCall) -> Self {
        match no {
            NoCall::Lost => Self::no_link(),
        }
    }
}

impl From<AnswerCut> for Refusal {
    fn from(cut: AnswerCut) -> Self {
        let (delivery, message) = (Delivery::Maybe, format!("The call was cut: {cut}."));
        match cut {
            AnswerCut::LinkLost => {
                let message = "The link to the relay was lost during the call. The relay may have done \
                               what it was asked.";
                Self { delivery, ..Self::new(502, "RELAY_TUNNEL_LOST", message) }
            }
            AnswerCut::Refused => Self::busy(),
            AnswerCut::Aborted(abort) => {
                let delivery = abort.delivery;
                Self { delivery, ..Self::new(502, "RELAY_UPSTREAM_PROTOCOL", abort.message) }
            }
            AnswerCut::Reset(_) | AnswerCut::Protocol(_) => {
                Self { delivery, ..Self::new(502, "RELAY_UPSTREAM_PROTOCOL", message) }
            }
        }
    }
}
