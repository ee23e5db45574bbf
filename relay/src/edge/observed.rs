//! What the relay knows of an exchange as A2A, for the log and the counters: never a body, a credential or
//! an address.

use std::time::Duration;

use http::HeaderMap;
use shared::wire::{Binding, RequestHead, Target};

use super::called::Called;
use super::glance::Glance;
use super::mark::Mark;
use super::prefix::Prefix;
use super::trace::{self, TraceId};
use crate::methods::A2aMethod;

/// One exchange as A2A.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Its binding.
    pub binding: Binding,
    /// Its method; [`A2aMethod::Other`] as long as it was not seen, too.
    pub method: A2aMethod,
    /// The task that it names.
    pub task: Option<Mark>,
    /// The context that it names.
    pub context: Option<Mark>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// Whether its answer is a stream of events.
    pub stream: bool,
    /// Events that went to the caller, where they are counted: not in gRPC.
    pub events: Option<u64>,
    /// From the request's head to the first event of a stream, or the first byte of another body.
    pub first: Option<Duration>,
}

impl Observed {
    /// What the head of a request tells.
    pub fn head(called: Called, head: &RequestHead) -> Self {
        let method = called.method().unwrap_or(A2aMethod::Other);
        let grpc = head.binding == Binding::Grpc;
        Self {
            binding: head.binding,
            method,
            task: task_in(method, &head.target),
            context: None,
            trace: trace::id_in(&head.fields),
            stream: grpc && matches!(method, A2aMethod::Stream | A2aMethod::Subscribe),
            events: None,
            first: None,
        }
    }

    /// What the head of a JSON-RPC message and the first bytes of its body tell. Waits for nothing.
    pub fn message(fields: &HeaderMap, prefix: &Prefix) -> Self {
        let mut observed = Self {
            binding: Binding::JsonRpc,
            method: A2aMethod::Other,
            task: None,
            context: None,
            trace: trace::id_in(fields),
            stream: false,
            events: None,
            first: None,
        };
        observed.body(Called::InBody, prefix);
        observed
    }

    /// What the first bytes of its body tell, where its method stands there. Waits for nothing.
    pub fn body(&mut self, called: Called, prefix: &Prefix) {
        if called == Called::InBody {
            let Glance { method, task, context } = prefix.glance();
            self.method = method.unwrap_or(A2aMethod::Other);
            (self.task, self.context) = (task, context);
        }
    }
}

/// The task that a path of the HTTP+JSON binding names.
fn task_in(method: A2aMethod, target: &Target) -> Option<Mark> {
    use A2aMethod::{Cancel, Get, PushDelete, PushGet, PushList, PushSet, Subscribe};
    let Target::Raw(path) = target else { return None };
    if !matches!(method, Cancel | Get | PushDelete | PushGet | PushList | PushSet | Subscribe) {
        return None;
    }
    let (_, rest) = path.split_once("/tasks/").or_else(|| path.split_once("/task/"))?;
    let segment = rest.split('/').next()?;
    let id = match method {
        Cancel | Subscribe => segment.rsplit_once(':').map_or(segment, |(id, _)| id),
        _ => segment,
    };
    Mark::of(id.as_bytes())
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::tunnel::loopback::head;

    #[test]
    fn a_path_names_its_task() {
        for (method, path, task) in [
            (A2aMethod::Get, "/v1/tasks/t-1", Some("t-1")),
            (A2aMethod::Cancel, "/rest/tasks/urn:t:1:cancel", Some("urn:t:1")),
            (A2aMethod::PushGet, "/tasks/t/pushNotificationConfigs/c", Some("t")),
            (A2aMethod::List, "/tasks", None),
            (A2aMethod::Other, "/hooks/tasks/secret", None),
        ] {
            let methods = crate::methods::Methods::only(method);
            let head = RequestHead {
                target: Target::Raw(path.into()),
                method: Method::GET,
                fields: HeaderMap::new(),
                ..head()
            };
            let seen = Observed::head(Called::Methods(methods), &head);
            assert_eq!(seen.task.as_ref().map(Mark::as_str), task, "{path}");
            assert_eq!((seen.method, seen.trace), (method, None));
        }
    }
}
