//! A stand-in for the platform that a relay bridges to: a server on loopback with the platform's rules
//! and its faults, and a journal of the calls that it saw.
//!
//! The facts that it keeps to:
//! - **Credentials.** The admin token opens the admin's routes. A workspace's token has 43 characters
//!   and no prefix, and opens that workspace's registry calls; the admin token does not. A workspace
//!   without a live token takes registry calls from anyone. A row can be read by anyone.
//! - **Creation.** Without a `url` it answers `awaiting_agent` and a token, once; the row itself says
//!   `provisioning`, and `failed` when nobody registers in time; its runtime is kept only if it was sent.
//!   With a `url` the row is online at once, and there is no token.
//! - **Registration** makes online whatever was not removed, paused ones too; answers a token only where
//!   none was live; makes a row of another runtime for an id that nobody knows; for a removed one it
//!   answers a token that opens nothing. It refuses URLs by their hosts. A stored URL of 127.0.0.1 stays.
//! - **Heartbeats** replace the whole report, answer 200 for removed and unknown workspaces, lift
//!   `offline`, `provisioning` and `degraded`, and never `failed`, `paused` or `hibernated`. Only a
//!   registration makes the key by whose end a silent workspace is seen to be offline; a beat extends it.
//! - **Agents' own calls.** A workspace's secrets open to its token alone, peers and discovery to its token
//!   where it has one; so does a call to another agent that names its caller in `X-Workspace-ID`.
//! - **Limits.** So many requests a minute of one address, with `X-RateLimit-*` on every answer, 429 and
//!   `Retry-After`. Hosted for many, it answers an empty 404 without the organisation's id.
//! - **Calls to agents**: see [`Platform::call`], [`Platform::delegate`] and [`Platform::queued`].
//! - **Faults**, each switched on by a test: see [`Fault`], and [`Platform::oddly`] for hostile answers.

mod agent_api;
mod api;
mod calls;
mod journal;
mod oddity;
mod rules;
mod server;
mod state;
#[cfg(test)]
mod tests;

pub use calls::{Queued, Reached};
pub use journal::{Call, Credential};
pub use oddity::{Fault, Oddity};
pub use state::{Row, Times};

use crate::{Port, backstage::Backstage, until};
use state::State;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long the relay may take to bring something about here.
const SOON: Duration = Duration::from_secs(30);

/// A platform, before it starts.
#[derive(Clone, Debug, Default)]
pub struct PlatformBuilder {
    org: Option<String>,
    per_minute: Option<u32>,
    times: Times,
}

impl PlatformBuilder {
    /// Hosted for many: every route but a few wants this organisation's id.
    #[must_use]
    pub fn hosted_for(mut self, org: &str) -> PlatformBuilder {
        self.org = Some(org.to_owned());
        self
    }

    /// Takes so many requests a minute of one address, instead of 600.
    #[must_use]
    pub fn per_minute(mut self, requests: u32) -> PlatformBuilder {
        self.per_minute = Some(requests);
        self
    }

    /// With other times than the platform's own.
    #[must_use]
    pub fn times(mut self, times: Times) -> PlatformBuilder {
        self.times = times;
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(self) -> Platform {
        let port = Port::take();
        let state = State::new(self.org, self.per_minute.unwrap_or(600), self.times);
        let mut platform = Platform { port, state: Arc::new(Mutex::new(state)), server: None };
        platform.start_again();
        platform
    }
}

/// A running platform. What it knows lives as long as this value, through all restarts.
pub struct Platform {
    port: Port,
    state: Arc<Mutex<State>>,
    server: Option<Backstage>,
}

impl Platform {
    /// One to be shaped first.
    #[must_use]
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::default()
    }

    /// One of the operator's own.
    #[must_use]
    pub fn start() -> Platform {
        Platform::builder().start()
    }

    /// Its URL, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// Its admin token.
    #[must_use]
    pub fn admin_token(&self) -> String {
        self.state().admin_token.clone()
    }

    /// The arguments that lead a relay here.
    #[must_use]
    pub fn relay_args(&self) -> Vec<String> {
        let mut args = vec!["--platform-url".to_owned(), self.url()];
        if let Some(org) = &self.state().org {
            args.extend(["--platform-org".to_owned(), org.clone()]);
        }
        args
    }

