//! `relay serve`: runs the relay until a signal, and says where it is.

use super::exit::{Code, Failure};
use super::signals::Signals;
use super::{check, output};
use crate::Relay;
use crate::addresses::Addresses;
use crate::config::{Config, ServeArgs};

/// Runs the relay with these arguments until it is told to stop.
pub fn run(args: ServeArgs) -> Result<(), Failure> {
    let (config, logging) = check::read(args)?;
    logging.begin();
    runtime()?.block_on(serve(&config))
}

/// A runtime for what waits and decides little; the relay's shards have their own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Code::Failed, format!("The process cannot begin its work: {error}."))
    })
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let relay = Relay::start(config)
        .map_err(|error| Failure::new(Code::Configuration, error.to_string()))?;
    greet(relay.addresses(), &config.data_dir.display().to_string());
    let reload = relay.reload();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = relay.run_until(async {
        // An error means that the sender is gone, which is a reason to stop as well.
        let _ = stopped.await;
    });
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return ended.map_err(|why| Failure::new(Code::Failed, why)),
        _ = signals.next(|| reload.ask()) => {}
    }
    // An error means that it has ended by itself; that shows below.
    let _ = stop.send(());
    tokio::select! {
        ended = running => ended.map_err(|why| Failure::new(Code::Failed, why)),
        code = signals.next(|| {}) => Err(Failure::signalled(code)),
    }
}

fn greet(addresses: &Addresses, data_dir: &str) {
    for text in [
        "The relay is up.".to_owned(),
        format!("  callers      {}", addresses.public_url),
        format!("  connectors   {} (UDP and TCP)", addresses.tunnel),
        format!("  admin        http://{}", addresses.admin),
        format!("  data         {data_dir}"),
        format!("Next, in another terminal: {}", next_step(addresses, data_dir)),
    ] {
        output::line(&text);
    }
}

/// The command that adds the first workspace here, with what differs from its defaults.
fn next_step(addresses: &Addresses, data_dir: &str) -> String {
    let mut command = "relay workspace add NAME".to_owned();
    if addresses.public_url.as_str().starts_with("https:") {
        command.push_str(&format!(" --url {}", addresses.public_url));
    } else if addresses.http.port() != 8080 {
        command.push_str(&format!(" --url http://127.0.0.1:{}", addresses.http.port()));
    }
    if data_dir != "./relay-data" {
        command.push_str(&format!(" --data-dir {data_dir}"));
    }
    command
}
