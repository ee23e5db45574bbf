//! Edits the card that a call by gRPC answers, in protobuf: by the same rules as one in JSON. Pure.

use std::borrow::Cow;

use super::interfaces::Judge;
use super::url::{Agent, Place};
use super::{Edit, View};
use crate::protobuf::{Field, fields, put};

/// Where a version of A2A has in its `AgentCard` what may have to be edited: numbers of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    interfaces: u64,
    icon: u64,
    signatures: u64,
    /// The main URL and its binding, which 0.3 has beside the others.
    main: Option<(u64, u64)>,
}

/// Of an interface in both versions: the URL, and the binding.
const INTERFACE: (u64, u64) = (1, 2);

/// `lf.a2a.v1.AgentCard`, of A2A 1.0.
const V1: Schema = Schema { interfaces: 3, icon: 14, signatures: 13, main: None };
/// `a2a.v1.AgentCard`, of A2A 0.3.
const V0_3: Schema = Schema { interfaces: 15, icon: 18, signatures: 17, main: Some((3, 14)) };

impl Schema {
    /// The schema of what a method answers, if that is a card.
    pub fn of(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let schema = match service {
            "lf.a2a.v1.A2AService" => V1,
            "a2a.v1.A2AService" => V0_3,
            _ => return None,
        };
        matches!(method, "GetAgentCard" | "GetExtendedAgentCard").then_some(schema)
    }
}

/// Edits one card; `None` for what is no card. The relay's own signature is over the form in JSON, so an
/// edited card has none here.
pub fn edit(card: &[u8], schema: Schema, view: &View<'_>) -> Option<Edit> {
    let agent = Agent::new(view);
    let judge = Judge { agent: &agent, drop_foreign: view.rules.drop_foreign };
    let all = fields(card)?;
    let mut edited = Vec::with_capacity(all.len());
    let mut kept = None;
    for field in &all {
        edited.push(if field.number == schema.interfaces {
            let interface = interface(field, &judge)?;
            if let (None, Some((_, url, binding))) = (&kept, &interface) {
                kept = Some((url.clone(), binding.clone()));
            }
            interface.map(|(raw, ..)| raw)
        } else if field.number == schema.icon {
            Some(match agent.place(field.text()?) {
                Place::Moves(public) => Cow::Owned(text(field.number, &public)),
                Place::Stays | Place::Foreign | Place::Goes => Cow::Borrowed(field.raw),
            })
        } else {
            Some(Cow::Borrowed(field.raw))
        });
    }
    if let Some(main) = schema.main {
        edit_main(main, &all, &mut edited, &judge, kept)?;
    }
    let is_same = |(field, raw): (&Field<'_>, &Option<Cow<'_, [u8]>>)| {
        raw.as_deref().is_some_and(|raw| raw == field.raw)
    };
    if edited.len() == all.len() && all.iter().zip(&edited).all(is_same) {
        return Some(Edit::Public);
    }
    let signed = all.iter().any(|field| field.number == schema.signatures);
    let reveals = view.secret_base.is_some_and(|secret| {
        card.windows(secret.len().max(1)).any(|part| part == secret.as_bytes())
    });
    if signed && view.rules.strict && !reveals {
        return Some(Edit::Strict);
    }
    // A signature over other URLs than the ones beside it is worse than none.
    let numbers = all.iter().map(|field| field.number).chain(std::iter::repeat(0));
    let left = edited.into_iter().zip(numbers).filter(|(_, number)| *number != schema.signatures);
    Some(Edit::Rewritten(left.filter_map(|(raw, _)| raw).flat_map(Cow::into_owned).collect()))
}

/// An interface with its URL in its place, that URL, and its binding; nothing, where it has to go. The
/// outer `None`: it is no interface.
#[expect(clippy::type_complexity, reason = "what one interface becomes, once")]
fn interface<'m>(
    field: &Field<'m>,
    judge: &Judge<'_>,
) -> Option<Option<(Cow<'m, [u8]>, String, String)>> {
    let parts = fields(field.content?)?;
    let last = |number| parts.iter().rev().find(|part| part.number == number);
    let binding = last(INTERFACE.1).map(Field::text).unwrap_or(Some(""))?;
    let url = last(INTERFACE.0).map(Field::text).unwrap_or(Some(""))?;
    let public = match judge.place(url, Some(binding)) {
        Place::Goes => return Some(None),
        Place::Stays | Place::Foreign => {
            // An earlier value, which readers overwrite, is nobody's to see either.
            let one = parts.iter().filter(|part| part.number == INTERFACE.0).count() <= 1;
            let same = one.then(|| (Cow::Borrowed(field.raw), url.to_owned(), binding.to_owned()));
            if same.is_some() {
                return Some(same);
            }
            url.to_owned()
        }
        Place::Moves(public) => public,
    };
    let mut message = Vec::new();
    let mut placed = false;
    for part in &parts {
        if part.number != INTERFACE.0 {
            message.extend_from_slice(part.raw);
        } else if !std::mem::replace(&mut placed, true) {
            put(&mut message, INTERFACE.0, public.as_bytes());
        }
    }
    let mut raw = Vec::new();
    put(&mut raw, field.number, &message);
    Some(Some((Cow::Owned(raw), public, binding.to_owned())))
}

