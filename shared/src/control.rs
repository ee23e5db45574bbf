//! The messages of the control stream: self-describing JSON, one object per CONTROL frame.
//!
//! Unknown fields are ignored. An unknown `kind` is answered by UNSUPPORTED, which names it, and the
//! link goes on: so a relay and a connector one minor version apart work together.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codes::RefusalCode;
use crate::exposure::Exposure;
use crate::ids::{Generation, InstanceId, WorkspaceId};
use crate::limits::CONTROL_BYTES_MAX;
use crate::secret::Secret;

/// A protocol version. Ends with another major number refuse each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Changes when the wire changes.
    pub major: u16,
    /// Grows when something is added.
    pub minor: u16,
}

/// What a connector sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum ToRelay {
    /// First message of a link that carries requests.
    Hello(Box<Hello>),
    /// First message of a link that trades a join token for a certificate.
    Join {
        /// The sender's version.
        version: Version,
        /// The workspace that the join string names.
        workspace_id: WorkspaceId,
        /// The one-time token, base64url without padding.
        token: String,
        /// PKCS#10 request in DER, base64url without padding: proves the private key.
        csr: String,
    },
    /// First message of a link without a credential, on which nothing but a registration crosses.
    Bootstrap {
        /// The sender's version.
        version: Version,
    },
    /// Asks for a new certificate; on a live link, or as first message with an expired one.
    Renew {
        /// PKCS#10 request in DER, base64url without padding.
        csr: String,
    },
    /// The agent's status, whole.
    Heartbeat(Box<Status>),
    /// The agent's public card as read locally, or null when it has none.
    Card {
        /// The card's JSON.
        card: Value,
    },
    /// What the connector lets through, whole; replaces what HELLO announced.
    Exposure {
        /// The new list.
        exposure: Exposure,
    },
    /// Asks for a PONG with the same number.
    Ping {
        /// Counts the PINGs of this link.
        seq: u64,
    },
    /// Answers a PING.
    Pong {
        /// The number of the PING.
        seq: u64,
    },
    /// The connector shuts down: what is open finishes, nothing new is taken.
    Drain {
        /// Counter of the last exchange that it takes; later ones were not begun.
        last_exchange: u64,
    },
    /// A message of a kind that the connector does not know came; it was ignored.
    Unsupported {
        /// That kind.
        what: String,
    },
}

/// What a relay sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum ToConnector {
    /// The link is registered.
    Welcome(Box<Welcome>),
    /// The first message is refused; the link closes.
    Refusal(Refusal),
    /// Answers BOOTSTRAP: calls may come.
    Ready {
        /// The relay's version.
        version: Version,
        /// Name and version of the relay's software, for logs.
        software: String,
        /// Milliseconds after which the link ends.
        lifetime_ms: u64,
        /// Calls that it carries.
        calls: u64,
    },
    /// Answers JOIN and RENEW.
    Certificate {
        /// Leaf and CA certificate in DER, base64url without padding.
        chain: Vec<String>,
        /// The public base of the workspace, with its final slash.
        public_url: String,
        /// Every endpoint of the relay, `host:port`.
        endpoints: Vec<String>,
    },
    /// Asks for a PONG with the same number.
    Ping {
        /// Counts the PINGs of this link.
        seq: u64,
    },
    /// Answers a PING.
    Pong {
        /// The number of the PING.
        seq: u64,
    },
    /// A public base changed.
    PublicUrl {
        /// The base of now, with its final slash.
        public_url: String,
        /// That at a host of its own, with its final slash, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host_url: Option<String>,
    },
    /// The agent's calls are held back, or no longer: nothing comes meanwhile, and the link stays.
    Paused {
        /// Whether they are.
        paused: bool,
        /// One sentence: who does it; may be empty.
        #[serde(default)]
        message: String,
    },
    /// The relay shuts down: what is open finishes; connect again then.
    Drain {
        /// Milliseconds that open exchanges have left.
        grace_ms: u64,
    },
    /// The relay restarts: connect again after this time.
    Restarting {
        /// Milliseconds to wait before the next dial.
        reconnect_in_ms: u64,
    },
    /// A newer link of the same workspace took over: finish what is open and back off.
    Replaced {
        /// The connector process that took over.
        by: InstanceId,
    },
    /// The credential was revoked, or the workspace removed: do not come back.
    Revoked {
        /// One sentence: what happened and what to do.
        message: String,
    },
    /// A message of a kind that the relay does not know came; it was ignored.
    Unsupported {
        /// That kind.
        what: String,
    },
}

