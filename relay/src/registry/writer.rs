//! The one thread that writes: takes what is queued into one transaction and answers after it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
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
    Between(Pause),
    Close,
}

/// An intent, together with whom to answer.
pub(super) type Job = Box<dyn FnOnce(&mut Work<'_>) -> Ran + Send>;

/// Work between two transactions, together with whom to answer. It changes nothing.
pub(super) type Pause = Box<dyn FnOnce(&Connection) + Send>;

/// An intent that has run and waits for the commit.
pub(super) struct Ran {
    /// Whether what it did is to be committed; if not, why.
    pub(super) verdict: Result<(), StoreError>,
    /// Its answer.
    pub(super) tell: Tell,
}

/// Answers whoever asked, once it is known how the commit went.
pub(super) type Tell = Box<dyn FnOnce(Result<(), StoreError>)>;

/// Owns the connection.
pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    wal: PathBuf,
    directory: Directory,
    queue: mpsc::Receiver<Command>,
    /// What came while a transaction was open and has to wait for its end.
    next: Option<Command>,
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
        let wal = wal_path(path);
        Self { connection, path: path.to_owned(), wal, directory, queue, next: None, ailing: false }
    }

    /// Works until all handles are gone or one asks to close. The error is why the process must
    /// end; intents that have no answer by then are answered by their channels' closing.
    pub(super) fn run(mut self) -> Result<(), String> {
        // What a failed sync or a panic left behind must not be synced again.
        self.checkpoint_on_close(false);
        let worked = self.work();
        self.checkpoint_on_close(worked.is_ok());
        worked.map_err(|reason| format!("{}: {reason}", self.path.display()))
    }

    fn work(&mut self) -> Result<(), String> {
        // A log that an earlier process could not sync reads well and may yet be lost, and with it
        // all that is written behind it: what it holds is written anew, into the store.
        self.checkpoint()?;
        while let Some(command) = self.next.take().or_else(|| self.queue.blocking_recv()) {
            match command {
                Command::Run(first) => self.batch(first)?,
                Command::Between(pause) => pause(&self.connection),
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
        let before = self.connection.total_changes();
        let committed = self.transact(first, &mut answers, &mut changes);
        if committed.is_ok() {
            self.directory.apply(changes);
        } else if !self.connection.is_autocommit() {
            // If this fails too, the next BEGIN fails and says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.note(&committed, self.connection.total_changes() != before);
        for tell in answers {
            tell(committed.clone());
        }
        only_if_final(committed)
    }

    fn transact(
        &mut self,
        first: Job,
        answers: &mut Vec<Tell>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut next = Some(first);
        while let Some(job) = next.take() {
            self.connection.execute_batch("SAVEPOINT intent")?;
            let mut work = Work { connection: &self.connection, changes: Vec::new() };
            let Ran { verdict, tell } = job(&mut work);
            let mut changed = work.changes;
            answers.push(tell);
            match verdict {
                Ok(()) => {
                    changes.append(&mut changed);
                    self.connection.execute_batch("RELEASE intent")?;
                }
                Err(broken @ StoreError::Broken { .. }) => return Err(broken),
                // Fails if the database has rolled the whole transaction back by itself.
                Err(_) => self.connection.execute_batch("ROLLBACK TO intent; RELEASE intent")?,
            }
            if answers.len() < BATCH_MAX && began.elapsed() < BATCH_TIME_MAX {
                next = match self.queue.try_recv() {
                    Ok(Command::Run(job)) => Some(job),
                    other => {
                        self.next = other.ok();
                        None
                    }
                };
            }
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Moves the log into the file, so that the log stays short.
    fn checkpoint(&self) -> Result<(), String> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .inspect_err(|error| tracing::debug!(%error, "the store's log was not taken in"))
            .map_err(StoreError::from)
            .or_else(|error| only_if_final(Err(error)))
    }

    fn checkpoint_on_close(&self, wanted: bool) {
        // Fails only if SQLite does not know the setting; it does since 3.16.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !wanted);
    }

    /// Tells of the beginning and the end of an outage, which only a write can see.
    fn note(&mut self, committed: &Result<(), StoreError>, wrote: bool) {
        match committed {
            // The end of the relay is told by whoever ends it.
            Err(StoreError::Broken { .. }) => {}
            Err(StoreError::Unavailable { reason }) if !self.ailing => {
                tracing::warn!(%reason, "the store cannot be written; changes are refused");
            }
            Ok(()) if !wrote => return,
            Ok(()) if self.ailing => tracing::info!("the store can be written again"),
            _ => {}
        }
        self.ailing = committed.is_err();
    }
}

/// Why the process must end, if it must.
fn only_if_final(outcome: Result<(), StoreError>) -> Result<(), String> {
    match outcome {
        Err(StoreError::Broken { reason }) => Err(reason),
        _ => Ok(()),
    }
}
