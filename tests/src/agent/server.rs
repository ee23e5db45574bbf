//! The mock agent's HTTP server: routes each request to what it asks for.

use super::{
    Behaviour, Documents, Entry, Journal, answers, documents, feed::Feed, feed::Watch, hybrid_card,
};
use hyper::{
    HeaderMap, Method, Request, Response, body::Incoming, header::CONTENT_TYPE,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc};
use tokio::{net::TcpStream, task::JoinSet};

/// What the server knows.
pub struct Settings {
    port: u16,
    behaviour: Behaviour,
    journal: Journal,
    /// What it serves besides.
    pub documents: Documents,
}

impl Settings {
    /// Settings for a server on this port.
    ///
    /// # Panics
    /// When there is no such behaviour.
    #[must_use]
    pub fn new(port: u16, behaviour: &str, journal: Journal) -> Settings {
        let behaviour = behaviour.parse().unwrap_or_else(|e| panic!("{e}"));
        Settings { port, behaviour, journal, documents: Documents::default() }
    }
}

/// Serves for ever; dropping the future drops all connections.
pub async fn serve(listener: std::net::TcpListener, settings: Settings) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let settings = Arc::new(settings);
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, settings.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, settings: Arc<Settings>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let settings = settings.clone();
        async move { Ok::<_, Infallible>(answer(request, &settings).await) }
    });
    // A caller that leaves, or a body that breaks on purpose, ends here with an error.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, settings: &Settings) -> Response<Feed> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let entry = settings.journal.head(request.method().as_str(), path, fields(request.headers()));
    let asked = text(request.headers(), "x-test-behaviour");
    let path = request.uri().path();
    if request.method() == Method::GET
        && let Some(document) = settings.documents.get(path)
    {
        return documents::serve(document, request.headers(), &entry);
    }
    let behaviour = match (asked, path.strip_prefix("/test/")) {
        (Some(words), _) | (None, Some(words)) => words.parse(),
        (None, None) if path.starts_with("/.well-known/agent") => return card(settings, &entry),
        (None, None) if path == "/a2a" || path == "/" => Ok(settings.behaviour.clone()),
        (None, None) => Ok(Behaviour::Status(404)),
    };
    match behaviour {
        Ok(behaviour) => answers::answer(request, behaviour, &entry, &settings.documents).await,
        Err(mistake) => json(400, &entry, mistake),
    }
}

fn card(settings: &Settings, entry: &Entry) -> Response<Feed> {
    json(200, entry, hybrid_card(settings.port).to_string())
}

/// A short answer with a length.
pub(super) fn json(status: u16, entry: &Entry, body: String) -> Response<Feed> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json")
        .header("content-length", body.len())
        .body(Feed::whole(Watch::new(entry), body))
        .expect("a valid answer")
}

/// The text of one field.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|(name, v)| (name.to_string(), value(v.as_bytes()))).collect()
}
