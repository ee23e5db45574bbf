//! `relay backup` and `relay restore`: copies of the store.

use std::path::PathBuf;

use clap::Args;
use http::Method;

use super::exit::{Code, Failure};
use super::operator::RelayArgs;
use super::output;
use super::text::field;
use crate::clock::unix_ms;
use crate::registry::restore;

/// Which relay.
#[derive(Debug, Args)]
pub struct BackupArgs {
    #[command(flatten)]
    relay: RelayArgs,
}

/// Which backup, and where it goes.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup's file
    backup: PathBuf,
    /// The data directory of the relay, which must not run
    #[arg(long, value_name = "DIR", env = "RELAY_DATA_DIR", default_value = "./relay-data")]
    data_dir: PathBuf,
}

/// Has a running relay write a backup on its own disk.
pub fn back_up(args: &BackupArgs) -> Result<(), Failure> {
    let relay = args.relay.open()?;
    let made = relay.ask(Method::POST, "/backups", None)?;
    relay.print(&made, |made| {
        format!(
            "{}\n\nIt holds the store alone. Keep it apart from the other files of the data \
             directory, of which sealing-key opens the secrets in it.",
            field(made, "path")
        )
    });
    Ok(())
}

/// Puts a backup in the place of the store.
pub fn put_back(args: &RestoreArgs) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Code::Configuration, why);
    certs::files::create_private_dir(&args.data_dir)
        .map_err(|error| failed(format!("{error}.")))?;
    let store = args.data_dir.join(crate::STORE_FILE);
    let restored =
        restore(&args.backup, &store, unix_ms()).map_err(|error| failed(error.to_string()))?;
    output::line(&format!("The backup is now the store {}.", restored.path.display()));
    if let Some(replaced) = restored.replaced {
        output::line(&format!("The one before is kept as {}.", replaced.display()));
    }
    Ok(())
}
