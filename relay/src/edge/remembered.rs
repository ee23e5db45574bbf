//! The memory of messages that the platform sent: none runs twice, and a repeat gets the answer that
//! there was.
//!
//! The platform sends a message again when it lost sight of it, by the same `messageId`. While the first
//! one runs, a repeat waits for its end. What surely never reached the agent is forgotten and may run;
//! everything else is known for [`KEPT_FOR`] after its end. Pure but for a lock: the time is given.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use shared::ids::WorkspaceId;
use tokio::sync::watch;

use super::message_id::MessageId;

/// How long a message is known after its end: the platform sends again for some minutes.
pub const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// The longest answer that is kept, bytes: a long text, and no attachment.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// All kept answers together, bytes. Beyond it the oldest are dropped; that they were given is still
/// known.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Messages that are known at a time, some 150 bytes each: 290 a second, for as long as they are known.
const MESSAGES_MAX: usize = 256 * 1024;
/// And of one workspace, so that one URL that leaked harms its own agent alone.
const MESSAGES_OF_ONE_MAX: usize = 64 * 1024;
/// Repeats that wait for one message: the platform sends one again a few times.
const WAITING_FOR_ONE_MAX: usize = 8;
/// Repeats that wait for messages of one workspace.
const WAITING_OF_ONE_MAX: usize = 64;
/// Repeats that wait at all, each with up to 128 KiB of its body: 64 MiB.
const WAITING_MAX: usize = 512;

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its status.
    pub status: StatusCode,
    /// Its media type, if it had one.
    pub media: Option<HeaderValue>,
    /// All of its body.
    pub body: Bytes,
}

/// What became of a message that was not answered, or whose answer is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The agent is at work on it, and there is no room to wait for its end.
    Running,
    /// Nobody can say whether the agent got it.
    Uncertain,
    /// Its answer broke off.
    Cut,
    /// Its answer was too long to keep, or made room for younger ones.
    NotKept,
}

/// What is known of a message that comes.
#[derive(Debug)]
pub enum Seen {
    /// Nothing: it may run. The ticket tells what came of it.
    New(Ticket),
    /// The agent is at work on it. Once that is over, this is to be asked again.
    Running(Waiting),
    /// It was answered so.
    Answered(Kept),
    /// It was given to the agent before, and there is no answer to repeat.
    Lost(Lost),
    /// There is no room to remember another one.
    Full,
}

type Key = (WorkspaceId, MessageId);

#[derive(Debug)]
enum State {
    /// Dropping this lets those go who wait.
    Running(watch::Sender<()>),
    Answered(Kept),
    Lost(Lost),
}

/// Every message that is known. Clones are handles to the same.
#[derive(Debug, Clone, Default)]
pub struct Remembered(Arc<Mutex<Messages>>);

#[derive(Debug, Default)]
struct Messages {
    known: HashMap<Key, State>,
    of: HashMap<WorkspaceId, usize>,
    /// Those that have ended, the oldest first.
    ended: VecDeque<(Instant, Key)>,
    /// Those of them whose answers are kept, the oldest first.
    kept: VecDeque<Key>,
    bytes: usize,
    /// How many wait for messages of each workspace, and of all.
    waiting_of: HashMap<WorkspaceId, usize>,
    waiting: usize,
}

impl Remembered {
    /// A message has come.
    pub fn begin(&self, workspace: WorkspaceId, id: MessageId, now: Instant) -> Seen {
        let key = (workspace, id);
        let mut messages = self.lock();
        messages.forget(now);
        match messages.known.get(&key) {
            Some(State::Running(running)) => {
                let crowded = running.receiver_count() >= WAITING_FOR_ONE_MAX;
                let over = running.subscribe();
                if crowded || !messages.one_waits(workspace) {
                    return Seen::Lost(Lost::Running);
                }
                return Seen::Running(Waiting { remembered: self.clone(), workspace, over });
            }
            Some(State::Answered(kept)) => return Seen::Answered(kept.clone()),
            Some(State::Lost(why)) => return Seen::Lost(*why),
            None => {}
        }
        let of_one = messages.of.get(&workspace).copied().unwrap_or_default();
        if of_one >= MESSAGES_OF_ONE_MAX || messages.known.len() >= MESSAGES_MAX {
            return Seen::Full;
        }
        messages.of.insert(workspace, of_one + 1);
        messages.known.insert(key, State::Running(watch::Sender::new(())));
        Seen::New(Ticket { remembered: self.clone(), key: Some(key) })
    }

