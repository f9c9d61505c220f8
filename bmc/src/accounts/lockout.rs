//! Lockout: who guesses is kept out for a while, and others are not.
//!
//! Failed logins are counted for each account and source, which is an IPv4
//! address or an IPv6 network of 64 bits. Whoever reaches the threshold of the
//! account service is locked out of the account, and the account says that it
//! is locked; from elsewhere it can still be used, so that a stranger cannot
//! lock the administrator out. Strangers from many sources are locked out
//! together at [`TOGETHER`] times the threshold; a source that logged in
//! before is no stranger. Sessions, client certificates and the fleet are
//! never locked out.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use onprem_link::{file, log::Chain};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Policy;
use crate::state::{StateError, load_or_put_aside};

/// Sources that are told apart for each account.
const SOURCES: usize = 32;
/// How many of them may be known ones.
const KNOWN: usize = 8;
/// How many thresholds lock strangers out together.
const TOGETHER: u32 = 4;

/// What is known of each account, kept in `lockout.json`.
#[derive(Debug)]
pub(super) struct Lockout {
    path: PathBuf,
    accounts: Mutex<HashMap<String, Counts>>,
    /// Held by whoever stores.
    writer: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Counts {
    /// The least used first.
    sources: Vec<Source>,
    /// All sources that are not known.
    strangers: Count,
    /// Failures since a line was logged.
    #[serde(skip)]
    unlogged: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Source {
    name: String,
    /// It logged in before.
    known: bool,
    count: Count,
}

/// Failures in a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "StoredCount", into = "StoredCount")]
struct Count {
    failures: u32,
    /// When the last was seen, or the file was read.
    seen: Instant,
    /// How long before that the last one was.
    before: Duration,
}

/// The clock may have been set since, but counts for what is not known.
#[derive(Serialize, Deserialize)]
struct StoredCount {
    failures: u32,
    /// In seconds since 1970.
    last: i64,
}

impl Default for Count {
    fn default() -> Self {
        Self { failures: 0, seen: Instant::now(), before: Duration::ZERO }
    }
}

impl From<StoredCount> for Count {
    fn from(stored: StoredCount) -> Self {
        let age = Utc::now().timestamp().saturating_sub(stored.last);
        let before = Duration::from_secs(u64::try_from(age).unwrap_or(0));
        Self { failures: stored.failures, before, ..Self::default() }
    }
}

impl From<Count> for StoredCount {
    fn from(count: Count) -> Self {
        let age = i64::try_from(count.age().as_secs()).unwrap_or(i64::MAX);
        let last = Utc::now().timestamp().saturating_sub(age);
        Self { failures: count.failures, last }
    }
}

impl Count {
    fn age(&self) -> Duration {
        self.before.saturating_add(self.seen.elapsed())
    }

    fn add(&mut self, policy: &Policy) {
        let reset = Duration::from_secs(policy.lockout_reset_seconds.into());
        let forgotten = policy.lockout_reset && self.age() >= reset;
        let failures = if forgotten { 0 } else { self.failures };
        *self =
            Self { failures: failures.saturating_add(1), ..Self::default() };
    }

    /// Do so many failures lock, with `thresholds` as the limit?
    fn locks(&self, policy: &Policy, thresholds: u32) -> bool {
        let limit = policy.lockout_threshold.saturating_mul(thresholds);
        if limit == 0 || self.failures < limit {
            return false;
        }
        let lock = Duration::from_secs(policy.lockout_seconds.into());
        !policy.lockout_reset || self.age() < lock
    }
}

impl Counts {
    fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|it| it.name == name)
    }

    /// Takes the source out, or makes it; whoever puts it back at the end
    /// makes it the latest.
    fn take(&mut self, name: String) -> Source {
        let at = self.sources.iter().position(|it| it.name == name);
        at.map(|at| self.sources.remove(at)).unwrap_or(Source {
            name,
            known: false,
            count: Count::default(),
        })
    }

    fn put(&mut self, source: Source) {
        self.sources.push(source);
        let known = self.sources.iter().filter(|it| it.known).count();
        let oldest = self.sources.iter_mut().find(|it| it.known);
        if let (true, Some(oldest)) = (known > KNOWN, oldest) {
            oldest.known = false;
        }
        let strange = self.sources.iter().position(|it| !it.known);
        if let (true, Some(at)) = (self.sources.len() > SOURCES, strange) {
            self.sources.remove(at);
        }
    }

