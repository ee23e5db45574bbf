//! What operators let reach an agent, of all callers together and of the holder of one token.

#[path = "allowances/limits.rs"]
mod limits;
#[path = "allowances/methods.rs"]
mod methods;

use serde_json::Value;
use tests::{RawResponse, World, http, world::message};

/// A caller token of the world's workspace, with these further arguments.
async fn token(world: &World, name: &str, args: &[&str]) -> String {
    let id = &world.workspace.workspace_id;
    let args = [&["caller", "add", id, name, "--json"], args].concat();
    let made: Value = world.relay.cli(&args).await.json();
    made["caller_token"].as_str().expect("a token").to_owned()
}

/// Posts a call of this method as the holder of a token.
async fn call_with(world: &World, token: &str, method: &str, id: &str) -> RawResponse {
    let bearer = format!("Bearer {token}");
    let headers = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let body = message(method, id, "hello").to_string();
    http::post(&world.endpoint(), &headers, body.as_bytes()).await.expect("an answer")
}
