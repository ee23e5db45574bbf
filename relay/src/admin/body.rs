//! Reads a request's JSON, strictly: an object, no key twice, and fields of the right kind.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::Problem;

/// What of a wrong key is shown, characters: enough to find it.
const KEY_CHARS_SHOWN: usize = 64;

/// The fields of a request's body. Unknown ones are nobody's business.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

/// A field that may be given, be null, or be absent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    Value(T),
    Null,
    Absent,
}

impl<T> Given<T> {
    /// The value; null is none.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Null | Self::Absent => None,
        }
    }

    /// The same of another value.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Value(value) => Given::Value(make(value)),
            Self::Null => Given::Null,
            Self::Absent => Given::Absent,
        }
    }
}

impl Fields {
    /// The fields of `body`; none if it is empty.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        if !is_plain_json(headers) {
            return Err(Problem::UnsupportedMediaType);
        }
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::BadRequest("The body must be a JSON object.".into()));
        }
        serde_json::from_slice(body)
            .map_err(|error| Problem::BadRequest(format!("The body cannot be read: {error}.")))
    }

    /// A text that `T` can be made of.
    pub(super) fn parsed<T>(&self, field: &str) -> Result<Given<T>, Problem>
    where
        T: FromStr<Err: fmt::Display>,
    {
        Ok(match self.text(field)? {
            Given::Value(text) => Given::Value(text.parse().map_err(|error: T::Err| {
                let why = error.to_string();
                // Some errors are sentences of their own, others are not.
                Problem::BadRequest(format!("The field `{field}`: {}.", why.trim_end_matches('.')))
            })?),
            Given::Null => Given::Null,
            Given::Absent => Given::Absent,
        })
    }

    /// A text.
    pub(super) fn text(&self, field: &str) -> Result<Given<&str>, Problem> {
        match self.0.get(field) {
            None => Ok(Given::Absent),
            Some(Value::Null) => Ok(Given::Null),
            Some(Value::String(text)) => Ok(Given::Value(text)),
            Some(_) => Err(wrong(field, "a text")),
        }
    }

    /// A yes or no.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, Problem> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(field, "true or false")),
        }
    }

    /// An object, as it came.
    pub(super) fn object(&self, field: &str) -> Result<Option<Value>, Problem> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(value.clone())),
            Some(_) => Err(wrong(field, "an object")),
        }
    }

    /// A number from `min` to `max`.
    pub(super) fn number(&self, field: &str, min: f64, max: f64) -> Result<Option<f64>, Problem> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
                _ => Err(wrong(field, &format!("a number from {min} to {max}"))),
            },
        }
    }

    /// A number from `min` to `max`, or null.
    pub(super) fn given_number(
        &self,
        field: &str,
        min: f64,
        max: f64,
    ) -> Result<Given<f64>, Problem> {
        Ok(match self.0.get(field) {
            None => Given::Absent,
            Some(_) => self.number(field, min, max)?.map_or(Given::Null, Given::Value),
        })
    }

    /// A whole number from 0 to `max`.
    pub(super) fn natural(&self, field: &str, max: u64) -> Result<Option<u64>, Problem> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match whole(value) {
                Some(number) if number <= max => Ok(Some(number)),
                _ => Err(wrong(field, &format!("a whole number from 0 to {max}"))),
            },
        }
    }

    /// A whole number from 1 to `max`; null is none.
    pub(super) fn count(&self, field: &str, max: u64) -> Result<Option<u64>, Problem> {
        Ok(self.given_count(field, max)?.value())
    }

    /// A whole number from 1 to `max`, or null.
    pub(super) fn given_count(&self, field: &str, max: u64) -> Result<Given<u64>, Problem> {
        match self.0.get(field) {
            None => Ok(Given::Absent),
            Some(Value::Null) => Ok(Given::Null),
            Some(value) => match whole(value) {
                Some(count) if (1..=max).contains(&count) => Ok(Given::Value(count)),
                _ => Err(wrong(field, &format!("a whole number from 1 to {max}"))),
            },
        }
    }
}

