//! Configuration files of both programs: TOML, in which the keys are the long names of flags.
//!
//! Not part of the protocol, but what both programs share: so it is behind the feature `settings`.

mod command;

use std::io::{ErrorKind, Read};
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use command::{Laid, Reference, lay};

/// No file is larger, bytes: a thousand agents have room in it.
const BYTES_MAX: u64 = 1024 * 1024;

/// Where something stands, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// A sentence about what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What, and what to do.
    pub sentence: String,
}

impl Mistake {
    /// `FILE:LINE:COLUMN: sentence`, as compilers write it.
    pub fn in_file(&self, file: &str) -> String {
        let Self { place: Place { line, column }, sentence } = self;
        format!("{file}:{line}:{column}: {sentence}")
    }
}

/// A key and what it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where the key stands.
    pub place: Place,
}

/// What a key is set to. Numbers are as good as texts that hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text or a number.
    Text(String),
    /// Yes or no.
    Switch(bool),
    /// Several texts.
    List(Vec<String>),
}

/// A table and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its name, empty for the keys before the first table.
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    /// Its keys.
    pub settings: Vec<Setting>,
}

/// A file: the keys before the first table, and the tables, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The keys before the first table.
    pub top: Table,
    /// The tables.
    pub tables: Vec<Table>,
}

/// The text of the file, or a sentence.
pub fn open(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
    let path = path.display();
    match read {
        Ok(_) if text.len() as u64 <= BYTES_MAX => Ok(text),
        Ok(_) => Err(format!("The configuration {path} is over 1 MiB.")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
            "There is no configuration {path}; check what --config or the environment names."
        )),
        Err(error) => Err(format!("The configuration {path} cannot be read ({error}).")),
    }
}

/// Reads a configuration; what can be read of it is there beside the mistakes.
pub fn read(text: &str) -> (Settings, Vec<Mistake>) {
    let (whole, errors) = DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| Mistake {
            place: place(text, error.span().map_or(0, |span| span.start)),
            sentence: format!("This is no TOML: {}.", error.message()),
        })
        .collect();
    let mut settings = Settings::default();
    for (name, value) in whole.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) => settings.tables.push(Table {
                name: name.get_ref().to_string(),
                place: place(text, name.span().start),
                settings: table
                    .iter()
                    .filter_map(|(key, value)| setting(text, key, value, &mut mistakes))
                    .collect(),
            }),
            _ => settings.top.settings.extend(setting(text, name, value, &mut mistakes)),
        }
    }
    settings.top.settings.sort_by_key(|setting| setting.place);
    settings.tables.sort_by_key(|table| table.place);
    mistakes.sort();
    (settings, mistakes)
}

fn setting(
    text: &str,
    key: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Setting> {
    let read = match value.get_ref() {
        DeValue::Boolean(switch) => Some(Value::Switch(*switch)),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| plain(value.get_ref()));
            texts.collect::<Option<Vec<_>>>().map(Value::List)
        }
        other => plain(other).map(Value::Text),
    };
    let place = place(text, key.span().start);
    let key = key.get_ref().to_string();
    if read.is_none() {
        let sentence = format!("`{key}` is a text, a number, true or false, or a list of texts.");
        mistakes.push(Mistake { place, sentence });
    }
    read.map(|value| Setting { key, value, place })
}

fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Where the byte `at` stands.
fn place(text: &str, at: usize) -> Place {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    Place { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
}

/// The one of `known` that was meant, where one is near enough.
pub fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let key = key.replace('_', "-");
    let far = |known: &str| match known.starts_with(&format!("{key}-")) {
        true => 1,
        false => distance(&key, known),
    };
    let (far, nearest) = known.into_iter().map(|known| (far(known), known)).min()?;
    (far <= 2.max(key.len() / 3)).then_some(nearest)
}

/// How many letters to put in, take out or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (number, letter) in (1..).zip(a.chars()) {
        let (mut diagonal, mut left) = (number - 1, number);
        let mut next = vec![left];
        for (other, above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != other)).min(left + 1).min(above + 1);
            next.push(left);
            diagonal = *above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tables_are_read_with_their_places() {
        let (settings, mistakes) = read(
            "http = \"127.0.0.1:1\"\nshards = 2\n\n  [one]\nallow = [\"/a\", \"/b\"]\non = true\n",
        );
        assert_eq!(mistakes, []);
        let keys: Vec<_> = settings.top.settings.iter().map(|s| (&*s.key, s.place.line)).collect();
        assert_eq!(keys, [("http", 1), ("shards", 2)]);
        let one = &settings.tables[0];
        assert_eq!((&*one.name, one.place), ("one", Place { line: 4, column: 4 }));
        assert_eq!(one.settings[0].value, Value::List(vec!["/a".into(), "/b".into()]));
        assert_eq!(one.settings[1].value, Value::Switch(true));
    }

    #[test]
    fn every_mistake_of_form_is_told_at_once() {
        let (_, mistakes) = read("a = \nb = 1\nb = 2\nc = 2020-01-01\n");
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.place.line).collect();
        assert_eq!(lines, [1, 3, 4], "{mistakes:?}");
        assert!(mistakes[2].in_file("x.toml").starts_with("x.toml:4:1: `c` is"));
    }

    #[test]
    fn the_nearest_key_is_named_and_nothing_far() {
        let known = ["http", "tunnel", "tls-cert", "admin-token-file"];
        for (typed, meant) in [
            ("htpp", Some("http")),
            ("tls_cert", Some("tls-cert")),
            ("admin-token", Some("admin-token-file")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }
}
