//! The interfaces of a card, of A2A 1.0 and of 0.3, and the main URL that 0.3 has beside them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::json::{Members, Splices, members, quoted, text};
use super::url::{Agent, Place, is_http};

/// The list of each version, and what names the binding in it: many cards are of both versions. That
/// of 0.3 comes first, since its next interface takes the place of a main URL that had to go.
const LISTS: [(&str, &str); 2] =
    [("additionalInterfaces", "transport"), ("supportedInterfaces", "protocolBinding")];

/// An interface that stays in the card, as the main one would name it.
struct Kept {
    url: String,
    transport: Option<String>,
}

/// Puts every interface in its place and leaves those out that nobody could reach.
pub(super) fn edit<'t>(
    top: &Members<'t>,
    agent: &Agent<'_>,
    drop_foreign: bool,
    splices: &mut Splices<'t>,
) {
    let judge = Judge { agent, drop_foreign };
    let mut kept = Vec::new();
    for (name, binding) in LISTS {
        for list in top.all(name) {
            judge.list(list, binding, splices, &mut kept);
        }
    }
    let preferred = top.text("preferredTransport");
    for raw in top.all("url") {
        let Some(url) = text(raw) else { continue };
        match judge.place(&url, preferred.as_deref()) {
            Place::Stays | Place::Foreign => {}
            Place::Moves(public) => splices.replace(raw, &quoted(&public)),
            Place::Goes => promote(top, raw, agent, &kept, splices),
        }
    }
}

/// Says where URLs of interfaces belong.
pub(super) struct Judge<'j> {
    pub(super) agent: &'j Agent<'j>,
    /// Public URLs that pass the relay by go.
    pub(super) drop_foreign: bool,
}

impl Judge<'_> {
    /// Where the URL of an interface belongs. The relay carries no other bindings than those of HTTP:
    /// those of others on the agent's origin go.
    pub(super) fn place(&self, url: &str, binding: Option<&str>) -> Place {
        let is_grpc = binding.is_some_and(|binding| binding.eq_ignore_ascii_case("GRPC"));
        match if is_grpc { self.agent.place_grpc(url) } else { self.agent.place(url) } {
            Place::Moves(public) if is_grpc => Place::Moves(public),
            Place::Moves(_) if !is_carried(binding) || !is_http(url) => Place::Goes,
            Place::Foreign if self.drop_foreign => Place::Goes,
            place => place,
        }
    }

    fn list<'t>(
        &self,
        list: &'t RawValue,
        binding_field: &str,
        splices: &mut Splices<'t>,
        kept: &mut Vec<Kept>,
    ) {
        let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else { return };
        let mut left = Vec::with_capacity(elements.len());
        let mut replaced = Vec::new();
        let count = elements.len();
        for element in elements {
            let mut edited = Splices::new(element.get().as_bytes());
            let interface = members(element.get().as_bytes());
            let interface = interface.as_ref();
            let binding = interface.and_then(|interface| interface.text(binding_field));
            let mut gone = false;
            for raw in interface.into_iter().flat_map(|interface| interface.all("url")) {
                let Some(url) = text(raw) else { continue };
                let url = match self.place(&url, binding.as_deref()) {
                    Place::Goes => {
                        gone = true;
                        break;
                    }
                    Place::Moves(public) => {
                        edited.replace(raw, &quoted(&public));
                        replaced.push((raw, quoted(&public)));
                        public
                    }
                    Place::Stays | Place::Foreign => url,
                };
                kept.push(Kept { url, transport: binding.clone() });
            }
            if !gone {
                left.push(edited.apply_text().map_or(Cow::Borrowed(element.get()), Cow::Owned));
            }
        }
        if left.len() < count {
            splices.replace(list, &format!("[{}]", left.join(",")));
        } else {
            for (raw, text) in replaced {
                splices.replace(raw, &text);
            }
        }
    }
}

/// Whether the relay carries a binding at an agent's base. gRPC has paths of its own, which need a host
/// name; others need an Upgrade. An interface that names none is taken for the usual one.
fn is_carried(binding: Option<&str>) -> bool {
    binding.is_none_or(|binding| {
        ["JSONRPC", "HTTP+JSON"].iter().any(|carried| binding.eq_ignore_ascii_case(carried))
    })
}

/// The main URL had to go: the next interface takes its place (A2A 0.3, `preferredTransport`).
fn promote<'t>(
    top: &Members<'t>,
    url: &'t RawValue,
    agent: &Agent<'_>,
    kept: &[Kept],
    splices: &mut Splices<'t>,
) {
    let next = kept.first();
    let public = quoted(&next.map_or_else(|| agent.endpoint().to_owned(), |next| next.url.clone()));
    let transport = quoted(next.and_then(|next| next.transport.as_deref()).unwrap_or("JSONRPC"));
    let mut preferred = top.all("preferredTransport").peekable();
    if preferred.peek().is_none() && transport != "\"JSONRPC\"" {
        // Absent means JSON-RPC, which the promoted one is not.
        splices.replace(url, &format!("{public},\"preferredTransport\":{transport}"));
    } else {
        splices.replace(url, &public);
    }
    for raw in preferred {
        splices.replace_once(raw, &transport);
    }
}
