//! Trades join tokens, and certificates that grow old, for new certificates.

use std::time::SystemTime;

use certs::{AgentCertificate, KeyHash};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use shared::codes::RefusalCode;
use shared::control::{Refusal, ToConnector, Version};
use shared::ids::WorkspaceId;

use super::admission::{check_renewal, check_version, refusal};
use super::listener::Tunnel;
use super::proof::Proof;
use crate::clock::unix_ms;
use crate::registry::{Actor, JoinRefusal, Lookup, StoreError};

/// A join token is this long, bytes.
const TOKEN_BYTES: usize = 32;

/// Redeems a join token: the key in `csr` becomes one of the workspace's.
pub async fn join(
    tunnel: &Tunnel,
    version: Version,
    claimed: WorkspaceId,
    token: &str,
    csr: &str,
) -> Result<ToConnector, Refusal> {
    check_version(version)?;
    let token = BASE64URL_NOPAD.decode(token.as_bytes()).ok().filter(|t| t.len() == TOKEN_BYTES);
    let token = token.ok_or_else(|| malformed("the join token is no base64url of 32 bytes"))?;
    let csr = decode_csr(csr)?;
    // The certificate is signed first, since signing also proves the key; it is worth nothing
    // until the registry knows that key.
    let certificate = sign(tunnel, &csr, claimed)?;
    let hash = Sha256::digest(&token).into();
    let redeemed = tunnel
        .registry
        .redeem_join_token(hash, certificate.key_hash.0, unix_ms(), Actor::relay())
        .await;
    match redeemed.map_err(|error| store_refusal(&error))? {
        Ok(workspace) if workspace == claimed => {
            certificate_message(tunnel, workspace, &certificate)
        }
        Ok(workspace) => {
            tracing::warn!(%workspace, %claimed, "a join token was used for another workspace");
            Err(refusal(
                RefusalCode::WrongWorkspace,
                "This join token is for another workspace than the join string says.",
            ))
        }
        Err(refused) => {
            let code = match refused {
                JoinRefusal::Unknown => RefusalCode::JoinUnknown,
                JoinRefusal::Used => RefusalCode::JoinUsed,
                JoinRefusal::Expired => RefusalCode::JoinExpired,
                JoinRefusal::WorkspaceGone => RefusalCode::WorkspaceGone,
            };
            Err(refusal(code, format!("{refused} (relay workspace join {claimed})")))
        }
    }
}

/// Renews a certificate: the key behind the link must be known and unrevoked, its time may be over.
pub async fn renew(tunnel: &Tunnel, proof: &Proof, csr: &str) -> Result<ToConnector, Refusal> {
    let (workspace, identity) =
        check_renewal(proof, proof.standing(&tunnel.registry), SystemTime::now())?;
    let certificate = sign(tunnel, &decode_csr(csr)?, workspace)?;
    let KeyHash(key) = certificate.key_hash;
    let asking = identity.key_hash.0;
    let added =
        tunnel.registry.renew_agent_key(workspace, asking, key, unix_ms(), Actor::relay()).await;
    added.map_err(|error| store_refusal(&error))?;
    tracing::info!(%workspace, "certificate renewed");
    certificate_message(tunnel, workspace, &certificate)
}

fn decode_csr(csr: &str) -> Result<Vec<u8>, Refusal> {
    BASE64URL_NOPAD.decode(csr.as_bytes()).map_err(|_| malformed("the CSR is no base64url"))
}

fn sign(tunnel: &Tunnel, csr: &[u8], workspace: WorkspaceId) -> Result<AgentCertificate, Refusal> {
    tunnel
        .authority
        .sign_agent(csr, &workspace, SystemTime::now())
        .map_err(|error| malformed(&error.to_string()))
}

fn certificate_message(
    tunnel: &Tunnel,
    workspace: WorkspaceId,
    certificate: &AgentCertificate,
) -> Result<ToConnector, Refusal> {
    let Lookup::Live(row) = tunnel.registry.by_id(&workspace) else {
        return Err(refusal(RefusalCode::WorkspaceGone, format!("{workspace} was removed.")));
    };
    let chain = certificate.chain.iter().map(|der| BASE64URL_NOPAD.encode(der)).collect();
    let public_url = tunnel.public.base_of(&row);
    Ok(ToConnector::Certificate { chain, public_url, endpoints: tunnel.endpoints.clone() })
}

fn malformed(what: &str) -> Refusal {
    refusal(RefusalCode::Malformed, format!("The request cannot be used: {what}."))
}

fn store_refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::UnknownWorkspace { .. } | StoreError::WorkspaceGone { .. } => {
            refusal(RefusalCode::WorkspaceGone, error.to_string())
        }
        StoreError::KeyRevoked { .. } => refusal(RefusalCode::Revoked, error.to_string()),
        StoreError::KeyOfAnother { .. } => refusal(RefusalCode::WrongWorkspace, error.to_string()),
        other => {
            tracing::warn!(error = %other, "an enrolment could not be stored");
            let mut refused = refusal(
                RefusalCode::StoreUnavailable,
                "The relay cannot reach its store now; try again in a moment.",
            );
            refused.retry_after_ms = Some(5_000);
            refused
        }
    }
}
