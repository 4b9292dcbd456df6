//! Random numbers from the operating system: for ids, tokens and jitter.

use crate::error::{Error, Result};

/// So many random bytes.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    ring::rand::generate(&ring::rand::SystemRandom::new())
        .map(ring::rand::Random::expose)
        .map_err(|_| Error::failed("the operating system gives no random numbers"))
}
