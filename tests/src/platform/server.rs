//! The platform's HTTP server: counts, judges, answers, and breaks where a test wants it.

use super::{
    calls,
    journal::{Call, matches},
    oddity::{Answer, json, whole},
    rules::{Count, Head},
    state::State,
};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::{net::TcpStream, task::JoinSet};

/// The most of a request body that is read.
const BODY_MAX: usize = 1024 * 1024;

/// Serves for ever; dropping the future drops all connections.
pub(super) async fn serve(listener: std::net::TcpListener, state: Arc<Mutex<State>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, state.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let state = state.clone();
        async move { answer(request, &state).await.ok_or("the connection is cut on purpose") }
    });
    // A caller that leaves, or a cut on purpose, ends here with an error.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// `None` cuts the connection.
async fn answer(request: Request<Incoming>, state: &Arc<Mutex<State>>) -> Option<Response<Answer>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    let body: Value =
        serde_json::from_slice(body.get(..BODY_MAX).unwrap_or(&body)).unwrap_or_default();
    let head = Head {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        token: field(&parts.headers, "authorization")
            .and_then(|value| Some(value.strip_prefix("Bearer ")?.to_owned())),
        origin: field(&parts.headers, "origin"),
        org: field(&parts.headers, "x-molecule-org-id"),
        caller: field(&parts.headers, "x-workspace-id"),
    };
    let called = called(&head).map(|workspace| (workspace, body.clone()));
    let drained = drained(&head, &body);
    let (status, right, count, oddity) = decide(&mut lock(state), &head, body);
    if let Some(workspace) = drained.filter(|_| status == 200) {
        // The queued call may come before this answer.
        tokio::spawn(calls::drain(state.clone(), workspace));
    }
    let (status, right) = match called.filter(|_| status == 200) {
        Some((workspace, body)) => {
            let reached = calls::call(state, &workspace, &body).await;
            (reached.status, reached.json())
        }
        None => (status, right),
    };
    let mut answer = match oddity {
        Some(oddity) => oddity.answer(status, right).await?,
        // Without the organisation's id nothing is said at all.
        None if right.is_null() => whole(status, "text/plain", String::new()),
        None => json(status, &right),
    };
    let fields = answer.headers_mut();
    fields.insert("x-ratelimit-limit", count.limit.into());
    fields.insert("x-ratelimit-remaining", count.remaining.into());
    fields.insert("x-ratelimit-reset", count.reset.into());
    if count.over {
        fields.insert("retry-after", count.reset.into());
    }
    Some(answer)
}

fn decide(
    state: &mut State,
    head: &Head,
    body: Value,
) -> (u16, Value, Count, Option<super::Oddity>) {
    let count = state.count();
    let credential = state.credential(head.token.as_deref());
    let odd = state
        .oddities
        .iter_mut()
        .find(|odd| odd.times > 0 && matches(&odd.call, &head.method, &head.path));
    let odd = odd.map(|odd| {
        odd.times -= 1;
        odd.clone()
    });
    let (status, right) = if count.over {
        let limited =
            serde_json::json!({"error": "rate limit exceeded", "retry_after": count.reset});
        (429, limited)
    } else if state.is_nobodys(head) {
        (404, Value::Null)
    } else if odd.as_ref().is_some_and(|odd| !odd.done) {
        (200, Value::Null)
    } else {
        state.answer(head, &credential, &body)
    };
    state.journal.push(Call {
        at: Instant::now(),
        method: head.method.clone(),
        path: head.path.clone(),
        credential,
        origin: head.origin.clone(),
        org: head.org.clone(),
        body,
        status,
    });
    (status, right, count, odd.map(|odd| odd.oddity))
}

/// Which agent is called.
fn called(head: &Head) -> Option<String> {
    let id = head.path.strip_prefix("/workspaces/")?.strip_suffix("/a2a")?;
    (head.method == "POST" && !id.contains('/')).then(|| id.to_owned())
}

/// Whose queue a heartbeat drains: that of an agent with room for a task.
fn drained(head: &Head, body: &Value) -> Option<String> {
    let busy = body.get("active_tasks").and_then(Value::as_u64).unwrap_or_default() > 0;
    let workspace = body.get("workspace_id").and_then(Value::as_str);
    let beats = head.path == "/registry/heartbeat" && !busy;
    workspace.filter(|_| beats).map(str::to_owned)
}

fn field(fields: &HeaderMap, name: &str) -> Option<String> {
    fields.get(name)?.to_str().ok().map(str::to_owned)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