    fn locks(&self, name: &str, policy: &Policy) -> bool {
        match self.source(name) {
            Some(source) if source.count.locks(policy, 1) => true,
            Some(source) if source.known => false,
            _ => self.strangers.locks(policy, TOGETHER),
        }
    }
}

impl Lockout {
    /// Loads what was kept. It waits for the disk.
    pub(super) fn open(path: PathBuf) -> Result<Self, StateError> {
        let accounts = load_or_put_aside(&path)?;
        let writer = tokio::sync::Mutex::default();
        Ok(Self { path, accounts: Mutex::new(accounts), writer })
    }

    /// Whether who asks from `from` is locked out of the account of `user`.
    pub(super) fn keeps_out(
        &self,
        user: &str,
        from: Option<IpAddr>,
        policy: &Policy,
    ) -> bool {
        let accounts = self.lock();
        let counts = accounts.get(user);
        counts.is_some_and(|counts| counts.locks(&name(from), policy))
    }

    /// Whether anyone is locked out of the account of `user`.
    pub(super) fn is_locked(&self, user: &str, policy: &Policy) -> bool {
        self.lock().get(user).is_some_and(|counts| {
            counts.strangers.locks(policy, TOGETHER)
                || counts.sources.iter().any(|it| it.count.locks(policy, 1))
        })
    }

    /// Counts a failed login, durably; says whether it locked somebody out.
    pub(super) async fn failed(
        &self,
        user: &str,
        from: Option<IpAddr>,
        policy: &Policy,
    ) -> bool {
        let locked = self.count(user, from, policy);
        self.store().await;
        locked
    }

    fn count(&self, user: &str, from: Option<IpAddr>, policy: &Policy) -> bool {
        let mut accounts = self.lock();
        let counts = accounts.entry(user.to_owned()).or_default();
        let mut source = counts.take(name(from));
        let before = source.count.locks(policy, 1)
            || !source.known && counts.strangers.locks(policy, TOGETHER);
        source.count.add(policy);
        if !source.known {
            counts.strangers.add(policy);
        }
        let after = source.count.locks(policy, 1)
            || !source.known && counts.strangers.locks(policy, TOGETHER);
        counts.unlogged += 1;
        let failures = policy.failures_logged;
        if failures > 0 && counts.unlogged >= failures {
            counts.unlogged = 0;
            let from = &*source.name;
            tracing::warn!(user, from, failures, "failed logins");
        }
        counts.put(source);
        after && !before
    }

    /// Forgets failures after a login, and remembers where it came from.
    pub(super) async fn succeeded(&self, user: &str, from: Option<IpAddr>) {
        if self.welcome(user, from) {
            self.store().await;
        }
    }

    /// Whether there is something to store.
    fn welcome(&self, user: &str, from: Option<IpAddr>) -> bool {
        let name = name(from);
        let mut accounts = self.lock();
        let calm = accounts.get(user).is_some_and(|counts| {
            let source = counts.source(&name);
            counts.strangers.failures == 0
                && source.is_some_and(|it| it.known && it.count.failures == 0)
        });
        if calm {
            return false;
        }
        let counts = accounts.entry(user.to_owned()).or_default();
        let mut source = counts.take(name);
        source.known = true;
        source.count = Count::default();
        counts.put(source);
        counts.strangers = Count::default();
        true
    }

    /// Ends a lockout, and forgets the failures.
    pub(super) async fn clear(&self, user: &str) {
        if let Some(counts) = self.lock().get_mut(user) {
            counts.strangers = Count::default();
            for source in &mut counts.sources {
                source.count = Count::default();
            }
        }
        self.store().await;
    }

    /// Forgets all about an account.
    pub(super) async fn forget(&self, user: &str) {
        let known = self.lock().remove(user);
        if known.is_some() {
            self.store().await;
        }
    }

