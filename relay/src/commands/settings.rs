//! `relay.toml`: which file it is, and how it comes below flags and environment.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use shared::settings::{Laid, Reference, lay, open, read};

use crate::admin::token::ADMIN_TOKEN_VARIABLE;
use crate::config::SEALING_KEY_VARIABLE;
use crate::platform::config::PLATFORM_TOKEN_VARIABLE;

/// Read if they are there and no other is named, the first of them alone.
const USUAL: [&str; 2] = ["./relay.toml", "/etc/relay/relay.toml"];

/// The secrets that `serve` takes besides files.
const SECRETS: [Reference; 3] = [
    Reference { key: "admin-token", variable: ADMIN_TOKEN_VARIABLE },
    Reference { key: "sealing-key", variable: SEALING_KEY_VARIABLE },
    Reference { key: "platform-token", variable: PLATFORM_TOKEN_VARIABLE },
];

/// Lays the file that `matches` name, or a usual one, below the arguments of `serve` and `check`.
pub(super) fn lay_file(commands: Command, matches: &ArgMatches) -> (Command, Option<Laid>) {
    let Some((name @ ("serve" | "check"), typed)) = matches.subcommand() else {
        return (commands, None);
    };
    let named = typed.get_one::<PathBuf>("config").filter(|path| !path.as_os_str().is_empty());
    let (path, text) = match named {
        Some(path) => (path.clone(), open(path)),
        None => match USUAL.map(Path::new).into_iter().find(|path| path.exists()) {
            Some(path) => (path.to_owned(), open(path)),
            None => return (commands, None),
        },
    };
    let mut laid = Laid::of(&path);
    let text = match text {
        Ok(text) => text,
        Err(sentence) => {
            laid.mistakes.push(sentence);
            return (commands, Some(laid));
        }
    };
    let (settings, mistakes) = read(&text);
    mistakes.iter().for_each(|mistake| laid.wrong(mistake));
    for table in &settings.tables {
        let sentence = format!("`[{}]` is no table: relay.toml has keys alone.", table.name);
        laid.wrong(&shared::settings::Mistake { place: table.place, sentence });
    }
    let variable = |name: &str| std::env::var(name).ok();
    let commands = commands.mut_subcommand(name, |command| {
        lay(command, &settings.top.settings, &mut laid, &SECRETS, &[], variable)
    });
    (commands, Some(laid))
}
