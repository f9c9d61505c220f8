//! Channels: sensors whose value is a number in a file, times a factor.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Batch, Driver, INTERVAL, good_for};
use crate::model::{
    Battery, Fan, Id, PhysicalContext, PowerSupply, Quantity, Sample, Sensor,
    SensorKind, Thresholds,
};

/// A file that the kernel, or a simulation, answers with a number.
pub trait Attribute: fmt::Debug + Send {
    /// The number.
    ///
    /// # Errors
    /// What the part said instead.
    fn read(&mut self) -> io::Result<f64>;
}

/// Where a part's files are: its folder may come back under another name.
pub trait Place: fmt::Debug + Send + Sync {
    /// The folder that the part has now.
    ///
    /// # Errors
    /// The part is not there.
    fn folder(&self) -> io::Result<PathBuf>;
}

/// A folder that stays where it is.
impl Place for PathBuf {
    fn folder(&self) -> io::Result<PathBuf> {
        Ok(self.clone())
    }
}

/// An attribute in sysfs or procfs. Its descriptor is kept: opening and
/// closing costs as much as reading.
#[derive(Debug)]
pub struct FileAttribute {
    place: Arc<dyn Place>,
    name: String,
    file: Option<File>,
}

impl FileAttribute {
    /// The attribute at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let name = path.file_name().unwrap_or_default();
        Self::of(Arc::new(folder), &name.to_string_lossy())
    }

    /// The attribute `name` of the part at `place`.
    #[must_use]
    pub fn of(place: Arc<dyn Place>, name: &str) -> Self {
        Self { place, name: name.to_owned(), file: None }
    }

    fn number(&mut self) -> io::Result<f64> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(self.place.folder()?.join(&self.name))?,
        };
        let mut buffer = [0; 64];
        let length = file.read_at(&mut buffer, 0)?;
        let number = number(buffer.get(..length).unwrap_or_default())?;
        self.file = Some(file);
        Ok(number)
    }
}

impl Attribute for FileAttribute {
    fn read(&mut self) -> io::Result<f64> {
        // After a failure the file is opened anew: the part may have come
        // back as another file of the same name.
        self.number()
    }
}

