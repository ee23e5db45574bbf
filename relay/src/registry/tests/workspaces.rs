//! Workspaces: making, finding, changing, removing.

use std::sync::Arc;

use shared::ids::Alias;

use super::{NOW, admin, made, named, registry, rename};
use crate::methods::Methods;
use crate::registry::{
    Allowance, CallerPolicy, Edit, ExposurePolicy, Found, Lookup, NAME_CHARS_MAX, PolicyChange,
    ROLE_CHARS_MAX, Rate, StoreError, Tier, check_alias_has_policy, check_name, check_role,
    fresh_address,
};

fn alias(text: &str) -> Alias {
    text.parse().unwrap()
}

fn give(text: &str) -> PolicyChange {
    PolicyChange { alias: Edit::Give(alias(text)), ..PolicyChange::default() }
}

#[tokio::test]
async fn a_made_workspace_is_listed_and_found_by_everything_it_has() {
    let (_folder, registry) = registry();
    let mut new = named("planner");
    new.alias = Some(alias("plan"));
    let made = registry.create_workspace(new, None, NOW, admin()).await.unwrap();
    assert_eq!(made.org, registry.org_id());
    assert_eq!((made.callers, made.expose), (CallerPolicy::Link, ExposurePolicy::A2a));
    assert!(!made.paused);

    let made = Arc::new(made);
    assert_eq!(registry.workspaces(), std::slice::from_ref(&made));
    assert_eq!(registry.by_id(&made.id), Lookup::Live(made.clone()));
    assert_eq!(registry.by_address(&made.address), Lookup::Live(made.clone()));
    assert_eq!(registry.by_alias(&alias("plan")), Lookup::Live(made.clone()));
    for selector in ["planner", "plan", &made.id.to_string()] {
        assert_eq!(registry.find(selector), Found::One(made.clone()), "{selector}");
    }
    assert_eq!(registry.find(&made.address.reveal()), Found::None);
    assert_eq!(registry.by_address(&fresh_address().unwrap()), Lookup::Unknown);
}

#[tokio::test]
async fn a_name_of_two_is_ambiguous_until_one_is_renamed() {
    let (_folder, registry) = registry();
    let (one, two) = (made(&registry, "twin").await, made(&registry, "twin").await);
    let mut both = vec![one.id, two.id];
    both.sort();
    assert_eq!(registry.find("twin"), Found::Ambiguous(both));

    let renamed = registry.set_policies(two.id, rename("other"), NOW, admin()).await.unwrap();
    assert_eq!(registry.find("twin"), Found::One(Arc::new(one)));
    assert_eq!(registry.find("other"), Found::One(Arc::new(renamed)));
}

#[tokio::test]
async fn an_alias_belongs_to_one_workspace_until_it_is_freed() {
    let (_folder, registry) = registry();
    let (one, two) = (made(&registry, "one").await, made(&registry, "two").await);
    registry.set_policies(one.id, give("shop"), NOW, admin()).await.unwrap();
    let taken = Err(StoreError::AliasTaken { alias: alias("shop") });
    assert_eq!(registry.set_policies(two.id, give("shop"), NOW, admin()).await, taken);
    let mut third = named("three");
    third.alias = Some(alias("shop"));
    assert_eq!(registry.create_workspace(third, None, NOW, admin()).await, taken);
    assert_eq!(registry.find("three"), Found::None);

    let free = PolicyChange { alias: Edit::Free, ..PolicyChange::default() };
    registry.set_policies(one.id, free, NOW, admin()).await.unwrap();
    assert_eq!(registry.by_alias(&alias("shop")), Lookup::Unknown);
    let two = registry.set_policies(two.id, give("shop"), NOW, admin()).await.unwrap();
    assert_eq!(registry.by_alias(&alias("shop")), Lookup::Live(Arc::new(two)));
}

