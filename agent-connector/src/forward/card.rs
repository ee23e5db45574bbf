//! Reads the agent's public card from the agent itself.

use std::io;
use std::pin::pin;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::timeout;

use super::connection::{Connection, beside};
use super::pool::Local;
use super::request_body::RequestBody;
use super::{Agent, exposure};

/// No card is read further, bytes: more does not fit into one control message.
const CARD_BYTES_MAX: usize = 256 * 1024;
/// Patience for one card.
const CARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the agent could not be asked for its card.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// No connection came about.
    #[error("the local agent cannot be reached ({0})")]
    Unreachable(#[from] io::Error),
    /// The agent took the question and gave no answer.
    #[error("the local agent gave no usable answer to the question for its card")]
    NoAnswer,
    /// What the agent said is no HTTP/1: servers of gRPC alone speak nothing but HTTP/2.
    #[error("the local agent does not speak HTTP/1.1")]
    NotHttp1,
}

/// Asks for the card at each place where it may stand; `None` when it stands nowhere.
pub async fn find(agent: &Agent) -> Result<Option<(String, Value)>, CardError> {
    let endpoint = agent.description().crosses.exposure.endpoint.clone();
    let mut answered = false;
    for path in exposure::card_paths(&endpoint) {
        match timeout(CARD_TIMEOUT, fetch(agent, &path)).await {
            Ok(Ok(Some(card))) => return Ok(Some((path, card))),
            Ok(Ok(None)) => answered = true,
            Ok(Err(why @ (CardError::Unreachable(_) | CardError::NotHttp1))) => return Err(why),
            Ok(Err(CardError::NoAnswer)) | Err(_) => {}
        }
    }
    if answered { Ok(None) } else { Err(CardError::NoAnswer) }
}

/// The card at `path`: a JSON object under status 200, or it is none.
async fn fetch(agent: &Agent, path: &str) -> Result<Option<Value>, CardError> {
    let Ok(uri) = path.parse::<Uri>() else { return Ok(None) };
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, agent.authority());
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));

    let mut local = Local::open(agent.origin()).await?;
    let response = pin!(local.request(request));
    let response = beside(&mut local, response).await.map_err(|failed| {
        if failed.error().is_parse() { CardError::NotHttp1 } else { CardError::NoAnswer }
    })?;
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    let mut body = response.into_body();
    let mut card = Vec::new();
    while let Some(frame) = beside(&mut local, body.frame()).await {
        let frame = frame.map_err(|_| CardError::NoAnswer)?;
        card.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
        if card.len() > CARD_BYTES_MAX {
            tracing::debug!(path, "the agent's card is over 256 KiB and was ignored");
            return Ok(None);
        }
    }
    Ok(serde_json::from_slice(&card).ok().filter(Value::is_object))
}
