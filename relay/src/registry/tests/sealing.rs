//! Sealing: what opens, and that nothing else does.

use crate::registry::SealingKeys;
use crate::registry::sealing::{Place, Sealed, Unopened, Wrapped, open, rewrap, seal};

const PLACE: Place<'_> = Place { org: "org_1", workspace: "ws_1", name: "KEY", version: 1 };

/// Keys of which the first byte is given, in this order.
fn keys(first_bytes: &[u8]) -> SealingKeys {
    let lines: Vec<_> =
        first_bytes.iter().map(|byte| format!("{byte:02x}{}", "00".repeat(31))).collect();
    SealingKeys::parse(&lines.join("\n")).unwrap()
}

fn sealed(value: &[u8]) -> Sealed {
    seal(&keys(&[1]), PLACE, value).unwrap()
}

#[test]
fn what_is_sealed_opens_in_its_place() {
    for value in [&b""[..], b"sk-1", "schlüssel\0\n".as_bytes(), &[0xFF; 65_536]] {
        assert_eq!(open(&keys(&[1]), PLACE, &sealed(value)).unwrap(), value);
    }
}

#[test]
fn nothing_of_the_value_shows_and_no_two_sealings_are_alike() {
    let (one, two) = (sealed(b"canary-canary"), sealed(b"canary-canary"));
    assert_eq!(one.value.len(), 12 + 13 + 16);
    assert_eq!(one.key.key.len(), 12 + 32 + 16);
    assert!(!one.value.windows(6).any(|window| window == b"canary"));
    assert_ne!(one.value, two.value);
    assert_ne!(one.key, two.key);
    let crossed = Sealed { key: two.key, ..one };
    assert_eq!(open(&keys(&[1]), PLACE, &crossed), Err(Unopened::Damaged));
}

#[test]
fn every_flipped_bit_is_noticed_in_value_and_key() {
    let whole = sealed(b"sk-1");
    for bit in 0..whole.value.len() * 8 {
        let mut bent = whole.clone();
        bent.value[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&keys(&[1]), PLACE, &bent), Err(Unopened::Damaged), "value, bit {bit}");
    }
    for bit in 0..whole.key.key.len() * 8 {
        let mut bent = whole.clone();
        bent.key.key[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&keys(&[1]), PLACE, &bent), Err(Unopened::Damaged), "key, bit {bit}");
        let rewrapped = rewrap(&keys(&[2, 1]), PLACE, &bent.key).unwrap();
        assert_eq!(rewrapped, Err(Unopened::Damaged), "key, bit {bit}");
    }
}

#[test]
fn every_missing_end_is_noticed() {
    let whole = sealed(b"sk-1");
    for length in 0..whole.value.len() {
        let cut = Sealed { value: whole.value[..length].to_vec(), ..whole.clone() };
        assert_eq!(open(&keys(&[1]), PLACE, &cut), Err(Unopened::Damaged), "value of {length}");
    }
    for length in 0..whole.key.key.len() {
        let key = Wrapped { key: whole.key.key[..length].to_vec(), ..whole.key.clone() };
        let cut = Sealed { key, ..whole.clone() };
        assert_eq!(open(&keys(&[1]), PLACE, &cut), Err(Unopened::Damaged), "key of {length}");
    }
}

#[test]
fn it_opens_in_no_other_place() {
    let sealed = sealed(b"sk-1");
    for elsewhere in [
        Place { org: "org_2", ..PLACE },
        Place { workspace: "ws_2", ..PLACE },
        Place { name: "OTHER", ..PLACE },
        Place { version: 2, ..PLACE },
        // The same letters, otherwise divided.
        Place { org: "org_1w", workspace: "s_1", ..PLACE },
        Place { workspace: "ws_1K", name: "EY", ..PLACE },
        Place { workspace: "", name: "ws_1KEY", ..PLACE },
    ] {
        assert_eq!(open(&keys(&[1]), elsewhere, &sealed), Err(Unopened::Damaged), "{elsewhere:?}");
        let rewrapped = rewrap(&keys(&[1]), elsewhere, &sealed.key).unwrap();
        assert_eq!(rewrapped, Err(Unopened::Damaged), "{elsewhere:?}");
    }
}

#[test]
fn it_is_bound_to_the_names_of_its_keys() {
    let both = keys(&[1, 2]);
    let sealed = seal(&both, PLACE, b"sk-1").unwrap();
    let other = seal(&keys(&[2]), PLACE, b"").unwrap().key.by;
    let bent = Sealed { sealed_for: other.clone(), ..sealed.clone() };
    assert_eq!(open(&both, PLACE, &bent), Err(Unopened::Damaged));
    let key = Wrapped { by: other, ..sealed.key.clone() };
    assert_eq!(open(&both, PLACE, &Sealed { key, ..sealed }), Err(Unopened::Damaged));
}

#[test]
fn another_key_does_not_open_and_says_that_the_right_one_is_missing() {
    let sealed = sealed(b"sk-1");
    assert_eq!(open(&keys(&[2, 3]), PLACE, &sealed), Err(Unopened::KeyMissing));
    assert_eq!(rewrap(&keys(&[2]), PLACE, &sealed.key).unwrap(), Err(Unopened::KeyMissing));
    assert_eq!(open(&keys(&[2, 1]), PLACE, &sealed).unwrap(), b"sk-1");
}

#[test]
fn a_rotation_changes_the_wrapping_and_leaves_the_value() {
    let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
    let mut sealed = seal(&old, PLACE, b"sk-1").unwrap();
    let value = sealed.value.clone();
    sealed.key = rewrap(&both, PLACE, &sealed.key).unwrap().unwrap();
    assert_eq!(sealed.value, value);
    assert_ne!(sealed.key.by, sealed.sealed_for);
    assert_eq!(open(&new, PLACE, &sealed).unwrap(), b"sk-1");
    assert_eq!(open(&old, PLACE, &sealed), Err(Unopened::KeyMissing));

    // And once more, now that the value names a key that is long gone.
    sealed.key = rewrap(&keys(&[3, 2]), PLACE, &sealed.key).unwrap().unwrap();
    assert_eq!(open(&keys(&[3]), PLACE, &sealed).unwrap(), b"sk-1");
}
