//! Replaces values inside a JSON text by their place in it, leaving every other byte alone.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of one JSON object, in their order, each value as it stands in the text.
pub(super) struct Members<'t>(Vec<(Cow<'t, str>, &'t RawValue)>);

/// Reads the members of an object; `None` for any other text.
pub(super) fn members(text: &[u8]) -> Option<Members<'_>> {
    serde_json::from_slice(text).ok()
}

impl<'t> Members<'t> {
    /// The value of a member; the last one, as JSON readers do, where a name stands twice.
    pub(super) fn get(&self, name: &str) -> Option<&'t RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The values of every member of this name: which of them counts is their reader's choice.
    pub(super) fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'t RawValue> + 'm {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The value of a member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text)
    }
}

/// The text that a value is, if it is one.
pub(super) fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// A text as JSON has it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether `part` stands anywhere in a JSON text, however it is escaped there.
pub(super) fn contains(json: &[u8], part: &str) -> bool {
    fn any(value: &serde_json::Value, part: &str) -> bool {
        match value {
            serde_json::Value::String(text) => text.contains(part),
            serde_json::Value::Array(items) => items.iter().any(|item| any(item, part)),
            serde_json::Value::Object(fields) => fields.values().any(|value| any(value, part)),
            _ => false,
        }
    }
    serde_json::from_slice(json).is_ok_and(|value| any(&value, part))
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    members.push((key.0, map.next_value::<&'de RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Replacements in one text.
pub(super) struct Splices<'t> {
    text: &'t [u8],
    list: Vec<(Range<usize>, String)>,
}

impl<'t> Splices<'t> {
    /// No replacement yet.
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, list: Vec::new() }
    }

    /// Puts `new` in the place of `value`, which must stand in the text.
    pub(super) fn replace(&mut self, value: &RawValue, new: &str) {
        let old = value.get();
        let start = (old.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if old != new && start <= self.text.len() {
            self.list.push((start..start + old.len(), new.to_owned()));
        }
    }

    /// [`replace`](Self::replace), unless the value was replaced before.
    pub(super) fn replace_once(&mut self, value: &RawValue, new: &str) {
        let start = (value.get().as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if self.list.iter().all(|(range, _)| range.start != start) {
            self.replace(value, new);
        }
    }

    /// Whether nothing would change.
    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The text with everything replaced; `None` if two replacements overlap.
    pub(super) fn apply(mut self) -> Option<Vec<u8>> {
        self.list.sort_by_key(|(range, _)| range.start);
        let mut out = Vec::with_capacity(self.text.len() + 256);
        let mut at = 0;
        for (range, new) in &self.list {
            out.extend_from_slice(self.text.get(at..range.start)?);
            out.extend_from_slice(new.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(self.text.get(at..)?);
        Some(out)
    }

    /// [`apply`](Self::apply), as text.
    pub(super) fn apply_text(self) -> Option<String> {
        String::from_utf8(self.apply()?).ok()
    }
}
