//! A simulated part at the far end of a serial line: spoken to directly, or
//! through a pseudo-terminal as any program would.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serialport::{SerialPort as _, TTYPort};

use super::SimulatedPart;
use crate::bus::{pause, serial::SerialLink};

/// A part that gets and sends bytes.
pub trait SerialPart: fmt::Debug + Send {
    /// Takes what was sent to it.
    fn receive(&mut self, bytes: &[u8]);

    /// What it sends now, if anything. It is asked again and again.
    fn send(&mut self) -> Vec<u8>;
}

/// A part of which the caller keeps a handle, to look into it.
impl<P: SerialPart> SerialPart for Arc<Mutex<P>> {
    fn receive(&mut self, bytes: &[u8]) {
        self.lock().unwrap_or_else(PoisonError::into_inner).receive(bytes);
    }

    fn send(&mut self) -> Vec<u8> {
        self.lock().unwrap_or_else(PoisonError::into_inner).send()
    }
}

/// How often a part is asked whether it has something to say.
const LOOK: Duration = Duration::from_millis(2);

/// The same of a part that has been silent for a while.
const SELDOM: Duration = Duration::from_millis(16);

/// What goes wrong on a simulated line. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct LineFaults(Arc<Mutex<Faults>>);

#[derive(Debug, Default)]
struct Faults {
    unplugged: bool,
    silent: bool,
    noise: Vec<u8>,
    theirs: Vec<u8>,
    log: Vec<u8>,
    /// What a simulation tells of the part: whether it answers.
    told: Option<SimulatedPart>,
}

/// `EIO`: what the kernel says of a converter that was pulled out.
const GONE: i32 = 5;

/// How many bytes are remembered of what was sent.
const LOG: usize = 16 << 10;

impl LineFaults {
    /// Pulls the converter out, or puts it back.
    pub fn unplug(&self, unplugged: bool) {
        self.lock().unplugged = unplugged;
    }

    /// Cuts the wire, so that nothing comes through, or mends it.
    pub fn silence(&self, silent: bool) {
        self.lock().silent = silent;
    }

    /// Another program's bytes come before whatever comes, until there are
    /// none.
    pub fn disturb(&self, noise: &[u8]) {
        self.lock().noise = noise.to_vec();
    }

    /// Another program sends `bytes` to the part, before the next one does.
    pub fn meddle(&self, bytes: &[u8]) {
        self.lock().theirs.extend(bytes);
    }

    /// Lets the part misbehave as `told` does.
    pub(crate) fn tell(&self, told: SimulatedPart) {
        self.lock().told = Some(told);
    }

    /// What was sent since this was last asked.
    #[must_use]
    pub fn sent(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().log)
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults of a line that is there.
    fn there(&self) -> io::Result<MutexGuard<'_, Faults>> {
        let told = self.lock().told.clone();
        if let Some(told) = told {
            told.answers()?;
        }
        let faults = self.lock();
        if faults.unplugged {
            return Err(io::Error::from_raw_os_error(GONE));
        }
        Ok(faults)
    }
}

/// A line to a simulated part, without a kernel in between.
#[derive(Debug)]
pub struct SimulatedSerial {
    part: Box<dyn SerialPart>,
    waiting: Vec<u8>,
    faults: LineFaults,
}

impl SimulatedSerial {
    /// A line to `part`.
    #[must_use]
    pub fn new(part: Box<dyn SerialPart>) -> Self {
        Self { part, waiting: Vec::new(), faults: LineFaults::default() }
    }

    /// What goes wrong on it.
    #[must_use]
    pub fn faults(&self) -> LineFaults {
        self.faults.clone()
    }

    fn take(&mut self) {
        let came = self.part.send();
        if !came.is_empty() {
            self.waiting.extend(&self.faults.lock().noise);
        }
        self.waiting.extend(came);
    }
}

impl SerialLink for SimulatedSerial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut faults = self.faults.there()?;
        if faults.log.len() < LOG {
            faults.log.extend(bytes);
        }
        let theirs = std::mem::take(&mut faults.theirs);
        let silent = faults.silent;
        drop(faults);
        if !theirs.is_empty() {
            self.part.receive(&theirs);
        }
        if !silent {
            self.part.receive(bytes);
        }
        Ok(())
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        patience: Duration,
    ) -> io::Result<usize> {
        let mut waited = Duration::ZERO;
        let mut look = LOOK;
        loop {
            if !self.faults.there()?.silent {
                self.take();
            }
            if !self.waiting.is_empty() || waited >= patience {
                break;
            }
            let length = look.min(patience.saturating_sub(waited));
            pause(length);
            waited += length;
            look = (look * 2).min(SELDOM);
        }
        let count = self.waiting.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.waiting.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn clear(&mut self) -> io::Result<()> {
        drop(self.faults.there()?);
        self.waiting.clear();
        self.part.send();
        Ok(())
    }
}

/// A simulated part behind a pseudo-terminal, until it is dropped.
#[derive(Debug)]
pub struct Pty {
    path: String,
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pty {
    /// Serves `part` on a new pseudo-terminal.
    ///
    /// # Errors
    /// The kernel has none left.
    pub fn serve(mut part: Box<dyn SerialPart>) -> io::Result<Self> {
        let (mut far, near) = TTYPort::pair()?;
        let path = near.name().unwrap_or_default();
        far.set_timeout(LOOK)?;
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let work = move || {
            // As long as it is open here, the far end lives between clients.
            let _near = near;
            let mut buffer = [0; 256];
            while !over.load(Ordering::Relaxed) {
                match far.read(&mut buffer) {
                    Ok(count) => {
                        part.receive(buffer.get(..count).unwrap_or_default());
                    }
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                    Err(_) => return,
                }
                let bytes = part.send();
                if !bytes.is_empty() && far.write_all(&bytes).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("pty".into()).spawn(work)?;
        Ok(Self { path, ended, thread: Some(thread) })
    }

    /// The device file that a driver opens.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within a look; what broke in it has been seen.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::serial::KernelSerial;

    #[derive(Debug, Default)]
    struct Echo(Vec<u8>);

    impl SerialPart for Echo {
        fn receive(&mut self, bytes: &[u8]) {
            self.0.extend(bytes);
        }

        fn send(&mut self) -> Vec<u8> {
            std::mem::take(&mut self.0)
        }
    }

    fn speak(line: &mut dyn SerialLink) {
        let mut buffer = [0; 8];
        line.write(b"=").unwrap();
        let count = line.read(&mut buffer, Duration::from_secs(2)).unwrap();
        assert_eq!(buffer.get(..count), Some(&b"="[..]));
        let silence = Duration::from_millis(10);
        assert_eq!(line.read(&mut buffer, silence).unwrap(), 0);
    }

    #[test]
    fn a_part_answers_the_same_with_and_without_a_kernel() {
        speak(&mut SimulatedSerial::new(Box::new(Echo::default())));
        let pty = Pty::serve(Box::new(Echo::default())).unwrap();
        speak(&mut KernelSerial::new(pty.path().as_ref(), 115_200));
        // The next client finds it as the first one did.
        speak(&mut KernelSerial::new(pty.path().as_ref(), 115_200));
    }
}
