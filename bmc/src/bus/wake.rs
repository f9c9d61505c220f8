//! Ends a wait for a line from elsewhere, as when there is something to send.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, read, write},
};

/// What wakes who waits for a line: once, however often it was asked to. Cheap
/// to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Wake(Arc<OwnedFd>);

impl Wake {
    /// Nobody has been woken yet.
    ///
    /// # Errors
    /// No more files can be open (`eventfd`).
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(eventfd(0, flags)?)))
    }

    /// Wakes who waits, or who waits next.
    pub fn wake(&self) {
        // It fails only where it has been asked 2⁶⁴ times.
        let _ = write(&*self.0, &1_u64.to_ne_bytes());
    }

    /// Waits until it is woken, `line` has something, or for `patience`.
    ///
    /// # Errors
    /// The kernel does not wait for them.
    pub fn wait(
        &self,
        line: Option<BorrowedFd<'_>>,
        patience: Duration,
    ) -> io::Result<()> {
        let of = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let own = PollFd::new(&*self.0, PollFlags::IN);
        let mut ends = vec![own];
        ends.extend(line.map(of));
        let patience = Timespec::try_from(patience)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        match poll(&mut ends, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if ends.first().is_some_and(|own| !own.revents().is_empty()) {
            read(&*self.0, &mut [0; 8])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::fd::AsFd as _, thread};

    use tokio::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_wait_ends_when_woken_when_something_came_and_in_time() {
        let wake = Wake::new().unwrap();
        wake.wait(None, Duration::from_millis(1)).unwrap();
        let began = Instant::now();
        let other = wake.clone();
        let waker = thread::spawn(move || other.wake());
        wake.wait(None, LONG).unwrap();
        waker.join().unwrap();
        // Whoever is not there yet is woken as well, and once.
        wake.wake();
        wake.wake();
        wake.wait(None, LONG).unwrap();
        wake.wait(None, Duration::from_millis(1)).unwrap();
        let (near, mut far) = io::pipe().unwrap();
        far.write_all(b"x").unwrap();
        wake.wait(Some(near.as_fd()), LONG).unwrap();
        assert!(began.elapsed() < LONG);
    }
}
