//! The heads of a request and of its answer.

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, Method, StatusCode};

use super::{fields, varint};
use crate::ids::{ExchangeId, InstanceId};
use crate::limits::{CREDIT_MAX, METHOD_BYTES_MAX, URI_BYTES_MAX};

/// What of the agent a request is for. Only the connector maps it to a port and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The agent's JSON-RPC endpoint, wherever that is.
    Endpoint,
    /// The agent's public card, under whichever well-known name the agent has it.
    Card,
    /// A path of the agent's origin, raw: never decoded, normalised or merged. It begins with a
    /// slash and holds no `?` and no `#`, so that what is judged as a path is sent as a path.
    Raw(String),
}

impl Target {
    /// The raw path that crosses; empty where the connector knows the path itself.
    pub fn path(&self) -> &str {
        match self {
            Self::Endpoint | Self::Card => "",
            Self::Raw(path) => path,
        }
    }
}

/// Which A2A binding a request uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// JSON-RPC 2.0 over HTTP.
    JsonRpc,
    /// HTTP+JSON.
    HttpJson,
    /// gRPC.
    Grpc,
}

impl Binding {
    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonRpc => "jsonrpc",
            Self::HttpJson => "http+json",
            Self::Grpc => "grpc",
        }
    }
}

/// Begins an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// The exchange's name, for ACK, DONE and CONTINUE.
    pub exchange: ExchangeId,
    /// What it is for.
    pub target: Target,
    /// Its binding.
    pub binding: Binding,
    /// Whether a body may follow; without it END comes next and states 0.
    pub has_body: bool,
    /// The HTTP method.
    pub method: Method,
    /// The raw query, without its question mark.
    pub query: Option<String>,
    /// First credit of the request's body, bytes.
    pub request_credit: u64,
    /// First credit of the answer's body, bytes.
    pub response_credit: u64,
    /// The header fields, end to end ones only.
    pub fields: HeaderMap,
    /// Milliseconds until the caller no longer waits for the head of the answer, if it said so.
    pub head_timeout_ms: Option<u64>,
}

/// Begins an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The final status, 200 to 999.
    pub status: StatusCode,
    /// The header fields, end to end ones only.
    pub fields: HeaderMap,
}

const HAS_BODY: u8 = 1;
const TAG_HEAD_TIMEOUT: u64 = 1;

impl RequestHead {
    /// Appends the payload of this head.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u64(self.exchange.instance.0);
        varint::put(out, self.exchange.counter);
        out.put_u8(match self.target {
            Target::Endpoint => 0,
            Target::Card => 1,
            Target::Raw(_) => 2,
        });
        out.put_u8(match self.binding {
            Binding::JsonRpc => 0,
            Binding::HttpJson => 1,
            Binding::Grpc => 2,
        });
        out.put_u8(if self.has_body { HAS_BODY } else { 0 });
        fields::put_bytes(out, self.method.as_str().as_bytes());
        if let Target::Raw(path) = &self.target {
            fields::put_bytes(out, path.as_bytes());
        }
        match &self.query {
            None => out.put_u8(0),
            Some(query) => {
                out.put_u8(1);
                fields::put_bytes(out, query.as_bytes());
            }
        }
        varint::put(out, self.request_credit);
        varint::put(out, self.response_credit);
        fields::put(out, &self.fields);
        if let Some(timeout_ms) = self.head_timeout_ms {
            varint::put(out, TAG_HEAD_TIMEOUT);
            let mut value = Vec::with_capacity(8);
            varint::put(&mut value, timeout_ms);
            fields::put_bytes(out, &value);
        }
    }

    /// Reads a whole payload; the error names the part that is wrong.
    pub fn take(mut input: Bytes) -> Result<Self, &'static str> {
        let instance = InstanceId(input.try_get_u64().map_err(|_| "instance")?);
        let counter = varint::take(&mut input).ok_or("exchange")?;
        let target = input.try_get_u8().map_err(|_| "target")?;
        let binding = match input.try_get_u8().map_err(|_| "binding")? {
            0 => Binding::JsonRpc,
            1 => Binding::HttpJson,
            2 => Binding::Grpc,
            _ => return Err("binding"),
        };
        let flags = input.try_get_u8().map_err(|_| "flags")?;
        let method = take_text(&mut input, METHOD_BYTES_MAX).ok_or("method")?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| "method")?;
        let target = match target {
            0 => Target::Endpoint,
            1 => Target::Card,
            2 => Target::Raw(
                take_text(&mut input, URI_BYTES_MAX)
                    .filter(|path| path.starts_with('/') && path.bytes().all(is_path_byte))
                    .ok_or("path")?,
            ),
            _ => return Err("target"),
        };
        let query = match input.try_get_u8().map_err(|_| "query")? {
            0 => None,
            1 => Some(
                take_text(&mut input, URI_BYTES_MAX - target.path().len())
                    .filter(|query| query.bytes().all(is_uri_byte))
                    .ok_or("query")?,
            ),
            _ => return Err("query"),
        };
        let request_credit = take_credit(&mut input).ok_or("request credit")?;
        let response_credit = take_credit(&mut input).ok_or("response credit")?;
        let fields = fields::take(&mut input)?;
        let mut head_timeout_ms = None;
        take_extensions(input, |tag, mut value| {
            if tag == TAG_HEAD_TIMEOUT {
                head_timeout_ms = Some(varint::take(&mut value).ok_or("head timeout")?);
            }
            Ok(())
        })?;
        Ok(Self {
            exchange: ExchangeId { instance, counter },
            target,
            binding,
            has_body: flags & HAS_BODY != 0,
            method,
            query,
            request_credit,
            response_credit,
            fields,
            head_timeout_ms,
        })
    }
}

