//! What the relay tells of itself and of the agent, and what of it is kept for the next process.

use std::sync::Arc;

use shared::control::Welcome;
use transport::Kind;

use super::session::News;
use super::who::{Token, Who};
use super::{Credential, Tunnel, enrol};

impl Tunnel {
    pub(super) fn note_welcome(
        &mut self,
        who: &Who,
        welcome: &Welcome,
        endpoint: &str,
        over: Kind,
    ) {
        self.welcomed = true;
        match self.outage.take() {
            None => tracing::info!(workspace = %welcome.workspace_id, relay = %welcome.software,
                %endpoint, transport = %over, "link up"),
            Some(since) => {
                tracing::info!(workspace = %welcome.workspace_id, %endpoint, transport = %over,
                after_ms = since.elapsed().as_millis() as u64, "link up again")
            }
        }
        let urls = std::iter::once(&welcome.public_url).chain(&welcome.host_url);
        self.process.agent.set_public_urls(urls.map(String::as_str));
        self.process.agent.card_crossed();
        let host_url = welcome.host_url.as_deref();
        self.reporter.online(welcome.workspace_id, &welcome.public_url, host_url, over);
        let endpoints = enrol::with_proven(welcome.endpoints.clone(), endpoint);
        self.remember(who, |profile| {
            profile.endpoints = endpoints;
            profile.public_url = Some(welcome.public_url.clone());
            profile.host_url.clone_from(&welcome.host_url);
            let (transport, endpoint) = (over.name().to_owned(), endpoint.to_owned());
            profile.worked = Some(certs::Worked { transport, endpoint });
        });
    }

    /// Keeps what the relay said of itself, if it is new.
    fn remember(&mut self, who: &Who, change: impl FnOnce(&mut certs::Profile)) {
        let Some(before) = who.profile() else { return };
        let mut profile = before.clone();
        change(&mut profile);
        if profile == before {
            return;
        }
        let state = &self.process.state;
        let saved = state.save_profile(&profile).and_then(|()| {
            Ok(match who {
                Who::Certificate(_) => {
                    Credential::Identity(Arc::new(state.load(&profile.workspace)?))
                }
                Who::Token(token) => {
                    Credential::Token(Arc::new(Token::kept(profile, token.text.clone())))
                }
            })
        });
        match saved {
            Ok(credential) => self.credential = credential,
            Err(error) => tracing::warn!(%error, "what the relay announced could not be kept"),
        }
    }

    pub(super) fn take_news(&mut self, news: News) {
        match news {
            News::Paused(_) => {}
            News::Renewed(identity) => self.credential = Credential::Identity(identity),
            News::PublicUrls { public_url, host_url } => {
                let who = match &self.credential {
                    Credential::Identity(identity) => Who::Certificate(Arc::clone(identity)),
                    Credential::Token(token) => Who::Token(Arc::clone(token)),
                    Credential::Join(_) => return,
                };
                self.remember(&who, |profile| {
                    (profile.public_url, profile.host_url) = (Some(public_url), host_url);
                });
            }
        }
    }
}