/// Who connects, and with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Hello {
    /// The sender's version.
    pub version: Version,
    /// Name and version of the sender's software, for logs.
    pub software: String,
    /// The connector process.
    pub instance: InstanceId,
    /// Counts this process's attempts to connect. Of one attempt's links the first registered wins;
    /// a higher attempt takes new exchanges while the older link drains.
    pub attempt: u64,
    /// The workspace that the sender believes to be; it must be the credential's. Only who brings a
    /// token may leave it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceId>,
    /// A workspace token, from a sender without a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// What the connector lets through.
    #[serde(default)]
    pub exposure: Exposure,
    /// The agent's origin as the connector dials it, such as `http://127.0.0.1:8000`.
    #[serde(default)]
    pub origin: String,
    /// The origins of further servers of the same agent, each as the connector dials it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The agent's card as read locally, or null.
    #[serde(default)]
    pub card: Value,
    /// The agent's status.
    #[serde(default)]
    pub status: Status,
    /// Whether the agent sends heartbeats to its platform itself, so that nobody else must.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beats_itself: bool,
}

/// The relay's answer to HELLO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Welcome {
    /// The relay's version.
    pub version: Version,
    /// Name and version of the relay's software, for logs.
    pub software: String,
    /// The relay process; the instance of every exchange on this link.
    pub instance: InstanceId,
    /// The workspace of the credential.
    pub workspace_id: WorkspaceId,
    /// The workspace's name, for people.
    pub name: String,
    /// This link's generation.
    pub generation: Generation,
    /// The public base of the workspace, with its final slash.
    pub public_url: String,
    /// The public base of the workspace at a host of its own, with its final slash, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_url: Option<String>,
    /// Every endpoint of the relay, `host:port`.
    pub endpoints: Vec<String>,
    /// Milliseconds between PINGs of the connector.
    pub ping_interval_ms: u64,
    /// Milliseconds between heartbeats, unless the connector is configured otherwise.
    pub heartbeat_interval_ms: u64,
}

/// A typed no to the first message of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// One sentence: what happened, to what, what to do next.
    pub message: String,
    /// The relay's version.
    pub version: Version,
    /// Milliseconds after which to try again, if trying again can help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// An agent's own report, whole in every heartbeat: what is missing has its zero value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", default)]
pub struct Status {
    /// Failed share of the agent's recent tasks, 0 to 1. What is no number crosses as 0: JSON has
    /// no name for it, and the other end would have to close the link.
    #[serde(serialize_with = "finite")]
    pub error_rate: f64,
    /// Tasks in work.
    pub active_tasks: u32,
    /// What it works on, for people.
    pub current_task: String,
    /// Seconds since the agent, or else the connector, started.
    pub uptime_seconds: u64,
    /// One recent error, for people.
    pub sample_error: String,
    /// `wedged` and the like; empty when all is well.
    pub runtime_state: String,
    /// Capabilities and overrides, as the agent states them.
    pub runtime_metadata: Value,
    /// Whether the local agent answers on its port; absent while unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_agent: Option<bool>,
}

fn finite<S: serde::Serializer>(rate: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(if rate.is_finite() { *rate } else { 0.0 })
}

/// Why a control message cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// A newer version's message: answer UNSUPPORTED and go on.
    #[error("control message kind `{0}` is unknown to this version")]
    UnknownKind(String),
    /// Not a message at all: close the link.
    #[error("a control message is malformed: {0}")]
    Malformed(String),
    /// Longer than one frame may be.
    #[error("a control message of {0} bytes is over the limit of {CONTROL_BYTES_MAX}")]
    TooLong(usize),
}

/// Messages that cross the control stream one way.
pub trait Message: Serialize + for<'de> Deserialize<'de> {
    /// Every `kind` of this direction.
    const KINDS: &'static [&'static str];

    /// The message as the payload of a CONTROL frame.
    fn encode(&self) -> Result<Bytes, ControlError> {
        let json = serde_json::to_vec(self).map_err(|e| ControlError::Malformed(e.to_string()))?;
        if json.len() > CONTROL_BYTES_MAX {
            return Err(ControlError::TooLong(json.len()));
        }
        Ok(json.into())
    }

    /// Reads the payload of a CONTROL frame.
    fn decode(json: &[u8]) -> Result<Self, ControlError> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        // serde would take a list for an object, its fields by their places.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(ControlError::Malformed("it is no object".to_owned()));
        }
        let malformed = |error: serde_json::Error| ControlError::Malformed(error.to_string());
        let Kind { kind } = serde_json::from_slice(json).map_err(malformed)?;
        if !Self::KINDS.contains(&kind.as_str()) {
            return Err(ControlError::UnknownKind(kind.chars().take(64).collect()));
        }
        serde_json::from_slice(json).map_err(malformed)
    }
}

