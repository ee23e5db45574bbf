//! What secrets are called, and what may be told of them.

use std::fmt;
use std::str::FromStr;

/// The longest name, in characters.
const NAME_MAX: usize = 128;

/// What a secret is called: like a variable of an environment, with `.` and `-` besides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName(String);

/// A name that no secret can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "The name of a secret has 1 to {NAME_MAX} characters A-Z, a-z, 0-9, _, . and -, and begins \
     with a letter or _; choose another name."
)]
pub struct SecretNameError;

/// What is told of a secret to those who may not read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// When its value was set, in unix milliseconds.
    pub updated_at_ms: i64,
}

impl SecretName {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;
    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let letters = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if begins && letters && text.len() <= NAME_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(SecretNameError)
        }
    }
}

impl serde::Serialize for SecretName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_variables_with_dots_and_dashes() {
        for right in ["A", "_", "OPENAI_API_KEY", "tls.key-2", &"x".repeat(NAME_MAX)] {
            assert_eq!(right.parse::<SecretName>().unwrap().as_str(), right);
        }
        for wrong in
            ["", "1A", ".", "..", "-a", "a b", "a/b", "a=b", "ä", "a\n", &"x".repeat(NAME_MAX + 1)]
        {
            assert_eq!(wrong.parse::<SecretName>(), Err(SecretNameError), "{wrong:?}");
        }
    }
}
