//! A link without a credential: a few calls cross on it, of which its agent's registration is one, and
//! then it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{Refusal, ToConnector, ToRelay, Version};
use shared::control_stream::{ControlEvent, ControlReader, ControlStreamError, ControlWriter};
use shared::flow::LinkFlow;
use shared::limits::LINK_WRITE_TIMEOUT;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use transport::{Connection, RecvStream, SendStream};

use super::admission::{check_version, refusal, version};
use super::listener::Tunnel;
use super::outbound::{Calls, Speaker};
use crate::shard::Home;

/// Links without a credential at a time, all sources together.
pub const LINKS_MAX: usize = 64;
/// Such a link ends after this time: a registration takes a second.
const LIFETIME: Duration = Duration::from_secs(60);
/// Calls that it carries: making a workspace, registering, and trying again. One more ends it.
const CALLS_MAX: u64 = 16;

/// A link without a credential that was let in.
#[derive(Debug)]
pub struct Newcomer {
    /// From the connector.
    pub reader: ControlReader<RecvStream>,
    /// To the connector.
    pub writer: ControlWriter<SendStream>,
    /// One of [`LINKS_MAX`].
    pub place: OwnedSemaphorePermit,
}

/// Lets another link without a credential in, or says why not.
pub fn admit(
    tunnel: &Tunnel,
    connection: &Connection,
    theirs: Version,
) -> Result<OwnedSemaphorePermit, Refusal> {
    check_version(theirs)?;
    let mut crowded = refusal(
        RefusalCode::Overloaded,
        "Too many links without a credential are opened; try again in a few seconds.",
    );
    crowded.retry_after_ms = Some(5_000);
    if !tunnel.newcomers.allow(connection.remote_address().ip(), Instant::now()) {
        return Err(crowded);
    }
    Arc::clone(&tunnel.bootstraps).try_acquire_owned().map_err(|_| crowded)
}

/// Serves the link until its time, its calls or its connector are over.
pub async fn run(connection: Connection, newcomer: Newcomer, tunnel: Arc<Tunnel>, home: Home) {
    let Newcomer { reader, mut writer, place: _place } = newcomer;
    let ready = ToConnector::Ready {
        version: version(),
        software: concat!("relay/", env!("CARGO_PKG_VERSION")).into(),
        lifetime_ms: LIFETIME.as_millis() as u64,
        calls: CALLS_MAX,
    };
    if writer.send(&ready).await.is_err() {
        return;
    }
    let _up = tunnel.metrics.bootstrap_links.up(connection.kind());
    let remote = connection.remote_address();
    tracing::info!(%remote, "a link without a credential is up, for a registration");
    let flow = LinkFlow::default();
    let speaker = Speaker { workspace: None, generation: None, token: None, remote, home };
    let calls = Calls::new(speaker, None, flow.clone(), tunnel.outbound.clone());
    let served = serve(&connection, calls, flow, reader, writer);
    let code = match timeout(LIFETIME, served).await {
        Ok(ControlStreamError::Wire(_) | ControlStreamError::Message(_)) => {
            tunnel.metrics.bootstrap_links.broke_protocol();
            CloseCode::Protocol
        }
        Ok(ControlStreamError::Ended | ControlStreamError::Lost(_)) | Err(_) => CloseCode::Done,
    };
    connection.close(code, code.name());
    tracing::debug!(%remote, "a link without a credential is down");
}

/// Serves the control stream and the calls; answers why it ended.
async fn serve(
    connection: &Connection,
    mut calls: Calls,
    flow: LinkFlow,
    mut reader: ControlReader<RecvStream>,
    mut writer: ControlWriter<SendStream>,
) -> ControlStreamError {
    let (mut frames, mut left) = (BytesMut::new(), CALLS_MAX);
    loop {
        let answer = tokio::select! {
            event = reader.next::<ToRelay>() => match event {
                Ok(ControlEvent::Message(ToRelay::Ping { seq })) => Some(ToConnector::Pong { seq }),
                Ok(ControlEvent::Message(ToRelay::Renew { .. })) => {
                    let code = RefusalCode::Unauthenticated;
                    let words = "This link has no credential that could be renewed.";
                    Some(ToConnector::Refusal(refusal(code, words)))
                }
                Ok(ControlEvent::Message(_) | ControlEvent::Done(_)) => None,
                Ok(ControlEvent::Unknown(what)) => Some(ToConnector::Unsupported { what }),
                Ok(ControlEvent::Acks(acks)) => match flow.acknowledge(&acks) {
                    Ok(()) => None,
                    Err(error) => return error.into(),
                },
                Err(error) => return error,
            },
            () = std::future::poll_fn(|cx| flow.poll_due(cx, &mut frames)) => None,
            Ok(stream) = connection.accept_bi() => {
                if left == 0 {
                    return ControlStreamError::Ended;
                }
                left -= 1;
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
