//! What is stored of a password (RFC 5802 §3): enough to check it, not enough to log in with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// An HMAC-SHA-256 or a SHA-256.
pub(super) type Hash = [u8; 32];

/// What a verifier begins with in the users file.
pub(super) const PREFIX: &str = "SCRAM-SHA-256$";
/// RFC 7677 §4 asks for so many at least.
pub(super) const ITERATIONS_MIN: u32 = 4096;
/// So that a login takes less than a second. A guess.
pub(super) const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of a salt at most. A guess.
const SALT_MAX: usize = 64;

#[derive(Clone)]
pub(super) struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Hash,
    pub(super) server_key: Hash,
}

impl Verifier {
    /// Of a password. This is slow, by `iterations`, on purpose.
    pub(super) fn derive(password: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let salted = salted_password(&prepared(password), &salt, iterations);
        Self {
            stored_key: Sha256::digest(hmac(&salted, &[b"Client Key"])).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
            iterations,
            salt,
        }
    }

    /// Reads what follows [`PREFIX`]: `<iterations>:<salt>$<StoredKey>:<ServerKey>`, the last three in base64.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("not {PREFIX}<iterations>:<salt>$<StoredKey>:<ServerKey>");
        let (head, keys) = text.split_once('$').ok_or_else(form)?;
        let (iterations, salt) = head.split_once(':').ok_or_else(form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or_else(form)?;
        let iterations = iterations.parse().map_err(|_| form())?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(format!(
                "{iterations} iterations; {ITERATIONS_MIN} to {ITERATIONS_MAX} would be right"
            ));
        }
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| form());
        let hash = |text: &str| Hash::try_from(bytes(text)?).map_err(|_| form());
        let salt = bytes(salt)?;
        if salt.is_empty() || salt.len() > SALT_MAX {
            return Err(format!("the salt has not 1 to {SALT_MAX} bytes"));
        }
        Ok(Self {
            iterations,
            salt,
            stored_key: hash(stored_key)?,
            server_key: hash(server_key)?,
        })
    }

    /// As the users file has it.
    pub(super) fn to_text(&self) -> String {
        let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
        format!(
            "{PREFIX}{}:{}${}:{}",
            self.iterations,
            base64(&self.salt),
            base64(&self.stored_key),
            base64(&self.server_key)
        )
    }

    /// Whether it is of this password. As slow as [`Verifier::derive`].
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        let given = Self::derive(password, self.salt.clone(), self.iterations);
        given.stored_key.ct_eq(&self.stored_key).into()
    }
}

pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// `Hi` of RFC 5802 §2.2, which is PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Hash {
    let mac = keyed(password);
    let mut last: Hash = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..iterations {
        let mut next = mac.clone();
        next.update(&last);
        last = next.finalize().into_bytes().into();
        sum.iter_mut()
            .zip(last)
            .for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// A password as RFC 7677 wants it, by SASLprep; one that has no such form is taken as it is.
fn prepared(password: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(password).ok();
    let prepared = text.and_then(|text| stringprep::saslprep(text).ok());
    prepared.map_or_else(|| password.to_vec(), |text| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_written_and_read() {
        let verifier = Verifier::derive(b"pencil", b"salt".to_vec(), ITERATIONS_MIN);
        let text = verifier.to_text();
        let read = Verifier::parse(text.strip_prefix(PREFIX).unwrap()).unwrap();
        assert_eq!(read.to_text(), text);
        assert!(read.is_of(b"pencil"));
        assert!(!read.is_of(b"Pencil"));
    }

    #[test]
    fn rfc_4013_the_same_password_in_another_form_is_the_same() {
        // A soft hyphen is nothing, and the feminine ordinal is an a.
        let verifier = Verifier::derive("I\u{ad}X\u{aa}".as_bytes(), b"s".to_vec(), ITERATIONS_MIN);
        assert!(verifier.is_of(b"IXa"));
        let raw = Verifier::derive(&[0xff, 0x00], b"s".to_vec(), ITERATIONS_MIN);
        assert!(raw.is_of(&[0xff, 0x00]));
    }

    #[test]
    fn a_wrong_verifier_says_what_would_be_right() {
        let key = STANDARD.encode([0; 32]);
        for (text, reason) in [
            ("", "not SCRAM-SHA-256$<iterations>:<salt>"),
            ("4096:c2FsdA==$x:y", "not SCRAM-SHA-256$"),
            (
                &format!("1000:c2FsdA==${key}:{key}"),
                "1000 iterations; 4096 to 1000000",
            ),
            (
                &format!("4096:${key}:{key}"),
                "the salt has not 1 to 64 bytes",
            ),
        ] {
            let error = Verifier::parse(text).err().unwrap();
            assert!(error.starts_with(reason), "`{error}` is not `{reason}`");
        }
    }
}
