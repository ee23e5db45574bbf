//! The platform's calls to agents: where they go, what is cut, and what becomes of each answer.
//!
//! The facts that it keeps to: a call goes to exactly the registered URL, with no credential, its JSON
//! written anew, wrapped and given a `messageId` where those are missing. A request over 1 MiB and an
//! answer over 10 MiB are cut in silence. An answer of 2xx passes as it is; of another one only the status
//! and a top-level string `error` pass. A refused connection is 502, and so is an answer that breaks off,
//! with `delivery_confirmed`; delegations are sent again after any 502. It waits for an answer as long as
//! heartbeats come, and five minutes longer. Where nothing comes back the call is queued by its
//! `messageId`, sent again with a heartbeat, and counts as completed when that is lost too. Redirects are
//! followed. Idle connections live 90 s.

use super::{
    Platform,
    rules::dispatch_refusal,
    state::{State, uuid},
};
use bytes::Bytes;
use http::{
    Request,
    header::{ACCEPT_ENCODING, CONTENT_TYPE, HOST, LOCATION},
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::timeout};

/// The most of a request that is sent.
const REQUEST_MAX: usize = 1024 * 1024;
/// The most of an answer that is read.
const ANSWER_MAX: usize = 10 * 1024 * 1024;
/// How long an idle connection is used again.
const IDLE: Duration = Duration::from_secs(90);
/// How often a queued call is sent again while it fails in a way that counts.
const ATTEMPTS: u32 = 5;

/// What a caller of the platform gets for a call to an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Reached {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    fn new(status: u16, json: &Value) -> Reached {
        Reached { status, body: json.to_string().into() }
    }
}

/// A call that waits for a heartbeat.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Whom it is for.
    pub workspace: String,
    /// What it is known by.
    pub message_id: String,
    /// `queued`, `completed` or `failed`.
    pub status: &'static str,
    body: Value,
    attempts: u32,
}

/// A connection that is kept.
pub(super) struct Idle {
    to: SocketAddr,
    since: Instant,
    sender: SendRequest<Full<Bytes>>,
}

/// What came of one attempt.
enum Sent {
    Answered(u16, Bytes),
    /// Nobody took the connection, or the URL is none that is called.
    NotReached(&'static str),
    /// Nothing came back.
    Lost,
    /// The answer broke off.
    CutOff,
}

impl Platform {
    /// Names below this host lead to this address, as the relay's public URL does.
    pub fn resolve(&self, host: &str, to: SocketAddr) {
        self.state().hosts.insert(host.to_owned(), to);
    }

    /// Calls an agent, as the platform's canvas and its agents do.
    pub async fn call(&self, workspace: &str, body: &Value) -> Reached {
        call(&self.state, workspace, body).await
    }

    /// Delegates a task to an agent: its id is the `messageId`, and after a 502 it is sent again, once.
    pub async fn delegate(&self, workspace: &str, id: &str, task: &str) -> Reached {
        let body = json!({"method": "message/send", "params": {"message": {
            "role": "user", "messageId": id, "parts": [{"type": "text", "text": task}],
        }}});
        let first = self.call(workspace, &body).await;
        if first.status != 502 {
            return first;
        }
        let wait = self.state().times.delegate_again;
        tokio::time::sleep(wait).await;
        self.call(workspace, &body).await
    }

