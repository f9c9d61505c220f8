//! Sessions: random tokens, kept in memory as hashes.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// How many sessions there may be at once. One more is refused.
pub const LIMIT: usize = 10_000;
/// How many an account may have at once. One more ends the one that it did not
/// use for the longest time: a script that never logs out harms nobody else.
pub const PER_ACCOUNT: usize = 2_000;
/// The size of a token in bytes.
const TOKEN: usize = 32;
/// How often sessions that timed out are looked for, unless all are in use.
const SWEEP: Duration = Duration::from_secs(10);

/// When sessions end.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// When it was not used for so long.
    pub idle: Duration,
    /// When it is so old, if that counts.
    pub absolute: Option<Duration>,
}

/// What may be known of a session.
#[derive(Debug)]
pub struct Session {
    /// The id in its URI.
    pub id: String,
    /// Who opened it.
    pub user: String,
    /// When.
    pub created: DateTime<Utc>,
    /// From where.
    pub client: Option<String>,
    /// What the client wants to be remembered with it.
    pub context: Option<String>,
    opened: Instant,
}

/// There are [`LIMIT`] sessions already.
#[derive(Debug, thiserror::Error)]
#[error("there are {LIMIT} sessions already")]
pub struct Full;

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Table>);

type Digest = [u8; 32];

#[derive(Debug)]
struct Open {
    session: Arc<Session>,
    used: Instant,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Digest, Open>,
    by_id: HashMap<String, Digest>,
    by_user: HashMap<String, usize>,
    swept: Option<Instant>,
}

impl Open {
    fn lives(&self, limits: SessionLimits, now: Instant) -> bool {
        let age = now.duration_since(self.session.opened);
        now.duration_since(self.used) < limits.idle
            && limits.absolute.is_none_or(|limit| age < limit)
    }
}

