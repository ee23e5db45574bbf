//! A text that proves something to whoever gets it, and is never printed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A credential as text. It prints as dots; [`Secret::reveal`] is for the places that hand it to
/// whoever it is for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_dots_and_crosses_as_text() {
        let secret = Secret::new("rtok_x".into());
        assert_eq!(format!("{secret:?}"), "…");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"rtok_x\"");
    }
}
