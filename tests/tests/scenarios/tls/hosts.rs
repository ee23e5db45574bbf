//! Agents at hosts of their own, below one wildcard certificate: gRPC over TLS, as the SDKs speak it.

use super::{Files, workspace};
use tests::sdk::{Sdk, SdkAgent, SdkCaller};
use tests::{Connector, Front, Relay};

/// What a caller does of which nothing is refused.
const STEPS: [&str; 7] = ["send", "large", "stream", "get", "push get", "subscribe", "cancel"];

#[tokio::test]
async fn the_sdks_call_by_grpc_over_tls_at_the_agents_host() {
    for sdk in [Sdk::Python, Sdk::Python03] {
        // The card names what stands before the agent, which has its own ports.
        let (http, grpc) = (Front::start(), Front::start());
        let grpc_url = format!("127.0.0.1:{}", grpc.port());
        let env = [("GRPC_URL", grpc_url.as_str())];
        let Some(agent) = SdkAgent::start_with(sdk, &http.origin(), &env).await else { return };
        http.lead_to(agent.address);
        grpc.lead_to(agent.grpc);
        let files = Files::of(&["*.agents.test", "127.0.0.1"]);
        let relay =
            Relay::builder().args(files.args()).args(["--domain", "agents.test"]).start().await;
        let open = ["--alias", "sdk", "--callers", "open"];
        let workspace = workspace(&relay, &files, &open).await;
        let also = ["--also".to_owned(), format!("grpc={}", grpc.port())];
        let connector = Connector::builder(&workspace.join, http.port()).args(also);
        let _connector = connector.start_online().await;

        let (webhook, host) = (Front::start(), format!("sdk.agents.test:{}", relay.http().port()));
        let caller = SdkCaller {
            webhook: webhook.origin(),
            ca: Some(files.certificate()),
            ..SdkCaller::new(sdk, "GRPC")
        };
        let seen = caller.call(&format!("https://{host}")).await.expect("the SDK");

        for step in STEPS {
            assert!(
                seen.get(step).is_some_and(|seen| !seen.is_string()),
                "{sdk:?} {step}: {seen:#}"
            );
        }
        let interfaces = match sdk {
            Sdk::Python => &seen["card"]["supportedInterfaces"],
            _ => &seen["card"]["additionalInterfaces"],
        };
        let urls = interfaces.as_array().expect("a list").iter().map(|one| &one["url"]);
        assert!(urls.clone().any(|url| *url == host), "{sdk:?}: {interfaces}");
        assert!(urls.clone().any(|url| *url == format!("https://{host}")), "{sdk:?}: {interfaces}");
        let calls = grpc.since(0);
        assert!(calls.len() > 8, "{sdk:?}: {}", calls.len());
        for call in calls {
            assert_eq!(call.request.field("x-forwarded-proto"), Some("https"), "{}", call.path);
        }
    }
}
