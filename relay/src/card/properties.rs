//! What holds for every card: editing twice is editing once, and nothing changes but what must.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Edit, Rules, View, edit as edit_view};

const BASE: &str = "https://relay.example/agents/echo/";
const AGENTS: &str = "https://relay.example/agents/";
const ENDPOINT: &str = "https://relay.example/agents/echo/a2a";
/// Hosts that mean nothing outside, as they must never stand in a public card.
const PRIVATE: [&str; 9] = [
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "[::1]",
    "192.168.1.7",
    "169.254.1.1",
    "my-laptop",
    "box.local",
    "agent.internal",
];

fn edit(card: &[u8], drop_foreign: bool) -> Option<Vec<u8>> {
    let origins = ["http://127.0.0.1:8000".to_owned(), "http://127.0.0.1:8081".to_owned()];
    let rules = Rules { drop_foreign, ..Rules::default() };
    match edit_view(
        card,
        &View {
            base: BASE,
            agents: AGENTS,
            host: None,
            endpoint: ENDPOINT,
            secret_base: None,
            origins: &origins,
            rules,
        },
    ) {
        Edit::Rewritten(card) => Some(card),
        Edit::Public | Edit::Strict => None,
    }
}

fn url() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        prop::sample::select(&PRIVATE[..]).prop_map(str::to_owned),
        "[a-z0-9.:\\[\\]@%-]{0,24}",
        Just("relay.example/agents/echo".to_owned()),
        "[a-z]{1,8}\\.example",
    ];
    let scheme = prop::sample::select(&["http://", "https://", "HTTP:/", "", "//", "wss://"][..]);
    let port = prop::sample::select(&["", ":8000", ":8081", ":9000", ":443"][..]);
    (scheme, host, port, "[/a-z?#%.]{0,12}")
        .prop_map(|(scheme, host, port, path)| format!("{scheme}{host}{port}{path}"))
}

/// Anything that a field may hold.
fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        url().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z]{1,6}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn interfaces(field: &'static str) -> impl Strategy<Value = Value> {
    let binding =
        prop::sample::select(&["JSONRPC", "HTTP+JSON", "GRPC", "https://x.example/ws"][..]);
    let interface = (url(), binding, ".{0,6}").prop_map(move |(url, binding, tenant)| {
        let mut interface = Map::new();
        interface.insert("tenant".into(), tenant.into());
        interface.insert("url".into(), url.into());
        interface.insert(field.into(), binding.into());
        Value::Object(interface)
    });
    prop::collection::vec(interface, 0..5).prop_map(Value::from)
}

/// A card as text, so that its members keep the order in which they were drawn.
fn card() -> impl Strategy<Value = Vec<(String, Value)>> {
    let fields = (
        prop::option::of(url()),
        prop::option::of(interfaces("transport")),
        prop::option::of(interfaces("protocolBinding")),
        prop::option::of(url()),
        prop::collection::vec(("x-[a-z]{1,6}", payload()), 0..4),
        payload(),
    );
    fields
        .prop_map(|(main, old, new, icon, others, documentation)| {
            let mut members: Vec<(String, Value)> = Vec::new();
            let mut add = |name: &str, value: Option<Value>| {
                members.extend(value.map(|value| (name.to_owned(), value)));
            };
            add("url", main.map(Value::from));
            add("additionalInterfaces", old);
            add("supportedInterfaces", new);
            add("iconUrl", icon.map(Value::from));
            add("documentationUrl", Some(documentation.clone()));
            add(
                "capabilities",
                Some(json!({"extensions": [{"uri": "u", "params": documentation}]})),
            );
            members.extend(others);
            members
        })
        .prop_shuffle()
}

fn text(members: &[(String, Value)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!("{} : {value}", json!(name))).collect();
    format!("{{ {} }}", members.join(" ,\n"))
}

/// Names of the members in their order, as they stand in the text.
fn order(card: &[u8], names: &[(String, Value)]) -> Vec<usize> {
    let card = String::from_utf8_lossy(card);
    names.iter().filter_map(|(name, _)| card.find(&format!("{} : ", json!(name)))).collect()
}

const EDITED: [&str; 5] =
    ["url", "additionalInterfaces", "supportedInterfaces", "iconUrl", "preferredTransport"];

proptest! {
    #[test]
    fn editing_twice_changes_nothing(card in card(), drop_foreign in any::<bool>()) {
        if let Some(once) = edit(text(&card).as_bytes(), drop_foreign) {
            prop_assert_eq!(edit(&once, drop_foreign), None, "{}", String::from_utf8_lossy(&once));
        }
    }

    #[test]
    fn nothing_changes_but_urls_and_members_keep_their_order(card in card()) {
        let before = text(&card);
        let Some(after) = edit(before.as_bytes(), false) else { return Ok(()) };
        let is_sorted = order(&after, &card).is_sorted();
        prop_assert!(is_sorted || !order(before.as_bytes(), &card).is_sorted());
        let (before, after): (Value, Value) =
            (serde_json::from_str(&before).unwrap(), serde_json::from_slice(&after).unwrap());
        for (name, value) in before.as_object().unwrap() {
            if !EDITED.contains(&name.as_str()) {
                prop_assert_eq!(&after[name], value, "{}", name);
            }
        }
        for list in ["additionalInterfaces", "supportedInterfaces"] {
            let tenants = |card: &Value| -> Vec<Value> {
                card[list].as_array().into_iter().flatten().map(|one| one["tenant"].clone()).collect()
            };
            let mut all = tenants(&before).into_iter();
            prop_assert!(tenants(&after).iter().all(|left| all.any(|one| one == *left)), "their order");
        }
    }

    #[test]
    fn no_interface_names_a_private_host(
        card in card(),
        host in prop::sample::select(&PRIVATE[..]),
        port in prop::sample::select(&["", ":8000", ":9000"][..]),
    ) {
        let private = format!("http://{host}{port}/a2a");
        let mut members = card;
        members.retain(|(name, _)| name != "url");
        members.push(("url".into(), private.clone().into()));
        let card = text(&members);
        let edited = edit(card.as_bytes(), false).expect("a private URL makes work");
        let edited: Value = serde_json::from_slice(&edited).unwrap();
        let lists = ["additionalInterfaces", "supportedInterfaces"];
        let listed = lists.iter().filter_map(|list| edited[*list].as_array()).flatten();
        for url in listed.map(|one| &one["url"]).chain([&edited["url"]]) {
            let url = url.as_str().unwrap_or_default();
            for host in PRIVATE {
                for scheme in ["http://", "https://", "wss://", "//", "HTTP:/"] {
                    for end in [":", "/"] {
                        let start = format!("{scheme}{host}{end}");
                        prop_assert!(!url.starts_with(&start), "{}", url);
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = edit(&bytes, true);
    }
}
