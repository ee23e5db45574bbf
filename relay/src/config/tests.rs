//! Tests of the configuration: defaults, and every mistake in one answer.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    serve: ServeArgs,
}

fn args(words: &[&str]) -> ServeArgs {
    Cli::try_parse_from([&["relay"], words].concat()).unwrap().serve
}

fn config(words: &[&str]) -> Result<Config, Vec<String>> {
    args(words).with_credentials(None, None, None)
}

#[test]
fn nothing_said_is_a_relay_on_loopback() {
    let config = config(&[]).unwrap();
    assert_eq!(config.http.to_string(), "127.0.0.1:8080");
    assert_eq!(config.tunnel.to_string(), "0.0.0.0:4433");
    assert_eq!(config.admin.to_string(), "127.0.0.1:8081");
    assert_eq!(config.max_body_bytes, 33_554_432);
    assert!(config.shards >= 1);
    assert_eq!(config.direct_urls, DirectUrls::Public);
    assert_eq!((config.foreign_urls, config.sign_cards), (ForeignUrls::Keep, false));
    assert!(matches!(config.admin_token, AdminTokenSource::DataDir));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let words = [
        "--http=0.0.0.0:8080",
        "--tunnel=here",
        "--admin=127.0.0.1",
        "--public-url=ftp://x",
        "--tunnel-host=a b",
        "--shards=0",
        "--congestion=reno",
        "--max-body=-1",
        "--max-in-flight=none",
        "--direct-urls=private",
        "--foreign-urls=hide",
        "--trusted-proxies=10.0.0.0/8,lb.example",
    ];
    let mistakes = config(&words).unwrap_err();
    assert_eq!(mistakes.len(), words.len(), "{mistakes:#?}");
    for word in words {
        let flag = word.split('=').next().unwrap();
        assert!(mistakes.iter().any(|mistake| mistake.contains(flag)), "{flag}: {mistakes:#?}");
    }
}

#[test]
fn plain_http_for_others_needs_a_word() {
    assert!(config(&["--http", "192.0.2.1:80"]).unwrap_err()[0].contains("--insecure-http"));
    assert!(config(&["--http", "192.0.2.1:80", "--insecure-http"]).is_ok());
    assert!(config(&["--http", "[::1]:80"]).is_ok());
    let certificate = ["--http", "192.0.2.1:443", "--tls-cert", "chain.pem"];
    assert!(config(&[&certificate[..], &["--tls-key", "key.pem"]].concat()).is_ok());
    assert!(config(&certificate).unwrap_err()[0].contains("--tls-key"));
    assert!(config(&["--tls-key", "key.pem"]).unwrap_err()[0].contains("--tls-cert"));
    assert!(config(&["--http", "127.0.0.1:1", "--admin", "127.0.0.1:1"]).is_err());
    assert!(config(&["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).is_ok());
}

#[test]
fn a_tunnel_host_is_a_host_with_or_without_a_port() {
    for right in ["relay.example.com", "relay.example.com:443", "192.0.2.1", "[2001:db8::1]:4433"] {
        let config = config(&["--tunnel-host", right]).unwrap();
        assert_eq!(config.tunnel_host.as_deref(), Some(right));
    }
    for wrong in ["https://x", "x:0", "x:", "x:70000", "u@x", "2001:db8::1", "x/y"] {
        assert!(config(&["--tunnel-host", wrong]).is_err(), "{wrong}");
    }
    assert_eq!(config(&["--tunnel-host", ""]).unwrap().tunnel_host, None);
}

#[test]
fn a_token_file_wins_over_the_environment() {
    let given = || Some("a-token-of-the-operator".to_owned());
    let source = |words: &[&str], given| {
        args(words).with_credentials(given, None, None).unwrap().admin_token
    };
    assert!(matches!(source(&[], given()), AdminTokenSource::Given(_)));
    assert!(matches!(source(&["--admin-token-file=x"], given()), AdminTokenSource::File(_)));
    assert!(matches!(source(&[], Some(String::new())), AdminTokenSource::DataDir));
    let mistakes = args(&[]).with_credentials(Some("two words".into()), None, None).unwrap_err();
    assert!(!mistakes[0].contains("two words"), "the token is in {mistakes:?}");
}

#[test]
fn the_keys_of_secrets_come_from_a_file_or_the_environment_and_never_from_an_argument() {
    let key = "00".repeat(32);
    let read = |words: &[&str], keys| args(words).with_credentials(None, keys, None);
    assert!(matches!(read(&[], None).unwrap().sealing, SealingSource::DataDir));
    assert!(matches!(read(&[], Some(key.clone())).unwrap().sealing, SealingSource::Given(_)));
    let file = read(&["--sealing-key-file", "/k"], Some(key)).unwrap();
    assert!(
        matches!(file.sealing, SealingSource::File(path) if path == std::path::Path::new("/k"))
    );
    let mistakes = read(&[], Some("too short".into())).unwrap_err();
    assert!(mistakes[0].contains("RELAY_SEALING_KEY"), "{mistakes:?}");
}
