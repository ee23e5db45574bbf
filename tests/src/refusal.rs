//! What a refusal of the relay must look like, in one place for all stories.

use crate::{RawResponse, World, http};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A refusal as the table of failures has it.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    status: u16,
    code: &'static str,
    delivery: &'static str,
    retry_after: Option<&'static str>,
}

/// A JSON-RPC error, its id as it stood on the wire.
#[derive(Deserialize)]
struct Reply<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    error: Error,
}

#[derive(Deserialize)]
struct Error {
    code: i64,
    message: String,
    data: Vec<serde_json::Value>,
}

impl Refusal {
    /// A refusal of a request that surely was not sent.
    #[must_use]
    pub const fn new(status: u16, code: &'static str) -> Refusal {
        Refusal { status, code, delivery: "not-sent", retry_after: None }
    }

    /// A refusal of a request of which nobody can tell.
    #[must_use]
    pub const fn maybe(status: u16, code: &'static str) -> Refusal {
        Refusal { status, code, delivery: "maybe", retry_after: None }
    }

    /// The same, with a `Retry-After`.
    #[must_use]
    pub const fn retry_after(self, seconds: &'static str) -> Refusal {
        Refusal { retry_after: Some(seconds), ..self }
    }

    /// Status and marks, whatever the dialect; the answer must be complete.
    ///
    /// # Panics
    /// Shows the answer that differs.
    #[track_caller]
    pub fn assert_marks(&self, answer: &RawResponse) {
        assert!(answer.is_complete(), "{answer:?}");
        let marks = (answer.status, answer.relay_error(), answer.delivery());
        assert_eq!(marks, (self.status, Some(self.code), Some(self.delivery)), "{answer:?}");
        assert_eq!(answer.header("retry-after"), self.retry_after, "{answer:?}");
        assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{answer:?}");
        assert!(answer.header("content-type").is_some_and(|media| media.contains("json")));
    }

    /// Marks and a JSON-RPC error with this id, byte for byte; yields its sentence.
    ///
    /// # Panics
    /// Shows the answer that differs.
    #[track_caller]
    pub fn assert_json_rpc(&self, answer: &RawResponse, id: &str) -> String {
        self.assert_marks(answer);
        let sentence = self.assert_error(&answer.text(), id);
        let hint = answer.json()["error"]["data"][1]["retryDelay"].as_str().map(str::to_owned);
        assert_eq!(hint, self.retry_after.map(|seconds| format!("{seconds}s")), "{answer:?}");
        sentence
    }

    /// A JSON-RPC error with this id, as text; yields its sentence.
    ///
    /// # Panics
    /// Shows the text that differs.
    #[track_caller]
    pub fn assert_error(&self, text: &str, id: &str) -> String {
        let reply: Reply<'_> = serde_json::from_str(text)
            .unwrap_or_else(|e| panic!("no JSON-RPC error ({e}): {text}"));
        assert_eq!(
            (reply.jsonrpc, reply.id.get(), reply.error.code),
            ("2.0", id, -32603),
            "{text}"
        );
        let info = &reply.error.data[0];
        assert_eq!((&info["reason"], &info["domain"]), (&self.code.into(), &"relay".into()));
        assert_eq!(info["metadata"]["delivery"], self.delivery, "{text}");
        assert!(reply.error.message.ends_with('.'), "no sentence: {text}");
        reply.error.message
    }
}

/// A call whose id stands in its body as given.
#[must_use]
pub fn call_with_id(id: &str) -> Vec<u8> {
    format!(
        r#"{{"params":{{"id":1,"x":[]}}, "id" : {id},"jsonrpc":"2.0","method":"message/send"}}"#
    )
    .into_bytes()
}

/// Posts such a call to a URL, known to the agent's journal as `name`.
///
/// # Panics
/// When there is no answer.
pub async fn post_with_id(url: &str, name: &str, id: &str) -> RawResponse {
    let headers = [("Content-Type", "application/json"), ("x-test-id", name)];
    let answer = http::post(url, &headers, &call_with_id(id)).await;
    answer.unwrap_or_else(|cut| panic!("no answer: {cut}"))
}

impl World {
    /// # Panics
    /// When the agent has seen anything of this id.
    #[track_caller]
    pub fn assert_unseen(&self, id: &str) {
        let seen = self.agent.of(id);
        assert!(seen.is_empty(), "the agent has seen {id}: {seen:?}");
    }

    /// # Panics
    /// When the agent has seen this id not at all, or more than once.
    #[track_caller]
    pub fn assert_seen_once(&self, id: &str) {
        let seen = self.agent.of(id);
        assert_eq!(seen.len(), 1, "{id} at the agent: {seen:?}");
    }
}
