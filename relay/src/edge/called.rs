//! Which methods of A2A a request is for, as far as its head tells. Pure.

use http::Method;
use percent_encoding::percent_decode_str;
use shared::exposure::{Exposure, GRPC_SERVICES};
use shared::wire::{Binding, Target};

use super::access::Reach;
use super::card_request::Document;
use crate::methods::{A2aMethod, Methods};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// This, or one of these, where servers may read its path in several ways.
    Methods(Methods),
    /// What its body says, as JSON-RPC has it.
    InBody,
    /// Nothing: it asks what may be asked (a CORS preflight).
    Nothing,
}

impl Called {
    /// What a request is for that reaches this of an agent, whose connector announced that list.
    pub fn of(reach: &Reach, method: &Method, announced: Option<&Exposure>) -> Self {
        if *method == Method::OPTIONS {
            return Self::Nothing;
        }
        let in_body = reach.target == Target::Endpoint || reach.document == Document::Called;
        match &reach.target {
            Target::Card => Self::only(A2aMethod::Card),
            Target::Raw(path) if reach.binding == Binding::Grpc => Self::only(by_grpc(path)),
            _ if in_body && *method == Method::POST => Self::InBody,
            Target::Raw(path) => {
                let operations = announced.into_iter().flat_map(|list| list.operations(path));
                let readings = operations.fold(Methods::NONE, |readings, operation| {
                    readings.with(Methods::only(by_operation(operation, method)))
                });
                let card = match reach.document {
                    Document::Extended => Methods::only(A2aMethod::ExtendedCard),
                    _ => Methods::NONE,
                };
                match readings.with(card) {
                    Methods::NONE => Self::only(A2aMethod::Other),
                    known => Self::Methods(known),
                }
            }
            Target::Endpoint => Self::only(A2aMethod::Other),
        }
    }

    const fn only(method: A2aMethod) -> Self {
        Self::Methods(Methods::only(method))
    }

    /// The method for the log; `None` as long as only the body can tell.
    pub fn method(self) -> Option<A2aMethod> {
        match self {
            Self::Methods(readings) => readings.first(),
            Self::InBody => None,
            Self::Nothing => Some(A2aMethod::Other),
        }
    }
}

fn by_grpc(path: &str) -> A2aMethod {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    match parts {
        Some((service, method)) if GRPC_SERVICES.contains(&service) => {
            A2aMethod::named(method.as_bytes())
        }
        _ => A2aMethod::Other,
    }
}

/// The method of an operation of the HTTP+JSON binding (A2A 1.0, 11.3; the same in 0.3).
fn by_operation(operation: &str, method: &Method) -> A2aMethod {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let mut segments = operation.split('/');
    let place = (segments.next().unwrap_or_default(), segments.next(), segments.next());
    match (place, segments.next()) {
        (("message:send", None, None), None) => A2aMethod::Send,
        (("message:stream", None, None), None) => A2aMethod::Stream,
        (("card" | "extendedAgentCard", None, None), None) => A2aMethod::ExtendedCard,
        (("tasks" | "task", None, None), None) if reads => A2aMethod::List,
        (("tasks" | "task", Some(id), None), None) => of_task(id, reads),
        (("tasks" | "task", Some(_), Some("pushNotificationConfigs")), None) => match *method {
            Method::POST => A2aMethod::PushSet,
            _ if reads => A2aMethod::PushList,
            _ => A2aMethod::Other,
        },
        (("tasks" | "task", Some(_), Some("pushNotificationConfigs")), Some(_)) => match *method {
            Method::DELETE => A2aMethod::PushDelete,
            _ if reads => A2aMethod::PushGet,
            _ => A2aMethod::Other,
        },
        _ => A2aMethod::Other,
    }
}

/// What is asked of one task. Servers decode the segment before they look for the verb behind it.
fn of_task(id: &str, reads: bool) -> A2aMethod {
    let id = percent_decode_str(id).decode_utf8_lossy();
    match id.rsplit_once(':').map(|(_, verb)| verb.to_ascii_lowercase()).as_deref() {
        Some("cancel") => A2aMethod::Cancel,
        Some("subscribe" | "resubscribe") => A2aMethod::Subscribe,
        _ if reads => A2aMethod::Get,
        _ => A2aMethod::Other,
    }
}

#[cfg(test)]
mod tests {
    use shared::exposure::Rule;

    use super::*;
    use crate::edge::access::{Entry, reach};
    use crate::registry::ExposurePolicy;

