//! Proxies that refuse, stay silent or talk nonsense: each has its name, and a sentence that tells nothing
//! of the login.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

const ENDPOINT: &str = "relay.invalid:443";

/// A step of a proxy that follows a script.
enum Step {
    /// Waits until it was told these bytes.
    Hear(&'static [u8]),
    /// Waits for the end of a head.
    HearHead,
    Say(&'static [u8]),
    /// Says the same for as long as it is taken.
    SayForEver(&'static [u8]),
    /// Keeps the connection open, and says no more.
    StayOpen,
}
use Step::{Hear, HearHead, Say, SayForEver, StayOpen};

/// What a connection through such a proxy comes to, and what the proxy heard.
async fn meet(
    scheme: &str,
    script: Vec<Step>,
) -> (Result<Reached, ProxyError>, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let playing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for step in script {
            match step {
                Hear(words) => {
                    let mut told = vec![0; words.len()];
                    stream.read_exact(&mut told).await.unwrap();
                    assert_eq!(told, words);
                    heard.extend(told);
                }
                HearHead => {
                    while !heard.ends_with(b"\r\n\r\n") {
                        heard.push(stream.read_u8().await.unwrap());
                    }
                }
                Say(words) => stream.write_all(words).await.unwrap(),
                SayForEver(words) => while stream.write_all(words).await.is_ok() {},
                StayOpen => {
                    let _ = stream.read_to_end(&mut heard).await;
                }
            }
        }
        heard
    });
    let url = format!("{scheme}://user:canary@{address}");
    let set = |name: &str| (name == "ALL_PROXY").then(|| url.clone());
    let proxies = Proxies::read(&ProxyWishes::default(), set).unwrap().unwrap();
    let reached = proxies.before(ENDPOINT).unwrap().reach(ENDPOINT).await;
    (reached, playing)
}

/// The greeting that offers no login and a password, and the login itself.
const GREETING: &[u8] = &[5, 2, 0, 2];
const LOGIN: &[u8] = b"\x01\x04user\x06canary";
const REQUEST: &[u8] = b"\x05\x01\x00\x03\x0drelay.invalid\x01\xbb";

#[tokio::test]
async fn http_proxies_are_asked_by_name_and_what_follows_is_the_endpoints_own() {
    let script = vec![HearHead, Say(b"HTTP/1.1 200 Go ahead\r\n\r\nfirst words"), StayOpen];
    let (reached, playing) = meet("http", script).await;
    let (mut stream, _) = reached.unwrap();
    let mut words = [0; 11];
    stream.read_exact(&mut words).await.unwrap();
    assert_eq!(&words, b"first words");
    stream.write_all(b"answer").await.unwrap();
    drop(stream);
    let heard = String::from_utf8(playing.await.unwrap()).unwrap();
    assert!(heard.starts_with("CONNECT relay.invalid:443 HTTP/1.1\r\n"), "{heard}");
    let (head, rest) = heard.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.contains("host: relay.invalid:443"), "{head}");
    assert!(head.contains("proxy-authorization: basic dxnlcjpjyw5hcnk="), "{head}");
    assert_eq!(rest, "answer");
}

#[tokio::test]
async fn socks_proxies_are_told_the_name_and_the_password_if_they_want_it() {
    let script = vec![
        Hear(GREETING),
        Say(&[5, 2]),
        Hear(LOGIN),
        Say(&[1, 0]),
        Hear(REQUEST),
        Say(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]),
        Say(b"first words"),
    ];
    let (reached, _playing) = meet("socks5", script).await;
    let mut words = [0; 11];
    reached.unwrap().0.read_exact(&mut words).await.unwrap();
    assert_eq!(&words, b"first words");

    let script =
        vec![Hear(GREETING), Say(&[5, 0]), Hear(REQUEST), Say(&[5, 0, 0, 3, 1, b'x', 0, 80])];
    assert!(meet("socks5h", script).await.0.is_ok(), "a proxy that wants no password is told none");
}

