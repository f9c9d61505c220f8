//! The machine the agent runs on, and the agent itself, whatever board it
//! looks after. The kernel answers at once.

use std::{fs, path::Path};

/// Ticks of the kernel in a second (`USER_HZ`), the same on all machines we
/// run on.
pub const SECOND: u64 = 100;
/// The longest command line that is told, in bytes.
const LONGEST: usize = 512;

/// The machine's memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What nobody uses.
    pub free: u64,
    /// What programs can still have.
    pub available: u64,
    /// What several programs use.
    pub shared: u64,
    /// What can be given back.
    pub buffers_and_cache: u64,
}

/// What all processors did since the machine started, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Programs.
    pub user: u64,
    /// The kernel.
    pub kernel: u64,
    /// These, idle time, and all else.
    pub total: u64,
}

/// The agent's process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// How it was called.
    pub command: String,
    /// Its memory that is in RAM, in bytes.
    pub resident: u64,
    /// Its time in its own code.
    pub user_seconds: f64,
    /// Its time in the kernel.
    pub kernel_seconds: f64,
}

/// The machine's memory.
#[must_use]
pub fn memory() -> Option<Memory> {
    read_memory(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn read_memory(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name))?;
        let number = value.trim_start_matches(':').split_whitespace().next()?;
        Some(number.parse::<u64>().ok()? << 10)
    };
    let cache = field("Cached:")? + field("SReclaimable:").unwrap_or(0);
    Some(Memory {
        total: field("MemTotal:")?,
        free: field("MemFree:")?,
        available: field("MemAvailable:")?,
        shared: field("Shmem:").unwrap_or(0),
        buffers_and_cache: cache + field("Buffers:")?,
    })
}

/// What the processors did.
#[must_use]
pub fn ticks() -> Option<Ticks> {
    read_ticks(&fs::read_to_string("/proc/stat").ok()?)
}

fn read_ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields = line.split_whitespace().map_while(|it| it.parse().ok());
    // Guests, the last two, are in the first two already.
    let fields: Vec<u64> = fields.take(8).collect();
    let [user, nice, system, _, _, irq, softirq, ..] = *fields else {
        return None;
    };
    let total = fields.iter().sum();
    Some(Ticks { user: user + nice, kernel: system + irq + softirq, total })
}

/// The agent's process.
#[must_use]
pub fn process() -> Option<Process> {
    let command = fs::read("/proc/self/cmdline").ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let mut command = command.trim().to_owned();
    command.truncate(command.floor_char_boundary(LONGEST));
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The fields follow the name in parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut seconds = || {
        let ticks: u32 = fields.next()?.parse().ok()?;
        Some(f64::from(ticks) / 100.0)
    };
    Some(Process {
        command,
        resident: pages * page,
        user_seconds: seconds()?,
        kernel_seconds: seconds()?,
    })
}

/// What may still be written to the file system with `path`, in bytes.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let of = rustix::fs::statvfs(path).ok()?;
    of.f_bavail.checked_mul(of.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says() {
        let text = "MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\n\
                    Buffers: 50 kB\nCached: 400 kB\nSwapCached: 9 kB\n\
                    Shmem: 7 kB\nSReclaimable: 30 kB\n";
        let memory = read_memory(text).unwrap();
        assert_eq!(memory.total, 1000 << 10);
        assert_eq!(memory.buffers_and_cache, 480 << 10);
        assert_eq!(memory.shared, 7 << 10);
        assert_eq!(read_memory("MemTotal: x kB"), None);
        let ticks = read_ticks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n").unwrap();
        assert_eq!(ticks, Ticks { user: 3, kernel: 16, total: 36 });
        assert_eq!(read_ticks("cpu 1 2"), None);
    }
}
