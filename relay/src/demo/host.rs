//! The relay of the demonstration: on free ports of loopback, in a folder that goes away.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::story::failed;
use crate::Relay;
use crate::addresses::Addresses;
use crate::commands::exit::Failure;
use crate::config::{
    AdminTokenSource, BODY_BYTES_MAX, Config, ForeignUrls, IN_FLIGHT_MAX, SealingSource,
};
use crate::direct_url::DirectUrls;
use crate::networks::Networks;
use crate::tunnel::endpoint::Congestion;

/// A relay that serves.
pub(super) struct Host {
    addresses: Addresses,
    stop: oneshot::Sender<()>,
    /// Gone once its end has been told.
    running: Option<JoinHandle<Result<(), String>>>,
}

impl Host {
    /// Starts it with its data in `data_dir`.
    pub(super) fn start(data_dir: &Path) -> Result<Self, Failure> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config {
            data_dir: data_dir.to_owned(),
            http: free,
            tunnel: free,
            admin: free,
            public_url: None,
            domain: None,
            tunnel_host: None,
            admin_token: AdminTokenSource::DataDir,
            sealing: SealingSource::DataDir,
            shards: 1,
            tls: None,
            congestion: Congestion::default(),
            trusted_proxies: Networks::default(),
            max_body_bytes: BODY_BYTES_MAX,
            max_in_flight: IN_FLIGHT_MAX,
            direct_urls: DirectUrls::Off,
            foreign_urls: ForeignUrls::default(),
            sign_cards: false,
            platform: None,
            url_file: None,
        };
        let relay = Relay::start(&config).map_err(|error| failed(&error.to_string()))?;
        let addresses = relay.addresses().clone();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            relay
                .run_until(async {
                    // An error means that the host is gone, which is a reason to stop as well.
                    let _ = stopped.await;
                })
                .await
        });
        Ok(Self { addresses, stop, running: Some(running) })
    }

    /// Where callers reach it.
    pub(super) fn public_url(&self) -> &str {
        self.addresses.public_url.as_str()
    }

    /// Where connectors reach it.
    pub(super) const fn tunnel(&self) -> SocketAddr {
        self.addresses.tunnel
    }

    /// Waits until it ends without having been told to, and tells why.
    pub(super) async fn ended(&mut self) -> String {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok(Err(why)) => why,
            Ok(Ok(())) => "The relay has ended.".into(),
            Err(error) => format!("The relay broke off: {error}."),
        }
    }

    /// Drains it and waits for its end.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        let Some(running) = self.running else { return Ok(()) };
        // An error means that it ends already.
        let _ = self.stop.send(());
        match running.await {
            Ok(ended) => ended.map_err(|why| failed(&why)),
            Err(error) => Err(failed(&format!("The relay broke off: {error}."))),
        }
    }
}
