//! Load: how busy processors and memory are, and how fast the clock runs.

use std::time::Duration;

use super::{Batch, Driver, INTERVAL, good_for, memory, tree::Tree};
use crate::model::{
    Hertz, Id, Percent, PhysicalContext, Quantity, Sample, Sensor, SensorKind,
    Thresholds,
};

const CLOCK: &str = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq";

/// Jiffies that processors spent working, and all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Jiffies {
    busy: u64,
    total: u64,
}

/// The driver of the processors' and the memory's load.
#[derive(Debug)]
pub struct Load {
    tree: Tree,
    processor: Id,
    memory: Id,
    clock: Option<Id>,
    before: Option<Jiffies>,
}

/// The sensors that the host has whatever it is made of.
#[must_use]
pub fn sensors(tree: &Tree) -> Vec<Sensor> {
    let sensor = |id: &str, name: &str, kind, context, source: &str| Sensor {
        id: id.into(),
        name: name.into(),
        kind,
        context,
        range: (kind == SensorKind::Percent).then_some((0.0, 100.0)),
        thresholds: Thresholds::default(),
        interval: INTERVAL,
        source: source.into(),
        required: false,
    };
    let mut sensors = Vec::new();
    if tree.exists("/proc/stat") {
        sensors.push(sensor(
            "CPU_Load",
            "CPU Load",
            SensorKind::Percent,
            PhysicalContext::Cpu,
            "/proc/stat",
        ));
    }
    if memory::usage(tree).is_some() {
        sensors.push(sensor(
            "Memory_Used",
            "Memory Used",
            SensorKind::Percent,
            PhysicalContext::Memory,
            "/proc/meminfo",
        ));
    }
    if tree.exists(CLOCK) {
        sensors.push(sensor(
            "CPU_Clock",
            "CPU Clock",
            SensorKind::Frequency,
            PhysicalContext::Cpu,
            CLOCK,
        ));
    }
    sensors
}

impl Load {
    /// The load of what `tree` shows.
    #[must_use]
    pub fn new(tree: Tree) -> Self {
        let clock = tree.exists(CLOCK).then(|| "CPU_Clock".into());
        Self {
            before: jiffies(&tree),
            tree,
            processor: "CPU_Load".into(),
            memory: "Memory_Used".into(),
            clock,
        }
    }

    fn interval() -> Duration {
        INTERVAL
    }
}

impl Driver for Load {
    fn name(&self) -> &'static str {
        "load"
    }

    fn poll(&mut self) -> Batch {
        let good_for = good_for(Self::interval());
        let mut samples = Vec::new();
        let mut good = |id: &Id, value: Quantity| {
            samples.push(Sample::good(id, value, good_for));
        };
        let now = jiffies(&self.tree);
        if let (Some(before), Some(now)) = (self.before, now) {
            let total = now.total.saturating_sub(before.total);
            let busy = now.busy.saturating_sub(before.busy);
            if total > 0 {
                good(&self.processor, Percent(share(busy, total)).into());
            }
        }
        self.before = now;
        if let Some(usage) = memory::usage(&self.tree) {
            let used = usage.total - usage.available;
            good(&self.memory, Percent(share(used, usage.total)).into());
        }
        let khz = self
            .clock
            .as_ref()
            .and_then(|id| Some((id, self.tree.number::<f64>(CLOCK)?)));
        if let Some((id, khz)) = khz {
            good(id, Hertz(khz * 1000.0).into());
        }
        Batch { samples, ..Batch::default() }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs fewer digits than a float has"
)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq,
/// softirq, steal; guests are counted in user already.
fn jiffies(tree: &Tree) -> Option<Jiffies> {
    let text = tree.text("/proc/stat")?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> =
        line.split_whitespace().take(8).map_while(|n| n.parse().ok()).collect();
    let total: u64 = fields.iter().sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    (fields.len() >= 4).then_some(Jiffies { busy: total - idle, total })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn load_is_the_busy_share_since_the_last_look() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("proc")).unwrap();
        let stat = folder.path().join("proc/stat");
        fs::write(&stat, "cpu  100 0 100 800 0 0 0 0 0 0\n").unwrap();
        let mut load = Load::new(Tree::new(folder.path()));
        assert_eq!(load.poll().samples, []);
        fs::write(&stat, "cpu  150 0 125 825 0 0 0 0 0 0\n").unwrap();
        let samples = load.poll().samples;
        assert_eq!(samples[0].reading.value, Some(Percent(75.0).into()));
        fs::write(&stat, "garbage").unwrap();
        assert_eq!(load.poll().samples, []);
    }
}
