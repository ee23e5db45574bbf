//! What reached the agent: one entry for each request head, so that a doubled request shows.

use crate::{Fingerprint, until};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// One request head that reached the agent, and what became of it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The request's `x-test-id`, else the `messageId` in its body, else empty.
    pub id: String,
    /// Its method.
    pub method: String,
    /// Its path and query as received.
    pub path: String,
    /// Its fields as received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// When the head was there.
    pub head_at: SystemTime,
    /// Its body.
    pub body: BodySeen,
    /// The agent's answer to it.
    pub answer: Answer,
}

impl Delivery {
    /// The first value of a field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The whole body, if it came.
    #[must_use]
    pub fn whole_body(&self) -> Option<&Fingerprint> {
        match &self.body {
            BodySeen::Complete(body) => Some(body),
            BodySeen::Reading | BodySeen::Cut { .. } => None,
        }
    }
}

/// How much of a request's body the agent has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodySeen {
    /// Not all of it yet, or it was never read.
    Reading,
    /// All of it.
    Complete(Fingerprint),
    /// It broke off after so many bytes.
    Cut {
        /// Bytes before the break.
        length: u64,
    },
}

/// What became of the agent's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not all of it is written.
    Pending,
    /// The agent wrote all of it.
    Finished,
    /// Whoever asked went away before that.
    Abandoned,
}

/// The journal; clones share it.
#[derive(Clone, Default)]
pub struct Journal(Arc<Inner>);

#[derive(Default)]
struct Inner {
    deliveries: Mutex<Vec<Delivery>>,
    file: Option<File>,
}