    /// How many repeats wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Messages {
    /// Forgets what ended long ago.
    fn forget(&mut self, now: Instant) {
        while let Some((at, key)) = self.ended.front().copied()
            && now.saturating_duration_since(at) > KEPT_FOR
        {
            self.ended.pop_front();
            self.remove(&key);
            // Answers end in the order of all messages.
            if self.kept.front() == Some(&key) {
                self.kept.pop_front();
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(State::Answered(kept)) = self.known.remove(key) {
            self.bytes -= kept.body.len();
        }
        one_less(&mut self.of, &key.0);
    }

    /// One more waits, if there is room.
    fn one_waits(&mut self, workspace: WorkspaceId) -> bool {
        let of_one = self.waiting_of.get(&workspace).copied().unwrap_or_default();
        let room = of_one < WAITING_OF_ONE_MAX && self.waiting < WAITING_MAX;
        if room {
            self.waiting += 1;
            self.waiting_of.insert(workspace, of_one + 1);
        }
        room
    }

    fn end(&mut self, key: Key, state: State, now: Instant) {
        if let State::Answered(kept) = &state {
            self.bytes += kept.body.len();
            self.kept.push_back(key);
        }
        self.known.insert(key, state);
        self.ended.push_back((now, key));
        while self.bytes > BYTES_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            let dropped = self.known.insert(oldest, State::Lost(Lost::NotKept));
            if let Some(State::Answered(kept)) = dropped {
                self.bytes -= kept.body.len();
            }
        }
    }
}

fn one_less(counts: &mut HashMap<WorkspaceId, usize>, workspace: &WorkspaceId) {
    if let Some(count) = counts.get_mut(workspace) {
        *count -= 1;
        if *count == 0 {
            counts.remove(workspace);
        }
    }
}

/// One repeat that waits for the end of a message that runs. Dropping it makes room for another.
#[derive(Debug)]
pub struct Waiting {
    remembered: Remembered,
    workspace: WorkspaceId,
    over: watch::Receiver<()>,
}

impl Waiting {
    /// Returns when the message does not run any more, however it ended. Cancel safe.
    pub async fn over(&mut self) {
        // Nothing is ever sent: this ends with an error, when the sender is dropped.
        let _ = self.over.changed().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut messages = self.remembered.lock();
        messages.waiting -= 1;
        one_less(&mut messages.waiting_of, &self.workspace);
    }
}

/// One message that may run. Dropped before its end is told, it may have reached the agent.
#[derive(Debug)]
pub struct Ticket {
    remembered: Remembered,
    key: Option<Key>,
}

impl Ticket {
    /// It surely never reached the agent: it may come again.
    pub fn not_sent(mut self) {
        if let Some(key) = self.key.take() {
            self.remembered.lock().remove(&key);
        }
    }

    /// It was answered so. A longer answer than is kept is none.
    pub fn answered(self, kept: Kept, now: Instant) {
        match kept.body.len() <= ANSWER_BYTES_MAX {
            true => self.end(State::Answered(kept), now),
            false => self.lost(Lost::NotKept, now),
        }
    }

    /// It ended so.
    pub fn lost(self, why: Lost, now: Instant) {
        self.end(State::Lost(why), now);
    }

