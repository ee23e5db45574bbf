//! The connector of the demonstration. The one file of the relay that uses the connector's library.

use std::path::Path;

use agent_connector::{Config, LocalTarget, Report};
use certs::JoinString;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::story::failed;
use crate::commands::exit::Failure;

/// A connector that runs.
pub(super) struct Connector {
    stop: oneshot::Sender<()>,
    /// Gone once its end has been told.
    running: Option<JoinHandle<Result<(), String>>>,
}

impl Connector {
    /// Starts it towards the agent on `port` of loopback, with its state in `state_dir`.
    pub(super) fn start(join: &str, port: u16, state_dir: &Path) -> Result<Self, Failure> {
        let join: JoinString = join.parse().map_err(|error| failed(&format!("{error}.")))?;
        let target: LocalTarget =
            port.to_string().parse().map_err(|error| failed(&format!("{error}.")))?;
        let config = Config { join: Some(join), ..Config::new(target, state_dir) };
        let (stop, stopped) = oneshot::channel();
        let (reports, _) = watch::channel(Report::beginning());
        let running = tokio::spawn(async move {
            let shutdown = async {
                // An error means that the demonstration is over, which is a reason to stop as well.
                let _ = stopped.await;
            };
            let ran = Box::pin(agent_connector::run(config, shutdown, reports)).await;
            ran.map_err(|error| error.to_string())
        });
        Ok(Self { stop, running: Some(running) })
    }

    /// Waits until it ends without having been told to, and tells why.
    pub(super) async fn ended(&mut self) -> String {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok(Err(why)) => why,
            Ok(Ok(())) => "The connector has ended.".into(),
            Err(error) => format!("The connector broke off: {error}."),
        }
    }

    /// Ends it in order.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        let Some(running) = self.running else { return Ok(()) };
        // An error means that it ends already.
        let _ = self.stop.send(());
        match running.await {
            Ok(ended) => ended.map_err(|why| failed(&why)),
            Err(error) => Err(failed(&format!("The connector broke off: {error}."))),
        }
    }
}
