//! Compares exchanges with an agent through the relay with the same ones without it.

pub mod allowed;
pub mod grpc;
mod mask;

pub use mask::mask;

use crate::front::{Exchange, Message};
use allowed::Allowed;
use http::{HeaderMap, StatusCode};
use shared::exposure::CARD_PATHS;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How much of a body a difference shows on each side of its first byte.
const SHOWN: usize = 80;

/// Where the agent is: its own origin, and its public base; both without a final slash.
#[derive(Clone, Debug)]
pub struct Bases {
    /// The origin that its card names.
    pub local: String,
    /// The base that the relay gives it.
    pub public: String,
    /// The same for gRPC, `host:port`, of an agent that has it.
    pub grpc: Option<Places>,
}

/// The two places of an agent's gRPC.
#[derive(Clone, Debug)]
pub struct Places {
    /// What its card names.
    pub local: String,
    /// Its host at the relay.
    pub public: String,
}

impl Bases {
    /// All that its own card names, longest first.
    #[must_use]
    pub fn of_agent(&self) -> Vec<&str> {
        std::iter::once(&*self.local).chain(self.grpc.as_ref().map(|grpc| &*grpc.local)).collect()
    }

    /// All that the relay gives it.
    #[must_use]
    pub fn of_relay(&self) -> Vec<&str> {
        let grpc = self.grpc.as_ref().map(|grpc| &*grpc.public);
        std::iter::once(&*self.public).chain(grpc).collect()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<&str> {
        [self.of_relay(), self.of_agent()].concat()
    }
}

/// What was compared, and what differs without a reason.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Exchanges that were compared.
    pub compared: usize,
    /// Every difference, in words.
    pub differences: Vec<String>,
}

impl Verdict {
    /// Takes another verdict in.
    pub fn add(&mut self, other: Verdict) {
        self.compared += other.compared;
        self.differences.extend(other.differences);
    }

    /// Prints how many exchanges were compared.
    ///
    /// # Panics
    /// Shows every difference, if there is one, and wants at least so many exchanges.
    pub fn print(&self, title: &str, at_least: usize) {
        println!("{title}: {} exchanges compared", self.compared);
        assert!(self.differences.is_empty(), "{title}:\n{}", self.differences.join("\n"));
        assert!(self.compared >= at_least, "{title}: only {} exchanges", self.compared);
    }

    fn differs(&mut self, what: impl Into<String>) {
        self.differences.push(what.into());
    }
}

/// What the caller sent and got (`outside`) against what the agent got and sent (`inside`), of the
/// same exchanges, byte by byte.
#[must_use]
pub fn crossing(outside: &[Exchange], inside: &[Exchange], bases: &Bases) -> Verdict {
    let mut verdict = Verdict::default();
    let prefix = path_of(&bases.public);
    for sent in outside {
        let Some(name) = sent.answer.field("x-request-id") else {
            verdict.differs(format!("{} {} did not reach the relay", sent.method, sent.path));
            continue;
        };
        let Some(got) = inside.iter().find(|got| got.request.field("x-request-id") == Some(name))
        else {
            verdict.differs(format!("{} {} did not reach the agent", sent.method, sent.path));
            continue;
        };
        let mut found = Differences::of(format!("{} {}, across", got.method, got.path));
        let asks_whole = is_head_of_card(sent) && got.method == allowed::METHOD_OF_CARDS.field;
        if sent.method != got.method && !asks_whole {
            found.add(format!("the method {} became {}", sent.method, got.method));
        }
        let below = sent.path.strip_prefix(prefix);
        let alias = below.and_then(|below| below.strip_prefix("/a2a"));
        if below != Some(&got.path) && !(is_card(got) && alias == Some(&got.path)) {
            found.add(format!("the path {} became {}", sent.path, got.path));
        }
        let of_cards = allowed_for_cards(got);
        let no_body = got.request.body.is_empty();
        let of_empty: &[Allowed] = if no_body { &allowed::OF_EMPTY_REQUESTS } else { &[] };
        let may = [&allowed::HOP_BY_HOP[..], &allowed::OF_REQUESTS, of_cards, of_empty];
        found.fields("request", &sent.request.fields, &got.request.fields, &may);
        found.bodies("request", &sent.request.body, &got.request.body);
        if sent.status == Some(StatusCode::NOT_MODIFIED) && is_card(got) {
            // The relay compared the validators itself; the other comparison tells whether rightly.
            verdict.compared += 1;
            verdict.differences.extend(found.into_text());
            continue;
        }
        if sent.status != got.status {
            found.add(format!("the status {:?} became {:?}", got.status, sent.status));
        }
        let edited = sent.answer.field("x-relay-card").is_some();
        let of_cards: &[Allowed] = if edited { &allowed::OF_CARDS } else { &[] };
        let of_grpc: &[Allowed] = if is_grpc(got) { &allowed::OF_GRPC_ANSWERS } else { &[] };
        let may = [&allowed::HOP_BY_HOP[..], &allowed::OF_ANSWERS, of_cards, of_grpc];
        found.fields("answer", &got.answer.fields, &sent.answer.fields, &may);
        found.fields("trailer", &got.answer.trailers, &sent.answer.trailers, &[]);
        if asks_whole {
            found.bodies("answer", b"", &sent.answer.body);
        } else if edited && is_grpc(got) {
            // Its lengths are in it too: what the client reads in it is compared.
        } else if edited {
            let there = mask(&got.answer.body, &bases.of_agent());
            let here = mask(&sent.answer.body, &bases.of_relay());
            found.bodies("card", there.as_bytes(), here.as_bytes());
        } else {
            found.bodies("answer", &got.answer.body, &without_comments(&sent.answer));
        }
        if got.answer.whole != sent.answer.whole {
            let ends = (got.answer.whole, sent.answer.whole);
            found.add(format!("whole at the agent and at the caller: {ends:?}"));
        }
        verdict.compared += 1;
        verdict.differences.extend(found.into_text());
    }
    verdict
}

