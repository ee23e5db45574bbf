//! JSON that is meant to be misread: a refusal echoes the id exactly, an agent gets the very bytes.

use tests::{Fingerprint, RawClient, Refusal, World, http::request_bytes};

const OFFLINE: Refusal = Refusal::new(503, "RELAY_AGENT_OFFLINE").retry_after("5");

/// A call whose id stands as given, before a parameter that stands as given.
fn call(id: &str, x: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"message/send","params":{x}}}"#).into_bytes()
}

/// Bodies, and the id that a refusal of each echoes.
fn bodies() -> Vec<(String, Vec<u8>, String)> {
    let mut rows: Vec<(String, Vec<u8>, String)> = Vec::new();
    let mut row = |what: &str, body: &[u8], id: &str| {
        rows.push((what.to_owned(), body.to_vec(), id.to_owned()));
    };
    let long = format!("\"{}\"", "i".repeat(60_000));
    for id in [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        "1e400",
        "0.1e-7",
        "-0",
        "null",
        r#""""#,
        r#""9223372036854775808""#,
        r#""\u0000\ud83d\ude00\/\"""#,
        r#""\ud800""#,
        "\"\u{1f600}\u{7f}\u{202e}\"",
        r#"" 1 ""#,
        &long,
    ] {
        row(&format!("the id {id:.40}"), &call(id, "{}"), id);
    }
    for id in ["true", "{}", "[]", "[1]", "01", "+1", "1.", ".5", "0x1", "NaN", "nul", "'a'"] {
        row(&format!("the id {id}, which is none"), &call(id, "{}"), "null");
    }
    row("a string with a control character", &call("\"a\u{1}b\"", "{}"), "null");
    row("no id", br#"{"jsonrpc":"2.0","method":"message/send"}"#, "null");
    row("an ID in capitals", br#"{"ID":1,"Id":2,"method":"m"}"#, "null");
    row("an id below", br#"{"params":{"id":1},"method":"m"}"#, "null");
    row("two ids", br#"{"id":1,"method":"m","id":2}"#, "null");
    row("two ids, one escaped", br#"{"id":1,"method":"m","\u0069\u0064":2}"#, "null");
    row("an escaped id", br#"{"\u0069d":7,"method":"m"}"#, "7");
    row("a batch", br#"[{"id":1,"method":"m"},{"id":2,"method":"m"}]"#, "null");
    row("a byte order mark", b"\xef\xbb\xbf{\"id\":3,\"method\":\"m\"}", "3");
    row("two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf{\"id\":3}", "null");
    let utf_16 = "\u{feff}{\"id\":1}".encode_utf16().flat_map(u16::to_le_bytes);
    row("UTF-16", &utf_16.collect::<Vec<u8>>(), "null");
    row("an id that is no UTF-8", b"{\"id\":\"\xff\",\"method\":\"m\"}", "null");
    row("an overlong slash", b"{\"id\":\"\xc0\xaf\",\"method\":\"m\"}", "null");
    row("a surrogate in UTF-8", b"{\"id\":\"\xed\xa0\x80\",\"method\":\"m\"}", "null");
    row("no UTF-8 elsewhere", b"{\"id\":4,\"method\":\"m\",\"x\":\"\xff\"}", "4");
    row("10,000 lists", &call("5", &["[".repeat(10_000), "]".repeat(10_000)].concat()), "5");
    row("10,000 lists without end", &call("5", &"[".repeat(10_000)), "5");
    row("10,000 objects", &call("5", &"{\"a\":".repeat(10_000)), "5");
    let deep = format!("{{\"p\":{}{},\"id\":6}}", "[".repeat(10_000), "]".repeat(10_000));
    row("an id behind 10,000 lists", deep.as_bytes(), "null");
    let far = format!("{{\"p\":\"{}\",\"id\":6}}", "x".repeat(70_000));
    row("an id behind 70 KB", far.as_bytes(), "null");
    row("a cut call", br#"{"id":8,"method":"m","params":{"#, "8");
    row("a cut id", br#"{"id":8"#, "null");
    row("a cut string", br#"{"id":"8"#, "null");
    row("something behind the call", b"{\"id\":9,\"method\":\"m\"}\0\0}]", "9");
    row("spaces", b" \r\n\t{ \"id\" \n:\t10 , \"method\":\"m\"}", "10");
    row("a form feed", b"\x0c{\"id\":10}", "null");
    row("no JSON", b"<id>1</id>", "null");
    row("a string", b"\"id\"", "null");
    row("NULs", &[0; 100], "null");
    rows
}

/// Posts a body on a connection that has carried all before it.
async fn post(client: &mut RawClient, url: &str, id: &str, body: &[u8]) -> tests::RawResponse {
    let headers =
        [("Content-Type", "application/json"), ("x-test-id", id), ("x-test-behaviour", "hash")];
    client.send(&request_bytes("POST", url, &headers, Some(body)).1).await.expect("sent");
    client.response().await.unwrap_or_else(|cut| panic!("{id}: {cut}"))
}

#[tokio::test]
async fn a_refusal_echoes_the_id_exactly_or_null() {
    let world = World::new().await;
    let away = world.relay.add_workspace("away", &[]).await.endpoint();
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    let bodies = bodies();
    for (what, body, id) in &bodies {
        let answer = post(&mut client, &away, "away", body).await;
        OFFLINE.assert_marks(&answer);
        let begins = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"#);
        assert!(answer.body.starts_with(begins.as_bytes()), "{what}: {answer:?}");
    }
    eprintln!("{} bodies refused", bodies.len());
    world.assert_unseen("away");
}

#[tokio::test]
async fn whatever_stands_in_a_body_the_agent_gets_it_byte_for_byte() {
    let world = World::new().await;
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    let bodies = bodies();
    for (number, (what, body, _)) in bodies.iter().enumerate() {
        let id = format!("b-{number}");
        let answer = post(&mut client, &world.endpoint(), &id, body).await;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        world.assert_seen_once(&id);
        let seen = world.agent.of(&id).remove(0);
        assert_eq!(seen.whole_body(), Some(&Fingerprint::of(body)), "{what}");
    }
    eprintln!("{} bodies passed", bodies.len());
    world.until_quiet().await;
}
