//! The canonical form of a card, over which its signature stands (A2A 1.0, 8.4.1; RFC 8785).
//!
//! Verifiers read a card into the fields that A2A 1.0 knows and leave out what is empty or has its
//! default, before they make the canonical form of what is left. So does this.

use serde_json::{Map, Value};

use self::Kind::{Choice, Flag, Free, List, Named, Object, Text};

/// What a field holds.
enum Kind {
    /// A text; an empty one is left out.
    Text,
    /// A truth value; `false` is left out where it is the same as absent.
    Flag { false_counts: bool },
    /// Values of one kind.
    List(&'static Kind),
    /// Values of one kind, by names of the agent's choice.
    Named(&'static Kind),
    /// These fields.
    Object(&'static [(&'static str, Kind)]),
    /// One of these fields.
    Choice(&'static [(&'static str, Kind)]),
    /// Whatever JSON.
    Free,
}

const FLAG: Kind = Flag { false_counts: false };
const PRESENT_FLAG: Kind = Flag { false_counts: true };
const TEXTS: Kind = List(&Text);
const REQUIREMENTS: Kind = List(&Object(&[("schemes", Named(&Object(&[("list", TEXTS)])))]));
const SCOPES: Kind = Named(&Text);

const CARD: &[(&str, Kind)] = &[
    ("name", Text),
    ("description", Text),
    (
        "supportedInterfaces",
        List(&Object(&[
            ("url", Text),
            ("protocolBinding", Text),
            ("tenant", Text),
            ("protocolVersion", Text),
        ])),
    ),
    ("provider", Object(&[("url", Text), ("organization", Text)])),
    ("version", Text),
    ("documentationUrl", Text),
    (
        "capabilities",
        Object(&[
            ("streaming", PRESENT_FLAG),
            ("pushNotifications", PRESENT_FLAG),
            (
                "extensions",
                List(&Object(&[
                    ("uri", Text),
                    ("description", Text),
                    ("required", FLAG),
                    ("params", Free),
                ])),
            ),
            ("extendedAgentCard", PRESENT_FLAG),
        ]),
    ),
    ("securitySchemes", Named(&Choice(SCHEMES))),
    ("securityRequirements", REQUIREMENTS),
    ("defaultInputModes", TEXTS),
    ("defaultOutputModes", TEXTS),
    (
        "skills",
        List(&Object(&[
            ("id", Text),
            ("name", Text),
            ("description", Text),
            ("tags", TEXTS),
            ("examples", TEXTS),
            ("inputModes", TEXTS),
            ("outputModes", TEXTS),
            ("securityRequirements", REQUIREMENTS),
        ])),
    ),
    ("iconUrl", Text),
];

const SCHEMES: &[(&str, Kind)] = &[
    ("apiKeySecurityScheme", Object(&[("description", Text), ("location", Text), ("name", Text)])),
    (
        "httpAuthSecurityScheme",
        Object(&[("description", Text), ("scheme", Text), ("bearerFormat", Text)]),
    ),
    (
        "oauth2SecurityScheme",
        Object(&[("description", Text), ("flows", Choice(FLOWS)), ("oauth2MetadataUrl", Text)]),
    ),
    ("openIdConnectSecurityScheme", Object(&[("description", Text), ("openIdConnectUrl", Text)])),
    ("mtlsSecurityScheme", Object(&[("description", Text)])),
];

const FLOWS: &[(&str, Kind)] = &[
    (
        "authorizationCode",
        Object(&[
            ("authorizationUrl", Text),
            ("tokenUrl", Text),
            ("refreshUrl", Text),
            ("scopes", SCOPES),
            ("pkceRequired", FLAG),
        ]),
    ),
    ("clientCredentials", Object(&[("tokenUrl", Text), ("refreshUrl", Text), ("scopes", SCOPES)])),
    ("implicit", Object(&[("authorizationUrl", Text), ("refreshUrl", Text), ("scopes", SCOPES)])),
    ("password", Object(&[("tokenUrl", Text), ("refreshUrl", Text), ("scopes", SCOPES)])),
    (
        "deviceCode",
        Object(&[
            ("deviceAuthorizationUrl", Text),
            ("tokenUrl", Text),
            ("refreshUrl", Text),
            ("scopes", SCOPES),
        ]),
    ),
];

/// Fields of 0.3 that readers translate into those of 1.0, each in a way of its own: a card that has
/// them without what they mean in 1.0 has no canonical form that all agree on.
const TRANSLATED: [(&str, &str); 2] =
    [("security", "securityRequirements"), ("supportsAuthenticatedExtendedCard", "capabilities")];

