//! What a connector starts with: the credential that it takes, and the place where it is kept.

use std::sync::Arc;

use certs::{IdentityError, JoinString, StateDir, StateLock};
use shared::ids::WorkspaceId;

use crate::config::Config;
use crate::error::ConnectorError;
use crate::identity::{self, Choice, NoChoice};
use crate::tunnel::Credential;
use crate::tunnel::dial::Relay;
use crate::tunnel::who::Token;

/// What a connector starts with.
pub(crate) struct Taken {
    pub(crate) state: StateDir,
    pub(crate) start: Start,
    /// Beside an identity: for when that is refused for good.
    pub(crate) join: Option<Box<JoinString>>,
}

/// Whether it can dial at once.
pub(crate) enum Start {
    /// It has a credential.
    Held(Held),
    /// Its agent's registration at this relay gives it one.
    Awaited(Relay),
}

/// The credential of this process.
pub(crate) struct Held {
    pub(crate) credential: Credential,
    /// Whose credential it is, where that is known.
    pub(crate) workspace: Option<WorkspaceId>,
    /// Keeps others from an identity in the state directory.
    pub(crate) lock: Option<StateLock>,
}

/// Takes the credential that `config` gives, or the one of the state directory.
pub(crate) async fn take(config: &Config) -> Result<Taken, ConnectorError> {
    match given_token(config)? {
        Some(token) => Ok(Taken {
            // Nothing is kept: who brings a token each time need not have a place for it.
            state: StateDir::named(&config.state_dir),
            start: Start::Held(Held {
                workspace: token.workspace,
                credential: Credential::Token(Arc::new(token)),
                lock: None,
            }),
            join: None,
        }),
        None => take_identity(config).await,
    }
}

async fn take_identity(config: &Config) -> Result<Taken, ConnectorError> {
    let state = StateDir::open(&config.state_dir)?;
    let choice = identity::choose_from(&state, config.join.as_ref(), config.workspace)?;
    let choice = match choice {
        Err(NoChoice::None) if config.platform_listen.is_some() => {
            let start = Start::Awaited(relay_of_platform(config)?);
            return Ok(Taken { state, start, join: None });
        }
        choice => choice?,
    };
    let workspace = choice.workspace();
    let lock = identity::lock(&state, &workspace).await?;
    let (credential, join) = match (choice, config.join.clone().map(Box::new)) {
        (Choice::Join(_), Some(join)) => (Credential::Join(join), None),
        (_, join) => (stored(&state, &workspace)?, join),
    };
    let held = Held { credential, workspace: Some(workspace), lock: Some(lock) };
    Ok(Taken { state, start: Start::Held(held), join })
}

/// What is kept for a workspace: an identity, or a token in its place.
pub(crate) fn stored(
    state: &StateDir,
    workspace: &WorkspaceId,
) -> Result<Credential, IdentityError> {
    Ok(match state.load_token(workspace)? {
        Some((profile, token)) => Credential::Token(Arc::new(Token::kept(profile, token))),
        None => Credential::Identity(Arc::new(state.load(workspace)?)),
    })
}

/// Where the agent's registration goes, of a connector that has nothing else.
fn relay_of_platform(config: &Config) -> Result<Relay, ConnectorError> {
    match (&config.relay, config.relay_ca) {
        (Some(relay), Some(ca)) => Ok(Relay { endpoints: vec![relay.clone()], ca, worked: None }),
        _ => Err(ConnectorError::Config(
            "There is no identity here yet, so the agent's registration through the platform must \
             give one, and it has to know where: give `--relay HOST:PORT` and `--relay-ca sha256:…` \
             beside `--platform-listen`, or a join string with `--join`."
                .into(),
        )),
    }
}

/// The token of the command line or the environment, and the relay that must stand beside it.
pub(crate) fn given_token(config: &Config) -> Result<Option<Token>, ConnectorError> {
    let Some(text) = config.token.clone() else { return Ok(None) };
    if config.join.is_some() {
        return Err(ConnectorError::Config(
            "There is a join string and a token, and each says who the agent is. Give one of them."
                .into(),
        ));
    }
    let (Some(relay), Some(ca)) = (&config.relay, config.relay_ca) else {
        return Err(ConnectorError::Config(
            "A token does not say where its relay is. Give `--relay HOST:PORT` and `--relay-ca \
             sha256:…` beside it; `relay workspace show` tells both."
                .into(),
        ));
    };
    let endpoints = vec![relay.clone()];
    Ok(Some(Token { text, workspace: config.workspace, endpoints, ca, profile: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::secret::Secret;

    const CA: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

    fn config(relay: bool, ca: bool) -> Config {
        let mut config = Config::new("8000".parse().unwrap(), "/nowhere");
        config.token = Some(Secret::new("rtok_canary".into()));
        config.relay = relay.then(|| "relay.example:4433".into());
        config.relay_ca = ca.then(|| CA.parse().unwrap());
        config
    }

    #[test]
    fn a_token_needs_its_relay_beside_it() {
        for (relay, ca) in [(false, false), (true, false), (false, true)] {
            let refused = given_token(&config(relay, ca)).unwrap_err().to_string();
            assert!(refused.contains("--relay-ca") && !refused.contains("canary"), "{refused}");
        }
        let token = given_token(&config(true, true)).unwrap().unwrap();
        assert_eq!(token.endpoints, ["relay.example:4433"]);
        assert!(!format!("{token:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_token_needs_no_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(true, true);
        config.state_dir = folder.path().join("state");
        let taken = take(&config).await.unwrap();
        let Start::Held(held) = taken.start else { panic!("no token") };
        assert!(matches!(held.credential, Credential::Token(_)) && held.lock.is_none());
        assert!(!config.state_dir.exists());
    }

    #[tokio::test]
    async fn without_anything_only_a_platform_that_knows_its_relay_waits() {
        let folder = tempfile::tempdir().unwrap();
        for (platform, relay, ca, waits) in [
            (true, true, true, true),
            (true, true, false, false),
            (true, false, false, false),
            (false, true, true, false),
        ] {
            let mut config = config(relay, ca);
            (config.token, config.state_dir) = (None, folder.path().join("state"));
            config.platform_listen = platform.then(|| "127.0.0.1:0".parse().unwrap());
            match take(&config).await {
                Ok(taken) => assert!(waits && matches!(taken.start, Start::Awaited(_))),
                Err(error) => assert!(!waits, "{error}"),
            }
        }
    }

    #[tokio::test]
    async fn a_token_that_was_kept_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let workspace: WorkspaceId = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let (endpoints, ca) = (vec!["r:1".to_owned()], CA.parse().unwrap());
        let profile = certs::Profile {
            workspace,
            endpoints,
            ca,
            public_url: None,
            host_url: None,
            worked: None,
        };
        state.save_token(&profile, &Secret::new("rtok_x".into())).unwrap();
        let config = Config::new("8000".parse().unwrap(), folder.path());
        let Start::Held(held) = take(&config).await.unwrap().start else { panic!("no token") };
        let Credential::Token(token) = held.credential else { panic!("no token") };
        assert_eq!((token.text.reveal(), held.workspace), ("rtok_x", Some(workspace)));
        assert!(held.lock.is_some() && token.profile.is_some());
    }
}
