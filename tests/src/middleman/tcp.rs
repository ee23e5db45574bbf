//! Passes TCP through on the middleman's port, unless it is blocked.

use super::weather::Sky;
use std::sync::Arc;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Carries connections for ever.
pub(super) async fn carry(listener: std::net::TcpListener, sky: Arc<Sky>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(pass(stream, sky.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Passes one connection until an end leaves, TCP is blocked, or all links are cut.
async fn pass(mut near: TcpStream, sky: Arc<Sky>) {
    let mut changes = sky.changes();
    let cuts = sky.state().cuts;
    let relay = sky.state().relay;
    let Some(relay) = relay else { return };
    let blocked = changes.wait_for(|()| {
        let state = sky.state();
        state.tcp_blocked || state.cuts != cuts
    });
    tokio::select! {
        biased;
        _ = blocked => {}
        () = async {
            if let Ok(mut far) = TcpStream::connect(relay).await {
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        } => {}
    }
}