/// The same calls in the same order, made to the agent itself and through the relay: what the agent
/// got, and what the caller got, but for what each run makes anew.
#[must_use]
pub fn runs(
    direct: &[Exchange],
    outside: &[Exchange],
    inside: &[Exchange],
    bases: &Bases,
) -> Verdict {
    let mut verdict = Verdict::default();
    if direct.len() != outside.len() {
        let list = |calls: &[Exchange]| -> Vec<String> {
            calls.iter().map(|call| format!("{} {}", call.method, call.path)).collect()
        };
        verdict.differs(format!("other calls: {:?} and {:?}", list(direct), list(outside)));
    }
    let masked = |bytes: &[u8]| mask(bytes, &bases.all());
    for (alone, through) in direct.iter().zip(outside) {
        let name = through.answer.field("x-request-id");
        let arrived = inside.iter().find(|got| got.request.field("x-request-id") == name);
        let Some(arrived) = arrived else { continue };
        let mut found = Differences::of(format!("{} {}, two runs", alone.method, alone.path));
        let asks_whole = is_head_of_card(alone) && arrived.method == allowed::METHOD_OF_CARDS.field;
        let line = |call: &Exchange| {
            let method = if asks_whole { "HEAD" } else { call.method.as_str() };
            format!("{method} {}", masked(call.path.as_bytes()))
        };
        if line(alone) != line(arrived) {
            found.add(format!(
                "the agent got {}, and through the relay {}",
                alone.path, arrived.path
            ));
        }
        if is_grpc(alone) {
            // Times in numbers have several lengths: what the client makes of it all is compared.
            verdict.compared += 1;
            verdict.differences.extend(found.into_text());
            continue;
        }
        let of_cards = allowed_for_cards(arrived);
        let may =
            [&allowed::HOP_BY_HOP[..], &allowed::OF_REQUESTS, &allowed::OF_TWO_REQUESTS, of_cards];
        found.fields("request", &alone.request.fields, &arrived.request.fields, &may);
        let (there, here) = (masked(&alone.request.body), masked(&arrived.request.body));
        found.bodies("request", there.as_bytes(), here.as_bytes());
        if alone.status != through.status {
            found.add(format!("the status {:?} became {:?}", alone.status, through.status));
        }
        let edited = through.answer.field("x-relay-card").is_some();
        let of_cards: &[Allowed] = if edited { &allowed::OF_CARDS } else { &[] };
        let may =
            [&allowed::HOP_BY_HOP[..], &allowed::OF_ANSWERS, &allowed::OF_TWO_ANSWERS, of_cards];
        found.fields("answer", &alone.answer.fields, &through.answer.fields, &may);
        let there = masked(&without_comments(&alone.answer));
        let here = masked(&without_comments(&through.answer));
        found.bodies("answer", there.as_bytes(), here.as_bytes());
        verdict.compared += 1;
        verdict.differences.extend(found.into_text());
    }
    verdict
}

