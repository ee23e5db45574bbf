//! Changing the sealing key: at the start, what an older key wraps is wrapped by the first.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::bonds::sealed_name;
use super::errors::StoreError;
use super::rows;
use super::sealing::{self, Place, Unopened, Wrapped};
use super::sealing_keys::SealingKeys;

/// What a re-wrapping found. What does not open was left as it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rewrapped {
    secrets: usize,
    /// Secrets whose keys are not there.
    keyless: usize,
    /// The keys that are not there.
    missing: BTreeSet<String>,
    damaged: usize,
}

/// Wraps the keys of all secrets by the first of `keys`, and logs what came of it. A failure is no
/// reason not to start, since what was not wrapped anew opens as before; but for one after which
/// nobody knows what the disk holds, which is told.
pub(super) fn rewrap_all(connection: &mut Connection, keys: &SealingKeys) -> Result<(), String> {
    let outcome = match rewrap(connection, keys) {
        Ok(outcome) => outcome,
        Err(StoreError::Broken { reason }) => return Err(reason),
        Err(error) => {
            tracing::warn!(%error, "secrets keep their old sealing keys; keep those too");
            return Ok(());
        }
    };
    if outcome.secrets > 0 {
        tracing::info!(secrets = outcome.secrets, "secrets wrapped by the first sealing key");
    }
    if outcome.keyless > 0 || outcome.damaged > 0 {
        let missing: Vec<_> = outcome.missing.iter().map(String::as_str).collect();
        tracing::warn!(
            secrets = outcome.keyless,
            missing_keys = missing.join(" "),
            damaged = outcome.damaged,
            "secrets cannot be opened; give the relay their sealing keys too"
        );
    }
    Ok(())
}

/// Wraps all in one transaction.
fn rewrap(connection: &mut Connection, keys: &SealingKeys) -> Result<Rewrapped, StoreError> {
    let org = rows::org(connection)?.to_string();
    let transaction = connection.transaction()?;
    let mut outcome = Rewrapped::default();
    let first = &keys.first().id;
    for table in &TABLES {
        for Row { workspace, key, version, wrapped } in
            wrapped_otherwise(&transaction, table, first)?
        {
            let name = (table.name)(&key);
            let place = Place { org: &org, workspace: &workspace, name: &name, version };
            match sealing::rewrap(keys, place, &wrapped)? {
                Ok(Wrapped { by, key: wrapping }) => {
                    outcome.secrets += transaction
                        .prepare_cached(table.update)?
                        .execute(params![workspace, key, by, wrapping])?;
                }
                Err(Unopened::KeyMissing) => {
                    outcome.keyless += 1;
                    outcome.missing.insert(wrapped.by);
                }
                Err(Unopened::Damaged) => outcome.damaged += 1,
            }
        }
    }
    transaction.commit()?;
    Ok(outcome)
}

/// A table with sealed values, whose rows have a key besides their workspace.
struct Table {
    select: &'static str,
    update: &'static str,
    /// What a value is bound to, by its row's key.
    name: fn(&str) -> String,
}

const TABLES: [Table; 2] = [
    Table {
        select: "SELECT workspace_id, name, version, wrapped_by, wrapped_key FROM secrets \
                 WHERE wrapped_by <> ?1",
        update: "UPDATE secrets SET wrapped_by = ?3, wrapped_key = ?4 \
                 WHERE workspace_id = ?1 AND name = ?2",
        name: str::to_owned,
    },
    Table {
        select: "SELECT workspace_id, platform, version, wrapped_by, wrapped_key FROM bonds \
                 WHERE wrapped_by <> ?1",
        update: "UPDATE bonds SET wrapped_by = ?3, wrapped_key = ?4 \
                 WHERE workspace_id = ?1 AND platform = ?2",
        name: sealed_name,
    },
];

struct Row {
    workspace: String,
    key: String,
    version: i64,
    wrapped: Wrapped,
}

/// The rows of a table whose keys another key than `first` wraps.
fn wrapped_otherwise(
    connection: &Connection,
    table: &Table,
    first: &str,
) -> rusqlite::Result<Vec<Row>> {
    connection
        .prepare(table.select)?
        .query_map([first], |row| {
            Ok(Row {
                workspace: row.get(0)?,
                key: row.get(1)?,
                version: row.get(2)?,
                wrapped: Wrapped { by: row.get(3)?, key: row.get(4)? },
            })
        })?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::migrations;

    const ORG: &str = "org_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const WORKSPACE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn keys(first_bytes: &[u8]) -> SealingKeys {
        let lines: Vec<_> =
            first_bytes.iter().map(|byte| format!("{byte:02x}{}", "00".repeat(31))).collect();
        SealingKeys::parse(&lines.join("\n")).unwrap()
    }

    /// A store with secrets of these names, each sealed by the key of that first byte.
    fn store(secrets: &[(&str, u8)]) -> Connection {
        let mut store = Connection::open_in_memory().unwrap();
        migrations::migrate(&mut store).unwrap();
        store.execute("INSERT INTO meta VALUES ('org_id', ?1)", [ORG]).unwrap();
        let workspace = "INSERT INTO workspaces (id, org_id, name, callers, expose, created_at) \
                         VALUES (?1, ?2, 'one', 'link', 'a2a', 0)";
        store.execute(workspace, [WORKSPACE, ORG]).unwrap();
        for (name, key) in secrets {
            let place = Place { org: ORG, workspace: WORKSPACE, name, version: 1 };
            let sealed = sealing::seal(&keys(&[*key]), place, b"value").unwrap();
            let Wrapped { by, key } = sealed.key;
            let row = params![WORKSPACE, name, sealed.sealed_for, sealed.value, by, key];
            let insert = "INSERT INTO secrets VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, 0)";
            store.execute(insert, row).unwrap();
        }
        store
    }

    #[test]
    fn what_cannot_be_wrapped_anew_is_counted_and_its_keys_are_named() {
        let mut store = store(&[("A", 1), ("B", 2), ("C", 3), ("D", 3), ("E", 2)]);
        store.execute("UPDATE secrets SET version = 2 WHERE name = 'E'", []).unwrap();
        let outcome = rewrap(&mut store, &keys(&[1, 2])).unwrap();
        let missing = BTreeSet::from([keys(&[3]).first().id.clone()]);
        assert_eq!(outcome, Rewrapped { secrets: 1, keyless: 2, missing, damaged: 1 });
        let again = rewrap(&mut store, &keys(&[1, 2])).unwrap();
        assert_eq!(again, Rewrapped { secrets: 0, ..outcome });
        let healed = rewrap(&mut store, &keys(&[1, 3])).unwrap();
        assert_eq!((healed.secrets, healed.keyless), (2, 1));
    }

    #[test]
    fn a_store_that_cannot_be_written_keeps_its_old_wrapping() {
        let mut store = store(&[("A", 2)]);
        store.pragma_update(None, "query_only", true).unwrap();
        rewrap_all(&mut store, &keys(&[1, 2])).unwrap();
        let by: String =
            store.query_row("SELECT wrapped_by FROM secrets", [], |row| row.get(0)).unwrap();
        assert_eq!(by, keys(&[2]).first().id);
    }
}
