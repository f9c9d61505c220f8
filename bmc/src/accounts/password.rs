//! Passwords: argon2 hashes, made and checked off the async threads.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{Output, PasswordHash, SaltString},
};
use onprem_link::task::blocking;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::timeout};

/// How many may wait for the one hash that runs.
const WAITING: usize = 128;
const PATIENCE: Duration = Duration::from_secs(20);
/// Verified credentials that are remembered; beyond it all are forgotten.
const REMEMBERED: usize = 256;
/// What a hash takes, in blocks of 1 KiB.
const MEMORY: u32 = 7 * 1024;
/// Address space for the blocks. Beyond 32 MiB the allocator always asks the
/// system, and always gives it back: what is not touched takes no memory.
const RESERVED: usize = 33 * 1024;

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
                    verify_now(&password, stored.as_deref().unwrap_or(&DECOY))
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

    /// Whether `password` is the one of any of `stored`.
    pub(super) async fn matches_any(
        &self,
        password: &str,
        stored: Vec<String>,
    ) -> Result<bool, Busy> {
        let password = password.to_owned();
        let any = move || stored.iter().any(|it| verify_now(&password, it));
        self.run(|| None, any).await
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
        blocking(work).await.map_err(|_| Busy)
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
    let hashed = || {
        let (argon2, params) = (argon2()?, params()?);
        let output = derive(&argon2, password, &salt, 32)?;
        let salt = SaltString::encode_b64(&salt).ok()?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().ok()?,
            salt: Some(salt.as_salt()),
            hash: Some(output),
        };
        Some(hash.to_string())
    };
    hashed().unwrap_or_default()
}

/// Whether `password` is the one of `stored`, compared in constant time.
fn verify_now(password: &str, stored: &str) -> bool {
    let verified = || {
        let hash = PasswordHash::new(stored).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let version = Version::try_from(hash.version?).ok()?;
        let algorithm = Algorithm::try_from(hash.algorithm).ok()?;
        let mut salt = [0u8; 64];
        let salt = hash.salt?.decode_b64(&mut salt).ok()?;
        let expected = hash.hash?;
        let argon2 = Argon2::new(algorithm, version, params);
        let found = derive(&argon2, password, salt, expected.len())?;
        Some(found == expected)
    };
    verified().unwrap_or(false)
}

fn derive(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    length: usize,
) -> Option<Output> {
    let blocks = argon2.params().block_count();
    let mut memory = Vec::with_capacity(blocks.max(RESERVED));
    memory.resize(blocks, Block::new());
    let fill = |out: &mut [u8]| {
        argon2
            .hash_password_into_with_memory(
                password.as_bytes(),
                salt,
                out,
                &mut memory,
            )
            .map_err(Into::into)
    };
    Output::init_with(length, fill).ok()
}

fn params() -> Option<Params> {
    Params::new(MEMORY, 5, 1, None).ok()
}

fn argon2() -> Option<Argon2<'static>> {
    Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params()?))
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

    #[tokio::test]
    async fn a_password_is_found_among_earlier_ones() {
        let passwords = Passwords::new();
        let stored = vec![hash_now("one"), hash_now("two")];
        let matches =
            |word: &'static str| passwords.matches_any(word, stored.clone());
        assert!(matches("two").await.unwrap());
        assert!(!matches("three").await.unwrap());
    }

    /// Made by an earlier release, in the form that other tools know.
    #[test]
    fn a_stored_hash_has_the_form_of_everyone() {
        use argon2::password_hash::{
            PasswordHasher as _, PasswordVerifier as _,
        };
        let salt = SaltString::encode_b64(b"sixteen letters.").unwrap();
        let theirs = argon2().unwrap();
        let hash = theirs.hash_password(b"word", &salt).unwrap().to_string();
        assert!(verify_now("word", &hash) && !verify_now("worse", &hash));
        let ours = hash_now("word");
        let ours = PasswordHash::new(&ours).unwrap();
        assert!(theirs.verify_password(b"word", &ours).is_ok());
        assert!(!verify_now("word", "") && !verify_now("word", "$argon2id$"));
    }

    #[test]
    fn generated_passwords_differ() {
        assert_eq!(generate().len(), 20);
        assert_ne!(generate(), generate());
    }
}
