//! The last good public card of each agent, for the time that it is away.
//!
//! Cards are kept as the agent answered, and edited anew for whoever asks. Bounded per workspace and in
//! all; in memory alone, so that a removed workspace leaves nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, DATE, HeaderName, HeaderValue,
    SET_COOKIE, VARY,
};
use shared::ids::WorkspaceId;

use crate::registry::Workspace;

/// Cards of one workspace: one for each version of A2A that callers ask in, and a few queries.
const PER_WORKSPACE_MAX: usize = 4;
/// Bytes of all cards, with what is kept beside them: a thousand agents with cards of 64 KiB.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry takes besides its body, bytes: its fields, mostly.
const ENTRY_BYTES: usize = 4 * 1024;
/// Fields of which an answer may depend and still be kept: they are the key, or fixed by the relay.
const KNOWN_VARIATIONS: [&str; 3] = ["a2a-version", "accept-encoding", "origin"];

static A2A_VERSION: HeaderName = HeaderName::from_static("a2a-version");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What was asked for, of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    query: Option<String>,
    version: Option<HeaderValue>,
}

impl Key {
    /// The key of a request for the public card; `None` for one that shows who asks, whose answer may be
    /// for that caller alone.
    pub fn of(query: Option<&str>, fields: &HeaderMap) -> Option<Self> {
        let personal = fields.contains_key(AUTHORIZATION) || fields.contains_key(COOKIE);
        let version = fields.get(&A2A_VERSION).cloned();
        (!personal).then(|| Self { query: query.map(str::to_owned), version })
    }
}

/// A card as its agent answered it.
#[derive(Debug, Clone)]
pub struct Card {
    /// The fields of the answer.
    pub fields: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The agent's origins at that time.
    pub origins: Vec<String>,
    good_at: Instant,
    /// As the workspace was then: when its policy has changed, so may what the card says.
    workspace: Arc<Workspace>,
}

impl Card {
    /// Seconds since it was known to be good.
    pub fn age(&self) -> u64 {
        let before = self.fields.get(AGE).and_then(|age| age.to_str().ok());
        let before = before.and_then(|age| age.parse::<u64>().ok()).unwrap_or_default();
        before.saturating_add(self.good_at.elapsed().as_secs())
    }
}

/// The cards of all agents. One for the process.
#[derive(Debug, Default)]
pub struct KeptCards(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    cards: HashMap<WorkspaceId, Vec<(Key, Card)>>,
    bytes: usize,
}

impl KeptCards {
    /// Keeps what an agent just answered, if it may be kept.
    pub fn keep(
        &self,
        workspace: &Arc<Workspace>,
        key: Key,
        fields: &HeaderMap,
        body: &Bytes,
        origins: &[String],
    ) {
        let mut state = self.lock();
        state.remove(&workspace.id, &key);
        if !may_be_kept(fields) {
            return;
        }
        let mut fields = fields.clone();
        for name in [&CONNECTION, &DATE, &X_REQUEST_ID] {
            fields.remove(name);
        }
        let card = Card {
            fields,
            body: body.clone(),
            origins: origins.to_vec(),
            good_at: Instant::now(),
            workspace: Arc::clone(workspace),
        };
        state.insert(workspace.id, key, card);
    }

    /// The agent said that the card is still the same.
    pub fn confirm(&self, workspace: &WorkspaceId, key: &Key) {
        let mut state = self.lock();
        let cards = state.cards.get_mut(workspace).into_iter().flatten();
        for (_, card) in cards.filter(|(kept, _)| kept == key) {
            card.good_at = Instant::now();
        }
    }

    /// The card of a workspace as that is now.
    pub fn find(&self, workspace: &Workspace, key: &Key) -> Option<Card> {
        let state = self.lock();
        let (_, card) = state.cards.get(&workspace.id)?.iter().find(|(kept, _)| kept == key)?;
        let policy = |workspace: &Workspace| {
            (workspace.address, workspace.callers, workspace.expose, workspace.strict_card)
        };
        (policy(&card.workspace) == policy(workspace)).then(|| card.clone())
    }

    /// Forgets the cards of a workspace.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.lock().remove_all(workspace);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, workspace: WorkspaceId, key: Key, card: Card) {
        let bytes = size(&card);
        if bytes > BYTES_MAX {
            return;
        }
        if self.cards.get(&workspace).is_some_and(|cards| cards.len() >= PER_WORKSPACE_MAX) {
            self.remove_oldest_of(&workspace);
        }
        while self.bytes + bytes > BYTES_MAX {
            let good_at =
                |cards: &Vec<(Key, Card)>| cards.iter().map(|(_, card)| card.good_at).min();
            let oldest = self.cards.iter().min_by_key(|(_, cards)| good_at(cards));
            let Some(oldest) = oldest.map(|(workspace, _)| *workspace) else { break };
            self.remove_all(&oldest);
        }
        self.bytes += bytes;
        self.cards.entry(workspace).or_default().push((key, card));
    }

    fn remove(&mut self, workspace: &WorkspaceId, key: &Key) {
        self.retain(workspace, |kept, _| kept != key);
    }

    fn remove_oldest_of(&mut self, workspace: &WorkspaceId) {
        let cards = self.cards.get(workspace);
        let oldest = cards.and_then(|cards| cards.iter().map(|(_, card)| card.good_at).min());
        self.retain(workspace, |_, card| Some(card.good_at) != oldest);
    }

    fn remove_all(&mut self, workspace: &WorkspaceId) {
        self.retain(workspace, |_, _| false);
    }

    fn retain(&mut self, workspace: &WorkspaceId, keep: impl Fn(&Key, &Card) -> bool) {
        let Some(cards) = self.cards.get_mut(workspace) else { return };
        let mut freed = 0;
        cards.retain(|(key, card)| {
            let stays = keep(key, card);
            freed += if stays { 0 } else { size(card) };
            stays
        });
        let empty = cards.is_empty();
        self.bytes = self.bytes.saturating_sub(freed);
        if empty {
            self.cards.remove(workspace);
        }
    }
}

