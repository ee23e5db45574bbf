//! Every credential of a caller, and every way to take it away: its calls end at once, however silent,
//! and nobody else's.

use super::{AT_ONCE, SOON, ended};
use serde_json::json;
use std::time::{Duration, Instant};
use tests::{
    Agent, Call, Connector, RawResponse, Refusal, World,
    http::{self, Version::Http1},
    world::message,
};
use tokio::time::timeout_at;

/// How a caller shows who it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// A caller token of the agent's workspace.
    CallerToken,
    /// A key of the organisation.
    OrgKey,
    /// The token of the calling agent's workspace.
    AgentsToken,
    /// Nothing: the call comes through the platform of the calling agent's connector.
    AgentsLink,
}

/// What the operator takes away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// The credential itself.
    It,
    /// Another of the same kind and owner.
    Another,
    /// Every credential of the calling agent's workspace.
    AllOfTheCaller,
    /// That workspace.
    TheCaller,
    /// Every credential of the workspace that is called.
    AllOfTheCalled,
}

/// What the last event of a stream says, if it ends; nothing at all where the caller's own link went.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Stays,
    Ends(&'static str),
    IsCut,
}

const ENDED: Then = Then::Ends("RELAY_UNAUTHENTICATED");
const LOST: Then = Then::Ends("RELAY_STREAM_LOST");

const TABLE: [(By, Way, Then); 14] = [
    (By::CallerToken, Way::It, ENDED),
    (By::CallerToken, Way::Another, Then::Stays),
    (By::CallerToken, Way::AllOfTheCalled, LOST),
    (By::OrgKey, Way::It, ENDED),
    (By::OrgKey, Way::Another, Then::Stays),
    (By::OrgKey, Way::AllOfTheCalled, LOST),
    (By::AgentsToken, Way::It, ENDED),
    (By::AgentsToken, Way::Another, Then::Stays),
    (By::AgentsToken, Way::AllOfTheCaller, ENDED),
    (By::AgentsToken, Way::TheCaller, ENDED),
    (By::AgentsToken, Way::AllOfTheCalled, LOST),
    (By::AgentsLink, Way::Another, Then::Stays),
    (By::AgentsLink, Way::AllOfTheCaller, Then::IsCut),
    (By::AgentsLink, Way::TheCaller, Then::IsCut),
];

#[tokio::test]
async fn what_ends_and_what_stays_of_a_callers_streams() {
    // Whoever shares the called agent's link with others is revoked before that link is.
    let (rows, last): (Vec<_>, Vec<_>) =
        TABLE.into_iter().partition(|(_, way, _)| *way != Way::AllOfTheCalled);
    let world = World::new().await;
    for (by, way, then) in rows {
        row(&world, by, way, then).await;
        assert_eq!(world.call(message("message/send", "m", "hello")).await.status, 200);
    }
    world.until_quiet().await;
    for (by, way, then) in last {
        row(&World::new().await, by, way, then).await;
    }
}

async fn row(world: &World, by: By, way: Way, then: Then) {
    eprintln!("{by:?}, {way:?}: {then:?}");
    let caller = Caller::of(world, by).await;
    let name = format!("{by:?}-{way:?}");
    let pause = if then == Then::Stays { AT_ONCE * 3 / 2 } else { SOON * 60 };
    let mut stream = caller.stream(world, &name, pause).await;
    let acknowledged = caller.take_away(world, way).await;
    if then == Then::Stays {
        stream.next_event().await.expect("the second event");
        assert_eq!(caller.call(world).await.status, 200);
        if let Some((_, connector)) = &caller.platform {
            assert_eq!(connector.stop().await, 0);
        }
        return;
    }
    let end = timeout_at((acknowledged + AT_ONCE).into(), ended(&mut stream)).await;
    let last = end.expect("a silent stream ends within a second");
    eprintln!("  the stream was gone after {:?}", acknowledged.elapsed());
    match then {
        Then::Ends(code) => assert_eq!(last.as_deref(), Some(code)),
        Then::IsCut => {
            let (_, connector) = caller.platform.as_ref().expect("a platform");
            assert_eq!(connector.process().exit_code(SOON).await, 4);
        }
        Then::Stays => {}
    }
    world.agent.until_abandoned(&name).await;
    if then == ENDED {
        let refused = caller.call(world).await;
        Refusal::new(401, "RELAY_UNAUTHENTICATED").assert_marks(&refused);
    }
}

#[tokio::test]
async fn a_call_whose_credential_ends_before_its_answer_begins_is_told_so() {
    for direct in [false, true] {
        let world = World::builder().relay_args(&["--direct-urls", "all"]).start().await;
        let home = Agent::start("never");
        let id = if direct {
            let made = json!({"name": "homed", "url": home.origin()});
            let made = world.relay.operate("POST /workspaces", Some(&made)).await;
            made["id"].as_str().expect("an id").to_owned()
        } else {
            world.workspace.workspace_id.clone()
        };
        let caller = Caller::of(&world, By::OrgKey).await;
        let headers = [("x-test-id", "w"), ("x-test-behaviour", "never")];
        let mut waits = caller.post(&world, &id, "message/send", &headers).await;
        let reached = async || match direct {
            true => home.journal().of("w").len() == 1,
            false => world.agent.of("w").len() == 1,
        };
        tests::until("the agent has it", SOON, reached).await;
        let acknowledged = caller.take_away(&world, Way::It).await;
        let answer = timeout_at((acknowledged + AT_ONCE).into(), waits.response()).await;
        let answer = answer.expect("within a second").expect("an answer");
        Refusal::maybe(401, "RELAY_UNAUTHENTICATED").assert_json_rpc(&answer, "\"c\"");
    }
}

