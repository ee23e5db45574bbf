//! The public URL: the card comes through the relay and the link, and it is this agent's.

use std::pin::pin;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::get::{Answer, NoAnswer, get};
use super::{Finding, Patient, Step, Trouble};
use crate::config::{Config, Way};
use crate::status::{Report, State};

/// A connector of our own has so long to be online.
const ONLINE: Duration = Duration::from_secs(10);
/// What the relay edits in a card.
const EDITED: [&str; 5] =
    ["url", "additionalInterfaces", "supportedInterfaces", "iconUrl", "signatures"];

/// Where no connector runs, one runs for as long as this takes.
pub(super) async fn examine(patient: &Patient, mut config: Config, card: &Value) -> Finding {
    if let Some(own) = &patient.running {
        let Some(url) =
            own.report.public_url.as_ref().filter(|_| own.report.state == State::Online)
        else {
            let reason = own.report.reason.as_deref().unwrap_or("it has begun only");
            let seen = format!("the connector that runs is {} ({reason})", own.report.state.name());
            return unreachable(seen, "See what it logs; wait a moment if it has just begun.");
        };
        return fetch(url.reveal(), card, &config.way).await;
    }
    let Some(origin) = patient.agent.clone().filter(|_| patient.may_connect) else {
        return Finding::well(
            Step::Public,
            "not tried: connecting here would use the join string up, or take the place of a \
             connector that runs elsewhere with this token",
        );
    };
    config.target.origin = origin;
    (config.once, config.status_file, config.platform_listen) = (true, None, None);
    let way = config.way.clone();
    let reports = watch::Sender::new(Report::beginning());
    let mut told = reports.subscribe();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut connector = pin!(crate::run(config, async { drop(stopped.await) }, reports));
    let online = async {
        let online = told.wait_for(|report| report.state == State::Online).await;
        online.ok().and_then(|report| report.public_url.clone())
    };
    let looked = async {
        match timeout(ONLINE, online).await {
            Ok(Some(url)) => fetch(url.reveal(), card, &way).await,
            _ => unreachable("no link came about within 10 s".into(), "See the relay's log."),
        }
    };
    let finding = tokio::select! {
        finding = looked => finding,
        ended = connector.as_mut() => return unreachable(
            ended.err().map_or("the connector ended".into(), |error| error.to_string()),
            "Do what the sentence says, then look again.",
        ),
    };
    drop(stop);
    // What it had open is our own question, which has its answer.
    let _ = timeout(ONLINE, connector).await;
    finding
}

async fn fetch(base: &str, card: &Value, way: &Way) -> Finding {
    let url = format!("{}/.well-known/agent-card.json", base.trim_end_matches('/'));
    match get(&url, way).await {
        Ok(answer) => judge(&answer, card),
        Err(NoAnswer::Unreachable(why) | NoAnswer::Unreadable(why)) => unreachable(
            format!("the public URL does not answer from here ({why})"),
            "See that the relay's public URL leads to its public listener (`relay serve \
             --public-url`, `--http`): its DNS, its port, its certificate, a proxy before it.",
        ),
    }
}

fn judge(answer: &Answer, card: &Value) -> Finding {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(code) = header("x-relay-error") {
        return unreachable(
            format!("the relay answers {} ({code})", answer.status),
            "Look the code up in the relay's documentation; `agent-connector status` tells of the \
             link.",
        );
    }
    if !answer.status.is_success() {
        return unreachable(
            format!("the public URL answers {}", answer.status),
            "Something else than the relay answers there, or the agent refuses callers without \
             its own credential.",
        );
    }
    let through: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let same = |theirs: &Value| core(theirs) == core(card);
    match header("x-relay-card") {
        Some("cached") => unreachable(
            "the relay served the card from memory: the agent is not linked".into(),
            "Start the connector.",
        ),
        _ if through.as_ref().is_some_and(same) => {
            Finding::well(Step::Public, "the card came through the relay, and is this agent's")
        }
        _ => unreachable(
            "the card that came is not this agent's".into(),
            "Another connector may serve this workspace, or another server its public URL.",
        ),
    }
}

/// A card without what the relay may edit.
fn core(card: &Value) -> Value {
    let mut card = card.clone();
    if let Some(object) = card.as_object_mut() {
        object.retain(|key, _| !EDITED.contains(&key.as_str()));
    }
    card
}

fn unreachable(seen: String, remedy: &str) -> Finding {
    Finding::bad(Step::Public, Trouble::Unreachable, seen, remedy)
}
