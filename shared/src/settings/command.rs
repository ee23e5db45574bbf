//! Lays the settings of a file below the flags and the environment of a command, as its defaults.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::{OsStr, Resettable};
use clap::{Arg, ArgAction, Command};

use super::{Mistake, Place, Setting, Value, nearest};

/// What a credential of this project begins with: none may stand in a file.
const CREDENTIALS: [&str; 5] = ["rtok_", "okey_", "rcall_", "join1_", "-----BEGIN"];

/// A secret that a file refers to: `KEY = "env:NAME"`, or `KEY-file` of the command's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The key.
    pub key: &'static str,
    /// The variable that holds the secret unless a file says otherwise; it outweighs every file.
    pub variable: &'static str,
}

/// What of a file a command was given.
#[derive(Debug, Clone, Default)]
pub struct Laid {
    file: String,
    places: Vec<(String, Place)>,
    variables: Vec<(&'static str, String)>,
    /// What is wrong in the file, `FILE:LINE:COLUMN: sentence`.
    pub mistakes: Vec<String>,
}

impl Laid {
    /// Nothing yet of this file.
    pub fn of(file: &Path) -> Self {
        Self { file: file.display().to_string(), ..Self::default() }
    }

    /// Adds what is wrong.
    pub fn wrong(&mut self, mistake: &Mistake) {
        self.mistakes.push(self.placed(mistake));
    }

    /// What is wrong, with its place before it.
    pub fn placed(&self, mistake: &Mistake) -> String {
        mistake.in_file(&self.file)
    }

    /// The variable that the file names for this secret.
    pub fn variable(&self, key: &str) -> Option<&str> {
        self.variables.iter().rev().find(|(known, _)| *known == key).map(|(_, name)| name.as_str())
    }

    /// A sentence about `--KEY` that the file set, with its place before it.
    pub fn located(&self, sentence: String) -> String {
        let named = |key: &str| {
            let at = sentence.find(&format!("--{key}"))?;
            let next = sentence.get(at + 2 + key.len()..)?.chars().next();
            (!next.is_some_and(|letter| letter.is_alphanumeric() || letter == '-')).then_some(at)
        };
        let places = self.places.iter().filter_map(|(key, place)| Some((named(key)?, *place)));
        match places.min() {
            Some((_, place)) => Mistake { place, sentence }.in_file(&self.file),
            None => sentence,
        }
    }
}

/// Lays `settings` below the arguments of `command`: what was typed or stands in the environment
/// outweighs them. Paths are relative to the file. `keyless` are flags that are none in a file, and
/// `variable` reads the environment.
pub fn lay(
    command: Command,
    settings: &[Setting],
    laid: &mut Laid,
    secrets: &[Reference],
    keyless: &[&str],
    variable: impl Fn(&str) -> Option<String>,
) -> Command {
    let plain = command.clone().mut_args(|arg| arg.env(Resettable::Reset).required(false));
    let set = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
    let mut command = command;
    for setting in settings {
        let Setting { key, value, place } = setting;
        let mut wrong = |sentence| laid.wrong(&Mistake { place: *place, sentence });
        if let Some(sentence) = inline_secret(setting) {
            wrong(sentence);
            continue;
        }
        if let Some(secret) = secrets.iter().find(|secret| secret.key == key) {
            match referred(value) {
                Some(_) if set(secret.variable) => {}
                Some(name) if set(name) => {
                    laid.variables.push((secret.key, name.to_owned()));
                }
                Some(name) => wrong(format!("`{key}` is to be in {name}, which is not set.")),
                None => wrong(format!(
                    "`{key}` is a secret, which never stands in a file like this one: write \
                     `{key} = \"env:NAME\"`, or `{key}-file` and the path of a file of its own."
                )),
            }
            continue;
        }
        let Some(arg) = keys(&plain, keyless).find(|(known, _)| known == key).map(|(_, arg)| arg)
        else {
            let known = keys(&plain, keyless).map(|(known, _)| known);
            let known: Vec<&str> = known.chain(secrets.iter().map(|secret| secret.key)).collect();
            let meant = nearest(key, known).map(|meant| format!(": did you mean `{meant}`?"));
            let meant =
                meant.unwrap_or_else(|| "; --help names them all, without the dashes.".into());
            wrong(format!("`{key}` is no key{meant}"));
            continue;
        };
        // The environment's own secret outweighs the file that a file names.
        let secret = key.strip_suffix("-file");
        if secrets.iter().any(|known| Some(known.key) == secret && set(known.variable)) {
            continue;
        }
        let texts = match texts(arg, value) {
            Ok(texts) => texts,
            Err(expected) => {
                wrong(format!("`{key}` is to be {expected}."));
                continue;
            }
        };
        let folder = Path::new(&laid.file).parent().unwrap_or(Path::new(""));
        let texts: Vec<String> = texts.into_iter().map(|text| path(arg, text, folder)).collect();
        if let Some(sentence) = refused(&plain, arg, &texts) {
            laid.wrong(&Mistake { place: *place, sentence });
            continue;
        }
        let empty = arg_variable(&command, arg).is_some_and(|name| !set(&name));
        laid.places.retain(|(known, _)| known != key);
        laid.places.push((key.clone(), *place));
        command = command.mut_arg(arg.get_id().as_str(), |arg| {
            // An empty variable is none.
            let arg = if empty { arg.env(Resettable::Reset) } else { arg };
            arg.required(false).default_values(texts.into_iter().map(OsStr::from))
        });
    }
    command
}

/// The keys: long names, and the names of what needs no dashes.
fn keys<'a>(command: &'a Command, keyless: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a Arg)> {
    let named = |arg: &'a Arg| match arg.get_long() {
        Some(long) => (long, arg),
        None => (arg.get_id().as_str(), arg),
    };
    let own = ["help", "version", "config"];
    let args = command.get_arguments().map(named);
    args.filter(move |(key, _)| !own.contains(key) && !keyless.contains(key))
}