#[tokio::test]
async fn a_credential_that_runs_out_ends_its_streams() {
    let world = World::new().await;
    let add = format!("POST /workspaces/{}/callers", world.workspace.workspace_id);
    let short = json!({"name": "short", "expires_seconds": 3});
    let made = world.relay.operate(&add, Some(&short)).await;
    let token = made["caller_token"].as_str().expect("a token").to_owned();
    let caller = Caller { base: world.relay.public_url().to_owned(), token, ..Caller::nobody() };
    let mut stream = caller.stream(&world, "s", SOON * 60).await;
    assert_eq!(ended(&mut stream).await.as_deref(), Some("RELAY_UNAUTHENTICATED"));
}

/// Somebody who calls, and what the operator knows of it.
struct Caller {
    base: String,
    token: String,
    /// The calling agent's workspace, if it is one.
    workspace: String,
    /// The calls that make one more, and revoke one, of its kind.
    make: String,
    made: serde_json::Value,
    /// What revokes it.
    revoke: String,
    platform: Option<(Agent, Connector)>,
}

impl Caller {
    fn nobody() -> Caller {
        let empty = String::new;
        let (token, workspace, make, revoke) = (empty(), empty(), empty(), empty());
        Caller { base: empty(), token, workspace, make, made: json!(null), revoke, platform: None }
    }

    async fn of(world: &World, by: By) -> Caller {
        let relay = &world.relay;
        let calling = relay.add_workspace("caller", &[]).await;
        let (workspace, called) = (calling.workspace_id.clone(), &world.workspace.workspace_id);
        let (make, made, field) = match by {
            By::CallerToken => {
                (format!("/workspaces/{called}/callers"), json!({"name": "c"}), "caller_token")
            }
            By::OrgKey => ("/keys".to_owned(), json!({"name": "k", "scope": "call"}), "key"),
            By::AgentsToken | By::AgentsLink => {
                (format!("/workspaces/{workspace}/tokens"), json!(null), "auth_token")
            }
        };
        let body = (!made.is_null()).then_some(&made);
        let shown = relay.operate(&format!("POST {make}"), body).await;
        let text = |field: &str| shown[field].as_str().expect("a credential").to_owned();
        let revoke = format!("DELETE {make}/{}", text("id"));
        let (mut base, mut token) = (relay.public_url().to_owned(), text(field));
        let mut platform = None;
        if by == By::AgentsLink {
            let agent = Agent::start("a2a");
            let connector = Connector::builder(&calling.join, agent.port());
            let connector = connector.args(["--platform-listen", "127.0.0.1:0"]);
            let connector = connector.start_online().await;
            (base, token) = (connector.platform().await, String::new());
            platform = Some((agent, connector));
        }
        Caller { base, token, workspace, make, made, revoke, platform }
    }

    async fn post(&self, world: &World, to: &str, method: &str, more: &[(&str, &str)]) -> Call {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("Content-Type", "application/json")];
        if !self.token.is_empty() {
            headers.push(("Authorization", &bearer));
        }
        headers.extend(more);
        let url = format!("{}/workspaces/{to}/a2a", self.base);
        let body = message(method, "c", "hello").to_string();
        let body = Some(body.as_bytes());
        // The platform speaks HTTP/1.1 alone.
        let call = match self.base == world.relay.public_url() {
            true => http::send("POST", &url, &headers, body).await,
            false => Http1.send("POST", &url, &headers, body).await,
        };
        call.expect("somebody is there")
    }

    /// A stream of events, each so long after the other; the first is here.
    async fn stream(&self, world: &World, name: &str, pause: Duration) -> Call {
        let (id, pause) = (&world.workspace.workspace_id, pause.as_millis().to_string());
        let headers = [("x-test-id", name), ("x-test-interval-ms", &pause)];
        let mut call = self.post(world, id, "message/stream", &headers).await;
        let head = call.head().await.expect("a head");
        assert_eq!(head.status, 200, "{head:?}");
        call.next_event().await.expect("the first event");
        call
    }

    async fn call(&self, world: &World) -> RawResponse {
        let id = &world.workspace.workspace_id;
        let mut call = self.post(world, id, "message/send", &[]).await;
        call.response().await.expect("an answer")
    }

    /// Takes away what the row says, and tells when that was acknowledged.
    async fn take_away(&self, world: &World, way: Way) -> Instant {
        let (relay, called) = (&world.relay, &world.workspace.workspace_id);
        let operation = match way {
            Way::It => self.revoke.clone(),
            Way::Another => {
                let body = (!self.made.is_null()).then_some(&self.made);
                let other = relay.operate(&format!("POST {}", self.make), body).await;
                format!("DELETE {}/{}", self.make, other["id"].as_str().expect("an id"))
            }
            Way::AllOfTheCaller => format!("DELETE /workspaces/{}/tokens", self.workspace),
            Way::TheCaller => format!("DELETE /workspaces/{}", self.workspace),
            Way::AllOfTheCalled => format!("DELETE /workspaces/{called}/tokens"),
        };
        relay.operate(&operation, None).await;
        Instant::now()
    }
}
