//! An agent and a caller on the official SDK for Python that speak gRPC.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use super::{START, Sdk, TOUR, run};
use crate::Process;

/// An agent on the current SDK for Python, with a gRPC server beside its HTTP server.
pub struct GrpcAgent {
    /// The port of its HTTP server.
    pub port: u16,
    /// The port of its gRPC server.
    pub grpc_port: u16,
    _process: Process,
}

impl GrpcAgent {
    /// Starts it. `None` where the SDK is not installed.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub async fn start() -> Option<GrpcAgent> {
        let mut command = Command::new(Sdk::Python.interpreter().await?);
        command.arg(Sdk::Python.script("grpc_agent.py"));
        let process = Process::spawn("sdk-agent", command);
        let ports = |line: &str| -> Option<(u16, u16)> {
            let (port, grpc_port) = line.split_once(' ')?;
            Some((port.parse().ok()?, grpc_port.parse().ok()?))
        };
        let line = process.wait_for_line(|line| ports(line).is_some(), START).await;
        let (port, grpc_port) = ports(&line).expect("two ports");
        Some(GrpcAgent { port, grpc_port, _process: process })
    }
}

/// Runs the gRPC caller against the relay at `address`, for this host; answers what it saw. `None`
/// where the SDK is not installed.
///
/// # Panics
/// When it fails as a program, or does not end in time.
pub async fn call(address: SocketAddr, host: &str) -> Option<Value> {
    run(Sdk::Python, "grpc_client.py", &[&address.to_string(), host], TOUR).await
}
