//! A local agent of raw sockets: it has no card, and each other call is answered by the test.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// The agent. Dropping it closes its port.
pub(crate) struct TinyAgent {
    pub(crate) address: SocketAddr,
    calls: mpsc::UnboundedReceiver<Call>,
    _tasks: JoinSet<()>,
}

/// One connection whose first request is for something else than the card.
pub(crate) struct Call {
    stream: TcpStream,
    read: String,
}

impl TinyAgent {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, calls) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(sort(stream, tell.clone()));
            }
        });
        Self { address, calls, _tasks: tasks }
    }

    pub(crate) async fn call(&mut self) -> Call {
        timeout(PATIENCE, self.calls.recv()).await.expect("a call comes in time").unwrap()
    }
}

/// Says that there is no card; hands everything else to the test.
async fn sort(stream: TcpStream, tell: mpsc::UnboundedSender<Call>) {
    let mut call = Call { stream, read: String::new() };
    if !call.read_more().await {
        return;
    }
    if call.read.contains("/.well-known/") {
        call.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await;
    } else {
        let _ = tell.send(call);
    }
}

impl Call {
    /// Everything up to and with `end`, at least.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        while !self.read.contains(end) {
            assert!(self.read_more().await, "the connection ended after {}", self.read);
        }
        self.read.clone()
    }

    /// Begins anew, for the next request.
    pub(crate) fn forget(&mut self) {
        self.read.clear();
    }

    /// Everything until the connector closes.
    pub(crate) async fn read_to_end(&mut self) -> String {
        while self.read_more().await {}
        self.read.clone()
    }

    /// Whether the connector has closed it by now.
    pub(crate) async fn has_ended(&mut self) -> bool {
        let soon = timeout(Duration::from_millis(50), self.stream.read(&mut [0; 64])).await;
        matches!(soon, Ok(Ok(0) | Err(_)))
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn read_more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let count = read.expect("bytes or the end come in time").unwrap_or(0);
        self.read.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }
}
