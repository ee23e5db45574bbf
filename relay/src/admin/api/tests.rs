//! Tests of the API: every call's success and each of its refusals, on a registry of its own.

use certs::JoinString;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::admin::AdminToken;
use crate::clock::unix_ms;
use crate::direct_url::{DirectUrls, Rules};
use crate::registry::{JoinRefusal, SealingKeys};

mod credentials;
mod refusals;
mod tutorial;

const TOKEN: &str = "radm_test";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

struct Desk {
    api: Arc<Api>,
    _folder: TempDir,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = SealingKeys::read_or_make(folder.path()).unwrap();
        let registry = Registry::open(folder.path().join("relay.db"), keys, unix_ms()).unwrap();
        let api = Api {
            registry: registry.clone(),
            live: LiveLinks::default(),
            pulses: Pulses::default(),
            refusals: Refusals::default(),
            repeats: Repeats::default(),
            kept_cards: Arc::default(),
            platform: None,
            delegations: Delegations::new().0,
            looks: Looks::new(Rules {
                policy: DirectUrls::Public,
                listeners: Vec::new(),
                public: "https://relay.example.com".parse().unwrap(),
            }),
            public: "https://relay.example.com".parse().unwrap(),
            endpoints: vec!["relay.example.com:4433".into()],
            relay_ca: CaFingerprint::of(b"ca"),
            doorman: Doorman { registry, token: AdminToken::new(TOKEN).unwrap() },
            metrics: Arc::new(Metrics::default()),
        };
        Self { api: Arc::new(api), _folder: folder }
    }

    async fn raw(&self, call: &str, fields: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let (method, path) = call.split_once(' ').unwrap();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, q)| (path, Some(q)));
        let headers = fields.iter().map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        });
        let headers: HeaderMap = headers.collect();
        let principal = self.api.doorman.judge(&headers).ok().flatten();
        let asker = principal.map(|principal| Asker { principal, source: None, over_link: false });
        let method = &method.parse().unwrap();
        let request = Request { method, path, query, headers: &headers, body: body.as_bytes() };
        self.api.handle(&request, asker.as_ref()).await
    }

    /// A call with another credential; its status and its body.
    async fn ask_as(&self, token: &str, call: &str, body: &str) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        let fields = [JSON, &[("authorization", bearer.as_str())]].concat();
        let answer = self.raw(call, &fields, body).await;
        (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap())
    }

    /// A call with the admin token; its status and its body.
    async fn ask(&self, call: &str, body: &str) -> (u16, Value) {
        self.ask_as(TOKEN, call, body).await
    }

    /// A call that is refused; its status, code and sentence.
    async fn refused(&self, call: &str, body: &str) -> (u16, String, String) {
        let (status, body) = self.ask(call, body).await;
        assert_eq!(body["status"], status, "{body}");
        assert_eq!(body["error"], body["detail"]);
        let text = |field: &str| body[field].as_str().unwrap().to_owned();
        (status, text("code"), text("detail"))
    }

    async fn add(&self, body: Value) -> Value {
        let (status, answer) = self.ask("POST /workspaces", &body.to_string()).await;
        assert_eq!(status, 201, "{answer}");
        answer
    }
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

#[test]
fn the_api_owns_its_paths_and_no_others() {
    for own in ["/workspaces", "/workspaces/x/y", "/registry/register", "/keys", "/events"] {
        assert!(Api::owns(own), "{own}");
    }
    for other in ["/", "/agents/x", "/workspacesx", "/a2a", "/healthz"] {
        assert!(!Api::owns(other), "{other}");
    }
}

