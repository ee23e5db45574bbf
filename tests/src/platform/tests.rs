//! The stand-in holds what it says of the platform.

use super::{Platform, Times};
use crate::{Agent, RawAgent, RawBehaviour, agent::End, http, until};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

const URL: &str = "https://agent.example.com/molecule/a_x";

/// A platform with one workspace whose agent listens at this port.
fn calling(port: u16) -> (Platform, String, String) {
    let quick = Duration::from_millis(300);
    let times = Times { patience: quick, delegate_again: quick, ..Times::default() };
    let platform = Platform::builder().times(times).start();
    platform.resolve("agent.example.com", SocketAddr::from(([127, 0, 0, 1], port)));
    let (id, token) = platform.make("agent");
    platform.set_url(&id, URL);
    (platform, id, token)
}

async fn post(platform: &Platform, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let url = format!("{}{path}", platform.url());
    let answer = http::post(&url, &headers, body.to_string().as_bytes()).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn registration(id: &str) -> Value {
    json!({"id": id, "url": URL, "agent_card": {"name": "agent"}})
}

#[tokio::test]
async fn a_token_guards_its_workspace_and_a_deleted_one_is_a_trap() {
    let platform = Platform::start();
    let (id, token) = platform.make("one");
    let admin = platform.admin_token();
    for (who, status) in [(None, 401), (Some(&*admin), 401), (Some(&*token), 200)] {
        assert_eq!(post(&platform, "/registry/register", who, &registration(&id)).await.0, status);
    }
    platform.pause(&id);
    post(&platform, "/registry/heartbeat", Some(&token), &json!({"workspace_id": id})).await;
    assert_eq!(platform.rows()[0].status, "paused", "no heartbeat lifts a pause");
    post(&platform, "/registry/register", Some(&token), &registration(&id)).await;
    assert_eq!(platform.rows()[0].status, "online", "a registration does");

    platform.delete(&id);
    let beat = json!({"workspace_id": id});
    let beaten = post(&platform, "/registry/heartbeat", Some(&token), &beat).await;
    assert_eq!(beaten.0, 200, "for ever");
    let (status, decoy) = post(&platform, "/registry/register", None, &registration(&id)).await;
    assert_eq!(status, 200);
    assert!(!platform.is_live(&id, decoy["auth_token"].as_str().unwrap()));
}

#[tokio::test]
async fn answers_of_agents_become_what_the_platform_makes_of_them() {
    let call = json!({"method": "message/send", "params": {"message": {"parts": []}}});
    let agent = Agent::start("echo");
    let (platform, id, _) = calling(agent.port());
    // The mock agent answers at its own paths only.
    platform.set_url(&id, "https://agent.example.com/test/echo");
    let echoed = platform.call(&id, &call).await;
    assert_eq!(echoed.status, 200);
    assert_eq!(echoed.json()["jsonrpc"], json!("2.0"));
    assert!(echoed.json()["params"]["message"]["messageId"].is_string());
    platform.set_url(&id, "https://agent.example.com/test/status:418");
    let refused = platform.call(&id, &call).await;
    assert_eq!((refused.status, refused.json()), (418, json!({"error": "I'm a teapot"})));
    platform.set_url(&id, "https://agent.example.com/test/big:11000000");
    assert_eq!(platform.call(&id, &call).await.body.len(), 10 * 1024 * 1024, "cut in silence");
    for host in ["localhost:1", "0.0.0.0:1", "127.0.0.1:1"] {
        platform.set_url(&id, &format!("http://{host}/"));
        let refused = platform.call(&id, &call).await;
        let why = json!({"error": "workspace URL is not publicly routable"});
        assert_eq!((refused.status, refused.json()), (502, why), "{host}");
    }
    platform.pause(&id);
    assert_eq!(platform.call(&id, &call).await.status, 503);
}

#[tokio::test]
async fn silence_is_queued_and_lost_the_second_time_and_a_cut_answer_is_sent_again() {
    let agent = Agent::start("never");
    let (platform, id, token) = calling(agent.port());
    platform.set_url(&id, "https://agent.example.com/test/never");
    let call = json!({"method": "message/send", "params": {"message": {"messageId": "m-1"}}});
    let queued = platform.call(&id, &call).await;
    assert_eq!((queued.status, &queued.json()["queued"]), (202, &json!(true)));
    let beat = json!({"workspace_id": id, "active_tasks": 0});
    assert_eq!(post(&platform, "/registry/heartbeat", Some(&token), &beat).await.0, 200);
    until("it counts as completed", Duration::from_secs(5), async || {
        platform.queued()[0].status == "completed"
    })
    .await;
    assert_eq!(agent.journal().deliveries().len(), 2);

    drop(agent);
    let refused = platform.delegate(&id, "m-2", "work").await;
    assert_eq!(refused.json(), json!({"error": "failed to reach workspace agent"}));
    let half = RawAgent::start(RawBehaviour::Half { promised: 100, sent: 10, end: End::Fin });
    let (platform, id, _) = calling(half.port());
    let cut = platform.delegate(&id, "m-3", "work").await;
    assert_eq!((cut.status, &cut.json()["delivery_confirmed"]), (502, &json!(true)));
    assert_eq!(half.journal().deliveries().len(), 2, "delivered, and sent again");
}
