//! The versions of the store's tables, and the way from each to the next.

use rusqlite::Connection;

/// Version 1 is the first entry. Released entries never change; a new version is a new file.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_credentials_secrets_events.sql"),
    include_str!("migrations/0003_role_tier.sql"),
    include_str!("migrations/0004_strict_card.sql"),
    include_str!("migrations/0005_keep_alive_errors_as_200.sql"),
    include_str!("migrations/0006_allowances.sql"),
    include_str!("migrations/0007_push_egress.sql"),
    include_str!("migrations/0008_bonds.sql"),
];

/// The version that this relay reads and writes.
pub(super) fn latest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The version that the store has; 0 before the first migration.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the store to the latest version, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let found = version(connection)?;
    for (step, sql) in (1_i64..).zip(MIGRATIONS).filter(|(step, _)| *step > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", step)?;
        transaction.commit()?;
    }
    Ok(())
}
