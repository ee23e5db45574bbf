//! When to dial again, and when never: pure decisions.

use std::time::Duration;

use shared::codes::{CloseCode, RefusalCode};

/// The first wait is up to this long, and each further one up to twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait while the network fails: an agent is back within seconds of its network.
const NETWORK_WAIT_MAX: Duration = Duration::from_secs(4);
/// Longest wait while a relay refuses: it has said no, and asking costs it.
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(15);
/// Shortest wait after another connector took over: two with one identity must not fight.
const REPLACED_WAIT_MIN: Duration = Duration::from_secs(30);
/// Spread over the shortest wait after a takeover.
const REPLACED_WAIT_SPREAD: Duration = Duration::from_secs(15);
/// No relay makes a connector wait for longer.
const TOLD_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The relay cannot be reached, or the link was lost.
    Network,
    /// Whoever answers there is not the relay that was joined.
    WrongAuthority,
    /// The two ends speak no common version.
    Version,
    /// The relay refused the first message.
    Refused(RefusalCode),
    /// The relay closed the link.
    Closed(CloseCode),
    /// This machine cannot keep or use the identity.
    Local,
}

/// How patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The network fails.
    Network,
    /// The relay refuses.
    Refusal,
    /// Another connector took over.
    Replaced,
}

/// Why there will be no link any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The credential is refused for good.
    Credentials,
    /// The two ends speak no common version.
    Version,
    /// What the connector runs on cannot be used.
    Configuration,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Dial again.
    Again(Pace),
    /// Renew the certificate first.
    Renew,
    /// Give up.
    End(End),
}

/// Judges a failure. `welcomed`: this process has had a link, so that what it was given is right,
/// and a final-looking no may be the relay's own trouble.
pub fn judge(trouble: &Trouble, welcomed: bool) -> Verdict {
    match trouble {
        Trouble::Network => Verdict::Again(Pace::Network),
        Trouble::WrongAuthority => unless(welcomed, End::Credentials),
        Trouble::Local => unless(welcomed, End::Configuration),
        Trouble::Version => unless(welcomed, End::Version),
        Trouble::Refused(RefusalCode::Revoked | RefusalCode::WorkspaceGone) => {
            Verdict::End(End::Credentials)
        }
        Trouble::Refused(RefusalCode::CertificateExpired) => Verdict::Renew,
        Trouble::Refused(RefusalCode::Version) => unless(welcomed, End::Version),
        Trouble::Refused(code) if code.is_final() => unless(welcomed, End::Credentials),
        Trouble::Refused(_) => Verdict::Again(Pace::Refusal),
        Trouble::Closed(code) => judge_close(*code, welcomed),
    }
}

fn judge_close(code: CloseCode, welcomed: bool) -> Verdict {
    match code {
        CloseCode::Revoked => Verdict::End(End::Credentials),
        CloseCode::Replaced => Verdict::Again(Pace::Replaced),
        CloseCode::WrongWorkspace => unless(welcomed, End::Credentials),
        CloseCode::Version => unless(welcomed, End::Version),
        CloseCode::Refused | CloseCode::Overloaded | CloseCode::Protocol => {
            Verdict::Again(Pace::Refusal)
        }
        CloseCode::Done | CloseCode::Draining | CloseCode::Timeout => Verdict::Again(Pace::Network),
    }
}

fn unless(welcomed: bool, end: End) -> Verdict {
    if welcomed { Verdict::Again(Pace::Refusal) } else { Verdict::End(end) }
}

