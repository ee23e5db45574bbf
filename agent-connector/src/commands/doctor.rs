//! `agent-connector doctor`: says which step of the path fails, and what to do.

use std::process::ExitCode;

use super::http::ConnectArgs;
use super::{Done, terminal};
use crate::doctor::{self, Patient};
use crate::error::ConnectorError;
use crate::forward::origin::{LocalTarget, Origin};

/// Looks at each step from the relay to the agent, and says which fails and what to do
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It takes the place of no running connector. Where none runs, it connects for \
    a moment. Exit codes: 0 all is well, 3 configuration, 4 credentials, 5 the relay or the public URL \
    cannot be reached, 6 the local agent or its card."
)]
pub(crate) struct DoctorArgs {
    /// Where the agent listens [default: where its last connector found it]
    target: Option<LocalTarget>,
    /// One JSON object: {"ok", "steps": [{"step", "ok", "seen", "why", "do"}]}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

pub(super) async fn run(args: DoctorArgs) -> Done {
    let agent = args.target.as_ref().map(|target| target.origin.clone());
    let nowhere = || LocalTarget { origin: Origin::loopback(0), path: None };
    let config = args.connect.config(args.target.unwrap_or_else(nowhere));
    let diagnosis = match config.and_then(|config| Ok((Patient::read(&config, agent)?, config))) {
        Ok((patient, config)) => Box::pin(doctor::examine(patient, config)).await,
        Err(error) => doctor::Diagnosis::unusable(&error, code(&error)),
    };
    if args.json {
        terminal::say(&serde_json::to_string(&diagnosis).unwrap_or_default());
    } else {
        diagnosis.steps.iter().for_each(|finding| terminal::say(&finding.text()));
    }
    Ok(ExitCode::from(diagnosis.code()))
}

/// What cannot be used is the configuration, or a join string.
const fn code(error: &ConnectorError) -> doctor::Trouble {
    match error {
        ConnectorError::Join(_) => doctor::Trouble::Credentials,
        _ => doctor::Trouble::Configuration,
    }
}
