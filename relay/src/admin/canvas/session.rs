//! Sessions of the canvas: who gave the admin token once need not give it again for half a day.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use certs::random::{RandomError, random_bytes};
use data_encoding::BASE32_NOPAD;
use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest, Sha256};

/// The cookie's name.
const COOKIE_NAME: &str = "relay_session";
/// A working day and its breaks.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at a time; the oldest makes way. A few operators with a few browsers each.
const SESSIONS_MAX: usize = 64;

/// The open sessions, in memory alone: a restart of the relay ends them.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Each begins at this moment.
    open: Mutex<HashMap<Key, Instant>>,
}

/// A session, known by the SHA-256 of its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl Sessions {
    /// Begins a session; answers its `Set-Cookie`.
    pub(crate) fn begin(&self, now: Instant) -> Result<String, RandomError> {
        let random: [u8; 32] = random_bytes()?;
        let secret = BASE32_NOPAD.encode(&random).to_lowercase();
        let mut open = self.open();
        open.retain(|_, begun| now.saturating_duration_since(*begun) < LIFE);
        while open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, begun)| **begun).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                open.remove(&oldest);
            }
        }
        open.insert(Key::of(&secret), now);
        Ok(cookie(&secret, LIFE))
    }

    /// The session that these fields show, if it is open.
    pub(crate) fn find(&self, fields: &HeaderMap, now: Instant) -> Option<Key> {
        // A browser that was given another by a neighbour on the same host sends both.
        secrets(fields).map(Key::of).find(|key| self.is_open(key, now))
    }

    /// Whether a session goes on.
    pub(crate) fn is_open(&self, key: &Key, now: Instant) -> bool {
        let open = self.open();
        open.get(key).is_some_and(|begun| now.saturating_duration_since(*begun) < LIFE)
    }

    /// Ends the sessions that these fields show; answers the `Set-Cookie` that forgets them.
    pub(crate) fn end(&self, fields: &HeaderMap) -> String {
        let mut open = self.open();
        for secret in secrets(fields) {
            open.remove(&Key::of(secret));
        }
        cookie("", Duration::ZERO)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No `Secure`: this listener has no TLS, and a browser on another machine would drop the cookie.
fn cookie(secret: &str, life: Duration) -> String {
    let seconds = life.as_secs();
    format!("{COOKIE_NAME}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}")
}

/// What the cookies of our name hold.
fn secrets(fields: &HeaderMap) -> impl Iterator<Item = &str> {
    let texts = fields.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (name, secret) = pair.trim().split_once('=')?;
        (name == COOKIE_NAME).then_some(secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser sends that was given this cookie.
    fn fields(set_cookie: &str) -> HeaderMap {
        let pair = set_cookie.split(';').next().unwrap();
        let text = format!("other=1; {COOKIE_NAME}=stale; {pair}");
        HeaderMap::from_iter([(COOKIE, text.parse().unwrap())])
    }

    #[test]
    fn a_session_lives_half_a_day_or_until_it_is_ended() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let given = sessions.begin(now).unwrap();
        assert!(given.ends_with("; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"), "{given}");
        let secret = given.split(['=', ';']).nth(1).unwrap();
        assert_eq!(secret.len(), 52, "256 bits");
        assert!(!format!("{sessions:?}").contains(secret), "it is stored hashed");
        let key = sessions.find(&fields(&given), now).unwrap();
        assert!(sessions.is_open(&key, now + LIFE - Duration::from_secs(1)));
        assert!(!sessions.is_open(&key, now + LIFE));
        assert!(sessions.find(&fields("relay_session=guess"), now).is_none());
        assert!(sessions.find(&HeaderMap::new(), now).is_none());
        assert!(sessions.end(&fields(&given)).contains("=; ") && !sessions.is_open(&key, now));
    }

    #[test]
    fn the_oldest_session_makes_way() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let begin = |n| sessions.begin(now + Duration::from_secs(n)).unwrap();
        let (first, second) = (begin(0), begin(1));
        for n in 2..=SESSIONS_MAX as u64 {
            begin(n);
        }
        let now = now + Duration::from_secs(100);
        assert!(sessions.find(&fields(&first), now).is_none());
        assert!(sessions.find(&fields(&second), now).is_some());
        assert_eq!(sessions.open().len(), SESSIONS_MAX);
    }
}
