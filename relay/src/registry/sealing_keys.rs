//! The keys that seal secrets: kept beside the store, never in it, so that the store alone opens
//! none.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::FileError;
use certs::files;
use certs::random::{RandomError, random_bytes};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

/// The file in the data directory.
pub const SEALING_KEY_FILE: &str = "sealing-key";

/// A key, bytes.
pub(super) const KEY_BYTES: usize = 32;

/// Of the hash that names a key this many bytes are kept: enough to tell a few keys apart.
const ID_BYTES: usize = 8;

/// One or more keys: the first seals, all open.
#[derive(Clone)]
pub struct SealingKeys {
    first: Arc<SealingKey>,
    others: Arc<[SealingKey]>,
}

/// One key with the name by which the store refers to it.
pub(super) struct SealingKey {
    pub(super) id: String,
    pub(super) bytes: [u8; KEY_BYTES],
}

/// Why there are no sealing keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeysError {
    /// There is not one key.
    #[error("There is no sealing key; give one a line, 32 bytes in base64url or hexadecimal.")]
    None,
    /// One of them is none.
    #[error("Line {line} of the sealing keys is not 32 bytes in base64url or hexadecimal.")]
    Shape {
        /// Which line, from 1.
        line: usize,
    },
    /// The file holds something else.
    #[error("The file {}: {why} It was left as it is; put a good copy in its place.", path.display())]
    NotInFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: Box<SealingKeysError>,
    },
    /// The file is no text.
    #[error("It is not text.")]
    NotText,
    /// The file cannot be used.
    #[error("{0}.")]
    File(#[from] FileError),
    /// No fresh one could be made.
    #[error("{0}.")]
    Random(#[from] RandomError),
}

impl SealingKeys {
    /// The keys in `text`: one a line, base64url or hexadecimal of 32 bytes; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, SealingKeysError> {
        let mut keys = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let word = text.split('#').next().unwrap_or_default().trim();
            if word.is_empty() {
                continue;
            }
            keys.push(SealingKey::new(decode(word).ok_or(SealingKeysError::Shape { line })?));
        }
        let mut keys = keys.into_iter();
        let first = Arc::new(keys.next().ok_or(SealingKeysError::None)?);
        Ok(Self { first, others: keys.collect() })
    }

    /// The keys in the file at `path`, which must be its owner's alone.
    pub fn read(path: &Path) -> Result<Self, SealingKeysError> {
        let read = String::from_utf8(files::read_private(path)?);
        read.map_err(|_| SealingKeysError::NotText)
            .and_then(|text| Self::parse(&text))
            .map_err(|why| SealingKeysError::NotInFile { path: path.to_owned(), why: why.into() })
    }

    /// The keys of a data directory. Where there are none yet, a fresh one is made and kept.
    pub fn read_or_make(data_dir: &Path) -> Result<Self, SealingKeysError> {
        let path = data_dir.join(SEALING_KEY_FILE);
        match Self::read(&path) {
            Err(SealingKeysError::File(FileError::Missing { .. })) => {}
            other => return other,
        }
        files::create_private_dir(data_dir)?;
        let text = format!(
            "# Opens the secrets in this relay's store: keep a copy, apart from the store's.\n{}\n",
            BASE64URL_NOPAD.encode(&random_bytes::<KEY_BYTES>()?)
        );
        match files::write_private_new(&path, text.as_bytes()) {
            Ok(()) | Err(FileError::Exists { .. }) => Self::read(&path),
            Err(error) => Err(error.into()),
        }
    }

    /// One fresh key, kept nowhere.
    pub fn random() -> Result<Self, SealingKeysError> {
        Ok(Self { first: Arc::new(SealingKey::new(random_bytes()?)), others: Arc::default() })
    }

    /// The key that seals.
    pub(super) fn first(&self) -> &SealingKey {
        &self.first
    }

    /// The key of this name.
    pub(super) fn named(&self, id: &str) -> Option<&SealingKey> {
        self.all().find(|key| key.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&*self.first).chain(self.others.iter())
    }
}

