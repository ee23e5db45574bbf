//! The admin token: the one credential that may do everything.

use std::fmt;
use std::path::Path;

use certs::FileError;
use certs::files;
use certs::random::{RandomError, random_bytes};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// The variable that holds the token itself.
pub const ADMIN_TOKEN_VARIABLE: &str = "RELAY_ADMIN_TOKEN";
/// The file in the data directory.
pub const ADMIN_TOKEN_FILE: &str = "admin-token";
/// What the tokens that we make begin with.
const PREFIX: &str = "radm_";

/// The admin token, known by its SHA-256: the relay only ever compares it.
#[derive(Clone)]
pub struct AdminToken {
    digest: [u8; 32],
    bytes: usize,
}

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// The text cannot stand in a header.
    #[error(
        "The admin token is empty or has spaces, control characters or letters beyond ASCII; \
         give one of plain visible characters."
    )]
    Shape,
    /// Its file cannot be used.
    #[error("{0}.")]
    File(#[from] FileError),
    /// The file holds something else.
    #[error("The file {path} holds no admin token of plain visible characters on one line.")]
    NotInFile {
        /// The file.
        path: String,
    },
    /// No fresh one could be made.
    #[error("{0}.")]
    Random(#[from] RandomError),
}

impl AdminToken {
    /// The token `text`, without the space around it.
    pub fn new(text: &str) -> Result<Self, AdminTokenError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AdminTokenError::Shape);
        }
        Ok(Self { digest: digest(text), bytes: text.len() })
    }

    /// The token in the file at `path`, which must be its owner's alone.
    pub fn read(path: &Path) -> Result<Self, AdminTokenError> {
        Self::new(&read_text(path)?)
    }

    /// The token of a data directory. Where there is none yet, a fresh one is made and kept.
    pub fn read_or_make(data_dir: &Path) -> Result<Self, AdminTokenError> {
        let path = data_dir.join(ADMIN_TOKEN_FILE);
        match Self::read(&path) {
            Err(AdminTokenError::File(FileError::Missing { .. })) => {}
            other => return other,
        }
        files::create_private_dir(data_dir)?;
        match files::write_private_new(&path, format!("{}\n", fresh()?).as_bytes()) {
            Ok(()) | Err(FileError::Exists { .. }) => Self::read(&path),
            Err(error) => Err(error.into()),
        }
    }

    /// Its length, bytes: nothing shorter can hold it.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether `word`, out of some header field, is this token. Most are told by their length.
    pub fn is(&self, word: &[u8]) -> bool {
        word.len() == self.bytes && std::str::from_utf8(word).is_ok_and(|word| self.matches(word))
    }

    /// Whether `presented` is this token. Takes the same time whatever it is: digests are
    /// compared, and where they part tells nothing about the texts.
    pub fn matches(&self, presented: &str) -> bool {
        digest(presented) == self.digest
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// The text of the token in the file at `path`, for whoever presents it.
pub fn read_text(path: &Path) -> Result<String, AdminTokenError> {
    let wrong = || AdminTokenError::NotInFile { path: path.display().to_string() };
    let text = String::from_utf8(files::read_private(path)?).map_err(|_| wrong())?;
    match AdminToken::new(&text) {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(_) => Err(wrong()),
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// 256 random bits.
fn fresh() -> Result<String, RandomError> {
    let bytes: [u8; 32] = random_bytes()?;
    Ok(format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_makes_a_token_and_the_next_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let made = AdminToken::read_or_make(&data_dir).unwrap();
        let text = read_text(&data_dir.join(ADMIN_TOKEN_FILE)).unwrap();
        assert!(text.starts_with("radm_") && text.len() == 5 + 52, "{} characters", text.len());
        assert!(made.matches(&text));
        assert!(AdminToken::read_or_make(&data_dir).unwrap().matches(&text));
        assert!(files::is_private(&data_dir.join(ADMIN_TOKEN_FILE)).unwrap());
    }

    #[test]
    fn only_the_token_matches() {
        let token = AdminToken::new(" secret\n").unwrap();
        assert!(token.matches("secret"));
        for wrong in ["", "secre", "secrets", "SECRET", " secret"] {
            assert!(!token.matches(wrong), "{wrong:?}");
        }
        assert!(!format!("{token:?}").contains("secret"));
        for wrong in ["", " ", "two words", "höchst", "a\nb"] {
            assert!(AdminToken::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
