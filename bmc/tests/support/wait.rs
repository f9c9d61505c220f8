//! How tests wait until something has become so.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

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
    let end = Instant::now() + PATIENCE;
    let mut last = None;
    while let Ok(seen) = timeout_at(end, look()).await {
        if fits(&seen) {
            return seen;
        }
        last = Some(seen);
        let Ok(()) = timeout_at(end, sleep(every)).await else { break };
    }
    match last {
        Some(seen) => panic!("{what} stays {seen:#}"),
        None => panic!("nothing is seen of {what}"),
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
