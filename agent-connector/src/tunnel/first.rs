//! The first message of a link and its answer.

use certs::CaFingerprint;
use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::CertificateDer;
use shared::codes::CloseCode;
use shared::control::{ToConnector, ToRelay, Version};
use shared::control_stream::{ControlEvent, ControlReader, ControlStreamError, ControlWriter};
use shared::limits::{HANDSHAKE_TIMEOUT, VERSION_MAJOR, VERSION_MINOR};
use tokio::time::timeout;
use transport::{Connection, RecvStream, SendStream};

use super::dial::{Dialed, Socket};
use super::error::LinkError;

/// Name and version of this software, for the relay's log.
pub(crate) const SOFTWARE: &str = concat!("agent-connector/", env!("CARGO_PKG_VERSION"));

/// A connection whose control stream is open.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
    pub(crate) endpoint: String,
    pub(crate) reader: ControlReader<RecvStream>,
    pub(crate) writer: ControlWriter<SendStream>,
}

/// This connector's version of the protocol.
pub(crate) const fn version() -> Version {
    Version { major: VERSION_MAJOR, minor: VERSION_MINOR }
}

/// Opens the control stream with `message` and waits for the answer, which is no refusal.
pub(crate) async fn ask(
    dialed: Dialed,
    message: &ToRelay,
) -> Result<(ToConnector, Opened), LinkError> {
    let connection = dialed.connection.clone();
    let asked = timeout(HANDSHAKE_TIMEOUT, open_and_ask(dialed, message)).await;
    match asked {
        Ok(Ok((ToConnector::Refusal(refusal), _))) => Err(LinkError::Refused(refusal)),
        Ok(Ok(answered)) => Ok(answered),
        // A connection that was closed says best why.
        Ok(Err(error)) => Err(match connection.close_reason() {
            Some(reason) => LinkError::of_loss(&reason),
            None => error,
        }),
        Err(_) => {
            close(&connection, CloseCode::Timeout);
            Err(LinkError::Malformed("its first message did not come in time".into()))
        }
    }
}

async fn open_and_ask(
    dialed: Dialed,
    message: &ToRelay,
) -> Result<(ToConnector, Opened), LinkError> {
    let Dialed { connection, socket, endpoint } = dialed;
    let opened = connection.open_bi().await;
    let (send, recv) = opened.map_err(|error| LinkError::of_loss(&error))?;
    let (mut reader, mut writer) = (ControlReader::new(recv), ControlWriter::new(send));
    writer.send(message).await.map_err(of_control)?;
    match reader.next::<ToConnector>().await.map_err(of_control)? {
        ControlEvent::Message(answer) => {
            Ok((answer, Opened { connection, socket, endpoint, reader, writer }))
        }
        _ => Err(LinkError::Malformed("its first message is of no known kind".into())),
    }
}

/// Ends a connection for a reason of our own.
pub(crate) fn close(connection: &Connection, code: CloseCode) {
    connection.close(code, code.name());
}

pub(crate) fn of_control(error: ControlStreamError) -> LinkError {
    match error {
        ControlStreamError::Ended | ControlStreamError::Lost(_) => {
            LinkError::Lost(error.to_string())
        }
        ControlStreamError::Wire(_) | ControlStreamError::Message(_) => {
            LinkError::Malformed(error.to_string())
        }
    }
}

/// The certificates of a CERTIFICATE.
pub(crate) fn read_chain(
    chain: &[String],
    ca: CaFingerprint,
) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let decoded: Result<Vec<_>, _> =
        chain.iter().map(|der| BASE64URL_NOPAD.decode(der.as_bytes())).collect();
    let decoded = decoded.map_err(|_| {
        LinkError::Malformed(format!("the certificate chain of {ca} is no base64url"))
    })?;
    Ok(decoded.into_iter().map(CertificateDer::from).collect())
}
