//! Every limit of the protocol, with its unit and the reason for its number.

use std::time::Duration;

/// ALPN of a link that speaks major version 1.
pub const ALPN: &[u8] = b"a2a-tunnel/1";
/// Version-neutral ALPN: whoever agrees on nothing else gets a typed refusal over it.
pub const ALPN_REFUSAL: &[u8] = b"a2a-tunnel";
/// Major version of this protocol; both ends must have the same.
pub const VERSION_MAJOR: u16 = 1;
/// Minor version of this protocol; ends one apart work together.
pub const VERSION_MINOR: u16 = 0;

/// Payload of one control message, bytes. An agent card with a hundred skills is about 60 KiB.
pub const CONTROL_BYTES_MAX: usize = 256 * 1024;
/// Header list of a request or an answer, bytes as RFC 9113 6.5.2 counts them (name + value + 32).
pub const HEADER_LIST_BYTES_MAX: usize = 32 * 1024;
/// Fields in one header list. hyper's own default, so that neither end accepts what the other refuses.
pub const HEADER_FIELDS_MAX: usize = 100;
/// Raw path and query together, bytes. RFC 9110 4.1 asks for at least 8,000.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// Method name, bytes. The longest registered one has 17.
pub const METHOD_BYTES_MAX: usize = 24;
/// Payload of a HEAD or INTERIM frame, bytes: a full header list, a full URI, and room to spare.
pub const HEAD_BYTES_MAX: usize = 48 * 1024;
/// Payload of an END frame, bytes. gRPC's error details are the largest trailers known, below 8 KiB.
pub const END_BYTES_MAX: usize = 16 * 1024;
/// Payload of an ABORT frame, bytes: two codes and one sentence.
pub const ABORT_BYTES_MAX: usize = 1024;
/// Payload of one DATA frame, bytes. Frames are passed on as they come, so this bounds nothing but the number.
pub const DATA_BYTES_MAX: u64 = 1 << 30;
/// Entries of one ACKS or DONE frame. A writer that has more sends another frame.
pub const ACKS_PER_FRAME_MAX: usize = 512;
/// STOP, ACCEPTED and INTERIM frames of one direction of an exchange: they cost no credit, and an
/// agent that sends hints sends a few.
pub const ASIDES_MAX: usize = 64;
/// Rules in an announced exposure list. A card implies a dozen; the rest are `--allow`.
pub const EXPOSURE_RULES_MAX: usize = 256;
/// Further servers of one agent that HELLO names: one for each binding, and some to spare.
pub const ALSO_MAX: usize = 16;

/// First credit of an exchange, bytes each way, while few are open: one small answer without an ACK.
pub const FIRST_CREDIT: u64 = 64 * 1024;
/// First credit of an exchange, bytes each way, while many are open: one SSE event.
pub const FIRST_CREDIT_CROWDED: u64 = 4 * 1024;
/// Open exchanges of a link above which the first credit shrinks.
pub const CROWDED_EXCHANGES: usize = 256;
/// Largest credit of one exchange, bytes: 8 MB at 50 ms within 1.4 s needs about 1 MiB in flight; and
/// with less than 2,048 packets unread, QUIC never copies what it holds of a stream.
pub const CREDIT_MAX: u64 = 2 * 1024 * 1024;
/// Credit that one link may have granted at a time beyond the first credits, bytes.
pub const LINK_CREDIT_MAX: u64 = 64 * 1024 * 1024;
/// QUIC's window for one connection, bytes: a backstop above every credit that we can have granted.
pub const QUIC_CONNECTION_WINDOW: u32 = 128 * 1024 * 1024;
/// QUIC's window for one stream, bytes: a backstop above [`CREDIT_MAX`] and the heads around it.
pub const QUIC_STREAM_WINDOW: u32 = 8 * 1024 * 1024;

/// Open exchanges of one link.
pub const IN_FLIGHT_MAX: usize = 4096;
/// Calls of its agent that a connector has open at a time: an agent's conversations with a few peers,
/// some of them event streams.
pub const OUTBOUND_MAX: u32 = 64;
/// Streams that QUIC lets a connector open: the control stream, its agent's own calls, and some to spare,
/// since QUIC gives ended ones back in steps of an eighth, and long calls must not stop short ones.
pub const CONNECTOR_STREAMS_MAX: u32 = 1 + OUTBOUND_MAX + OUTBOUND_MAX / 4;

/// From the loss of a link to the moment at which its exchanges are given up: a changed network, a dead
/// NAT binding or a blocked transport is got over within a few seconds, with the backoff of a few attempts.
pub const CONTINUE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that a connector keeps of answers that are out, for the case that the relay lacks their ends:
/// a few full windows, or thousands of small answers.
pub const KEPT_ANSWERS_MAX: usize = 8 * 1024 * 1024;

/// QUIC idle limit: survives three lost PINGs of 5 s.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Interval of the connector's PING unless WELCOME says otherwise: below the 30 s of common NATs.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of heartbeats unless configured.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(30);
/// A workspace without any sign of life for three heartbeats is offline.
pub const OFFLINE_AFTER: Duration = Duration::from_secs(90);
/// From the first packet of a link to its HELLO, and from HELLO to WELCOME.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Patience for the other end to take bytes that it has given credit for.
pub const LINK_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// An exchange without a byte from the agent ends after this; its keep-alive comments count.
pub const IDLE_EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// From the request to the head of the answer: agents think for minutes.
pub const ANSWER_HEAD_TIMEOUT: Duration = Duration::from_secs(30 * 60);
