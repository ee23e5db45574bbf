//! Edits a card whose URLs are not public, byte by byte where it must and nowhere else. Pure.
//!
//! Only the values of URL fields are replaced; key order, spacing, numbers and unknown fields stay
//! as the agent wrote them, and editing twice changes nothing. Callers follow the URLs in a card,
//! so an unedited one would lead them round the relay. Nothing here knows how a card is carried:
//! `interfaces` knows the lists of interfaces and the main URL, `url` where one URL belongs, `json`
//! how to put text in the place of other text, `signing` the relay's own signature, and `kept` the
//! cards of agents that are away.

mod canonical;
pub mod grpc;
mod interfaces;
mod json;
pub mod kept;
pub mod signing;
mod url;

use self::json::{Members, Splices, members, quoted};
use self::signing::CardSigner;
use self::url::{Agent, Place};

/// From where a card is looked at, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct View<'v> {
    /// The public base by which it was asked for, with its final slash.
    pub base: &'v str,
    /// The base below which the relay has its agents, with its final slash: what is there passes no
    /// relay by.
    pub agents: &'v str,
    /// The base of the agent at a host of its own, with its final slash, if callers may go by it.
    pub host: Option<&'v str>,
    /// The public JSON-RPC endpoint that the agent has wherever its own is.
    pub endpoint: &'v str,
    /// Another base of the same agent, which the caller did not name and is not to learn.
    pub secret_base: Option<&'v str>,
    /// The agent's origins as its connector dials them, such as `http://127.0.0.1:8000`.
    pub origins: &'v [String],
    /// The operator's rules.
    pub rules: Rules<'v>,
}

/// What the operator says of cards.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'v> {
    /// A signed card is not edited: whoever checks its signature must find it whole.
    pub strict: bool,
    /// Public URLs that pass the relay by are left out, like private ones.
    pub drop_foreign: bool,
    /// Signs what was signed before it was edited.
    pub signer: Option<&'v CardSigner>,
}

/// What became of a card.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit {
    /// It is public already, or no card: it goes out byte for byte.
    Public,
    /// It is not public, and signed, and the operator wants no signed card edited.
    Strict,
    /// This goes out in its place.
    Rewritten(Vec<u8>),
}

/// Edits one card.
pub fn edit(card: &[u8], view: &View<'_>) -> Edit {
    let Some(top) = members(card) else { return Edit::Public };
    let agent = Agent::new(view);
    let mut splices = Splices::new(card);
    interfaces::edit(&top, &agent, view.rules.drop_foreign, &mut splices);
    for raw in top.all("iconUrl") {
        if let Some(Place::Moves(public)) = json::text(raw).map(|url| agent.place(&url)) {
            splices.replace(raw, &quoted(&public));
        }
    }
    if splices.is_empty() {
        return Edit::Public;
    }
    let signed = is_signed(&top);
    // Nobody learns a base that he did not name, whatever becomes of signatures.
    let reveals = view.secret_base.is_some_and(|secret| json::contains(card, secret));
    if signed && view.rules.strict && !reveals {
        return Edit::Strict;
    }
    // A signature over other URLs than the ones below it is worse than none.
    for signatures in top.all("signatures") {
        splices.replace(signatures, "[]");
    }
    let Some(edited) = splices.apply() else { return Edit::Public };
    match view.rules.signer.filter(|_| signed).and_then(|signer| signed_by(signer, &edited)) {
        Some(signed) => Edit::Rewritten(signed),
        None => Edit::Rewritten(edited),
    }
}

/// Edits the card that is the `result` of a JSON-RPC response; the rest of the envelope stays byte
/// for byte.
pub fn edit_result(response: &[u8], view: &View<'_>) -> Edit {
    let result = members(response).and_then(|envelope| envelope.get("result"));
    let Some(result) = result else { return Edit::Public };
    match edit(result.get().as_bytes(), view) {
        Edit::Rewritten(card) => {
            let mut splices = Splices::new(response);
            splices.replace(result, &String::from_utf8(card).unwrap_or_default());
            splices.apply().map_or(Edit::Public, Edit::Rewritten)
        }
        unedited => unedited,
    }
}

/// The place of one URL of a head (`Location`), if it is the agent's own.
pub fn public_location(url: &str, view: &View<'_>) -> Option<String> {
    match Agent::new(view).place(url) {
        Place::Moves(public) => Some(public),
        Place::Stays | Place::Foreign | Place::Goes => None,
    }
}

/// Whether a text is a JSON object, as every card is.
pub fn is_object(card: &[u8]) -> bool {
    members(card).is_some()
}

fn is_signed(top: &Members<'_>) -> bool {
    top.all("signatures").any(|list| !matches!(list.get().trim(), "null" | "[]"))
}

/// The edited card with the relay's signature in the place of those that were dropped.
fn signed_by(signer: &CardSigner, edited: &[u8]) -> Option<Vec<u8>> {
    let signature = signer.sign(&canonical::form(edited)?)?;
    let top = members(edited)?;
    let mut splices = Splices::new(edited);
    splices.replace(top.get("signatures")?, &format!("[{signature}]"));
    splices.apply()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