fn arg_variable(command: &Command, arg: &Arg) -> Option<String> {
    let own = command.get_arguments().find(|other| other.get_id() == arg.get_id())?;
    own.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// The variable of `env:NAME`.
fn referred(value: &Value) -> Option<&str> {
    let Value::Text(text) = value else { return None };
    let name = text.strip_prefix("env:")?.trim();
    (!name.is_empty() && !name.contains(['=', '\0'])).then_some(name)
}

/// Refuses a credential wherever it stands, without repeating it.
fn inline_secret(Setting { key, value, .. }: &Setting) -> Option<String> {
    let secret = |text: &String| CREDENTIALS.iter().any(|begin| text.trim().starts_with(begin));
    let found = match value {
        Value::Text(text) => secret(text),
        Value::List(texts) => texts.iter().any(secret),
        Value::Switch(_) => false,
    };
    found.then(|| {
        format!(
            "`{key}` holds a secret, which never stands in a file like this one: keep it in a file \
             of its own that nobody else may read, and write that file's path here."
        )
    })
}

/// What the flag takes, or what it would.
fn texts(arg: &Arg, value: &Value) -> Result<Vec<String>, &'static str> {
    let switch = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse);
    let several = matches!(arg.get_action(), ArgAction::Append);
    match value {
        Value::Switch(on) if switch => Ok(vec![on.to_string()]),
        _ if switch => Err("true or false"),
        Value::Text(text) => Ok(vec![text.clone()]),
        Value::List(texts) if several => Ok(texts.clone()),
        Value::Switch(_) | Value::List(_) if several => Err("a list of texts"),
        Value::Switch(_) | Value::List(_) => Err("a text or a number"),
    }
}

/// Paths are relative to the file in which they stand.
fn path(arg: &Arg, text: String, folder: &Path) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let is_path =
        names.iter().any(|name| name.split('|').any(|kind| ["FILE", "DIR"].contains(&kind)));
    if !is_path || text.is_empty() || text.starts_with("sha256:") {
        return text;
    }
    folder.join(&text).to_str().map_or(text, str::to_owned)
}

/// Why the flag does not take these values.
fn refused(plain: &Command, arg: &Arg, texts: &[String]) -> Option<String> {
    if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return None;
    }
    let mut typed = vec![OsString::from(plain.get_name())];
    for text in texts {
        typed.push(match arg.get_long() {
            Some(long) => format!("--{long}={text}").into(),
            None => text.into(),
        });
    }
    let error = plain.clone().try_get_matches_from(typed).err()?;
    let told = error.to_string();
    let first = told.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let lines: Vec<&str> = first.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Some(format!("{}.", lines.join(" ").trim_end_matches('.')))
}