/// Puts the main URL of 0.3 in its place; where it has to go, the next interface takes it.
fn edit_main<'m>(
    (url_number, binding_number): (u64, u64),
    all: &[Field<'m>],
    edited: &mut Vec<Option<Cow<'m, [u8]>>>,
    judge: &Judge<'_>,
    kept: Option<(String, String)>,
) -> Option<()> {
    let last = |number| all.iter().rev().find(|field| field.number == number);
    let preferred = last(binding_number).map(Field::text).unwrap_or(Some("JSONRPC"))?;
    let mut promoted = None;
    for (field, raw) in all.iter().zip(edited.iter_mut()) {
        if field.number != url_number {
            continue;
        }
        match judge.place(field.text()?, Some(preferred)) {
            Place::Stays | Place::Foreign => {}
            Place::Moves(public) => *raw = Some(Cow::Owned(text(url_number, &public))),
            Place::Goes => {
                let endpoint = || (judge.agent.endpoint().to_owned(), "JSONRPC".to_owned());
                let (url, binding) = kept.clone().unwrap_or_else(endpoint);
                *raw = Some(Cow::Owned(text(url_number, &url)));
                promoted = Some(binding);
            }
        }
    }
    // The last value counts, so one at the end says it, whatever stood before.
    if let Some(binding) = promoted {
        edited.push(Some(Cow::Owned(text(binding_number, &binding))));
    }
    Some(())
}

fn text(number: u64, text: &str) -> Vec<u8> {
    let mut raw = Vec::new();
    put(&mut raw, number, text.as_bytes());
    raw
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;

    const HOST: &str = "https://echo.agents.example/";

    fn edited(card: &[u8], schema: Schema, strict: bool) -> Option<Edit> {
        let origins = ["http://127.0.0.1:8000".to_owned(), "http://127.0.0.1:10000".to_owned()];
        let view = View {
            base: HOST,
            agents: "https://relay.example/agents/",
            host: Some(HOST),
            endpoint: "https://relay.example/agents/echo/a2a",
            secret_base: None,
            origins: &origins,
            rules: Rules { strict, ..Rules::default() },
        };
        edit(card, schema, &view)
    }

    fn card(parts: &[(u64, &[u8])]) -> Vec<u8> {
        let mut card = Vec::new();
        for (number, content) in parts {
            put(&mut card, *number, content);
        }
        card
    }

    fn interface_of(url: &str, binding: &str) -> Vec<u8> {
        card(&[(1, url.as_bytes()), (2, binding.as_bytes()), (3, b"tenant"), (99, b"new")])
    }

    #[test]
    fn only_the_urls_of_a_card_change_and_its_signatures_go() {
        let (rpc, grpc) = ("http://localhost:8000/a2a", "localhost:10000");
        let make = |rpc: &str, grpc: &str, rest: &[(u64, &[u8])]| {
            let (rpc, grpc) = (interface_of(rpc, "JSONRPC"), interface_of(grpc, "GRPC"));
            card(&[&[(1, &b"Echo"[..]), (3, &rpc), (3, &grpc), (77, b"unknown")], rest].concat())
        };
        let public = make("https://echo.agents.example/a2a", "echo.agents.example:443", &[]);
        let private = make(rpc, grpc, &[]);
        assert_eq!(edited(&private, V1, false), Some(Edit::Rewritten(public.clone())));
        let signed = make(rpc, grpc, &[(13, b"signature")]);
        assert_eq!(edited(&signed, V1, false), Some(Edit::Rewritten(public.clone())));
        assert_eq!(edited(&signed, V1, true), Some(Edit::Strict));
        assert_eq!(edited(&public, V1, false), Some(Edit::Public), "twice changes nothing");
        let gone = make(rpc, "localhost:7", &[]);
        let one = interface_of("https://echo.agents.example/a2a", "JSONRPC");
        let left = card(&[(1, b"Echo"), (3, &one), (77, b"unknown")]);
        assert_eq!(edited(&gone, V1, false), Some(Edit::Rewritten(left)));
    }

    #[test]
    fn a_main_url_that_has_to_go_is_replaced_by_the_next_interface() {
        let grpc = interface_of("http://localhost:10000", "GRPC");
        let before = card(&[(3, b"http://localhost:7/rest"), (14, b"HTTP+JSON"), (15, &grpc)]);
        let public = "https://echo.agents.example:443";
        let grpc = interface_of(public, "GRPC");
        let after = card(&[(3, public.as_bytes()), (14, b"HTTP+JSON"), (15, &grpc), (14, b"GRPC")]);
        assert_eq!(edited(&before, V0_3, false), Some(Edit::Rewritten(after.clone())));
        assert_eq!(edited(&after, V0_3, false), Some(Edit::Public));
    }

    #[test]
    fn what_is_no_card_is_none() {
        for wrong in [&[0x1a, 9, 1][..], &[0x1a, 2, 0x0a, 9], &[0x1a, 3, 0x0a, 1, 0xff], &[0x18, 1]]
        {
            assert_eq!(edited(wrong, V1, false), None, "{wrong:x?}");
        }
    }

    #[test]
    fn the_methods_that_answer_cards_are_known_by_their_paths() {
        assert_eq!(Schema::of("/lf.a2a.v1.A2AService/GetExtendedAgentCard"), Some(V1));
        assert_eq!(Schema::of("/a2a.v1.A2AService/GetAgentCard"), Some(V0_3));
        assert_eq!(Schema::of("/a2a.v1.A2AService/GetTask"), None);
        assert_eq!(Schema::of("/other.A2AService/GetAgentCard"), None);
    }
}
