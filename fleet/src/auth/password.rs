//! Passwords: argon2, a few at a time, away from the tasks that serve.

use std::fmt;

use argon2::{
    Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _,
    password_hash::SaltString,
};
use rand::Rng as _;
use schemars::{
    JsonSchema,
    r#gen::SchemaGenerator,
    schema::{InstanceType, Schema, SchemaObject},
};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::error::Error;

/// Passwords that are hashed at the same time: each takes 19 MiB.
const AT_ONCE: usize = 2;

/// Passwords that wait for that; more are refused.
const WAITING: usize = 64;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
static QUEUE: Semaphore = Semaphore::const_new(AT_ONCE + WAITING);

/// A password as somebody typed it; it is not shown in logs.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl JsonSchema for Password {
    fn schema_name() -> String {
        "Password".into()
    }

    fn is_referenceable() -> bool {
        false
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        SchemaObject {
            instance_type: Some(InstanceType::String.into()),
            format: Some("password".into()),
            ..Default::default()
        }
        .into()
    }
}

/// A new password: 20 characters that cannot be mistaken for one another.
#[must_use]
pub fn generate() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..20)
        .filter_map(|_| LETTERS.get(random.random_range(0..LETTERS.len())))
        .map(|letter| char::from(*letter))
        .collect()
}

/// What is kept of a password.
pub(super) async fn hash(password: Password) -> Result<String, Error> {
    away(move || {
        let salt = rand::random::<[u8; 16]>();
        let salt = SaltString::encode_b64(&salt)?;
        let hash = Argon2::default()
            .hash_password(password.reveal().as_bytes(), &salt)?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether this is the password. Where there is nothing to compare it with,
/// the same work is done.
pub(super) async fn verify(
    password: Password,
    known: Option<String>,
) -> Result<bool, Error> {
    let Some(known) = known else {
        hash(password).await?;
        return Ok(false);
    };
    away(move || {
        let known = PasswordHash::new(&known)?;
        let same = Argon2::default()
            .verify_password(password.reveal().as_bytes(), &known);
        Ok(same.is_ok())
    })
    .await
}

async fn away<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, argon2::password_hash::Error> + Send + 'static,
) -> Result<T, Error> {
    let _waiting = QUEUE
        .try_acquire()
        .map_err(|_| Error::Busy("too many people log in at the moment"))?;
    let _place = PLACES
        .acquire()
        .await
        .map_err(|error| Error::Internal(error.into()))?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(error.into()))?
        .map_err(|error| {
            Error::Internal(anyhow::anyhow!("cannot hash: {error}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn knows_a_password_by_its_hash() {
        let password = Password(generate());
        let kept = hash(password.clone()).await.unwrap();
        assert!(kept.starts_with("$argon2id$"));
        assert!(verify(password.clone(), Some(kept.clone())).await.unwrap());
        assert!(!verify(Password("wrong".into()), Some(kept)).await.unwrap());
        assert!(!verify(password, None).await.unwrap());
    }
}
