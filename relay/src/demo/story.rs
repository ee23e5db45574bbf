//! The demonstration, step by step: start the parts, send two messages, show what went where.

use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use super::agent::Agent;
use super::calls::{self, Script};
use super::connector::Connector;
use super::host::Host;
use crate::admin::token::{ADMIN_TOKEN_FILE, read_text};
use crate::commands::client::{Client, Origin, segment};
use crate::commands::exit::{Code, Failure};
use crate::commands::output;
use crate::commands::signals::Signals;

/// From the start of the connector until its workspace is online.
const ONLINE_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at the status.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Tells the story, and cleans up behind it however it ends.
pub(super) async fn tell(once: bool, mut signals: Signals) -> Result<(), Failure> {
    let folder = tempfile::Builder::new()
        .prefix("relay-demo-")
        .tempdir()
        .map_err(|error| failed(&format!("A temporary folder cannot be made ({error}).")))?;
    let script = Script::begin();
    let agent = Agent::start()
        .await
        .map_err(|error| failed(&format!("The sample agent cannot listen ({error}).")))?;
    script.step("agent", &format!("listens on http://{}", agent.address()));
    let mut host = Host::start(&folder.path().join("relay"))?;
    let doors =
        format!("callers {}, connectors {} (UDP and TCP)", host.public_url(), host.tunnel());
    script.step("relay", &format!("listens: {doors}"));
    let mut connector = None;
    let mut told = tokio::select! {
        told = show(&script, &host, &agent, folder.path(), &mut connector) => told,
        code = signals.next(|| {}) => Err(Failure::signalled(code)),
    };
    if told.is_ok() && !once {
        output::line("\nAll of it keeps running until Ctrl-C.");
        tokio::select! {
            _ = signals.next(|| {}) => {}
            why = host.ended() => told = Err(failed(&why)),
        }
    }
    let disconnected = match connector {
        Some(connector) => connector.stop().await,
        None => Ok(()),
    };
    let stopped = host.stop().await;
    drop(agent);
    let cleaned = clean(folder);
    told.and(disconnected).and(stopped).and(cleaned)
}

/// Everything from the first workspace to the last event.
async fn show(
    script: &Script,
    host: &Host,
    agent: &Agent,
    folder: &Path,
    running: &mut Option<Connector>,
) -> Result<(), Failure> {
    let token = read_text(&folder.join("relay").join(ADMIN_TOKEN_FILE))
        .map_err(|error| failed(&error.to_string()))?;
    let client = Client::new(host.public_url(), Ok(token))?;
    let body = json!({"name": "demo", "runtime": "external", "external": true});
    let made = client.call(Method::POST, "/workspaces", Some(&body)).await?;
    let (id, join, public_url) =
        (text(&made, "workspace_id")?, text(&made, "join")?, text(&made, "public_url")?);
    script.step("operator → relay", &format!("POST /workspaces: {id} and a join string"));

    let folder = folder.join("connector");
    let connector = running.insert(Connector::start(join, agent.address().port(), &folder)?);
    script.step("connector → relay", "dials out by QUIC, trades the join string for a certificate");
    tokio::select! {
        online = until_online(&client, id) => online?,
        why = connector.ended() => return Err(failed(&why)),
    }
    script.step("relay", &format!("the workspace is online at {public_url}"));

    let origin = Origin::of(host.public_url())?;
    let path = public_url.strip_prefix(host.public_url()).unwrap_or("/").to_owned() + "a2a";
    calls::send(script, &origin, &path).await?;
    calls::stream(script, &origin, &path).await?;
    for line in [
        "\nAn A2A client needs no more than these:",
        &format!("  agent   {public_url}"),
        &format!("  card    {public_url}.well-known/agent-card.json"),
        "Try it:",
        &calls::curl(public_url),
    ] {
        output::line(line);
    }
    Ok(())
}

async fn until_online(client: &Client, id: &str) -> Result<(), Failure> {
    let path = format!("/workspaces/{}", segment(id));
    let begun = Instant::now();
    loop {
        let row = client.call(Method::GET, &path, None).await?;
        if row.get("status").and_then(Value::as_str) == Some("online") {
            return Ok(());
        }
        if begun.elapsed() > ONLINE_TIMEOUT {
            let reason = row.get("reason").and_then(Value::as_str).unwrap_or("no reason is known");
            return Err(failed(&format!(
                "The connector is not online after {} s: {reason}",
                ONLINE_TIMEOUT.as_secs()
            )));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

fn text<'a>(answer: &'a Value, field: &str) -> Result<&'a str, Failure> {
    let text = answer.get(field).and_then(Value::as_str);
    text.ok_or_else(|| failed(&format!("The relay's answer has no `{field}`.")))
}

fn clean(folder: TempDir) -> Result<(), Failure> {
    folder.close().map_err(|error| failed(&format!("The temporary folder remains ({error}).")))
}

/// The demonstration did not work, for this reason.
pub(super) fn failed(reason: &str) -> Failure {
    Failure::new(Code::Failed, format!("The demonstration failed. {reason}"))
}
