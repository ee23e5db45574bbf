//! How the page talks to agents, whoever carries that.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use shared::ids::WorkspaceId;

use super::answer::AnyBody;

type Answering = Pin<Box<dyn Future<Output = Response<AnyBody>> + Send>>;

/// Sends an A2A request to the agent of a workspace; dropping the answer ends it.
#[derive(Clone)]
pub struct Messenger(Arc<dyn Fn(WorkspaceId, Bytes) -> Answering + Send + Sync>);

impl Messenger {
    /// Messages are carried by `send`.
    pub fn new<F>(send: impl Fn(WorkspaceId, Bytes) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self(Arc::new(move |workspace, json| Box::pin(send(workspace, json))))
    }

    /// Sends a whole JSON-RPC request; the answer is the agent's, or a refusal.
    pub async fn send(&self, workspace: WorkspaceId, json: Bytes) -> Response<AnyBody> {
        (self.0)(workspace, json).await
    }
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Messenger")
    }
}
