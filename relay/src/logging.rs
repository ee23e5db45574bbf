//! The log: what the process tells on standard error, and how.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::access_log;

/// The variable that filters the log: `info`, or `warn,relay::tunnel=debug`.
pub const FILTER_VARIABLE: &str = "RELAY_LOG";

/// This library warns of what a caller does wrong with each frame; unless the filter names it, nobody
/// fills the log so.
const TALKATIVE: &str = "h2";

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What to log, and how.
#[derive(Debug, Clone)]
pub struct Logging {
    format: Format,
    filter: Targets,
}

impl Logging {
    /// Reads the format as it was typed, if it was, and the filter from the environment; a
    /// sentence for each mistake.
    pub fn from_environment(
        format: Option<&str>,
        default_filter: &str,
    ) -> Result<Self, Vec<String>> {
        let given = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.trim().is_empty());
        let filter = read_filter(given.as_deref().unwrap_or(default_filter));
        match (read_format(format), filter) {
            (Ok(format), Ok(filter)) => Ok(Self { format, filter }),
            (format, filter) => Err([format.err(), filter.err()].into_iter().flatten().collect()),
        }
    }

    /// Begins to log. The first call of the process holds; later ones change nothing.
    pub fn begin(self) {
        access_log::begin(self.format, &self.filter);
        let layer = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
        let registry = tracing_subscriber::registry();
        // An error means that the process logs already.
        let _ = match self.format {
            Format::Text => registry.with(layer.with_filter(self.filter)).try_init(),
            Format::Json => registry.with(layer.json().with_filter(self.filter)).try_init(),
        };
    }
}

fn read_filter(text: &str) -> Result<Targets, String> {
    let filter = text.parse::<Targets>().map_err(|error| {
        format!(
            "{FILTER_VARIABLE} cannot be read ({error}); give a level like info, or \
             warn,relay::tunnel=debug."
        )
    })?;
    let named = text.contains(TALKATIVE);
    Ok(if named { filter } else { filter.with_target(TALKATIVE, LevelFilter::ERROR) })
}

fn read_format(text: Option<&str>) -> Result<Format, String> {
    match text.map(str::trim) {
        Some("text") => Ok(Format::Text),
        Some("json") => Ok(Format::Json),
        None | Some("") if io::stderr().is_terminal() => Ok(Format::Text),
        None | Some("") => Ok(Format::Json),
        Some(other) => Err(format!("--log-format cannot be `{other}`; choose text or json.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_does_wrong_is_logged_only_where_it_was_asked_for() {
        for (text, warns) in [("info", false), ("trace", false), ("info,h2=debug", true)] {
            let filter = read_filter(text).unwrap();
            assert_eq!(filter.would_enable("h2::proto", &tracing::Level::WARN), warns, "{text}");
            assert!(filter.would_enable("relay::edge", &tracing::Level::WARN), "{text}");
        }
        assert!(read_filter("relay=loud").unwrap_err().contains(FILTER_VARIABLE));
    }

    #[test]
    fn the_format_is_text_or_json() {
        assert_eq!(read_format(Some("text")), Ok(Format::Text));
        assert_eq!(read_format(Some("json")), Ok(Format::Json));
        assert!(read_format(Some("xml")).unwrap_err().contains("xml"));
    }
}
