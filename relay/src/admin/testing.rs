//! An API on a store of its own, for this folder's tests.

use std::path::Path;
use std::sync::Arc;

use certs::CaFingerprint;
use http::Response;

use super::api::Repeats;
use super::canvas::answer::whole;
use super::canvas::chat::Messenger;
use super::delegations::Delegations;
use super::looks::Looks;
use super::pulse::Pulses;
use super::refusals::Refusals;
use super::{AdminToken, Api};
use crate::clock::unix_ms;
use crate::direct_url::{DirectUrls, Rules};
use crate::metrics::Metrics;
use crate::principal::Doorman;
use crate::registry::{Registry, SealingKeys};
use crate::tunnel::LiveLinks;

/// Its admin token.
pub(super) const TOKEN: &str = "radm_test";

/// An agent that says back what it is sent.
pub(super) fn echo() -> Messenger {
    Messenger::new(|_, json| async { Response::new(whole(json)) })
}

/// An API whose store is in `folder`.
pub(super) fn api(folder: &Path) -> Api {
    let keys = SealingKeys::read_or_make(folder).unwrap();
    let registry = Registry::open(folder.join("relay.db"), keys, unix_ms()).unwrap();
    Api {
        registry: registry.clone(),
        pulses: Pulses::default(),
        refusals: Refusals::default(),
        repeats: Repeats::default(),
        kept_cards: Arc::default(),
        platform: None,
        delegations: Delegations::new().0,
        looks: Looks::new(Rules {
            policy: DirectUrls::Off,
            listeners: Vec::new(),
            public: "http://127.0.0.1:8080".parse().unwrap(),
        }),
        live: LiveLinks::default(),
        public: "http://127.0.0.1:8080".parse().unwrap(),
        endpoints: vec!["127.0.0.1:4433".into()],
        relay_ca: CaFingerprint::of(b"ca"),
        doorman: Doorman { registry, token: AdminToken::new(TOKEN).unwrap() },
        metrics: Arc::new(Metrics::default()),
    }
}
