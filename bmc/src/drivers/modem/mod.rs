//! Sixfab's cellular modems, of Quectel, Telit and Thales: who they are, their
//! SIM, their network, and how strong it is.
//!
//! Commands are those of 3GPP TS 27.007 and of the vendor's `core_manager`.
//! Nothing here was checked on a real modem. The numbers of modem and SIM tell
//! who somebody is: but for their last four digits they are kept back, unless
//! the board file says otherwise.

mod at;
mod port;
mod vendor;
mod watch;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;

use self::{at::At, port::UsbPort, watch::Watch};
use super::Driver;
use crate::{
    boards::{
        Modems,
        part::{Fitting, Kind, Part, chassis_of},
    },
    bus::{
        gpio::{GpioLines, LineName, Polarity},
        pause,
    },
    model::{
        Id, Inventory, Modem, PhysicalContext, Sensor, SensorKind, Thresholds,
    },
    sim::modem::{Maker, Modem as Simulated},
};

/// How often everything has been asked for.
const ROUND: Duration = Duration::from_secs(5);
/// For how long the power is cut.
const CUT: Duration = Duration::from_secs(2);
/// How often it is tried to give the power back, and how long between.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(100);
/// Below this a network is hard to use, in dBm.
const WEAK: f64 = -105.0;

/// What a board file can say of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// What people call it.
    name: Option<String>,
    /// Show the numbers of modem and SIM as they are.
    #[serde(default)]
    show_numbers: bool,
    /// Make it an Ethernet device on USB, and start it anew for that.
    #[serde(default)]
    set_ethernet: bool,
    /// The line that holds its power off while it is high: GPIO26 on Sixfab's
    /// boards.
    power_line: Option<LineName>,
    /// The bus of that line.
    #[serde(default)]
    lines: String,
    /// Who made it, where it is simulated.
    maker: Option<Maker>,
}

/// The part for board files.
pub const KIND: Kind = Kind { word: "cellular", fit };

fn fit(fitting: &mut Fitting<'_>) -> Result<Box<dyn Part>, String> {
    let options: Options = fitting.options()?;
    if options.maker.is_some() && !fitting.is_simulated() {
        return Err("`maker` is of a simulated modem".to_owned());
    }
    let link = if fitting.has_bus() {
        let maker = options.maker.unwrap_or(Maker::Quectel);
        let simulated = Arc::new(Mutex::new(Simulated::new(maker)));
        if fitting.is_simulated() {
            fitting.keep(Arc::clone(&simulated));
        }
        fitting.serial(|| simulated)?
    } else {
        Box::new(UsbPort::new(fitting.tree().clone()))
    };
    let id = fitting.id.clone();
    let name = options.name.unwrap_or_else(|| id.to_string());
    let place = format!("cellular {id}");
    let sensor = |word: &str, title: &str, kind| Sensor {
        id: super::segment(&format!("{id} {word}")).into(),
        name: format!("{name} {title}"),
        kind,
        context: PhysicalContext::NetworkingDevice,
        range: None,
        thresholds: Thresholds::default(),
        interval: ROUND,
        source: place.as_str().into(),
        required: true,
    };
    let mut sensors = [
        sensor("Signal", "Signal Strength", SensorKind::Signal),
        sensor("Network", "Network Registration", SensorKind::Percent),
        sensor("SIM", "SIM", SensorKind::Percent),
    ];
    let [signal, network, sim] = &mut sensors;
    signal.range = Some((-113.0, -51.0));
    signal.required = false;
    signal.thresholds.lower_caution = Some(WEAK);
    // All or nothing.
    for it in [network, sim] {
        it.range = Some((0.0, 100.0));
        it.thresholds.lower_critical = Some(50.0);
    }
    let lines = fitting.gpio(&options.lines, options.power_line.as_ref());
    let lines = lines.map_err(|reason| format!("`lines`: {reason}"))?;
    let shared = Arc::new(Shared {
        at: Mutex::new(At::new(link)),
        lines,
        power: options.power_line,
        vendor: Mutex::default(),
    });
    let ids = sensors.each_ref().map(|it| it.id.clone());
    let driver = Watch::new(
        place,
        id.clone(),
        Arc::clone(&shared),
        ids.clone(),
        (options.show_numbers, options.set_ethernet),
    );
    Ok(Box::new(Fitted {
        modem: Modem {
            id,
            name,
            sensors: ids.to_vec(),
            has_power_line: shared.power.is_some(),
        },
        chassis: fitting.chassis.clone(),
        sensors,
        shared,
        driver: Some(driver),
    }))
}

/// The modem, between who watches it and who starts it anew.
#[derive(Debug)]
struct Shared {
    at: Mutex<At>,
    lines: Arc<dyn GpioLines>,
    power: Option<LineName>,
    vendor: Mutex<Option<&'static vendor::Vendor>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Modems for Shared {
    fn restart(&self, _: &Id, cut: bool) -> io::Result<()> {
        // Nobody speaks with it meanwhile.
        let mut at = lock(&self.at);
        if !cut {
            let vendor = *lock(&self.vendor);
            let command = vendor.map_or("AT+CFUN=1,1", |it| it.restart);
            return at.tell(command).map_err(io::Error::other);
        }
        let Some(line) = &self.power else {
            let reason = "the board file names no `power_line`";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        };
        // High is off.
        let mut off = self.lines.output(line, Polarity::ActiveHigh, true)?;
        pause(CUT);
        let mut back = off.set(false);
        // Without power it stays away until somebody comes.
        for _ in 1..TRIES {
            if back.is_ok() {
                break;
            }
            pause(AGAIN);
            back = off.set(false);
        }
        back
    }
}

/// The part on a board.
struct Fitted {
    modem: Modem,
    chassis: Id,
    sensors: [Sensor; 3],
    shared: Arc<Shared>,
    driver: Option<Watch>,
}

impl Part for Fitted {
    fn describe(&mut self, inventory: &mut Inventory) {
        let Some(chassis) = chassis_of(inventory, &self.chassis) else {
            return;
        };
        chassis.sensors.extend(self.sensors.iter().cloned());
        chassis.modems.push(self.modem.clone());
    }

    fn drivers(&mut self) -> Vec<Box<dyn Driver>> {
        let driver = self.driver.take();
        driver.into_iter().map(|it| Box::new(it) as Box<dyn Driver>).collect()
    }

    fn modems(&self) -> Option<(Vec<Id>, Arc<dyn Modems>)> {
        let shared = Arc::clone(&self.shared);
        Some((vec![self.modem.id.clone()], shared))
    }
}

/// Asks a modem that `link` stands for everything, twice.
#[cfg(any(test, fuzzing))]
pub(crate) fn converse(link: Box<dyn crate::bus::serial::SerialLink>) {
    let shared = Shared {
        at: Mutex::new(At::new(link)),
        lines: Arc::new(crate::sim::gpio::SimulatedGpio::new([])),
        power: None,
        vendor: Mutex::default(),
    };
    let (id, sensors) = ("modem".into(), ["s", "n", "m"].map(Into::into));
    let shared = Arc::new(shared);
    let options = (true, true);
    let mut watch =
        Watch::new("modem".to_owned(), id, shared, sensors, options);
    for _ in 0..2 {
        let _ = watch.poll();
    }
}