    /// The calls that were queued.
    #[must_use]
    pub fn queued(&self) -> Vec<Queued> {
        self.state().queue.clone()
    }
}

pub(super) async fn call(state: &Mutex<State>, workspace: &str, body: &Value) -> Reached {
    let (body, message_id) = normalised(body);
    let (url, status, session) = {
        let mut state = lock(state);
        let Some(row) = state.find(workspace) else {
            return Reached::new(404, &json!({"error": "workspace not found"}));
        };
        let session = row.report.pointer("/runtime_metadata/capabilities/session");
        (row.url.clone(), row.status.clone(), session == Some(&json!(true)))
    };
    if url.is_empty() {
        return Reached::new(503, &json!({"error": "workspace has no URL", "status": status}));
    }
    match send(state, workspace, &url, &body).await {
        Sent::Answered(status @ 200..=299, body) => Reached { status, body },
        Sent::Answered(status, body) => {
            Reached::new(status, &json!({"error": reduced(status, &body)}))
        }
        Sent::NotReached(why) => Reached::new(502, &json!({"error": why})),
        Sent::CutOff => Reached::new(
            502,
            &json!({"error": "failed to read agent response", "delivery_confirmed": true}),
        ),
        Sent::Lost if session => Reached::new(503, &json!({"error": "workspace agent is busy"})),
        Sent::Lost => {
            let mut state = lock(state);
            let queued = Queued {
                workspace: workspace.to_owned(),
                message_id,
                status: "queued",
                body,
                attempts: 0,
            };
            state.queue.push(queued);
            let depth = state.queue.iter().filter(|one| one.status == "queued").count();
            let told = json!({"queued": true, "queue_id": uuid(), "queue_depth": depth, "message": "queued"});
            Reached::new(202, &told)
        }
    }
}

/// Sends one queued call of a workspace, as a heartbeat of an agent with room makes it.
pub(super) async fn drain(state: Arc<Mutex<State>>, workspace: String) {
    let next = {
        let mut state = lock(&state);
        let url = state.find(&workspace).map(|row| row.url.clone()).unwrap_or_default();
        let mut waiting = state.queue.iter().enumerate();
        let next = waiting.find(|(_, one)| one.workspace == workspace && one.status == "queued");
        next.map(|(place, one)| (place, one.body.clone(), url))
    };
    let Some((place, body, url)) = next else { return };
    let sent = send(&state, &workspace, &url, &body).await;
    let mut state = lock(&state);
    let one = &mut state.queue[place];
    one.attempts += 1;
    one.status = match sent {
        Sent::Answered(200..=299, _) => "completed",
        // The platform takes silence for an answer the second time.
        Sent::Lost | Sent::CutOff => "completed",
        Sent::Answered(..) | Sent::NotReached(_) if one.attempts >= ATTEMPTS => "failed",
        Sent::Answered(..) | Sent::NotReached(_) => "queued",
    };
}

/// The body as it is sent, and its message's id.
fn normalised(body: &Value) -> (Value, String) {
    let mut body = body.clone();
    if body.get("jsonrpc").is_none() {
        let id = uuid();
        body =
            json!({"jsonrpc": "2.0", "id": id, "method": body["method"], "params": body["params"]});
    }
    let mut message_id = uuid();
    if let Some(message) = body.pointer_mut("/params/message").and_then(Value::as_object_mut) {
        let id = message.entry("messageId").or_insert_with(|| message_id.clone().into());
        message_id = id.as_str().unwrap_or_default().to_owned();
    }
    (body, message_id)
}

/// What is left of an answer that is no success.
fn reduced(status: u16, body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let error = json.as_ref().and_then(|json| json.get("error")?.as_str());
    let reason = http::StatusCode::from_u16(status).ok().and_then(|one| one.canonical_reason());
    error.or(reason).unwrap_or_default().to_owned()
}

async fn send(state: &Mutex<State>, workspace: &str, url: &str, body: &Value) -> Sent {
    let mut url = url.to_owned();
    for _ in 0..10 {
        let (to, host, path) = match target(state, &url) {
            Ok(target) => target,
            Err(why) => return Sent::NotReached(why),
        };
        let mut bytes = body.to_string().into_bytes();
        bytes.truncate(REQUEST_MAX);
        let request = Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT_ENCODING, "gzip")
            .header("user-agent", "Go-http-client/1.1")
            .body(Full::from(bytes))
            .expect("a request");
        let Some(mut sender) = connection(state, to).await else {
            return Sent::NotReached("failed to reach workspace agent");
        };
        let answer = match patiently(state, workspace, sender.send_request(request)).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) | None => return Sent::Lost,
        };
        let (head, mut body) = answer.into_parts();
        if head.status.is_redirection()
            && let Some(to) = head.headers.get(LOCATION).and_then(|to| to.to_str().ok())
        {
            url = to.to_owned();
            continue;
        }
        let mut whole = Vec::new();
        while whole.len() < ANSWER_MAX {
            match patiently(state, workspace, body.frame()).await {
                Some(Some(Ok(frame))) => whole.extend(frame.into_data().unwrap_or_default()),
                Some(None) => {
                    let since = Instant::now();
                    lock(state).idle = Some(Idle { to, since, sender });
                    break;
                }
                Some(Some(Err(_))) | None => return Sent::CutOff,
            }
        }
        whole.truncate(ANSWER_MAX);
        return Sent::Answered(head.status.as_u16(), whole.into());
    }
    Sent::NotReached("failed to reach workspace agent")
}

/// What comes of an agent, unless there is no sign of life of it for too long.
async fn patiently<T>(
    state: &Mutex<State>,
    workspace: &str,
    wanted: impl Future<Output = T>,
) -> Option<T> {
    let (mut wanted, mut alive) = (pin!(wanted), Instant::now());
    loop {
        let patience = lock(state).times.patience;
        match timeout(patience.saturating_sub(alive.elapsed()), &mut wanted).await {
            Ok(came) => return Some(came),
            Err(_) => {
                let heard = lock(state).find(workspace).and_then(|row| row.heard());
                alive = heard.filter(|heard| *heard > alive && heard.elapsed() < patience)?;
            }
        }
    }
}

/// Where a URL leads: the address, the host and the path.
fn target(state: &Mutex<State>, url: &str) -> Result<(SocketAddr, String, String), &'static str> {
    let unreached = "failed to reach workspace agent";
    let uri: http::Uri = url.parse().map_err(|_| unreached)?;
    let authority = uri.authority().ok_or(unreached)?;
    let state = lock(state);
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if let Some(to) = state.hosts.get(authority.host()) {
        return Ok((*to, authority.to_string(), path));
    }
    if let Some(why) = dispatch_refusal(authority.host(), state.org.is_some()) {
        return Err(why);
    }
    let ip = authority.host().trim_matches(['[', ']']).parse().map_err(|_| unreached)?;
    let port = authority.port_u16().unwrap_or(80);
    Ok((SocketAddr::new(ip, port), authority.to_string(), path))
}

/// The idle connection to there, if it seems good, or a new one.
async fn connection(state: &Mutex<State>, to: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let idle = lock(state).idle.take();
    let usable = |idle: &Idle| {
        idle.to == to
            && idle.since.elapsed() < IDLE
            && !idle.sender.is_closed()
            && idle.sender.is_ready()
    };
    if let Some(idle) = idle.filter(usable) {
        return Some(idle.sender);
    }
    let stream = TcpStream::connect(to).await.ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with its sender.
    tokio::spawn(async move { drop(connection.await) });
    Some(sender)
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
