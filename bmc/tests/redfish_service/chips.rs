//! Chips on a simulated bus: what they measure, where that is shown, and what
//! becomes of it when a chip, or the whole bus, is in trouble.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onprem_bmc::sim::{
    i2c::SimulatedI2c, ina219::ina219, pcf8563::Pcf8563, registers::Registers,
    ssd1306::Ssd1306,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::client::{Blade, refused, until};

const CHASSIS: &str = "/redfish/v1/Chassis/blade";

fn board() -> String {
    include_str!("../../boards/sim-parts.toml").to_owned()
}

async fn parts() -> Blade {
    Blade::with_board(|_| board()).await
}

fn bus(of: &Blade) -> SimulatedI2c {
    of.agent.buses().i2c("i2c-1").unwrap().clone()
}

fn at(path: &str) -> String {
    format!("{CHASSIS}/{path}")
}

/// Whether the sensor says something that can be believed.
fn enabled(it: &Value) -> bool {
    it["Status"]["State"] == "Enabled"
}

#[tokio::test]
async fn chips_are_sensors_with_their_units() {
    let blade = parts().await;
    let admin = blade.admin();
    for (id, value, unit) in [
        ("psu-temp", 31.5, "Cel"),
        ("input_Voltage", 5.1, "V"),
        ("input_Current", 0.8, "A"),
        ("input_Power", 4.08, "W"),
        ("disk_Voltage", 12.0, "V"),
        ("disk_Current", 1.5, "A"),
        ("disk_Power", 18.0, "W"),
        ("rails_5V_Voltage", 5.096, "V"),
        ("rails_5V_Current", 0.6, "A"),
        ("rails_3V3_Power", 0.6592, "W"),
        ("adc_Reference", 3.3, "V"),
        ("adc_Coolant", 22.0, "Cel"),
        ("adc_Bridge", 0.01, "V"),
        ("adc12_Level", 36.0, "%"),
        ("display_Lit", 100.0, "%"),
    ] {
        let uri = at(&format!("Sensors/{id}"));
        let it = until(&admin, &uri, enabled).await;
        let got = it["Reading"].as_f64().unwrap();
        assert!((got - value).abs() < 0.02, "{id} is {got}, not {value}");
        assert_eq!(it["ReadingUnits"], unit, "{id}");
        assert_eq!(it["Status"]["Health"], "OK", "{id}");
    }
    assert_eq!(admin.get(&at("Sensors/rails_3_Voltage")).await.status, 404);
    let supply = at("PowerSubsystem/PowerSupplies/input");
    assert_eq!(admin.get(&supply).await.body["Name"], "Input");
    let metrics = admin.get(&format!("{supply}/Metrics")).await.body;
    let of = |name: &str| metrics[name]["Reading"].as_f64();
    assert_eq!(of("InputVoltage"), Some(5.1), "{metrics:#}");
    let whole = admin.get(&at("EnvironmentMetrics")).await.body;
    assert_eq!(whole["PowerWatts"]["Reading"].as_f64(), Some(4.08));
    let sensor = admin.get(&at("Sensors/input_Voltage")).await.body;
    let limit = &sensor["Thresholds"]["LowerCritical"]["Reading"];
    assert_eq!(limit.as_f64(), Some(4.63));
    assert_eq!(sensor["Description"], "Source: ina219 0x40 on i2c-1");
}

#[tokio::test]
async fn a_chip_that_somebody_else_set_says_so_and_is_mended() {
    let blade = parts().await;
    let admin = blade.admin();
    let part: Arc<Mutex<Registers>> = Arc::new(Mutex::new(ina219()));
    bus(&blade).attach(0x40, Arc::clone(&part));
    let sensor = at("Sensors/input_Current");
    until(&admin, &sensor, enabled).await;
    let set = async {
        while part.lock().unwrap().get(0) != 0x3eef {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), set).await.expect("set up");
    until(&admin, &sensor, enabled).await;
    part.lock().unwrap().set(0, 0x019f);
    let lost = until(&admin, &sensor, |it| !enabled(it)).await;
    let why = lost["Status"]["Conditions"][0]["Message"].to_string();
    assert!(why.contains("was 0x019f, not 0x3eef"), "{lost:#}");
    until(&admin, &sensor, enabled).await;
    assert_eq!(part.lock().unwrap().get(0), 0x3eef);
    // What is beyond the chip is no number.
    part.lock().unwrap().set(1, 0x7d00);
    let lost = until(&admin, &sensor, |it| !enabled(it)).await;
    let why = lost["Status"]["Conditions"][0]["Message"].to_string();
    assert!(why.contains("register 0x01 at 0x40"), "{lost:#}");
    let volts = admin.get(&at("Sensors/input_Voltage")).await.body;
    assert!(enabled(&volts), "the voltage is still known");
}

