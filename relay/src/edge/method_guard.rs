//! Reads the method of a JSON-RPC request as its body passes, and so strictly that no parser can read
//! another one in it. Pure.
//!
//! Only for requests that a policy of methods concerns. What is nested is not looked at: outside of
//! strings it may hold no byte that JSON has not, so that nobody is in doubt where it ends.

use memchr::memchr2;

use super::prefix::BYTES_MAX;
use crate::methods::A2aMethod;

/// Why no method can be told, as the end of a sentence.
pub type Doubt = &'static str;

const NOT_JSON: Doubt = "is not JSON as everybody reads it";
const BATCH: Doubt = "is a batch, or no object";
const TWICE: Doubt = "has a second `method`, or one in other letters";
const NONE: Doubt = "names no method";
const LATE: Doubt = "names no method in its first 64 KiB";

/// Bytes in which the method has to be named: as many as an id is looked for in.
const NAMED_WITHIN: usize = BYTES_MAX;

/// Bytes of a key or of a method that are looked at: none that is known has more, were each of its
/// letters escaped.
const TEXT_BYTES_MAX: usize = 256;

/// Follows a body. Once it has answered with a doubt it is not asked again.
#[derive(Debug, Default)]
pub struct MethodGuard {
    at: At,
    /// Objects and lists that are open.
    depth: u64,
    /// The next byte of the string is escaped.
    escaped: bool,
    /// What of the present key or method has come, as it stands between its quotes.
    text: Vec<u8>,
    /// The present value is that of `method`.
    is_method: bool,
    seen: bool,
    found: Option<A2aMethod>,
    /// Bytes that came before it was found.
    before: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// Before the object.
    #[default]
    Start,
    /// Before a key of the object; the first may be its end instead.
    Key {
        first: bool,
    },
    Colon,
    Value,
    /// Within a number or a word.
    Scalar,
    /// Behind a value.
    After,
    /// Within a value that is an object or a list, outside of strings.
    Nested,
    String(Role),
    /// Behind the object.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Method,
    /// Somebody else's.
    Other,
}

impl MethodGuard {
    /// The method, once it has come. Another one may still follow, which is a doubt.
    pub const fn method(&self) -> Option<A2aMethod> {
        self.found
    }

    /// Follows the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Doubt> {
        if self.found.is_some() {
            return self.follow(bytes);
        }
        let room = NAMED_WITHIN.saturating_sub(self.before);
        let (near, far) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.before += near.len();
        self.follow(near)?;
        match self.found {
            None if !far.is_empty() => Err(LATE),
            _ => self.follow(far),
        }
    }

    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Doubt> {
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.at {
                At::String(role) => self.string(role, bytes)?,
                _ => {
                    self.at = self.structure(*byte)?;
                    rest
                }
            };
        }
        Ok(())
    }

    /// Follows a string to its end, or to that of the bytes; answers what is behind it.
    fn string<'b>(&mut self, role: Role, bytes: &'b [u8]) -> Result<&'b [u8], Doubt> {
        let end = match self.escaped {
            true => 1,
            false => memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len()),
        };
        let (inside, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if role != Role::Other {
            let room = (TEXT_BYTES_MAX + 1).saturating_sub(self.text.len()).min(inside.len());
            self.text.extend_from_slice(inside.get(..room).unwrap_or_default());
        }
        if std::mem::take(&mut self.escaped) {
            return Ok(rest);
        }
        match rest.split_first() {
            Some((b'\\', rest)) => {
                self.escaped = true;
                if role != Role::Other {
                    self.text.push(b'\\');
                }
                Ok(rest)
            }
            Some((_, rest)) => {
                self.at = self.string_ended(role)?;
                Ok(rest)
            }
            None => Ok(rest),
        }
    }

    fn string_ended(&mut self, role: Role) -> Result<At, Doubt> {
        let text = std::mem::take(&mut self.text);
        match role {
            Role::Other if self.depth > 1 => Ok(At::Nested),
            Role::Other => Ok(At::After),
            Role::Key => {
                let key = decoded(text)?;
                // Go and .NET find a key in whatever case it is written.
                self.is_method = key.eq_ignore_ascii_case(b"method");
                if self.is_method && (key != b"method" || std::mem::replace(&mut self.seen, true)) {
                    return Err(TWICE);
                }
                Ok(At::Colon)
            }
            Role::Method => {
                self.found = Some(A2aMethod::named(&decoded(text)?));
                Ok(At::After)
            }
        }
    }

    /// Where the object stands behind a byte that is in no string.
    fn structure(&mut self, byte: u8) -> Result<At, Doubt> {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(if self.at == At::Scalar { At::After } else { self.at });
        }
        match (self.at, byte) {
            (At::Start, b'{') => {
                self.depth = 1;
                Ok(At::Key { first: true })
            }
            (At::Start, b'[') => Err(BATCH),
            (At::Key { .. }, b'"') => Ok(At::String(Role::Key)),
            (At::Colon, b':') => Ok(At::Value),
            (At::Value, b'"') if self.is_method => Ok(At::String(Role::Method)),
            (At::Value | At::Nested, b'"') => Ok(At::String(Role::Other)),
            (At::Value, _) if self.is_method => Err(NONE),
            (At::Value | At::Nested, b'{' | b'[') => {
                self.depth += 1;
                Ok(At::Nested)
            }
            (At::Nested, b'}' | b']') => {
                self.depth -= 1;
                Ok(if self.depth == 1 { At::After } else { At::Nested })
            }
            (At::Nested, b',' | b':') => Ok(At::Nested),
            (At::Nested, _) if is_scalar(byte) => Ok(At::Nested),
            (At::Value | At::Scalar, _) if is_scalar(byte) => Ok(At::Scalar),
            (At::Scalar | At::After, b',') => Ok(At::Key { first: false }),
            (At::Scalar | At::After | At::Key { first: true }, b'}') => match self.found {
                Some(_) => Ok(At::End),
                None => Err(NONE),
            },
            _ => Err(NOT_JSON),
        }
    }
}

