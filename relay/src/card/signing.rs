//! The relay's own signature of cards that it had to edit: a key that lasts, and where readers find it.

use std::fmt;
use std::path::Path;

use certs::FileError;
use certs::files;
use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::public::PublicUrl;

/// The file of the data directory that holds the key: PKCS#8, base64url.
pub const CARD_KEY_FILE: &str = "card-key";
/// Where the relay serves its public key (RFC 7517), below the public URL.
pub const KEYS_PATH: &str = "/.well-known/jwks.json";

/// Signs cards with ECDSA P-256 and SHA-256 (`ES256`, RFC 7518, 3.4).
pub struct CardSigner {
    key: EcdsaKeyPair,
    random: SystemRandom,
    key_id: String,
    protected: String,
    jwk: Value,
}

/// Why the relay cannot sign cards.
#[derive(Debug, thiserror::Error)]
pub enum CardKeyError {
    /// The file cannot be read or written.
    #[error("{0}.")]
    File(#[from] FileError),
    /// It holds something else.
    #[error(
        "The file {path} holds no key for cards; it was left as it is. Put a good copy in its place, \
         or move it away to have a new one made."
    )]
    Corrupt {
        /// The file.
        path: String,
    },
    /// None could be made.
    #[error("The system gives no random numbers for a key.")]
    Random,
}

impl fmt::Debug for CardSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CardSigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl CardSigner {
    /// The signer of a data directory; where it has no key yet, one is made and kept.
    pub fn open_or_create(data_dir: &Path, public: &PublicUrl) -> Result<Self, CardKeyError> {
        let path = data_dir.join(CARD_KEY_FILE);
        let text = match files::read_private(&path) {
            Err(FileError::Missing { .. }) => {
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let fresh = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new())
                    .map_err(|_| CardKeyError::Random)?;
                let text = BASE64URL_NOPAD.encode(fresh.as_ref());
                match files::write_private_new(&path, format!("{text}\n").as_bytes()) {
                    Ok(()) | Err(FileError::Exists { .. }) => files::read_private(&path)?,
                    Err(error) => return Err(error.into()),
                }
            }
            read => read?,
        };
        Self::of(text.trim_ascii(), public)
            .ok_or_else(|| CardKeyError::Corrupt { path: path.display().to_string() })
    }

    fn of(text: &[u8], public: &PublicUrl) -> Option<Self> {
        let pkcs8 = BASE64URL_NOPAD.decode(text).ok()?;
        let random = SystemRandom::new();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8, &random).ok()?;
        // An uncompressed point: 4, then both coordinates (SEC 1, 2.3.3).
        let point = key.public_key().as_ref().strip_prefix(&[4])?;
        let (x, y) = point.split_at_checked(32)?;
        let (x, y) = (BASE64URL_NOPAD.encode(x), BASE64URL_NOPAD.encode(y));
        // RFC 7638: these members, in this order.
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let key_id = BASE64URL_NOPAD.encode(&Sha256::digest(thumbprint));
        let jku = format!("{public}{KEYS_PATH}");
        let header = json!({ "alg": "ES256", "jku": jku, "kid": key_id, "typ": "JOSE" });
        let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        let jwk = json!({
            "alg": "ES256", "crv": "P-256", "kid": key_id, "kty": "EC", "use": "sig", "x": x, "y": y,
        });
        Some(Self { key, random, key_id, protected, jwk })
    }

    /// The name of its key: the thumbprint.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Its public key, as a set.
    pub fn key_set(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// One entry of `signatures` (A2A 1.0, 4.4.7) for a card of this canonical form, as JSON; `None`
    /// only where the system gives no random numbers.
    pub(super) fn sign(&self, canonical: &str) -> Option<String> {
        let payload = BASE64URL_NOPAD.encode(canonical.as_bytes());
        let signed = format!("{}.{payload}", self.protected);
        let signature = self.key.sign(&self.random, signed.as_bytes()).ok()?;
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let protected = &self.protected;
        Some(format!(r#"{{"protected":"{protected}","signature":"{signature}"}}"#))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn public() -> PublicUrl {
        "https://relay.example".parse().unwrap()
    }

    #[test]
    fn a_key_lasts_and_its_signature_holds() {
        let folder = tempfile::tempdir().unwrap();
        let signer = CardSigner::open_or_create(folder.path(), &public()).unwrap();
        let again = CardSigner::open_or_create(folder.path(), &public()).unwrap();
        assert_eq!(signer.key_set(), again.key_set());
        let entry: Value = serde_json::from_str(&signer.sign("{}").unwrap()).unwrap();
        let signed = format!("{}.e30", entry["protected"].as_str().unwrap());
        let signature = BASE64URL_NOPAD.decode(entry["signature"].as_str().unwrap().as_bytes());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, again.key.public_key());
        assert!(key.verify(signed.as_bytes(), &signature.unwrap()).is_ok());
        assert!(!format!("{signer:?}").contains("protected"));
    }

    #[test]
    fn a_file_that_holds_no_key_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CARD_KEY_FILE);
        files::write_private_new(&path, b"not a key").unwrap();
        let refused = CardSigner::open_or_create(folder.path(), &public()).unwrap_err();
        assert!(matches!(refused, CardKeyError::Corrupt { .. }), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key");
    }
}
