//! Faults of the platform, and answers that no platform should give.

use bytes::Bytes;
use http::{Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame};
use serde_json::Value;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// A fault that the platform has until it is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Registry calls pass whatever credential they show.
    FailsOpen,
    /// A deletion is carried out and answered with 500.
    DeletesWith500,
    /// The datastore is down: 503 everywhere, with its code.
    Unavailable,
    /// The list of workspaces is refused.
    NoList,
}

/// An answer in the place of the right one.
#[derive(Clone, Debug)]
pub enum Oddity {
    /// This status with this body, as JSON or not.
    Is(u16, String),
    /// A redirect to this URL.
    Redirect(String),
    /// A web page.
    Html(u16),
    /// The right answer, but for one field at this JSON pointer.
    With(&'static str, Value),
    /// A body that never ends.
    Endless,
    /// No answer, for ever.
    Silence,
    /// The right answer, late.
    Late(Duration),
    /// The connection closes without an answer.
    Cut,
}

/// Which calls are answered oddly.
#[derive(Clone, Debug)]
pub(super) struct Odd {
    pub(super) call: String,
    pub(super) times: usize,
    /// Whether the call is carried out.
    pub(super) done: bool,
    pub(super) oddity: Oddity,
}

/// The body of an answer.
pub(super) type Answer = BoxBody<Bytes, Infallible>;

/// An answer with this status and this JSON.
pub(super) fn json(status: u16, json: &Value) -> Response<Answer> {
    whole(status, "application/json", json.to_string())
}

/// An answer with a whole body; an empty one has no type.
pub(super) fn whole(status: u16, media: &str, body: String) -> Response<Answer> {
    let mut answer = Response::new(Full::from(body.clone()).boxed());
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    if !body.is_empty() {
        answer.headers_mut().insert(CONTENT_TYPE, media.parse().expect("a media type"));
    }
    answer
}

impl Oddity {
    /// What is answered instead of `status` and `right`; `None` is no answer at all.
    pub(super) async fn answer(self, status: u16, mut right: Value) -> Option<Response<Answer>> {
        let page = "<!doctype html><html><title>404</title><p>This page could not be found.</html>";
        Some(match self {
            Oddity::Is(status, body) => whole(status, "application/json", body),
            Oddity::Html(status) => whole(status, "text/html", page.to_owned()),
            Oddity::Redirect(to) => {
                let mut answer = whole(307, "text/plain", String::new());
                answer.headers_mut().insert("location", to.parse().expect("a URL"));
                answer
            }
            Oddity::With(pointer, value) => {
                *right.pointer_mut(pointer).expect("a field of the right answer") = value;
                json(status, &right)
            }
            Oddity::Endless => Response::new(Endless.boxed()),
            Oddity::Silence => std::future::pending().await,
            Oddity::Late(after) => {
                tokio::time::sleep(after).await;
                json(status, &right)
            }
            Oddity::Cut => return None,
        })
    }
}

/// A body that never ends.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 16 * 1024])))))
    }
}
