//! What the first bytes of a JSON-RPC request tell of it for the log: its method, its task, its context.
//!
//! Every request is looked at so, once, and so it is quick: what is there is passed over once, nothing is
//! copied but ids, and nothing is waited for. Nothing depends on it; where something does, as a policy of
//! methods, [`super::method_guard`] reads the whole body.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::envelope::Scanner;
use super::mark::Mark;
use crate::methods::A2aMethod;

/// Bytes that are looked at: an ordinary message is shorter, and in longer ones the ids come first.
const BYTES_MAX: usize = 4 * 1024;

/// The keys of a message that are looked for. Most first messages have neither, and are not passed over.
static KEYS: LazyLock<[Finder<'static>; 2]> =
    LazyLock::new(|| [Finder::new("\"taskId\""), Finder::new("\"contextId\"")]);

/// What was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Glance {
    /// The method.
    pub method: Option<A2aMethod>,
    /// The task that it is about.
    pub task: Option<Mark>,
    /// The context that it is about.
    pub context: Option<Mark>,
}

/// In which object of the request a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Request,
    Params,
    Message,
}

/// Looks at the first bytes of a body.
pub fn glance(body: &[u8]) -> Glance {
    let mut seen = Glance::default();
    let mut scanner = Scanner::new(body.get(..BYTES_MAX).unwrap_or(body));
    // One that ends early, or stops being JSON, has told what it has told.
    let _ = look(&mut scanner, Place::Request, &mut seen);
    seen
}

fn look(scanner: &mut Scanner<'_>, place: Place, seen: &mut Glance) -> Option<()> {
    scanner.expect(b'{')?;
    loop {
        scanner.space();
        if scanner.peek()? == b'}' {
            return scanner.expect(b'}');
        }
        let key = scanner.string()?;
        let key = scanner.slice(key)?;
        scanner.expect(b':')?;
        scanner.space();
        let inner = match (place, key) {
            (Place::Request, b"\"params\"") => Some(Place::Params),
            (Place::Params, b"\"message\"") => Some(Place::Message),
            _ => None,
        };
        match (inner, scanner.peek()?) {
            (Some(inner), b'{') => {
                if inner == Place::Params && has_no_ids(seen, scanner.rest()) {
                    return None;
                }
                look(scanner, inner, seen)?;
                // What follows is of no interest any more.
                if inner == Place::Params && seen.method.is_some() {
                    return None;
                }
            }
            _ => {
                let value = scanner.value()?;
                note(place, key, scanner.slice(value)?, seen);
            }
        }
        scanner.space();
        match scanner.peek()? {
            b',' => scanner.expect(b',')?,
            _ => return scanner.expect(b'}'),
        }
    }
}

/// Whether the parameters of a message, and whatever follows them, name no id.
fn has_no_ids(seen: &Glance, rest: &[u8]) -> bool {
    matches!(seen.method, Some(A2aMethod::Send | A2aMethod::Stream))
        && KEYS.iter().all(|key| key.find(rest).is_none())
}

fn note(place: Place, key: &[u8], value: &[u8], seen: &mut Glance) {
    let Some(text) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return;
    };
    match (place, key) {
        (Place::Request, b"\"method\"") => seen.method = Some(method(value, text)),
        // A task is named so by what is about itself, and so by all else; of a place for pushes, `id` is
        // the place's.
        (Place::Params, b"\"id\"") if seen.task.is_none() => seen.task = Mark::of(text),
        (Place::Params | Place::Message, b"\"taskId\"") => seen.task = Mark::of(text),
        (Place::Params | Place::Message, b"\"contextId\"") => seen.context = Mark::of(text),
        _ => {}
    }
}

fn method(quoted: &[u8], plain: &[u8]) -> A2aMethod {
    if !plain.contains(&b'\\') {
        return A2aMethod::named(plain);
    }
    let decoded = serde_json::from_slice::<String>(quoted).unwrap_or_default();
    A2aMethod::named(decoded.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(body: &str) -> (Option<&'static str>, String, String) {
        let Glance { method, task, context } = glance(body.as_bytes());
        let text = |mark: Option<Mark>| mark.map_or_else(String::new, |mark| mark.as_str().into());
        (method.map(A2aMethod::word), text(task), text(context))
    }

    #[test]
    fn a_request_is_known_by_its_method_its_task_and_its_context() {
        for (body, method, task, context) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}"#, "send", "", ""),
            (
                r#" { "id":"x", "method" : "SendStreamingMessage", "params" : { "message" :
                    {"parts":[{"taskId":"no"}],"contextId":"c-1","taskId":"t-1"}, "x":{} } } "#,
                "stream",
                "t-1",
                "c-1",
            ),
            (
                r#"{"params":{"id":"t-2","historyLength":3},"method":"tasks\/get"}"#,
                "get",
                "t-2",
                "",
            ),
            (
                r#"{"method":"GetTaskPushNotificationConfig","params":{"id":"p","taskId":"t"}}"#,
                "push-get",
                "t",
                "",
            ),
            (
                r#"{"method":"GetTaskPushNotificationConfig","params":{"taskId":"t","id":"p"}}"#,
                "push-get",
                "t",
                "",
            ),
            (r#"{"method":"ListTasks","params":{"contextId":"c"}}"#, "list", "", "c"),
            (r#"{"method":"dance","params":{"id":7},"taskId":"no"}"#, "other", "", ""),
            (r#"{"method":"message/send","params":{"message":{"taskId":"t","#, "send", "t", ""),
        ] {
            assert_eq!(seen(body), (Some(method), task.into(), context.into()), "{body}");
        }
        for nothing in ["", "{", "{}", "[]", "[{\"method\":\"tasks/get\"}]", "x", "{\"method\":7}"]
        {
            assert_eq!(seen(nothing), (None, String::new(), String::new()), "{nothing}");
        }
    }

    #[test]
    fn only_the_beginning_is_looked_at() {
        let late = format!(r#"{{"x":"{}","method":"tasks/get"}}"#, "y".repeat(BYTES_MAX));
        assert_eq!(seen(&late).0, None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = glance(&bytes);
        }
    }
}
