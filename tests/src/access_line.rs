//! The line of the relay's log that tells of one request.

use std::time::Duration;

use serde_json::Value;

use crate::{RawResponse, Relay, until};

/// How long a line may take to be written.
const SOON: Duration = Duration::from_secs(20);

impl Relay {
    /// The fields of the access line of the request that was answered so.
    ///
    /// # Panics
    /// When the answer has no name, or the request has a second line.
    pub async fn access_line(&self, answer: &RawResponse) -> Value {
        let request = answer.header("x-request-id").expect("a name").to_owned();
        until("the access line is written", SOON, async || {
            let mut lines = self.process().lines().into_iter().filter_map(|line| {
                let line: Value = serde_json::from_str(&line).ok()?;
                let own =
                    line["target"] == "relay::access" && line["fields"]["request"] == *request;
                own.then(|| line["fields"].clone())
            });
            let first = lines.next();
            assert!(lines.next().is_none(), "a request has one line");
            first
        })
        .await
    }
}
