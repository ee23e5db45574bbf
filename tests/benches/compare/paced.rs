//! An open loop: requests at a fixed rate over many connections, none of which waits for another.

use crate::{
    agent,
    load::{self, PATIENCE, PAUSE, Phase, Tally, Target},
    ticks::Ticks,
};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::{
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::{sleep, timeout},
};

/// Connections that are used in turn: so many answers may be late before a request has to wait.
const CONNECTIONS: usize = 64;

/// A request that was due.
#[derive(Clone, Copy)]
struct Call {
    due: Instant,
    counts: bool,
}

/// What the clock and the connections share.
struct Desk {
    request: Arc<[u8]>,
    writers: Vec<Option<OwnedWriteHalf>>,
    open: Vec<Option<Call>>,
    idle: VecDeque<usize>,
    waiting: VecDeque<Call>,
    tally: Tally,
}

impl Desk {
    /// Sends the call on the connection that was idle longest, or lets it wait for one.
    fn take(&mut self, call: Call) {
        self.waiting.push_back(call);
        self.send();
    }

    fn send(&mut self) {
        while !self.waiting.is_empty()
            && let Some(at) = self.idle.pop_front()
        {
            self.open[at] = self.waiting.pop_front();
            let Some(writer) = &self.writers[at] else { continue };
            // A request fits an idle socket's buffer; where it does not, the reader sees the end.
            match writer.try_write(&self.request) {
                Ok(written) if written == self.request.len() => {}
                _ => self.close(at, || "the request could not be written".to_owned()),
            }
        }
    }

    fn opened(&mut self, at: usize, writer: OwnedWriteHalf) {
        self.writers[at] = Some(writer);
        self.idle.push_back(at);
        self.send();
    }

    fn answered(&mut self, at: usize) {
        if let Some(call) = self.open[at].take().filter(|call| call.counts) {
            self.tally.answered(call.due.elapsed());
        }
        // What still comes on a connection that was given up leads to nothing.
        if self.writers[at].is_some() {
            self.idle.push_back(at);
            self.send();
        }
    }

    /// Dropping the writer ends the connection for its reader too.
    fn close(&mut self, at: usize, why: impl FnOnce() -> String) {
        self.writers[at] = None;
        self.idle.retain(|idle| *idle != at);
        if self.open[at].take().is_some() {
            self.tally.failed(why);
        }
    }

    fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.open.iter().all(Option::is_none)
    }
}

/// Calls at this rate until the phase is over, and waits for what is open.
pub(crate) async fn call(target: Target, per_second: u32, phase: Phase) -> Tally {
    let desk = Arc::new(Mutex::new(Desk {
        request: Arc::clone(&target.request),
        writers: (0..CONNECTIONS).map(|_| None).collect(),
        open: vec![None; CONNECTIONS],
        idle: VecDeque::new(),
        waiting: VecDeque::new(),
        tally: Tally::default(),
    }));
    let mut connections = JoinSet::new();
    for at in 0..CONNECTIONS {
        connections.spawn(keep(at, target.clone(), Arc::clone(&desk)));
    }
    let mut ticks = Ticks::start(per_second);
    while !phase.is_over() {
        for due in ticks.due().await {
            lock(&desk).take(Call { due, counts: phase.is_counting() });
        }
    }
    let end = Instant::now() + PATIENCE;
    while !lock(&desk).is_done() && Instant::now() < end {
        sleep(PAUSE).await;
    }
    let mut desk = lock(&desk);
    let lost = desk.waiting.len() + desk.open.iter().flatten().count();
    for _ in 0..lost {
        desk.tally.failed(|| "no answer in time".to_owned());
    }
    std::mem::take(&mut desk.tally)
}

/// Keeps one connection open and reads its answers.
async fn keep(at: usize, target: Target, desk: Arc<Mutex<Desk>>) {
    let expected = agent::answer_body();
    loop {
        let why = match connect(&target).await {
            Ok((mut reader, writer)) => {
                lock(&desk).opened(at, writer);
                let mut buffer = Vec::with_capacity(4096);
                loop {
                    match load::answer(&mut reader, &mut buffer, &expected).await {
                        Ok(()) => lock(&desk).answered(at),
                        Err(why) => break why,
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        lock(&desk).close(at, || why);
        sleep(PAUSE).await;
    }
}

async fn connect(target: &Target) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let stream = timeout(PATIENCE, TcpStream::connect(target.address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream.into_split())
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}
