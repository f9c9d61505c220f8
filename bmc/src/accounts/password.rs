//! Passwords: argon2 hashes, made and checked off the async threads.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{
        PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString,
    },
};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::timeout};

/// How many may wait for the one hash that runs.
const WAITING: usize = 128;
const PATIENCE: Duration = Duration::from_secs(20);
/// Verified credentials that are remembered; beyond it all are forgotten.
const REMEMBERED: usize = 256;

/// What an unknown user is checked against, so that it takes as long.
static DECOY: LazyLock<String> = LazyLock::new(|| hash_now(&generate()));

/// Hashing is at its bound.
#[derive(Debug, thiserror::Error)]
#[error("too many passwords wait to be checked")]
pub(super) struct Busy;

/// Makes and checks password hashes, one at a time: each takes 7 MiB.
#[derive(Debug)]
pub(super) struct Passwords {
    running: Semaphore,
    waiting: Semaphore,
    key: [u8; 32],
    /// Keyed hash of user, password and stored hash, so that a changed
    /// password is a miss.
    verified: Mutex<HashSet<[u8; 32]>>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self {
            running: Semaphore::new(1),
            waiting: Semaphore::new(WAITING),
            key,
            verified: Mutex::default(),
        }
    }

    /// Whether `password` is the one of `stored`; `None` is an unknown user.
    pub(super) async fn verify(
        &self,
        user: &str,
        password: &str,
        stored: Option<&str>,
    ) -> Result<bool, Busy> {
        let digest = self.digest(user, password, stored.unwrap_or_default());
        if stored.is_some() && self.remembers(&digest) {
            return Ok(true);
        }
        let known = stored.is_some();
        let stored = stored.map(str::to_owned);
        let password = password.to_owned();
        let right = self
            .run(
                || self.remembers(&digest).then_some(true),
                move || {
                    let stored = stored.as_deref().unwrap_or(&DECOY);
                    PasswordHash::new(stored).is_ok_and(|hash| {
                        argon2()
                            .verify_password(password.as_bytes(), &hash)
                            .is_ok()
                    })
                },
            )
            .await?
            && known;
        if right && let Ok(mut verified) = self.verified.lock() {
            if verified.len() >= REMEMBERED {
                verified.clear();
            }
            verified.insert(digest);
        }
        Ok(right)
    }

    /// The hash to store for `password`.
    pub(super) async fn hash(&self, password: &str) -> Result<String, Busy> {
        let password = password.to_owned();
        self.run(|| None, move || hash_now(&password)).await
    }

    /// Runs `work` in its turn, unless `done` has the answer by then.
    async fn run<T: Send + 'static>(
        &self,
        done: impl Fn() -> Option<T>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
        let turn = timeout(PATIENCE, self.running.acquire()).await;
        let _turn = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        if let Some(answer) = done() {
            return Ok(answer);
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        self.verified.lock().is_ok_and(|known| known.contains(digest))
    }

    fn digest(&self, user: &str, password: &str, stored: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        for part in [user, password, stored] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        hash.update(self.key);
        hash.finalize().into()
    }
}

/// A password of 20 characters that are not mistaken for each other.
pub(super) fn generate() -> String {
    const LETTERS: &[u8] =
        b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = [0u8; 20];
    rand::rng().fill_bytes(&mut bytes);
    bytes
        .iter()
        .filter_map(|b| LETTERS.get(usize::from(*b) % LETTERS.len()))
        .map(|b| char::from(*b))
        .collect()
}

pub(super) fn hash_now(password: &str) -> String {
    let mut salt = [0u8; 16];
    rand::rng().fill_bytes(&mut salt);
    SaltString::encode_b64(&salt)
        .and_then(|salt| {
            Ok(argon2().hash_password(password.as_bytes(), &salt)?.to_string())
        })
        .unwrap_or_default()
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(7 * 1024, 5, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_checked_once_and_then_remembered() {
        let passwords = Passwords::new();
        let stored = passwords.hash("correct horse").await.unwrap();
        let check = |word: &'static str| {
            passwords.verify("ada", word, Some(stored.as_str()))
        };
        assert!(check("correct horse").await.unwrap());
        assert!(check("correct horse").await.unwrap());
        assert!(!check("battery staple").await.unwrap());
        assert!(!passwords.verify("bob", "x", None).await.unwrap());
        assert_eq!(passwords.verified.lock().unwrap().len(), 1);
    }

    #[test]
    fn generated_passwords_differ() {
        assert_eq!(generate().len(), 20);
        assert_ne!(generate(), generate());
    }
}
