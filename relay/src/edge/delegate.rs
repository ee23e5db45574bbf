//! Carries the tasks that agents give each other, and reads the answers to their end.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::task::JoinSet;

use super::service::Edge;
use crate::admin::delegations::{Delegation, Waiting};
use crate::principal::Principal;

/// Tasks that are under way at a time; the others wait.
const OPEN_MAX: usize = 64;

/// Carries tasks until the future is dropped, which ends those that are under way.
pub async fn run(edge: Arc<Edge>, waiting: &mut Waiting) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(delegation) = waiting.recv(), if open.len() < OPEN_MAX => {
                let edge = Arc::clone(&edge);
                open.spawn(async move { carry(&edge, delegation).await });
            }
            Some(_) = open.join_next(), if !open.is_empty() => {}
        }
    }
}

/// Sends one task, and reads its answer: an agent whose caller leaves may stop.
async fn carry(edge: &Edge, delegation: Delegation) {
    let Delegation { id, sender, target, task } = delegation;
    let message = json!({
        "jsonrpc": "2.0", "id": id, "method": "message/send",
        "params": {"message": {
            "kind": "message", "role": "user", "messageId": id,
            "parts": [{"kind": "text", "text": task}],
        }},
    });
    let principal = Principal::Workspace(sender, None);
    let answer = edge.say(principal, target, Bytes::from(message.to_string())).await;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        whole &= frame.is_ok();
    }
    tracing::info!(delegation = %id, %sender, %target, status = status.as_u16(), whole,
        "a task was answered");
}
