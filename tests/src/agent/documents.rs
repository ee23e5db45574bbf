//! What the mock agent serves besides its behaviours: documents that a story gives it.

use hyper::{
    HeaderMap, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, WWW_AUTHENTICATE},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{Entry, feed::Feed, feed::Watch, server::text};

/// One document, with its fields.
#[derive(Clone, Debug)]
pub struct Document {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    guarded: bool,
}

impl Document {
    /// A document of type `application/json`.
    #[must_use]
    pub fn json(body: impl ToString) -> Document {
        let headers = vec![(CONTENT_TYPE.to_string(), "application/json".to_owned())];
        Document { headers, body: body.to_string().into_bytes(), guarded: false }
    }

    /// A document with these bytes, whatever they are.
    #[must_use]
    pub fn bytes(body: impl Into<Vec<u8>>) -> Document {
        Document { headers: Vec::new(), body: body.into(), guarded: false }
    }

    /// One more field; with an `ETag`, the agent answers 304 to whoever has it.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Document {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its bytes.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Only for callers who send `Authorization`; the others get 401 and a challenge.
    #[must_use]
    pub fn guarded(mut self) -> Document {
        self.guarded = true;
        self
    }
}

/// The documents of one agent, by path; under `rpc:METHOD` stand results of JSON-RPC calls.
#[derive(Clone, Debug, Default)]
pub struct Documents(Arc<Mutex<HashMap<String, Document>>>);

impl Documents {
    /// Serves `document` at `path` from now on.
    ///
    /// # Panics
    /// Never.
    pub fn put(&self, path: &str, document: Document) {
        self.0.lock().expect("nobody panics").insert(path.to_owned(), document);
    }

    /// The document at `path`.
    pub(super) fn get(&self, path: &str) -> Option<Document> {
        self.0.lock().expect("nobody panics").get(path).cloned()
    }
}

/// Answers a GET with a document.
pub(super) fn serve(document: Document, headers: &HeaderMap, entry: &Entry) -> Response<Feed> {
    let Document { headers: fields, body, guarded } = document;
    let named = |wanted: &str| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if guarded && !headers.contains_key(AUTHORIZATION) {
        let challenge = (WWW_AUTHENTICATE.as_str(), "Bearer realm=\"agent\"");
        return answer(401, &[(challenge.0.to_owned(), challenge.1.to_owned())], Vec::new(), entry);
    }
    let tag = named(ETAG.as_str()).map(|(_, tag)| tag.as_str());
    let theirs = text(headers, IF_NONE_MATCH.as_str());
    match (tag, theirs) {
        (Some(tag), Some(theirs)) if theirs.split(',').any(|one| one.trim() == tag) => {
            answer(304, &fields[1..], Vec::new(), entry)
        }
        _ => answer(200, &fields, body, entry),
    }
}

/// A JSON-RPC response with this result.
pub(super) fn result(document: Document, id: &str, entry: &Entry) -> Response<Feed> {
    let result = String::from_utf8(document.body).expect("a result is text");
    let body = if named_type(&document.headers).starts_with("text/event-stream") {
        format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n\n")
    } else {
        format!("{{ \"id\":{id}, \"result\" : {result},\"jsonrpc\":\"2.0\"}}")
    };
    answer(200, &document.headers, body.into_bytes(), entry)
}

fn named_type(headers: &[(String, String)]) -> &str {
    let media = headers.iter().rfind(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    media.map_or("", |(_, media)| media)
}

fn answer(
    status: u16,
    headers: &[(String, String)],
    body: Vec<u8>,
    entry: &Entry,
) -> Response<Feed> {
    let mut response = Response::new(Feed::whole(Watch::new(entry), body.clone()));
    *response.status_mut() = status.try_into().expect("a status");
    let fields = response.headers_mut();
    for (name, value) in headers {
        let name: hyper::header::HeaderName = name.parse().expect("a name");
        fields.insert(name, value.parse().expect("a value"));
    }
    if status != 304 {
        fields.insert("content-length", body.len().into());
    }
    response
}
