//! What the mock agent does with a request: told when it starts, or by the request itself.

use std::{str::FromStr, time::Duration};

/// The document that lets answers go which are held.
pub(super) const HELD_UNTIL: &str = "/released";

/// One behaviour; the words are those of the agent's start, of the header `x-test-behaviour`, and of
/// the path `/test/{words}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// `a2a`: JSON-RPC, `message/send` and `message/stream`.
    A2a,
    /// `echo`: the body comes back as it comes in, with its content type.
    Echo,
    /// `hash`: JSON with length and SHA-256, when the whole body is here.
    Hash,
    /// `big:BYTES`, with a length; `big-chunked:BYTES`, without.
    Big {
        /// Bytes of the answer.
        length: u64,
        /// Without `Content-Length`.
        chunked: bool,
    },
    /// `slow-head:MS`: as `a2a`, but the head comes so much later.
    SlowHead(Duration),
    /// `held`: as `a2a`, but the head comes once the document `/released` is there.
    Held,
    /// `early-answer`: 200 and the end of the connection before the body is read.
    EarlyAnswer,
    /// `never`: reads the body and never answers.
    Never,
    /// `status:CODE`: this status, with a short JSON body.
    Status(u16),
}

impl FromStr for Behaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Behaviour, String> {
        let (word, number) = text.split_once(':').unwrap_or((text, ""));
        let value = || number.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        Ok(match word {
            "a2a" => Behaviour::A2a,
            "echo" => Behaviour::Echo,
            "hash" => Behaviour::Hash,
            "big" => Behaviour::Big { length: value()?, chunked: false },
            "big-chunked" => Behaviour::Big { length: value()?, chunked: true },
            "slow-head" => Behaviour::SlowHead(Duration::from_millis(value()?)),
            "held" => Behaviour::Held,
            "early-answer" => Behaviour::EarlyAnswer,
            "never" => Behaviour::Never,
            "status" => Behaviour::Status(number.parse().map_err(|e| format!("{text}: {e}"))?),
            _ => return Err(format!("{text}: no such behaviour")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_behaviours() {
        assert_eq!("big:7".parse(), Ok(Behaviour::Big { length: 7, chunked: false }));
        assert_eq!("slow-head:20".parse(), Ok(Behaviour::SlowHead(Duration::from_millis(20))));
        assert!("big".parse::<Behaviour>().is_err() && "dance".parse::<Behaviour>().is_err());
    }
}