    fn end(mut self, state: State, now: Instant) {
        if let Some(key) = self.key.take() {
            self.remembered.lock().end(key, state, now);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.remembered.lock().end(key, State::Lost(Lost::Uncertain), Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const OTHER: &str = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ";

    fn workspace(id: &str) -> WorkspaceId {
        id.parse().unwrap()
    }

    fn id(text: &str) -> MessageId {
        MessageId::of(text)
    }

    fn answer(bytes: usize) -> Kept {
        Kept { status: StatusCode::OK, media: None, body: Bytes::from(vec![b'x'; bytes]) }
    }

    fn begun(memory: &Remembered, text: &str, now: Instant) -> Ticket {
        match memory.begin(workspace(ONE), id(text), now) {
            Seen::New(ticket) => ticket,
            seen => panic!("{text}: {seen:?}"),
        }
    }

    fn word(seen: Seen) -> &'static str {
        match seen {
            Seen::New(ticket) => {
                ticket.not_sent();
                "new"
            }
            Seen::Running(_) => "running",
            Seen::Answered(_) => "answered",
            Seen::Lost(Lost::Running) => "crowded",
            Seen::Lost(Lost::Uncertain) => "uncertain",
            Seen::Lost(Lost::Cut) => "cut",
            Seen::Lost(Lost::NotKept) => "not kept",
            Seen::Full => "full",
        }
    }

    #[test]
    fn each_end_of_a_message_has_its_answer_for_a_repeat() {
        type End = fn(Ticket, Instant);
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let ends: [(&str, End, &str); 6] = [
            ("not sent", |ticket, _| ticket.not_sent(), "new"),
            ("answered", |ticket, now| ticket.answered(answer(10), now), "answered"),
            ("long", |ticket, now| ticket.answered(answer(ANSWER_BYTES_MAX + 1), now), "not kept"),
            ("cut", |ticket, now| ticket.lost(Lost::Cut, now), "cut"),
            ("uncertain", |ticket, now| ticket.lost(Lost::Uncertain, now), "uncertain"),
            ("dropped", |ticket, _| drop(ticket), "uncertain"),
        ];
        let start = Instant::now();
        for (name, end, expected) in ends {
            let memory = Remembered::default();
            let ticket = begun(&memory, "m", start);
            let again = |id_of: &str, after| {
                word(memory.begin(workspace(id_of), id("m"), Instant::now() + after))
            };
            assert_eq!(again(ONE, minutes(40)), "running", "{name}: what runs is never forgotten");
            end(ticket, Instant::now());
            assert_eq!(again(ONE, minutes(0)), expected, "{name}");
            assert_eq!(again(ONE, minutes(10)), expected, "{name}, ten minutes later");
            assert_eq!(again(OTHER, minutes(0)), "new", "{name}, of another agent");
            assert_eq!(again(ONE, minutes(16)), "new", "{name}, long after");
            let messages = memory.lock();
            assert_eq!((messages.known.len(), messages.of.len(), messages.bytes), (0, 0, 0));
            assert!(messages.ended.is_empty() && messages.kept.is_empty(), "{name}");
        }
    }

    /// The end of what a repeat of `m` waits for.
    fn waits(memory: &Remembered, text: &str, now: Instant) -> Waiting {
        match memory.begin(workspace(ONE), id(text), now) {
            Seen::Running(waiting) => waiting,
            seen => panic!("{text}: {seen:?}"),
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_let_go_by_each_end_and_the_first_runs_what_never_ran() {
        let (memory, now) = (Remembered::default(), Instant::now());
        let ticket = begun(&memory, "m", now);
        let mut both = [waits(&memory, "m", now), waits(&memory, "m", now)];
        ticket.not_sent();
        for waiting in &mut both {
            waiting.over().await;
        }
        let ticket = begun(&memory, "m", now);
        let mut second = waits(&memory, "m", now);
        ticket.answered(answer(3), now);
        second.over().await;
        assert_eq!(word(memory.begin(workspace(ONE), id("m"), now)), "answered");
        let ticket = begun(&memory, "n", now);
        let mut third = waits(&memory, "n", now);
        drop(ticket);
        third.over().await;
        assert_eq!(word(memory.begin(workspace(ONE), id("n"), now)), "uncertain");
        drop((both, second, third));
        let messages = memory.lock();
        assert_eq!((messages.waiting, messages.waiting_of.len()), (0, 0));
    }

    #[test]
    fn those_who_wait_are_bounded_and_who_leaves_makes_room() {
        let (memory, now) = (Remembered::default(), Instant::now());
        let repeat = |of: &str, text: &str| memory.begin(workspace(of), id(text), now);
        let (mut tickets, mut waiting) = (Vec::new(), Vec::new());
        for n in 0..WAITING_OF_ONE_MAX / WAITING_FOR_ONE_MAX {
            tickets.push(begun(&memory, &n.to_string(), now));
            let many = (0..WAITING_FOR_ONE_MAX).map(|_| waits(&memory, &n.to_string(), now));
            waiting.extend(many);
            assert_eq!(word(repeat(ONE, &n.to_string())), "crowded");
        }
        tickets.push(begun(&memory, "one more", now));
        assert_eq!(word(repeat(ONE, "one more")), "crowded");
        let Seen::New(others) = repeat(OTHER, "m") else { panic!("it is new") };
        assert_eq!(word(repeat(OTHER, "m")), "running", "another agent's repeats have room");
        waiting.pop();
        assert_eq!(word(repeat(ONE, "one more")), "running");
        drop((waiting, tickets, others));
        assert_eq!(memory.lock().waiting, 0);
    }

    #[test]
    fn kept_answers_are_bounded_and_what_made_room_is_still_known() {
        let (memory, now) = (Remembered::default(), Instant::now());
        let most = BYTES_MAX / ANSWER_BYTES_MAX;
        for n in 0..=most {
            begun(&memory, &n.to_string(), now).answered(answer(ANSWER_BYTES_MAX), now);
        }
        assert_eq!(memory.lock().bytes, BYTES_MAX);
        assert_eq!(word(memory.begin(workspace(ONE), id("0"), now)), "not kept");
        assert_eq!(word(memory.begin(workspace(ONE), id("1"), now)), "answered");
    }

    #[test]
    fn an_agent_with_too_many_messages_harms_itself_alone() {
        let (memory, now) = (Remembered::default(), Instant::now());
        for n in 0..MESSAGES_OF_ONE_MAX {
            begun(&memory, &n.to_string(), now).lost(Lost::Cut, now);
        }
        assert_eq!(word(memory.begin(workspace(ONE), id("more"), now)), "full");
        assert_eq!(word(memory.begin(workspace(OTHER), id("more"), now)), "new");
        let later = now + KEPT_FOR + Duration::from_secs(1);
        assert_eq!(word(memory.begin(workspace(ONE), id("more"), later)), "new");
    }
}
