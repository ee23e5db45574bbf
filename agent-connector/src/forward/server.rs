//! One HTTP server of the agent: where it is, and the connections that wait for it.

use http::HeaderValue;

use super::UnusableOrigin;
use super::origin::Origin;
use super::pool::Pool;

/// One server, from the connector's own configuration.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) origin: Origin,
    /// Its `host:port`, for sentences.
    pub(crate) name: String,
    /// The value of `Host`.
    pub(crate) authority: HeaderValue,
    /// Connections that wait for their next request.
    pub(crate) pool: Pool,
}

impl Server {
    /// The server at `origin`.
    pub(crate) fn new(origin: Origin) -> Result<Self, UnusableOrigin> {
        let name = origin.to_string();
        let authority = origin.authority().ok_or_else(|| UnusableOrigin(name.clone()))?;
        Ok(Self { origin, name, authority, pool: Pool::default() })
    }
}
