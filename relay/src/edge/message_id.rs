//! Finds the `messageId` of a message in the first bytes of its request, without decoding the rest.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::caller_body::{CallerBody, Piece};
use super::envelope::Scanner;
use super::exchange::broken;
use super::failure::Failure;
use super::prefix::BYTES_MAX;

/// Patience for the first bytes of a message: without them nobody can tell whether it is a repeat.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message's id as a digest, so that long ones cost no more than short ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId([u8; 32]);

impl MessageId {
    /// That of a message with this id.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageId")
    }
}

/// What the first bytes of a request tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The id of its message.
    Id(MessageId),
    /// It is whole, or no JSON, or full of something else: there is none.
    None,
    /// It may stand further back.
    NotYet,
}

/// Reads on until the id is known, within 64 KiB and 10 s; what was read comes again. `None` where the
/// first bytes have none: such a request is no message, or its agent knows it by nothing.
pub async fn find(body: &mut CallerBody) -> Result<Option<MessageId>, Failure> {
    let (mut pieces, mut trailers) = (Vec::new(), HeaderMap::new());
    let search = async {
        let (mut first, mut looked_at) = (Vec::new(), 0);
        loop {
            let whole = body.is_over() || first.len() >= BYTES_MAX;
            // Each look begins anew: so many bytes more are worth one.
            if whole || first.len() >= looked_at * 2 {
                looked_at = first.len();
                match look(&first) {
                    Found::Id(id) => return Ok(Some(id)),
                    Found::None => return Ok(None),
                    Found::NotYet if whole => return Ok(None),
                    Found::NotYet => {}
                }
            }
            match body.next().await.map_err(broken)? {
                Piece::Data(data) => {
                    let room = BYTES_MAX.saturating_sub(first.len()).min(data.len());
                    first.extend_from_slice(data.get(..room).unwrap_or_default());
                    pieces.push(data);
                }
                Piece::End(end) => trailers = end,
            }
        }
    };
    let found = timeout(PATIENCE, search).await.unwrap_or(Err(Failure::BadRequest(
        "The first bytes of the message did not come within 10 s.",
    )));
    body.give_back(pieces, trailers);
    found
}

/// Looks at the first bytes of a request.
fn look(first: &[u8]) -> Found {
    let mut scanner = Scanner::new(first);
    let mut found = None;
    let passed = pass(&mut scanner, &[b"\"params\"", b"\"message\""], &mut found);
    match (found, passed) {
        (Some(id), _) => Found::Id(id),
        (None, Some(())) => Found::None,
        (None, None) => Found::NotYet,
    }
}

/// Passes over an object, and into the members that lead to the message. `None` where it ends early.
fn pass(scanner: &mut Scanner<'_>, way: &[&[u8]], found: &mut Option<MessageId>) -> Option<()> {
    scanner.expect(b'{')?;
    scanner.space();
    if scanner.peek()? == b'}' {
        return scanner.expect(b'}');
    }
    loop {
        scanner.space();
        let key = scanner.string()?;
        let key = scanner.slice(key)?;
        scanner.expect(b':')?;
        scanner.space();
        match way.split_first() {
            Some((next, rest)) if key == *next && scanner.peek()? == b'{' => {
                pass(scanner, rest, found)?;
            }
            None if key == b"\"messageId\"" => {
                let value = scanner.value()?;
                let text = serde_json::from_slice::<String>(scanner.slice(value)?);
                *found = text.ok().filter(|text| !text.is_empty()).map(|text| MessageId::of(&text));
            }
            _ => {
                scanner.value()?;
            }
        }
        scanner.space();
        match scanner.peek()? {
            b',' => scanner.expect(b',')?,
            _ => return scanner.expect(b'}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::arriving::Arriving;

    #[test]
    fn a_message_is_known_by_the_id_that_its_agent_sees() {
        let id = |text| Found::Id(MessageId::of(text));
        for (body, expected) in [
            (
                r#"{"id":1,"method":"message/send","params":{"message":{"messageId":"m-1"#,
                Found::NotYet,
            ),
            (r#"{"id":1,"params":{"message":{"messageId":"m-1","parts":["#, id("m-1")),
            (
                r#" { "params" : { "a":{} , "message" : { "x":[1], "messageId" : "m\u002d1" } } } "#,
                id("m-1"),
            ),
            (
                r#"{"params":{"message":{"metadata":{"messageId":"no"},"messageId":"yes"}}}"#,
                id("yes"),
            ),
            (r#"{"params":{"messageId":"no"},"messageId":"no"}"#, Found::None),
            (r#"{"params":{"message":{"messageId":""}}}"#, Found::None),
            (r#"{"params":{"message":{"messageId":7}}}"#, Found::None),
            (r#"{"params":{"message":{}}}"#, Found::None),
            (r#"{"params":{"message":"messageId"}}"#, Found::None),
            ("{}", Found::None),
            ("", Found::NotYet),
            ("[1]", Found::NotYet),
        ] {
            assert_eq!(look(body.as_bytes()), expected, "{body}");
        }
    }

    #[tokio::test]
    async fn what_was_read_of_it_comes_again() {
        let (mut body, mut caller) = Arriving::body(1 << 20).await;
        let parts =
            [&br#"{"id":1,"params":{"mess"#[..], br#"age":{"messageId":"m"#, br#"-1","parts":"#];
        for part in parts {
            caller.chunk(part).await;
        }
        assert_eq!(find(&mut body).await.unwrap(), Some(MessageId::of("m-1")));
        let mut again = Vec::new();
        while again.len() < parts.concat().len() {
            match body.next().await.unwrap() {
                Piece::Data(bytes) => again.extend_from_slice(&bytes),
                Piece::End(_) => panic!("the end"),
            }
        }
        assert_eq!(again, parts.concat());
    }

    #[tokio::test]
    async fn a_body_without_one_is_carried_all_the_same_and_a_broken_one_is_not() {
        for end in [true, false] {
            let (mut body, mut caller) = Arriving::body(1 << 20).await;
            caller.chunk(br#"{"id":1,"method":"tasks/get""#).await;
            match end {
                true => {
                    caller.end().await;
                    assert_eq!(find(&mut body).await.unwrap(), None);
                    assert!(!body.is_over());
                }
                false => {
                    caller.leave().await;
                    assert!(find(&mut body).await.is_err());
                }
            }
        }
    }

    #[tokio::test]
    async fn only_the_first_64_kib_are_looked_at() {
        let (mut body, mut caller) = Arriving::body(1 << 20).await;
        let filler = "x".repeat(BYTES_MAX);
        let long = format!(r#"{{"params":{{"a":"{filler}","message":{{"messageId":"m-1"}}}}}}"#);
        let sent = async {
            for piece in long.as_bytes().chunks(8_000) {
                caller.chunk(piece).await;
            }
            caller.end().await;
        };
        let (found, ()) = tokio::join!(find(&mut body), sent);
        assert_eq!(found.unwrap(), None);
    }
}