#[tokio::test]
async fn a_new_workspace_comes_with_a_url_and_a_join_string() {
    let desk = Desk::open();
    let made = desk
        .add(json!({"name": "Grüße", "runtime": "external", "external": true,
            "url": "http://127.0.0.1:9/", "alias": "hi", "callers": "token", "x": {"y": 1}}))
        .await;
    let id = text(&made, "workspace_id");
    assert_eq!(made["id"], id.as_str());
    assert_eq!((&made["name"], &made["alias"]), (&json!("Grüße"), &json!("hi")));
    assert_eq!((&made["status"], &made["external"]), (&json!("provisioning"), &json!(true)));
    assert_eq!(
        (&made["runtime"], &made["url"]),
        (&json!("external"), &json!("http://127.0.0.1:9/"))
    );
    assert!(text(&made, "public_url").starts_with("https://relay.example.com/agents/a_"));

    let join: JoinString = text(&made, "join").parse().unwrap();
    assert_eq!(join.endpoints, desk.api.endpoints);
    assert_eq!((join.ca, join.workspace.to_string()), (desk.api.relay_ca, id));
    let hours_left = (join.expires_at - u64::try_from(unix_ms()).unwrap() / 1000) / 3600;
    assert!((23..=24).contains(&hours_left), "{hours_left} h");
    let redeem = |key| {
        desk.api.registry.redeem_join_token(join.token.hash(), [key; 32], unix_ms(), Actor::relay())
    };
    assert_eq!(redeem(1).await.unwrap(), Ok(join.workspace));
    assert_eq!(redeem(2).await.unwrap(), Err(JoinRefusal::Used));
}

#[tokio::test]
async fn a_workspace_is_found_by_id_alias_and_name() {
    let desk = Desk::open();
    let made = desk.add(json!({"name": "my agent", "alias": "mine", "callers": "open"})).await;
    let id = text(&made, "id");
    for name in [id.as_str(), "mine", "my%20agent"] {
        let (status, row) = desk.ask(&format!("GET /workspaces/{name}"), "").await;
        assert_eq!((status, &row["workspace_id"]), (200, &json!(id)), "{name}");
        assert_eq!(row["status"], "provisioning");
        assert_eq!((&row["connected"], &row["transport"]), (&json!(false), &Value::Null));
        assert_eq!((&row["callers"], &row["expose"]), (&json!("open"), &json!("a2a")));
        assert_eq!(row["tunnel"], "relay.example.com:4433");
        assert!(text(&row, "relay_ca").starts_with("sha256:"));
        assert!(row["reason"].is_string() && row["last_seen_seconds"].is_null());
    }
    let (status, all) = desk.ask("GET /workspaces", "").await;
    assert_eq!((status, all.as_array().unwrap().len()), (200, 1));
}

#[tokio::test]
async fn names_that_lead_nowhere_or_to_several_are_told_apart() {
    let desk = Desk::open();
    let first = text(&desk.add(json!({"name": "twin"})).await, "id");
    desk.add(json!({"name": "twin"})).await;
    let (status, body) = desk.ask("DELETE /workspaces/twin", "").await;
    assert_eq!((status, &body["code"]), (409, &json!("RELAY_DUPLICATE")));
    assert_eq!(body["ids"].as_array().unwrap().len(), 2);

    let (status, code, detail) = desk.refused("GET /workspaces/nobody", "").await;
    assert_eq!((status, code.as_str()), (404, "RELAY_UNKNOWN_WORKSPACE"));
    assert!(detail.contains("`nobody`"));

    let (status, removed) = desk.ask(&format!("DELETE /workspaces/{first}"), "").await;
    assert_eq!((status, &removed["status"]), (200, &json!("removed")));
    for call in ["GET /workspaces/{}", "DELETE /workspaces/{}", "POST /workspaces/{}/join"] {
        let (status, code, _) = desk.refused(&call.replace("{}", &first), "").await;
        assert_eq!((status, code.as_str()), (410, "RELAY_WORKSPACE_GONE"), "{call}");
    }
    // The name means only the other one now.
    assert_eq!(desk.ask("GET /workspaces/twin", "").await.0, 200);
}

