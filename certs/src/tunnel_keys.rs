//! The relay's QUIC secrets, which must outlive its process so that a restart is noticed at once.

use std::fmt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::random::{RandomError, random_bytes};

const FILE: &str = "tunnel.keys";
const VERSION: u32 = 1;

/// Keys of the relay's QUIC endpoints. Print as a placeholder.
///
/// With the same reset and connection-id keys after a restart, a connector that still sends on an
/// old link gets a stateless reset (RFC 9000, 10.3) and dials again without waiting.
#[derive(Clone, PartialEq, Eq)]
pub struct TunnelKeys {
    /// Makes stateless reset tokens.
    pub reset: [u8; 64],
    /// Marks connection ids as ours.
    pub connection_id: u64,
    /// Seals address-validation tokens (RFC 9000, 8.1).
    pub address_token: [u8; 64],
}

/// Why there are no tunnel keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelKeysError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not hold what it should.
    #[error(
        "The file {} does not hold the tunnel's keys ({why}); it was left as it is, so put a \
         good copy in its place, or move it away to have new keys made",
        path.display()
    )]
    Corrupt {
        /// The file, left as it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// New keys could not be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// `tunnel.keys` as it stands in the file: the keys in hexadecimal.
#[derive(Serialize, Deserialize)]
struct KeysFile {
    version: u32,
    reset: String,
    connection_id: String,
    address_token: String,
}

impl TunnelKeys {
    /// The keys in `tunnel.keys` in the folder `dir`, made anew if there are none.
    pub fn open_or_create(dir: &Path) -> Result<Self, TunnelKeysError> {
        files::create_private_dir(dir)?;
        let path = dir.join(FILE);
        if let Some(json) = files::read_private_if_present(&path)? {
            return parse(&json).map_err(|why| TunnelKeysError::Corrupt { path, why });
        }
        let keys = Self {
            reset: random_bytes()?,
            connection_id: u64::from_be_bytes(random_bytes()?),
            address_token: random_bytes()?,
        };
        files::write_private_new(&path, keys.to_json().as_bytes())?;
        Ok(keys)
    }

    fn to_json(&self) -> String {
        let file = KeysFile {
            version: VERSION,
            reset: HEXLOWER.encode(&self.reset),
            connection_id: HEXLOWER.encode(&self.connection_id.to_be_bytes()),
            address_token: HEXLOWER.encode(&self.address_token),
        };
        serde_json::json!(file).to_string()
    }
}

impl fmt::Debug for TunnelKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelKeys(…)")
    }
}

fn parse(json: &[u8]) -> Result<TunnelKeys, String> {
    // The parser's own words may quote what it found, and that may be a key.
    let file: KeysFile = serde_json::from_slice(json).map_err(|error| {
        format!("it cannot be read from line {}, column {}, on", error.line(), error.column())
    })?;
    if file.version != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", file.version));
    }
    Ok(TunnelKeys {
        reset: key("reset", &file.reset)?,
        connection_id: u64::from_be_bytes(key("connection_id", &file.connection_id)?),
        address_token: key("address_token", &file.address_token)?,
    })
}

fn key<const N: usize>(name: &str, hex: &str) -> Result<[u8; N], String> {
    let bytes = HEXLOWER.decode(hex.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("`{name}` is not {} hexadecimal digits", 2 * N))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_then_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = TunnelKeys::open_or_create(dir.path()).unwrap();
        assert_eq!(TunnelKeys::open_or_create(dir.path()).unwrap(), first);
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(TunnelKeys::open_or_create(elsewhere.path()).unwrap(), first);
        assert_eq!(format!("{first:?}"), "TunnelKeys(…)");
    }

    #[test]
    fn a_broken_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let whole = TunnelKeys::open_or_create(dir.path()).unwrap().to_json();
        let shorter = whole.replace("\"connection_id\":\"", "\"connection_id\":\"00");
        let later = whole.replace("\"version\":1", "\"version\":2");
        for broken in ["", "{}", &whole[..whole.len() / 2], &shorter, &later] {
            std::fs::write(&path, broken).unwrap();
            let error = TunnelKeys::open_or_create(dir.path()).unwrap_err();
            assert!(matches!(error, TunnelKeysError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
    }
}
