//! Sealing: a value becomes bytes that only a sealing key opens, and only in the place for which
//! they were sealed.
//!
//! Each value is under a random key of its own, which the sealing key wraps. So keys are changed by
//! wrapping anew, and the values stay as they are. Both are AES-256-GCM with random nonces.

use certs::random::random_bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::errors::StoreError;
use super::sealing_keys::{KEY_BYTES, SealingKey, SealingKeys};

/// Where a sealed value belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) org: &'a str,
    pub(super) workspace: &'a str,
    pub(super) name: &'a str,
    pub(super) version: i64,
}

/// A sealed value: a nonce, what it hides, and a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The id of the key that wrapped when the value was sealed.
    pub(super) sealed_for: String,
    pub(super) value: Vec<u8>,
    pub(super) key: Wrapped,
}

/// The wrapped key of a value: a nonce, what it hides, and a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrapped {
    /// The id of the sealing key.
    pub(super) by: String,
    pub(super) key: Vec<u8>,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// Its key is not among these.
    KeyMissing,
    /// It is damaged, or in another place than its own.
    Damaged,
}

/// Seals `value` for `place` by the first of `keys`.
pub(super) fn seal(
    keys: &SealingKeys,
    place: Place<'_>,
    value: &[u8],
) -> Result<Sealed, StoreError> {
    let own: [u8; KEY_BYTES] = random()?;
    let key = wrap(keys, place, &own)?;
    let value = encrypt(&own, &place.bound_to(&key.by), value)?;
    Ok(Sealed { sealed_for: key.by.clone(), value, key })
}

/// Opens what was sealed for `place`.
pub(super) fn open(
    keys: &SealingKeys,
    place: Place<'_>,
    sealed: &Sealed,
) -> Result<Vec<u8>, Unopened> {
    let own = unwrap(keys, place, &sealed.key)?;
    decrypt(&own, &place.bound_to(&sealed.sealed_for), &sealed.value)
}

/// The key of a value in `place`, wrapped anew by the first of `keys`.
pub(super) fn rewrap(
    keys: &SealingKeys,
    place: Place<'_>,
    wrapped: &Wrapped,
) -> Result<Result<Wrapped, Unopened>, StoreError> {
    match unwrap(keys, place, wrapped) {
        Ok(own) => wrap(keys, place, &own).map(Ok),
        Err(unopened) => Ok(Err(unopened)),
    }
}

fn wrap(
    keys: &SealingKeys,
    place: Place<'_>,
    own: &[u8; KEY_BYTES],
) -> Result<Wrapped, StoreError> {
    let SealingKey { id, bytes } = keys.first();
    let key = encrypt(bytes, &place.bound_to(id), own)?;
    Ok(Wrapped { by: id.clone(), key })
}

fn unwrap(
    keys: &SealingKeys,
    place: Place<'_>,
    wrapped: &Wrapped,
) -> Result<[u8; KEY_BYTES], Unopened> {
    let SealingKey { id, bytes } = keys.named(&wrapped.by).ok_or(Unopened::KeyMissing)?;
    let own = decrypt(bytes, &place.bound_to(id), &wrapped.key)?;
    own.try_into().map_err(|_| Unopened::Damaged)
}

impl Place<'_> {
    /// What ciphers are bound to. Each field comes after its length, so that no two places read
    /// the same.
    fn bound_to(&self, key_id: &str) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let fields: [&[u8]; 5] = [
            self.org.as_bytes(),
            self.workspace.as_bytes(),
            self.name.as_bytes(),
            &version,
            key_id.as_bytes(),
        ];
        let with_length = |field: &[u8]| [&(field.len() as u64).to_be_bytes(), field].concat();
        fields.into_iter().flat_map(with_length).collect()
    }
}

fn encrypt(key: &[u8; KEY_BYTES], bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce: [u8; NONCE_LEN] = random()?;
    let mut sealed = plain.to_vec();
    cipher(key)
        .and_then(|cipher| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            cipher.seal_in_place_append_tag(nonce, Aad::from(bound), &mut sealed).ok()
        })
        .ok_or_else(|| failed("it could not be sealed"))?;
    Ok([&nonce[..], &sealed].concat())
}

fn decrypt(key: &[u8; KEY_BYTES], bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
    let opened = || {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let length = cipher(key)?.open_in_place(nonce, Aad::from(bound), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    };
    opened().ok_or(Unopened::Damaged)
}

/// `None` only for a key of another length.
fn cipher(key: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    random_bytes().map_err(|error| failed(&error.to_string()))
}

fn failed(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}
