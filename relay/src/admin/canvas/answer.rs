//! What every answer of the admin listener has: its body's type and the fields that keep browsers
//! strict.

use std::error::Error;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// The body of an answer, whole or streamed.
pub type AnyBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// Nothing but our own files runs, shows or is called; nobody frames us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const STRICT: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A body that is all there.
pub fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes from elsewhere.
pub fn any_body<B>(body: B) -> AnyBody
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A page, or any other text.
pub(super) fn text(
    status: StatusCode,
    media: &'static str,
    text: impl Into<Bytes>,
) -> Response<AnyBody> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// Adds the strict fields. What does not say how it may be kept is not kept.
pub fn strict(mut response: Response<AnyBody>) -> Response<AnyBody> {
    let fields = response.headers_mut();
    for (name, value) in STRICT {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
