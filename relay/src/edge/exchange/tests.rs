//! A link that is lost before it took anything: the request goes to a newer one, once, or nowhere.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use certs::Authority;
use http::{HeaderMap, Method};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, VarInt};
use shared::codes::{CloseCode, Delivery};
use shared::control::Status;
use shared::ids::{Address, InstanceId, OrgId};
use shared::limits::ALPN;
use shared::wire::{Binding, Target};
use tokio::sync::mpsc;

use super::{Admitted, open};
use crate::edge::failure::Failure;
use crate::edge::render::Dialect;
use crate::registry::{CallerPolicy, ExposurePolicy, Workspace};
use crate::tunnel::link::Founding;
use crate::tunnel::{Announced, Link, LiveLinks};

/// Both ends of real QUIC connections over loopback, as links have them.
struct Wire {
    relay: Endpoint,
    connector: Endpoint,
    client: ClientConfig,
    _folder: tempfile::TempDir,
}

impl Wire {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path(), SystemTime::now()).unwrap();
        let identity = authority.relay_identity(SystemTime::now()).unwrap();
        let tls = certs::relay_tls(identity, authority.certificate(), &[ALPN]).unwrap();
        let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let tls = certs::connector_tls(authority.fingerprint(), None, &[ALPN]).unwrap();
        let client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let here = (Ipv4Addr::LOCALHOST, 0).into();
        let relay = Endpoint::server(server, here).unwrap();
        Self { relay, connector: Endpoint::client(here).unwrap(), client, _folder: folder }
    }

    /// The link of a new connector process that lets the relay open so many streams, and its end.
    async fn link(&self, live: &LiveLinks, instance: u64, streams: u32) -> (Arc<Link>, Connection) {
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(VarInt::from_u32(streams));
        let mut client = self.client.clone();
        client.transport_config(Arc::new(transport));
        let address = self.relay.local_addr().unwrap();
        let dialling = self.connector.connect_with(client, address, certs::RELAY_NAME).unwrap();
        let accepting = async { self.relay.accept().await.unwrap().await.unwrap() };
        let (there, here) = tokio::join!(dialling, accepting);
        let founding = Founding {
            workspace: workspace().id,
            generation: live.next_generation(),
            instance: InstanceId(instance),
            attempt: 1,
            relay: InstanceId(0),
            exchanges: Arc::new(AtomicU64::new(0)),
            control: mpsc::channel(1).0,
            announced: Announced::default(),
            status: Status::default(),
        };
        (Arc::new(Link::new(here, founding)), there.unwrap())
    }
}

fn workspace() -> Workspace {
    Workspace {
        id: "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        org: "org_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse::<OrgId>().unwrap(),
        parent: None,
        name: "agent".into(),
        alias: None,
        address: Address::new([0; 16]),
        callers: CallerPolicy::Link,
        expose: ExposurePolicy::A2a,
        paused: false,
        created_at_ms: 0,
        removed_at_ms: None,
    }
}

fn admitted() -> Admitted {
    Admitted {
        workspace: Arc::new(workspace()),
        target: Target::Endpoint,
        binding: Binding::JsonRpc,
        dialect: Dialect::JsonRpc,
        method: Method::POST,
        query: None,
        fields: HeaderMap::new(),
        has_body: false,
        base: String::new(),
        secret_base: None,
        if_none_match: None,
    }
}

#[tokio::test]
async fn a_request_whose_link_is_lost_before_it_was_opened_goes_to_the_newer_link() {
    let (wire, live, admitted) = (Wire::new(), LiveLinks::default(), admitted());
    // The first connector allows no stream, so the request waits on its link.
    let (first, _first_end) = wire.link(&live, 1, 0).await;
    let _first_seat = live.register(&first).unwrap();
    let (second, second_end) = wire.link(&live, 2, 8).await;
    let opening = open(&live, &admitted, &[], true);
    let losing = async {
        tokio::task::yield_now().await;
        let seat = live.register(&second).unwrap();
        first.close(CloseCode::Done, "lost");
        seat
    };
    let (opened, _second_seat) = tokio::join!(opening, losing);
    let (_upload, answer) = opened.expect("the newer link takes it");
    assert_eq!(answer.link().generation, second.generation);
    assert!(second_end.accept_bi().await.is_ok(), "it is there");
}

#[tokio::test]
async fn a_request_whose_link_is_lost_before_it_was_opened_was_not_sent() {
    let (wire, live, admitted) = (Wire::new(), LiveLinks::default(), admitted());
    let (link, _end) = wire.link(&live, 1, 0).await;
    let _seat = live.register(&link).unwrap();
    let losing = async {
        tokio::task::yield_now().await;
        link.close(CloseCode::Done, "lost");
    };
    let (opened, ()) = tokio::join!(open(&live, &admitted, &[], true), losing);
    let failure = opened.expect_err("nobody is there");
    assert!(matches!(failure, Failure::LinkLost(_)), "{failure:?}");
    let verdict = failure.verdict();
    assert_eq!((verdict.code, verdict.delivery), ("RELAY_AGENT_OFFLINE", Delivery::NotSent));
    assert_eq!(verdict.retry_after, Some(1));
}
