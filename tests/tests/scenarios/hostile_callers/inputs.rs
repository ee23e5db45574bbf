//! What heads and bodies hostile callers send, and what must come of each: a table.

/// What an input must lead to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// The relay's own refusal, with status and code, and the end of a connection on which nobody
    /// knows what would come next.
    Refused(u16, &'static str),
    /// The relay's own refusal of a request that is read beyond doubt: the connection goes on.
    RefusedAlone(u16, &'static str),
    /// The agent gets the request once, and its answer comes.
    Served,
    /// An exception: the HTTP library refuses it by itself, in its own words, and closes.
    Library(u16),
    /// An exception: the library takes what is not quite HTTP. The agent gets one request.
    Tolerated,
    /// An exception: the library takes it for one request, and closes after its answer.
    ToleratedThenClosed,
}
use Outcome::{Library, Refused, RefusedAlone, Served, Tolerated, ToleratedThenClosed};

const BAD: Outcome = Refused(400, "RELAY_BAD_REQUEST");
const BAD_CODING: Outcome = Refused(501, "RELAY_NOT_IMPLEMENTED");
const NO_METHOD: Outcome = RefusedAlone(405, "RELAY_METHOD_NOT_ALLOWED");
const NO_PATH: Outcome = RefusedAlone(404, "RELAY_NOT_FOUND");
const OLD: Outcome = Refused(505, "RELAY_HTTP_VERSION");

/// What is tried, its bytes (see [`super::Paths::fill`]), and what must come of it.
pub(super) type Row = (&'static str, &'static str, Outcome);

/// Whose host, which target, which method.
pub(super) const TARGETS: &[Row] = &[
    ("no Host", "POST {path} HTTP/1.1\r\n{fields}{two}", BAD),
    ("two Hosts", "{post}Host: other\r\n{two}", BAD),
    ("Host twice", "{post}Host: {host}\r\n{two}", BAD),
    ("an empty Host beside it", "{post}Host:\r\n{two}", BAD),
    ("absolute form", "POST http://{host}{path} HTTP/1.1{rest}", Served),
    ("absolute form of another host", "POST http://other{path} HTTP/1.1{rest}", BAD),
    ("absolute form with a user", "POST http://u@{host}{path} HTTP/1.1{rest}", BAD),
    ("absolute form without a path", "POST http://{host} HTTP/1.1{rest}", NO_PATH),
    ("authority form", "POST {host} HTTP/1.1{rest}", BAD),
    ("asterisk form", "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n", BAD),
    (
        "CONNECT",
        "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\nx-test-id: hostile\r\n\r\n{hidden}",
        Refused(405, "RELAY_METHOD_NOT_ALLOWED"),
    ),
    ("a method in small letters", "post {path} HTTP/1.1{rest}", NO_METHOD),
    ("a method without end", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA {path} HTTP/1.1{rest}", BAD_CODING),
    ("TRACE", "TRACE {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n", NO_METHOD),
    (
        "a websocket",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\nx-test-id: hostile\r\n\r\n",
        NO_METHOD,
    ),
    (
        "an upgrade to h2c",
        "{post}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABk\r\n{two}",
        Served,
    ),
    ("an underscore", "{post}X_Workspace_ID: 1\r\n{two}", BAD),
    ("an unknown expectation", "{post}Expect: tea\r\n{two}", BAD),
];

/// Where the body ends.
pub(super) const FRAMINGS: &[Row] = &[
    (
        "length, then chunks",
        "{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}",
        ToleratedThenClosed,
    ),
    (
        "chunks, then length",
        "{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{chunks}{hidden}",
        ToleratedThenClosed,
    ),
    (
        "chunks of nothing, and a length",
        "{post}Content-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        ToleratedThenClosed,
    ),
    (
        "chunks, and a length that is none",
        "{post}Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n0\r\n\r\n{hidden}",
        ToleratedThenClosed,
    ),
    (
        "chunked twice",
        "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}",
        BAD,
    ),
    (
        "chunked twice in one field",
        "{post}Transfer-Encoding: chunked, chunked\r\n\r\n{chunks}",
        BAD_CODING,
    ),
    (
        "identity, then chunked",
        "{post}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}",
        BAD,
    ),
    ("gzip, chunked", "{post}Transfer-Encoding: gzip, chunked\r\n\r\n{chunks}", BAD_CODING),
    (
        "an empty coding, then chunked",
        "{post}Transfer-Encoding: , chunked\r\n\r\n{chunks}",
        BAD_CODING,
    ),
    ("gzip", "{post}Transfer-Encoding: gzip\r\n\r\n{hidden}", Library(400)),
    ("xchunked", "{post}Transfer-Encoding: xchunked\r\n\r\n{hidden}", Library(400)),
    (
        "chunked, identity",
        "{post}Transfer-Encoding: chunked, identity\r\n\r\n{hidden}",
        Library(400),
    ),
    (
        "chunked, then identity",
        "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{hidden}",
        Library(400),
    ),
    (
        "chunked with a parameter",
        "{post}Transfer-Encoding: chunked;q=1\r\n\r\n{hidden}",
        Library(400),
    ),
    (
        "a vertical tab before chunked",
        "{post}Transfer-Encoding: \u{b}chunked\r\n\r\n{hidden}",
        Library(400),
    ),
    ("CHUNKED", "{post}Transfer-Encoding: CHUNKED\r\n\r\n{chunks}", Served),
    (
        "1.0 with chunks",
        "POST {path} HTTP/1.0\r\nHost: {host}\r\n{fields}Transfer-Encoding: chunked\r\n\
         \r\n0\r\n\r\n{hidden}",
        Library(400),
    ),
    ("a length of 1/2", "{post}Content-Length: 1/2\r\n\r\n{hidden}", Library(400)),
    ("a length of +2", "{post}Content-Length: +2\r\n\r\n{}", Library(400)),
    ("a length of 0x2", "{post}Content-Length: 0x2\r\n\r\n{}", Library(400)),
    ("a length of -1", "{post}Content-Length: -1\r\n\r\n{hidden}", Library(400)),
    ("a length of 2, 2", "{post}Content-Length: 2, 2\r\n\r\n{}", Library(400)),
    ("a length of 2 3", "{post}Content-Length: 2 3\r\n\r\n{}", Library(400)),
    ("no length in a length", "{post}Content-Length:\r\n\r\n{hidden}", Library(400)),
    ("a length above 2^64", "{post}Content-Length: 18446744073709551618\r\n\r\n{}", Library(400)),
    ("a length of 2^64 - 1", "{post}Content-Length: 18446744073709551615\r\n\r\n{}", Library(431)),
    ("two lengths", "{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", Library(400)),
    ("the same length twice", "{post}Content-Length: 2\r\n{two}", Tolerated),
    (
        "GET with a length",
        "GET {base}/.well-known/agent-card.json HTTP/1.1\r\nHost: {host}\r\n\
         x-test-id: hostile\r\n{two}{hidden}",
        BAD,
    ),
    (
        "GET with chunks",
        "GET {base}/.well-known/agent-card.json HTTP/1.1\r\nHost: {host}\r\n\
         x-test-id: hostile\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{hidden}",
        BAD,
    ),
    (
        "HEAD with a length",
        "HEAD {base}/.well-known/agent-card.json HTTP/1.1\r\nHost: {host}\r\n\
         x-test-id: hostile\r\n{two}{hidden}",
        BAD,
    ),
];

/// Chunks that are none: the head was read, the body breaks, and nothing of it may look whole.
pub(super) const CHUNKS: &[Row] = &[
    ("a chunk size of 0_2e", "{chunked}0_2e\r\n{hidden}", BAD),
    ("a chunk size of 0x2", "{chunked}0x{chunks}{hidden}", BAD),
    ("a chunk size of +2", "{chunked}+{chunks}{hidden}", BAD),
    ("a chunk size of -2", "{chunked}-{chunks}{hidden}", BAD),
    ("no chunk size", "{chunked}\r\n{hidden}", BAD),
    ("a chunk size above 2^64", "{chunked}1000000000000000{chunks}{hidden}", BAD),
    ("a bare LF behind a size", "{chunked}2\n{}\r\n0\r\n\r\n{hidden}", BAD),
    ("a bare LF behind a chunk", "{chunked}2\r\n{}\n0\r\n\r\n{hidden}", BAD),
    ("a bare LF in an extension", "{chunked}2;x=\n{}\r\n0\r\n\r\n{hidden}", BAD),
    ("a chunk longer than it says", "{chunked}2\r\n{}{}\r\n0\r\n\r\n{hidden}", BAD),
    ("a trailer without a colon", "{chunked}2\r\n{}\r\n0\r\nx\r\n\r\n{hidden}", BAD),
];

/// Bytes that no head has.
pub(super) const GRAMMAR: &[Row] = &[
    (
        "bare LF in all of the head",
        "POST {path} HTTP/1.1\nHost: {host}\nContent-Type: application/json\n\
         x-test-id: hostile\nContent-Length: 2\n\n{}",
        Tolerated,
    ),
    ("bare LF behind one field", "{post}X-A: 1\n{two}", Tolerated),
    ("bare LF before the body", "{post}Content-Length: 2\r\n\n{}", Tolerated),
    ("bare CR in a value", "{post}X-A: 1\rContent-Length: 9\r\n{two}", Library(400)),
    ("space before the colon", "{post}Content-Length : 2\r\n\r\n{}", Library(400)),
    ("a folded line", "{post}X-A: 1\r\n Content-Length: 9\r\n{two}", Library(400)),
    ("a folded length", "{post}Content-Length:\r\n 2\r\n\r\n{}", Library(400)),
    (
        "a first field that is folded",
        "POST {path} HTTP/1.1\r\n Host: {host}\r\n{fields}{two}",
        Library(400),
    ),
    ("NUL in a value", "{post}X-A: \0\r\n{two}", Library(400)),
    ("NUL in a name", "{post}X\0A: 1\r\n{two}", Library(400)),
    ("NUL in the path", "POST {path}\0 HTTP/1.1{rest}", Library(400)),
    ("an empty name", "{post}: 1\r\n{two}", Library(400)),
    ("a field without a colon", "{post}X-A\r\n{two}", Library(400)),
    ("a name that is no token", "{post}X(A): 1\r\n{two}", Library(400)),
    ("a space in the path", "POST {path} x HTTP/1.1{rest}", Library(400)),
    (
        "a path that is no ASCII",
        "POST {base}/a2a/..\u{c0}\u{af}secret HTTP/1.1{rest}",
        Library(400),
    ),
    ("two spaces before the version", "POST {path}  HTTP/1.1{rest}", Library(400)),
    ("an empty line in front", "\r\n{post}{two}", Served),
    ("HTTP/0.9", "GET {path}\r\n\r\n", Library(400)),
    ("HTTP/1.0", "POST {path} HTTP/1.0{rest}", OLD),
    (
        "HTTP/1.0 that would stay",
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n{fields}{two}",
        OLD,
    ),
    ("HTTP/1.2", "POST {path} HTTP/1.2{rest}", Library(400)),
    ("http/1.1", "POST {path} http/1.1{rest}", Library(400)),
    ("HTTP/2.0 without its preface", "POST {path} HTTP/2.0{rest}", Library(400)),
    ("a broken preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n{hidden}", Library(400)),
    (
        "a TLS handshake",
        "\u{16}\u{3}\u{1}\0\u{a5}\u{1}\0\0\u{a1}\u{3}\u{3}0123456789",
        Library(400),
    ),
    ("SSH", "SSH-2.0-OpenSSH_9.6\r\n", Library(400)),
    ("zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", Library(400)),
];
