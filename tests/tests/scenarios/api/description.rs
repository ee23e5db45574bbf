//! The document that the relay serves of its API, and what follows from it for every path.

use tests::Relay;

use super::{Cast, assert_problem};

/// What no path takes, or only some do.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"];

/// A call as the description has it.
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    /// Whether it takes no credential.
    pub(super) open: bool,
}

impl Operation {
    /// A method and a path whose first braces hold `id`, and its others something that is not there.
    pub(super) fn of(&self, id: &str) -> String {
        let path = self.path.replace("{id}", id).replace("{key}", "NOTHING");
        format!("{} {}", self.method, path.replace("{tokenId}", "01ARZ3NDEKTSV4RRFFQ69G5FAV"))
    }

    /// Whether it sends a message, and is refused in the words of JSON-RPC.
    pub(super) fn is_a2a(&self) -> bool {
        self.path.ends_with("/a2a")
    }
}

/// Every call.
pub(super) async fn operations(relay: &Relay) -> Vec<Operation> {
    let description = relay.operate("GET /openapi.json", None).await;
    let paths = description["paths"].as_object().expect("paths").clone();
    let calls = paths.into_iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an object").clone();
        item.into_iter().filter(|(key, _)| key != "parameters").map(move |(method, operation)| {
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            Operation { method: method.to_uppercase(), path: path.clone(), open }
        })
    });
    calls.collect()
}

#[tokio::test]
async fn every_path_takes_the_methods_that_are_described_and_no_others() {
    let cast = Cast::new().await;
    let operations = operations(&cast.relay).await;
    assert!(operations.len() > 30, "{}", operations.len());
    let mut refused = 0;
    for Operation { path, .. } in &operations {
        let of_path = operations.iter().filter(|other| other.path == *path);
        let taken: Vec<&str> = of_path.map(|other| other.method.as_str()).collect();
        for method in METHODS.iter().filter(|method| !taken.contains(method)) {
            let call = format!("{method} {path}");
            let answer = cast.ask(&call, &[], None).await;
            assert_eq!(
                answer.relay_error(),
                Some("RELAY_METHOD_NOT_ALLOWED"),
                "{call}: {answer:?}"
            );
            let allow = answer.header("allow").expect("Allow");
            let allowed: Vec<_> = allow.split(", ").filter(|method| *method != "HEAD").collect();
            assert!(taken.iter().all(|method| allowed.contains(method)), "{call}: {allow}");
            assert_eq!(allowed.len(), taken.len(), "{call}: {allow}");
            refused += 1;
        }
    }
    eprintln!("{refused} methods refused");
}

#[tokio::test]
async fn head_is_answered_as_get_without_its_body() {
    let cast = Cast::new().await;
    // A stream of events that goes well has no end.
    let ends = |one: &&Operation| one.method == "GET" && !one.path.ends_with("{id}/events");
    for operation in operations(&cast.relay).await.iter().filter(ends) {
        for id in [&cast.own.0, &cast.removed.0] {
            let call = operation.of(id);
            let get = cast.ask_as(&cast.own.1, &call, "").await;
            let bearer = format!("Bearer {}", cast.own.1);
            let head = call.replace("GET ", "HEAD ");
            let head = cast.ask(&head, &[("Authorization", &bearer)], None).await;
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{call}: {head:?}");
            assert_eq!(head.relay_error(), get.relay_error(), "{call}");
            for field in ["content-type", "cache-control"] {
                assert_eq!(head.header(field), get.header(field), "{call}: {head:?} {get:?}");
            }
            // What goes well may say when something was last used, and have another length by now.
            let length = head.header("content-length");
            let same = length == get.header("content-length");
            assert!(length.is_some() && (same || get.status == 200), "{call}: {head:?} {get:?}");
        }
    }
}

#[tokio::test]
async fn the_description_is_served_to_whoever_asks() {
    let cast = Cast::new().await;
    let answer = cast.ask("GET /openapi.json", &[], None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json()["openapi"], "3.1.0");
    let nothing = cast.ask("GET /openapi.json/x", &[], None).await;
    assert_problem(&nothing, 404, "RELAY_NOT_FOUND", "below the description");
}
