//! Slows down whoever guesses passwords: for each account and each source,
//! after five wrong ones, for a time that doubles. Kept in the store, so that
//! a restart forgives nothing.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    store::{Collection, Record, Store, StoreError, Table},
};

/// Wrong passwords that cost nothing.
const FREE: u32 = 5;

/// The first wait.
const FIRST: TimeDelta = TimeDelta::minutes(1);

/// The longest wait; also, a wrong password is forgotten after this.
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// Accounts and sources that are remembered.
const REMEMBERED: usize = 20_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Throttle {
    id: String,
    failures: u32,
    last: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Record for Throttle {
    const COLLECTION: Collection = Collection::Throttles;

    fn id(&self) -> String {
        self.id.clone()
    }

    fn unique(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Who guessed how often.
#[derive(Debug)]
pub(super) struct Throttles(Table<Throttle>);

/// The account and the source of one attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt([String; 2]);

impl Attempt {
    pub(super) fn new(account: &str, source: IpAddr) -> Self {
        let account: String = account.chars().take(64).collect();
        // Whoever has one IPv6 address has a /64.
        let source = match source {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => {
                Ipv6Addr::from(u128::from(ip) >> 64 << 64).to_string()
            }
        };
        Self([format!("account/{account}"), format!("source/{source}")])
    }
}

impl Throttles {
    pub(super) async fn open(
        store: Arc<dyn Store>,
    ) -> Result<Self, StoreError> {
        Ok(Self(Table::open(store).await?))
    }

    /// Refuses an attempt that comes too early.
    pub(super) fn check(
        &self,
        attempt: &Attempt,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let until = attempt
            .0
            .iter()
            .filter_map(|id| self.0.get(id))
            .map(|throttle| throttle.until)
            .max();
        match until {
            Some(until) if until > now => {
                let seconds = (until - now).num_seconds().max(1);
                Err(Error::Throttled { seconds: seconds.unsigned_abs() })
            }
            _ => Ok(()),
        }
    }

    /// Notes a wrong password.
    pub(super) async fn failed(
        &self,
        attempt: &Attempt,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        for id in &attempt.0 {
            let known = self
                .0
                .update(id, |throttle| {
                    throttle.fail(now);
                    Ok::<_, StoreError>(())
                })
                .await?;
            if known.is_none() {
                self.make_room(REMEMBERED).await?;
                let mut throttle = Throttle {
                    id: id.clone(),
                    failures: 0,
                    last: now,
                    until: now,
                };
                throttle.fail(now);
                match self.0.insert(throttle).await {
                    // Another attempt noted it first.
                    Ok(_) | Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Forgets who guessed least, longest ago, so that those who guess much
    /// are remembered however many others there are.
    async fn make_room(&self, most: usize) -> Result<(), StoreError> {
        if self.0.len() < most {
            return Ok(());
        }
        let all = self.0.all();
        let least = all.iter().min_by_key(|t| (t.failures, t.last));
        if let Some(least) = least {
            self.0.remove(&least.id).await?;
        }
        Ok(())
    }

    /// Forgets the wrong passwords before a right one.
    pub(super) async fn succeeded(
        &self,
        attempt: &Attempt,
    ) -> Result<(), StoreError> {
        for id in &attempt.0 {
            self.0.remove(id).await?;
        }
        Ok(())
    }

    /// Forgets what is long past.
    pub(super) async fn tidy(
        &self,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        for throttle in self.0.all() {
            if throttle.until.max(throttle.last) + LONGEST <= now {
                self.0.remove(&throttle.id).await?;
            }
        }
        Ok(())
    }
}

impl Throttle {
    fn fail(&mut self, now: DateTime<Utc>) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if let Some(doublings) = self.failures.checked_sub(FREE) {
            let wait = FIRST * (1 << doublings.min(11));
            self.until = now + wait.min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Embedded;

    #[tokio::test]
    async fn waits_double_and_outlive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let open = async || {
            let store = Arc::new(Embedded::open(&path).unwrap());
            Throttles::open(store).await.unwrap()
        };
        let throttles = open().await;
        let now = Utc::now();
        let attempt = Attempt::new("admin", [192, 0, 2, 1].into());
        for _ in 0..5 {
            throttles.check(&attempt, now).unwrap();
            throttles.failed(&attempt, now).await.unwrap();
        }
        drop(throttles);

        let throttles = open().await;
        let wait = |error| match error {
            Error::Throttled { seconds } => seconds,
            other => panic!("{other}"),
        };
        let elsewhere = Attempt::new("admin", [192, 0, 2, 2].into());
        let error = throttles.check(&elsewhere, now).unwrap_err();
        assert_eq!(wait(error), 60);
        let other = Attempt::new("other", [192, 0, 2, 1].into());
        assert_eq!(wait(throttles.check(&other, now).unwrap_err()), 60);

        let later = now + FIRST;
        throttles.check(&attempt, later).unwrap();
        throttles.failed(&attempt, later).await.unwrap();
        let error = throttles.check(&attempt, later).unwrap_err();
        assert_eq!(wait(error), 120);
        throttles.succeeded(&attempt).await.unwrap();
        throttles.check(&attempt, later).unwrap();
    }
    #[tokio::test]
    async fn strangers_do_not_make_a_guesser_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = Arc::new(Embedded::open(&path).unwrap());
        let throttles = Throttles::open(store).await.unwrap();
        let now = Utc::now();
        let guesser = Attempt::new("admin", [192, 0, 2, 1].into());
        for _ in 0..5 {
            throttles.failed(&guesser, now).await.unwrap();
        }
        let stranger = Attempt::new("nobody", [192, 0, 2, 2].into());
        throttles.failed(&stranger, now).await.unwrap();
        for most in [4, 3] {
            throttles.make_room(most).await.unwrap();
        }
        assert_eq!(throttles.0.len(), 2);
        throttles.check(&stranger, now).unwrap();
        throttles.check(&guesser, now).unwrap_err();
    }
}