impl SealingKey {
    fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update("relay sealing key").chain_update(bytes).finalize();
        let id = HEXLOWER.encode(digest.get(..ID_BYTES).unwrap_or_default());
        Self { id, bytes }
    }
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|key| &key.id)).finish()
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id, f)
    }
}

fn decode(word: &str) -> Option<[u8; KEY_BYTES]> {
    let bytes = HEXLOWER_PERMISSIVE
        .decode(word.as_bytes())
        .or_else(|_| BASE64URL_NOPAD.decode(word.trim_end_matches('=').as_bytes()))
        .ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn ids(keys: &SealingKeys) -> Vec<String> {
        keys.all().map(|key| key.id.clone()).collect()
    }

    #[test]
    fn one_key_has_one_id_in_every_spelling() {
        let id = ids(&SealingKeys::parse(HEX).unwrap());
        assert_eq!(id[0].len(), 16);
        for text in [
            BASE64.to_owned(),
            format!("{BASE64}="),
            HEX.to_uppercase(),
            format!("# ours\n\n  {HEX} # since May\r\n#{BASE64}"),
        ] {
            assert_eq!(ids(&SealingKeys::parse(&text).unwrap()), id, "{text}");
        }
    }

    #[test]
    fn the_id_is_that_of_the_contract() {
        let digest = Sha256::digest([&b"relay sealing key"[..], &[7; 32]].concat());
        assert_eq!(SealingKey::new([7; 32]).id, HEXLOWER.encode(&digest[..8]));
    }

    #[test]
    fn the_first_of_several_seals() {
        let other = "ff".repeat(32);
        let keys = SealingKeys::parse(&format!("{other}\n{HEX}\n")).unwrap();
        assert_eq!(keys.first().bytes, [0xFF; 32]);
        assert_eq!(ids(&keys).len(), 2);
        assert!(ids(&keys).iter().all(|id| keys.named(id).is_some()));
        assert!(keys.named("0000000000000000").is_none());
    }

    #[test]
    fn what_is_no_key_is_named_by_its_line_and_never_shown() {
        for text in ["", "\n \n", "# nothing"] {
            assert!(matches!(SealingKeys::parse(text), Err(SealingKeysError::None)), "{text:?}");
        }
        for wrong in ["x", &HEX[..62], &format!("{HEX}00"), &BASE64[1..], &format!("{HEX} {HEX}")] {
            let refused = SealingKeys::parse(&format!("{BASE64}\n{wrong}")).unwrap_err();
            assert!(matches!(refused, SealingKeysError::Shape { line: 2 }), "{wrong}: {refused}");
            assert!(!refused.to_string().contains(wrong) || wrong == "x");
        }
    }

    #[test]
    fn debug_shows_ids_only() {
        let shown = format!("{:?}", SealingKeys::parse(HEX).unwrap());
        assert_eq!(shown, format!("[{:?}]", SealingKey::new(decode(HEX).unwrap()).id));
    }

    #[test]
    fn the_first_start_makes_a_key_and_the_next_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let made = SealingKeys::read_or_make(&data_dir).unwrap();
        assert_eq!(ids(&SealingKeys::read_or_make(&data_dir).unwrap()), ids(&made));
        let path = data_dir.join(SEALING_KEY_FILE);
        assert!(files::is_private(&path).unwrap());
        assert_eq!(ids(&SealingKeys::read(&path).unwrap()), ids(&made));
        assert_ne!(ids(&SealingKeys::random().unwrap()), ids(&made));
    }

    #[test]
    fn a_file_that_others_can_read_or_that_holds_no_key_is_refused_and_kept() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SEALING_KEY_FILE);
        for (content, mode) in [(HEX.as_bytes(), 0o644), (b"no key", 0o600), (b"\xFF\xFE", 0o600)] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let refused = SealingKeys::read_or_make(dir.path()).unwrap_err().to_string();
            assert!(refused.contains(&path.display().to_string()), "{refused}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
