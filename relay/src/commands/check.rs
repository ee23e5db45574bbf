//! `relay check`: reads the configuration and reports every mistake.

use super::exit::Failure;
use super::output;
use crate::config::{Config, ServeArgs};
use crate::logging::Logging;

/// Reads everything that `relay serve` with the same arguments would read; opens nothing.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let (config, _) = read(args)?;
    output::line("The configuration is in order.");
    output::line(&format!("  data      {}", config.data_dir.display()));
    output::line(&format!("  http      {}", config.http));
    output::line(&format!("  tunnel    {}", config.tunnel));
    output::line(&format!("  admin     {}", config.admin));
    output::line(&format!("  shards    {}", config.shards));
    output::line(&format!("  own URLs  {}", config.direct_urls));
    Ok(())
}

/// The configuration and how to log, or every mistake in both.
pub(super) fn read(args: ServeArgs) -> Result<(Config, Logging), Failure> {
    let logging = Logging::from_environment(args.log_format.as_deref(), "info");
    match (args.into_config(), logging) {
        (Ok(config), Ok(logging)) => Ok((config, logging)),
        (config, logging) => {
            let mistakes = [config.err(), logging.err()].into_iter().flatten().flatten();
            Err(Failure::configuration(mistakes.collect()))
        }
    }
}
