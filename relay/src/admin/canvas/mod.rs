//! The canvas: the operator's page, its sessions, and the calls that it makes.

use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};

use self::answer::{AnyBody, text};
use self::chat::Messenger;
use self::origin::From;
use self::session::Sessions;
use super::Api;
use super::feed::Feed;
use super::problem::Problem;
use crate::guesses::Guesses;

pub mod answer;
mod assets;
pub mod chat;
mod login;
mod operator;
mod origin;
mod session;

#[cfg(test)]
mod tests;

/// The body of a call, bytes: a card of 256 KiB or a message with a picture fits.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// And of a login form.
const FORM_BYTES_MAX: usize = 4096;
/// From the head of a request to the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the pages are served from.
#[derive(Debug)]
pub struct Canvas {
    api: Arc<Api>,
    feed: Arc<Feed>,
    messenger: Messenger,
    sessions: Sessions,
    guesses: Guesses,
}

impl Canvas {
    /// The canvas of what `api` shows, kept up to date by `feed`; `messenger` reaches the agents.
    pub fn new(api: Arc<Api>, feed: Arc<Feed>, messenger: Messenger) -> Self {
        Self { api, feed, messenger, sessions: Sessions::default(), guesses: Guesses::default() }
    }

    /// What is served.
    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    /// Answers a request of `source` for a page, a file of it, or a call. The `Host` was judged.
    pub(super) async fn answer<B>(
        self: &Arc<Self>,
        request: Request<B>,
        source: IpAddr,
    ) -> Result<Response<AnyBody>, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (parts, body) = request.into_parts();
        let (path, fields) = (parts.uri.path(), &parts.headers);
        if let Some(path) = path.strip_prefix("/api").filter(|rest| rest.starts_with('/')) {
            let operator = self.operator(&parts.method, fields, source)?;
            let body = read(body, BODY_BYTES_MAX).await?;
            return self.call(operator, &parts, path, body, source).await;
        }
        let reads = parts.method == Method::GET || parts.method == Method::HEAD;
        match path {
            "/login" | "/logout" if parts.method != Method::POST => {
                Err(Problem::MethodNotAllowed("POST"))
            }
            "/login" => self.login(fields, &read(body, FORM_BYTES_MAX).await?, source).await,
            "/logout" if origin::of(fields) == From::OwnPage => Ok(self.logout(fields)),
            "/logout" => Err(Problem::Forbidden("Log out on the relay's own page.".into())),
            _ if !reads => Err(Problem::MethodNotAllowed("GET, HEAD")),
            "/" => Ok(self.page(fields)),
            _ => {
                let name = path.strip_prefix("/assets/").ok_or(Problem::NotFound)?;
                assets::asset(name, fields).ok_or(Problem::NotFound)
            }
        }
    }

    fn page(&self, fields: &HeaderMap) -> Response<AnyBody> {
        match self.sessions.find(fields, Instant::now()) {
            Some(_) => text(StatusCode::OK, "text/html; charset=utf-8", assets::SHELL),
            None => login::page(StatusCode::OK, ""),
        }
    }
}

/// Whether a web page of another site asks, which gets nothing here, not even health.
pub(super) fn is_foreign(fields: &HeaderMap) -> bool {
    origin::of(fields) == From::Elsewhere
}

/// The whole body, if it is not too large.
async fn read<B>(body: B, max: usize) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let whole = Limited::new(body, max).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::TooLarge(max))
        }
        Ok(Err(_)) | Err(_) => {
            Err(Problem::BadRequest("The body did not come whole; send it again.".into()))
        }
    }
}

fn is_media(fields: &HeaderMap, expected: &str) -> bool {
    let media = fields.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}