#[tokio::test]
async fn a_join_string_has_its_uses_and_its_time() {
    let desk = Desk::open();
    desk.add(json!({"name": "a"})).await;
    let body = r#"{"uses": 3, "expires_seconds": 60}"#;
    let (status, answer) = desk.ask("POST /workspaces/a/join", body).await;
    assert_eq!((status, &answer["join_uses"]), (200, &json!(3)));
    assert_eq!(
        text(&answer, "join").parse::<JoinString>().unwrap().workspace.to_string(),
        text(&answer, "workspace_id")
    );
    assert_eq!(desk.ask("POST /workspaces/a/join", "").await.0, 200);
    for wrong in [r#"{"uses":0}"#, r#"{"uses":"1"}"#, r#"{"uses":1.5}"#, r#"{"expires_seconds":0}"#]
    {
        assert_eq!(desk.refused("POST /workspaces/a/join", wrong).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_change_changes_what_it_names() {
    let desk = Desk::open();
    let made = desk.add(json!({"name": "a"})).await;
    let path = format!("PATCH /workspaces/{}", text(&made, "id"));
    let body = r#"{"name":"b","alias":"bee","callers":"token","expose":"all"}"#;
    let (status, row) = desk.ask(&path, body).await;
    assert_eq!(status, 200, "{row}");
    assert_eq!((&row["name"], &row["alias"]), (&json!("b"), &json!("bee")));
    assert_eq!((&row["callers"], &row["expose"]), (&json!("token"), &json!("all")));
    assert_eq!(row["public_url"], made["public_url"]);

    let (_, row) = desk.ask(&path, r#"{"new_address":true}"#).await;
    assert_ne!(row["public_url"], made["public_url"]);
    assert_eq!(row["alias"], "bee");
    let (_, row) = desk.ask(&path, r#"{"alias":null}"#).await;
    assert_eq!((&row["alias"], &row["name"]), (&Value::Null, &json!("b")));
}

#[tokio::test]
async fn an_alias_is_given_once_and_with_a_policy() {
    let desk = Desk::open();
    desk.add(json!({"name": "a", "alias": "one", "callers": "open"})).await;
    let b = text(&desk.add(json!({"name": "b"})).await, "id");
    let (status, code, detail) =
        desk.refused("POST /workspaces", r#"{"name":"c","alias":"two"}"#).await;
    assert_eq!((status, code.as_str()), (400, "RELAY_BAD_REQUEST"));
    assert!(detail.contains("callers"), "{detail}");
    let path = format!("PATCH /workspaces/{b}");
    assert_eq!(desk.refused(&path, r#"{"alias":"two"}"#).await.0, 400);
    let taken = r#"{"name":"c","alias":"one","callers":"open"}"#;
    for call in ["POST /workspaces", &path] {
        let (status, code, _) = desk.refused(call, taken).await;
        assert_eq!((status, code.as_str()), (409, "RELAY_DUPLICATE"), "{call}");
    }
    let (_, row) = desk.ask(&format!("GET /workspaces/{b}"), "").await;
    assert_eq!(row["name"], "b", "a refused change leaves nothing behind");
}

#[tokio::test]
async fn a_paused_workspace_says_so_until_it_is_resumed() {
    let desk = Desk::open();
    desk.add(json!({"name": "a"})).await;
    assert_eq!(desk.ask("POST /workspaces/a/pause", "").await.1["status"], "paused");
    let (_, row) = desk.ask("GET /workspaces/a", "").await;
    assert_eq!((&row["status"], &row["paused"]), (&json!("paused"), &json!(true)));
    assert_eq!(desk.ask("POST /workspaces/a/resume", "{}").await.1["status"], "provisioning");
}

#[tokio::test]
async fn revoking_ends_every_join_string() {
    let desk = Desk::open();
    let made = desk.add(json!({"name": "a"})).await;
    let (status, answer) = desk.ask("DELETE /workspaces/a/tokens", "").await;
    assert_eq!((status, &answer["status"]), (200, &json!("revoked")));
    let join: JoinString = text(&made, "join").parse().unwrap();
    let redeemed = desk
        .api
        .registry
        .redeem_join_token(join.token.hash(), [1; 32], unix_ms(), Actor::relay())
        .await;
    assert_eq!(redeemed.unwrap(), Err(JoinRefusal::Unknown));
    assert_eq!(desk.ask("GET /workspaces/a", "").await.0, 200);
}
