//! Why a proxy does not lead to the relay, one sentence for each.

use std::io;

/// What a proxy did instead of leading on. None of it holds what it is logged in with.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It cannot be connected to.
    #[error(
        "The proxy {proxy} cannot be reached ({source}); check its address, and that this network \
         is the one that has it."
    )]
    Unreachable {
        /// The proxy.
        proxy: String,
        /// What the system says.
        source: io::Error,
    },
    /// It takes the connection and says nothing in time.
    #[error(
        "The proxy {proxy} does not answer in time; check that it is a proxy of the kind that its URL \
         says, and that it reaches the relay."
    )]
    Silent {
        /// The proxy.
        proxy: String,
    },
    /// Nobody who is trusted vouches for it.
    #[error(
        "The proxy {proxy} shows no certificate that this machine trusts ({why}); if its authority \
         is a private one, give that with `--proxy-ca`."
    )]
    Untrusted {
        /// The proxy.
        proxy: String,
        /// What TLS says.
        why: String,
    },
    /// It wants to know who asks, or does not take what it was told.
    #[error(
        "The proxy {proxy} does not take the login ({why}); put user and password into its URL in \
         HTTPS_PROXY, or the user into the URL and the password into `--proxy-password-file`."
    )]
    Login {
        /// The proxy.
        proxy: String,
        /// What it says.
        why: String,
    },
    /// It does not let connections through to the relay.
    #[error(
        "The proxy {proxy} does not connect to {endpoint} ({why}); ask whoever runs it to let \
         CONNECT to that host and port through, or the relay's operator for port 443."
    )]
    Refused {
        /// The proxy.
        proxy: String,
        /// What was to be reached.
        endpoint: String,
        /// What it says.
        why: String,
    },
    /// Its answer is none.
    #[error(
        "What answers at the proxy {proxy} makes no sense ({why}); check its port, and whether it \
         is http://, https:// or socks5://."
    )]
    Garbled {
        /// The proxy.
        proxy: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ProxyError {
    /// Its short name, for the status.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => "PROXY_NO_ANSWER",
            Self::Untrusted { .. } => "PROXY_UNTRUSTED",
            Self::Login { .. } => "PROXY_LOGIN",
            Self::Refused { .. } => "PROXY_REFUSED",
            Self::Garbled { .. } => "PROXY_GARBLED",
        }
    }
}
