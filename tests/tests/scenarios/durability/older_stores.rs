//! Stores of earlier versions are brought up to date with all they hold; those of later ones, and
//! those of other programs, are left alone.

use crate::command;
use rusqlite::Connection;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tests::{
    Relay, World,
    chance::{Chance, seed},
    http, until,
    world::message,
};

const SOON: Duration = Duration::from_secs(20);
/// How many starts are killed on the way, and the longest that each may take.
const KILLS: usize = 8;
const START: Duration = Duration::from_millis(60);

/// The steps from each version to the next.
fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../relay/src/registry/migrations");
    let files = fs::read_dir(folder).expect("the migrations");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a migration").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).expect("a migration")).collect()
}

fn store(relay: &Relay) -> PathBuf {
    relay.data_dir().join("relay.db")
}

fn version(path: &Path) -> usize {
    let store = Connection::open(path).expect("a store");
    let version = store.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0));
    version.expect("its version") as usize
}

fn texts(store: &Connection, query: &str) -> Vec<String> {
    let mut query = store.prepare(query).expect("a query");
    let texts = query.query_map([], |row| row.get(0)).expect("rows");
    texts.collect::<Result<_, _>>().expect("texts")
}

/// Puts in the place of a store what a relay of the version that these steps lead to would have
/// written of the same things.
fn write_as_earlier(path: &Path, steps: &[String]) {
    let (now, earlier) = (path.with_extension("now"), path.with_extension("earlier"));
    fs::rename(path, &now).expect("the store");
    let store = Connection::open(&earlier).expect("another store");
    for step in steps {
        store.execute_batch(step).expect("a step");
    }
    store.execute("ATTACH ?1 AS now", [now.to_str()]).expect("the store");
    for (name, value) in [
        ("journal_mode", "WAL".to_owned()),
        ("user_version", steps.len().to_string()),
        ("application_id", {
            let id = "SELECT CAST(application_id AS TEXT) FROM pragma_application_id";
            texts(&Connection::open(&now).expect("the store"), id).remove(0)
        }),
    ] {
        store.execute_batch(&format!("PRAGMA main.{name} = {value}")).expect("a pragma");
    }
    let tables =
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    for table in texts(&store, tables) {
        let columns = texts(&store, &format!("SELECT name FROM main.pragma_table_info('{table}')"));
        let columns = columns.join(", ");
        // Version 1 knew one kind of credential.
        let known =
            if steps.len() == 1 && table == "credentials" { "kind = 'agent_key'" } else { "1" };
        let copy = format!(
            "INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table} WHERE {known}"
        );
        store.execute(&copy, []).unwrap_or_else(|error| panic!("{copy}: {error}"));
    }
    store.close().expect("it is whole");
    fs::remove_file(now).expect("the store");
    fs::rename(earlier, path).expect("the other store");
}

#[tokio::test]
async fn a_store_of_an_earlier_version_goes_on_with_its_agents() {
    let steps = migrations();
    assert!(steps.len() > 1, "the migrations are not where they were");
    let mut chance = Chance::seeded(seed("kills of migrations"));
    for earlier in 1..steps.len() {
        let mut world = World::builder()
            .lasting_ports()
            .workspace_args(&["--alias", "old", "--callers", "open"])
            .start()
            .await;
        let id = world.workspace.workspace_id.clone();
        let removed = world.relay.add_workspace("removed", &[]).await.workspace_id;
        world.relay.operate(&format!("DELETE /workspaces/{removed}"), None).await;
        let before = world.relay.show_workspace(&id).await;
        assert_eq!(world.relay.stop().await, 0);
        write_as_earlier(&store(&world.relay), &steps[..earlier]);
        assert_eq!(version(&store(&world.relay)), earlier);

        for _ in 0..KILLS {
            world.relay.start_again_for(chance.up_to(START)).await;
        }
        world.relay.start_again_on_same_ports().await;
        let linked = async || world.relay.show_workspace(&id).await["connected"] == true;
        until("the agent is linked again", SOON, linked).await;
        let after = world.relay.show_workspace(&id).await;
        for field in ["name", "alias", "public_url", "callers", "expose", "created_at_ms", "org_id"]
        {
            assert_eq!(after[field], before[field], "{field}");
        }
        for url in [world.endpoint(), format!("{}/agents/old/a2a", world.relay.public_url())] {
            let answer = http::post_json(&url, &message("message/send", "m", "hello")).await;
            assert_eq!(answer.expect("an answer").status, 200, "{url}");
        }
        let admin = world.relay.admin_token();
        let gone = world.relay.api(&admin, &format!("GET /workspaces/{removed}"), None).await;
        assert_eq!(gone.status, 410, "{gone:?}");
        // And it learns what is new.
        let secret = json!({"value": "new"});
        world.relay.operate(&format!("PUT /workspaces/{id}/secrets/NEW"), Some(&secret)).await;
        world.relay.restart().await;
        let secrets = world.relay.operate(&format!("GET /workspaces/{id}/secrets"), None).await;
        assert_eq!(secrets["secrets"][0]["key"], "NEW");
        assert_eq!(world.relay.stop().await, 0);
        assert_eq!(version(&store(&world.relay)), steps.len());
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_and_a_strange_one_are_refused_with_advice_and_kept() {
    let relay = Relay::start().await;
    assert_eq!(relay.stop().await, 0);
    let path = store(&relay);
    let good = fs::read(&path).expect("a store");
    let later = migrations().len() + 1;
    for (pragma, advice) in [
        (format!("user_version = {later}"), "start it with the newer relay that wrote it"),
        ("application_id = 7".to_owned(), "put a backup in its place (relay restore BACKUP)"),
    ] {
        fs::write(&path, &good).expect("the good store");
        let strange = Connection::open(&path).expect("a store");
        strange.execute_batch(&format!("PRAGMA {pragma}")).expect("a pragma");
        strange.close().expect("it is whole");
        let before = fs::read(&path).expect("a store");
        let data_dir = relay.data_dir().display().to_string();
        let (free, serve) = ("127.0.0.1:0", ["serve", "--data-dir", &data_dir]);
        let listeners = ["--http", free, "--tunnel", free, "--admin", free];
        let refused = command::relay(&[&serve[..], &listeners].concat()).await;
        assert_eq!(refused.code, 3, "{refused:?}");
        for part in [advice, &path.display().to_string()] {
            assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        }
        assert_eq!(fs::read(&path).expect("a store"), before, "it was touched");
    }
}
