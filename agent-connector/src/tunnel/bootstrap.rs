//! A link without a credential, on which nothing but a registration crosses.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use shared::codes::CloseCode;
use shared::control::{ToConnector, ToRelay};
use shared::control_stream::{ControlEvent, ControlReader, ControlStreamError, ControlWriter};
use shared::flow::LinkFlow;
use tokio::task::JoinSet;
use transport::{RecvStream, SendStream};

use super::dial::{Relay, Socket, dial};
use super::error::LinkError;
use super::first::{Opened, ask, close, version};
use super::uplink::{Uplink, Uplinks};
use crate::config::Way;

/// A link for a registration. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct BootstrapLink {
    uplink: Arc<Uplink>,
    /// Calls that it still carries.
    left: u64,
    _driver: JoinSet<()>,
    _socket: Socket,
}

/// Dials `relay` without a credential.
pub(crate) async fn open(
    relay: &Relay,
    way: &Way,
    uplinks: &Uplinks,
) -> Result<BootstrapLink, LinkError> {
    let dialed = dial(relay, None, way).await?;
    let (answer, opened) = ask(dialed, &ToRelay::Bootstrap { version: version() }).await?;
    let Opened { connection, socket, reader, writer, .. } = opened;
    let ToConnector::Ready { calls: left, .. } = answer else {
        close(&connection, CloseCode::Protocol);
        return Err(LinkError::Malformed("BOOTSTRAP was not answered by READY".into()));
    };
    let flow = LinkFlow::default();
    let uplink = uplinks.over(connection.clone(), flow.clone());
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(error) = drive(reader, writer, flow).await {
            tracing::debug!(%error, "the link for the registration ended");
        }
        close(&connection, CloseCode::Done);
    });
    Ok(BootstrapLink { uplink, left, _driver: driver, _socket: socket })
}

impl BootstrapLink {
    /// The way up for one more call, unless the link has carried all that it carries.
    pub(crate) fn take(&mut self) -> Option<Arc<Uplink>> {
        if self.uplink.is_closed() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(Arc::clone(&self.uplink))
    }
}

/// Serves the control stream: without it no body is longer than its first credit.
async fn drive(
    mut reader: ControlReader<RecvStream>,
    mut writer: ControlWriter<SendStream>,
    flow: LinkFlow,
) -> Result<(), ControlStreamError> {
    let mut acks = BytesMut::new();
    loop {
        tokio::select! {
            event = reader.next::<ToConnector>() => match event? {
                ControlEvent::Acks(acks) => flow.acknowledge(&acks)?,
                ControlEvent::Message(ToConnector::Ping { seq }) => {
                    writer.send(&ToRelay::Pong { seq }).await?;
                }
                ControlEvent::Message(_) | ControlEvent::Unknown(_) | ControlEvent::Done(_) => {}
            },
            () = poll_fn(|cx| flow.poll_due(cx, &mut acks)) => {
                writer.send_frames(&acks.split()).await?;
            }
        }
    }
}
