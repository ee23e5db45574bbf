//! The answers of the mock agent, one function for each behaviour.

use super::{
    Behaviour, Documents, Entry,
    behaviour::HELD_UNTIL,
    documents,
    feed::{Feed, Watch},
    server::{json, text},
};
use crate::fingerprint::{Running, pattern};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{io, time::Duration};
use tokio::{sync::mpsc::Sender, time::sleep};

/// Bytes in each piece of a big answer.
const PIECE: u64 = 16 * 1024;

pub(super) async fn answer(
    request: Request<Incoming>,
    behaviour: Behaviour,
    entry: &Entry,
    documents: &Documents,
) -> Response<Feed> {
    let (head, body) = request.into_parts();
    // Until an answer takes over, leaving is told by this future being dropped.
    let watch = Watch::new(entry);
    match behaviour {
        Behaviour::Echo => return echo(&head.headers, body, entry, watch),
        Behaviour::EarlyAnswer => {
            let answer = response(200, Feed::whole(watch, "early"));
            return with(answer, &[(CONTENT_LENGTH.as_str(), "5"), (CONNECTION.as_str(), "close")]);
        }
        _ => {}
    }
    let Some((bytes, print)) = read_all(body, entry).await else {
        return response(400, Feed::whole(watch, "the body broke off"));
    };
    match behaviour {
        Behaviour::Never => std::future::pending().await,
        Behaviour::SlowHead(delay) => {
            sleep(delay).await;
            a2a(&head.headers, &bytes, entry, watch, documents)
        }
        Behaviour::Held => {
            while documents.get(HELD_UNTIL).is_none() {
                sleep(Duration::from_millis(10)).await;
            }
            a2a(&head.headers, &bytes, entry, watch, documents)
        }
        Behaviour::Hash => finished(watch, |_| json!(print).to_string(), 200, entry),
        Behaviour::Status(code) => {
            finished(watch, |_| json!({ "status": code }).to_string(), code, entry)
        }
        Behaviour::Big { length, chunked } => big(length, chunked, watch),
        Behaviour::A2a | Behaviour::Echo | Behaviour::EarlyAnswer => {
            a2a(&head.headers, &bytes, entry, watch, documents)
        }
    }
}

/// Gives the watch up for the one that the short answer brings along.
fn finished(
    mut watch: Watch,
    body: impl FnOnce(&Entry) -> String,
    status: u16,
    entry: &Entry,
) -> Response<Feed> {
    watch.finish();
    json(status, entry, body(entry))
}

/// The whole body, told to the journal; `None` when it broke off.
async fn read_all(mut body: Incoming, entry: &Entry) -> Option<(Bytes, crate::Fingerprint)> {
    let mut reading = Reading::new(entry);
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            reading.hash.add(&data);
            bytes.extend_from_slice(&data);
        }
    }
    if let Some(id) = message_id(&bytes) {
        entry.named(&id);
    }
    let print = reading.hash.done();
    reading.complete();
    Some((bytes.freeze(), print))
}

/// Tells the journal that the body broke off, unless it was complete.
struct Reading {
    entry: Entry,
    hash: Running,
    complete: bool,
}

impl Reading {
    fn new(entry: &Entry) -> Reading {
        Reading { entry: entry.clone(), hash: Running::default(), complete: false }
    }

    fn complete(mut self) {
        self.complete = true;
        self.entry.complete(self.hash.done());
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if !self.complete {
            self.entry.cut(self.hash.length());
        }
    }
}

/// Streams the body back; a break on the way in is a break on the way out.
fn echo(headers: &HeaderMap, mut body: Incoming, entry: &Entry, watch: Watch) -> Response<Feed> {
    let (sender, feed) = Feed::new(watch);
    let mut reading = Reading::new(entry);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                drop(reading);
                let _ = sender.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
                return;
            };
            if let Ok(data) = frame.into_data() {
                reading.hash.add(&data);
                if sender.send(Ok(data)).await.is_err() {
                    return;
                }
            }
        }
        reading.complete();
    });
    let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or("application/octet-stream");
    with(response(200, feed), &[(CONTENT_TYPE.as_str(), kind)])
}

