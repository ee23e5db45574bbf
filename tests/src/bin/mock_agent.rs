//! The mock agent as a program: `mock-agent --behaviour WORDS --port N --journal FILE`.
//!
//! Prints `port N` once it listens, and appends each event to the journal before it acts on it.

use std::net::{Ipv4Addr, TcpListener};
use tests::agent::{Journal, Settings, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (mut behaviour, mut port, mut journal) = ("a2a".to_owned(), 0, Journal::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
        match name.as_str() {
            "--behaviour" => behaviour = value,
            "--port" => port = value.parse().expect("--port takes a number"),
            "--journal" => journal = Journal::in_file(value.as_ref()),
            _ => panic!("{name}: no such argument"),
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port of loopback");
    listener.set_nonblocking(true).expect("a socket that does not block");
    let port = listener.local_addr().expect("a bound port").port();
    println!("port {port}");
    serve(listener, Settings::new(port, &behaviour, journal)).await;
}
