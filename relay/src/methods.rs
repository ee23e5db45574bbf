//! The methods of A2A, each by one word, whatever its version and binding call it, and sets of them.

use std::fmt;
use std::str::FromStr;

/// What an agent can be asked, in any version and binding of A2A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum A2aMethod {
    /// Sends a message and waits for what becomes of it.
    Send,
    /// Sends a message and takes events for the answer.
    Stream,
    /// Gets a task.
    Get,
    /// Lists tasks.
    List,
    /// Cancels a task.
    Cancel,
    /// Takes the events of a task that is there.
    Subscribe,
    /// Sets where an agent pushes what becomes of a task.
    PushSet,
    /// Gets one such place.
    PushGet,
    /// Lists them.
    PushList,
    /// Removes one.
    PushDelete,
    /// Gets the card that is for known callers.
    ExtendedCard,
    /// Gets the public card, which no policy withholds.
    Card,
    /// Anything else: a method that is not of A2A, or a path that is none of its bindings.
    Other,
}

use A2aMethod::{
    Cancel, Card, ExtendedCard, Get, List, Other, PushDelete, PushGet, PushList, PushSet, Send,
    Stream, Subscribe,
};

/// Its names in JSON-RPC and gRPC: those of 0.3, of 1.0, and of what was between them.
const NAMES: [(&str, A2aMethod); 30] = [
    ("message/send", Send),
    ("SendMessage", Send),
    ("message/stream", Stream),
    ("SendStreamingMessage", Stream),
    ("tasks/get", Get),
    ("GetTask", Get),
    ("tasks/list", List),
    ("ListTasks", List),
    ("ListTask", List),
    ("tasks/cancel", Cancel),
    ("CancelTask", Cancel),
    ("tasks/resubscribe", Subscribe),
    ("tasks/subscribe", Subscribe),
    ("SubscribeToTask", Subscribe),
    ("TaskSubscription", Subscribe),
    ("tasks/pushNotificationConfig/set", PushSet),
    ("CreateTaskPushNotificationConfig", PushSet),
    ("SetTaskPushNotificationConfig", PushSet),
    ("tasks/pushNotificationConfig/get", PushGet),
    ("GetTaskPushNotificationConfig", PushGet),
    ("tasks/pushNotificationConfig/list", PushList),
    ("ListTaskPushNotificationConfigs", PushList),
    ("ListTaskPushNotificationConfig", PushList),
    ("tasks/pushNotificationConfig/delete", PushDelete),
    ("DeleteTaskPushNotificationConfig", PushDelete),
    ("agent/getAuthenticatedExtendedCard", ExtendedCard),
    ("agent/authenticatedExtendedCard", ExtendedCard),
    ("agent/getExtendedAgentCard", ExtendedCard),
    ("GetExtendedAgentCard", ExtendedCard),
    // gRPC of 0.3: callers have shown who they are.
    ("GetAgentCard", ExtendedCard),
];

impl A2aMethod {
    /// How many there are.
    pub const COUNT: usize = 13;

    /// All of them, each at the place of its number.
    pub const ALL: [Self; Self::COUNT] = [
        Send,
        Stream,
        Get,
        List,
        Cancel,
        Subscribe,
        PushSet,
        PushGet,
        PushList,
        PushDelete,
        ExtendedCard,
        Card,
        Other,
    ];

    /// The method of a name in JSON-RPC or gRPC. Case does not count: an agent may not count it either.
    pub fn named(name: &[u8]) -> Self {
        let same = |(known, _): &&(&str, Self)| known.as_bytes().eq_ignore_ascii_case(name);
        NAMES.iter().find(same).map_or(Other, |(_, method)| *method)
    }

    /// Its number, from 0.
    pub const fn number(self) -> usize {
        self as usize
    }

    /// Its word in policies, logs and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Send => "send",
            Stream => "stream",
            Get => "get",
            List => "list",
            Cancel => "cancel",
            Subscribe => "subscribe",
            PushSet => "push-set",
            PushGet => "push-get",
            PushList => "push-list",
            PushDelete => "push-delete",
            ExtendedCard => "extended-card",
            Card => "card",
            Other => "other",
        }
    }
}

/// Some methods: those that a policy lets through, or those as which a request could be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Methods(u16);

impl Methods {
    /// All of them: no policy.
    pub const ALL: Self = Self((1 << A2aMethod::COUNT) - 1);
    /// None.
    pub const NONE: Self = Self(0);

    /// This one alone.
    pub const fn only(method: A2aMethod) -> Self {
        Self(1 << method.number())
    }

