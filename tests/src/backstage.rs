//! A part of the harness on a thread and runtime of its own, so that a busy test cannot stall it.

use std::{future::Future, thread::JoinHandle};
use tokio::sync::oneshot;

/// Runs a future on its own single-threaded runtime; drop stops it and all that it spawned.
pub struct Backstage {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Backstage {
    /// Starts the thread; `play` is called on it, inside its runtime.
    pub fn open<P, F>(name: &str, play: P) -> Backstage
    where
        P: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                tokio::select! {
                    () = play() => {}
                    _ = stopped => {}
                }
            });
        });
        Backstage { stop: Some(stop), thread: Some(thread.expect("a thread")) }
    }
}

impl Drop for Backstage {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("a part of the harness panicked on its own thread");
        }
    }
}
