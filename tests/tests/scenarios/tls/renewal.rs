//! A certificate that is renewed under a running relay: nobody's connection ends for it.

use super::{Files, workspace};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{fs, time::Duration};
use tests::{Agent, Connector, Relay, operator::WorkspaceHandle, refusal::call_with_id, until};

/// Well beyond the time between two looks at the files.
const SOON: Duration = Duration::from_secs(30);
const RENEWED: &str = "new callers are shown the new certificate";
const KEPT: &str = "callers are shown the certificate of before";

impl Files {
    /// Takes the place of these files.
    fn replace(&self, old: &Files) {
        for (new, old) in [(self.certificate(), old.certificate()), (self.key(), old.key())] {
            fs::copy(new, old).expect("a file in its place");
        }
    }
}

/// A caller whose connection lasts.
struct Lasting(http1::SendRequest<Full<Bytes>>);

impl Lasting {
    async fn of(files: &Files, relay: &Relay) -> Lasting {
        let stream = files.dial(relay, &["http/1.1"]).await.expect("TLS");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Lasting(sender)
    }

    async fn calls(&mut self, relay: &Relay, workspace: &WorkspaceHandle) {
        let path = workspace.endpoint().strip_prefix(relay.public_url()).map(str::to_owned);
        let body = Full::new(Bytes::from(call_with_id("7")));
        let request = Request::post(path.expect("a URL of the relay"))
            .header("host", HeaderValue::try_from(relay.http().to_string()).expect("a host"))
            .header("content-type", "application/json")
            .body(body)
            .expect("a request");
        let answer = self.0.send_request(request).await.expect("an answer on the same connection");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().collect().await.expect("a whole body");
    }
}

#[tokio::test]
async fn new_callers_see_the_new_one_and_old_connections_go_on() {
    let (old, new, newest) = (Files::new(), Files::new(), Files::new());
    let agent = Agent::start("a2a");
    let relay = Relay::builder().args(old.args()).start().await;
    let workspace = workspace(&relay, &old, &[]).await;
    let connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
    let online_since = connector.status().expect("a status").since;
    let mut caller = Lasting::of(&old, &relay).await;
    caller.calls(&relay, &workspace).await;

    new.replace(&old);
    relay.process().hang_up();
    relay.process().wait_for_line(|line| line.contains(RENEWED), SOON).await;
    let mut second = Lasting::of(&new, &relay).await;
    second.calls(&relay, &workspace).await;
    caller.calls(&relay, &workspace).await;

    // Files of no use change nothing, and the operator hears of it.
    fs::write(old.key(), "nonsense").expect("a file");
    relay.process().hang_up();
    let said = relay.process().wait_for_line(|line| line.contains(KEPT), SOON).await;
    assert!(said.contains("key.pem") && said.contains("no private key"), "{said}");
    assert!(new.dial(&relay, &["h2"]).await.is_ok());

    // Without a signal, too, a change is seen.
    newest.replace(&old);
    until("the newest certificate is shown", SOON, async || {
        newest.dial(&relay, &["h2"]).await.ok()
    })
    .await;
    assert!(new.dial(&relay, &["h2"]).await.is_err());
    caller.calls(&relay, &workspace).await;
    second.calls(&relay, &workspace).await;
    assert_eq!(connector.status().expect("a status").since, online_since);
}

#[tokio::test]
async fn a_relay_without_a_certificate_outlives_the_signal_and_says_that_there_is_nothing_to_read()
{
    let relay = Relay::start().await;
    relay.process().hang_up();
    relay.process().wait_for_line(|line| line.contains("nothing to read again"), SOON).await;
    assert!(relay.process().is_running());
}
