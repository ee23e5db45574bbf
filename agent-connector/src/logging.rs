//! The log: what the process tells on standard error, and how.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::commands::LogFormat;

/// The variable that filters the log: `info`, or `warn,agent_connector::tunnel=debug`; the words
/// `text` and `json` choose the format instead.
pub const VARIABLE: &str = "AGENT_CONNECTOR_LOG";
const DEFAULT_FILTER: &str = "warn,agent_connector=info";

/// Begins to log; a sentence when the filter cannot be read. The first call of the process holds.
pub fn begin(format: Option<LogFormat>) -> Result<(), String> {
    let given = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let (said, filter) = read(given.as_deref())?;
    let format = format.or(said).unwrap_or_else(|| {
        if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
    });
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let registry = tracing_subscriber::registry();
    // An error means that the process logs already.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(layer.json().with_filter(filter)).try_init(),
    };
    Ok(())
}

fn read(text: Option<&str>) -> Result<(Option<LogFormat>, Targets), String> {
    let parse = |filter: &str| {
        filter.parse::<Targets>().map_err(|error| {
            format!(
                "{VARIABLE} cannot be read ({error}); give a level like info, or \
                 warn,agent_connector::tunnel=debug."
            )
        })
    };
    match text.map(str::trim) {
        None => Ok((None, parse(DEFAULT_FILTER)?)),
        Some("text") => Ok((Some(LogFormat::Text), parse(DEFAULT_FILTER)?)),
        Some("json") => Ok((Some(LogFormat::Json), parse(DEFAULT_FILTER)?)),
        Some(filter) => Ok((None, parse(filter)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_filter_or_a_format() {
        assert_eq!(read(None).unwrap().0, None);
        assert_eq!(read(Some("json")).unwrap().0, Some(LogFormat::Json));
        assert_eq!(read(Some("debug,quinn=info")).unwrap().0, None);
        assert!(read(Some("agent_connector=loud")).unwrap_err().contains(VARIABLE));
    }
}