/// The wait before the next dial after `failures` in a row, at `fraction` of its range, 0 to 1.
/// A wait that the relay asks for is kept to, within reason.
pub fn wait(pace: Pace, failures: u32, fraction: f64, told: Option<Duration>) -> Duration {
    let cap = match pace {
        Pace::Network => NETWORK_WAIT_MAX,
        Pace::Refusal => REFUSAL_WAIT_MAX,
        Pace::Replaced => return REPLACED_WAIT_MIN + REPLACED_WAIT_SPREAD.mul_f64(fraction),
    };
    let ceiling = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures)).min(cap);
    let own = ceiling.mul_f64(fraction);
    own.max(told.unwrap_or_default().min(TOLD_WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_final_before_the_first_welcome_is_not_after_it() {
        use CloseCode as C;
        use RefusalCode as R;
        let end = Verdict::End(End::Credentials);
        let version = Verdict::End(End::Version);
        let refusal = Verdict::Again(Pace::Refusal);
        let network = Verdict::Again(Pace::Network);
        let replaced = Verdict::Again(Pace::Replaced);
        for (trouble, before, after) in [
            (Trouble::Network, network, network),
            (Trouble::WrongAuthority, end, refusal),
            (Trouble::Local, Verdict::End(End::Configuration), refusal),
            (Trouble::Version, version, refusal),
            (Trouble::Refused(R::Version), version, refusal),
            (Trouble::Refused(R::Unauthenticated), end, refusal),
            (Trouble::Refused(R::UnknownCredential), end, refusal),
            (Trouble::Refused(R::WrongWorkspace), end, refusal),
            (Trouble::Refused(R::JoinUnknown), end, refusal),
            (Trouble::Refused(R::JoinUsed), end, refusal),
            (Trouble::Refused(R::JoinExpired), end, refusal),
            (Trouble::Refused(R::Revoked), end, end),
            (Trouble::Refused(R::WorkspaceGone), end, end),
            (Trouble::Refused(R::CertificateExpired), Verdict::Renew, Verdict::Renew),
            (Trouble::Refused(R::Overloaded), refusal, refusal),
            (Trouble::Refused(R::Draining), refusal, refusal),
            (Trouble::Refused(R::StoreUnavailable), refusal, refusal),
            (Trouble::Refused(R::Malformed), refusal, refusal),
            (Trouble::Refused(R::Other("SOLAR_FLARE".into())), refusal, refusal),
            (Trouble::Closed(C::Revoked), end, end),
            (Trouble::Closed(C::WrongWorkspace), end, refusal),
            (Trouble::Closed(C::Version), version, refusal),
            (Trouble::Closed(C::Replaced), replaced, replaced),
            (Trouble::Closed(C::Refused), refusal, refusal),
            (Trouble::Closed(C::Overloaded), refusal, refusal),
            (Trouble::Closed(C::Protocol), refusal, refusal),
            (Trouble::Closed(C::Done), network, network),
            (Trouble::Closed(C::Draining), network, network),
            (Trouble::Closed(C::Timeout), network, network),
        ] {
            assert_eq!(judge(&trouble, false), before, "{trouble:?} before the first WELCOME");
            assert_eq!(judge(&trouble, true), after, "{trouble:?} after the first WELCOME");
        }
    }

    #[test]
    fn waits_double_up_to_their_cap_with_full_jitter() {
        let ms = Duration::from_millis;
        for (pace, failures, fraction, told, expected) in [
            (Pace::Network, 0, 0.0, None, ms(0)),
            (Pace::Network, 0, 1.0, None, ms(100)),
            (Pace::Network, 1, 1.0, None, ms(200)),
            (Pace::Network, 3, 0.5, None, ms(400)),
            (Pace::Network, 5, 1.0, None, ms(3200)),
            (Pace::Network, 6, 1.0, None, ms(4000)),
            (Pace::Network, u32::MAX, 1.0, None, ms(4000)),
            (Pace::Refusal, 6, 1.0, None, ms(6400)),
            (Pace::Refusal, 40, 1.0, None, ms(15_000)),
            (Pace::Refusal, 0, 0.1, Some(ms(5000)), ms(5000)),
            (Pace::Network, 0, 0.1, Some(ms(900_000)), ms(60_000)),
            (Pace::Replaced, 0, 0.0, None, ms(30_000)),
            (Pace::Replaced, 9, 1.0, None, ms(45_000)),
        ] {
            let waited = wait(pace, failures, fraction, told);
            assert_eq!(waited, expected, "{pace:?} {failures} {fraction}");
        }
    }
}