    async fn store(&self) {
        let _writer = self.writer.lock().await;
        let accounts = self.lock().clone();
        let bytes = serde_json::to_vec_pretty(&accounts).unwrap_or_default();
        if let Err(error) = file::store(&self.path, bytes).await {
            // The counts hold all the same, until a restart.
            let path = self.path.display();
            let error = Chain(&error);
            tracing::error!(%path, %error, "failed logins not stored");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Counts>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The source that an address belongs to. Whoever has an IPv6 address has a
/// whole network of them.
fn name(from: Option<IpAddr>) -> String {
    match from.map(|address| address.to_canonical()) {
        None => String::new(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lockout() -> (Lockout, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let lockout = Lockout::open(folder.path().join("lockout.json"));
        (lockout.unwrap(), folder)
    }

    fn policy() -> Policy {
        Policy { lockout_threshold: 2, ..Policy::default() }
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn a_stranger_locks_out_himself_and_nobody_else() {
        let (lockout, _folder) = lockout();
        let policy = policy();
        for locks in [false, true] {
            assert_eq!(
                lockout.failed("ada", Some(at(66)), &policy).await,
                locks
            );
        }
        assert!(lockout.keeps_out("ada", Some(at(66)), &policy));
        assert!(lockout.is_locked("ada", &policy));
        assert!(!lockout.keeps_out("ada", Some(at(1)), &policy));
        assert!(!lockout.keeps_out("bea", Some(at(66)), &policy));
        lockout.clear("ada").await;
        assert!(!lockout.is_locked("ada", &policy));
        assert!(!lockout.keeps_out("ada", Some(at(66)), &policy));
    }

    #[tokio::test]
    async fn many_strangers_are_locked_out_together_but_not_who_is_known() {
        let (lockout, _folder) = lockout();
        let policy = policy();
        lockout.succeeded("ada", Some(at(1))).await;
        for stranger in 100..108 {
            assert!(!lockout.keeps_out("ada", Some(at(2)), &policy));
            lockout.failed("ada", Some(at(stranger)), &policy).await;
        }
        assert!(lockout.keeps_out("ada", Some(at(2)), &policy));
        assert!(!lockout.keeps_out("ada", Some(at(1)), &policy));
        for _ in 0..2 {
            lockout.failed("ada", Some(at(1)), &policy).await;
        }
        assert!(lockout.keeps_out("ada", Some(at(1)), &policy));
    }

    #[tokio::test]
    async fn the_number_of_sources_is_bounded_and_known_ones_stay() {
        let (lockout, _folder) = lockout();
        lockout.succeeded("ada", Some(at(1))).await;
        for stranger in 2..=255 {
            lockout.failed("ada", Some(at(stranger)), &policy()).await;
        }
        let accounts = lockout.lock();
        let counts = &accounts["ada"];
        assert_eq!(counts.sources.len(), SOURCES);
        assert!(counts.source("192.0.2.1").unwrap().known);
        assert_eq!(counts.strangers.failures, 254);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_ends_by_itself_unless_the_rules_say_no() {
        let (lockout, _folder) = lockout();
        let policy = policy();
        let forever = Policy { lockout_reset: false, ..policy.clone() };
        for _ in 0..2 {
            lockout.count("ada", Some(at(66)), &policy);
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!lockout.keeps_out("ada", Some(at(66)), &policy));
        assert!(lockout.keeps_out("ada", Some(at(66)), &forever));
        let never = Policy { lockout_threshold: 0, ..forever };
        assert!(!lockout.keeps_out("ada", Some(at(66)), &never));
    }

    #[tokio::test]
    async fn a_restart_ends_no_lock() {
        let (lockout, folder) = lockout();
        let policy = policy();
        lockout.succeeded("ada", Some(at(1))).await;
        for _ in 0..2 {
            lockout.failed("ada", Some(at(66)), &policy).await;
        }
        let path = folder.path().join("lockout.json");
        let again = Lockout::open(path).unwrap();
        assert!(again.keeps_out("ada", Some(at(66)), &policy));
        assert!(again.lock()["ada"].source("192.0.2.1").unwrap().known);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let of = |text: &str| name(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:0:7::1"), of("2001:db8:0:7:ffff::2"));
        assert_ne!(of("2001:db8:0:7::1"), of("2001:db8:0:8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