fn number(text: &[u8]) -> io::Result<f64> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let number: Option<f64> = text.parse().ok();
    number.filter(|n| n.is_finite()).ok_or_else(|| {
        let shown: String = text.chars().take(20).collect();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{shown}` is no number"),
        )
    })
}

/// How a channel's value follows from its attributes.
#[derive(Debug)]
pub enum Source {
    /// One number times the factor.
    One(Box<dyn Attribute>, f64),
    /// Two numbers and the factor multiplied: volts times amperes.
    Product(Box<dyn Attribute>, Box<dyn Attribute>, f64),
}

impl Source {
    /// The number in the file at `path`, times `factor`.
    #[must_use]
    pub fn file(path: &Path, factor: f64) -> Self {
        Self::One(Box::new(FileAttribute::new(path)), factor)
    }

    /// The number in the file `name` of the part at `place`, times `factor`.
    #[must_use]
    pub fn of(place: &Arc<dyn Place>, name: &str, factor: f64) -> Self {
        let attribute = FileAttribute::of(Arc::clone(place), name);
        Self::One(Box::new(attribute), factor)
    }

    /// The numbers in two files of one part and `factor`, multiplied.
    #[must_use]
    pub fn product(
        place: &Arc<dyn Place>,
        [a, b]: [&str; 2],
        factor: f64,
    ) -> Self {
        let file = |name| Box::new(FileAttribute::of(Arc::clone(place), name));
        Self::Product(file(a), file(b), factor)
    }

    fn read(&mut self) -> io::Result<f64> {
        let value = match self {
            Self::One(attribute, factor) => attribute.read()? * *factor,
            Self::Product(a, b, factor) => a.read()? * b.read()? * *factor,
        };
        // No part here is better than a thousandth of its unit.
        Ok((value * 1000.0).round() / 1000.0)
    }
}

/// A sensor with the place its value comes from.
#[derive(Debug)]
pub struct Channel {
    /// The sensor.
    pub sensor: Sensor,
    /// Where its value comes from.
    pub source: Source,
    /// What changes the value, where it can be changed.
    pub actuator: Option<Actuator>,
}

/// The output of a driver that is older than hwmon: `target_pwm`, which it
/// drives by itself while `temp_control` is 1, and leaves alone while it is 0.
pub const LEGACY: &str = "target_pwm";

/// Which PWM output it is, so that it is found again, and what leaves it to
/// its chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Where the chip was found.
    pub folder: String,
    /// What its driver calls it.
    pub chip: String,
    /// The device that it belongs to.
    pub device: Option<String>,
    /// The output, as in `pwm1`.
    pub stem: String,
    /// What `pwm[1-*]_enable` says while the chip drives it.
    pub automatic: u8,
}

impl Output {
    /// The file that says who drives it, and what is in it while we do.
    fn who(&self) -> (String, &'static str) {
        if self.stem == LEGACY {
            return ("temp_control".to_owned(), "0");
        }
        (format!("{}_enable", self.stem), "1")
    }
}

/// A PWM output of a chip that drives it by itself, until it is told to leave
/// that to us (`Documentation/hwmon/sysfs-interface.rst`: `pwm[1-*]` is 0 to
/// 255, `pwm[1-*]_enable` is 1 by hand, 2 and more by the chip).
#[derive(Clone, Debug)]
pub struct Actuator {
    place: Arc<dyn Place>,
    output: Output,
}

impl Actuator {
    /// The `output` of the part at `place`.
    #[must_use]
    pub fn new(place: Arc<dyn Place>, output: Output) -> Self {
        Self { place, output }
    }

    /// Which output it drives.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Drives the output by `percent`, or leaves it to the chip.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn drive(&self, percent: Option<f64>) -> io::Result<()> {
        let folder = self.place.folder()?;
        let Output { stem, automatic, .. } = &self.output;
        let (who, by_hand) = self.output.who();
        let enable = folder.join(who);
        let Some(percent) = percent else {
            return write(&enable, &automatic.to_string());
        };
        write(&enable, by_hand)?;
        let duty = (percent.clamp(0.0, 100.0) * 2.55).round();
        let driven = write(&folder.join(stem), &duty.to_string());
        if driven.is_err() {
            // Half a change would leave the fan where it is, for good.
            write(&enable, &automatic.to_string())?;
        }
        driven
    }

    /// Leaves the output to the chip if it is driven by hand; whether it was.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn let_go(&self) -> io::Result<bool> {
        let folder = self.place.folder()?;
        let (who, by_hand) = self.output.who();
        if fs::read_to_string(folder.join(who))?.trim() != by_hand {
            return Ok(false);
        }
        self.drive(None).map(|()| true)
    }
}

/// Writes into an attribute that is there; none is ever made.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

impl Channel {
    /// A channel called `name`, whose id follows from the name.
    #[must_use]
    pub fn new(name: &str, kind: SensorKind, source: Source) -> Self {
        let sensor = Sensor {
            id: super::segment(name).into(),
            name: name.to_owned(),
            kind,
            context: PhysicalContext::default(),
            range: (kind == SensorKind::Percent).then_some((0.0, 100.0)),
            thresholds: Thresholds::default(),
            interval: INTERVAL,
            source: name.into(),
            required: false,
        };
        Self { sensor, source, actuator: None }
    }
}

/// What a chip brings: channels, and the fans and supplies they belong to.
#[derive(Debug, Default)]
pub struct Group {
    /// What the log calls the chip.
    pub name: String,
    /// Its node in the device tree, where it has one.
    pub node: Option<String>,
    /// Its channels.
    pub channels: Vec<Channel>,
    /// Fans it drives or counts.
    pub fans: Vec<Fan>,
    /// Power supplies it watches.
    pub power_supplies: Vec<PowerSupply>,
    /// Batteries it watches.
    pub batteries: Vec<Battery>,
}

/// A driver that reads channels which share a chip or a bus.
#[derive(Debug)]
pub struct Channels {
    name: String,
    interval: Duration,
    sources: Vec<(Id, SensorKind, Source)>,
}

impl Channels {
    /// The channels of `name`, read every second.
    #[must_use]
    pub fn new(name: String, channels: Vec<Channel>) -> Self {
        let sources = channels
            .into_iter()
            .map(|c| (c.sensor.id, c.sensor.kind, c.source))
            .collect();
        Self { name, interval: INTERVAL, sources }
    }
}

impl Driver for Channels {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn poll(&mut self) -> Batch {
        let good_for = good_for(self.interval);
        let mut samples = Vec::with_capacity(self.sources.len());
        for (id, kind, source) in &mut self.sources {
            samples.push(match source.read() {
                Ok(value) => {
                    Sample::good(id, Quantity::new(*kind, value), good_for)
                }
                Err(error) => Sample::failed(id, &error.to_string()),
            });
        }
        Batch { samples, ..Batch::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_anew_each_time_and_says_what_is_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("temp1_input");
        let mut attribute = FileAttribute::new(&path);
        assert!(attribute.read().is_err());
        fs::write(&path, "48312\n").unwrap();
        assert!((attribute.read().unwrap() - 48312.0).abs() < 1e-9);
        fs::write(&path, "over").unwrap();
        let error = attribute.read().unwrap_err();
        assert_eq!(error.to_string(), "`over` is no number");
        fs::write(&path, "nan").unwrap();
        assert!(attribute.read().is_err());
        fs::write(&path, "1").unwrap();
        assert!((attribute.read().unwrap() - 1.0).abs() < 1e-9);
    }
}
