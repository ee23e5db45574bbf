//! What a workspace is called on the platform, how it is found again, and the card it has there. Pure.

use serde_json::{Map, Value, json};
use shared::ids::WorkspaceId;

use super::answer::Row;
use super::client::NewUpstream;
use crate::registry::{NAME_CHARS_MAX, ROLE_CHARS_MAX, Workspace};

/// What the platform takes neither in a name nor in a role.
const FORBIDDEN: &str = "{}[]|>*&!";
/// What stands between a workspace's role and its mark.
const BEFORE_MARK: &str = "via relay, ";
/// The longest card that is sent, bytes of JSON.
const CARD_BYTES_MAX: usize = 256 * 1024;
/// What of a card tells where the agent is: the platform knows one place only.
const PLACES: [&str; 4] = ["url", "additionalInterfaces", "supportedInterfaces", "signatures"];

/// The counterpart of a workspace, to be made. Its role holds the mark by which it is found if the
/// answer is lost: the workspace's id, which is never given twice.
pub fn counterpart(workspace: &Workspace) -> NewUpstream {
    let mark = format!("{BEFORE_MARK}{}", workspace.id);
    let room = ROLE_CHARS_MAX - mark.len() - 1;
    let role = plain(workspace.role.as_deref().unwrap_or_default(), room);
    let name = plain(&workspace.name, NAME_CHARS_MAX);
    NewUpstream {
        name: if name.is_empty() { workspace.id.to_string() } else { name },
        role: if role.is_empty() { mark } else { format!("{role} {mark}") },
    }
}

/// What the platform takes of a text.
fn plain(text: &str, most: usize) -> String {
    let taken = |c: char| if c.is_control() || FORBIDDEN.contains(c) { ' ' } else { c };
    let text: String = text.chars().map(taken).take(most).collect();
    text.trim().to_owned()
}

/// What a search for a workspace's counterpart found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This one.
    One(String),
    /// One that cannot be used.
    Unusable,
    /// None.
    None,
}

/// Looks for the counterpart of a workspace. The first of several is taken. Only the end of a role counts:
/// what stands before it, and a name, may be of anybody's choice.
pub fn find(rows: &[Row], workspace: &WorkspaceId) -> Found {
    let mark = format!("{BEFORE_MARK}{workspace}");
    let own = |row: &&Row| row.status != "removed" && row.role.trim_end().ends_with(&mark);
    let found: Vec<_> = rows.iter().filter(own).collect();
    match found.iter().find(|row| !row.id.is_empty()) {
        Some(row) => Found::One(row.id.clone()),
        None if found.is_empty() => Found::None,
        None => Found::Unusable,
    }
}

/// The agent's card for the platform: as the relay knows it, but for where the agent is. Whatever else
/// the agent says of places is for those who can reach them.
pub fn card(known: Option<&Value>, name: &str, url: &str) -> Value {
    let known = known.and_then(Value::as_object).filter(|card| {
        // Writing a card to measure it costs no more than sending it.
        Value::Object((*card).clone()).to_string().len() <= CARD_BYTES_MAX
    });
    let mut card: Map<String, Value> = known.cloned().unwrap_or_default();
    card.retain(|field, value| {
        let private_icon = field == "iconUrl" && !value.as_str().is_some_and(is_public);
        !PLACES.contains(&field.as_str()) && !private_icon
    });
    let named = card.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if !named {
        card.insert("name".into(), name.into());
    }
    card.insert("runtime".into(), "external".into());
    card.insert("url".into(), url.into());
    json!(card)
}

fn is_public(url: &str) -> bool {
    url.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str, role: Option<&str>) -> Workspace {
        let role = role.map(str::to_owned);
        Workspace { name: name.into(), role, ..Workspace::sample() }
    }

    fn row(id: &str, name: &str, role: &str) -> Row {
        let (status, url) = ("online".into(), String::new());
        Row { id: id.into(), name: name.into(), role: role.into(), status, url }
    }

    #[test]
    fn what_the_platform_does_not_take_is_left_out() {
        for (name, role, taken) in [
            ("agent", None, "agent"),
            ("a|b&c!", Some("x"), "a b c"),
            ("{}", Some("does [much] \u{7}"), "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("höchst", Some(""), "höchst"),
        ] {
            let made = counterpart(&workspace(name, role));
            assert_eq!(made.name, taken);
            assert!(!made.role.contains(|c: char| FORBIDDEN.contains(c) || c.is_control()));
        }
        let long = counterpart(&workspace(&"ä".repeat(255), Some(&"ö".repeat(1000))));
        assert_eq!(long.name.chars().count(), 255);
        assert!(long.role.chars().count() <= 1000, "{}", long.role.chars().count());
        assert!(long.role.ends_with("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    }

    #[test]
    fn a_counterpart_is_found_by_its_mark_alone() {
        let one = workspace("agent", Some("reads"));
        let made = counterpart(&one);
        let own = row("u-1", "renamed", &made.role);
        let twin = row("u-2", "agent", "reads");
        let other = row("u-3", "agent", &made.role.replace("5FAV", "5FAW"));
        assert_eq!(
            find(&[twin.clone(), other.clone(), own.clone()], &one.id),
            Found::One("u-1".into())
        );
        assert_eq!(find(&[twin, other], &one.id), Found::None);
        // Somebody who wants to be taken for it.
        let id = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ".parse().unwrap();
        let thief = Workspace { id, ..workspace(&made.role, Some(&made.role)) };
        let stolen = counterpart(&thief);
        let stolen = row("u-4", &stolen.name, &stolen.role);
        assert_eq!(find(std::slice::from_ref(&stolen), &one.id), Found::None);
        assert_eq!(find(&[stolen], &thief.id), Found::One("u-4".into()));
        let removed = Row { status: "removed".into(), ..own.clone() };
        assert_eq!(find(&[removed], &one.id), Found::None);
        let nameless = Row { id: String::new(), ..own.clone() };
        assert_eq!(find(std::slice::from_ref(&nameless), &one.id), Found::Unusable);
        assert_eq!(find(&[nameless, own], &one.id), Found::One("u-1".into()));
    }

    #[test]
    fn a_card_names_no_other_place() {
        let url = "https://relay.example.com/molecule/a_x";
        let known = json!({
            "name": "Reader", "url": "http://127.0.0.1:8000/a2a", "skills": [{"id": "read"}],
            "additionalInterfaces": [{"url": "http://10.0.0.1/"}], "signatures": [{}],
            "iconUrl": "http://127.0.0.1:8000/icon.png", "supportedInterfaces": [],
        });
        let sent = card(Some(&known), "agent", url);
        let runtime = "external";
        let skills = json!([{"id": "read"}]);
        assert_eq!(
            sent,
            json!({"name": "Reader", "url": url, "runtime": runtime, "skills": skills})
        );
        let minimal = json!({"name": "agent", "url": url, "runtime": runtime});
        for unknown in [None, Some(json!("card")), Some(json!({"name": 3}))] {
            assert_eq!(card(unknown.as_ref(), "agent", url), minimal);
        }
        let huge = json!({"name": "x", "description": "x".repeat(CARD_BYTES_MAX)});
        assert_eq!(card(Some(&huge), "agent", url), minimal);
    }
}