    /// Stops it: nobody listens, and open connections end.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts it again on its port with all that it knew.
    pub fn start_again(&mut self) {
        self.server = None;
        let listener = crate::agent::listen(self.port.number());
        let state = self.state.clone();
        let play = move || server::serve(listener, state);
        self.server = Some(Backstage::open("platform", play));
    }

    /// Every workspace, the removed ones too, in the order of their making.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut state = self.state();
        state.pass_time();
        state.rows.clone()
    }

    /// The workspaces that are not removed.
    #[must_use]
    pub fn living(&self) -> Vec<Row> {
        self.rows().into_iter().filter(|row| row.status != "removed").collect()
    }

    /// The workspace with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Row> {
        self.rows().into_iter().find(|row| row.name == name)
    }

    /// Waits until the workspace of this name has this status.
    pub async fn until_status(&self, name: &str, status: &str) -> Row {
        let fact = format!("{name} is {status} on the platform");
        until(&fact, SOON, async || self.named(name).filter(|row| row.status == status)).await
    }

    /// Waits until a call came, from now on, that this predicate likes.
    pub async fn until_call(&self, what: &str, wanted: impl Fn(&Call) -> bool) -> Call {
        let seen = self.calls().len();
        let fact = format!("the platform is called: {what}");
        until(&fact, SOON, async || self.calls().into_iter().skip(seen).find(&wanted)).await
    }

    /// Waits until there were more than `before` calls of this method and path.
    pub async fn until_more_than(&self, before: usize, call: &str) {
        let fact = format!("{call} comes for the {}th time", before + 1);
        until(&fact, SOON, async || self.calls_of(call).len() > before).await;
    }

    /// Every call so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().journal.clone()
    }

    /// The calls with this method and path.
    #[must_use]
    pub fn calls_of(&self, call: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|one| one.is(call)).collect()
    }

    /// What its operator does: the workspace is paused.
    pub fn pause(&self, id: &str) {
        self.state().row(id).pause();
    }

    /// Resumes a workspace: the platform tries to start a container, which ends so.
    pub fn resume(&self, id: &str) {
        "failed".clone_into(&mut self.state().row(id).status);
    }

    /// Gives a workspace this status, whatever it had.
    pub fn set_status(&self, id: &str, status: &str) {
        status.clone_into(&mut self.state().row(id).status);
    }

    /// Somebody else registers this URL for a workspace.
    pub fn set_url(&self, id: &str, url: &str) {
        url.clone_into(&mut self.state().row(id).url);
    }

    /// Deletes a workspace, as its operator would.
    pub fn delete(&self, id: &str) {
        self.state().row(id).remove();
    }

    /// Purges a workspace: nothing is left of it.
    pub fn purge(&self, id: &str) {
        self.state().rows.retain(|row| row.id != id);
    }

    /// Makes a workspace that is there before any relay; yields its id and its token.
    #[must_use]
    pub fn make(&self, name: &str) -> (String, String) {
        self.state().make(name)
    }

    /// Gives a workspace another token and revokes all others.
    #[must_use]
    pub fn rotate(&self, id: &str) -> String {
        self.state().row(id).rotate()
    }

    /// Whether this token is live for this workspace.
    #[must_use]
    pub fn is_live(&self, id: &str, token: &str) -> bool {
        self.state().row(id).is_live(token)
    }

    /// Gives a workspace a secret, as its operator does.
    pub fn set_secret(&self, id: &str, key: &str, value: &str) {
        self.state().row(id).secrets.insert(key.to_owned(), value.into());
    }

    /// Whether any call so far showed a credential that opens nothing, or was answered 401.
    #[must_use]
    pub fn refused_any(&self) -> bool {
        self.calls().iter().any(|call| call.status == 401 || call.credential == Credential::Wrong)
    }

    /// Switches a fault on or off.
    pub fn fault(&self, fault: Fault, on: bool) {
        let mut state = self.state();
        match on {
            true => drop(state.faults.insert(fault)),
            false => drop(state.faults.remove(&fault)),
        }
    }

    /// Answers so many calls of this method and path (with `*` for one segment) oddly. With `done`
    /// they are carried out all the same.
    pub fn oddly(&self, call: &str, times: usize, done: bool, oddity: Oddity) {
        self.state().oddities.push(oddity::Odd { call: call.to_owned(), times, done, oddity });
    }

    /// Answers every call as it should again.
    pub fn behave(&self) {
        self.state().oddities.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