    fn words(entry: Entry, method: &str, path: &str, policy: ExposurePolicy) -> String {
        let announced = Exposure {
            all: true,
            endpoint: "/rpc".into(),
            rules: vec![
                Rule::HttpJson("/".into()),
                Rule::HttpJson("/rest".into()),
                Rule::Below("/webhooks".into()),
                Rule::Exact("/agent/authenticatedExtendedCard".into()),
                Rule::Grpc("lf.a2a.v1.A2AService".into()),
                Rule::Grpc("a2a.v1.A2AService".into()),
            ],
        };
        let method: Method = method.parse().unwrap();
        match reach(entry, path, &method, policy, Some(&announced)) {
            Ok(Some(reach)) => match Called::of(&reach, &method, Some(&announced)) {
                Called::Methods(readings) => {
                    let all = A2aMethod::ALL.into_iter();
                    let all = all.filter(|method| readings.has(Methods::only(*method)));
                    all.map(A2aMethod::word).collect::<Vec<_>>().join(",")
                }
                Called::InBody => "(body)".into(),
                Called::Nothing => "(nothing)".into(),
            },
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn a_method_of_http_json_is_told_by_verb_and_path_in_both_versions() {
        for (verb, operation, word) in [
            ("POST", "message:send", "send"),
            ("POST", "message:stream", "stream"),
            ("GET", "tasks", "list"),
            ("POST", "tasks", "other"),
            ("GET", "tasks/1", "get"),
            ("HEAD", "tasks/1", "get"),
            ("DELETE", "tasks/1", "other"),
            ("POST", "tasks/1:cancel", "cancel"),
            ("GET", "tasks/1:cancel", "cancel"),
            ("POST", "tasks/1:subscribe", "subscribe"),
            ("GET", "tasks/1:subscribe", "subscribe"),
            ("GET", "tasks/1%3Asubscribe", "subscribe"),
            ("POST", "tasks/1%3a%63ancel", "cancel"),
            ("GET", "tasks/urn:task:1", "get"),
            ("POST", "tasks/1/pushNotificationConfigs", "push-set"),
            ("GET", "tasks/1/pushNotificationConfigs", "push-list"),
            ("GET", "tasks/1/pushNotificationConfigs/2", "push-get"),
            ("DELETE", "tasks/1/pushNotificationConfigs/2", "push-delete"),
            ("PUT", "tasks/1/pushNotificationConfigs/2", "other"),
            ("GET", "card", "extended-card"),
            ("GET", "extendedAgentCard", "extended-card"),
            ("OPTIONS", "message:send", "(nothing)"),
            // As the task of this name, or of a tenant called `tasks`.
            ("POST", "tasks/message:send", "send,other"),
            ("GET", "tasks/tasks", "get,list"),
            ("GET", "tasks/card", "get,extended-card"),
        ] {
            for base in ["/", "/v1/", "/rest/", "/rest/v1/", "/rest/tenant/", "/rest/tenant/v1/"] {
                for policy in [ExposurePolicy::A2a, ExposurePolicy::All] {
                    // A base below a tenant has no room for another one.
                    if base.contains("tenant") && word.contains(',') {
                        continue;
                    }
                    let path = format!("{base}{operation}");
                    assert_eq!(words(Entry::Base, verb, &path, policy), word, "{verb} {path}");
                }
            }
        }
    }

    #[test]
    fn other_bindings_are_told_by_their_path_or_in_their_body() {
        let (a2a, all) = (ExposurePolicy::A2a, ExposurePolicy::All);
        for (entry, verb, path, policy, word) in [
            (Entry::Base, "POST", "", a2a, "(body)"),
            (Entry::Base, "POST", "/a2a", a2a, "(body)"),
            (Entry::Base, "POST", "/rpc", a2a, "(body)"),
            (Entry::Host, "POST", "/rpc", all, "(body)"),
            (Entry::Host, "GET", "/rpc", all, "other"),
            (Entry::Base, "OPTIONS", "/a2a", a2a, "(nothing)"),
            (Entry::Base, "GET", "/.well-known/agent-card.json", a2a, "card"),
            (Entry::Host, "GET", "/.well-known/agent.json", all, "card"),
            (Entry::Base, "GET", "/agent/authenticatedExtendedCard", a2a, "extended-card"),
            (Entry::Base, "POST", "/webhooks/x", a2a, "other"),
            (Entry::Base, "POST", "/anything", all, "other"),
            (Entry::Grpc, "POST", "/lf.a2a.v1.A2AService/SendMessage", a2a, "send"),
            (Entry::Grpc, "POST", "/lf.a2a.v1.A2AService/ListTasks", a2a, "list"),
            (Entry::Grpc, "POST", "/a2a.v1.A2AService/TaskSubscription", a2a, "subscribe"),
            (Entry::Grpc, "POST", "/a2a.v1.A2AService/GetAgentCard", a2a, "extended-card"),
            (Entry::Grpc, "POST", "/a2a.v1.A2AService/Dance", a2a, "other"),
            (Entry::Grpc, "POST", "/own.Service/SendMessage", all, "other"),
        ] {
            assert_eq!(words(entry, verb, path, policy), word, "{verb} {path}");
        }
    }
}