#[tokio::test]
async fn limits_are_set_and_lifted_one_by_one() {
    let (_folder, registry) = registry();
    let mut new = named("planner");
    let some = Allowance { rate: Rate::per_second(2.5), in_flight: Some(8), ..Default::default() };
    new.allowance = some;
    let id = new.id;
    let made = registry.create_workspace(new, None, NOW, admin()).await.unwrap();
    assert_eq!(made.allowance, some);
    let methods = "send,get".parse().unwrap();
    for (change, expected) in [
        (
            PolicyChange { rate: Edit::Free, methods: Some(methods), ..Default::default() },
            Allowance { rate: None, methods, ..some },
        ),
        (
            PolicyChange { in_flight: Edit::Give(9), ..Default::default() },
            Allowance { rate: None, in_flight: Some(9), methods },
        ),
        (
            PolicyChange {
                rate: Edit::Give(Rate::per_second(1.0).unwrap()),
                in_flight: Edit::Free,
                methods: Some(Methods::ALL),
                ..Default::default()
            },
            Allowance { rate: Rate::per_second(1.0), ..Default::default() },
        ),
    ] {
        let now = registry.set_policies(id, change, NOW, admin()).await.unwrap();
        assert_eq!(now.allowance, expected);
        assert_eq!(registry.by_id(&id), Lookup::Live(Arc::new(now)));
    }
}

#[tokio::test]
async fn a_role_and_a_tier_are_given_changed_and_taken_away() {
    let (_folder, registry) = registry();
    let mut new = named("planner");
    (new.role, new.tier) = (Some("Plans the week".into()), Tier::new(2));
    let id = new.id;
    let made = registry.create_workspace(new, None, NOW, admin()).await.unwrap();
    assert_eq!((made.role.as_deref(), made.tier), (Some("Plans the week"), Tier::new(2)));
    for (role, tier, expected) in [
        (Edit::Keep, Edit::Free, (Some("Plans the week"), None)),
        (Edit::Give("Plans".to_owned()), Edit::Keep, (Some("Plans"), None)),
        (Edit::Free, Edit::Give(Tier::new(4).unwrap()), (None, Tier::new(4))),
        (Edit::Keep, Edit::Keep, (None, Tier::new(4))),
    ] {
        let change = PolicyChange { role, tier, ..PolicyChange::default() };
        let now = registry.set_policies(id, change, NOW, admin()).await.unwrap();
        assert_eq!((now.role.as_deref(), now.tier), expected);
        assert_eq!(registry.by_id(&id), Lookup::Live(Arc::new(now)));
    }
    assert_eq!((Tier::new(0), Tier::new(5), Tier::new(u64::MAX)), (None, None, None));
    for wrong in ["", "  ", "two\nlines", &"x".repeat(ROLE_CHARS_MAX + 1)] {
        let role = Edit::Give(wrong.to_owned());
        let change = PolicyChange { role, ..PolicyChange::default() };
        let refused = registry.set_policies(id, change, NOW, admin()).await;
        assert!(matches!(refused, Err(StoreError::BadRole(_))), "{wrong:?}: {refused:?}");
    }
    assert!(check_role(&"ß".repeat(ROLE_CHARS_MAX)).is_ok());
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let (_folder, registry) = registry();
    let (one, two) = (made(&registry, "one").await, made(&registry, "two").await);
    let change = PolicyChange {
        name: Some("three".into()),
        callers: Some(CallerPolicy::Open),
        new_address: Some(one.address),
        ..PolicyChange::default()
    };
    let refused = registry.set_policies(two.id, change, NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::NotFresh { what: "address" }));
    assert_eq!(registry.by_id(&two.id), Lookup::Live(Arc::new(two.clone())));
    assert_eq!(registry.by_address(&two.address), Lookup::Live(Arc::new(two)));
}

#[tokio::test]
async fn a_new_address_takes_the_place_of_the_old_one_for_good() {
    let (_folder, registry) = registry();
    let old = made(&registry, "one").await;
    let change = PolicyChange {
        callers: Some(CallerPolicy::Token),
        expose: Some(ExposurePolicy::All),
        strict_card: Some(true),
        keep_alive: Some(false),
        jsonrpc_errors_as_200: Some(true),
        paused: Some(true),
        new_address: Some(fresh_address().unwrap()),
        ..PolicyChange::default()
    };
    let new = registry.set_policies(old.id, change, NOW, admin()).await.unwrap();
    assert_ne!(new.address, old.address);
    assert_eq!((new.callers, new.expose), (CallerPolicy::Token, ExposurePolicy::All));
    assert!(new.paused && new.strict_card && !old.strict_card);
    assert!(old.keep_alive && !new.keep_alive);
    assert!(new.jsonrpc_errors_as_200 && !old.jsonrpc_errors_as_200);
    assert_eq!(registry.by_address(&old.address), Lookup::Unknown);
    assert_eq!(registry.by_address(&new.address), Lookup::Live(Arc::new(new)));

    let mut reused = named("two");
    reused.address = old.address;
    let refused = registry.create_workspace(reused, None, NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::NotFresh { what: "address" }));
}