fn big(length: u64, chunked: bool, watch: Watch) -> Response<Feed> {
    let (sender, feed) = Feed::new(watch);
    tokio::spawn(async move {
        let mut offset = 0;
        while offset < length {
            let size = PIECE.min(length - offset);
            if sender.send(Ok(pattern(offset, size as usize))).await.is_err() {
                return;
            }
            offset += size;
        }
    });
    let answer = with(response(200, feed), &[(CONTENT_TYPE.as_str(), "application/octet-stream")]);
    let length = length.to_string();
    if chunked { answer } else { with(answer, &[(CONTENT_LENGTH.as_str(), &length)]) }
}

/// The envelope of a call; its id is echoed byte for byte.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: String,
    #[serde(default)]
    params: Value,
}

fn message_id(body: &[u8]) -> Option<String> {
    let call: Call<'_> = serde_json::from_slice(body).ok()?;
    call.params["message"]["messageId"].as_str().map(str::to_owned)
}

fn a2a(
    headers: &HeaderMap,
    body: &[u8],
    entry: &Entry,
    mut watch: Watch,
    documents: &Documents,
) -> Response<Feed> {
    let call: Result<Call<'_>, _> = serde_json::from_slice(body);
    let call = match call {
        Ok(call) => call,
        Err(e) => {
            watch.finish();
            let error = json!({"code": -32700, "message": e.to_string()});
            return json(200, entry, reply("null", "error", &error));
        }
    };
    let id = call.id.map_or("null", RawValue::get).to_owned();
    let said = call.params["message"]["parts"][0]["text"].as_str().unwrap_or_default().to_owned();
    if let Some(document) = documents.get(&format!("rpc:{}", call.method)) {
        watch.finish();
        return documents::result(document, &id, entry);
    }
    match call.method.as_str() {
        "message/stream" | "SendStreamingMessage" => stream(headers, id, said, watch),
        method => {
            watch.finish();
            let (kind, value) = match method {
                "message/send" | "SendMessage" => ("result", message(&said)),
                _ => ("error", json!({"code": -32601, "message": "no such method"})),
            };
            json(200, entry, reply(&id, kind, &value))
        }
    }
}

fn message(said: &str) -> Value {
    json!({
        "kind": "message", "role": "agent", "messageId": "reply",
        "parts": [{"kind": "text", "text": said}],
    })
}

fn reply(id: &str, kind: &str, value: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"{kind}":{value}}}"#)
}

/// `x-test-events` events (5), one each `x-test-interval-ms` (100), numbered from 0.
fn stream(headers: &HeaderMap, id: String, said: String, watch: Watch) -> Response<Feed> {
    let number = |name: &str| text(headers, name).and_then(|text| text.parse().ok());
    let events = number("x-test-events").unwrap_or(5);
    let interval = Duration::from_millis(number("x-test-interval-ms").unwrap_or(100));
    let (sender, feed) = Feed::new(watch);
    tokio::spawn(send_events(sender, events, interval, id, said));
    let fields = [(CONTENT_TYPE.as_str(), "text/event-stream"), ("cache-control", "no-cache")];
    with(response(200, feed), &fields)
}

async fn send_events(
    sender: Sender<io::Result<Bytes>>,
    events: u64,
    interval: Duration,
    id: String,
    said: String,
) {
    for sequence in 0..events {
        if sequence > 0 {
            tokio::select! {
                () = sleep(interval) => {}
                () = sender.closed() => return,
            }
        }
        let last = sequence + 1 == events;
        let update = json!({
            "kind": "status-update", "taskId": "task", "contextId": "context", "final": last,
            "status": {"state": if last { "completed" } else { "working" }},
            "metadata": {"sequence": sequence, "said": said},
        });
        let event = format!("data: {}\n\n", reply(&id, "result", &update));
        if sender.send(Ok(event.into())).await.is_err() {
            return;
        }
    }
}

fn response(status: u16, feed: Feed) -> Response<Feed> {
    Response::builder().status(status).body(feed).expect("a valid answer")
}

fn with(mut answer: Response<Feed>, fields: &[(&'static str, &str)]) -> Response<Feed> {
    for (name, value) in fields {
        answer.headers_mut().insert(*name, value.parse().expect("a valid value"));
    }
    answer
}
