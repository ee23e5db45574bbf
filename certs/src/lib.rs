//! Who is who on a link: the relay's certificate authority, the agents' certificates, join
//! strings, and every TLS configuration.
//!
//! The relay owns an [`Authority`] and serves with [`relay_tls`]. A connector is given a
//! [`JoinString`], makes its own [`KeyPair`], has it signed once for a short time, keeps both in a
//! [`StateDir`] and dials with [`connector_tls`]. What the relay believes about an agent is what
//! [`AgentIdentity`] reads out of the certificate, and nothing else. Secrets are written with mode
//! 0600, replaced atomically, refused when others can read them, and never printed; this crate
//! knows Unix file modes only.

pub mod agent;
pub mod authority;
pub mod csr;
pub mod files;
pub mod fingerprint;
pub mod identity;
pub mod join;
pub mod join_token;
mod pem;
pub mod random;
pub mod state;
mod time;
pub mod tls;
pub mod tunnel_keys;

pub use agent::{AgentIdentity, NotAnAgent};
pub use authority::{
    AGENT_CERTIFICATE_DAYS, AgentCertificate, Authority, AuthorityError, RELAY_NAME, RelayIdentity,
    SignError,
};
pub use csr::{CSR_BYTES_MAX, CsrError, KeyError, KeyPair};
pub use files::FileError;
pub use fingerprint::{CaFingerprint, FingerprintError, KeyHash};
pub use identity::{CredentialMismatch, Identity, IdentityError, Profile, Worked};
pub use join::{InvalidEndpoints, JoinError, JoinString};
pub use join_token::JoinToken;
pub use random::RandomError;
pub use state::{PendingKey, StateDir, StateLock};
pub use tls::public::{PublicCertificate, PublicTlsError, public_tls};
pub use tls::{TlsError, WRONG_AUTHORITY_ALERT, connector_tls, is_wrong_authority, relay_tls};
pub use tunnel_keys::{TunnelKeys, TunnelKeysError};
