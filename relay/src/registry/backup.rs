//! Backups: the store as it is between two changes, in a file of its own; and one put back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use certs::files;
use rusqlite::Connection;
use tempfile::TempPath;
use time::OffsetDateTime;

use super::Registry;
use super::errors::{OpenError, StoreError};
use super::open::{self, folder_of, scaffold, sync_folder, unreachable, wal_path};

/// The folder beside the store.
pub(super) const FOLDER: &str = "backups";

/// How many backups there may be: a key of scope admin must not fill the disk by asking for more.
/// The relay removes none by itself.
const BACKUPS_MAX: usize = 100;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its file, for its owner's eyes only.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// A store that was put in the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where it is now.
    pub path: PathBuf,
    /// Where the other one is kept, with its log beside it if it had one.
    pub replaced: Option<PathBuf>,
}

impl Registry {
    /// Writes a whole copy of the store into the folder `backups` beside it; what was acknowledged
    /// before the call is in it. Changes wait meanwhile. [`StoreError::TooMany`] if there are 100
    /// already.
    pub async fn back_up(&self, now_ms: i64) -> Result<Backup, StoreError> {
        self.store.between(move |connection| back_up(connection, now_ms)).await
    }
}

/// No trouble of a backup's own file is trouble of the store.
fn back_up(connection: &Connection, now_ms: i64) -> Result<Backup, StoreError> {
    let failed = |why: &dyn std::fmt::Display| StoreError::Unavailable {
        reason: format!("the backup cannot be written: {why}"),
    };
    let store = Path::new(connection.path().unwrap_or_default());
    let folder = store.with_file_name(FOLDER);
    files::create_private_dir(&folder).map_err(|error| failed(&error))?;
    let there = fs::read_dir(&folder).map_err(|error| failed(&error))?;
    let is_backup = |name: &std::ffi::OsStr| !name.as_encoded_bytes().starts_with(b".");
    let count = there.flatten().filter(|file| is_backup(&file.file_name())).count();
    if count >= BACKUPS_MAX {
        return Err(StoreError::TooMany { what: "backups", most: BACKUPS_MAX });
    }
    let made = scaffold(&folder).map_err(|error| failed(&error))?;
    let target = made.to_str().ok_or_else(|| failed(&"its path is no text"))?;
    connection.execute("VACUUM main INTO ?1", [target]).map_err(|error| failed(&error))?;
    let path = folder.join(format!("relay-{}.db", stamp(now_ms)));
    let kept = || {
        File::open(&made)?.sync_all()?;
        let bytes = fs::metadata(&made)?.len();
        made.persist_noclobber(&path)?;
        sync_folder(&path)?;
        Ok(bytes)
    };
    let bytes = kept().map_err(|error: io::Error| failed(&error))?;
    Ok(Backup { path, bytes })
}

/// Puts the backup in the place of the store at `path`, whose relay must not run. The other store is
/// kept beside it under another name. What is not a sound store is refused, and nothing is changed.
pub fn restore(backup: &Path, path: &Path, now_ms: i64) -> Result<Restored, OpenError> {
    let failed = |error: &io::Error| unreachable(path, error);
    if path.exists()
        && let Err(in_use @ OpenError::InUse { .. }) = open::examine(path)
    {
        return Err(in_use);
    }
    let copy = copied(backup, path)?;
    open::examine(&copy).map_err(|refused| refused.about(backup))?;
    let replaced = set_aside(path, now_ms).map_err(|error| failed(&error))?;
    copy.persist(path).map_err(|refused| failed(&refused.error))?;
    sync_folder(path).map_err(|error| failed(&error))?;
    Ok(Restored { path: path.to_owned(), replaced })
}

/// A copy of the backup on the disk where the store belongs.
fn copied(backup: &Path, path: &Path) -> Result<TempPath, OpenError> {
    if fs::metadata(wal_path(backup)).is_ok_and(|log| log.len() > 0) {
        let detail = "a log lies beside it, so it is not whole by itself".to_owned();
        return Err(OpenError::NotAStore { path: backup.to_owned(), detail });
    }
    let mut from = File::open(backup).map_err(|error| unreachable(backup, &error))?;
    let mut copy = || {
        let copy = scaffold(folder_of(path))?;
        let mut to = File::options().write(true).open(&copy)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        Ok(copy)
    };
    copy().map_err(|error: io::Error| unreachable(path, &error))
}

/// Gives the store another name beside its own, and its log the name that belongs to that. The log
/// goes first: beside another store it would be taken for that store's.
fn set_aside(path: &Path, now_ms: i64) -> io::Result<Option<PathBuf>> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".replaced-{}", stamp(now_ms)));
    let aside = PathBuf::from(aside);
    let there = |moved: io::Result<()>| match moved {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        moved => moved.map(|()| true),
    };
    let log = there(fs::rename(wal_path(path), wal_path(&aside)))?;
    // A second name, so that there is a store at every moment: none would be taken for a first start.
    let store = there(fs::hard_link(path, &aside))?;
    Ok((log || store).then_some(aside))
}

/// A moment as part of a file's name.
fn stamp(unix_ms: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second, milli) = moment.to_hms_milli();
    format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}.{milli:03}Z", u8::from(month))
}
