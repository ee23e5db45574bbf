//! Tests of what is called: one table of URLs, the addresses behind them, and what becomes of both.

use super::*;

fn rules(policy: DirectUrls) -> Rules {
    let listeners = vec!["0.0.0.0:443".parse().unwrap(), "192.168.7.7:8080".parse().unwrap()];
    Rules { policy, listeners, public: "https://relay.example.com".parse().unwrap() }
}

/// What becomes of a URL whose host has these addresses.
fn judge(policy: DirectUrls, url: &str, addresses: &[&str]) -> Result<(), Rule> {
    let rules = rules(policy);
    let url = rules.judge_url(url)?;
    let at = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), url.port);
    rules.judge_addresses(&addresses.iter().map(at).collect::<Vec<_>>())
}

#[test]
fn only_public_addresses_over_https_are_called() {
    let address = |kind| Err(Rule::Address(kind));
    const ANY: &[&str] = &["93.184.216.34", "2606:2800:220:1::1"];
    for (url, addresses, verdict) in [
        ("https://agent.example.com", ANY, Ok(())),
        ("https://agent.example.com:8443/rpc?k=v", ANY, Ok(())),
        ("https://agent.example.com.", ANY, Ok(())),
        ("https://93.184.216.34:1", &[], Ok(())),
        ("https://[2606:2800:220:1::1]", &[], Ok(())),
        ("https://[64:ff9b::5db8:d822]", &[], Ok(())),
        // What is no URL of an agent at all.
        ("http://agent.example.com", ANY, Err(Rule::Scheme)),
        ("ftp://agent.example.com", ANY, Err(Rule::Scheme)),
        ("agent.example.com", ANY, Err(Rule::Shape)),
        ("/a2a", ANY, Err(Rule::Shape)),
        ("https://agent.example.com:0", ANY, Err(Rule::Shape)),
        ("https://agent.example.com:", ANY, Err(Rule::Shape)),
        ("https://u@agent.example.com", ANY, Err(Rule::User)),
        ("https://u:p@127.0.0.1@agent.example.com", ANY, Err(Rule::User)),
        // Addresses, in every spelling that some library takes for one.
        ("https://127.0.0.1", &[], address(Kind::Loopback)),
        ("https://127.1", ANY, Err(Rule::Host)),
        ("https://127.0.0.1.", ANY, Err(Rule::Host)),
        ("https://2130706433", ANY, Err(Rule::Host)),
        ("https://0x7f000001", ANY, Err(Rule::Host)),
        ("https://0x7f.0.0.0x1", ANY, Err(Rule::Host)),
        ("https://0177.0.0.1", ANY, Err(Rule::Host)),
        ("https://a.0X7F", ANY, Err(Rule::Host)),
        ("https://1.2.3.4.5", ANY, Err(Rule::Host)),
        ("https://[::1]", &[], address(Kind::Loopback)),
        ("https://[0:0:0:0:0:0:0:1]", &[], address(Kind::Loopback)),
        ("https://[::ffff:127.0.0.1]", &[], address(Kind::Mapped)),
        ("https://[::ffff:7f00:1]", &[], address(Kind::Mapped)),
        ("https://[64:ff9b::7f00:1]", &[], address(Kind::Loopback)),
        ("https://[64:ff9b::169.254.169.254]", &[], address(Kind::LinkLocal)),
        ("https://[fe80::1%25eth0]", ANY, Err(Rule::Host)),
        ("https://[127.0.0.1]", ANY, Err(Rule::Host)),
        ("https://[fd00::1]", &[], address(Kind::Private)),
        ("https://0.0.0.0", &[], address(Kind::Unspecified)),
        ("https://[::]", &[], address(Kind::Unspecified)),
        ("https://10.1.2.3", &[], address(Kind::Private)),
        ("https://100.64.0.1", &[], address(Kind::Shared)),
        ("https://169.254.169.254", &[], address(Kind::LinkLocal)),
        ("https://192.0.2.1", &[], address(Kind::Documentation)),
        ("https://224.0.0.1", &[], address(Kind::Multicast)),
        ("https://255.255.255.255", &[], address(Kind::Reserved)),
        // Names are what they resolve to, and every one of their addresses counts.
        ("https://localhost", &["127.0.0.1", "::1"], address(Kind::Loopback)),
        ("https://rebind.example", &["93.184.216.34", "127.0.0.1"], address(Kind::Loopback)),
        ("https://rebind.example", &["2606:2800:220:1::1", "fd00::1"], address(Kind::Private)),
        ("https://meta.example", &["169.254.169.254"], address(Kind::LinkLocal)),
        ("https://mapped.example", &["::ffff:10.0.0.1"], address(Kind::Mapped)),
        ("https://xn--bcher-kva.example", ANY, Ok(())),
        ("https://a..example", ANY, Err(Rule::Host)),
        ("https://a%41.example", ANY, Err(Rule::Shape)),
        // The relay itself.
        ("https://relay.example.com", ANY, Err(Rule::Own)),
        ("https://Relay.Example.COM.:443/agents/x/", ANY, Err(Rule::Own)),
        ("https://relay.example.com:444", ANY, Ok(())),
    ] {
        assert_eq!(judge(DirectUrls::Public, url, addresses), verdict, "{url} {addresses:?}");
    }
}

