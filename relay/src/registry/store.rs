//! The handle to the store: gives work to the one writer and waits until it is committed.

use std::io;
use std::path::Path;
use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::directory::{Change, Directory};
use super::errors::StoreError;
use super::writer::{Command, Ran, Writer};

/// How many intents may wait for the writer: four full batches, some tens of milliseconds of
/// work. Whoever comes when it is full waits for a place.
const QUEUE_MAX: usize = 1024;

/// How the writer is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Running,
    Closed,
    Failed(String),
}

/// The store. Clones are the same store; it closes when the last one is gone.
#[derive(Debug, Clone)]
pub(super) struct Store {
    commands: mpsc::Sender<Command>,
    life: watch::Receiver<Life>,
}

/// One intent's view of the store, inside a transaction.
pub(super) struct Work<'c> {
    /// The writer's connection.
    pub(super) connection: &'c Connection,
    /// What the directory learns if this is committed.
    pub(super) changes: Vec<Change>,
}

impl Store {
    /// Starts the writer of the store at `path`, whose changes go to `directory`.
    pub(super) fn start(
        connection: Connection,
        path: &Path,
        directory: Directory,
    ) -> io::Result<Self> {
        let (commands, queue) = mpsc::channel(QUEUE_MAX);
        let (life, watched) = watch::channel(Life::Running);
        let writer = Writer::new(connection, path, directory, queue);
        // Not joined: the thread ends with the last sender, and says so by `life`.
        thread::Builder::new().name("registry".to_owned()).spawn(move || {
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run()));
            life.send_replace(match ran {
                Ok(Ok(())) => Life::Closed,
                Ok(Err(reason)) => Life::Failed(reason),
                Err(_) => Life::Failed("its writer panicked".to_owned()),
            });
        })?;
        Ok(Self { commands, life: watched })
    }

    /// Runs `intent` in a transaction and answers after the commit. An intent that answers with
    /// an error leaves no trace.
    ///
    /// Cancelling the wait does not cancel the intent: once queued it is carried out.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        intent: impl FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |work: &mut Work<'_>| {
            let outcome = intent(work);
            let verdict = outcome.as_ref().map(drop).map_err(StoreError::clone);
            let tell = Box::new(move |committed: Result<(), StoreError>| {
                // Nobody waits any more: the intent is done all the same.
                let _ = answer.send(committed.and(outcome));
            });
            Ran { verdict, tell }
        });
        if self.commands.send(Command::Run(job)).await.is_err() {
            return Err(self.stopped());
        }
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Runs `work` between two transactions, and answers.
    ///
    /// Cancelling the wait does not cancel it: once queued it is carried out.
    pub(super) async fn between<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Nobody waits any more: it is done all the same.
        let pause = Box::new(move |connection: &Connection| drop(answer.send(work(connection))));
        if self.commands.send(Command::Between(pause)).await.is_err() {
            return Err(self.stopped());
        }
        answered.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Carries out what is queued, then closes the file, and returns when it is closed. Other
    /// handles get errors from then on.
    pub(super) async fn close(&self) {
        // An error means that the writer has stopped already.
        let _ = self.commands.send(Command::Close).await;
        let _ = self.life.clone().wait_for(|life| *life != Life::Running).await;
    }

    /// Waits until the store fails for good, and tells why; the process must then end, because
    /// what reached the disk is unknown. Waits for ever if the store is closed in order.
    ///
    /// Cancel safe.
    pub(super) async fn failed(&self) -> String {
        // An error means that the writer is gone, and has said how it ended.
        let _ = self.life.clone().wait_for(|life| *life != Life::Running).await;
        match self.failure() {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Why the store has failed for good, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        match &*self.life.borrow() {
            Life::Failed(reason) => Some(reason.clone()),
            Life::Running | Life::Closed => None,
        }
    }

    fn stopped(&self) -> StoreError {
        let reason = self.failure().unwrap_or_else(|| "its writer has stopped".to_owned());
        StoreError::Unavailable { reason }
    }
}
