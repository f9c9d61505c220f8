//! PWM outputs of the kernel, `/sys/class/pwm`, found by the device that their
//! chip belongs to: numbers of chips move from kernel to kernel.
//!
//! What rppal 0.22 has for it, `Pwm::with_pwmchip`, writes the same files, but
//! switches the output off when it opens it: a fan that an agent before left at
//! full speed would stand still, and for good if the next write fails.

use std::{
    fmt, fs, io, mem,
    path::{Path, PathBuf},
};

use super::pause;
use crate::drivers::tree::Tree;

/// Where the kernel shows its chips
/// (`Documentation/ABI/testing/sysfs-class-pwm`).
const CLASS: &str = "/sys/class/pwm";
/// How often it is looked whether an output has come, and how long between.
const TRIES: u32 = 10;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// An output whose duty can be set.
pub trait Pwm: fmt::Debug + Send {
    /// Drives it by `percent`, 0 to 100.
    ///
    /// # Errors
    /// What the kernel said.
    fn drive(&mut self, percent: f64) -> io::Result<()>;
}

/// An output of a chip of the kernel.
#[derive(Clone, Debug)]
pub struct KernelPwm {
    tree: Tree,
    /// The device that the chip belongs to, or the chip itself.
    chip: String,
    channel: u32,
    /// In nanoseconds.
    period: u64,
    /// Whether it is the low voltage that drives.
    inverted: bool,
    /// Whether it was said that the chip goes on with another period.
    told: bool,
}

impl KernelPwm {
    /// The output `channel` of `chip` on the machine that `tree` shows, `hertz`
    /// times a second.
    #[must_use]
    pub fn new(
        tree: Tree,
        chip: &str,
        channel: u32,
        hertz: u32,
        inverted: bool,
    ) -> Self {
        let period = 1_000_000_000 / u64::from(hertz.max(1));
        let (chip, told) = (chip.to_owned(), false);
        Self { tree, chip, channel, period, inverted, told }
    }

    /// The folder of the output; the kernel makes it when it is asked to.
    fn folder(&self) -> io::Result<PathBuf> {
        let mut all = self.tree.entries(CLASS).into_iter();
        let folder = all.find_map(|entry| {
            let folder = format!("{CLASS}/{entry}");
            let device = self.tree.link_name(&format!("{folder}/device"));
            let is_it = entry == self.chip || device? == self.chip;
            is_it.then_some(folder)
        });
        let Some(chip) = folder else {
            let reason = format!("no PWM chip `{}`", self.chip);
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        };
        let output = format!("{chip}/pwm{}", self.channel);
        if !self.tree.exists(&output) {
            let export = self.tree.path(&format!("{chip}/export"));
            write(&export, &self.channel.to_string())?;
        }
        for _ in 0..TRIES {
            if self.tree.exists(&format!("{output}/enable")) {
                return Ok(self.tree.path(&output));
            }
            pause(PAUSE);
        }
        let reason = format!("{output} does not come");
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    }

    /// Sets the period of the output in `folder`, which is `found` now.
    fn set_period(&self, folder: &Path, found: u64) -> io::Result<()> {
        if found == self.period {
            return Ok(());
        }
        // A period shorter than the duty is refused.
        let duty = folder.join("duty_cycle");
        if number(&duty).is_ok_and(|it| it > self.period) {
            let full = if self.inverted { 0 } else { self.period };
            write(&duty, &full.to_string())?;
        }
        write(&folder.join("period"), &self.period.to_string())
    }
}

impl Pwm for KernelPwm {
    fn drive(&mut self, percent: f64) -> io::Result<()> {
        let folder = self.folder()?;
        let file = |name| folder.join(name);
        let found = number(&file("period"))?;
        let period = match self.set_period(&folder, found) {
            Ok(()) => self.period,
            // Without a period nothing can be driven.
            Err(error) if found == 0 => return Err(error),
            // A fan turns with another one as well.
            Err(error) => {
                if !mem::replace(&mut self.told, true) {
                    tracing::warn!(%error, found, "PWM with another period");
                }
                found
            }
        };
        let share = percent.clamp(0.0, 100.0) / 100.0;
        let share = if self.inverted { 1.0 - share } else { share };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it is between nothing and a period, which is short"
        )]
        let duty = (period as f64 * share).round() as u64;
        write(&file("duty_cycle"), &duty.to_string())?;
        if fs::read_to_string(file("enable"))?.trim() != "1" {
            write(&file("enable"), "1")?;
        }
        Ok(())
    }
}

/// The number in an attribute.
fn number(path: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(io::Error::other)
}

/// Writes into an attribute that is there; none is ever made.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let written = fs::OpenOptions::new().write(true).truncate(true).open(path);
    let written = written.and_then(|mut file| {
        use io::Write as _;
        file.write_all(text.as_bytes())
    });
    written.map_err(|error| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        io::Error::new(error.kind(), format!("{name} = {text}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_chip_by_the_device_and_writes_what_changes() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let device = at("sys/devices/platform/fe20c000.pwm");
        let output = device.join("pwm/pwmchip3/pwm1");
        fs::create_dir_all(&output).unwrap();
        fs::create_dir_all(at("sys/class/pwm")).unwrap();
        let chip = device.join("pwm/pwmchip3");
        std::os::unix::fs::symlink(&device, chip.join("device")).unwrap();
        std::os::unix::fs::symlink(&chip, at("sys/class/pwm/pwmchip3"))
            .unwrap();
        for name in ["period", "duty_cycle", "enable"] {
            fs::write(output.join(name), "0\n").unwrap();
        }
        let read = |name: &str| fs::read_to_string(output.join(name)).unwrap();
        let tree = Tree::new(root.path());
        let chip = "fe20c000.pwm";
        let mut pwm = KernelPwm::new(tree.clone(), chip, 1, 25_000, false);
        pwm.drive(30.0).unwrap();
        let all = ["period", "duty_cycle", "enable"].map(read);
        assert_eq!(all, ["40000", "12000", "1"]);
        KernelPwm { inverted: true, ..pwm.clone() }.drive(100.0).unwrap();
        assert_eq!(read("duty_cycle"), "0");
        for (name, text) in [("period", "90000\n"), ("duty_cycle", "60000\n")] {
            fs::write(output.join(name), text).unwrap();
        }
        pwm.drive(50.0).unwrap();
        assert_eq!(["period", "duty_cycle"].map(read), ["40000", "20000"]);
        let mut absent = KernelPwm::new(tree, "pwm-9", 0, 25_000, false);
        let error = absent.drive(1.0).unwrap_err();
        assert_eq!(error.to_string(), "no PWM chip `pwm-9`");
        fs::remove_file(output.join("enable")).unwrap();
        fs::create_dir(output.join("enable")).unwrap();
        assert!(pwm.drive(1.0).is_err());
    }
}
