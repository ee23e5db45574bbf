//! Tests of who is let in by which field.

use super::*;
use crate::registry::{NewCredential, NewWorkspace, SealingKeys};

#[tokio::test]
async fn a_credential_is_known_wherever_it_may_stand() {
    let folder = tempfile::tempdir().unwrap();
    let keys = SealingKeys::read_or_make(folder.path()).unwrap();
    let registry = Registry::open(folder.path().join("relay.db"), keys, 0).unwrap();
    let new = NewWorkspace::named("a", 0).unwrap();
    let id = new.id;
    registry.create_workspace(new, None, 0, Actor::relay()).await.unwrap();
    let (token, secret) = NewCredential::workspace_token(id, unix_ms()).unwrap();
    let token_id = token.credential.id;
    registry.add_credential(token, Actor::relay()).await.unwrap();
    let (stale, expired) = NewCredential::caller_token(id, "ci".into(), Some(1), 0).unwrap();
    registry.add_credential(stale, Actor::relay()).await.unwrap();
    let doorman = Doorman { registry, token: AdminToken::new("radm_x").unwrap() };

    let bearer = format!("Bearer {secret}");
    let expired = format!("Bearer {expired}");
    let judge = |fields: &[(&'static str, &str)]| {
        let fields = fields.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        let fields: HeaderMap = fields.collect();
        doorman.judge(&fields).map(|principal| principal.map(|principal| principal.name()))
    };
    let agent = Ok(Some(id.to_string()));
    for (fields, expected) in [
        (&[][..], Ok(None)),
        (&[("authorization", "Bearer theirs")], Ok(None)),
        (&[("authorization", "Basic dTpw")], Ok(None)),
        (&[("authorization", "Bearer radm_x")], Ok(Some("operator".to_owned()))),
        (&[("authorization", bearer.as_str())], agent.clone()),
        (
            &[("authorization", "Bearer theirs"), ("x-relay-authorization", bearer.as_str())],
            agent.clone(),
        ),
        (&[("authorization", expired.as_str())], Err(BadCredential)),
        (&[("authorization", "Bearer rtok_unknown")], Err(BadCredential)),
        (&[("x-relay-authorization", "Bearer theirs")], Err(BadCredential)),
        (&[("x-relay-authorization", "Basic dTpw")], Err(BadCredential)),
        (&[("authorization", bearer.as_str()), ("authorization", "Bearer x")], Err(BadCredential)),
        (&[("authorization", "Bearer x"), ("authorization", bearer.as_str())], Err(BadCredential)),
    ] {
        assert_eq!(judge(fields), expected, "{fields:?}");
    }
    assert!(doorman.registry.last_used(token_id).is_some());
    doorman.registry.remove_workspace(id, 1, Actor::relay()).await.unwrap();
    assert_eq!(judge(&[("authorization", bearer.as_str())]), Err(BadCredential));
}
