//! One HTTP server of the agent: where it is, and the connections that wait for it.

use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::UnusableOrigin;
use super::http2::Connections;
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
    /// Those that speak HTTP/2.
    pub(crate) http2: Connections,
}

impl Server {
    /// The server at `origin`.
    pub(crate) fn new(origin: Origin) -> Result<Self, UnusableOrigin> {
        let name = origin.to_string();
        let authority = origin.authority().ok_or_else(|| UnusableOrigin(name.clone()))?;
        Ok(Self { origin, name, authority, pool: Pool::default(), http2: Connections::default() })
    }

    /// The absolute URI of a path, as HTTP/2 has it.
    pub(crate) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Authority::try_from(self.authority.as_bytes()).ok();
        parts.path_and_query = Some(path);
        // It has all that a URI must have, unless the authority is none: then hyper says so.
        Uri::from_parts(parts).unwrap_or_default()
    }
}