    /// These and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of them that are in `other` too: of two policies, what both let through.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` are among them.
    pub const fn has(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether these are all there are.
    pub const fn is_all(self) -> bool {
        self.0 == Self::ALL.0
    }

    /// The first that is among them and not in `other`.
    pub fn first_beyond(self, other: Self) -> Option<A2aMethod> {
        A2aMethod::ALL.into_iter().find(|method| {
            let one = Self::only(*method);
            self.has(one) && !other.has(one)
        })
    }

    /// The first of them.
    pub fn first(self) -> Option<A2aMethod> {
        self.first_beyond(Self::NONE)
    }
}

/// All, as long as nobody says less.
impl Default for Methods {
    fn default() -> Self {
        Self::ALL
    }
}

/// A list of methods that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "There is no such list of methods; write all, or some of send, stream, get, list, cancel, \
     subscribe, push-set, push-get, push-list, push-delete, extended-card and other, with commas \
     between them."
)]
pub struct MethodsError;

impl FromStr for Methods {
    type Err = MethodsError;

    fn from_str(text: &str) -> Result<Self, MethodsError> {
        if text == "all" {
            return Ok(Self::ALL);
        }
        // The public card is read under every policy, and needs no word in it.
        text.split(',').try_fold(Self::only(Card), |some, word| {
            let named = |method: &A2aMethod| method.word() == word && *method != Card;
            let method = A2aMethod::ALL.into_iter().find(named).ok_or(MethodsError)?;
            Ok(some.with(Self::only(method)))
        })
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        let mut between = "";
        for method in A2aMethod::ALL {
            if method != Card && self.has(Self::only(method)) {
                write!(f, "{between}{}", method.word())?;
                between = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Methods {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_one_word_whatever_its_version_calls_it() {
        for (v0_3, v1, word) in [
            ("message/send", "SendMessage", "send"),
            ("message/stream", "SendStreamingMessage", "stream"),
            ("tasks/get", "GetTask", "get"),
            ("tasks/list", "ListTasks", "list"),
            ("tasks/cancel", "CancelTask", "cancel"),
            ("tasks/resubscribe", "SubscribeToTask", "subscribe"),
            ("tasks/pushNotificationConfig/set", "CreateTaskPushNotificationConfig", "push-set"),
            ("tasks/pushNotificationConfig/get", "GetTaskPushNotificationConfig", "push-get"),
            ("tasks/pushNotificationConfig/list", "ListTaskPushNotificationConfigs", "push-list"),
            (
                "tasks/pushNotificationConfig/delete",
                "DeleteTaskPushNotificationConfig",
                "push-delete",
            ),
            ("agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard", "extended-card"),
            ("Message/SEND", "sendmessage", "send"),
            ("message/send ", "", "other"),
            ("card", "other", "other"),
        ] {
            for name in [v0_3, v1] {
                assert_eq!(A2aMethod::named(name.as_bytes()).word(), word, "{name}");
            }
        }
        for (number, method) in A2aMethod::ALL.into_iter().enumerate() {
            assert_eq!(method.number(), number);
        }
    }

    #[test]
    fn a_list_is_read_as_it_is_written() {
        for text in ["all", "send", "send,stream,get", "push-set,extended-card,other"] {
            assert_eq!(text.parse::<Methods>().unwrap().to_string(), text);
        }
        let some: Methods = "get,send,get".parse().unwrap();
        assert_eq!(some.to_string(), "send,get");
        assert!(some.has(Methods::only(Card)), "the public card stays readable");
        for wrong in ["", "send,", ",send", "Send", "send get", "card", "none", "all,send", "x"] {
            assert_eq!(wrong.parse::<Methods>(), Err(MethodsError), "{wrong}");
        }
        let every = A2aMethod::ALL.into_iter().filter(|method| *method != Card);
        let every = every.map(A2aMethod::word).collect::<Vec<_>>().join(",");
        assert!(every.parse::<Methods>().unwrap().is_all());
    }

    #[test]
    fn the_narrower_of_two_policies_holds() {
        let policy = |text: &str| text.parse::<Methods>().unwrap();
        let both = policy("send,get").within(policy("get,cancel"));
        assert_eq!((both, both.first()), (policy("get"), Some(Get)));
        assert!(both.has(Methods::only(Get)) && !both.has(policy("send,get")));
        assert_eq!(policy("send,get").first_beyond(both), Some(Send));
        assert_eq!(both.first_beyond(Methods::ALL), None);
    }
}
