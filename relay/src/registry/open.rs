//! Opening the store's file: making it on the first start, refusing what is not a sound store.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::files;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use shared::ids::OrgId;
use tempfile::TempPath;

use super::backup;
use super::errors::{OpenError, StoreError};
use super::migrations;
use super::orders::fresh_ulid;

/// "RLAY": marks an SQLite file as a relay's store.
pub(super) const APPLICATION_ID: i32 = 0x524C_4159;

/// What the names of stores begin with that are being made, and of SQLite's files beside them.
const SCAFFOLD: &str = ".relay-store-";

/// How long to wait for a predecessor that is just ending: a supervisor starts the next relay at
/// once, and the last checkpoint takes well under a second.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens the store at `path` for this process alone, and makes it if neither it nor its log is
/// there. A file that is refused is not changed.
pub(super) fn open(path: &Path, now_ms: i64) -> Result<Connection, OpenError> {
    let refused = |error| refusal(path, &error);
    match fs::metadata(path) {
        Ok(found) => check_file(path, &found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::metadata(wal_path(path)).is_ok_and(|log| log.len() > 0) {
                return Err(OpenError::Missing { path: path.to_owned() });
            }
            make(path, now_ms)?;
        }
        Err(error) => return Err(unreachable(path, &error)),
    }
    let mut connection = take(path)?;
    tighten(path).map_err(|error| unreachable(path, &error))?;
    configure(&connection).map_err(refused)?;
    migrations::migrate(&mut connection).map_err(refused)?;
    sweep(path);
    Ok(connection)
}

/// Looks whether the file at `path` is a sound store that nobody uses, and changes nothing.
pub(super) fn examine(path: &Path) -> Result<(), OpenError> {
    let found = fs::metadata(path).map_err(|error| unreachable(path, &error))?;
    check_file(path, &found)?;
    take(path).map(drop)
}

/// Opens the file at `path` and takes it for this process, if it is a sound store.
fn take(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| refusal(path, &error))?;
    check(path, &connection)?;
    Ok(connection)
}

/// Where the write-ahead log of the store at `path` lies.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A store is never empty: it appears under its name only when it is whole.
fn check_file(path: &Path, found: &Metadata) -> Result<(), OpenError> {
    if !found.is_file() {
        let detail = "it is not a regular file".to_owned();
        return Err(OpenError::NotAStore { path: path.to_owned(), detail });
    }
    if found.len() == 0 {
        let detail = "it is empty".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), detail });
    }
    Ok(())
}

/// Makes a whole store under another name and then gives it its own, so that a crash in between
/// leaves no half-made store behind, and an existing one is never replaced.
fn make(path: &Path, now_ms: i64) -> Result<(), OpenError> {
    let made = scaffold(folder_of(path)).map_err(|error| unreachable(path, &error))?;
    fill(&made, now_ms).map_err(|error| refusal(path, &error))?;
    match made.persist_noclobber(path) {
        Err(failed) if failed.error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(unreachable(path, &failed.error));
        }
        _ => {}
    }
    sync_folder(path).map_err(|error| unreachable(path, &error))
}

/// An empty file for its owner alone, which goes unless it is given a name.
pub(super) fn scaffold(folder: &Path) -> io::Result<TempPath> {
    let made = tempfile::Builder::new()
        .prefix(SCAFFOLD)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    Ok(made.into_temp_path())
}

/// Removes the stores that processes left half-made which were killed, here and among the backups.
/// For whoever has the store at `path` open, which keeps every other relay out.
fn sweep(path: &Path) {
    for folder in [folder_of(path), &path.with_file_name(backup::FOLDER)] {
        if let Err(error) = files::sweep(folder, SCAFFOLD) {
            tracing::warn!(%error, "leftovers of a killed relay could not be removed");
        }
    }
}

/// Makes the name of the file at `path` last.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder of the file at `path`; the current one for a bare name.
pub(super) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn fill(path: &Path, now_ms: i64) -> rusqlite::Result<()> {
    let org = fresh_ulid(now_ms)
        .map(OrgId::new)
        .map_err(|error: StoreError| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    configure(&connection)?;
    migrations::migrate(&mut connection)?;
    connection.execute("INSERT INTO meta (key, value) VALUES ('org_id', ?1)", [org.to_string()])?;
    // Closing checkpoints and syncs, so that the file alone holds everything.
    connection.close().map_err(|(_, error)| error)
}

/// Takes the file for this process and looks whether it is a sound store of a known version.
fn check(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let refused = |error| refusal(path, &error);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(refused)?;
    // Closing after a refusal must not write what the log holds into the file. Where there is no
    // log, closing takes away the empty one that opening makes.
    let has_log = wal_path(path).exists();
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log)
        .map_err(refused)?;
    // Set before the first read, so that this very read takes the lock that others run into.
    set(connection, "locking_mode", "EXCLUSIVE").map_err(refused)?;

    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(refused)?;
    if application != APPLICATION_ID {
        let detail = "it is a database of another program".to_owned();
        return Err(OpenError::NotAStore { path: path.to_owned(), detail });
    }
    let (found, known) = (migrations::version(connection).map_err(refused)?, migrations::latest());
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path: path.to_owned(), detail: verdict });
    }
    if !has_log && !is_whole(path, connection).map_err(refused)? {
        let detail = "its end is missing".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), detail });
    }
    Ok(())
}

/// Whether the file has all its pages; SQLite takes what is missing of the last one for zeros.
/// Says nothing while a log is there, which may hold the missing ones.
fn is_whole(path: &Path, connection: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let expected = u64::from(pragma("page_size")?) * u64::from(pragma("page_count")?);
    Ok(fs::metadata(path).is_ok_and(|found| found.len() >= expected))
}

/// Acknowledged means synced, and no checkpoint runs on its own: SQLite ignores the errors of
/// those, and an ignored failure to sync may lose what was acknowledged.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    set(connection, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What SQLite puts aside within a transaction would go to /var/tmp: into other hands, and onto a
    // disk that may be full or read-only.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    set(connection, "wal_autocheckpoint", 0)
}

/// Sets a pragma that answers with a row.
fn set(connection: &Connection, pragma: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, pragma, value, |_| Ok(()))
}

/// The addresses in the store are credentials: a backup copied back with a wider mode is narrowed.
fn tighten(path: &Path) -> io::Result<()> {
    for file in [path.to_owned(), wal_path(path)] {
        match fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn unreachable(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Unreachable { path: path.to_owned(), detail: error.to_string() }
}

pub(super) fn refusal(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, detail) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path },
        Some(ErrorCode::NotADatabase) => {
            OpenError::NotAStore { path, detail: "it is not a SQLite database".to_owned() }
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure,
        ) => OpenError::Unreachable { path, detail },
        // What reads a sound file without complaint has rows of the right shape.
        _ => OpenError::Damaged { path, detail },
    }
}
