//! The renewal of the public certificate: its files are read again when they change, and on SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use certs::PublicCertificate;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks at the files, which are small.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Asks a running relay to read again what it can.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Asks; it happens soon, and the log tells what came of it.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

/// Keeps the certificate the one that the files hold, until the future is dropped. Cancel safe.
pub async fn run(certificate: Option<Arc<PublicCertificate>>, reload: &Reload) {
    let Some(certificate) = certificate else {
        loop {
            reload.0.notified().await;
            tracing::info!("there is nothing to read again: this relay has no --tls-cert");
        }
    };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    loop {
        let asked = tokio::select! {
            _ = look.tick() => false,
            () = reload.0.notified() => true,
        };
        let file = certificate.path().display();
        match certificate.read_again() {
            Ok(differs) => {
                trouble = Trouble::default();
                if differs {
                    tracing::info!(%file, "new callers are shown the new certificate");
                } else if asked {
                    tracing::info!(%file, "the certificate is the one that callers are shown already");
                }
            }
            Err(error) if trouble.is_worth_telling(&error.to_string()) || asked => {
                tracing::warn!(%error, "callers are shown the certificate of before");
            }
            Err(_) => {}
        }
    }
}

/// What was wrong with the files at the last looks.
#[derive(Debug, Default)]
struct Trouble {
    seen: Option<String>,
    told: bool,
}

impl Trouble {
    /// Whether to tell of this now: once, and not at the first look, which may fall between the
    /// exchange of one file and that of the other.
    fn is_worth_telling(&mut self, error: &str) -> bool {
        if self.seen.as_deref() == Some(error) {
            return !std::mem::replace(&mut self.told, true);
        }
        *self = Self { seen: Some(error.to_owned()), told: false };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_that_lasts_is_told_once() {
        let mut trouble = Trouble::default();
        let told = ["a", "b", "b", "b", "a", "a"].map(|error| trouble.is_worth_telling(error));
        assert_eq!(told, [false, false, true, false, false, true]);
    }
}