#[test]
fn a_laboratory_may_have_its_agents_anywhere_but_at_the_relay_and_on_the_link() {
    let address = |kind| Err(Rule::Address(kind));
    for (url, addresses, verdict) in [
        ("http://127.0.0.1:8000", &[][..], Ok(())),
        ("http://localhost:8000/a2a", &["127.0.0.1", "::1"], Ok(())),
        ("https://10.0.0.1", &[], Ok(())),
        ("http://[fd00::1]", &[], Ok(())),
        ("http://100.64.0.1", &[], Ok(())),
        ("ftp://10.0.0.1", &[], Err(Rule::Scheme)),
        ("http://2130706433", &[], Err(Rule::Host)),
        ("http://169.254.169.254", &[], address(Kind::LinkLocal)),
        ("http://metadata", &["169.254.169.254"], address(Kind::LinkLocal)),
        ("http://0.0.0.0:8000", &[], address(Kind::Unspecified)),
        ("http://[::ffff:10.0.0.1]", &[], address(Kind::Mapped)),
        ("http://127.0.0.1:443", &[], Err(Rule::Own)),
        ("http://localhost:8080", &["127.0.0.2"], Err(Rule::Own)),
        ("http://192.168.7.7:8080", &[], Err(Rule::Own)),
        ("http://192.168.7.8:8080", &[], Ok(())),
    ] {
        assert_eq!(judge(DirectUrls::All, url, addresses), verdict, "{url} {addresses:?}");
    }
    assert_eq!(judge(DirectUrls::Off, "https://agent.example.com", &[]), Err(Rule::Off));
}

#[test]
fn a_listener_on_every_address_is_known_by_the_connection_that_reaches_it() {
    let rules = rules(DirectUrls::Public);
    for (local, remote, verdict) in [
        ("93.184.216.34:50000", "93.184.216.34:443", Err(Rule::Own)),
        ("93.184.216.34:50000", "93.184.216.34:444", Ok(())),
        ("93.184.216.35:50000", "93.184.216.34:443", Ok(())),
    ] {
        let judged = rules.judge_connection(local.parse().unwrap(), remote.parse().unwrap());
        assert_eq!(judged, verdict, "{local} {remote}");
    }
}

#[test]
fn the_endpoint_is_the_url_or_stands_below_it() {
    let rules = rules(DirectUrls::Public);
    for (url, query, asked) in [
        ("https://agent.example.com", None, "/a2a"),
        ("https://agent.example.com/", Some("a=1"), "/a2a?a=1"),
        ("https://agent.example.com/?k=v", Some("a=1"), "/a2a?k=v&a=1"),
        ("https://agent.example.com/rpc/", None, "/rpc/"),
        ("https://agent.example.com/x/rpc?k=v", None, "/x/rpc?k=v"),
    ] {
        let url = rules.judge_url(url).unwrap();
        assert_eq!(url.endpoint(query).unwrap().as_str(), asked, "{url:?}");
        assert_eq!(url.origin(), "https://agent.example.com");
    }
    let card = DirectUrl::card(Some("v=1")).unwrap();
    assert_eq!(card.as_str(), "/.well-known/agent-card.json?v=1");
}
