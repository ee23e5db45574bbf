//! `agent-connector run`: connects the agents of a configuration file, all in one process.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory, FromArgMatches};
use shared::settings::{Laid, Mistake, Reference, Settings, Table, lay, open, read};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::http::{ConnectArgs, forward};
use super::shared_args::TOKEN_VARIABLE;
use super::terminal::{self, Block};
use super::{Cli, Done, LogFormat};
use crate::config::Config;
use crate::error::ConnectorError;
use crate::forward::origin::LocalTarget;

/// Read if they are there and no other is named, the first of them alone.
const USUAL: [&str; 2] = ["./agent-connector.toml", "/etc/agent-connector/agent-connector.toml"];
/// Agents of one file: each has a link and a state of its own.
const AGENTS_MAX: usize = 256;

const SECRETS: [Reference; 1] = [Reference { key: "token", variable: TOKEN_VARIABLE }];

/// Connects the agents of a configuration file
#[derive(Debug, Args)]
#[command(
    after_help = "Each table of the file is an agent, with the long names of these flags as \
    keys; keys before the first table hold for all. What is typed outweighs the environment, and \
    that the file. An agent that is refused for good ends alone; the others go on."
)]
pub(crate) struct RunArgs {
    /// The file [default: ./agent-connector.toml, else /etc/agent-connector/agent-connector.toml]
    #[arg(long, value_name = "FILE", env = "AGENT_CONNECTOR_CONFIG")]
    config: Option<PathBuf>,
    /// Where the agent listens: a port, host:port, or http://host:port[/path of its endpoint]
    #[arg(long, value_name = "TARGET")]
    target: Option<LocalTarget>,
    /// Gives up when the agent does not answer at the start
    #[arg(long)]
    require_local: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// An agent of the file.
#[derive(Debug)]
struct Agent {
    name: String,
    config: Config,
}

impl RunArgs {
    pub(super) fn log_format(&self) -> Option<LogFormat> {
        // The process has one log: what the file says of it stands before the first table.
        self.connect.log_format.or_else(|| {
            let settings = read(&open(&self.path().ok()?).ok()?).0;
            let (command, _) = lay_top(&settings, Path::new(""));
            parse(command).ok()?.connect.log_format
        })
    }

