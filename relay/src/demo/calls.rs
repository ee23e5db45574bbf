//! The two exchanges of the demonstration, and how they are told.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::story::failed;
use crate::commands::client::{self, Exchange, Origin};
use crate::commands::exit::Failure;
use crate::commands::output;

/// One exchange with an agent that answers at once.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15);
/// By it an answer is known for the answer to this call.
const CALL_ID: &str = "demo-1";
/// The events of the sample agent.
const EVENTS: usize = 5;

/// Tells each step with the time since the last one.
#[derive(Debug)]
pub(super) struct Script {
    last: std::cell::Cell<Instant>,
}

impl Script {
    /// The time runs from now.
    pub(super) fn begin() -> Self {
        output::line("A relay, a connector and a sample A2A agent, all in this process:\n");
        Self { last: Instant::now().into() }
    }

    /// Tells what `who` did, and how long it took.
    pub(super) fn step(&self, who: &str, what: &str) {
        let took = self.last.replace(Instant::now()).elapsed();
        output::line(&format!("{:>8.1} ms  {who:<18}  {what}", took.as_secs_f64() * 1000.0));
    }
}

/// Sends `message/send` and shows its answer.
pub(super) async fn send(script: &Script, origin: &Origin, path: &str) -> Result<(), Failure> {
    let text = "Hello from the public side";
    script.step("caller → relay", &format!("message/send: {text}"));
    let answer = within(async {
        let Exchange { response, .. } = &mut post(origin, path, "message/send", text).await?;
        let status = response.status();
        let body = response.body_mut().collect().await.map_err(|error| cut(&error))?.to_bytes();
        serde_json::from_slice::<Value>(&body)
            .map_err(|_| failed(&format!("The answer (status {status}) is no JSON.")))
    })
    .await?;
    let said = answer.pointer("/result/parts/0/text").and_then(Value::as_str).unwrap_or_default();
    if answer.get("id") != Some(&json!(CALL_ID)) || !said.ends_with(text) {
        return Err(failed(&format!("The answer is not the agent's: {answer}")));
    }
    script
        .step("agent → caller", &format!("{}  (through connector and relay)", output::plain(said)));
    Ok(())
}

/// Sends `message/stream` and shows each event as it comes.
pub(super) async fn stream(script: &Script, origin: &Origin, path: &str) -> Result<(), Failure> {
    script.step("caller → relay", "message/stream");
    let last = within(async {
        let mut exchange = post(origin, path, "message/stream", "Take your time").await?;
        let mut text = String::new();
        let (mut last, mut count) = (Value::Null, 0);
        while let Some(frame) = exchange.response.body_mut().frame().await {
            let frame = frame.map_err(|error| cut(&error))?;
            text.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)));
            while let Some((event, rest)) = text.split_once("\n\n") {
                if let Some(data) = event.strip_prefix("data: ") {
                    last = serde_json::from_str(data)
                        .map_err(|_| failed(&format!("An event is no JSON: {data}")))?;
                    count += 1;
                    script.step("agent → caller", &format!("event {count}: {}", told(&last)));
                }
                text = rest.to_owned();
            }
        }
        if count == EVENTS {
            Ok(last)
        } else {
            Err(failed(&format!("{count} of {EVENTS} events came.")))
        }
    })
    .await?;
    match last.pointer("/result/final") {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err(failed("The last event is not the final one.")),
    }
}

/// A line that sends a message from another terminal.
pub(super) fn curl(public_url: &str) -> String {
    format!(
        "  curl -s {public_url}a2a -H 'Content-Type: application/json' -d '{}'",
        call("curl-1", "message/send", "Hello")
    )
}

fn call(id: &str, method: &str, text: &str) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": id,
        "method": method,
        "params": {"message": {
            "kind": "message",
            "role": "user",
            "messageId": id,
            "parts": [{"kind": "text", "text": text}],
        }},
    })
}

async fn post(origin: &Origin, path: &str, method: &str, text: &str) -> Result<Exchange, Failure> {
    client::post(origin, path, call(CALL_ID, method, text).to_string()).await
}

async fn within<T>(exchange: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or_else(|_| {
        Err(failed(&format!("No whole answer came within {} s.", EXCHANGE_TIMEOUT.as_secs())))
    })
}

/// What an event says, for people.
fn told(event: &Value) -> String {
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
    let (state, said) = (text("/result/status/state"), text("/result/status/message/parts/0/text"));
    output::plain(&format!("{state}: {said}"))
}

fn cut(error: &hyper::Error) -> Failure {
    failed(&format!("The answer was cut: {error}."))
}
