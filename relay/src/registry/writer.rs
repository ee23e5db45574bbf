//! The one thread that writes: takes what is queued into one transaction and answers after it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::mpsc;

use super::directory::{Change, Directory};
use super::errors::StoreError;
use super::open::wal_path;
use super::store::Work;

/// How many intents share a commit: enough that the sync of the disk, not the number of intents,
/// sets the pace.
const BATCH_MAX: usize = 256;

/// How long intents are gathered into one commit: the first of them waits this long at most.
const BATCH_TIME_MAX: Duration = Duration::from_millis(5);

/// When the log goes into the file: a start reads the log, and this much is read in milliseconds.
const WAL_BYTES_MAX: u64 = 4 << 20;

/// What the writer is asked to do.
pub(super) enum Command {
    Run(Job),
    Close,
}

/// An intent, together with whom to answer.
pub(super) type Job = Box<dyn FnOnce(&mut Work<'_>) -> Ran + Send>;

/// An intent that has run and waits for the commit.
pub(super) struct Ran {
    /// Whether what it did is to be committed.
    pub(super) keep: bool,
    /// Its answer.
    pub(super) tell: Tell,
}

/// Answers whoever asked, once it is known how the commit went.
pub(super) type Tell = Box<dyn FnOnce(Result<(), StoreError>)>;

/// Owns the connection.
pub(super) struct Writer {
    connection: Connection,
    wal: PathBuf,
    directory: Directory,
    queue: mpsc::Receiver<Command>,
    /// Whether the last batch could not be committed: one line of log per outage.
    ailing: bool,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        path: &Path,
        directory: Directory,
        queue: mpsc::Receiver<Command>,
    ) -> Self {
        Self { connection, wal: wal_path(path), directory, queue, ailing: false }
    }

    /// Works until all handles are gone or one asks to close. The error is why the process must
    /// end; intents that have no answer by then are answered by their channels' closing.
    pub(super) fn run(mut self) -> Result<(), String> {
        // What a failed sync or a panic left behind must not be synced again.
        self.checkpoint_on_close(false);
        let worked = self.work();
        self.checkpoint_on_close(worked.is_ok());
        worked
    }

    fn work(&mut self) -> Result<(), String> {
        while let Some(command) = self.queue.blocking_recv() {
            match command {
                Command::Run(first) => self.batch(first)?,
                // No more is taken in; what is queued still comes.
                Command::Close => self.queue.close(),
            }
            if fs::metadata(&self.wal).is_ok_and(|log| log.len() > WAL_BYTES_MAX) {
                self.checkpoint()?;
            }
        }
        self.checkpoint()
    }

    /// Runs `first` and what is queued behind it in one transaction, and answers all of it.
    fn batch(&mut self, first: Job) -> Result<(), String> {
        let mut answers = Vec::new();
        let mut changes = Vec::new();
        let committed = self.transact(first, &mut answers, &mut changes);
        if committed.is_ok() {
            self.directory.apply(changes);
        } else if !self.connection.is_autocommit() {
            // If this fails too, the next BEGIN fails and says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.note(&committed);
        let told = committed.as_ref().copied().map_err(unavailable);
        for tell in answers {
            tell(told.clone());
        }
        committed.or_else(fatal)
    }

    fn transact(
        &mut self,
        first: Job,
        answers: &mut Vec<Tell>,
        changes: &mut Vec<Change>,
    ) -> rusqlite::Result<()> {
        let began = Instant::now();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            self.connection.execute_batch("SAVEPOINT intent")?;
            let mut work = Work { connection: &self.connection, changes: Vec::new() };
            let Ran { keep, tell } = job(&mut work);
            let mut changed = work.changes;
            answers.push(tell);
            if keep {
                changes.append(&mut changed);
                self.connection.execute_batch("RELEASE intent")?;
            } else {
                // Fails if the database has rolled the whole transaction back by itself.
                self.connection.execute_batch("ROLLBACK TO intent; RELEASE intent")?;
            }
            if answers.len() < BATCH_MAX && began.elapsed() < BATCH_TIME_MAX {
                next = match self.queue.try_recv() {
                    Ok(Command::Run(job)) => Some(job),
                    Ok(Command::Close) => {
                        self.queue.close();
                        None
                    }
                    Err(_) => None,
                };
            }
        }
        self.connection.execute_batch("COMMIT")
    }

    /// Moves the log into the file, so that the log stays short.
    fn checkpoint(&self) -> Result<(), String> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .inspect_err(|error| tracing::debug!(%error, "the store's log was not taken in"))
            .or_else(fatal)
    }

    fn checkpoint_on_close(&self, wanted: bool) {
        // Fails only if SQLite does not know the setting; it does since 3.16.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !wanted);
    }

    fn note(&mut self, committed: &rusqlite::Result<()>) {
        match committed {
            Err(error) if !self.ailing => {
                tracing::warn!(%error, "the store cannot be written; changes are refused");
            }
            Ok(()) if self.ailing => tracing::info!("the store can be written again"),
            _ => {}
        }
        self.ailing = committed.is_err();
    }
}

fn unavailable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

/// Lets pass what may heal, such as a full disk. After an error of the disk itself nobody knows
/// what it holds, and a second sync may claim success for what the first one lost.
fn fatal(error: rusqlite::Error) -> Result<(), String> {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn a_failed_sync_ends_the_process_and_a_full_disk_does_not() {
        assert!(fatal(failure(rusqlite::ffi::SQLITE_IOERR_FSYNC)).is_err());
        assert!(fatal(failure(rusqlite::ffi::SQLITE_IOERR_WRITE)).is_err());
        assert!(fatal(failure(rusqlite::ffi::SQLITE_CORRUPT)).is_err());
        assert!(fatal(failure(rusqlite::ffi::SQLITE_FULL)).is_ok());
        assert!(fatal(failure(rusqlite::ffi::SQLITE_BUSY)).is_ok());
    }
}
