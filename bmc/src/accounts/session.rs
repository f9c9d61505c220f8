//! Sessions: random tokens, kept in memory as hashes.

use std::{collections::HashMap, fmt::Write as _, sync::Mutex, time::Duration};

use chrono::{DateTime, Utc};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// How many sessions there may be at once.
pub(super) const LIMIT: usize = 64;

/// What may be known of a session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The id in its URI.
    pub id: String,
    /// Who opened it.
    pub user: String,
    /// When.
    pub created: DateTime<Utc>,
    /// From where.
    pub client: Option<String>,
    used: Instant,
}

/// There are [`LIMIT`] sessions already.
#[derive(Debug, thiserror::Error)]
#[error("there are {LIMIT} sessions already")]
pub struct Full;

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
}

impl Sessions {
    /// Opens a session for `user`; returns its token, which is not kept.
    ///
    /// # Errors
    /// [`Full`]
    pub fn open(
        &self,
        user: &str,
        client: Option<String>,
        timeout: Duration,
    ) -> Result<(String, Session), Full> {
        let token = hex::<32>();
        let session = Session {
            id: hex::<8>(),
            user: user.to_owned(),
            created: Utc::now(),
            client,
            used: Instant::now(),
        };
        let mut open = self.lock();
        open.retain(|_, s| s.used.elapsed() < timeout);
        if open.len() >= LIMIT {
            return Err(Full);
        }
        open.insert(digest(&token), session.clone());
        Ok((token, session))
    }

    /// The session of `token`, used now, unless it was idle for `timeout`.
    pub fn find(&self, token: &str, timeout: Duration) -> Option<Session> {
        let digest = digest(token);
        let mut open = self.lock();
        let session = open.get_mut(&digest)?;
        if session.used.elapsed() >= timeout {
            open.remove(&digest);
            return None;
        }
        session.used = Instant::now();
        Some(session.clone())
    }

    /// The sessions that are not yet timed out, the oldest first.
    pub fn list(&self, timeout: Duration) -> Vec<Session> {
        let open = self.lock();
        let live = open.values().filter(|s| s.used.elapsed() < timeout);
        let mut sessions: Vec<_> = live.cloned().collect();
        sessions.sort_by(|a, b| {
            a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id))
        });
        sessions
    }

    /// Ends the sessions that `which` names; says how many there were.
    pub fn close(&self, which: impl Fn(&Session) -> bool) -> usize {
        let mut open = self.lock();
        let before = open.len();
        open.retain(|_, session| !which(session));
        before - open.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// `N` random bytes in hexadecimal digits.
fn hex<const N: usize>() -> String {
    let mut bytes = [0u8; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_AN_HOUR: Duration = Duration::from_mins(30);

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_not_used_ends() {
        let sessions = Sessions::default();
        let (token, session) =
            sessions.open("ada", None, HALF_AN_HOUR).unwrap();
        tokio::time::advance(HALF_AN_HOUR / 2).await;
        assert_eq!(sessions.find(&token, HALF_AN_HOUR).unwrap().id, session.id);
        tokio::time::advance(HALF_AN_HOUR).await;
        assert!(sessions.find(&token, HALF_AN_HOUR).is_none());
        assert!(sessions.list(HALF_AN_HOUR).is_empty());
    }

    #[tokio::test]
    async fn the_number_of_sessions_is_bounded() {
        let sessions = Sessions::default();
        for _ in 0..LIMIT {
            sessions.open("ada", None, HALF_AN_HOUR).unwrap();
        }
        assert!(sessions.open("ada", None, HALF_AN_HOUR).is_err());
        assert_eq!(sessions.close(|s| s.user == "ada"), LIMIT);
        assert!(sessions.open("ada", None, HALF_AN_HOUR).is_ok());
    }
}