fn wrong(field: &str, must: &str) -> Problem {
    Problem::BadRequest(format!("The field `{field}` must be {must}."))
}

/// A whole number, however it is written: `3` and `3.0` are the same in JSON.
fn whole(value: &Value) -> Option<u64> {
    let written_with_a_point = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        format!("{number:.0}").parse().ok()
    };
    value.as_u64().or_else(written_with_a_point)
}

/// The beginning of a key: an answer never repeats a long one.
fn shown(key: &str) -> Cow<'_, str> {
    match key.char_indices().nth(KEY_CHARS_SHOWN) {
        Some((end, _)) => format!("{}…", key.get(..end).unwrap_or_default()).into(),
        None => key.into(),
    }
}

/// A body without a type is taken at its word.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let encoded = headers.get_all(CONTENT_ENCODING).iter().any(|value| value != "identity");
    let json = headers.get_all(CONTENT_TYPE).iter().all(|value| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    });
    json && !encoded
}

/// Says in which field a mistake is, however deep.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor).map(Self)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key()? {
            let key = fresh(key, &map)?;
            let Strict(value) = entries.next_value().map_err(|error| {
                A::Error::custom(format_args!("in the field `{}`: {error}", shown(&key)))
            })?;
            map.insert(key, value);
        }
        Ok(map)
    }
}

/// A key that `map` has not.
fn fresh<E: Error>(key: String, map: &Map<String, Value>) -> Result<String, E> {
    match map.contains_key(&key) {
        false => Ok(key),
        true => Err(E::custom(format_args!("the key `{}` stands twice", shown(&key)))),
    }
}

/// A JSON value none of whose objects has a key twice. Its depth is bounded by `serde_json`'s own
/// 128.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry()? {
            map.insert(fresh(key, &map)?, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(body: &str) -> Result<Fields, Problem> {
        Fields::read(&HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn only_objects_without_repetition_are_read() {
        assert!(read("").is_ok());
        assert!(read(r#"{"a":[{"b":1.5,"c":-1,"d":null,"e":true}],"ä":"\u0000"}"#).is_ok());
        for wrong in [
            "[]",
            "1",
            "{",
            "{}x",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"b":1,"b":2}]}"#,
            "\u{feff}{}",
        ] {
            assert!(matches!(read(wrong), Err(Problem::BadRequest(_))), "{wrong}");
        }
        let long = format!(r#"{{"{0}":1,"{0}":2}}"#, "x".repeat(10_000));
        assert!(matches!(read(&long), Err(Problem::BadRequest(why)) if why.len() < 200));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(129), "]".repeat(129));
        assert!(matches!(read(&deep), Err(Problem::BadRequest(why)) if why.contains("`a`")));
        let fine = format!("{{\"a\":{}{}}}", "[".repeat(120), "]".repeat(120));
        assert!(read(&fine).is_ok());
    }

    #[test]
    fn the_wrong_kind_of_field_is_named() {
        let fields = read(r#"{"a":1,"b":"x","c":null,"d":0}"#).unwrap();
        assert!(matches!(fields.text("a"), Err(Problem::BadRequest(why)) if why.contains("`a`")));
        assert!(fields.flag("b").is_err());
        assert!(fields.count("d", 9).is_err());
        assert_eq!(fields.count("a", 9).unwrap(), Some(1));
        assert_eq!(fields.text("c").unwrap(), Given::Null);
        assert_eq!(fields.text("e").unwrap(), Given::Absent);
    }

    #[test]
    fn other_media_types_are_refused() {
        for (name, value, fits) in [
            (CONTENT_TYPE, "application/json", true),
            (CONTENT_TYPE, "Application/JSON; charset=utf-8", true),
            (CONTENT_TYPE, "application/merge-patch+json", true),
            (CONTENT_TYPE, "text/plain", false),
            (CONTENT_TYPE, "application/x-www-form-urlencoded", false),
            (CONTENT_ENCODING, "gzip", false),
        ] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(Fields::read(&headers, b"{}").is_ok(), fits, "{value}");
        }
    }
}
