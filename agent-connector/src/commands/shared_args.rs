//! What several commands are told: where identities are, and which relay to dial.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::{CaFingerprint, JoinString};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use shared::secret::Secret;

use crate::config::{Congestion, Transport, Way};
use crate::error::ConnectorError;
use crate::proxy::{Proxies, ProxyWishes};

/// Holds the workspace token itself. It is no argument, or the token would stand in `ps`.
pub(crate) const TOKEN_VARIABLE: &str = "AGENT_CONNECTOR_TOKEN";
/// No token is longer, bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// Where identities are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct StateArgs {
    /// Where identities are kept, mode 0700 [default: $XDG_STATE_HOME/agent-connector]
    #[arg(long, value_name = "DIR", env = "AGENT_CONNECTOR_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateArgs {
    pub(crate) fn path(&self) -> Result<PathBuf, ConnectorError> {
        let home = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let found = self
            .state_dir
            .clone()
            .or_else(|| Some(PathBuf::from(home("XDG_STATE_HOME")?).join("agent-connector")))
            .or_else(|| Some(PathBuf::from(home("HOME")?).join(".local/state/agent-connector")));
        found.ok_or_else(|| {
            ConnectorError::Config(
                "There is no place to keep the identity: neither XDG_STATE_HOME nor HOME is set. \
                 Give one with `--state-dir`."
                    .into(),
            )
        })
    }
}

/// Which relay to dial, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct RelayArgs {
    /// Where to dial, over what the join string or the identity says
    #[arg(long, value_name = "HOST:PORT", env = "AGENT_CONNECTOR_RELAY", value_parser = endpoint)]
    pub(crate) relay: Option<String>,
    /// The relay's authority: its fingerprint, or a PEM file with its certificate
    #[arg(long, value_name = "sha256:…|FILE", env = "AGENT_CONNECTOR_RELAY_CA")]
    relay_ca: Option<String>,
    /// What carries the link
    #[arg(long, default_value = "auto", env = "AGENT_CONNECTOR_TRANSPORT")]
    transport: Transport,
    /// How the link decides how fast to send
    #[arg(long, default_value = "bbr", env = "AGENT_CONNECTOR_CONGESTION")]
    congestion: Congestion,
    /// Dials through this proxy: http://, https:// (CONNECT) or socks5://, with a user where it wants
    /// one; over TCP alone, and it resolves the relay's name. NO_PROXY names hosts that are dialled
    /// directly, over QUIC too. `off` is none [default: HTTPS_PROXY, else ALL_PROXY]
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// Holds the password of the proxy's user; it may also stand in the URL in HTTPS_PROXY or ALL_PROXY,
    /// and never in --proxy
    #[arg(long, value_name = "FILE")]
    proxy_password_file: Option<PathBuf>,
    /// Trusts these authorities (PEM) to vouch for an https:// proxy, besides the system's
    #[arg(long, value_name = "FILE")]
    proxy_ca: Option<PathBuf>,
}

impl RelayArgs {
    pub(crate) fn way(&self) -> Result<Way, ConnectorError> {
        let wishes = ProxyWishes {
            url: self.proxy.as_deref(),
            password_file: self.proxy_password_file.as_deref(),
            ca: self.proxy_ca.as_deref(),
        };
        let proxies = Proxies::read(&wishes, |name| std::env::var(name).ok());
        let proxies = proxies.map_err(ConnectorError::Config)?.map(Arc::new);
        Ok(Way { transport: self.transport, congestion: self.congestion, proxies })
    }

    pub(crate) fn relay_ca(&self) -> Result<Option<CaFingerprint>, ConnectorError> {
        let Some(text) = &self.relay_ca else { return Ok(None) };
        if text.starts_with("sha256:") {
            let parsed = text.parse().map_err(|error| ConnectorError::Config(format!("{error}.")));
            return parsed.map(Some);
        }
        let certificate = CertificateDer::from_pem_file(text).map_err(|error| {
            ConnectorError::Config(format!(
                "`--relay-ca {text}` is no fingerprint (sha256:…) and no file with a certificate \
                 in PEM ({error}); copy it again."
            ))
        })?;
        Ok(Some(CaFingerprint::of(&certificate)))
    }
}

fn endpoint(text: &str) -> Result<String, &'static str> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        None | Some(0) => Err("write host:port"),
        Some(_) => Ok(text.to_owned()),
    }
}

/// A join string, or the file that holds one.
pub(crate) fn read_join(text: &str) -> Result<JoinString, ConnectorError> {
    let text = text.trim();
    let looks_like_one = text.strip_prefix("join").is_some_and(|rest| rest.contains('_'));
    if looks_like_one || !Path::new(text).exists() {
        return Ok(text.parse()?);
    }
    let content = std::fs::read_to_string(text).map_err(|error| {
        ConnectorError::Config(format!(
            "The file {text} cannot be read ({error}); give a file with a join string, or the \
             string itself."
        ))
    })?;
    Ok(content.parse()?)
}

/// The workspace token of this file, or else of this variable.
pub(crate) fn read_token(
    file: Option<&Path>,
    variable: &str,
) -> Result<Option<Secret>, ConnectorError> {
    let (text, source) = match file {
        Some(path) => {
            let bytes = certs::files::read_private(path)
                .map_err(|error| ConnectorError::Config(format!("{error}.")))?;
            (String::from_utf8(bytes).unwrap_or_default(), format!("The file {}", path.display()))
        }
        None => match std::env::var(variable) {
            // An empty variable is none.
            Ok(text) if !text.trim().is_empty() => (text, variable.to_owned()),
            Ok(_) | Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => (String::new(), variable.to_owned()),
        },
    };
    let token = text.trim();
    let usable = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !usable {
        return Err(ConnectorError::Config(format!(
            "{source} holds no workspace token: one line that begins with `rtok_`, as the relay \
             showed it once."
        )));
    }
    Ok(Some(Secret::new(token.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_file_is_private_and_holds_one_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            read_token(Some(&path), TOKEN_VARIABLE)
        };
        assert_eq!(write("rtok_canary\n", 0o600).unwrap().unwrap().reveal(), "rtok_canary");
        for (text, mode) in
            [("rtok_canary", 0o644), ("", 0o600), ("rtok_canary x", 0o600), ("\0canary", 0o600)]
        {
            let refused = write(text, mode).unwrap_err().to_string();
            assert!(refused.contains("token") && !refused.contains("canary"), "{refused}");
        }
        assert!(read_token(Some(&folder.path().join("none")), TOKEN_VARIABLE).is_err());
    }
}
