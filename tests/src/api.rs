//! Calls of the relay's own API, with a credential.

use serde_json::Value;

use crate::{Cut, RawResponse, Relay, http};

/// The API at an address, whether or not a relay is there just now.
#[derive(Clone, Debug)]
pub struct Api {
    origin: String,
}

impl Api {
    /// Calls it: `call` is a method and a path, such as `POST /workspaces`.
    ///
    /// # Errors
    /// Why there is no answer at all.
    ///
    /// # Panics
    /// When `call` is no such thing.
    pub async fn call(
        &self,
        token: &str,
        call: &str,
        body: Option<&Value>,
    ) -> Result<RawResponse, Cut> {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let url = format!("{}{path}", self.origin);
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body = body.map(Value::to_string);
        http::exchange(method, &url, &headers, body.as_deref().map(str::as_bytes)).await
    }
}

impl Relay {
    /// Its API where it now is.
    #[must_use]
    pub fn api_address(&self) -> Api {
        Api { origin: format!("http://{}", self.http()) }
    }

    /// Calls the API: `call` is a method and a path, such as `POST /workspaces`.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn api(&self, token: &str, call: &str, body: Option<&Value>) -> RawResponse {
        let answer = self.api_address().call(token, call, body).await;
        answer.unwrap_or_else(|cut| panic!("no answer to {call}: {cut}"))
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
