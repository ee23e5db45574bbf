//! Asks a running relay over plain HTTP, one request a connection.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::exit::{Code, Failure};

/// To a relay that drops packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the request to the whole answer of an API call, each of which commits at most twice.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an answer: ten thousand workspaces with their cards.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What need not be encoded in one segment of a path (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A relay, and the credential for its API.
#[derive(Debug)]
pub struct Client {
    authority: Authority,
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

/// The host and port of an `http://` URL that names a relay.
pub fn authority_of(url: &str) -> Result<Authority, Failure> {
    let wrong = |why: &str| {
        let sentence = format!("`{url}` cannot be the relay's URL: {why}.");
        Failure::new(Code::Configuration, sentence)
    };
    let uri: Uri =
        url.trim().parse().map_err(|_| wrong("it is no URL, like http://127.0.0.1:8080"))?;
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return Err(wrong(
            "this command speaks plain HTTP only; run it on the relay's own machine, with the \
             address of its --http listener",
        ));
    }
    let authority = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP));
    let authority = authority.ok_or_else(|| wrong("it does not begin with http:// and a host"))?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path or a query"));
    }
    Ok(authority.clone())
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
        Ok(Self { authority: authority_of(url)?, authorization })
    }

    /// Calls the API; its answer as JSON, or its refusal as a failure.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let called = timeout(CALL_TIMEOUT, async {
            let stream = connect(&self.authority).await?;
            let mut request = request(&self.authority, method, path, body.map(Value::to_string))?;
            request.headers_mut().insert(AUTHORIZATION, self.authorization.clone()?);
            read(&self.authority, exchange(&self.authority, stream, request).await?).await
        });
        called.await.unwrap_or_else(|_| {
            Err(Failure::new(
                Code::Unreachable,
                format!(
                    "The relay at {} has not answered for {} s; look into its log.",
                    self.authority,
                    CALL_TIMEOUT.as_secs()
                ),
            ))
        })
    }
}

/// Sends JSON without a credential, as a caller does.
pub async fn post(authority: &Authority, path: &str, json: String) -> Result<Exchange, Failure> {
    let stream = connect(authority).await?;
    exchange(authority, stream, request(authority, Method::POST, path, Some(json))?).await
}

async fn connect(authority: &Authority) -> Result<TcpStream, Failure> {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let connecting = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
    let unreachable = |sentence| Failure::new(Code::Unreachable, sentence);
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(unreachable(format!(
                "No relay answers at http://{authority}; start one with `relay serve`, or name \
                 another with --url."
            )))
        }
        Ok(Err(error)) => Err(unreachable(format!(
            "The relay at http://{authority} cannot be reached ({error}); check --url."
        ))),
        Err(_) => Err(unreachable(format!(
            "The relay at http://{authority} cannot be reached: nothing came back for {} s; check \
             --url and the firewalls between.",
            CONNECT_TIMEOUT.as_secs()
        ))),
    }
}

fn request(
    authority: &Authority,
    method: Method,
    path: &str,
    json: Option<String>,
) -> Result<Request<Full<Bytes>>, Failure> {
    let mut request = Request::builder().method(method).uri(path).header(HOST, authority.as_str());
    if json.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(json.unwrap_or_default())).map_err(|error| {
        Failure::new(Code::Failed, format!("The request cannot be made: {error}."))
    })
}

async fn exchange(
    authority: &Authority,
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> Result<Exchange, Failure> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(authority, &error))?;
    // How it ends shows in the answer.
    let task = tokio::spawn(async move { drop(connection.await) });
    let connection = Connection(task.abort_handle());
    let response = sender.send_request(request).await.map_err(|error| broken(authority, &error))?;
    Ok(Exchange { response, connection })
}

async fn read(authority: &Authority, exchange: Exchange) -> Result<Value, Failure> {
    let Exchange { response, connection: _connection } = exchange;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| broken(authority, &*error))?
        .to_bytes();
    let json: Option<Value> = serde_json::from_slice(&body).ok();
    match json {
        Some(json) if status.is_success() => Ok(json),
        json => Err(refused(authority, status, json.as_ref())),
    }
}

fn broken(authority: &Authority, error: &(impl std::error::Error + ?Sized)) -> Failure {
    Failure::new(
        Code::Unreachable,
        format!("The relay at http://{authority} broke off: {error}. Look into its log."),
    )
}

/// The relay's own sentence, if it is a relay of ours that answered.
fn refused(authority: &Authority, status: StatusCode, json: Option<&Value>) -> Failure {
    let detail = json.and_then(|json| json.get("detail")).and_then(Value::as_str);
    let Some(detail) = detail else {
        return Failure::new(
            Code::Failed,
            format!(
                "What answers at http://{authority} is no relay (status {status}); check --url."
            ),
        );
    };
    if status == StatusCode::UNAUTHORIZED {
        return Failure::new(
            Code::Credentials,
            format!(
                "The relay at http://{authority} refused the admin token; give that of this relay \
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
    fn a_relay_is_named_by_an_http_origin() {
        assert_eq!(authority_of("http://127.0.0.1:8080/").unwrap(), "127.0.0.1:8080");
        assert!(authority_of("https://x").unwrap_err().sentences[0].contains("plain HTTP"));
        for wrong in ["", "x", "ftp://x", "http://x/path", "127.0.0.1:8080"] {
            assert_eq!(authority_of(wrong).unwrap_err().code, Code::Configuration, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_one_segment() {
        assert_eq!(segment("my agent/ä"), "my%20agent%2F%C3%A4");
        assert_eq!(segment("ws_01-x.y"), "ws_01-x.y");
    }
}
