//! Posts once to the webhook of an agent's caller, for an agent that cannot dial it.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use super::dial::Unreached;
use super::upload::Upload;
use super::{Direct, PSEUDONYM};
use crate::direct_url::{DirectUrl, Rule, Rules};

/// For all of it: a webhook takes a note of what it is told, and does its work later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no status.
#[derive(Debug, PartialEq, Eq)]
pub enum Unposted {
    /// An address of its host breaks a rule: nothing was sent.
    Broken(Rule),
    /// No connection came about: nothing was sent.
    Unreached(String),
    /// It may have got the message, and closed the connection before it answered.
    Unanswered,
    /// It may have got the message, and gave no answer in time.
    Silent,
}

impl Direct {
    /// Posts once, on a connection of its own; answers with the status. What else comes is not read, and
    /// no redirect is followed. Cancel safe: dropping the future closes the connection.
    pub async fn push(
        &self,
        (url, rules): (DirectUrl, Rules),
        path: PathAndQuery,
        mut fields: HeaderMap,
        body: Bytes,
    ) -> Result<StatusCode, Unposted> {
        let over = Instant::now() + TIMEOUT;
        let opened = self.dialler.open(&url, &rules).await;
        let mut connection = opened.map_err(|why| match why {
            Unreached::Broken(rule) => Unposted::Broken(rule),
            Unreached::Failed(why) => Unposted::Unreached(why),
        })?;
        fields.insert(HOST, url.authority);
        fields.insert(USER_AGENT, HeaderValue::from_static(PSEUDONYM));
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let mut request = Request::new(Upload::whole(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = fields;
        match timeout_at(over, connection.send(request)).await {
            Ok(Ok(answer)) if answer.status() != StatusCode::SWITCHING_PROTOCOLS => {
                Ok(answer.status())
            }
            Ok(_) => Err(Unposted::Unanswered),
            Err(_) => Err(Unposted::Silent),
        }
    }
}
