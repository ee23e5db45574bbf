//! The flags of the bench.

use crate::systems;
use std::{path::PathBuf, time::Duration};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Compares the tunnel with a direct connection and with other tunnels and proxies on this machine.

cargo bench -p tests --bench compare -- [FLAGS]

  --rounds N       rounds, each with every system under every kind of load [default: 5]
  --seconds S      length of each stretch of load [default: 3]
  --only A,B       of ours, rathole, rathole-noise, nginx, nginx-tls, direct [default: all
                   that are here]
  --agents N       idle agents that the relay holds at once; 0 leaves that out [default: 1000]
  --relay-arg A    one more argument of `relay serve`, to compare settings; may be given again
  --connector-arg A   the same for `agent-connector http`
  --json FILE      also write everything, each round apart, as JSON

RATHOLE and NGINX name those programs, if they are not on the path. HARNESS_BIN_DIR names a folder with
release builds of relay and agent-connector; without it they are built.";

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// At least 1.
    pub(crate) rounds: usize,
    /// Of each stretch.
    pub(crate) length: Duration,
    /// Some of [`systems::names`], in their order.
    pub(crate) only: Vec<&'static str>,
    /// Idle agents.
    pub(crate) agents: usize,
    /// Further arguments of `relay serve`.
    pub(crate) relay_args: Vec<String>,
    /// Further arguments of `agent-connector http`.
    pub(crate) connector_args: Vec<String>,
    /// Where the JSON goes.
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// Reads the flags.
    ///
    /// # Errors
    /// A sentence about the first mistake.
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: 5,
            length: Duration::from_secs(3),
            only: systems::names(),
            agents: 1_000,
            relay_args: Vec::new(),
            connector_args: Vec::new(),
            json: None,
        };
        while let Some(flag) = args.next() {
            // Cargo adds it to whatever it was given.
            if flag == "--bench" {
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{flag} needs a value."))?;
            match flag.as_str() {
                "--rounds" => options.rounds = number(&flag, &value, 1, 1_000)?,
                "--seconds" => {
                    let seconds = number(&flag, &value, 1, 600)?;
                    options.length = Duration::from_secs(seconds as u64);
                }
                "--only" => options.only = names(&value)?,
                "--agents" => options.agents = number(&flag, &value, 0, 10_000)?,
                "--relay-arg" => options.relay_args.push(value),
                "--connector-arg" => options.connector_args.push(value),
                "--json" => options.json = Some(value.into()),
                _ => return Err(format!("{flag} is no flag of this bench.")),
            }
        }
        Ok(options)
    }

    /// Whether this system takes part.
    pub(crate) fn has(&self, system: &str) -> bool {
        self.only.contains(&system)
    }
}

fn number(flag: &str, value: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("{flag} takes a number from {min} to {max}, not `{value}`."))
}

fn names(list: &str) -> Result<Vec<&'static str>, String> {
    let given: Vec<&str> = list.split(',').map(str::trim).collect();
    if let Some(other) = given.iter().find(|name| !systems::names().contains(name)) {
        return Err(format!("--only knows {}, not `{other}`.", systems::names().join(", ")));
    }
    Ok(systems::names().into_iter().filter(|name| given.contains(name)).collect())
}
