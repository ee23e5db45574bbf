//! `relay demo`: a relay, a connector and a sample agent in one process, and real messages through
//! the public URL.

mod agent;
mod calls;
mod connector;
mod host;
mod story;

use clap::Args;

use crate::commands::exit::Failure;
use crate::commands::serve::runtime;
use crate::commands::signals::Signals;
use crate::logging::Logging;

/// The flags of `relay demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after the two exchanges: 0 if they went well
    #[arg(long)]
    once: bool,
    /// How to log: text or json [default: text on a terminal, json otherwise]; RELAY_LOG filters
    #[arg(long, value_name = "FORMAT", env = "RELAY_LOG_FORMAT")]
    log_format: Option<String>,
}

/// Shows everything at work. Nothing of it is left when it ends.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let logging = Logging::from_environment(args.log_format.as_deref(), "error");
    logging.map_err(Failure::configuration)?.begin();
    runtime()?.block_on(async {
        let signals = Signals::listen()?;
        Box::pin(story::tell(args.once, signals)).await
    })
}
