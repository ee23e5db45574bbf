//! Calls of the relay's own API, with a credential.

use serde_json::Value;

use crate::{RawResponse, Relay, http};

impl Relay {
    /// Calls the API: `call` is a method and a path, such as `POST /workspaces`.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn api(&self, token: &str, call: &str, body: Option<&Value>) -> RawResponse {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let url = format!("http://{}{path}", self.http());
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body = body.map(Value::to_string);
        let answer = http::exchange(method, &url, &headers, body.as_deref().map(str::as_bytes));
        answer.await.unwrap_or_else(|cut| panic!("no answer to {call}: {cut}"))
    }

    /// The same as the operator; answers the JSON of a call that goes well.
    ///
    /// # Panics
    /// Shows the answer of one that does not.
    pub async fn operate(&self, call: &str, body: Option<&Value>) -> Value {
        let answer = self.api(&self.admin_token(), call, body).await;
        assert!((200..300).contains(&answer.status), "{call}: {answer:?}");
        answer.json()
    }
}
