//! Which transport carries a link: QUIC if it gets through, TCP where it does not.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use shared::codes::CloseCode;
use tokio::time::timeout;
use transport::Kind;

use super::error::LinkError;
use crate::config::Transport;

/// TCP begins so long after QUIC: most handshakes of QUIC are over by then, with the first answer.
pub(crate) const HEAD_START: Duration = Duration::from_millis(250);

/// Attempts it over what `transport` allows, TCP so long after QUIC, and answers what comes about first; the
/// other attempt is dropped. Cancel safe if `attempt` is.
pub(crate) async fn race<T, F>(
    transport: Transport,
    head_start: Duration,
    attempt: impl Fn(Kind) -> F,
) -> Result<T, LinkError>
where
    F: Future<Output = Result<T, LinkError>>,
{
    match transport {
        Transport::Quic => return attempt(Kind::Quic).await,
        Transport::Tcp => return attempt(Kind::Tcp).await,
        Transport::Auto => {}
    }
    let mut quic = pin!(attempt(Kind::Quic));
    let mut tcp = pin!(attempt(Kind::Tcp));
    let over_quic = match timeout(head_start, quic.as_mut()).await {
        Ok(over_quic) => over_quic,
        Err(_) => tokio::select! {
            over_quic = quic.as_mut() => over_quic,
            over_tcp = tcp.as_mut() => return match over_tcp {
                Err(error) if !settles(&error) => quic.await.map_err(|first| telling(first, error)),
                settled => settled,
            },
        },
    };
    match over_quic {
        Err(error) if !settles(&error) => tcp.await.map_err(|second| telling(error, second)),
        settled => settled,
    }
}

/// Whether the relay has spoken, so that it would say the same over the other transport. A link that
/// came second is closed with DONE, and the first goes on.
fn settles(error: &LinkError) -> bool {
    match error {
        LinkError::Closed(code) => *code != CloseCode::Done,
        LinkError::Refused(_) | LinkError::Revoked(_) => true,
        _ => false,
    }
}

/// Of two failures the one that tells more. Over UDP nobody answers by chance; over TCP a stranger may.
fn telling(quic: LinkError, tcp: LinkError) -> LinkError {
    if quic.reached_somebody() { quic } else { quic.or_beside_silence(tcp) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// What happens over one transport, and when.
    #[derive(Clone, Copy)]
    enum Fate {
        Up(u64),
        Silent(u64),
        Refused(u64),
        Redundant(u64),
    }

    async fn meet(fate: Fate, kind: Kind) -> Result<Kind, LinkError> {
        let endpoint = || "relay.example:4433".to_owned();
        match fate {
            Fate::Up(ms) => {
                sleep(Duration::from_millis(ms)).await;
                Ok(kind)
            }
            Fate::Silent(ms) => {
                sleep(Duration::from_millis(ms)).await;
                let source = io::ErrorKind::TimedOut.into();
                Err(LinkError::NoConnection { endpoint: endpoint(), source })
            }
            Fate::Refused(ms) => {
                sleep(Duration::from_millis(ms)).await;
                Err(LinkError::Closed(CloseCode::Overloaded))
            }
            Fate::Redundant(ms) => {
                sleep(Duration::from_millis(ms)).await;
                Err(LinkError::Closed(CloseCode::Done))
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn quic_has_a_head_start_and_what_comes_first_wins() {
        use Fate::{Redundant, Refused, Silent, Up};
        let (quic, tcp) = (Some(Kind::Quic), Some(Kind::Tcp));
        for (over_quic, over_tcp, winner, after_ms) in [
            (Up(100), Up(0), quic, 100),
            (Up(300), Up(100), quic, 300),
            (Up(400), Up(100), tcp, 350),
            (Silent(5000), Up(100), tcp, 350),
            (Silent(10), Up(100), tcp, 110),
            (Up(3000), Silent(0), quic, 3000),
            (Refused(50), Up(0), None, 50),
            (Silent(5000), Refused(50), None, 300),
            (Silent(5000), Silent(0), None, 5000),
            (Redundant(400), Up(300), tcp, 550),
            (Up(500), Redundant(100), quic, 500),
        ] {
            let began = Instant::now();
            let attempt = |kind| match kind {
                Kind::Quic => meet(over_quic, kind),
                Kind::Tcp => meet(over_tcp, kind),
            };
            let won = race(Transport::Auto, HEAD_START, attempt).await.ok();
            assert_eq!((won, began.elapsed().as_millis()), (winner, after_ms));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_head_start_both_begin_at_once_and_none_is_left_out() {
        use Fate::{Silent, Up};
        for (over_quic, over_tcp, winner, after_ms) in [
            (Silent(5000), Up(100), Kind::Tcp, 100),
            (Up(50), Up(100), Kind::Quic, 50),
            (Up(300), Silent(100), Kind::Quic, 300),
        ] {
            let began = Instant::now();
            let attempt = |kind| match kind {
                Kind::Quic => meet(over_quic, kind),
                Kind::Tcp => meet(over_tcp, kind),
            };
            let won = race(Transport::Auto, Duration::ZERO, attempt).await.unwrap();
            assert_eq!((won, began.elapsed().as_millis()), (winner, after_ms));
        }
    }

    #[test]
    fn a_strangers_certificate_is_the_end_unless_another_way_is_silent() {
        let endpoint = || "relay.example:443".to_owned();
        let silent = || LinkError::NoAnswer { endpoint: endpoint() };
        let blocked = || LinkError::NoConnection {
            endpoint: endpoint(),
            source: io::ErrorKind::TimedOut.into(),
        };
        let stranger = || LinkError::WrongAuthority {
            endpoint: endpoint(),
            ca: certs::CaFingerprint::of(&[]),
        };
        let proxied = || LinkError::NotOverUdp { endpoint: endpoint() };
        for (quic, tcp, told) in [
            (stranger(), blocked(), "WRONG_AUTHORITY"),
            (stranger(), stranger(), "WRONG_AUTHORITY"),
            (silent(), stranger(), "NOT_THE_RELAY"),
            (silent(), LinkError::Version { endpoint: endpoint() }, "NOT_THE_RELAY"),
            (silent(), blocked(), "NO_ANSWER"),
            (proxied(), blocked(), "NO_ANSWER"),
            (silent(), LinkError::Closed(CloseCode::Done), "DONE"),
        ] {
            assert_eq!(telling(quic, tcp).reason(), told);
        }
        // Of several endpoints over TCP one that is silent may be the relay's own.
        for (worst, other, told) in [
            (stranger(), stranger(), "WRONG_AUTHORITY"),
            (stranger(), blocked(), "NOT_THE_RELAY"),
            (blocked(), stranger(), "NOT_THE_RELAY"),
            (stranger().or_beside_silence(blocked()), stranger(), "NOT_THE_RELAY"),
        ] {
            assert_eq!(worst.or_beside_silence(other).reason(), told);
        }
    }
}
