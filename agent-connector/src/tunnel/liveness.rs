//! Whether the path still works while somebody waits on it, or after it changed: pure.

use std::time::{Duration, Instant};

/// The relay was silent for so long while exchanges are open: ask.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// The relay did not answer for so long: the path is suspect.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Judges the silence of one link.
#[derive(Debug)]
pub(crate) struct Vigil {
    received: u64,
    heard_at: Instant,
    asked_at: Option<Instant>,
    suspected: bool,
    /// The path changed, and nothing has come over it since.
    doubtful: bool,
}

/// What a look at the link calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Nothing.
    Nothing,
    /// Send a PING.
    Ping,
    /// The path seems to be dead; told once for each silence.
    Suspect,
}

impl Vigil {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { received: 0, heard_at: now, asked_at: None, suspected: false, doubtful: false }
    }

    /// The path changed, when so many datagrams had come: until one more comes, it is looked at as if
    /// somebody waited.
    pub(crate) const fn doubt(&mut self, now: Instant, received: u64) {
        *self = Self { received, doubtful: true, ..Self::new(now) };
    }

    /// Looks at the number of datagrams that came so far.
    pub(crate) fn look(&mut self, now: Instant, received: u64, exchanges_open: bool) -> Call {
        if received != self.received || !(exchanges_open || self.doubtful) {
            *self = Self { received, ..Self::new(now) };
            return Call::Nothing;
        }
        match self.asked_at {
            None if now.duration_since(self.heard_at) >= SILENCE_MAX => {
                self.asked_at = Some(now);
                Call::Ping
            }
            Some(asked) if !self.suspected && now.duration_since(asked) >= ANSWER_MAX => {
                self.suspected = true;
                Call::Suspect
            }
            _ => Call::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_then_suspected_once() {
        let start = Instant::now();
        let mut vigil = Vigil::new(start);
        for (second, received, open, call) in [
            (0, 5, true, Call::Nothing),
            (1, 5, true, Call::Ping),
            (2, 5, true, Call::Nothing),
            (3, 5, true, Call::Suspect),
            (9, 5, true, Call::Nothing),
            (10, 6, true, Call::Nothing),
            (11, 6, true, Call::Ping),
            (12, 7, true, Call::Nothing),
            (13, 7, true, Call::Ping),
            (20, 7, false, Call::Nothing),
            (21, 7, true, Call::Ping),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(vigil.look(now, received, open), call, "at {second} s");
        }
    }

    #[test]
    fn a_path_that_changed_is_asked_about_though_nobody_waits() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut vigil = Vigil::new(start);
        assert_eq!(vigil.look(at(0), 3, false), Call::Nothing);
        vigil.doubt(at(0), 5);
        assert_eq!(vigil.look(at(0), 5, false), Call::Nothing);
        assert_eq!(vigil.look(at(1), 5, false), Call::Ping);
        assert_eq!(vigil.look(at(3), 5, false), Call::Suspect);
        assert_eq!(vigil.look(at(4), 6, false), Call::Nothing);
        assert_eq!(vigil.look(at(9), 6, false), Call::Nothing, "it has answered");
    }
}
