//! Validators of edited cards: made of the agent's, so that its own 304 still counts. Pure.
//!
//! The agent's tag `"abc"` becomes `"abc~0123456789"`, whose end stands for how the card was edited: by
//! which base, from which origins, by which rules. A caller's tag with this end is the agent's again; one
//! without never goes to the agent, whose 304 would leave the caller with another document.

use http::HeaderValue;
use sha2::{Digest, Sha256};

use crate::card::View;

/// Stands between the agent's tag and how the card was edited.
const MARK: char = '~';
/// Tags of one request that are looked at.
const TAGS_MAX: usize = 32;

/// How a card is edited, as the end of a tag.
pub(super) fn ending(view: &View<'_>) -> String {
    let rules = &view.rules;
    let mut hash = Sha256::new();
    let parts = [
        view.base,
        view.host.unwrap_or_default(),
        rules.signer.map_or("", |signer| signer.key_id()),
    ];
    for part in parts.into_iter().chain(view.origins.iter().map(String::as_str)) {
        hash.update(part);
        hash.update([0]);
    }
    hash.update([u8::from(rules.strict), u8::from(rules.drop_foreign)]);
    let digest = hash.finalize();
    data_encoding::HEXLOWER.encode(digest.get(..5).unwrap_or_default())
}

/// The tag of the edited card, of the agent's for the one that it sent. `None` for what is no tag.
pub(super) fn derived(agents: &HeaderValue, ending: &str) -> Option<HeaderValue> {
    let mut tags = tags(agents);
    let (weak, opaque) = tags.next().filter(|_| tags.next().is_none())?;
    HeaderValue::try_from(format!("{weak}\"{opaque}{MARK}{ending}\"")).ok()
}

/// The caller's tags that are of this edition, as the agent knows them.
pub(super) fn for_agent(callers: &HeaderValue, ending: &str) -> Option<HeaderValue> {
    let known = tags(callers).take(TAGS_MAX).filter_map(|(weak, opaque)| {
        let agents = opaque.strip_suffix(ending)?.strip_suffix(MARK)?;
        Some(format!("{weak}\"{agents}\""))
    });
    let known: Vec<String> = known.collect();
    HeaderValue::try_from(known.join(", ")).ok().filter(|_| !known.is_empty())
}

/// A weak tag of a card whose agent gave none.
pub(super) fn of_body(body: &[u8]) -> HeaderValue {
    let hash = Sha256::digest(body);
    let short = data_encoding::HEXLOWER.encode(hash.get(..12).unwrap_or_default());
    HeaderValue::from_str(&format!("W/\"{short}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

/// Whether a caller has this already: weak comparison (RFC 9110, 8.8.3.2 and 13.1.2).
pub(super) fn matches(callers: &HeaderValue, ours: &HeaderValue) -> bool {
    if callers.as_bytes().trim_ascii() == b"*" {
        return true;
    }
    let Some((_, ours)) = tags(ours).next() else { return false };
    tags(callers).take(TAGS_MAX).any(|(_, opaque)| opaque == ours)
}

/// The tags of a list: `W/` or nothing, and what stands between the quotes, in which a comma may stand.
fn tags(list: &HeaderValue) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list.to_str().unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => ("W/", quoted),
            None => ("", rest),
        };
        let (opaque, behind) = quoted.strip_prefix('"')?.split_once('"')?;
        rest = behind;
        Some((weak, opaque))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn a_tag_goes_to_the_caller_and_back() {
        for (agents, callers) in
            [("\"abc\"", "\"abc~e1\""), ("W/\"a,b\"", "W/\"a,b~e1\""), ("\"\"", "\"~e1\"")]
        {
            let derived = derived(&value(agents), "e1").unwrap();
            assert_eq!(derived, callers);
            assert_eq!(for_agent(&derived, "e1").unwrap(), agents);
            assert_eq!(for_agent(&derived, "e2"), None, "another edition");
        }
        for none in ["", "abc", "\"abc", "\"a\", \"b\""] {
            assert_eq!(derived(&value(none), "e1"), None, "{none}");
        }
        let many = value("\"x\", W/\"y~e1\" ,\"z~e2\",\"w~e1\"");
        assert_eq!(for_agent(&many, "e1").unwrap(), "W/\"y\", \"w\"");
        assert_eq!(for_agent(&value("*"), "e1"), None);
    }

    #[test]
    fn validators_compare_weakly() {
        for (theirs, same) in [
            ("\"abc\"", true),
            ("W/\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"abd\"", false),
            ("\"x,\", \"abc\"", true),
            ("", false),
        ] {
            assert_eq!(matches(&value(theirs), &value("W/\"abc\"")), same, "{theirs}");
        }
    }
}
