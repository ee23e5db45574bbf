//! What may differ between an exchange through the relay and the same one without it, and why.
//!
//! This is the whole list. Everything else that differs is a bug.

/// A field that may differ, and why.
pub struct Allowed {
    /// Its name.
    pub field: &'static str,
    /// The reason.
    pub why: &'static str,
}

const fn allowed(field: &'static str, why: &'static str) -> Allowed {
    Allowed { field, why }
}

/// Fields that belong to one connection, and not to the message (RFC 9110, 7.6.1).
pub const HOP_BY_HOP: [Allowed; 4] = [
    allowed("connection", "each connection has its own"),
    allowed("keep-alive", "each connection has its own"),
    allowed("te", "each connection has its own; HTTP/2 callers say what they take of trailers"),
    allowed("transfer-encoding", "framing, of which HTTP/2 has none"),
];

/// Fields of a request that the agent gets otherwise than the caller sent them.
pub const OF_REQUESTS: [Allowed; 9] = [
    allowed("host", "the agent sees its own name, and HTTP/2 has :authority"),
    allowed("forwarded", "the relay says who called"),
    allowed("x-forwarded-for", "the relay says who called"),
    allowed("x-forwarded-host", "the relay says by which name"),
    allowed("x-forwarded-proto", "the relay says by which scheme"),
    allowed("x-forwarded-prefix", "the relay says below which base"),
    allowed("x-request-id", "the relay's name of the request"),
    allowed("via", "the relay says that it stands between"),
    allowed("traceparent", "the relay begins a trace where the caller did not"),
];

/// Fields of a request without a body.
pub const OF_EMPTY_REQUESTS: [Allowed; 1] = [allowed(
    "content-length",
    "HTTP/1.1 says that there is none (RFC 9110, 8.6), HTTP/2 need not",
)];

/// Fields of a request for a card: the relay must read it to know whether its URLs are public.
pub const OF_CARD_REQUESTS: [Allowed; 4] = [
    allowed("accept-encoding", "the relay asks for the card as it is"),
    allowed("grpc-accept-encoding", "the same, of a card by gRPC"),
    allowed("if-none-match", "the relay compares with what it serves"),
    allowed("if-modified-since", "the relay compares with what it serves"),
];

/// What a HEAD for a card may become, with an answer whose body ends at the relay.
pub const METHOD_OF_CARDS: Allowed =
    allowed("GET", "length and validator of what is served take the whole card");

/// Fields of an answer that the caller gets otherwise than the agent sent them.
pub const OF_ANSWERS: [Allowed; 1] =
    [allowed("x-request-id", "the relay's name of the request, for whoever asks its operator")];

/// Fields of an answer with a card whose URLs were made public.
pub const OF_CARDS: [Allowed; 3] = [
    allowed("content-length", "public URLs have another length"),
    allowed("etag", "validates what is served"),
    allowed("x-relay-card", "says that URLs were made public"),
];

/// Fields of the answers to two requests of the same content, apart in time.
pub const OF_TWO_ANSWERS: [Allowed; 3] = [
    allowed("date", "the agent's clock goes on"),
    allowed(
        "content-length",
        "the bodies are compared; times and URLs in them have several lengths",
    ),
    allowed("etag", "of two cards with other URLs"),
];

/// Fields of two requests of the same content.
pub const OF_TWO_REQUESTS: [Allowed; 1] =
    [allowed("content-length", "the bodies are compared; URLs in them have several lengths")];

/// What stands in bodies and paths and may differ between two runs; `mask` replaces it.
pub const IN_BODIES: [Allowed; 3] = [
    allowed("UUIDs", "ids of messages, tasks, contexts, artifacts and calls are made anew"),
    allowed("times", "the agent's clock goes on"),
    allowed("the agent's base", "its own origin without the relay, its public base through it"),
];

/// Fields of an answer by gRPC.
pub const OF_GRPC_ANSWERS: [Allowed; 2] = [
    allowed(
        "date",
        "a server with a clock says the time (RFC 9110, 6.6.1), whatever the agent's does",
    ),
    allowed("x-relay-error", "an agent cannot speak as the relay"),
];

/// How a call by gRPC may end otherwise than without the relay, and by which status.
pub const GRPC_ENDS: [Allowed; 2] = [
    allowed("13", "what the agent resets ends with trailers, which say more than a reset can"),
    allowed("4", "the relay ends what is over its `grpc-timeout`, where the caller has not yet"),
];

/// What the relay puts into a body, other than a card's URLs: comments in a silent event stream.
pub const KEEP_ALIVE: &[u8] = b":\n\n";
