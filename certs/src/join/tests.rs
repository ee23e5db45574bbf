//! Join strings: what goes in comes out, and nothing else comes out.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

fn sample() -> JoinString {
    JoinString {
        endpoints: vec!["relay.example:4433".to_owned(), "[2001:db8::1]:443".to_owned()],
        ca: CaFingerprint([0xCA; 32]),
        workspace: "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        token: JoinToken([0x5E; 32]),
        expires_at: 1_900_000_000,
    }
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        endpoints in prop::collection::vec(("[a-z0-9.-]{1,40}", 1..=u16::MAX), 1..=8),
        ca: [u8; 32],
        token: [u8; 32],
        expires_at: u64,
        ulid in "[0-7][0-9A-HJKMNP-TV-Z]{25}",
    ) {
        let join = JoinString {
            endpoints: endpoints.iter().map(|(host, port)| format!("{host}:{port}")).collect(),
            ca: CaFingerprint(ca),
            workspace: format!("ws_{ulid}").parse().unwrap(),
            token: JoinToken(token),
            expires_at,
        };
        prop_assert_eq!(join.reveal().unwrap().parse::<JoinString>().unwrap(), join);
    }

    #[test]
    fn no_text_panics(text: String, bytes: Vec<u8>) {
        prop_assert!(text.parse::<JoinString>().is_err());
        let mut payload = bytes;
        payload.extend_from_slice(&checksum(&payload));
        let text = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&payload));
        prop_assert_eq!(text.parse::<JoinString>(), Err(JoinError::Malformed));
    }
}

#[test]
fn every_truncation_is_refused() {
    let text = sample().reveal().unwrap();
    for length in 0..text.len() {
        assert!(text[..length].parse::<JoinString>().is_err(), "cut to {length}");
    }
    assert_eq!(text[..text.len() - 1].parse::<JoinString>(), Err(JoinError::Damaged));
}

#[test]
fn every_flipped_character_is_refused() {
    let text = sample().reveal().unwrap();
    for (place, was) in text.char_indices() {
        for other in ['A', 'b', '7', '-', '_', ' ', '='].into_iter().filter(|other| *other != was) {
            let mut mistyped = text.clone();
            mistyped.replace_range(place..=place, &other.to_string());
            assert!(mistyped.parse::<JoinString>().is_err(), "{other} at {place}");
        }
    }
}

#[test]
fn surrounding_whitespace_does_no_harm() {
    let text = format!("  {}\r\n", sample().reveal().unwrap());
    assert_eq!(text.parse::<JoinString>().unwrap(), sample());
}

#[test]
fn each_refusal_says_what_to_do() {
    let newer = sample().reveal().unwrap().replace("join1_", "join2_");
    assert_eq!(newer.parse::<JoinString>(), Err(JoinError::NewerVersion { version: 2 }));
    for wrong in ["", "rtok_01ARZ3NDEKTSV4RRFFQ69G5FAV", "join_", "join0_AAAA", "JOIN1_AAAA"] {
        assert_eq!(wrong.parse::<JoinString>(), Err(JoinError::NotAJoinString), "{wrong}");
    }
    for error in [
        JoinError::NotAJoinString,
        JoinError::Damaged,
        JoinError::Malformed,
        JoinError::NewerVersion { version: 2 },
    ] {
        assert!(error.to_string().contains("`relay workspace join NAME`"), "{error}");
    }
}

#[test]
fn bytes_behind_the_expiry_are_refused() {
    let text = sample().reveal().unwrap();
    let mut payload = BASE64URL_NOPAD.decode(&text.as_bytes()[PREFIX.len()..]).unwrap();
    payload.truncate(payload.len() - CHECKSUM_BYTES);
    payload.push(0);
    payload.extend_from_slice(&checksum(&payload));
    let text = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&payload));
    assert_eq!(text.parse::<JoinString>(), Err(JoinError::Malformed));
}

#[test]
fn endpoints_are_bounded_before_they_are_written() {
    let with = |endpoints: Vec<String>| JoinString { endpoints, ..sample() }.reveal();
    assert_eq!(with(vec![]), Err(InvalidEndpoints::Count { count: 0 }));
    assert_eq!(with(vec!["h:1".to_owned(); 9]), Err(InvalidEndpoints::Count { count: 9 }));
    let long = format!("{}:1", "h".repeat(254));
    for wrong in ["h", ":1", "h:0", "h:65536", "h:+1", "h:", "a b:1", "ä:1", &long] {
        let refused = InvalidEndpoints::Shape { endpoint: wrong.to_owned() };
        assert_eq!(with(vec![wrong.to_owned()]), Err(refused));
    }
    let longest = with(vec![format!("{}:1", "h".repeat(253)); 8]).unwrap();
    assert!(longest.parse::<JoinString>().is_ok());
}

#[test]
fn the_token_is_not_printed() {
    let join = sample();
    let printed = format!("{join} {join:?}").to_lowercase();
    assert!(printed.contains("ws_") && printed.contains("relay.example:4433"));
    assert!(!printed.contains("5e5e") && !printed.contains("94, 94"), "{printed}");
    assert!(!printed.contains(&join.reveal().unwrap().to_lowercase()));
}

#[test]
fn a_join_string_expires_on_its_second() {
    let join = sample();
    assert!(!join.is_expired(UNIX_EPOCH + Duration::from_secs(1_899_999_999)));
    assert!(join.is_expired(UNIX_EPOCH + Duration::from_secs(1_900_000_000)));
}

#[test]
fn tokens_are_random_and_hashed() {
    let token = JoinToken::random().unwrap();
    assert_ne!(token, JoinToken::random().unwrap());
    assert_eq!(token.hash(), sha256(&token.0));
}
