//! Looks now and then whether agents without a link answer at their own URLs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Direct;
use super::dial::Unreached;
use super::upload::Upload;
use crate::admin::Api;
use crate::admin::pulse::Pulse;
use crate::direct_url::{DirectUrl, DirectUrls};
use crate::edge::Edge;
use crate::registry::Workspace;

/// Between two searches for agents whose turn it is.
const SEARCH_EVERY: Duration = Duration::from_secs(2);
/// Looks under way at a time.
const AT_A_TIME: usize = 8;
/// Patience for the head of an answer: it shows that somebody is there, and a card is quick.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at agents until the future is dropped, which ends the looks under way.
pub async fn run(edge: Arc<Edge>) {
    if edge.direct.api.looks.rules().policy == DirectUrls::Off {
        return std::future::pending().await;
    }
    let mut search = interval(SEARCH_EVERY);
    search.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = VecDeque::new();
    let mut looks = JoinSet::new();
    loop {
        tokio::select! {
            _ = search.tick(), if due.is_empty() && looks.is_empty() => due = edge.direct.due(),
            Some(_) = looks.join_next() => {}
        }
        while looks.len() < AT_A_TIME
            && let Some(workspace) = due.pop_front()
        {
            let edge = Arc::clone(&edge);
            looks.spawn(async move { edge.direct.look(&workspace).await });
        }
    }
}

impl Direct {
    /// The agents whose turn it is: nothing else tells of them.
    fn due(&self) -> VecDeque<Arc<Workspace>> {
        let mut due = VecDeque::from(self.api.registry.workspaces());
        due.retain(|workspace| self.is_due(workspace));
        due
    }

    fn is_due(&self, workspace: &Workspace) -> bool {
        let Api { live, pulses, looks, .. } = &*self.api;
        workspace.url.is_some()
            && !workspace.paused
            && looks.is_due(workspace)
            && live.newest(&workspace.id).is_none()
            && !pulses.last(&workspace.id).is_some_and(|pulse| Pulse::is_fresh(&pulse))
    }

    async fn look(&self, workspace: &Workspace) {
        // It may have been a while since it was found.
        if !self.is_due(workspace) {
            return;
        }
        let Some(Ok(url)) = self.api.looks.judge(workspace) else { return };
        let seen = self.ask(&url).await.map_err(|why| why.to_string());
        tracing::debug!(workspace = %workspace.id, ?seen, "looked at an agent's own URL");
        self.api.looks.note(workspace, seen);
    }

    /// Asks for the card. Any answer will do but that of a gateway with nobody behind it: an agent
    /// need not show its card to everyone.
    async fn ask(&self, url: &DirectUrl) -> Result<(), Unreached> {
        let failed = |why: &str| Unreached::Failed(why.to_owned());
        let mut connection = self.dialler.open(url, self.api.looks.rules()).await?;
        let mut request = Request::new(Upload::none());
        let card = DirectUrl::card(None).map_err(|_| failed("it has no path for a card"))?;
        *request.uri_mut() = Uri::from(card);
        let fields = request.headers_mut();
        fields.insert(HOST, url.authority.clone());
        fields.insert(ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(USER_AGENT, HeaderValue::from_static(super::PSEUDONYM));
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        match timeout(ANSWER_TIMEOUT, connection.send(request)).await {
            Ok(Ok(answer)) => match answer.status() {
                StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => {
                    Err(failed(&format!("its card is answered with {}", answer.status().as_u16())))
                }
                _ => Ok(()),
            },
            Ok(Err(error)) if error.is_parse() => Err(failed("what answers there is no HTTP")),
            Ok(Err(_)) => Err(failed("it closes the connection without an answer")),
            Err(_) => Err(failed("it gives no answer within 5 s")),
        }
    }
}
