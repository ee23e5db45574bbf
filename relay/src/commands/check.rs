//! `relay check`: reads the configuration and reports every mistake.

use super::exit::Failure;
use super::{output, serve};
use crate::config::{Config, ServeArgs};
use crate::logging::Logging;
use crate::platform::preflight::{self, Finding};
use crate::platform::{Client, PlatformConfig};
use crate::public::PublicUrl;

/// Reads everything that `relay serve` with the same arguments would read, and asks the platform, if
/// there is one, what it would refuse; opens and changes nothing.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let (config, _) = read(args)?;
    output::line("The configuration is in order.");
    output::line(&format!("  data      {}", config.data_dir.display()));
    output::line(&format!("  http      {}", config.http));
    output::line(&format!("  tunnel    {}", config.tunnel));
    output::line(&format!("  admin     {}", config.admin));
    output::line(&format!("  shards    {}", config.shards));
    output::line(&format!("  own URLs  {}", config.direct_urls));
    match &config.platform {
        Some(platform) => {
            output::line(&format!("  platform  {}", platform.url.as_str()));
            check_platform(&config, platform)
        }
        None => Ok(()),
    }
}

/// Asks the platform; each thing that it would refuse is a mistake, and what is only to be known is
/// told.
fn check_platform(config: &Config, platform: &PlatformConfig) -> Result<(), Failure> {
    let wrong = |sentence| Failure::configuration(vec![sentence]);
    let token = platform.token.read().map_err(wrong)?;
    let client = Client::new(platform, &token).map_err(wrong)?;
    let public = config.public_url.clone();
    let public = public.unwrap_or_else(|| PublicUrl::loopback(config.http.port()));
    let judging = preflight::judge(&client, &public, platform.org.is_some());
    let mut mistakes = Vec::new();
    for finding in serve::runtime()?.block_on(judging) {
        match finding {
            Finding::Refused(sentence) => mistakes.push(sentence),
            Finding::Noted(sentence) | Finding::Unknown(sentence) => {
                output::line(&format!("  note      {sentence}"));
            }
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Failure::configuration(mistakes)) }
}

/// The configuration and how to log, or every mistake in both.
pub(super) fn read(args: ServeArgs) -> Result<(Config, Logging), Failure> {
    let file = args.file.clone();
    let logging = Logging::from_environment(args.log_format.as_deref(), "info");
    let logging = logging.map_err(|mistakes| {
        mistakes.into_iter().map(|sentence| file.located(sentence)).collect::<Vec<_>>()
    });
    match (args.into_config(), logging) {
        (Ok(config), Ok(logging)) => Ok((config, logging)),
        (config, logging) => {
            let mistakes = [config.err(), logging.err()].into_iter().flatten().flatten();
            Err(Failure::configuration(mistakes.collect()))
        }
    }
}
