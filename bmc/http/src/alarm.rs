//! A timer for one connection, which asks for another time with each request
//! and hardly ever needs it.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Sleep, Timer};
use tokio::time::{Instant, sleep_until};

/// A timer that waits for one thing at a time. It keeps an alarm of the
/// runtime's, and sets it anew when it rings too early, not when another time
/// is asked for: that would cost each request two turns in the runtime's list
/// of alarms.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarm")
    }
}

impl Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until((Instant::now() + duration).into_std())
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait { until: deadline.into(), alarm: self.clone() })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// Waits for a time.
#[derive(Debug)]
struct Wait {
    until: Instant,
    alarm: Alarm,
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut kept =
            self.alarm.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm =
            kept.get_or_insert_with(|| Box::pin(sleep_until(self.until)));
        if alarm.deadline() > self.until {
            alarm.as_mut().reset(self.until);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if alarm.deadline() >= self.until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(self.until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_when_it_asked_to() {
        let alarm = Alarm::default();
        let begin = Instant::now();
        let seconds = Duration::from_secs;
        // One that is not waited for leaves an alarm behind.
        let mut dropped = alarm.sleep(seconds(60));
        let first = std::future::poll_fn(|context| {
            Poll::Ready(dropped.as_mut().poll(context).is_pending())
        });
        assert!(first.await);
        drop(dropped);
        alarm.sleep(seconds(90)).await;
        assert_eq!(begin.elapsed(), seconds(90));
        alarm.sleep(seconds(5)).await;
        assert_eq!(begin.elapsed(), seconds(95));
        alarm.sleep(Duration::ZERO).await;
        assert_eq!(begin.elapsed(), seconds(95));
    }
}