/// The canonical form of a card without its signatures; `None` for one that is not of A2A 1.0, or that
/// readers would not understand alike.
pub(super) fn form(card: &[u8]) -> Option<String> {
    let Value::Object(card) = serde_json::from_slice(card).ok()? else { return None };
    card.get("supportedInterfaces")?;
    let translated = |fields: &Map<String, Value>| {
        TRANSLATED.iter().any(|(old, new)| fields.contains_key(*old) && !fields.contains_key(*new))
    };
    let skills = card.get("skills").and_then(Value::as_array);
    let mut skills = skills.into_iter().flatten().filter_map(Value::as_object);
    if translated(&card) || skills.any(translated) {
        return None;
    }
    let known = read_fields(&card, CARD)?;
    serde_json_canonicalizer::to_string(&Value::Object(known)).ok()
}

/// What a value of this kind comes down to: `Some(None)` is nothing, `None` a value of another kind.
fn read(value: &Value, kind: &Kind) -> Option<Option<Value>> {
    Some(match (kind, value) {
        (_, Value::Null) => None,
        (Text, Value::String(text)) => (!text.is_empty()).then(|| value.clone()),
        (Flag { false_counts }, Value::Bool(flag)) => {
            (*flag || *false_counts).then(|| value.clone())
        }
        (List(of), Value::Array(items)) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.extend(read(item, of)?);
            }
            (!list.is_empty()).then_some(Value::Array(list))
        }
        (Named(of), Value::Object(values)) => {
            let mut named = Map::new();
            for (name, value) in values {
                named.extend(read(value, of)?.map(|value| (name.clone(), value)));
            }
            (!named.is_empty()).then_some(Value::Object(named))
        }
        (Object(fields), Value::Object(values)) => {
            let known = read_fields(values, fields)?;
            (!known.is_empty()).then_some(Value::Object(known))
        }
        (Choice(fields), Value::Object(values)) => {
            let known = read_fields(values, fields)?;
            // None of them is a scheme as 0.3 writes it, or one of a later version.
            (known.len() == 1).then_some(Some(Value::Object(known)))?
        }
        (Free, value) => cleaned(value),
        _ => return None,
    })
}

fn read_fields(values: &Map<String, Value>, fields: &[(&str, Kind)]) -> Option<Map<String, Value>> {
    let mut known = Map::new();
    for (name, kind) in fields {
        if let Some(value) = values.get(*name) {
            known.extend(read(value, kind)?.map(|value| ((*name).to_owned(), value)));
        }
    }
    Some(known)
}

/// Free JSON without what is empty. Its numbers are those of a `Struct`, doubles all.
fn cleaned(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then(|| value.clone()),
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(cleaned).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), cleaned(value)?)))
                .collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Number(number) => number.as_f64().map(Value::from),
        Value::Bool(_) => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::form;

    #[test]
    fn unknown_empty_and_old_fields_are_not_signed() {
        let card = json!({
            "version": "1", "name": "Ä", "description": "", "url": "http://old", "x-unknown": 1,
            "supportedInterfaces": [{"url": "https://a/b", "tenant": "", "protocolBinding": "JSONRPC"}],
            "capabilities": {"streaming": false, "extensions": [
                {"uri": "u", "required": false, "params": {"n": 1, "big": 1e30, "none": [], "t": true}},
            ]},
            "signatures": [{"protected": "x"}],
        });
        assert_eq!(
            form(card.to_string().as_bytes()).unwrap(),
            r#"{"capabilities":{"extensions":[{"params":{"big":1e+30,"n":1,"t":true},"uri":"u"}],"#
                .to_owned()
                + r#""streaming":false},"name":"Ä","supportedInterfaces":[{"protocolBinding":"#
                + r#""JSONRPC","url":"https://a/b"}],"version":"1"}"#
        );
    }

    #[test]
    fn what_readers_understand_differently_has_no_form() {
        let interfaces = json!([{"url": "https://a/b"}]);
        for card in [
            json!([]),
            json!({"url": "https://a/b"}),
            json!({"name": 5, "supportedInterfaces": interfaces}),
            json!({"security": [], "supportedInterfaces": interfaces}),
            json!({"securitySchemes": {"a": {"type": "apiKey"}}, "supportedInterfaces": interfaces}),
            json!({"skills": [{"security": []}], "supportedInterfaces": interfaces}),
        ] {
            assert_eq!(form(card.to_string().as_bytes()), None, "{card}");
        }
    }
}
