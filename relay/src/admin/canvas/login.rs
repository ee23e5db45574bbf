//! Logging in and out: the admin token for a session.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::answer::{AnyBody, text};
use super::{Canvas, assets, is_media};
use crate::admin::problem::Problem;

/// Where the login page has its sentence.
const SENTENCE: &str = "{{sentence}}";
/// A wrong token is answered after this: who tries many gets few answers.
const WRONG_PAUSE: Duration = Duration::from_millis(400);
/// The sentence for a wrong token.
const WRONG: &str = "That is not this relay's admin token.";

/// The login page, with a sentence on what went wrong.
pub(super) fn page(status: StatusCode, sentence: &'static str) -> Response<AnyBody> {
    let page = assets::LOGIN.replace(SENTENCE, sentence);
    text(status, "text/html; charset=utf-8", page)
}

impl Canvas {
    /// Begins a session for whoever gives the admin token.
    pub(super) async fn login(
        &self,
        fields: &HeaderMap,
        form: &Bytes,
        source: IpAddr,
    ) -> Result<Response<AnyBody>, Problem> {
        if !is_media(fields, "application/x-www-form-urlencoded") {
            return Err(Problem::UnsupportedMediaType);
        }
        if !token_of(form).is_some_and(|token| self.api.doorman.token.matches(token.trim())) {
            let allowed = self.guesses.allow(source, Instant::now());
            tracing::warn!(%source, "a wrong admin token was given to the canvas");
            tokio::time::sleep(WRONG_PAUSE).await;
            if allowed {
                return Ok(page(StatusCode::UNAUTHORIZED, WRONG));
            }
            let sentence = "Too many wrong tokens came from this address; wait a moment.";
            let mut response = page(StatusCode::TOO_MANY_REQUESTS, sentence);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(1));
            return Ok(response);
        }
        let begun = self.sessions.begin(Instant::now());
        let cookie = begun.map_err(|error| Problem::StoreUnavailable(format!("{error}.")))?;
        tracing::info!(%source, "the operator logged in to the canvas");
        Ok(home(&cookie))
    }

    /// Ends the session.
    pub(super) fn logout(&self, fields: &HeaderMap) -> Response<AnyBody> {
        home(&self.sessions.end(fields))
    }
}

/// Leads to the page, with another cookie.
fn home(cookie: &str) -> Response<AnyBody> {
    let mut response = text(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    let fields = response.headers_mut();
    fields.insert(LOCATION, HeaderValue::from_static("/"));
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        fields.insert(SET_COOKIE, cookie);
    }
    response
}

/// The field `token` of a form (WHATWG URL, 5.1).
fn token_of(form: &[u8]) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let value = form.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|token| token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_its_token() {
        for (form, token) in [
            ("token=radm_x", Some("radm_x")),
            ("a=1&token=a%2Bb+c", Some("a+b c")),
            ("token=", Some("")),
            ("token=%ff", None),
            ("", None),
        ] {
            assert_eq!(token_of(form.as_bytes()).as_deref(), token, "{form}");
        }
    }
}
