//! The life of one admitted link: its control stream from WELCOME to the end.

use std::sync::Arc;

use bytes::BytesMut;
use serde_json::json;
use shared::codes::CloseCode;
use shared::control::{ToConnector, ToRelay, Welcome};
use shared::control_stream::{ControlEvent, ControlReader, ControlStreamError, ControlWriter};
use shared::limits::{ALSO_MAX, HEARTBEAT_INTERVAL, LINK_WRITE_TIMEOUT, PING_INTERVAL};
use tokio::sync::mpsc;
use tokio::time::timeout;
use transport::{Connection, RecvStream, SendStream};

use super::admission::{Standing, version};
use super::enrolment;
use super::link::{Announced, Founding, Link};
use super::listener::{Admitted, Tunnel};
use super::outbound::{Calls, Speaker};
use super::proof::Proof;
use super::silence::{Silence, Silent};
use crate::clock::unix_ms;
use crate::registry::{Actor, Lookup, NewEvent};
use crate::shard::Home;

/// Control messages that wait for the writer; more means that the connector takes none.
const OUTBOX_MAX: usize = 64;

/// Registers the link, welcomes the connector, and serves the control stream until the link ends.
pub async fn run(connection: Connection, admitted: Admitted, tunnel: Arc<Tunnel>, home: Home) {
    let Admitted { hello, workspace: id, proof, reader, mut writer } = admitted;
    let Lookup::Live(workspace) = tunnel.registry.by_id(&id) else { return };
    let (control, outbox) = mpsc::channel(OUTBOX_MAX);
    let founding = Founding {
        workspace: id,
        token: proof.use_token(&tunnel.registry),
        generation: tunnel.live.next_generation(),
        instance: hello.instance,
        attempt: hello.attempt,
        home,
        live: tunnel.live.clone(),
        relay: tunnel.instance,
        exchanges: Arc::clone(&tunnel.exchanges),
        control,
        announced: Announced {
            exposure: hello.exposure,
            origin: hello.origin,
            also: hello.also.into_iter().take(ALSO_MAX).collect(),
            card: hello.card,
            beats_itself: hello.beats_itself,
        },
        status: hello.status,
    };
    let link = Arc::new(Link::new(connection.clone(), founding));
    let welcome = ToConnector::Welcome(Box::new(Welcome {
        version: version(),
        software: concat!("relay/", env!("CARGO_PKG_VERSION")).into(),
        instance: tunnel.instance,
        workspace_id: id,
        name: workspace.name.clone(),
        generation: link.generation,
        public_url: tunnel.public.base_of(&workspace),
        host_url: tunnel.public.host_base_of(&workspace),
        endpoints: tunnel.endpoints.clone(),
        ping_interval_ms: PING_INTERVAL.as_millis() as u64,
        heartbeat_interval_ms: HEARTBEAT_INTERVAL.as_millis() as u64,
    }));
    let Some(_registration) = tunnel.live.register(&link) else {
        return connection.close(CloseCode::Done, "another link of this attempt came first");
    };
    // A credential that ended while the link was being admitted ends the link.
    if proof.standing(&tunnel.registry) != Standing::Good(id) {
        return connection.close(CloseCode::Revoked, "the credential was revoked");
    }
    // Requests may overtake WELCOME, since each stream keeps its own order only; a connector takes
    // them once it has read WELCOME.
    if writer.send(&welcome).await.is_err() {
        return;
    }
    let up = tunnel.metrics.links.up(connection.kind());
    tracing::info!(workspace = %link.workspace, link = link.generation.0, remote = %link.remote,
        transport = %connection.kind(), software = %hello.software, "link up");
    note(&tunnel, &link, "link.up", &hello.software);

    let ended = serve(&link, &proof, reader, writer, outbox, &tunnel).await;
    let (code, reason) = match &ended {
        ControlStreamError::Wire(error) => (CloseCode::Protocol, error.to_string()),
        ControlStreamError::Message(error) => (CloseCode::Protocol, error.to_string()),
        ControlStreamError::Ended | ControlStreamError::Lost(_) => {
            (CloseCode::Done, String::from("the control stream ended"))
        }
    };
    if code == CloseCode::Protocol {
        tunnel.metrics.links.broke_protocol();
        tracing::warn!(workspace = %link.workspace, link = link.generation.0, error = %ended,
            "a connector broke the protocol");
    }
    connection.close(code, &reason);
    drop(up);
    let why = connection.close_reason().map_or_else(String::new, |reason| reason.to_string());
    tracing::info!(workspace = %link.workspace, link = link.generation.0, %why, "link down");
    tunnel.registry.note_seen(link.workspace, unix_ms());
    note(&tunnel, &link, "link.down", &why);
}

