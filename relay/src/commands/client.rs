//! Asks a running relay over HTTP, one request a connection.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::dial::Stream;
use super::exit::{Code, Failure};

mod dial;

pub use dial::Origin;

/// From the request to the whole answer of an API call, each of which commits at most twice.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer: ten thousand workspaces with their cards.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What need not be encoded in one segment of a path (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A relay, and the credential for its API.
#[derive(Debug)]
pub struct Client {
    origin: Origin,
    /// The header, or why there is none: told only if a relay answers at all.
    authorization: Result<HeaderValue, Failure>,
}

/// An answer whose body is still to be read. Dropping it ends the connection.
#[derive(Debug)]
pub struct Exchange {
    /// Its head, and its body as it comes.
    pub response: Response<Incoming>,
    connection: Connection,
}

#[derive(Debug)]
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `name` as one segment of a path.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

impl Client {
    /// A client of the relay at `url`. That there is no token is told when it is needed.
    pub fn new(url: &str, token: Result<String, Failure>) -> Result<Self, Failure> {
        let authorization = token.and_then(|token| {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value.map_err(|_| {
                Failure::new(Code::Configuration, "The admin token cannot stand in a header.")
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { origin: Origin::of(url)?, authorization })
    }

    /// Calls the API; its answer as JSON, or its refusal as a failure.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let called = timeout(CALL_TIMEOUT, async {
            let stream = self.origin.connect().await?;
            let mut request = request(&self.origin, method, path, body.map(Value::to_string))?;
            request.headers_mut().insert(AUTHORIZATION, self.authorization.clone()?);
            read(&self.origin, exchange(&self.origin, stream, request).await?).await
        });
        called.await.unwrap_or_else(|_| {
            Err(Failure::new(
                Code::Unreachable,
                format!(
                    "The relay at {} has not answered for {} s; look into its log.",
                    self.origin,
                    CALL_TIMEOUT.as_secs()
                ),
            ))
        })
    }
}

/// Sends JSON without a credential, as a caller does.
pub async fn post(origin: &Origin, path: &str, json: String) -> Result<Exchange, Failure> {
    let stream = origin.connect().await?;
    exchange(origin, stream, request(origin, Method::POST, path, Some(json))?).await
}

fn request(
    origin: &Origin,
    method: Method,
    path: &str,
    json: Option<String>,
) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request =
        Request::builder().method(method).uri(path).header(HOST, origin.authority().as_str());
    if json.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(json.unwrap_or_default())).map_err(|error| {
        Failure::new(Code::Failed, format!("The request cannot be made: {error}."))
    })
}

async fn exchange(
    origin: &Origin,
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> Result<Exchange, Failure> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(origin, &error))?;
    // How it ends shows in the answer.
    let task = tokio::spawn(async move { drop(connection.await) });
    let connection = Connection(task.abort_handle());
    let response = sender.send_request(request).await.map_err(|error| broken(origin, &error))?;
    Ok(Exchange { response, connection })
}

async fn read(origin: &Origin, exchange: Exchange) -> Result<Value, Failure> {
    let Exchange { response, connection: _connection } = exchange;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| broken(origin, &*error))?
        .to_bytes();
    let json: Option<Value> = serde_json::from_slice(&body).ok();
    match json {
        Some(json) if status.is_success() => Ok(json),
        json => Err(refused(origin, status, json.as_ref())),
    }
}

fn broken(origin: &Origin, error: &(impl std::error::Error + ?Sized)) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("The relay at {origin} broke off: {error}. Look into its log."),
    )
}

/// The relay's own sentence, if it is a relay of ours that answered.
fn refused(origin: &Origin, status: StatusCode, json: Option<&Value>) -> Failure {
    let detail = json.and_then(|json| json.get("detail")).and_then(Value::as_str);
    let Some(detail) = detail else {
        return Failure::new(
            Code::Failed,
            format!("What answers at {origin} is no relay (status {status}); check --url."),
        );
    };
    if status == StatusCode::UNAUTHORIZED {
        return Failure::new(
            Code::Credentials,
            format!(
                "The relay at {origin} refused the admin token; give that of this relay \
                 with --admin-token-file, RELAY_ADMIN_TOKEN or --data-dir."
            ),
        );
    }
    let mut sentence = super::output::plain(detail);
    let ids = json.and_then(|json| json.get("ids")).and_then(Value::as_array);
    for id in ids.into_iter().flatten().filter_map(Value::as_str) {
        sentence.push_str(&format!("\n  {}", super::output::plain(id)));
    }
    Failure::new(Code::Failed, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment() {
        assert_eq!(segment("my agent/ä"), "my%20agent%2F%C3%A4");
        assert_eq!(segment("ws_01-x.y"), "ws_01-x.y");
    }
}
