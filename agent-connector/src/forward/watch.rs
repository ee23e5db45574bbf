//! Keeps an eye on the local agent: whether it answers, and what its card says.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::card::{self, CardError};
use super::{Agent, RESTART_PATIENCE};

/// Between two looks. While the agent refuses, each of them is a probe.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// An agent that nobody has seen for so long is probed.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// A card is read again after this time, whatever happens.
const CARD_AGE_MAX: Duration = Duration::from_secs(60);
/// A card is not read again sooner, however often it is asked for.
const CARD_AGE_MIN: Duration = Duration::from_secs(5);

/// Watches the agent until it is dropped.
pub async fn run(agent: Arc<Agent>) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut read_at: Option<Instant> = None;
    loop {
        let asked = tokio::select! {
            _ = looks.tick() => false,
            () = agent.refresh.notified() => true,
        };
        agent.prune();
        let card_age = read_at.map_or(Duration::MAX, |at| at.elapsed());
        let was_back = agent.answers() == Some(true);
        if !was_back || agent.unseen_for() >= PROBE_AFTER {
            probe(&agent).await;
        }
        let answers = agent.answers() == Some(true);
        let old = card_age >= CARD_AGE_MAX || (asked && card_age >= CARD_AGE_MIN);
        if answers && (old || !was_back) {
            refresh(&agent).await;
            read_at = Some(Instant::now());
        }
    }
}

/// Looks whether the agent's port takes connections.
pub async fn probe(agent: &Agent) {
    match timeout(RESTART_PATIENCE, TcpStream::connect(agent.origin().dial())).await {
        Ok(Ok(_)) => agent.answered(),
        Ok(Err(_)) | Err(_) => {
            agent.refused();
        }
    }
}

/// Reads the agent's card and notes what it says. A card that was there stays known while the
/// agent cannot be asked.
pub async fn refresh(agent: &Agent) {
    match card::find(agent).await {
        Ok(found) => {
            agent.answered();
            let (path, card) =
                found.map_or((None, serde_json::Value::Null), |(path, card)| (Some(path), card));
            agent.describe(card, path);
        }
        Err(CardError::Unreachable(_)) => {
            agent.refused();
        }
        Err(CardError::NotHttp1) => agent.speaks_no_http1(),
        Err(error @ CardError::NoAnswer) => tracing::debug!(%error, "the card stays as it was"),
    }
}