/// Puts a link that came or went into the trail.
fn note(tunnel: &Tunnel, link: &Link, action: &'static str, what: &str) {
    let (workspace, source) = (link.workspace, Some(link.remote.ip()));
    tunnel.diary.note(NewEvent {
        action,
        workspace: Some(workspace),
        detail: json!({ "link": link.generation.0, "what": what }),
        by: Actor { name: workspace.to_string(), source },
        at_ms: unix_ms(),
    });
}

/// Serves the control stream; answers why it ended.
async fn serve(
    link: &Arc<Link>,
    proof: &Proof,
    mut reader: ControlReader<RecvStream>,
    mut writer: ControlWriter<SendStream>,
    mut outbox: mpsc::Receiver<ToConnector>,
    tunnel: &Tunnel,
) -> ControlStreamError {
    let mut frames = BytesMut::new();
    let mut silence = Silence::default();
    let speaker = Speaker {
        workspace: Some(link.workspace),
        generation: Some(link.generation),
        token: link.token,
        remote: link.remote,
        home: link.home.clone(),
    };
    let outbound = tunnel.outbound.clone();
    let mut calls = Calls::new(speaker, Some(link.instance), link.flow.clone(), outbound);
    loop {
        let answer = tokio::select! {
            event = reader.next::<ToRelay>() => match event {
                Ok(ControlEvent::Message(message)) => {
                    handle(link, proof, message, tunnel).await
                }
                Ok(ControlEvent::Unknown(what)) => Some(ToConnector::Unsupported { what }),
                Ok(ControlEvent::Acks(acks)) => match link.flow.acknowledge(&acks) {
                    Ok(()) => None,
                    Err(error) => return error.into(),
                },
                Ok(ControlEvent::Done(_)) => None,
                Err(error) => return error,
            },
            Some(message) = outbox.recv() => {
                silence.heard_by(&message, &link.connection);
                Some(message)
            }
            silent = silence.lasted(&link.connection) => match silent {
                Silent::Perhaps => {
                    let ping = ToConnector::Ping { seq: link.generation.0 };
                    silence.heard_by(&ping, &link.connection);
                    Some(ping)
                }
                Silent::Path => {
                    link.close_silent();
                    return ControlStreamError::Ended;
                }
                Silent::Connector => {
                    let why = "nobody serves the replaced link any more";
                    link.close(CloseCode::Replaced, why);
                    return ControlStreamError::Ended;
                }
            },
            () = std::future::poll_fn(|cx| link.flow.poll_due(cx, &mut frames)) => None,
            Ok(stream) = link.connection.accept_bi() => {
                calls.take(stream);
                None
            }
            () = calls.ended() => None,
        };
        let written = timeout(LINK_WRITE_TIMEOUT, async {
            if let Some(message) = answer {
                writer.send(&message).await?;
            }
            if !frames.is_empty() {
                writer.send_frames(&frames.split()).await?;
            }
            Ok(())
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return ControlStreamError::Ended,
        }
    }
}

/// Acts on one message; answers what to send back.
async fn handle(
    link: &Link,
    proof: &Proof,
    message: ToRelay,
    tunnel: &Tunnel,
) -> Option<ToConnector> {
    match message {
        ToRelay::Ping { seq } => return Some(ToConnector::Pong { seq }),
        ToRelay::Heartbeat(status) => {
            tunnel.metrics.heartbeats.inc();
            link.report(*status);
        }
        ToRelay::Card { card } => link.announce(|announced| announced.card = card),
        ToRelay::Exposure { exposure } if exposure.is_bounded() => {
            link.announce(|announced| announced.exposure = exposure);
        }
        ToRelay::Exposure { .. } => {
            tracing::warn!(workspace = %link.workspace, "an exposure list over 256 rules was ignored");
        }
        ToRelay::Renew { csr } => {
            let renewed = enrolment::renew(tunnel, proof, &csr).await;
            return Some(renewed.unwrap_or_else(ToConnector::Refusal));
        }
        ToRelay::Drain { last_exchange } => link.drain(last_exchange),
        ToRelay::Unsupported { what } => {
            tracing::debug!(workspace = %link.workspace, %what, "the connector is older");
        }
        ToRelay::Pong { .. } => {}
        // Only a first message may be one of these.
        ToRelay::Hello(_) | ToRelay::Join { .. } | ToRelay::Bootstrap { .. } => {
            return Some(ToConnector::Unsupported { what: "a second first message".into() });
        }
    }
    None
}
