//! Callers that mean harm: what each gets, and that the agent and everybody else notice nothing.

mod bystander;
mod descriptors;
mod heads;
mod http2_floods;
mod http2_frames;
mod http2_requests;
mod http2_resets;
mod http2_stalls;
mod ids;
mod inputs;
mod large;
mod leavers;
mod slow;

use bystander::Bystander;
use tests::{RawClient, World};

/// What words in the templates of requests stand for; each may use those below it.
const WORDS: [(&str, &str); 8] = [
    // A request that must not come out of another one.
    (
        "{hidden}",
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-test-id: hidden\r\nContent-Length: 0\r\n\r\n",
    ),
    ("{chunked}", "{post}Transfer-Encoding: chunked\r\n\r\n"),
    // The usual head, but for what frames its body.
    ("{post}", "POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}"),
    // All that follows the version in a usual request.
    ("{rest}", "\r\nHost: {host}\r\n{fields}{two}"),
    ("{fields}", "Content-Type: application/json\r\nx-test-id: hostile\r\n"),
    ("{two}", "Content-Length: 2\r\n\r\n{}"),
    ("{chunks}", "2\r\n{}\r\n0\r\n\r\n"),
    ("{path}", "{base}/a2a"),
];

/// The paths of a world's agent, and its relay's host, as they stand in requests.
struct Paths {
    host: String,
    base: String,
}

impl Paths {
    fn of(world: &World) -> Paths {
        let base = world.public_url.trim_end_matches('/');
        let base = base[base.find("/agents/").expect("a path")..].to_owned();
        Paths { host: world.relay.http().to_string(), base }
    }

    /// The path of the agent's endpoint.
    fn endpoint(&self) -> String {
        format!("{}/a2a", self.base)
    }

    /// The bytes that a template stands for: each character is one byte, and words in braces are
    /// the host, the agent's base, and those of [`WORDS`].
    fn fill(&self, template: &str) -> Vec<u8> {
        let words = WORDS
            .iter()
            .fold(template.to_owned(), |text, (word, meaning)| text.replace(word, meaning));
        let text = words.replace("{base}", &self.base).replace("{host}", &self.host);
        text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("one byte")).collect()
    }
}

/// How often the agent has seen the head of a request with this id.
fn seen(world: &World, id: &str) -> usize {
    world.agent.of(id).len()
}

/// Sends a good request on a connection that saw something else before; true when it is answered.
async fn is_usable(client: &mut RawClient, paths: &Paths) -> bool {
    let good = "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-test-id: after\r\n{two}";
    client.send(&paths.fill(good)).await.is_ok()
        && client.response().await.is_ok_and(|answer| answer.status == 200)
}
