//! The comparison bench: our tunnel, a direct connection and other programs, side by side.
//!
//! `cargo bench -p tests --bench compare` builds `relay` and `agent-connector` in release, starts
//! all systems on loopback in front of one small agent, and lets them take turns: short rounds
//! under three kinds of load (64 callers in a closed loop, one caller, 2,000 requests a second in
//! an open loop whose latencies count from when a request was due). Every answer is checked; what
//! fails stands in the table. Beside it: processor time of the tunnels' processes, memory, sizes,
//! starts, a thousand idle agents, and how two shards share the work. It needs Linux.
//!
//! `peers` has the other programs and how to come by them; whichever is absent is not measured.
//!
//! Flags: `-- --help`. Only ratios within one run carry over to another machine.

mod agent;
mod closed;
mod cpu;
mod crowd;
mod footprint;
mod load;
mod message;
mod options;
mod paced;
mod peers;
mod report;
mod rounds;
mod rows;
mod setting;
mod shards;
mod systems;
mod ticks;

use agent::Agent;
use options::{HELP, Options};
use peers::PEERS;
use rows::Rows;
use setting::Setting;
use std::{process::ExitCode, time::Duration};
use systems::System;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

/// From the last system's start to the reading of its idle memory.
const SETTLE: Duration = Duration::from_secs(2);
/// For everything but the rounds: starts, idle agents, shards.
const BESIDE: Duration = Duration::from_secs(600);

/// One thread: what the bench itself uses is taken from everyone alike.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["--role", "agent"] {
        agent::serve().await;
        return ExitCode::SUCCESS;
    }
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    // Cargo says `--bench` to benches only: whoever runs all targets as tests measures nothing.
    if !args.iter().any(|arg| arg == "--bench") {
        println!("Nothing is measured in a test; run `cargo bench -p tests --bench compare`.");
        return ExitCode::SUCCESS;
    }
    let options = match Options::read(args.into_iter()).and_then(measurable) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("{mistake}");
            return ExitCode::from(2);
        }
    };
    let mut interrupt = signal(SignalKind::interrupt()).expect("signals can be heard");
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be heard");
    // Whatever ends this future ends every process that it started.
    tokio::select! {
        () = compare(&options) => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}

/// Refuses surroundings in which figures would mislead.
fn measurable(options: Options) -> Result<Options, String> {
    if cfg!(debug_assertions) {
        return Err("This is no release build; run `cargo bench -p tests --bench compare`.".into());
    }
    match std::env::var_os("HARNESS_SHARDS") {
        Some(_) => Err("HARNESS_SHARDS is set; the bench measures the relay's defaults.".into()),
        None => Ok(options),
    }
}

async fn compare(options: &Options) {
    let setting = Setting::read();
    let mut rows = Rows::default();
    let agent = Agent::start().await;
    let mut all = Vec::new();
    if options.has("ours") {
        all.push(System::ours(agent.port, options).await);
    }
    for peer in PEERS.iter().filter(|peer| options.has(peer.name)) {
        match peer.find() {
            Some(program) => all.push(System::peer(peer, &program, agent.port).await),
            None => eprintln!("{}", peer.absence()),
        }
    }
    if options.has("direct") {
        all.push(System::direct(agent.port));
    }
    sleep(SETTLE).await;
    all.iter().for_each(|system| footprint::memory(system, "idle", &mut rows));
    let length = options.length;
    // Load and its patience; then some for a machine that is busy otherwise.
    let stretches = 3 * all.len() * options.rounds;
    let patience =
        (length * 2 + Duration::from_secs(20)) * u32::try_from(stretches).unwrap_or(u32::MAX);
    let rounds = rounds::run(&all, agent.pid(), options.rounds, length, &mut rows);
    timeout(patience, rounds).await.expect("the rounds end in time");
    all.iter().for_each(|system| footprint::memory(system, "after load", &mut rows));
    all.iter().for_each(|system| footprint::sizes(system.name, &mut rows));
    drop(all);
    if options.has("ours") {
        let beside = beside(options, agent.port, &mut rows);
        timeout(BESIDE, beside).await.expect("starts, idle agents and shards end in time");
    }
    println!("{}", report::table(options, &setting, &rows));
    if let Some(file) = &options.json {
        let json = report::json(options, &setting, &rows);
        let text = serde_json::to_string_pretty(&json).expect("JSON");
        std::fs::write(file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

/// What is ours alone.
async fn beside(options: &Options, agent: u16, rows: &mut Rows) {
    for _ in 0..options.rounds {
        footprint::starts(agent, rows).await;
    }
    if options.agents > 0 {
        crowd::run(options.agents, rows).await;
    }
    for _ in 0..options.rounds {
        shards::run(agent, options.length, rows).await;
    }
}
