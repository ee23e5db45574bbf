//! What a relay does not call, whatever an agent says of itself: nothing near it, nothing of its own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{Homed, laboratory};
use crate::command;
use tests::{RawAgent, RawBehaviour, Refusal, Relay, backstage::Backstage, until};

const UNCALLED: Refusal = Refusal::new(503, "RELAY_AGENT_OFFLINE").retry_after("5");

/// A server on loopback, on IPv6 too where there is any, that counts who comes.
struct Canary {
    port: u16,
    hits: Arc<AtomicUsize>,
    _server: Backstage,
}

impl Canary {
    fn start() -> Canary {
        let (v4, v6) = loop {
            let v4 = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = v4.local_addr().expect("a bound port").port();
            match std::net::TcpListener::bind(("::1", port)) {
                Ok(v6) => break (v4, Some(v6)),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(_) => break (v4, None),
            }
        };
        let port = v4.local_addr().expect("a bound port").port();
        let hits = Arc::new(AtomicUsize::new(0));
        let count = hits.clone();
        let server = Backstage::open("canary", move || async move {
            let listen = |listener: std::net::TcpListener| {
                listener.set_nonblocking(true).expect("a socket that does not block");
                tokio::net::TcpListener::from_std(listener).expect("a listener")
            };
            let (v4, v6) = (listen(v4), v6.map(listen));
            loop {
                let second = async {
                    match &v6 {
                        Some(v6) => v6.accept().await,
                        None => std::future::pending().await,
                    }
                };
                let came = tokio::select! { came = v4.accept() => came, came = second => came };
                count.fetch_add(usize::from(came.is_ok()), Ordering::SeqCst);
            }
        });
        Canary { port, hits, _server: server }
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_relay_as_it_comes_calls_nothing_near_it() {
    let (relay, canary) = (Relay::start().await, Canary::start());
    let port = canary.port;
    let mut homes = Vec::new();
    for (host, rule) in [
        ("127.0.0.1", "a loopback address"),
        ("localhost", "a loopback address"),
        ("LOCALHOST.", "a loopback address"),
        ("[::1]", "a loopback address"),
        ("2130706433", "usual spelling"),
        ("0x7f000001", "usual spelling"),
        ("0177.0.0.1", "usual spelling"),
        ("127.1", "usual spelling"),
        ("[::ffff:127.0.0.1]", "an IPv4-mapped address"),
        ("[64:ff9b::7f00:1]", "a loopback address"),
        ("0.0.0.0", "an unspecified address"),
        ("169.254.169.254", "a link-local address"),
        ("10.0.0.1", "a private address"),
    ] {
        let homed = Homed::at(&relay, &format!("https://{host}:{port}/a2a")).await;
        let sentence = UNCALLED.assert_json_rpc(&homed.say("q").await, "\"q\"");
        let says = sentence.contains("Its own URL is not called") && sentence.contains(rule);
        assert!(says, "{host}: {sentence}");
        homes.push(homed);
        let plain = Homed::at(&relay, &format!("http://{host}:{port}/a2a")).await;
        let sentence = UNCALLED.assert_json_rpc(&plain.say("q").await, "\"q\"");
        assert!(sentence.contains("it is not https"), "{host}: {sentence}");
    }
    // A name is known for what it is once it was looked up; looks and calls agree.
    homes[1].until_status(&relay, "offline", "a loopback address").await;
    assert_eq!(homes[0].row(&relay).await["status"], "provisioning", "it is not even looked at");
    assert_eq!(canary.hits(), 0, "somebody came");
}

#[tokio::test]
async fn no_relay_calls_itself() {
    let relay = laboratory().await;
    for at in [relay.http(), relay.admin(), relay.tunnel()] {
        for host in ["127.0.0.1", "localhost", "127.0.0.2"] {
            let homed = Homed::at(&relay, &format!("http://{host}:{}/healthz", at.port())).await;
            let sentence = UNCALLED.assert_json_rpc(&homed.say("q").await, "\"q\"");
            assert!(sentence.contains("leads to the relay itself"), "{host} {at}: {sentence}");
        }
    }
    // Relays that name each other: the second does not go on to a third.
    let (one, other) = (laboratory().await, laboratory().await);
    let third = Homed::at(&one, "http://127.0.0.1:9").await;
    let second = Homed::at(&other, &third.base).await;
    let first = Homed::at(&one, &second.base).await;
    let answer = first.say("q").await;
    let says = answer.text().contains("came from a relay already");
    assert!(says && answer.status == 503, "{answer:?}");
}

#[tokio::test]
async fn a_redirect_is_the_agents_answer_and_is_not_followed() {
    let (relay, canary) = (laboratory().await, Canary::start());
    let target = format!("http://127.0.0.1:{}/latest", canary.port);
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
        let agent = RawAgent::start(RawBehaviour::Bytes(answer.into_bytes()));
        let homed = Homed::at(&relay, &format!("http://127.0.0.1:{}", agent.port())).await;
        let answer = homed.say("r").await;
        assert_eq!(answer.status.to_string(), status[..3], "{answer:?}");
        assert_eq!(answer.header("location"), Some(target.as_str()));
        assert_eq!(answer.relay_error(), None);
    }
    assert_eq!(canary.hits(), 0, "somebody followed");
}

#[tokio::test]
async fn a_relay_that_is_told_so_calls_no_agent_at_all() {
    let relay = Relay::builder().env("RELAY_DIRECT_URLS", "off").start().await;
    let canary = Canary::start();
    let homed = Homed::at(&relay, &format!("https://localhost:{}", canary.port)).await;
    let sentence = UNCALLED.assert_json_rpc(&homed.say("q").await, "\"q\"");
    assert!(!sentence.contains("URL"), "it is as without one: {sentence}");
    until("the row is there", super::NOTICED, async || {
        homed.row(&relay).await["status"] == "provisioning"
    })
    .await;
    assert_eq!(canary.hits(), 0, "somebody came");
}

#[tokio::test]
async fn a_check_of_the_configuration_names_what_is_called() {
    let said = command::relay(&["check"]).await;
    assert!(said.stdout.contains("own URLs  public"), "{said:?}");
    let said = command::relay(&["check", "--direct-urls", "all"]).await;
    assert!(said.stdout.contains("own URLs  all"), "{said:?}");
    let wrong = command::relay(&["check", "--direct-urls", "private"]).await;
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(wrong.stderr.contains("off, public or all"), "{wrong:?}");
}
