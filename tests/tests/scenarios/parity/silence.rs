//! Agents think for long: the SDKs' clients wait for a silent call, and for a silent stream.

use super::Stage;
use tests::http::Version;
use tests::sdk::{Sdk, SdkCaller};

/// How long the agent is silent, unless `HARNESS_SILENCE_SECS` says otherwise: longer than the 5 s
/// after which Python's client gives up on a stream that sends nothing.
const SILENCE_SECS: u64 = 8;

#[tokio::test]
async fn the_sdks_wait_for_an_agent_that_is_silent() {
    let seconds = std::env::var("HARNESS_SILENCE_SECS");
    let seconds = seconds.map_or(SILENCE_SECS, |text| text.parse().expect("whole seconds"));
    let (current, older) = tokio::join!(Stage::new(Sdk::Python), Stage::new(Sdk::Python03));
    let (Some(current), Some(older)) = (current, older) else { return };
    let http2 = Version::of_callers() == Version::Http2;
    let wait = async |stage: &Stage, sdk: Sdk, http2: bool| {
        let caller =
            SdkCaller { tour: "silence", http2, seconds, ..SdkCaller::new(sdk, "JSONRPC") };
        let seen = caller.call(&format!("{}/", stage.bases.public)).await?;
        let events = seen["stream"].as_array().map_or(0, Vec::len);
        assert_eq!(events, 5, "{sdk:?}: a task, three pieces, its end: {seen}");
        let answer = seen["send"].to_string();
        assert!(answer.contains(&format!("echo: slow {seconds}")), "{sdk:?}: {seen}");
        Some(())
    };
    tokio::join!(
        wait(&current, Sdk::Python, http2),
        wait(&current, Sdk::Js, false),
        wait(&older, Sdk::Python03, http2),
        wait(&older, Sdk::Js03, false),
    );
}