impl Message for ToRelay {
    const KINDS: &'static [&'static str] = &[
        "hello",
        "join",
        "bootstrap",
        "renew",
        "heartbeat",
        "card",
        "exposure",
        "ping",
        "pong",
        "drain",
        "unsupported",
    ];
}

impl Message for ToConnector {
    const KINDS: &'static [&'static str] = &[
        "welcome",
        "refusal",
        "ready",
        "certificate",
        "ping",
        "pong",
        "public-url",
        "paused",
        "drain",
        "restarting",
        "replaced",
        "revoked",
        "unsupported",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_hello_with_unknown_fields_is_understood() {
        let json = br#"{"kind":"hello","version":{"major":1,"minor":9,"patch":3},"software":"x/9",
            "instance":"0123456789abcdef","attempt":1,
            "workspace_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV","teleport":true}"#;
        let Ok(ToRelay::Hello(hello)) = ToRelay::decode(json) else { panic!("not understood") };
        assert_eq!(hello.version, Version { major: 1, minor: 9 });
        assert_eq!(hello.status, Status::default());
    }

    #[test]
    fn no_debug_output_holds_the_token() {
        let json = br#"{"kind":"hello","version":{"major":1,"minor":0},"software":"x/1",
            "instance":"0123456789abcdef","attempt":1,"token":"rtok_canary"}"#;
        let hello = ToRelay::decode(json).unwrap();
        assert!(!format!("{hello:?}").contains("canary"));
        assert!(String::from_utf8_lossy(&hello.encode().unwrap()).contains("canary"));
    }

    #[test]
    fn an_unknown_kind_is_refused_by_name() {
        let error = ToConnector::decode(br#"{"kind":"teleport","to":"mars"}"#).unwrap_err();
        assert_eq!(error, ControlError::UnknownKind("teleport".into()));
    }

    #[test]
    fn every_kind_is_listed() {
        for (message, kind) in [
            (ToConnector::Ping { seq: 1 }, "ping"),
            (ToConnector::PublicUrl { public_url: String::new(), host_url: None }, "public-url"),
            (ToConnector::Replaced { by: InstanceId(1) }, "replaced"),
        ] {
            let json = message.encode().unwrap();
            assert!(String::from_utf8_lossy(&json).contains(&format!("\"kind\":\"{kind}\"")));
            assert_eq!(ToConnector::decode(&json).unwrap(), message);
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for json in
            ["", "[]", "[\"heartbeat\"]", "1", "{\"kind\":1}", "{\"kind\":\"ping\",\"seq\":-1}"]
        {
            let error = ToRelay::decode(json.as_bytes()).unwrap_err();
            assert!(matches!(error, ControlError::Malformed(_)), "{json}: {error}");
        }
    }

    #[test]
    fn a_message_over_one_frame_is_not_sent() {
        let message = ToRelay::Unsupported { what: "x".repeat(CONTROL_BYTES_MAX) };
        assert!(matches!(message.encode(), Err(ControlError::TooLong(_))));
    }

    #[test]
    fn a_rate_of_nothing_by_nothing_crosses_as_zero() {
        for error_rate in [f64::NAN, f64::INFINITY, -0.0 / 0.0] {
            let status = Status { error_rate, ..Status::default() };
            let json = ToRelay::Heartbeat(Box::new(status)).encode().unwrap();
            let read = ToRelay::decode(&json).unwrap();
            assert_eq!(read, ToRelay::Heartbeat(Box::default()));
        }
    }

    #[test]
    fn numbers_of_a_card_cross_to_the_last_digit() {
        let json = br#"{"card":{"x":6.934698245112694e+276},"kind":"card"}"#;
        let ToRelay::Card { card } = ToRelay::decode(json).unwrap() else { panic!("no card") };
        assert_eq!(card.to_string(), r#"{"x":6.934698245112694e+276}"#);
    }
}
