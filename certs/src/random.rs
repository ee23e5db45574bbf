//! Random bytes from the operating system.

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error(
    "The operating system gave no random bytes ({0}), without which no key or token is safe; \
     start again where its random source works"
)]
pub struct RandomError(#[from] getrandom::Error);

/// `N` bytes fit for keys.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