impl Journal {
    /// A journal that also appends each event to a file, one line and one write for each, so that
    /// what happened before a kill is on record.
    #[must_use]
    pub fn in_file(path: &Path) -> Journal {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = Some(file.unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        Journal(Arc::new(Inner { deliveries: Mutex::default(), file }))
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.lock().clone()
    }

    /// The entries of one id, oldest first.
    #[must_use]
    pub fn of(&self, id: &str) -> Vec<Delivery> {
        self.lock().iter().filter(|delivery| delivery.id == id).cloned().collect()
    }

    /// Waits until the head of this id is here.
    pub async fn until_head(&self, id: &str, deadline: Duration) -> Delivery {
        let fact = format!("the head of {id} reaches the agent");
        until(&fact, deadline, async || self.of(id).pop()).await
    }

    /// Waits until the whole body of this id is here.
    pub async fn until_complete(&self, id: &str, deadline: Duration) -> Delivery {
        let fact = format!("the whole body of {id} reaches the agent");
        let whole = |delivery: Delivery| delivery.whole_body().is_some().then_some(delivery);
        until(&fact, deadline, async || self.of(id).into_iter().find_map(whole)).await
    }

    /// Waits until the agent has noticed that whoever asked with this id went away.
    pub async fn until_abandoned(&self, id: &str, deadline: Duration) {
        let fact = format!("the agent notices that the caller of {id} left");
        let left = |delivery: &Delivery| delivery.answer == Answer::Abandoned;
        until(&fact, deadline, async || self.of(id).iter().any(left)).await;
    }

    /// Records a head.
    #[must_use]
    pub fn head(&self, method: &str, path: &str, headers: Vec<(String, String)>) -> Entry {
        let id = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-test-id"));
        let delivery = Delivery {
            id: id.map(|(_, value)| value.clone()).unwrap_or_default(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            head_at: SystemTime::now(),
            body: BodySeen::Reading,
            answer: Answer::Pending,
        };
        let mut deliveries = self.lock();
        let entry = Entry { journal: self.clone(), number: deliveries.len() };
        let at = delivery.head_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        entry.write(json!({
            "event": "head", "id": delivery.id, "method": method, "path": path,
            "headers": delivery.headers, "at_us": at.as_micros() as u64,
        }));
        deliveries.push(delivery);
        entry
    }

    /// Reads a journal file of one or several lives of an agent; a last line that a kill tore is
    /// left out.
    #[must_use]
    pub fn read_file(path: &Path) -> Vec<Delivery> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let (mut deliveries, mut places) = (Vec::new(), HashMap::new());
        for event in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let key = (event["pid"].as_u64().unwrap_or(0), event["number"].as_u64().unwrap_or(0));
            if event["event"] == "head" {
                places.insert(key, deliveries.len());
                deliveries.push(read_head(&event));
            } else if let Some(place) = places.get(&key) {
                read_change(&mut deliveries[*place], &event);
            }
        }
        deliveries
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.0.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_head(event: &Value) -> Delivery {
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let at = Duration::from_micros(event["at_us"].as_u64().unwrap_or(0));
    Delivery {
        id: text("id"),
        method: text("method"),
        path: text("path"),
        headers: serde_json::from_value(event["headers"].clone()).unwrap_or_default(),
        head_at: UNIX_EPOCH + at,
        body: BodySeen::Reading,
        answer: Answer::Pending,
    }
}

fn read_change(delivery: &mut Delivery, event: &Value) {
    match event["event"].as_str().unwrap_or_default() {
        "named" => delivery.id = event["id"].as_str().unwrap_or_default().to_owned(),
        "complete" => {
            let body = serde_json::from_value(event["body"].clone());
            delivery.body = body.map_or(BodySeen::Reading, BodySeen::Complete);
        }
        "cut" => delivery.body = BodySeen::Cut { length: event["length"].as_u64().unwrap_or(0) },
        "finished" => delivery.answer = Answer::Finished,
        "abandoned" => delivery.answer = Answer::Abandoned,
        _ => {}
    }
}

/// The pen for one entry of the journal.
#[derive(Clone)]
pub struct Entry {
    journal: Journal,
    number: usize,
}

impl Entry {
    /// The request's id became known with its body; an id from its head stays.
    pub fn named(&self, id: &str) {
        let unnamed = self.change(|delivery| {
            let unnamed = delivery.id.is_empty();
            if unnamed {
                id.clone_into(&mut delivery.id);
            }
            unnamed
        });
        if unnamed {
            self.write(json!({"event": "named", "id": id}));
        }
    }

    /// The whole body is here.
    pub fn complete(&self, body: Fingerprint) {
        self.write(json!({"event": "complete", "body": body}));
        self.change(|delivery| delivery.body = BodySeen::Complete(body));
    }

    /// The body broke off.
    pub fn cut(&self, length: u64) {
        self.write(json!({"event": "cut", "length": length}));
        self.change(|delivery| delivery.body = BodySeen::Cut { length });
    }

    /// The whole answer is written.
    pub fn finished(&self) {
        self.write(json!({"event": "finished"}));
        self.change(|delivery| delivery.answer = Answer::Finished);
    }

    /// Whoever asked went away before the whole answer was written.
    pub fn abandoned(&self) {
        self.write(json!({"event": "abandoned"}));
        self.change(|delivery| delivery.answer = Answer::Abandoned);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Delivery) -> T) -> T {
        change(&mut self.journal.lock()[self.number])
    }

    fn write(&self, mut event: Value) {
        if let Some(mut file) = self.journal.0.file.as_ref() {
            event["pid"] = std::process::id().into();
            event["number"] = self.number.into();
            file.write_all(format!("{event}\n").as_bytes()).expect("the journal can be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_what_the_memory_tells() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let journal = Journal::in_file(&path);
        let id = vec![("x-test-id".to_owned(), "one".to_owned())];
        let first = journal.head("POST", "/a2a", id);
        first.complete(Fingerprint::of(b"abc"));
        first.named("not this");
        first.finished();
        let second = journal.head("POST", "/a2a", Vec::new());
        second.named("two");
        second.cut(5);
        second.abandoned();
        let torn = OpenOptions::new().append(true).open(&path);
        torn.expect("a file").write_all(b"{\"event\":\"he").expect("written");
        for deliveries in [journal.deliveries(), Journal::read_file(&path)] {
            assert_eq!(deliveries.len(), 2);
            assert_eq!(deliveries[0].id, "one");
            assert_eq!(deliveries[0].whole_body(), Some(&Fingerprint::of(b"abc")));
            assert_eq!(deliveries[0].answer, Answer::Finished);
            assert_eq!(deliveries[1].id, "two");
            assert_eq!(deliveries[1].body, BodySeen::Cut { length: 5 });
            assert_eq!(deliveries[1].answer, Answer::Abandoned);
        }
    }
}
