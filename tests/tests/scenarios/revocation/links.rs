//! Every credential of a link, and every way to take it away: what ends, what stays, and what lets the
//! agent back in.

use super::{AT_ONCE, SOON, ended};
use serde_json::json;
use std::time::{Duration, Instant};
use tests::{
    Agent, Call, Connector, Cut, RawResponse, Relay,
    baseline::Baseline,
    connector::Status,
    http::{self, Version::Http1},
    operator::Output,
    until,
    world::message,
};
use tokio::time::timeout_at;

/// With what a connector dials.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    /// What a join string was traded for.
    Certificate,
    /// A workspace token in a file of its owner.
    TokenFile,
    /// The token that its agent's registration gave, kept in its state directory.
    Registered,
}

/// How the operator takes something away.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `DELETE /workspaces/{id}`.
    Remove,
    /// `relay workspace remove`.
    RemoveByCommand,
    /// `DELETE /workspaces/{id}/tokens`.
    RevokeAll,
    /// `relay workspace revoke`.
    RevokeAllByCommand,
    /// `DELETE /workspaces/{id}/tokens/{tokenId}`: the one that the link came with.
    RevokeIt,
    /// The same of another token of the same workspace.
    RevokeAnother,
}

/// What becomes of the link and all that is open on it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// It goes on, and nothing on it notices.
    Stays,
    /// It ends, and a new credential lets the agent back in.
    Ends,
    /// It ends for good: there is no workspace any more.
    Gone,
}

const TABLE: [(Held, Way, Then); 17] = [
    (Held::Certificate, Way::RevokeAnother, Then::Stays),
    (Held::Certificate, Way::RevokeAll, Then::Ends),
    (Held::Certificate, Way::RevokeAllByCommand, Then::Ends),
    (Held::Certificate, Way::Remove, Then::Gone),
    (Held::Certificate, Way::RemoveByCommand, Then::Gone),
    (Held::TokenFile, Way::RevokeAnother, Then::Stays),
    (Held::TokenFile, Way::RevokeIt, Then::Ends),
    (Held::TokenFile, Way::RevokeAll, Then::Ends),
    (Held::TokenFile, Way::RevokeAllByCommand, Then::Ends),
    (Held::TokenFile, Way::Remove, Then::Gone),
    (Held::TokenFile, Way::RemoveByCommand, Then::Gone),
    (Held::Registered, Way::RevokeAnother, Then::Stays),
    (Held::Registered, Way::RevokeIt, Then::Ends),
    (Held::Registered, Way::RevokeAll, Then::Ends),
    (Held::Registered, Way::RevokeAllByCommand, Then::Ends),
    (Held::Registered, Way::Remove, Then::Gone),
    (Held::Registered, Way::RemoveByCommand, Then::Gone),
];

#[tokio::test]
async fn what_ends_and_what_stays_of_a_link_by_certificate() {
    rows_of(Held::Certificate).await;
}

#[tokio::test]
async fn what_ends_and_what_stays_of_a_link_by_token() {
    rows_of(Held::TokenFile).await;
}

#[tokio::test]
async fn what_ends_and_what_stays_of_a_link_by_registration() {
    rows_of(Held::Registered).await;
}

async fn rows_of(held: Held) {
    let relay = Relay::start().await;
    for (_, way, then) in TABLE.into_iter().filter(|(of, ..)| *of == held) {
        eprintln!("{held:?}, {way:?}: {then:?}");
        let mut scene = Scene::of(&relay, held).await;
        match then {
            Then::Stays => scene.assert_that_it_stays(way).await,
            Then::Ends => {
                scene.assert_that_it_ends(way, then).await;
                scene.assert_that_a_new_credential_lets_it_in().await;
            }
            Then::Gone => {
                scene.assert_that_it_ends(way, then).await;
                scene.assert_that_nothing_lets_it_in().await;
            }
        }
    }
}

/// A workspace whose connector is online and serves the platform.
struct Scene<'r> {
    relay: &'r Relay,
    held: Held,
    connector: Connector,
    online: Status,
    platform: String,
    id: String,
    _agent: Agent,
}

