//! Enums that are words: in the store, in commands and in answers.

/// A word that is none of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("There is no such {what}; choose one of {choices}.")]
pub struct PolicyError {
    pub(super) what: &'static str,
    pub(super) choices: &'static str,
}

macro_rules! words {
    ($type:ident, $what:literal, $choices:literal, $($variant:ident = $text:literal),+) => {
        impl $type {
            /// The word, as it is written in the store, in commands and in answers.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $type {
            type Err = $crate::registry::PolicyError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::registry::PolicyError { what: $what, choices: $choices }),
                }
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use words;