#[tokio::test]
async fn chips_that_leave_and_a_bus_that_is_stuck_are_critical_until_they_mend()
{
    let blade = parts().await;
    let (admin, bus) = (blade.admin(), bus(&blade));
    let sensors = ["psu-temp", "disk_Power", "adc_Bridge", "rtc_Offset"];
    let uris = sensors.map(|id| at(&format!("Sensors/{id}")));
    for uri in &uris {
        until(&admin, uri, enabled).await;
    }
    for address in [0x4f, 0x44, 0x48, 0x51] {
        bus.unplug(address);
    }
    let offline = |it: &Value| it["Status"]["State"] == "UnavailableOffline";
    for (uri, place) in uris.iter().zip(["0x4f", "0x44", "0x48", "0x51"]) {
        let lost = until(&admin, uri, offline).await;
        assert_eq!(lost["Status"]["Health"], "Critical");
        let why = lost["Status"]["Conditions"].to_string();
        assert!(why.contains(&format!("{place} on i2c-1")), "{lost:#}");
    }
    for address in [0x4f, 0x44, 0x48, 0x51] {
        bus.plug(address);
    }
    for uri in &uris {
        until(&admin, uri, enabled).await;
    }
    // Nobody waits for a bus whose clock is low.
    bus.stick(true);
    until(&admin, &uris[0], |it| !enabled(it)).await;
    timeout(Duration::from_secs(2), admin.get(&uris[1])).await.unwrap();
    bus.stick(false);
    for uri in &uris {
        until(&admin, uri, enabled).await;
    }
}

#[tokio::test]
async fn a_clock_without_its_time_is_set_when_a_person_has_set_the_agents() {
    let clock = onprem_bmc::clock::Clock::new(|_| Ok(()));
    let blade = Blade::with_clock_and_board(clock, &board()).await;
    let admin = blade.admin();
    let part = Arc::new(Mutex::new(Pcf8563::empty()));
    bus(&blade).attach(0x51, Arc::clone(&part));
    let sensor = at("Sensors/rtc_Offset");
    let lost = until(&admin, &sensor, |it| {
        it["Status"]["Conditions"].to_string().contains("time is lost")
    });
    let lost = lost.await;
    assert_eq!(lost["Status"]["Health"], "Critical");
    let manager = "/redfish/v1/Managers/bmc";
    let now = chrono::Utc::now().to_rfc3339();
    let set = admin.patch(manager, &json!({"DateTime": now})).await;
    assert!(set.status.is_success(), "{}", set.body);
    let it = until(&admin, &sensor, enabled).await;
    assert!(it["Reading"].as_f64().unwrap().abs() < 3.0, "{it:#}");
    assert_eq!(it["ReadingUnits"], "s");
}

#[tokio::test]
async fn a_display_says_how_the_device_is_and_is_dark_afterwards() {
    let blade = parts().await;
    let part = Arc::new(Mutex::new(Ssd1306::default()));
    bus(&blade).attach(0x3c, Arc::clone(&part));
    let reads = async {
        loop {
            let text = part.lock().unwrap().text();
            if text[2] == "OK  on" && text[3].ends_with("4.1 W") {
                return text;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let text = timeout(Duration::from_secs(30), reads).await.unwrap();
    assert_eq!(text[0], "parts");
    assert!(text[1].starts_with("192.168.241."), "{text:?}");
    bus(&blade).unplug(0x44);
    let worries = async {
        while !part.lock().unwrap().text()[4].starts_with("! Disk Rail") {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(30), worries).await.unwrap();
    assert_eq!(part.lock().unwrap().text()[2], "CRITICAL  on");
    assert!(part.lock().unwrap().lit);
    assert!(blade.agent.stop().await);
    assert!(!part.lock().unwrap().lit);
}

#[tokio::test]
async fn what_a_chip_cannot_be_told_is_told_with_the_value() {
    for (from, to, said) in [
        ("shunt_ohms = 0.01,", "shunt_ohms = 0,", "`shunt_ohms` is 0, not"),
        ("shunt_ohms = 0.01, ", "", "missing field `shunt_ohms`"),
        (
            "variant = \"tmp75\"",
            "variant = \"tmp76\"",
            "unknown variant `tmp76`",
        ),
        ("rails.2", "rails.4", "`4` is no rail: 1 to 3"),
        ("feeds = true", "feed = true", "unknown field `feed`"),
        ("\n2-3 = ", "\n2-1 = ", "channel `2-1`: there are 0-1, 0-3"),
        ("0.256 }", "0.25 }", "`full_scale_volts` is 0.25, not 6.144"),
        (", scale = 30", "", "channel `3`: say `scale`"),
        ("lines = 64", "lines = 48", "`lines` is 48, not 64 or 32"),
        ("address = 0x49", "address = 0x48", "another part is at 0x48"),
    ] {
        let board = board();
        assert!(board.contains(from), "{from}");
        let error = refused(&board.replacen(from, to, 1)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}