#[tokio::test]
async fn a_removed_workspace_is_gone_by_id_and_unknown_by_the_rest() {
    let (_folder, registry) = registry();
    let one = made(&registry, "one").await;
    let one = registry.set_policies(one.id, give("shop"), NOW, admin()).await.unwrap();
    registry.remove_workspace(one.id, NOW + 1, admin()).await.unwrap();
    assert_eq!(registry.by_id(&one.id), Lookup::Gone);
    assert_eq!(registry.by_address(&one.address), Lookup::Unknown);
    assert_eq!(registry.by_alias(&alias("shop")), Lookup::Unknown);
    for selector in ["one", "shop", &one.id.to_string()] {
        assert_eq!(registry.find(selector), Found::None, "{selector}");
    }
    assert!(registry.workspaces().is_empty());

    let gone = StoreError::WorkspaceGone { id: one.id };
    assert_eq!(registry.remove_workspace(one.id, NOW, admin()).await, Err(gone.clone()));
    assert_eq!(
        registry.set_policies(one.id, rename("again"), NOW, admin()).await,
        Err(gone.clone())
    );
    assert_eq!(registry.revoke_workspace_credentials(one.id, NOW, admin()).await, Err(gone));
    let mut next = named("two");
    next.alias = Some(alias("shop"));
    registry.create_workspace(next, None, NOW, admin()).await.unwrap();
    let mut again = named("three");
    again.id = one.id;
    let refused = registry.create_workspace(again, None, NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::NotFresh { what: "workspace id" }));
}

#[tokio::test]
async fn a_parent_must_be_there() {
    let (_folder, registry) = registry();
    let parent = made(&registry, "parent").await;
    let mut child = named("child");
    child.parent = Some(parent.id);
    let child = registry.create_workspace(child, None, NOW, admin()).await.unwrap();
    assert_eq!(child.parent, Some(parent.id));

    let mut orphan = named("orphan");
    orphan.parent = Some(named("nobody").id);
    let refused = registry.create_workspace(orphan.clone(), None, NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::UnknownWorkspace { id: orphan.parent.unwrap() }));
    registry.remove_workspace(parent.id, NOW, admin()).await.unwrap();
    orphan.parent = Some(parent.id);
    let refused = registry.create_workspace(orphan, None, NOW, admin()).await;
    assert_eq!(refused, Err(StoreError::WorkspaceGone { id: parent.id }));
    assert!(matches!(registry.by_id(&child.id), Lookup::Live(_)));
}

#[tokio::test]
async fn a_bad_name_is_refused_at_making_and_at_renaming() {
    let (_folder, registry) = registry();
    let one = made(&registry, "one").await;
    for bad in ["", "two\nlines", "bell\u{7}", &"x".repeat(NAME_CHARS_MAX + 1)] {
        let refused = registry.create_workspace(named(bad), None, NOW, admin()).await;
        assert!(matches!(refused, Err(StoreError::BadName(_))), "{bad:?}");
        let refused = registry.set_policies(one.id, rename(bad), NOW, admin()).await;
        assert!(matches!(refused, Err(StoreError::BadName(_))), "{bad:?}");
    }
    assert!(check_name(&"ü".repeat(NAME_CHARS_MAX)).is_ok());
}

#[test]
fn an_alias_wants_a_policy_that_somebody_chose() {
    let shop = alias("shop");
    assert!(check_alias_has_policy(Some(&shop), None).is_err());
    assert!(check_alias_has_policy(Some(&shop), Some(CallerPolicy::Link)).is_ok());
    assert!(check_alias_has_policy(None, None).is_ok());
}

#[test]
fn policies_cross_text_in_lower_case() {
    use CallerPolicy::{Link, Open, Token, Workspaces};
    for (policy, text) in
        [(Link, "link"), (Token, "token"), (Workspaces, "workspaces"), (Open, "open")]
    {
        assert_eq!(policy.to_string(), text);
        assert_eq!(text.parse(), Ok(policy));
    }
    assert_eq!("all".parse(), Ok(ExposurePolicy::All));
    assert_eq!(ExposurePolicy::A2a.to_string(), "a2a");
    let error = "Open".parse::<CallerPolicy>().unwrap_err().to_string();
    assert!(error.contains("link, token, workspaces and open"), "{error}");
}