#[tokio::test]
async fn every_refusal_has_its_name_and_tells_no_password() {
    let socks = |code: &'static [u8]| {
        vec![Hear(GREETING), Say(&[5, 0]), Hear(REQUEST), Say(code), StayOpen]
    };
    let http = |answer: &'static [u8]| vec![HearHead, Say(answer), StayOpen];
    for (scheme, script, name, word) in [
        ("http", http(b"HTTP/1.1 407 Who\r\n\r\n"), "PROXY_LOGIN", "407"),
        ("http", http(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\n"), "PROXY_REFUSED", "403"),
        ("http", http(b"HTTP/1.0 502 No\r\n\r\n<html>"), "PROXY_REFUSED", "502"),
        ("http", http(b"HTTP/1.1 302 Look\r\nLocation: /login\r\n\r\n"), "PROXY_REFUSED", "302"),
        ("http", http(b"SSH-2.0-OpenSSH_9\r\n\r\n"), "PROXY_GARBLED", "http://"),
        ("http", http(b"HTTP/1.1 2000 OK\r\n\r\n"), "PROXY_GARBLED", "http://"),
        ("http", vec![HearHead], "PROXY_GARBLED", "http://"),
        (
            "http",
            vec![HearHead, Say(b"HTTP/1.1 200 OK\r\n"), SayForEver(b"x: yyyyyyyyyyyyyyyyyyyy\r\n")],
            "PROXY_GARBLED",
            "large",
        ),
        ("http", vec![Say(&[0x15, 3, 1, 0, 2, 2, 0x28]), StayOpen], "PROXY_GARBLED", "http://"),
        (
            "https",
            vec![Say(b"HTTP/1.1 400 Bad\r\n\r\n"), StayOpen],
            "PROXY_UNTRUSTED",
            "--proxy-ca",
        ),
        ("socks5", vec![Hear(GREETING), Say(&[5, 0xff])], "PROXY_LOGIN", "auth methods"),
        (
            "socks5",
            vec![Hear(GREETING), Say(&[5, 2]), Hear(LOGIN), Say(&[1, 1])],
            "PROXY_LOGIN",
            "1",
        ),
        ("socks5", vec![Hear(GREETING), Say(b"HTTP/1.1 400")], "PROXY_GARBLED", "socks5://"),
        ("socks5", vec![Hear(GREETING), Say(&[5])], "PROXY_GARBLED", "socks5://"),
        ("socks5", socks(&[5, 1, 0, 1]), "PROXY_REFUSED", "General"),
        ("socks5", socks(&[5, 2, 0, 1]), "PROXY_REFUSED", "ruleset"),
        ("socks5", socks(&[5, 3, 0, 1]), "PROXY_REFUSED", "Network"),
        ("socks5", socks(&[5, 4, 0, 1]), "PROXY_REFUSED", "Host"),
        ("socks5", socks(&[5, 5, 0, 1]), "PROXY_REFUSED", "refused"),
        ("socks5", socks(&[5, 6, 0, 1]), "PROXY_REFUSED", "TTL"),
        ("socks5", socks(&[5, 7, 0, 1]), "PROXY_REFUSED", "Command"),
        ("socks5", socks(&[5, 8, 0, 1]), "PROXY_REFUSED", "Address"),
        ("socks5", socks(&[5, 77, 0, 1]), "PROXY_GARBLED", "socks5://"),
        ("socks5", socks(&[5, 0, 0, 9, 0, 0, 0, 0, 0, 0]), "PROXY_GARBLED", "socks5://"),
    ] {
        let (reached, _playing) = meet(scheme, script).await;
        let error = reached.map(|_| ()).unwrap_err();
        let sentence = error.to_string();
        assert_eq!(error.name(), name, "{sentence}");
        assert!(sentence.contains(word) && sentence.ends_with('.'), "{word}: {sentence}");
        assert!(!format!("{error:?} {sentence}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_stays_silent_is_told_apart_from_one_that_refuses() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let wishes = ProxyWishes { url: Some(&url), ..ProxyWishes::default() };
    let proxies = Proxies::read(&wishes, |_| None).unwrap().unwrap();
    let error = proxies.before(ENDPOINT).unwrap().reach(ENDPOINT).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ProxyError::Unreachable { .. }), "{error}");

    for (scheme, script) in [
        ("http", vec![StayOpen]),
        ("http", vec![HearHead, Say(b"HTTP/1.1 200"), StayOpen]),
        ("https", vec![StayOpen]),
        ("socks5", vec![Hear(GREETING), Say(&[5, 0]), StayOpen]),
    ] {
        let (reached, _playing) = within_a_moment(meet(scheme, script)).await;
        let error = reached.map(|_| ()).unwrap_err();
        assert!(matches!(error, ProxyError::Silent { .. }), "{scheme}: {error}");
        assert_eq!(error.name(), "PROXY_NO_ANSWER");
    }
}

/// Five seconds pass at once, when nothing else is left to do.
async fn within_a_moment<T>(met: impl Future<Output = T>) -> T {
    let mut met = Box::pin(met);
    // What crosses sockets crosses in real time first.
    if let Ok(met) = timeout(Duration::from_millis(200), &mut met).await {
        return met;
    }
    tokio::time::pause();
    let met = met.await;
    tokio::time::resume();
    met
}
