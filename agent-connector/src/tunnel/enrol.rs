//! Trades a join token, or a certificate that grew old, for a new certificate.

use certs::{Identity, JoinString, PendingKey, Profile, StateDir, Worked};
use data_encoding::BASE64URL_NOPAD;
use shared::codes::CloseCode;
use shared::control::{ToConnector, ToRelay};

use super::dial::{Relay, dial};
use super::error::LinkError;
use super::first::{ask, close, read_chain, version};
use crate::config::Way;

/// Redeems `join` at `relay` and keeps the identity. The key outlives a lost answer, and the relay
/// takes the token from the same key again.
pub(crate) async fn join(
    state: &StateDir,
    join: &JoinString,
    relay: &Relay,
    way: &Way,
) -> Result<Identity, LinkError> {
    let key = state.pending_key(&join.workspace)?;
    let message = ToRelay::Join {
        version: version(),
        workspace_id: join.workspace,
        token: BASE64URL_NOPAD.encode(&join.token.0),
        csr: BASE64URL_NOPAD.encode(&key.csr_der()?),
    };
    let dialed = dial(relay, None, way).await?;
    let (answer, opened) = ask(dialed, &message).await?;
    close(&opened.connection, CloseCode::Done);
    let ToConnector::Certificate { chain, public_url, endpoints } = answer else {
        return Err(LinkError::Malformed("JOIN was not answered by CERTIFICATE".into()));
    };
    let (transport, endpoint) = (opened.connection.kind().name().to_owned(), opened.endpoint);
    let profile = Profile {
        workspace: join.workspace,
        endpoints: with_proven(endpoints, &endpoint),
        ca: relay.ca,
        public_url: Some(public_url),
        host_url: None,
        worked: Some(Worked { transport, endpoint }),
    };
    let identity = state.save(&profile, key, read_chain(&chain, relay.ca)?)?;
    tracing::info!(workspace = %identity.workspace, "joined: this agent has its own identity now");
    Ok(identity)
}

/// Renews the certificate of `identity` on a link of its own, as an expired one must.
pub(crate) async fn renew(
    state: &StateDir,
    identity: &Identity,
    relay: &Relay,
    way: &Way,
) -> Result<Identity, LinkError> {
    let pending = state.begin_renewal(&identity.workspace)?;
    let message = renewal(&pending)?;
    let dialed = dial(relay, Some(identity), way).await?;
    let (answer, opened) = ask(dialed, &message).await?;
    close(&opened.connection, CloseCode::Done);
    let ToConnector::Certificate { chain, .. } = answer else {
        return Err(LinkError::Malformed("RENEW was not answered by CERTIFICATE".into()));
    };
    complete(pending, &chain, identity)
}

/// The message that asks for a certificate for the key of `pending`.
pub(crate) fn renewal(pending: &PendingKey) -> Result<ToRelay, LinkError> {
    Ok(ToRelay::Renew { csr: BASE64URL_NOPAD.encode(&pending.csr_der()?) })
}

/// Keeps the renewed certificate in place of the old one.
pub(crate) fn complete(
    pending: PendingKey,
    chain: &[String],
    identity: &Identity,
) -> Result<Identity, LinkError> {
    let renewed = pending.complete(read_chain(chain, identity.ca)?)?;
    tracing::info!(workspace = %renewed.workspace, "certificate renewed");
    Ok(renewed)
}

/// The endpoints that the relay names, and behind them the one that has proven to work.
pub(crate) fn with_proven(mut endpoints: Vec<String>, proven: &str) -> Vec<String> {
    if !endpoints.iter().any(|endpoint| endpoint == proven) {
        endpoints.push(proven.to_owned());
    }
    endpoints
}