/// The path of a URL.
fn path_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url[after_scheme..].find('/').map_or("", |at| &url[after_scheme + at..])
}

/// A request for the public card.
fn is_card(call: &Exchange) -> bool {
    CARD_PATHS.iter().any(|path| call.path.split('?').next().is_some_and(|p| p.ends_with(path)))
}

fn is_grpc(call: &Exchange) -> bool {
    call.request.field("content-type").is_some_and(|media| media.starts_with("application/grpc"))
}

fn is_head_of_card(call: &Exchange) -> bool {
    call.method == "HEAD" && is_card(call)
}

fn allowed_for_cards(call: &Exchange) -> &'static [Allowed] {
    if asks_for_card(call) { &allowed::OF_CARD_REQUESTS } else { &[] }
}

/// A request for a card, be it the public one or another.
fn asks_for_card(call: &Exchange) -> bool {
    let body = String::from_utf8_lossy(&call.request.body);
    let ends = [
        "/extendedAgentCard",
        "/v1/card",
        "/agent/authenticatedExtendedCard",
        "A2AService/GetAgentCard",
        "A2AService/GetExtendedAgentCard",
    ];
    is_card(call)
        || ends.iter().any(|path| call.path.ends_with(path))
        || body.contains("\"GetExtendedAgentCard\"")
        || body.contains("\"agent/getAuthenticatedExtendedCard\"")
}

/// An event stream without the relay's comments; anything else as it is.
fn without_comments(answer: &Message) -> Vec<u8> {
    let is_stream =
        answer.field("content-type").is_some_and(|t| t.starts_with("text/event-stream"));
    let mut bytes = answer.body.clone();
    while let Some(at) = is_stream.then(|| comment(&bytes)).flatten() {
        bytes.drain(at..at + allowed::KEEP_ALIVE.len());
    }
    bytes
}

/// A comment of the relay stands between two events, or before the first one.
fn comment(bytes: &[u8]) -> Option<usize> {
    let comment = allowed::KEEP_ALIVE;
    (0..bytes.len()).find(|at| {
        bytes[*at..].starts_with(comment)
            && (*at == 0 || bytes[..*at].ends_with(b"\n\n") || bytes[..*at].ends_with(b"\r\n\r\n"))
    })
}

/// The differences of one exchange.
struct Differences {
    title: String,
    list: Vec<String>,
}

impl Differences {
    const fn of(title: String) -> Differences {
        Differences { title, list: Vec::new() }
    }

    fn add(&mut self, what: String) {
        self.list.push(what);
    }

    fn fields(&mut self, of: &str, from: &HeaderMap, to: &HeaderMap, may: &[&[Allowed]]) {
        let may_differ = |name: &str| may.iter().copied().flatten().any(|one| one.field == name);
        let (from, to) = (listed(from), listed(to));
        let names = from.keys().chain(to.keys().filter(|name| !from.contains_key(*name)));
        for name in names.filter(|name| !may_differ(name)) {
            let (was, is) = (from.get(name), to.get(name));
            if was != is {
                self.add(format!("{of} field {name}: {was:?} became {is:?}"));
            }
        }
    }

    fn bodies(&mut self, of: &str, from: &[u8], to: &[u8]) {
        if from == to {
            return;
        }
        let at = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        let around = |bytes: &[u8]| {
            let range = at.saturating_sub(SHOWN)..(at + SHOWN).min(bytes.len());
            String::from_utf8_lossy(&bytes[range]).into_owned()
        };
        self.add(format!(
            "{of} body differs at {at} ({} and {} bytes): {:?} became {:?}",
            from.len(),
            to.len(),
            around(from),
            around(to)
        ));
    }

    fn into_text(self) -> Option<String> {
        let mut text = self.title;
        self.list.iter().for_each(|one| {
            let _ = write!(text, "\n    {one}");
        });
        (!self.list.is_empty()).then_some(text)
    }
}

/// Each field with its values in their order.
fn listed(fields: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in fields {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        listed.entry(name.to_string()).or_default().push(value);
    }
    listed
}
