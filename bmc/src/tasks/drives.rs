//! Drives controls on threads of their own, so that one that hangs holds up
//! itself alone.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use onprem_link::task::blocking;
use tokio::time::timeout;

use crate::{
    boards::Controls,
    commands::CommandError,
    model::{Id, Part},
};

/// How long a part may take with one step.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What drives controls, each of them one step after the other.
#[derive(Clone)]
pub(super) struct Drives {
    controls: Arc<dyn Controls>,
    /// Steps that were given up, and have not ended. A part that hangs holds
    /// up itself, and one thread.
    stuck: Arc<Mutex<BTreeSet<Id>>>,
    /// How long one step may take.
    patience: Duration,
}

impl Drives {
    pub(super) fn new(controls: Arc<dyn Controls>, patience: Duration) -> Self {
        Self { controls, stuck: Arc::default(), patience }
    }

    /// Drives `control` by `percent`, or leaves it to its own loop.
    pub(super) async fn drive(
        &self,
        part: &Part,
        control: &Id,
        percent: Option<f64>,
    ) -> Result<(), CommandError> {
        if !self.stuck().insert(control.clone()) {
            return Err(CommandError::Busy { part: part.clone() });
        }
        let failed = |reason| {
            let part = part.clone();
            CommandError::Failed { part, reason }
        };
        // Set by who is first: the step that ends, or we who give it up.
        let settled = Arc::new(AtomicBool::new(false));
        let step = Step { of: self.clone(), id: control.clone() };
        let ended = Arc::clone(&settled);
        let mut driving = blocking(move || {
            let drive = |percent| step.of.controls.drive(&step.id, percent);
            let mut driven = drive(percent);
            if ended.swap(true, Ordering::AcqRel) && percent.is_some() {
                // Nobody knows of it any more.
                driven = drive(None);
            }
            driven
        });
        let driven = match timeout(self.patience, &mut driving).await {
            Ok(driven) => driven,
            Err(_) if settled.swap(true, Ordering::AcqRel) => driving.await,
            Err(_) => {
                let patience = self.patience;
                return Err(failed(format!("no answer in {patience:?}")));
            }
        };
        let driven = driven.unwrap_or_else(|error| Err(error.into()));
        driven.map_err(|error| CommandError::unkept(part, &error))
    }

    /// Does what is safe now that nobody looks after `control` any more.
    pub(super) async fn leave(&self, control: &Id) -> io::Result<()> {
        let (controls, id) = (Arc::clone(&self.controls), control.clone());
        let leaving = blocking(move || controls.leave(&id));
        let left = timeout(self.patience, leaving).await;
        left.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
    }

    fn stuck(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step under way; however it ends, the control can be driven again.
struct Step {
    of: Drives,
    id: Id,
}

impl Drop for Step {
    fn drop(&mut self) {
        self.of.stuck().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A part that answers when it is let.
    struct Hanging {
        let_go: Mutex<Receiver<()>>,
        driven: Sender<Option<f64>>,
    }

    impl Controls for Hanging {
        fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
            self.let_go.lock().unwrap().recv().unwrap();
            self.driven.send(percent).unwrap();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_part_that_hangs_is_given_up_and_let_go_when_it_comes_back() {
        let (let_go, wait) = channel();
        let (reports, was) = channel();
        let part = Hanging { let_go: Mutex::new(wait), driven: reports };
        let drives = Drives::new(Arc::new(part), Duration::from_millis(50));
        let (part, fan) = (Part::Chassis("c".into()), Id::from("Fan"));
        let first = drives.drive(&part, &fan, Some(40.0)).await;
        assert!(matches!(first, Err(CommandError::Failed { .. })), "{first:?}");
        let second = drives.drive(&part, &fan, None).await;
        assert!(matches!(second, Err(CommandError::Busy { .. })), "{second:?}");
        for _ in 0..3 {
            let_go.send(()).unwrap();
        }
        assert_eq!(was.recv().unwrap(), Some(40.0));
        assert_eq!(was.recv().unwrap(), None, "nobody knows of 40 percent");
        while drives.stuck().contains(&fan) {
            tokio::task::yield_now().await;
        }
        drives.drive(&part, &fan, None).await.unwrap();
    }

    /// A part whose driver is wrong.
    struct Broken;

    impl Controls for Broken {
        fn drive(&self, _: &Id, percent: Option<f64>) -> io::Result<()> {
            assert!(percent.is_none(), "a mistake in a driver");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_driver_that_panics_can_be_asked_again() {
        let drives = Drives::new(Arc::new(Broken), PATIENCE);
        let (part, fan) = (Part::Chassis("c".into()), Id::from("Fan"));
        let first = drives.drive(&part, &fan, Some(40.0)).await;
        assert!(matches!(first, Err(CommandError::Failed { .. })), "{first:?}");
        drives.drive(&part, &fan, None).await.unwrap();
    }
}
