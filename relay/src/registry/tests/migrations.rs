//! Stores of earlier versions: opened with every row they have.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{DAY, NOW, admin, folder, keys};
use crate::registry::{
    AgentKey, Allowance, JoinRefusal, Lookup, NewCredential, Registry, hash_of, migrations, open,
};

const FIRST: &str = include_str!("../migrations/0001_first.sql");
const ORG: &str = "org_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const KEPT: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FA0";
const GONE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FA1";
const ADDRESS: &str = "a_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const RETIRED: &str = "a_aaaaaaaaaaaaaaaaaaaaaaaaae";
const TABLES: [&str; 7] =
    ["meta", "workspaces", "addresses", "aliases", "credentials", "join_tokens", "redemptions"];

/// A store as version 1 left it, with rows in every table.
fn first_version(path: &Path) -> Connection {
    let store = Connection::open(path).unwrap();
    store.pragma_update(None, "application_id", open::APPLICATION_ID).unwrap();
    store.execute_batch(FIRST).unwrap();
    store.pragma_update(None, "user_version", 1).unwrap();
    store.execute("INSERT INTO meta VALUES ('org_id', ?1)", [ORG]).unwrap();
    let workspace = "INSERT INTO workspaces VALUES (?1, ?2, ?3, 'one', 'token', 'all', 1, ?4, ?5)";
    store.execute(workspace, params![GONE, ORG, None::<String>, NOW - 2, NOW - 1]).unwrap();
    store.execute(workspace, params![KEPT, ORG, GONE, NOW, None::<i64>]).unwrap();
    let address = "INSERT INTO addresses VALUES (?1, ?2, ?3, ?4)";
    store.execute(address, params![RETIRED, GONE, NOW - 2, NOW - 1]).unwrap();
    store.execute(address, params![ADDRESS, KEPT, NOW, None::<i64>]).unwrap();
    store.execute("INSERT INTO aliases VALUES ('shop', ?1)", [KEPT]).unwrap();
    let key = "INSERT INTO credentials VALUES (?1, 'agent_key', ?2, 'a label', ?3, NULL, ?3, ?4)";
    store.execute(key, params![[1_u8; 32], KEPT, NOW, None::<i64>]).unwrap();
    store.execute(key, params![[2_u8; 32], GONE, NOW, NOW]).unwrap();
    let token = "INSERT INTO join_tokens VALUES (?1, ?2, 1, ?3, ?4)";
    store.execute(token, params![[3_u8; 32], KEPT, NOW + DAY, NOW]).unwrap();
    let redeemed = "INSERT INTO redemptions VALUES (?1, ?2, ?3)";
    store.execute(redeemed, params![[3_u8; 32], [1_u8; 32], NOW]).unwrap();
    store
}

/// The same, as each version after it left it: version 1 is the first.
fn every_version(path: &Path) -> impl Iterator<Item = (i64, Connection)> {
    (1..migrations::latest()).map(|version| {
        // The file goes with all that SQLite keeps beside it.
        for end in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(end);
            drop(std::fs::remove_file(file));
        }
        let store = first_version(path);
        for (step, sql) in (1..=version).zip(migrations::MIGRATIONS).skip(1) {
            store.execute_batch(sql).unwrap();
            store.pragma_update(None, "user_version", step).unwrap();
        }
        (version, store)
    })
}

/// What version 1 knows, table by table, each row as text.
fn rows(store: &Connection) -> Vec<Vec<String>> {
    let columns = |table: &str| {
        let sql = FIRST.split(&format!("CREATE TABLE {table} (")).nth(1).unwrap();
        let lines = sql.split(") STRICT").next().unwrap().lines().map(str::trim);
        let names = lines.filter_map(|line| line.split_whitespace().next());
        let names = names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        names.map(|name| format!("quote({name})")).collect::<Vec<_>>().join(" || '|' || ")
    };
    let rows = |table: &&str| {
        let sql = format!("SELECT {} FROM {table} ORDER BY 1", columns(table));
        let mut rows = store.prepare(&sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    TABLES.iter().map(rows).collect()
}

#[tokio::test]
async fn every_earlier_version_is_opened_with_all_its_rows() {
    let (_folder, path) = folder();
    for (version, store) in every_version(&path) {
        assert_eq!(migrations::version(&store).unwrap(), version);
        let before = rows(&store);
        assert!(before.iter().all(|table| !table.is_empty()), "{before:?}");
        drop(store);
        let registry = Registry::open(&path, keys(), NOW).unwrap();
        let Lookup::Live(one) = registry.by_alias(&"shop".parse().unwrap()) else { panic!() };
        assert_eq!((&one.role, one.tier), (&None, None), "from version {version}");
        registry.close().await;

        let store = Connection::open(&path).unwrap();
        assert_eq!(rows(&store), before, "from version {version}");
        assert_eq!(migrations::version(&store).unwrap(), migrations::latest());
    }
}

#[tokio::test]
async fn the_first_version_goes_on_as_it_was() {
    let (_folder, path) = folder();
    drop(first_version(&path));
    let registry = Registry::open(&path, keys(), NOW).unwrap();
    assert_eq!(registry.org_id().to_string(), ORG);
    let (kept, gone) = (KEPT.parse().unwrap(), GONE.parse().unwrap());
    let Lookup::Live(one) = registry.by_alias(&"shop".parse().unwrap()) else { panic!() };
    assert_eq!((one.id, one.parent, one.paused), (kept, Some(gone), true));
    assert!(!one.strict_card, "nobody has said so yet");
    assert!(one.keep_alive && !one.jsonrpc_errors_as_200);
    assert_eq!(one.allowance, Allowance::default());
    assert_eq!((&one.url, &one.card, one.registered_at_ms), (&None, &None, None));
    assert_eq!(registry.by_id(&gone), Lookup::Gone);
    assert_eq!(registry.by_address(&ADDRESS.parse().unwrap()), Lookup::Live(one));
    assert_eq!(registry.by_address(&RETIRED.parse().unwrap()), Lookup::Unknown);
    assert_eq!(registry.agent_key(&[1; 32]), Some(AgentKey { workspace: kept, revoked: false }));
    assert!(registry.agent_key(&[2; 32]).is_some_and(|key| key.revoked));

    let redeem = |key| registry.redeem_join_token([3; 32], key, NOW, admin());
    assert_eq!(redeem([1; 32]).await, Ok(Ok(kept)), "it paid before");
    assert_eq!(redeem([8; 32]).await, Ok(Ok(kept)));
    assert_eq!(redeem([9; 32]).await, Ok(Err(JoinRefusal::Used)));
    let (token, text) = NewCredential::workspace_token(kept, NOW).unwrap();
    registry.add_credential(token, admin()).await.unwrap();
    assert!(registry.credential(&hash_of(&text)).is_some());
}