/// What numbers, `true`, `false` and `null` are made of.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eEtrufalsn".contains(&byte)
}

/// A text without its escapes; one that is too long to be known stays as it is.
fn decoded(text: Vec<u8>) -> Result<Vec<u8>, Doubt> {
    if !text.contains(&b'\\') || text.len() > TEXT_BYTES_MAX {
        return Ok(text);
    }
    let quoted = [b"\"", &text[..], b"\""].concat();
    let decoded: String = serde_json::from_slice(&quoted).map_err(|_| NOT_JSON)?;
    Ok(decoded.into_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a body is read as, however it is cut.
    fn read(body: &[u8]) -> Result<Option<A2aMethod>, Doubt> {
        let in_pieces = |size: usize| {
            let mut guard = MethodGuard::default();
            body.chunks(size).try_for_each(|piece| guard.push(piece)).map(|()| guard.method())
        };
        let whole = in_pieces(body.len().max(1));
        for size in [1, 2, 7] {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn one_method_is_read_wherever_it_stands() {
        for (body, word) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}"#, "send"),
            (r#" { "params" : [ {"method":"tasks\"/cancel"} ], "method" : "GetTask" } "#, "get"),
            (r#"{"\u006d\u0065thod":"message\/stream","id":-1.5e+3}"#, "stream"),
            (r#"{"method":"\u0053endMessage","x":"\\","y":true,"z":null}"#, "send"),
            (r#"{"method":"Tasks/GET","params":{"Method":"x","a":[[],{}]}}"#, "get"),
            (r#"{"method":"dance"}"#, "other"),
            (r#"{"methods":"x","method ":"x","method":"tasks/list"}"#, "list"),
            (r#"{"method":"tasks/get","params":{"text":"}, \"method\": \"x\" /* "}}"#, "get"),
        ] {
            let read = read(body.as_bytes()).map(|method| method.map(A2aMethod::word));
            assert_eq!(read, Ok(Some(word)), "{body}");
        }
        let near = format!(r#"{{"params":"{}","method":"tasks/get"}}"#, "x".repeat(65_000));
        assert_eq!(read(near.as_bytes()), Ok(Some(A2aMethod::Get)));
        let far = near.replace('x', "xx");
        assert_eq!(read(far.as_bytes()), Err(LATE));
        let long = format!(r#"{{"{0}":"{0}","method":"{0}"}}"#, "m\\u0065".repeat(3_000));
        assert_eq!(read(long.as_bytes()), Ok(Some(A2aMethod::Other)));
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_a_doubt() {
        for (body, doubt) in [
            (r#"{"method":"tasks/get","method":"message/send"}"#, TWICE),
            (r#"{"method":"tasks/get","\u006dethod":"message/send"}"#, TWICE),
            (r#"{"method":"tasks/get","params":{"a":[]},"Method":"message/send"}"#, TWICE),
            (r#"{"METHOD":"tasks/get"}"#, TWICE),
            (r#"[{"method":"tasks/get"}]"#, BATCH),
            (r#"{"id":1}"#, NONE),
            ("{}", NONE),
            (r#"{"method":["tasks/get"]}"#, NONE),
            (r#"{"method":null}"#, NONE),
            (r#""tasks/get""#, NOT_JSON),
            (r#"{"method":"tasks/get"}{"method":"message/send"}"#, NOT_JSON),
            (r#"{"method":"tasks/get",}"#, NOT_JSON),
            (r#"{"method":"tasks/get" /* " */,"method":"message/send"}"#, NOT_JSON),
            (
                r#"{"a":{"b":1 // "}
                },"method":"tasks/get"}"#,
                NOT_JSON,
            ),
            (r#"{'method':'message/send',"method":"tasks/get"}"#, NOT_JSON),
            (r#"{method:"message/send","method":"tasks/get"}"#, NOT_JSON),
            (r#"{"a":['"'],"method":"tasks/get"}"#, NOT_JSON),
            ("{\"method\\x\":1}", NOT_JSON),
            ("\u{feff}{\"method\":\"tasks/get\"}", NOT_JSON),
            ("{\0\"\0m\0", NOT_JSON),
            ("\x1f\u{8b}", NOT_JSON),
        ] {
            assert_eq!(read(body.as_bytes()), Err(doubt), "{body}");
        }
        for cut in ["", "{", r#"{"id":1,"params":{"#, r#"{"method":"tasks/ge"#] {
            assert_eq!(read(cut.as_bytes()), Ok(None), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn what_is_read_is_what_a_parser_reads(
            body in "\\{(\"(method|m|\\\\u006dethod|Method)\":(\"tasks/get\"|\"message/send\"|1|\\{\\}|\\[\"method\"\\]),?){0,4}\\}?",
        ) {
            let parsed = serde_json::from_str::<serde_json::Value>(&body).ok();
            let mut guard = MethodGuard::default();
            if guard.push(body.as_bytes()).is_ok() && let Some(parsed) = parsed {
                let named = parsed["method"].as_str().map(|name| A2aMethod::named(name.as_bytes()));
                prop_assert_eq!(guard.method(), named);
            }
        }
    }
}
