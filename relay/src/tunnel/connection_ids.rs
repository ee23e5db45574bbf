//! Connection ids that carry their shard, recognisable after a restart.
//!
//! An id is 12 bytes: 7 random ones, the shard's number under a mask, and 4 bytes of a keyed tag.
//! Mask and tag come from the random bytes and a persisted key, so that to an observer ids look
//! random (RFC 9000, 5.1), while any shard of this relay, or of the one before a restart, knows
//! them for its own: quinn sends a stateless reset only for ids that [`validate`] accepts.
//!
//! [`validate`]: quinn::ConnectionIdGenerator::validate

use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;
use ring::hmac;

const RANDOM_BYTES: usize = 7;
const TAG_BYTES: usize = 4;
/// Bytes of every id.
pub(super) const ID_BYTES: usize = RANDOM_BYTES + 1 + TAG_BYTES;

/// Makes and recognises the connection ids of one shard.
#[derive(Debug, Clone)]
pub struct ShardConnectionIds {
    key: hmac::Key,
    shard: u8,
}

impl ShardConnectionIds {
    /// Ids of shard `shard`, under the relay's persisted key.
    pub fn new(key: u64, shard: u8) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key.to_be_bytes()), shard }
    }

    /// The shard that an id of this relay names; `None` for anything else.
    pub fn shard_of(&self, id: &[u8]) -> Option<u8> {
        let (random, rest) = id.split_at_checked(RANDOM_BYTES)?;
        let (mask, tag) = self.mask_and_tag(random);
        let (shard, rest) = rest.split_first()?;
        (rest == tag).then_some(shard ^ mask)
    }

    fn mask_and_tag(&self, random: &[u8]) -> (u8, [u8; TAG_BYTES]) {
        match hmac::sign(&self.key, random).as_ref() {
            [mask, a, b, c, d, ..] => (*mask, [*a, *b, *c, *d]),
            _ => (0, [0; TAG_BYTES]),
        }
    }
}

impl ConnectionIdGenerator for ShardConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = [0; RANDOM_BYTES];
        // Without the system's randomness ids may repeat, which quinn survives by making another.
        let _ = getrandom::fill(&mut random);
        let (mask, tag) = self.mask_and_tag(&random);
        let mut id = Vec::with_capacity(ID_BYTES);
        id.extend_from_slice(&random);
        id.push(self.shard ^ mask);
        id.extend_from_slice(&tag);
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        self.shard_of(id).map(|_| ()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_with_the_key_knows_an_id_and_its_shard() {
        let id = ShardConnectionIds::new(7, 3).generate_cid();
        assert_eq!(ShardConnectionIds::new(7, 0).shard_of(&id), Some(3));
        assert!(ShardConnectionIds::new(7, 1).validate(&id).is_ok());
        assert!(ShardConnectionIds::new(8, 3).validate(&id).is_err());
        assert_eq!(ShardConnectionIds::new(7, 3).shard_of(&id[..11]), None);
    }
}
