//! HATs on a bus of the kernel's: bytes go through its I²C core and the driver
//! of an adapter before a simulated part sees them.

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, TryRecvError},
    },
    thread,
    time::Duration,
};

use onprem_bmc::{
    model::Quality,
    sim::{argon::Argon, sixfab_ups::SixfabUps, tmp117::Tmp117},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    cp2112::{Bridge, Parts},
    pause,
    support::{
        rig::Rig,
        served::LOOK,
        wait::{seen, until},
    },
    variable,
};

/// What is on the bus, for the test to look into.
#[derive(Clone)]
struct Hats {
    argon: Arc<Mutex<Argon>>,
    ups: Arc<Mutex<SixfabUps>>,
}

impl Hats {
    fn new(argon: Argon) -> Self {
        let ups = Arc::new(Mutex::new(SixfabUps::default()));
        Self { argon: Arc::new(Mutex::new(argon)), ups }
    }

    fn parts(&self) -> Parts {
        let mut parts = Parts::new();
        parts.insert(0x1a, Box::new(Arc::clone(&self.argon)));
        parts.insert(0x41, Box::new(Arc::clone(&self.ups)));
        parts.insert(0x48, Box::new(Tmp117::default()));
        parts
    }

    fn argon<T>(&self, look: impl FnOnce(&Argon) -> T) -> T {
        look(&self.argon.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ups<T>(&self, look: impl FnOnce(&mut SixfabUps) -> T) -> T {
        look(&mut self.ups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The board that ships, on the kernel's buses instead of simulated ones.
fn board(bus: &Path) -> String {
    include_str!("../../boards/sim-hats.toml")
        .replace("\nsimulated = true", "")
        .replace("[\"GPIO4\"]", "[]")
        .replace("/dev/i2c-1", bus.to_str().unwrap())
        .replace("shutdown_after_seconds = 120, ", "")
}

/// Drives the fan by hand. The agent lets nobody do so while it cannot read what
/// it watches, and takes it back where it loses that; the kernel's driver gives
/// a bridge that is slow to answer up.
async fn drive(rig: &Rig, hats: &Hats, percent: u8) {
    let fan = "/Chassis/blade/Controls/argon";
    let manual = json!({"ControlMode": "Manual", "SetPoint": percent});
    let ask = async || {
        let status = rig.patch(fan, manual.clone()).await;
        format!("{status} {}", hats.argon(|it| it.duty))
    };
    let driven = format!("{} {percent}", StatusCode::OK);
    until(fan, LOOK, ask, |seen| *seen == driven).await;
}

fn power(system: &Value) -> &str {
    system["PowerState"].as_str().unwrap()
}

const NODE: &str = "/Systems/node";

#[tokio::test]
#[ignore = "needs uhid and hid-cp2112"]
async fn hats_are_driven_lost_and_found_again() {
    let hats = Hats::new(Argon::new(true));
    let folder = TempDir::new().unwrap();
    let bus = folder.path().join("bus");
    let bridge = Bridge::plug_in(&bus, hats.parts());
    let rig = Rig::with_board(&board(&bus)).await;
    rig.quality("ups_Input_Voltage", |it| *it == Quality::Good).await;
    rig.quality("exhaust", |it| *it == Quality::Good).await;
    let input = "/Chassis/blade/PowerSubsystem/PowerSupplies/ups_Input";
    rig.until(input, |it| it["FirmwareVersion"] == "v1.02.03").await;

    drive(&rig, &hats, 70).await;

    let good = |quality: &Quality| *quality == Quality::Good;
    bridge.unplug().await;
    let lost = |quality: &Quality| matches!(quality, Quality::Failed(_));
    rig.quality("ups_Input_Voltage", lost).await;
    let sensor = "/Chassis/blade/Sensors/ups_Input_Voltage";
    let sensor = rig.get(sensor).await;
    assert_eq!(sensor["Status"]["Health"], "Critical", "{sensor:#}");
    let _bridge = Bridge::plug_in(&bus, hats.parts());
    rig.quality("ups_Input_Voltage", good).await;

    hats.ups(|it| it.mains = false);
    rig.until(input, |it| it["LineInputStatus"] == "LossOfInput").await;
    assert_eq!(power(&rig.get(NODE).await), "On");
    hats.ups(|it| it.level = 20.0);
    rig.until(NODE, |it| power(it) == "Off").await;
    seen("the UPS", || hats.ups(|it| it.off)).await;
}

#[tokio::test]
#[ignore = "needs uhid and hid-cp2112"]
async fn an_argon_without_registers_is_told_apart_and_never_cuts_the_power() {
    let hats = Hats::new(Argon::new(false));
    let folder = TempDir::new().unwrap();
    let bus = folder.path().join("bus");
    let _bridge = Bridge::plug_in(&bus, hats.parts());
    let detect = |it: String| it.replace("\"registers\"", "\"detect\"");
    let rig = Rig::with_board(&detect(board(&bus))).await;
    drive(&rig, &hats, 100).await;
    let fan = "/Chassis/blade/ThermalSubsystem/Fans/argon";
    let shown = async || {
        drive(&rig, &hats, 40).await;
        rig.get(fan).await
    };
    let at = |it: &Value| it["SpeedPercent"]["Reading"].as_f64();
    until(fan, LOOK, shown, |it| at(it) == Some(40.0)).await;
    assert!(!hats.argon(|it| it.cut));
}

#[tokio::test]
#[ignore = "needs uhid, hid-cp2112 and gpio-sim"]
async fn a_pulse_on_the_kernels_line_is_a_press_of_the_button() {
    let hats = Hats::new(Argon::new(true));
    let folder = TempDir::new().unwrap();
    let bus = folder.path().join("bus");
    let _bridge = Bridge::plug_in(&bus, hats.parts());
    let rig = Rig::with_board(&board(&bus)).await;
    rig.quality("ups_Input_Voltage", |it| *it == Quality::Good).await;
    let pull = format!("{}/sim_gpio4/pull", variable("HIL_GPIO_SYS"));
    // A pulse that a busy machine makes too long means nothing, or a page; one
    // before the line is watched is not seen.
    let (off, pressing) = mpsc::channel::<()>();
    let pressing = thread::spawn(move || {
        while pressing.try_recv() == Err(TryRecvError::Empty) {
            fs::write(&pull, "pull-up").unwrap();
            pause(Duration::from_millis(43));
            fs::write(&pull, "pull-down").unwrap();
            pause(Duration::from_millis(300));
        }
    });
    rig.until(NODE, |it| power(it) == "Off").await;
    drop(off);
    pressing.join().unwrap();
}