impl Scene<'_> {
    async fn of(relay: &Relay, held: Held) -> Scene<'_> {
        let (agent, made) = (Agent::start("a2a"), relay.add_workspace("subject", &[]).await);
        let ca = super::ca_of(&made);
        let port = agent.port();
        let platform = ["--platform-listen", "127.0.0.1:0"];
        let mut id = made.workspace_id.clone();
        let connector = match held {
            Held::Certificate => Connector::builder(&made.join, port).args(platform).start(),
            Held::TokenFile => {
                let token = new_token(relay, &id).await;
                Connector::without_join(port).token(&token.text, relay, &ca).args(platform).start()
            }
            Held::Registered => Connector::without_join(port).platform_of(relay, &ca).start(),
        };
        let platform = connector.platform().await;
        if held == Held::Registered {
            id = register_anew(relay, &platform).await;
        }
        let online = connector.until_online().await;
        assert_eq!(online.workspace_id.as_ref(), Some(&id));
        Scene { relay, held, connector, online, platform, id, _agent: agent }
    }

    /// A stream of events, each so long after the other; the first is here.
    async fn stream(&self, pause: Duration) -> Call {
        let pause = pause.as_millis().to_string();
        let headers = [("Content-Type", "application/json"), ("x-test-interval-ms", &pause)];
        let body = message("message/stream", "s", "silence").to_string();
        let call = http::send("POST", &self.endpoint(), &headers, Some(body.as_bytes())).await;
        let mut call = call.expect("the relay is there");
        call.head().await.expect("a head");
        call.next_event().await.expect("the first event");
        call
    }

    fn endpoint(&self) -> String {
        format!("{}a2a", self.online.public_url.as_deref().expect("a URL"))
    }

    async fn call(&self) -> RawResponse {
        let call = message("message/send", "m", "hello");
        http::post_json(&self.endpoint(), &call).await.expect("an answer")
    }

    /// The agent asks the platform about itself.
    async fn ask(&self) -> Result<RawResponse, Cut> {
        Http1.get(&format!("{}/workspaces/{}", self.platform, self.id)).await
    }

    /// Takes away what the row says, and tells when that was acknowledged.
    async fn take_away(&self, way: Way) -> Instant {
        let (relay, id) = (self.relay, self.id.as_str());
        let done = |output: Output| assert_eq!(output.code, 0, "{output:?}");
        match way {
            Way::Remove => drop(relay.operate(&format!("DELETE /workspaces/{id}"), None).await),
            Way::RemoveByCommand => done(relay.cli(&["workspace", "remove", id]).await),
            Way::RevokeAll => {
                drop(relay.operate(&format!("DELETE /workspaces/{id}/tokens"), None).await);
            }
            Way::RevokeAllByCommand => done(relay.cli(&["workspace", "revoke", id]).await),
            Way::RevokeIt => {
                let listed = relay.operate(&format!("GET /workspaces/{id}/tokens"), None).await;
                let token = listed["tokens"][0]["id"].as_str().expect("the only token");
                let revoke = format!("DELETE /workspaces/{id}/tokens/{token}");
                drop(relay.operate(&revoke, None).await);
            }
            Way::RevokeAnother => {
                let token = new_token(relay, id).await.id;
                let revoke = format!("DELETE /workspaces/{id}/tokens/{token}");
                drop(relay.operate(&revoke, None).await);
            }
        }
        Instant::now()
    }

    async fn assert_that_it_stays(&self, way: Way) {
        // The next event comes after all that revoking does is done.
        let mut stream = self.stream(AT_ONCE * 3 / 2).await;
        self.take_away(way).await;
        stream.next_event().await.expect("the second event");
        assert_eq!(self.connector.until_online().await.since, self.online.since, "the same link");
        assert_eq!(self.ask().await.expect("the platform").status, 200);
        assert_eq!(self.call().await.status, 200);
    }

    async fn assert_that_it_ends(&self, way: Way, then: Then) {
        let mut stream = self.stream(SOON * 60).await;
        let links = Baseline::now(self.relay).await.expect("a baseline").links;
        let acknowledged = self.take_away(way).await;
        let (end, ()) = tokio::join!(
            timeout_at((acknowledged + AT_ONCE).into(), ended(&mut stream)),
            until("the link ends", AT_ONCE, async || {
                Baseline::now(self.relay).await.is_some_and(|now| now.links < links)
            }),
        );
        let last = end.expect("a silent stream ends within a second");
        eprintln!("  stream and link were gone after {:?}", acknowledged.elapsed());
        assert_eq!(last.expect("it is told why"), "RELAY_STREAM_LOST");
        self.assert_refused("REVOKED").await;
        assert!(matches!(self.ask().await, Err(Cut::Unreachable)), "the platform went with it");
        let refused = self.call().await;
        let expected = match then {
            Then::Gone => (404, Some("RELAY_UNKNOWN_WORKSPACE")),
            Then::Stays | Then::Ends => (503, Some("RELAY_AGENT_OFFLINE")),
        };
        assert_eq!((refused.status, refused.relay_error()), expected, "{refused:?}");
        if self.held == Held::Registered {
            let told = |line: &String| line.contains("let the agent register again");
            // Its end may be seen before its last line.
            let says = async || self.connector.process().lines().iter().any(told);
            until("it says what to do", SOON, says).await;
        }
    }

    /// The connector has ended, and its supervisor is told to let it be.
    async fn assert_refused(&self, reason: &str) {
        assert_eq!(self.connector.process().exit_code(SOON).await, 4);
        let refused = self.connector.until_state("refused").await;
        assert_eq!(refused.reason.as_deref(), Some(reason));
    }

    async fn assert_that_a_new_credential_lets_it_in(&mut self) {
        let id = self.id.clone();
        self.connector.start_again();
        match self.held {
            Held::Certificate => {
                self.assert_refused("REVOKED").await;
                let fresh = self.relay.cli(&["workspace", "join", &id, "--json"]).await.json();
                let join = fresh["join"].as_str().expect("a join string");
                self.connector.start_again_with_join(join);
            }
            Held::TokenFile => {
                self.assert_refused("REVOKED").await;
                let token = new_token(self.relay, &id).await;
                self.connector.start_again_with_token(&token.text);
            }
            Held::Registered => {
                let platform = self.connector.platform().await;
                let again = register(self.relay, &platform, &id).await;
                assert_eq!(again.status, 200, "{again:?}");
            }
        }
        let online = self.connector.until_online().await;
        assert_eq!(
            (online.workspace_id, online.public_url),
            (Some(id), self.online.public_url.clone())
        );
        assert_eq!(self.call().await.status, 200);
    }

    async fn assert_that_nothing_lets_it_in(&mut self) {
        let (relay, id) = (self.relay, self.id.clone());
        for call in ["join", "tokens"] {
            let call = format!("POST /workspaces/{id}/{call}");
            let refused = relay.api(&relay.admin_token(), &call, None).await;
            let seen = (refused.status, refused.relay_error());
            assert_eq!(seen, (410, Some("RELAY_WORKSPACE_GONE")), "{call}: {refused:?}");
        }
        self.connector.start_again();
        if self.held != Held::Registered {
            return self.assert_refused("WORKSPACE_GONE").await;
        }
        // Its agent may begin anew, as another one.
        let platform = self.connector.platform().await;
        let refused = register(relay, &platform, &id).await;
        let seen = (refused.status, refused.relay_error());
        assert_eq!(seen, (410, Some("RELAY_WORKSPACE_GONE")), "{refused:?}");
        let other = register_anew(relay, &platform).await;
        assert_eq!(self.connector.until_online().await.workspace_id, Some(other));
    }
}

/// A workspace token, shown once.
struct Token {
    id: String,
    text: String,
}

async fn new_token(relay: &Relay, id: &str) -> Token {
    let made = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
    let field = |name: &str| made[name].as_str().expect("a token").to_owned();
    Token { id: field("id"), text: field("auth_token") }
}

/// The agent makes a workspace through its platform and registers as that; its id.
async fn register_anew(relay: &Relay, platform: &str) -> String {
    let made = post(relay, platform, "/workspaces", &json!({"name": "registered"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let registered = register(relay, platform, &id).await;
    assert_eq!(registered.status, 200, "{registered:?}");
    id
}

async fn register(relay: &Relay, platform: &str, id: &str) -> RawResponse {
    let body = json!({"id": id, "url": "https://agent.example", "agent_card": {"name": "a"}});
    post(relay, platform, "/registry/register", &body).await
}

async fn post(relay: &Relay, platform: &str, path: &str, body: &serde_json::Value) -> RawResponse {
    let admin = format!("Bearer {}", relay.admin_token());
    let headers = [("Authorization", &admin[..]), ("Content-Type", "application/json")];
    let url = format!("{platform}{path}");
    Http1.post(&url, &headers, body.to_string().as_bytes()).await.expect("the platform")
}