    fn path(&self) -> Result<PathBuf, ConnectorError> {
        let named = self.config.clone().filter(|path| !path.as_os_str().is_empty());
        let usual = || USUAL.iter().map(PathBuf::from).find(|path| path.exists());
        named.or_else(usual).ok_or_else(|| {
            ConnectorError::Config(format!(
                "There is no configuration: neither {} nor {}. Name one with --config.",
                USUAL[0], USUAL[1]
            ))
        })
    }
}

pub(super) async fn run(args: RunArgs, shutdown: impl Future<Output = ()>) -> Done {
    let agents = load(&args.path()?)?;
    let (stop, stopping) = watch::channel(false);
    let several = agents.len() > 1;
    let mut running = JoinSet::new();
    for Agent { name, config } in agents {
        let agent = config.target.origin.url();
        let block = if several { Block::named(name.clone(), agent) } else { Block::new(agent) };
        let mut stopping = stopping.clone();
        running.spawn(async move {
            // An error means that nobody will say so any more.
            let shutdown = async { drop(stopping.wait_for(|stop| *stop).await) };
            (name, forward(config, block, shutdown).await)
        });
    }
    let mut shutdown = std::pin::pin!(shutdown);
    let mut first: Option<ConnectorError> = None;
    loop {
        let ended = tokio::select! {
            biased;
            ended = running.join_next() => ended,
            () = shutdown.as_mut(), if !*stop.borrow() => {
                stop.send_replace(true);
                continue;
            }
        };
        match ended {
            Some(Ok((_, Ok(())))) => {}
            Some(Ok((name, Err(error)))) => {
                if several {
                    terminal::note(&format!("{name}: {error}"));
                }
                first.get_or_insert(error);
            }
            Some(Err(error)) => {
                first.get_or_insert(ConnectorError::Config(format!("An agent ended: {error}.")));
            }
            None => break,
        }
    }
    match first {
        None => Ok(ExitCode::SUCCESS),
        // Each has been told with its agent.
        Some(error) if several => Ok(error.exit_code()),
        Some(error) => Err(error),
    }
}

/// The agents of the file, or everything that is wrong in it.
fn load(path: &Path) -> Result<Vec<Agent>, ConnectorError> {
    let text = open(path).map_err(ConnectorError::Config)?;
    let (settings, mistakes) = read(&text);
    let (shared, mut laid) = lay_top(&settings, path);
    mistakes.iter().for_each(|mistake| laid.wrong(mistake));
    let only = Table { name: "agent".into(), ..Table::default() };
    let tables = if settings.tables.is_empty() { vec![only] } else { settings.tables };
    if tables.len() > AGENTS_MAX {
        laid.mistakes.push(format!("The file has more than {AGENTS_MAX} agents; use several."));
    }
    let mut all = laid.mistakes.clone();
    let mut agents = Vec::new();
    for table in tables.into_iter().take(AGENTS_MAX) {
        let mut laid = laid.clone();
        laid.mistakes.clear();
        let command = lay_table(shared.clone(), &table, &mut laid);
        match agent(&table, command, &laid) {
            Ok(config) => agents.push((table, config)),
            Err(sentence) => laid.mistakes.push(sentence),
        }
        all.append(&mut laid.mistakes);
    }
    all.extend(shared_twice(&agents).iter().map(|mistake| laid.placed(mistake)));
    if all.is_empty() {
        let agents = agents.into_iter();
        return Ok(agents.map(|(table, config)| Agent { name: table.name, config }).collect());
    }
    Err(ConnectorError::Config(all.join("\nagent-connector: ")))
}

/// What the table says; or a sentence with its place.
fn agent(table: &Table, command: Command, laid: &Laid) -> Result<Config, String> {
    let args = parse(command).map_err(|error| error.to_string())?;
    let target = args.target.ok_or_else(|| {
        let sentence = format!("`{}` has no `target`: the agent's port, or host:port.", table.name);
        laid.placed(&Mistake { place: table.place, sentence })
    })?;
    let variable = laid.variable("token").unwrap_or(TOKEN_VARIABLE);
    let config = args.connect.config_with(target, variable);
    let mut config = config.map_err(|error| laid.located(error.to_string()))?;
    config.require_local = args.require_local;
    Ok(config)
}

fn lay_top(settings: &Settings, path: &Path) -> (Command, Laid) {
    let mut laid = Laid::of(path);
    let command = lay_table(Cli::command(), &settings.top, &mut laid);
    (command, laid)
}

fn lay_table(commands: Command, table: &Table, laid: &mut Laid) -> Command {
    // The process has one log.
    let keyless: &[&str] = if table.name.is_empty() { &[] } else { &["log-format"] };
    let variable = |name: &str| std::env::var(name).ok();
    commands.mut_subcommand("run", |command| {
        lay(command, &table.settings, laid, &SECRETS, keyless, variable)
    })
}

/// What was typed, over these defaults.
fn parse(command: Command) -> Result<RunArgs, clap::Error> {
    let mut matches = command.try_get_matches()?;
    match matches.remove_subcommand() {
        Some((_, matches)) => RunArgs::from_arg_matches(&matches),
        None => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
    }
}

/// What two agents must not share: one would write over the other, or wait for it for ever.
fn shared_twice(agents: &[(Table, Config)]) -> Vec<Mistake> {
    let mut seen = HashMap::new();
    let mut mistakes = Vec::new();
    for (table, config) in agents {
        let own = |key, value: Option<String>| value.map(|value| (key, value));
        let listen = config.platform_listen.filter(|address| address.port() != 0);
        let keys = [
            own("status-file", config.status_file.as_ref().map(|path| path.display().to_string())),
            own("platform-listen", listen.map(|address| address.to_string())),
            own("join", config.join.as_ref().map(|join| join.workspace.to_string())),
            own("workspace", config.workspace.map(|workspace| workspace.to_string())),
        ];
        for (key, value) in keys.into_iter().flatten() {
            if let Some(other) = seen.insert((key, value), &table.name) {
                let name = &table.name;
                let sentence =
                    format!("`{name}` and `{other}` have the same `{key}`; give each its own.");
                mistakes.push(Mistake { place: table.place, sentence });
            }
        }
    }
    mistakes
}
