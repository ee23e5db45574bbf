//! Edits a card whose URLs are not public, byte by byte where it must and nowhere else. Pure.
//!
//! Only the values of URL fields are replaced; key order, spacing, numbers and unknown fields stay
//! as the agent wrote them, and editing twice changes nothing. Callers follow the URLs in a card,
//! so an unedited one would lead them round the relay.

mod json;
mod url;

use serde_json::value::RawValue;

use self::json::{Members, Splices, members};
use self::url::{Agent, Place};

/// From where a card is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View<'v> {
    /// The public base by which it was asked for, with its final slash.
    pub base: &'v str,
    /// Another base of the same agent, which the caller did not name and is not to learn.
    pub secret_base: Option<&'v str>,
    /// The agent's origin as its connector dials it.
    pub origin: &'v str,
}

/// Edits one card.
///
/// `None`: the card is served as it is.
pub fn edit(card: &[u8], view: &View<'_>) -> Option<Vec<u8>> {
    let top = members(card)?;
    let agent = Agent::new(view)?;
    let mut splices = Splices::new(card);
    let mut kept = Vec::new();
    for name in ["supportedInterfaces", "additionalInterfaces"] {
        if let Some(list) = top.get(name) {
            edit_interfaces(list, name, &agent, &mut splices, &mut kept);
        }
    }
    if let Some((raw, place)) = place_of(&top, "url", &agent) {
        match place {
            Place::Stays => {}
            Place::Moves(public) => splices.replace(raw, &quoted(&public)),
            Place::Goes => promote(&top, raw, &agent, &kept, &mut splices),
        }
    }
    if let Some((raw, Place::Moves(public))) = place_of(&top, "iconUrl", &agent) {
        splices.replace(raw, &quoted(&public));
    }
    if splices.is_empty() {
        return None;
    }
    // A signature over other URLs than the ones below it is worse than none.
    if let Some(signatures) = top.get("signatures") {
        splices.replace(signatures, "[]");
    }
    splices.apply()
}

/// An interface that stays in the card, as the main one would name it.
struct Kept {
    url: String,
    transport: Option<String>,
}

/// Edits one list of interfaces, dropping those that nobody could reach.
fn edit_interfaces(
    list: &RawValue,
    name: &str,
    agent: &Agent<'_>,
    splices: &mut Splices<'_>,
    kept: &mut Vec<Kept>,
) {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else { return };
    let mut texts = Vec::new();
    let mut dropped = false;
    let mut replaced = Vec::new();
    for element in elements {
        let Some(interface) = members(element.get().as_bytes()) else {
            texts.push(element.get().to_owned());
            continue;
        };
        let binding_field =
            if name == "supportedInterfaces" { "protocolBinding" } else { "transport" };
        let binding = interface.text(binding_field);
        let place = place_of(&interface, "url", agent);
        let grpc = binding.as_deref().is_some_and(|binding| binding.eq_ignore_ascii_case("grpc"));
        match place {
            Some((_, place)) if place == Place::Goes || (grpc && place != Place::Stays) => {
                tracing::info!(interface = %element.get(), "an interface of the card cannot be reached from outside and was left out");
                dropped = true;
            }
            Some((raw, Place::Moves(public))) => {
                let mut edited = Splices::new(element.get().as_bytes());
                edited.replace(raw, &quoted(&public));
                texts.push(edited.apply_text().unwrap_or_else(|| element.get().to_owned()));
                replaced.push((raw, quoted(&public)));
                kept.push(Kept { url: public, transport: binding });
            }
            _ => {
                texts.push(element.get().to_owned());
                if let Some(url) = interface.text("url") {
                    kept.push(Kept { url, transport: binding });
                }
            }
        }
    }
    if dropped {
        splices.replace(list, &format!("[{}]", texts.join(",")));
    } else {
        for (raw, text) in replaced {
            splices.replace(raw, &text);
        }
    }
}

/// The main URL had to go: the next interface takes its place (A2A 0.3, `preferredTransport`).
fn promote(
    top: &Members<'_>,
    url: &RawValue,
    agent: &Agent<'_>,
    kept: &[Kept],
    splices: &mut Splices<'_>,
) {
    let next = kept.first();
    let public = next.map_or_else(|| agent.endpoint(), |next| next.url.clone());
    splices.replace(url, &quoted(&public));
    let transport = next.and_then(|next| next.transport.as_deref()).unwrap_or("JSONRPC");
    if let Some(preferred) = top.get("preferredTransport") {
        splices.replace(preferred, &quoted(transport));
    }
}

fn place_of<'m>(
    members: &Members<'m>,
    name: &str,
    agent: &Agent<'_>,
) -> Option<(&'m RawValue, Place)> {
    let raw = members.get(name)?;
    let url: String = serde_json::from_str(raw.get()).ok()?;
    Some((raw, agent.place(&url)))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
