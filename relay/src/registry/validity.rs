//! Until when a credential is good: told to whoever does something long on its behalf.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;

use super::Registry;
use super::credential::Credential;
use super::directory::Directory;
use crate::clock::unix_ms;

/// Tells when one credential is no longer good: it was revoked, its workspace was removed, or its
/// time is over. Clones are about the same one.
#[derive(Clone)]
pub struct Validity {
    directory: Directory,
    credential: Arc<Credential>,
}

impl Registry {
    /// Until when `credential` is good.
    pub fn validity(&self, credential: &Arc<Credential>) -> Validity {
        Validity { directory: self.directory.clone(), credential: Arc::clone(credential) }
    }
}

impl Validity {
    /// Resolves when the credential is no longer good, at once if it is not good now. It is asked
    /// again whenever any credential ends, and never in between.
    ///
    /// Cancel safe.
    pub fn ended(&self) -> Ended {
        Ended(Box::pin(self.clone().wait()))
    }

    async fn wait(self) {
        // Before the look, so that nothing falls between the two.
        let mut ends = self.directory.watch_ends();
        while let Some(left) = self.left() {
            let over = async {
                match left {
                    Some(left) => sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // `self` keeps the sender, so this is no error.
                _ = ends.changed() => {}
                () = over => {}
            }
        }
    }

    /// The time that it has left, if there is a limit; `None` if it is not good.
    fn left(&self) -> Option<Option<Duration>> {
        let now_ms = unix_ms();
        let now = self.directory.read(|entries| entries.current(&self.credential))?;
        let left = |expires: i64| u64::try_from(expires.saturating_sub(now_ms)).unwrap_or_default();
        now.is_live(now_ms).then(|| now.expires_at_ms.map(left).map(Duration::from_millis))
    }
}

impl fmt::Debug for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validity({})", self.credential.prefix())
    }
}

/// The end of a credential, as something to wait for.
pub struct Ended(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Ended {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ended(…)")
    }
}
