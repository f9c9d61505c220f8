//! How tests wait until something has become so.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep};

/// How long anything may take that a test waits for, on a machine that is
/// emulated by a busy one.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Looks again `every` so often, until what is seen of `what` is as it `fits`.
///
/// # Panics
/// It does not in [`PATIENCE`]: says what was seen last.
pub async fn until<T: Display>(
    what: &str,
    every: Duration,
    mut look: impl AsyncFnMut() -> T,
    fits: impl Fn(&T) -> bool,
) -> T {
    let began = Instant::now();
    loop {
        let seen = look().await;
        if fits(&seen) {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what} stays {seen:#}");
        sleep(every).await;
    }
}

/// Waits until `fits` holds, of `what` no request shows.
///
/// # Panics
/// It does not in [`PATIENCE`].
pub async fn seen(what: &str, fits: impl Fn() -> bool) {
    let often = Duration::from_millis(20);
    until(what, often, async || fits(), |it| *it).await;
}