impl ResponseHead {
    /// Appends the payload of this head.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u16(self.status.as_u16());
        fields::put(out, &self.fields);
    }

    /// Reads a whole payload; the error names the part that is wrong.
    pub fn take(mut input: Bytes) -> Result<Self, &'static str> {
        let status = input.try_get_u16().map_err(|_| "status")?;
        let status = StatusCode::from_u16(status).map_err(|_| "status")?;
        let fields = fields::take(&mut input)?;
        take_extensions(input, |_, _| Ok(()))?;
        Ok(Self { status, fields })
    }
}

/// Walks the tagged values that later versions append to a head; unknown tags are skipped.
fn take_extensions(
    mut input: Bytes,
    mut known: impl FnMut(u64, Bytes) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    while input.has_remaining() {
        let tag = varint::take(&mut input).ok_or("extension tag")?;
        let value = fields::take_bytes(&mut input).ok_or("extension value")?;
        known(tag, value)?;
    }
    Ok(())
}

fn take_text(input: &mut Bytes, bytes_max: usize) -> Option<String> {
    let bytes = fields::take_bytes(input).filter(|bytes| bytes.len() <= bytes_max)?;
    String::from_utf8(bytes.into()).ok()
}

fn take_credit(input: &mut Bytes) -> Option<u64> {
    varint::take(input).filter(|credit| *credit <= CREDIT_MAX)
}

/// No control character, no space, and nothing that would end a request line or begin a fragment.
const fn is_uri_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}

const fn is_path_byte(byte: u8) -> bool {
    is_uri_byte(byte) && byte != b'?'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CREDIT_MAX, FIRST_CREDIT};

    fn head(path: &str, query: &str) -> RequestHead {
        RequestHead {
            exchange: ExchangeId { instance: InstanceId(1), counter: 1 },
            target: Target::Raw(path.to_owned()),
            binding: Binding::HttpJson,
            has_body: true,
            method: Method::POST,
            query: Some(query.to_owned()),
            request_credit: FIRST_CREDIT,
            response_credit: FIRST_CREDIT,
            fields: HeaderMap::new(),
            head_timeout_ms: None,
        }
    }

    fn crossed(head: &RequestHead) -> Result<(), &'static str> {
        let mut bytes = Vec::new();
        head.put(&mut bytes);
        RequestHead::take(bytes.into()).map(|crossed| assert_eq!(&crossed, head))
    }

    #[test]
    fn path_and_query_share_one_limit() {
        let half = "/".repeat(URI_BYTES_MAX / 2);
        assert_eq!(crossed(&head(&half, &half)), Ok(()));
        assert_eq!(crossed(&head(&half, &format!("{half}/"))), Err("query"));
    }

    /// Else `/rest/admin?/tasks` would be judged as one path and sent as another.
    #[test]
    fn a_path_holds_no_query_and_neither_holds_a_fragment() {
        for (path, query, verdict) in [
            ("/a", "b?c", Ok(())),
            ("/a?b", "", Err("path")),
            ("/a#b", "", Err("path")),
            ("/a", "b#c", Err("query")),
            ("/a b", "", Err("path")),
            ("/a", "b\nc", Err("query")),
        ] {
            assert_eq!(crossed(&head(path, query)), verdict, "{path} {query}");
        }
    }

    #[test]
    fn no_first_credit_is_over_the_largest_credit() {
        let right = RequestHead { request_credit: CREDIT_MAX, ..head("/", "") };
        assert_eq!(crossed(&right), Ok(()));
        let wrong = RequestHead { request_credit: CREDIT_MAX + 1, ..head("/", "") };
        assert_eq!(crossed(&wrong), Err("request credit"));
        let wrong = RequestHead { response_credit: CREDIT_MAX + 1, ..head("/", "") };
        assert_eq!(crossed(&wrong), Err("response credit"));
    }
}