impl Table {
    fn remove(&mut self, digest: &Digest) {
        let Some(open) = self.open.remove(digest) else { return };
        self.by_id.remove(&open.session.id);
        let user = &open.session.user;
        if let Some(count) = self.by_user.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(user);
            }
        }
    }

    fn remove_all(&mut self, which: impl Fn(&Open) -> bool) -> usize {
        let all = self.open.iter().filter(|(_, open)| which(open));
        let all: Vec<_> = all.map(|(digest, _)| *digest).collect();
        for digest in &all {
            self.remove(digest);
        }
        all.len()
    }

    /// Removes what timed out, now and then.
    fn sweep(&mut self, limits: SessionLimits) {
        let due = self.swept.is_none_or(|at| at.elapsed() >= SWEEP);
        if due || self.open.len() >= LIMIT {
            let now = Instant::now();
            self.swept = Some(now);
            self.remove_all(|open| !open.lives(limits, now));
        }
    }

    fn make_room(&mut self, user: &str) {
        if self.by_user.get(user).is_none_or(|count| *count < PER_ACCOUNT) {
            return;
        }
        let own = self.open.iter().filter(|(_, it)| it.session.user == user);
        let oldest = own.min_by_key(|(_, open)| open.used);
        if let Some(digest) = oldest.map(|(digest, _)| *digest) {
            self.remove(&digest);
        }
    }
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
        context: Option<String>,
        limits: SessionLimits,
    ) -> Result<(String, Arc<Session>), Full> {
        let token = random();
        let now = Instant::now();
        let session = Arc::new(Session {
            id: hex(&random::<8>()),
            user: user.to_owned(),
            created: Utc::now(),
            client,
            context,
            opened: now,
        });
        let mut table = self.lock();
        table.sweep(limits);
        table.make_room(user);
        if table.open.len() >= LIMIT {
            return Err(Full);
        }
        let digest = digest(token);
        table.by_id.insert(session.id.clone(), digest);
        *table.by_user.entry(user.to_owned()).or_default() += 1;
        let open = Open { session: Arc::clone(&session), used: now };
        table.open.insert(digest, open);
        Ok((hex(&token), session))
    }

    /// The session of `token`, used now, unless it timed out.
    pub fn find(
        &self,
        token: &str,
        limits: SessionLimits,
    ) -> Option<Arc<Session>> {
        let digest = digest(parse(token)?);
        let now = Instant::now();
        let mut table = self.lock();
        let open = table.open.get_mut(&digest)?;
        if !open.lives(limits, now) {
            table.remove(&digest);
            return None;
        }
        open.used = now;
        Some(Arc::clone(&open.session))
    }

    /// The session with this id, unless it timed out.
    pub fn named(
        &self,
        id: &str,
        limits: SessionLimits,
    ) -> Option<Arc<Session>> {
        let table = self.lock();
        let open = table.open.get(table.by_id.get(id)?)?;
        let lives = open.lives(limits, Instant::now());
        lives.then(|| Arc::clone(&open.session))
    }

    /// The sessions that are not yet timed out, the oldest first.
    pub fn list(&self, limits: SessionLimits) -> Vec<Arc<Session>> {
        let now = Instant::now();
        let table = self.lock();
        let live = table.open.values().filter(|open| open.lives(limits, now));
        let mut sessions: Vec<_> =
            live.map(|open| Arc::clone(&open.session)).collect();
        drop(table);
        sessions.sort_by(|a, b| {
            a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id))
        });
        sessions
    }

    /// Ends the session with this id.
    pub fn end(&self, id: &str) {
        let mut table = self.lock();
        if let Some(digest) = table.by_id.get(id).copied() {
            table.remove(&digest);
        }
    }

    /// Ends the sessions that `which` names; says how many there were.
    pub fn close(&self, which: impl Fn(&Session) -> bool) -> usize {
        self.lock().remove_all(|open| which(&open.session))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a token. Each request computes it: of the bytes, which are
/// one block of SHA-256, and not of their digits.
fn digest(token: [u8; TOKEN]) -> Digest {
    Sha256::digest(token).into()
}

/// The bytes of a token, if its digits can be one.
fn parse(token: &str) -> Option<[u8; TOKEN]> {
    if token.len() != 2 * TOKEN {
        return None;
    }
    let digit = |it: u8| char::from(it).to_digit(16);
    let mut bytes = [0; TOKEN];
    for (byte, pair) in bytes.iter_mut().zip(token.as_bytes().chunks(2)) {
        let [high, low] = *pair else { return None };
        *byte = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(bytes)
}

/// `N` random bytes.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// The hexadecimal digits of `bytes`.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_AN_HOUR: SessionLimits =
        SessionLimits { idle: Duration::from_mins(30), absolute: None };

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_not_used_ends() {
        let sessions = Sessions::default();
        let limits = HALF_AN_HOUR;
        let opened = sessions.open("ada", None, None, limits);
        let (token, session) = opened.unwrap();
        tokio::time::advance(limits.idle / 2).await;
        assert_eq!(sessions.find(&token, limits).unwrap().id, session.id);
        tokio::time::advance(limits.idle).await;
        assert!(sessions.find(&token, limits).is_none());
        assert!(sessions.named(&session.id, limits).is_none());
        assert!(sessions.list(limits).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_in_use_ends_when_its_time_is_over() {
        let sessions = Sessions::default();
        let absolute = Some(Duration::from_hours(1));
        let limits = SessionLimits { absolute, ..HALF_AN_HOUR };
        let opened = sessions.open("ada", None, None, limits);
        let (token, _) = opened.unwrap();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_mins(18)).await;
            assert!(sessions.find(&token, limits).is_some());
        }
        tokio::time::advance(Duration::from_mins(6)).await;
        assert!(sessions.find(&token, limits).is_none());
    }

    #[tokio::test]
    async fn the_number_of_sessions_is_bounded() {
        let sessions = Sessions::default();
        let open = |user: &str| sessions.open(user, None, None, HALF_AN_HOUR);
        let (first, _) = open("ada").unwrap();
        for _ in 0..PER_ACCOUNT {
            open("ada").unwrap();
        }
        assert!(sessions.find(&first, HALF_AN_HOUR).is_none());
        assert_eq!(sessions.list(HALF_AN_HOUR).len(), PER_ACCOUNT);
        for user in ["bea", "cy", "dan", "eve"] {
            for _ in 0..PER_ACCOUNT {
                open(user).unwrap();
            }
        }
        assert!(open("fay").is_err());
        assert_eq!(sessions.close(|s| s.user == "ada"), PER_ACCOUNT);
        let (token, session) = open("fay").unwrap();
        sessions.end(&session.id);
        assert!(sessions.find(&token, HALF_AN_HOUR).is_none());
        let table = sessions.lock();
        assert_eq!(table.open.len(), table.by_id.len());
        assert_eq!(table.by_user.values().sum::<usize>(), table.open.len());
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_in_use_those_that_timed_out_make_room() {
        let sessions = Sessions::default();
        for number in 0..LIMIT {
            let user = format!("user-{}", number % 8);
            sessions.open(&user, None, None, HALF_AN_HOUR).unwrap();
        }
        assert!(sessions.open("fay", None, None, HALF_AN_HOUR).is_err());
        tokio::time::advance(HALF_AN_HOUR.idle).await;
        assert!(sessions.open("fay", None, None, HALF_AN_HOUR).is_ok());
        assert_eq!(sessions.list(HALF_AN_HOUR).len(), 1);
    }
}
