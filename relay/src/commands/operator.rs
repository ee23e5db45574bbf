//! What every command of the operator shares: which relay, the credential, and how answers are shown.

use std::path::PathBuf;

use clap::Args;
use http::Method;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::client::Client;
use super::exit::{Code, Failure};
use super::{output, serve};
use crate::admin::token::{ADMIN_TOKEN_FILE, ADMIN_TOKEN_VARIABLE, AdminTokenError, read_text};

/// A running relay and how to be let in.
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// The relay's public listener
    #[arg(long, global = true, env = "RELAY_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with the admin token; RELAY_ADMIN_TOKEN holds the token itself
    /// [default: admin-token in the data directory]
    #[arg(long, global = true, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The relay's data directory
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "RELAY_DATA_DIR",
        default_value = "./relay-data"
    )]
    data_dir: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// A relay that can be asked.
#[derive(Debug)]
pub struct Relay {
    client: Client,
    runtime: Runtime,
    json: bool,
}

impl RelayArgs {
    /// Finds the credential. The relay itself is asked later.
    pub fn open(&self) -> Result<Relay, Failure> {
        Ok(Relay { client: self.client()?, runtime: serve::runtime()?, json: self.json })
    }

    fn client(&self) -> Result<Client, Failure> {
        let given = std::env::var(ADMIN_TOKEN_VARIABLE).ok();
        let given = given.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let token = match (&self.admin_token_file, given) {
            (Some(file), _) => read_text(file).map_err(|error| no_token(&error)),
            (None, Some(token)) => Ok(token),
            (None, None) => {
                read_text(&self.data_dir.join(ADMIN_TOKEN_FILE)).map_err(|error| no_token(&error))
            }
        };
        Client::new(&self.url, token)
    }
}

impl Relay {
    /// Calls the API; its answer, or its refusal as a failure.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.runtime.block_on(self.client.call(method, path, body))
    }

    /// Shows an answer: as JSON if that was asked for, else as `say` puts it.
    pub fn print(&self, answer: &Value, say: impl FnOnce(&Value) -> String) {
        match self.json {
            true => output::json(answer),
            false => output::line(&say(answer)),
        }
    }
}

fn no_token(error: &AdminTokenError) -> Failure {
    Failure::new(
        Code::Configuration,
        format!(
            "There is no admin token to call the relay with: {error} Give one with \
             --admin-token-file or {ADMIN_TOKEN_VARIABLE}, or name the relay's --data-dir."
        ),
    )
}
