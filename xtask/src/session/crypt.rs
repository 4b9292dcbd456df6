//! The encryption of a session whose cluster has a KMS key: AES-256-GCM in both directions, each with its half of one data key.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Bytes in front of the ciphertext.
const NONCE: usize = 12;

/// A data key of KMS, in plain. `Debug` leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey {
    /// 64 bytes: the first half is the agent's to encrypt with, the second ours.
    pub plain: [u8; 64],
    /// What the agent asks KMS to decrypt.
    pub encrypted: Vec<u8>,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey").finish_non_exhaustive()
    }
}

/// One side's keys.
#[derive(Debug)]
pub struct Crypt {
    seal: LessSafeKey,
    open: LessSafeKey,
    nonce: u128,
}

impl Crypt {
    /// The client's side; `nonce`: any random start, from which each message counts on.
    pub fn client(key: &DataKey, nonce: [u8; NONCE]) -> Option<Crypt> {
        let (agents, ours) = key.plain.split_at(32);
        Some(Crypt { seal: cipher(ours)?, open: cipher(agents)?, nonce: number(nonce) })
    }

    /// The agent's side: what a test's agent does.
    pub fn agent(key: &DataKey, nonce: [u8; NONCE]) -> Option<Crypt> {
        let (agents, ours) = key.plain.split_at(32);
        Some(Crypt { seal: cipher(agents)?, open: cipher(ours)?, nonce: number(nonce) })
    }

    /// Nonce, ciphertext, tag.
    pub fn seal(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        self.nonce = self.nonce.wrapping_add(1);
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&self.nonce.to_be_bytes()[4..]);
        let mut sealed = plain.to_vec();
        self.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
        let mut bytes = nonce.to_vec();
        bytes.append(&mut sealed);
        Some(bytes)
    }

    /// The other way; nothing where it was not made with the other side's key.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE] = sealed.get(..NONCE)?.try_into().ok()?;
        let mut bytes = sealed.get(NONCE..)?.to_vec();
        let plain = self.open.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes).ok()?;
        let length = plain.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

fn cipher(key: &[u8]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

fn number(nonce: [u8; NONCE]) -> u128 {
    let mut bytes = [0; 16];
    bytes[4..].copy_from_slice(&nonce);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_reads_the_other_and_nothing_else() {
        let key = DataKey { plain: std::array::from_fn(|it| it as u8), encrypted: Vec::new() };
        let mut client = Crypt::client(&key, [255; 12]).unwrap();
        let mut agent = Crypt::agent(&key, [0; 12]).unwrap();
        let (one, two) = (client.seal(b"keys").unwrap(), client.seal(b"keys").unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 12 + 4 + 16);
        assert_eq!(agent.open(&one).unwrap(), b"keys");
        assert_eq!(client.open(&agent.seal(b"").unwrap()).unwrap(), b"");
        assert_eq!(client.open(&one), None);
        let mut damaged = two;
        damaged[14] ^= 1;
        assert_eq!(agent.open(&damaged), None);
        assert_eq!(agent.open(b"short"), None);
    }

    #[test]
    fn the_cipher_is_the_one_of_the_standard() {
        // Test case 14 of the GCM specification: an all-zero key, nonce and block.
        let key = DataKey { plain: [0; 64], encrypted: Vec::new() };
        let mut start = [255; 12];
        let mut client = Crypt::client(&key, start).unwrap();
        // The next number behind all ones is one bit too long for a nonce, and wraps to zero.
        let sealed = client.seal(&[0; 16]).unwrap();
        assert_eq!(&sealed[..12], &[0; 12]);
        let hex: String = sealed[12..].iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(hex, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
        start[11] = 0;
        assert_ne!(Crypt::client(&key, start).unwrap().seal(b"x").unwrap()[..12], [0; 12]);
    }
}