fn size(card: &Card) -> usize {
    let fields = card.fields.iter().map(|(name, value)| name.as_str().len() + value.len());
    ENTRY_BYTES + card.body.len() + fields.sum::<usize>()
}

/// Whether the answer is for everybody, and not only for now.
fn may_be_kept(fields: &HeaderMap) -> bool {
    let words = |name| {
        let values = fields.get_all(name).iter();
        values
            .flat_map(|value| value.to_str().unwrap_or("*").split(','))
            .map(|word| word.split('=').next().unwrap_or_default().trim().to_ascii_lowercase())
    };
    !fields.contains_key(SET_COOKIE)
        && !words(CACHE_CONTROL).any(|word| word == "private" || word == "no-store")
        && words(VARY).all(|word| KNOWN_VARIATIONS.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::CallerPolicy;

    fn workspace() -> Workspace {
        Workspace::sample()
    }

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(field).collect()
    }

    fn kept(cards: &KeptCards, workspace: &Workspace, key: &Key) -> bool {
        cards.find(workspace, key).is_some()
    }

    #[test]
    fn what_is_for_one_caller_or_for_now_is_not_kept() {
        let workspace = Arc::new(workspace());
        let key = Key::of(None, &HeaderMap::new()).unwrap();
        for (answer, expected) in [
            (&[][..], true),
            (&[("cache-control", "public, max-age=60")], true),
            (&[("vary", "Accept-Encoding, A2A-Version")], true),
            (&[("cache-control", "max-age=60, No-Store")], false),
            (&[("cache-control", "private=\"x\"")], false),
            (&[("set-cookie", "a=b")], false),
            (&[("vary", "*")], false),
            (&[("vary", "accept-language")], false),
        ] {
            let cards = KeptCards::default();
            // What cannot be kept takes the place of what was, all the same.
            cards.keep(&workspace, key.clone(), &HeaderMap::new(), &Bytes::new(), &[]);
            cards.keep(&workspace, key.clone(), &fields(answer), &Bytes::new(), &[]);
            assert_eq!(kept(&cards, &workspace, &key), expected, "{answer:?}");
        }
        for personal in ["authorization", "cookie"] {
            assert_eq!(Key::of(None, &fields(&[(personal, "x")])), None);
        }
    }

    #[test]
    fn another_question_and_another_policy_have_no_card() {
        let (cards, workspace) = (KeptCards::default(), Arc::new(workspace()));
        let key = Key::of(Some("a"), &fields(&[("a2a-version", "1.0")])).unwrap();
        cards.keep(&workspace, key.clone(), &HeaderMap::new(), &Bytes::new(), &[]);
        assert!(kept(&cards, &workspace, &key));
        for (query, version) in [(None, "1.0"), (Some("a"), "0.3"), (Some("b"), "1.0")] {
            let other = Key::of(query, &fields(&[("a2a-version", version)])).unwrap();
            assert!(!kept(&cards, &workspace, &other), "{other:?}");
        }
        let changed = Workspace { callers: CallerPolicy::Token, ..(*workspace).clone() };
        assert!(!kept(&cards, &changed, &key));
        cards.forget(&workspace.id);
        assert!(!kept(&cards, &workspace, &key));
    }

    #[test]
    fn cards_are_bounded_per_workspace_and_in_all() {
        let (cards, base) = (KeptCards::default(), workspace());
        let body = Bytes::from(vec![b' '; 256 * 1024]);
        for number in 0..400_u128 {
            let id = WorkspaceId::new(ulid::Ulid::from(number));
            let workspace = Arc::new(Workspace { id, ..base.clone() });
            let key = Key::of(None, &HeaderMap::new()).unwrap();
            cards.keep(&workspace, key, &HeaderMap::new(), &body, &[]);
        }
        assert!(cards.lock().bytes <= BYTES_MAX);
        assert!((200..=256).contains(&cards.lock().cards.len()), "the newest stay");
        let workspace = Arc::new(base);
        for number in 0..10 {
            let query = number.to_string();
            let key = Key::of(Some(&query), &HeaderMap::new()).unwrap();
            cards.keep(&workspace, key, &HeaderMap::new(), &Bytes::new(), &[]);
        }
        assert!(cards.lock().cards[&workspace.id].len() <= PER_WORKSPACE_MAX);
        let all: Vec<WorkspaceId> = cards.lock().cards.keys().copied().collect();
        for id in all {
            cards.forget(&id);
        }
        assert_eq!(cards.lock().bytes, 0);
    }
}
