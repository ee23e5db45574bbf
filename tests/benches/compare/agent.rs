//! The agent behind every system: answers each POST with the same 300 bytes of JSON, and little else.

use crate::message;
use std::{net::Ipv4Addr, process::Command, time::Duration};
use tests::Process;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long it may take to listen.
const START: Duration = Duration::from_secs(10);

/// What the agent answers to every POST.
pub(crate) fn answer_body() -> Vec<u8> {
    padded(
        r#"{"jsonrpc":"2.0","id":"bench-1","result":{"kind":"message","role":"agent","messageId":"a-1","parts":[{"kind":"text","text":""#,
        r#""}]}}"#,
    )
}

/// What callers send.
pub(crate) fn request_body() -> Vec<u8> {
    padded(
        r#"{"jsonrpc":"2.0","id":"bench-1","method":"message/send","params":{"message":{"kind":"message","role":"user","messageId":"m-1","parts":[{"kind":"text","text":""#,
        r#""}]}}}"#,
    )
}

/// 300 bytes that begin and end so.
fn padded(start: &str, end: &str) -> Vec<u8> {
    let padding = 300 - start.len() - end.len();
    [start, &"x".repeat(padding), end].concat().into_bytes()
}

/// The agent as a process of its own.
pub(crate) struct Agent {
    process: Process,
    /// Where it listens on loopback.
    pub(crate) port: u16,
}

impl Agent {
    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Starts this program once more, in the agent's role.
    pub(crate) async fn start() -> Agent {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args(["--role", "agent"]);
        let process = Process::spawn("agent", command);
        let line = process.wait_for_line(|line| line.starts_with("port "), START).await;
        Agent { process, port: line["port ".len()..].parse().expect("a port") }
    }
}

/// Serves until it is killed.
pub(crate) async fn serve() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port of loopback");
    println!("port {}", listener.local_addr().expect("a bound port").port());
    let body = answer_body();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer: &'static [u8] = [head.into_bytes(), body].concat().leak();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, answer));
        }
    }
}

/// Answers the requests of one connection until its end; an error ends it too.
async fn converse(mut stream: TcpStream, answer: &[u8]) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(4096);
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        loop {
            let Ok(whole) = message::first(&buffer) else { return };
            let Some(request) = whole else { break };
            let answer = if request.first_line.starts_with(b"POST ") {
                answer
            } else {
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
            };
            let bytes = request.bytes;
            if stream.write_all(answer).await.is_err() {
                return;
            }
            buffer.drain(..bytes);
        }
    }
}
