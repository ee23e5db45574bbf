//! The agent card of the mock agent, as SDKs write it: hybrid, with local URLs.

use serde_json::{Value, json};

/// A card for both versions of the protocol in one document, all URLs on the agent's own port.
#[must_use]
pub fn hybrid_card(port: u16) -> Value {
    let endpoint = format!("http://127.0.0.1:{port}/a2a");
    json!({
        "name": "Mock agent",
        "description": "Answers as the test tells it",
        "version": "1.0.0",
        "protocolVersion": "0.3.0",
        "url": endpoint,
        "preferredTransport": "JSONRPC",
        "additionalInterfaces": [{"url": endpoint, "transport": "JSONRPC"}],
        "supportedInterfaces": [
            {"url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}
        ],
        "iconUrl": format!("http://localhost:{port}/icon.png"),
        "documentationUrl": "https://docs.example.com/mock-agent",
        "capabilities": {"streaming": true, "pushNotifications": false},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "echo", "name": "Echo", "description": "Says it again", "tags": ["test"]}],
        "x-unknown-field": {"kept": true, "big": 9_007_199_254_740_993_u64}
    })
}

/// Every string in a document, to search for what must not be in it.
#[must_use]
pub fn texts(document: &Value) -> Vec<String> {
    match document {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}
