//! Tests of the feed on a registry of its own, with paused time.

use shared::ids::WorkspaceId;

use super::*;
use crate::admin::testing::api;
use crate::registry::{Actor, NewWorkspace, PolicyChange};

struct Desk {
    feed: Arc<Feed>,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { feed: Arc::new(Feed::new(Arc::new(api(folder.path())))), _folder: folder }
    }

    async fn add(&self, name: &str) -> WorkspaceId {
        let new = NewWorkspace::named(name.to_owned(), 1).unwrap();
        self.feed.api.registry.create_workspace(new, None, 1, Actor::relay()).await.unwrap().id
    }

    async fn pause(&self, id: WorkspaceId) {
        let change = PolicyChange { paused: Some(true), ..PolicyChange::default() };
        self.feed.api.registry.set_policies(id, change, 1, Actor::relay()).await.unwrap();
    }

    /// What `story` answers, while the feed runs.
    async fn while_it_runs<T>(&self, story: impl Future<Output = T>) -> T {
        tokio::select! {
            () = self.feed.run() => unreachable!("it runs for ever"),
            told = story => told,
        }
    }
}

async fn text(subscription: &mut Subscription) -> String {
    String::from_utf8(subscription.next().await.to_vec()).unwrap()
}

/// The event of a frame and its id.
fn event(frame: &str) -> (Value, String) {
    let field = |name| frame.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap();
    (serde_json::from_str(field("data: ")).unwrap(), field("id: ").to_owned())
}

#[tokio::test]
async fn a_follower_hears_of_each_change_once_and_goes_on_where_it_was() {
    let desk = Desk::open();
    let first = desk.add("first").await;
    desk.while_it_runs(async {
        let mut all = desk.feed.subscribe(None, None).unwrap();
        assert!(text(&mut all).await.starts_with("event: ready\n"), "what is there is no event");
        let second = desk.add("second").await;
        let (made, id) = event(&text(&mut all).await);
        assert_eq!(made["event"], "WORKSPACE_PROVISIONING");
        assert_eq!(
            (&made["payload"]["name"], &made["workspace_id"]),
            (&json!("second"), &json!(second))
        );
        assert!(made["timestamp"].as_str().unwrap().ends_with('Z'), "{made}");

        let mut one = desk.feed.subscribe(Some(second), None).unwrap();
        assert!(text(&mut one).await.starts_with("event: ready\n"));
        desk.pause(first).await;
        assert_eq!(event(&text(&mut all).await).0["event"], "WORKSPACE_PAUSED");
        desk.feed.api.registry.remove_workspace(second, 2, Actor::relay()).await.unwrap();
        let (removed, _) = event(&text(&mut one).await);
        assert_eq!(
            (&removed["event"], &removed["payload"]),
            (&json!("WORKSPACE_REMOVED"), &Value::Null)
        );
        let mut back = desk.feed.subscribe(None, Some(&id)).unwrap();
        assert_eq!(event(&text(&mut back).await).0["workspace_id"], json!(first));
        let mut stranger = desk.feed.subscribe(None, Some("7-1")).unwrap();
        assert!(text(&mut stranger).await.starts_with("event: ready\n"));
    })
    .await;
}

#[tokio::test]
async fn nobody_compares_while_nobody_follows_and_who_comes_back_learns_it() {
    let desk = Desk::open();
    desk.while_it_runs(async {
        let mut early = desk.feed.subscribe(None, None).unwrap();
        let (_, id) = event(&text(&mut early).await);
        drop(early);
        let mut watched = desk.feed.newest.subscribe();
        watched.wait_for(Option::is_none).await.unwrap();
        desk.add("meanwhile").await;
        let mut back = desk.feed.subscribe(None, Some(&id)).unwrap();
        assert!(text(&mut back).await.starts_with("event: reset\n"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_feed_is_kept_alive_and_its_places_are_counted() {
    let desk = Desk::open();
    desk.while_it_runs(async {
        let mut followers: Vec<_> =
            (0..SUBSCRIBERS_MAX).map(|_| desk.feed.subscribe(None, None).unwrap()).collect();
        assert_eq!(desk.feed.subscribe(None, None).unwrap_err(), Full);
        let mut one = followers.pop().unwrap();
        assert!(text(&mut one).await.starts_with("event: ready\n"));
        assert_eq!(text(&mut one).await, ": keep-alive\n\n");
        assert!(desk.feed.subscribe(None, None).is_err(), "it still has its place");
        drop(one);
        assert!(desk.feed.subscribe(None, None).is_ok());
    })
    .await;
}
