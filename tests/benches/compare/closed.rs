//! A closed loop: one caller on one keep-alive connection, one request at a time.

use crate::{
    agent,
    load::{self, PATIENCE, PAUSE, Phase, Tally, Target},
};
use std::time::Instant;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

/// Calls until the phase is over; dials again when a connection fails. Answers count while the
/// phase is counting, failures always.
pub(crate) async fn call(target: Target, phase: Phase) -> Tally {
    let mut tally = Tally::default();
    while !phase.is_over() {
        if let Err(why) = converse(&target, &phase, &mut tally).await {
            tally.failed(|| why);
            sleep(PAUSE).await;
        }
    }
    tally
}

async fn converse(target: &Target, phase: &Phase, tally: &mut Tally) -> Result<(), String> {
    let expected = agent::answer_body();
    let connected = timeout(PATIENCE, TcpStream::connect(target.address)).await;
    let mut stream = connected.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let mut buffer = Vec::with_capacity(4096);
    while !phase.is_over() {
        let begun = Instant::now();
        stream.write_all(&target.request).await.map_err(|e| e.to_string())?;
        let answer = load::answer(&mut stream, &mut buffer, &expected);
        timeout(PATIENCE, answer).await.map_err(|_| "no answer in time".to_owned())??;
        if phase.is_counting() {
            tally.answered(begun.elapsed());
        }
    }
    Ok(())
}
