//! Finds the `id` and the `method` of a JSON-RPC request in its first bytes, without decoding it.

use std::ops::Range;

use memchr::memchr2;

/// What the first bytes of a body say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The top-level `id`, byte for byte. `None` when there is none, or two, or one that JSON-RPC
    /// does not allow: a refusal then says `null`.
    pub id: Option<Vec<u8>>,
    /// The top-level `method`, as it stands between its quotes.
    pub method: Option<String>,
}

impl Envelope {
    /// Whether the bytes so far tell all that is looked for.
    pub const fn is_known(&self) -> bool {
        self.id.is_some() && self.method.is_some()
    }
}

/// Deeper nesting than this ends the search.
const DEPTH_MAX: usize = 128;

/// Looks through `prefix`, the first bytes of a body, as far as they go.
pub fn scan(prefix: &[u8]) -> Envelope {
    let mut found = Envelope::default();
    let mut ids = 0;
    let mut scanner = Scanner::new(prefix);
    if prefix.starts_with(b"\xef\xbb\xbf") {
        scanner.at = 3;
    }
    // A prefix that ends early, or stops being JSON, keeps what was found before.
    let _ = scanner.members(|key, value| match key {
        b"\"id\"" => {
            ids += 1;
            found.id = (ids == 1 && is_id(value)).then(|| value.to_vec());
        }
        b"\"method\"" => {
            found.method = serde_json::from_slice(value).ok();
        }
        _ => {}
    });
    found
}

/// A string, a number or null: what JSON-RPC allows as an id.
fn is_id(value: &[u8]) -> bool {
    let scalar = matches!(value.first(), Some(b'"' | b'-' | b'0'..=b'9')) || value == b"null";
    scalar && serde_json::from_slice::<&serde_json::value::RawValue>(value).is_ok()
}

/// Passes over JSON, as far as it goes, without decoding it.
pub(super) struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Scanner<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The bytes that are not passed yet.
    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The bytes of what was passed.
    pub(super) fn slice(&self, range: Range<usize>) -> Option<&'b [u8]> {
        self.bytes.get(range)
    }

    /// Calls `each` with every top-level key, quotes included, and its value.
    fn members(&mut self, mut each: impl FnMut(&[u8], &[u8])) -> Option<()> {
        self.expect(b'{')?;
        loop {
            self.space();
            let key = self.string()?;
            let plain = self.plain_key(key)?;
            self.expect(b':')?;
            self.space();
            let value = self.value()?;
            each(&plain, self.bytes.get(value)?);
            self.space();
            match self.next()? {
                b',' => {}
                _ => return Some(()),
            }
        }
    }

    /// A key without escapes as it stands; one with escapes, decoded and quoted again.
    fn plain_key(&self, key: Range<usize>) -> Option<std::borrow::Cow<'b, [u8]>> {
        let raw = self.bytes.get(key)?;
        if !raw.contains(&b'\\') {
            return Some(raw.into());
        }
        let decoded: String = serde_json::from_slice(raw).ok()?;
        Some(serde_json::to_vec(&decoded).ok()?.into())
    }

    /// One whole value: its end must be in sight, so that a cut number is not taken for a short one.
    pub(super) fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string(),
            b'{' | b'[' => self.nested()?,
            _ => {
                while !matches!(self.peek()?, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                    self.at += 1;
                }
            }
        }
        Some(start..self.at)
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
            if depth > DEPTH_MAX {
                return None;
            }
        }
    }

    /// A string, with its quotes.
    pub(super) fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            self.at += memchr2(b'"', b'\\', self.bytes.get(self.at..)?)?;
            if self.next()? == b'"' {
                return Some(start..self.at);
            }
            self.at += 1;
        }
    }

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.next()? == byte).then_some(())
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> Option<String> {
        scan(text.as_bytes()).id.map(|id| String::from_utf8(id).unwrap())
    }

    #[test]
    fn ids_are_found_as_they_stand() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"message/send"}"#, Some("1")),
            (r#"{"params":{"id":9,"x":[{"id":8}]},"id":"a\"b" }"#, Some(r#""a\"b""#)),
            (r#" { "id" : 12345678901234567890123 }"#, Some("12345678901234567890123")),
            (r#"{"id":-1.50e+3}"#, Some("-1.50e+3")),
            (r#"{"id":null}"#, Some("null")),
            (r#"{"\u0069d":7}"#, Some("7")),
            ("\u{feff}{\"id\":3}", Some("3")),
            (r#"{"id":"é"}"#, Some("\"é\"")),
            (r#"{"id":5,"params":{"#, Some("5")),
            (r#"{"id":5"#, None),
            (r#"{"id":1,"id":2}"#, None),
            (r#"{"id":{}}"#, None),
            (r#"{"id":true}"#, None),
            (r#"{"id":01}"#, None),
            (r#"{"id":nul}"#, None),
            (r#"[{"id":1}]"#, None),
            ("", None),
            ("<html>", None),
        ] {
            assert_eq!(id(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn bad_utf8_and_deep_nesting_give_no_id() {
        assert_eq!(scan(b"{\"id\":\"\xff\"}").id, None);
        let deep = format!("{{\"p\":{}1{},\"id\":1}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(id(&deep), None);
    }

    #[test]
    fn the_method_is_read() {
        let envelope = scan(br#"{"method":"message\/stream","id":1}"#);
        assert_eq!(envelope.method.as_deref(), Some("message/stream"));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_found_is_json(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(id) = scan(&bytes).id {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&id).is_ok());
            }
        }

        #[test]
        fn every_id_of_a_generated_request_is_found(number in any::<i64>(), text in ".{0,40}", first in any::<bool>()) {
            let id = if number % 2 == 0 { serde_json::json!(number) } else { serde_json::json!(text) };
            let params = serde_json::json!({"id": 1, "text": text});
            let request = if first {
                format!("{{\"id\":{id},\"params\":{params}}}")
            } else {
                format!("{{\"params\":{params},\"id\":{id}}}")
            };
            prop_assert_eq!(scan(request.as_bytes()).id, Some(id.to_string().into_bytes()));
        }
    }
}
