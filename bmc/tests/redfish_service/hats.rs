//! HATs on a Pi: a fan that follows the processor, a button, and a battery
//! that the system is shut down for.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use onprem_bmc::sim::{argon::Argon, i2c::SimulatedI2c, sixfab_ups::SixfabUps};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::client::{Blade, Client, refused, until};

const CHASSIS: &str = "/redfish/v1/Chassis/blade";
const NODE: &str = "/redfish/v1/Systems/node";

/// The board that ships, with a little changed.
async fn hats(change: impl FnOnce(String) -> String) -> Blade {
    let board = include_str!("../../boards/sim-hats.toml").to_owned();
    Blade::with_board(|_| change(board)).await
}

fn bus(of: &Blade) -> SimulatedI2c {
    of.agent.buses().i2c("i2c-1").unwrap().clone()
}

/// Puts a HAT on the bus that the test can look into.
fn ups(of: &Blade) -> Arc<Mutex<SixfabUps>> {
    let part = Arc::new(Mutex::new(SixfabUps::default()));
    bus(of).attach(0x41, Arc::clone(&part));
    part
}

fn at(path: &str) -> String {
    format!("{CHASSIS}/{path}")
}

#[tokio::test]
async fn a_ups_is_a_supply_a_battery_and_a_fan() {
    let blade = hats(|board| board).await;
    let admin = blade.admin();
    let supply = "PowerSubsystem/PowerSupplies/ups_Input";
    let firmware = |it: &Value| it["FirmwareVersion"] == "v1.02.03";
    let supply = until(&admin, &at(supply), firmware).await;
    assert_eq!(supply["LineInputStatus"], "Normal");
    assert_eq!(supply["Manufacturer"], "Sixfab");
    let battery = at("PowerSubsystem/Batteries/ups_Battery");
    let it = admin.get(&battery).await.body;
    let health = &it["StateOfHealthPercent"]["Reading"];
    assert_eq!(health.as_f64(), Some(97.0), "{it:#}");
    let metrics = admin.get(&format!("{battery}/Metrics")).await.body;
    let reading = |value: &Value| value["Reading"].as_f64();
    assert_eq!(reading(&metrics["ChargePercent"]), Some(90.0));
    assert_eq!(reading(&metrics["InputVoltage"]), Some(5.1));
    assert_eq!(reading(&metrics["OutputVoltages"][0]), Some(4.1));
    assert_eq!(reading(&metrics["TemperatureCelsius"]), Some(28.4));

    let hat = ups(&blade);
    hat.lock().unwrap().mains = false;
    let current = at("Sensors/ups_Battery_Current");
    until(&admin, &current, |it| it["Reading"].as_f64() == Some(-0.95)).await;
    let fan = at("Controls/ups_Fan");
    for (percent, mode) in [(100, 1), (0, 2)] {
        let body = json!({"ControlMode": "Manual", "SetPoint": percent});
        let set = admin.patch(&fan, &body).await;
        assert_eq!(set.status, 200, "{}", set.body);
        assert_eq!(hat.lock().unwrap().fan_mode, mode);
    }
    admin.patch(&fan, &json!({"ControlMode": "Automatic"})).await;
    assert_eq!(hat.lock().unwrap().fan_mode, 3);
    hat.lock().unwrap().fan_broken = true;
    let fan = at("ThermalSubsystem/Fans/ups_Fan");
    until(&admin, &fan, |it| it["Status"]["Health"] == "Critical").await;
}

#[tokio::test]
async fn a_cut_of_the_mains_is_told_and_ends_in_an_orderly_shutdown() {
    let blade =
        hats(|board| board.replace("shutdown_after_seconds = 120, ", "")).await;
    let admin = blade.admin();
    let hat = ups(&blade);
    hat.lock().unwrap().mains = false;
    let supply = at("PowerSubsystem/PowerSupplies/ups_Input");
    let lost =
        until(&admin, &supply, |it| it["LineInputStatus"] == "LossOfInput")
            .await;
    assert_eq!(lost["Status"]["Health"], "Warning");
    let chassis = admin.get(CHASSIS).await.body;
    assert_eq!(chassis["Status"]["Health"], "Warning");
    let origin = |it: &Value, message: &str| {
        let mut entries = it["Members"].as_array().unwrap().iter();
        entries.any(|entry| {
            entry["Links"]["OriginOfCondition"]["@odata.id"] == *supply
                && entry["MessageId"].as_str().unwrap().ends_with(message)
        })
    };
    let events = entries(&admin, "Event").await;
    let warned = "ResourceStatusChangedWarning";
    assert!(origin(&events, warned), "{events:#}");
    // There is charge enough: nothing happens to the system.
    let power = |it: &Value| it["PowerState"].as_str().unwrap().to_owned();
    assert_eq!(power(&admin.get(NODE).await.body), "On");
    assert!(!hat.lock().unwrap().off);

    hat.lock().unwrap().level = 24.0;
    until(&admin, NODE, |it| power(it) == "PoweringOff").await;
    assert!(!hat.lock().unwrap().off, "the power is cut last");
    until(&admin, NODE, |it| power(it) == "Off").await;
    let cut = async {
        while !hat.lock().unwrap().off {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), cut).await.expect("soft off");
    // Who has no power measures none.
    for id in ["System_Voltage", "System_Current", "Battery_Current"] {
        let sensor = at(&format!("Sensors/ups_{id}"));
        until(&admin, &sensor, |it| it["Reading"].as_f64() == Some(0.0)).await;
    }
    // Why it is off is told where one looks.
    let system = admin.get(NODE).await.body;
    assert_eq!(system["Status"]["Health"], "Warning", "{system:#}");
    let why = system["Status"]["Conditions"].to_string();
    assert!(why.contains("on battery with 24 %"), "{why}");
    // The mains first, then the system.
    let log = entries(&admin, "SEL").await.to_string();
    for said in ["Power Supply / Converter", "Transition to Power Off"] {
        assert!(log.contains(said), "{said}: {log}");
    }

    hat.lock().unwrap().level = 90.0;
    hat.lock().unwrap().mains = true;
    let back = |it: &Value| it["LineInputStatus"] == "Normal";
    let back = until(&admin, &supply, back).await;
    assert_eq!(back["Status"]["Health"], "OK");
    // What went for lack of mains is back with them.
    let well = |it: &Value| power(it) == "On" && it["Status"]["Health"] == "OK";
    until(&admin, NODE, well).await;
    let fed = |it: &Value| it["Reading"].as_f64() == Some(5.08);
    until(&admin, &at("Sensors/ups_System_Voltage"), fed).await;
}

/// The log `id`, wherever it is.
async fn entries(admin: &Client, id: &str) -> Value {
    for of in ["/redfish/v1/Managers/bmc", NODE] {
        let services = admin.get(&format!("{of}/LogServices")).await.body;
        for service in services["Members"].as_array().unwrap() {
            let uri = service["@odata.id"].as_str().unwrap();
            if uri.rsplit('/').next().unwrap().starts_with(id) {
                return admin.get(&format!("{uri}/Entries")).await.body;
            }
        }
    }
    panic!("no log `{id}`");
}

#[tokio::test]
async fn a_ups_that_is_lost_is_critical_until_it_is_back_and_watched_again() {
    let blade = hats(|board| board).await;
    let admin = blade.admin();
    let bus = bus(&blade);
    let hat = ups(&blade);
    bus.unplug(0x41);
    let sensor = at("Sensors/ups_Input_Voltage");
    let state =
        |word: &'static str| move |it: &Value| it["Status"]["State"] == word;
    let lost = until(&admin, &sensor, state("UnavailableOffline")).await;
    assert_eq!(lost["Status"]["Health"], "Critical");
    let reason = lost["Status"]["Conditions"].to_string();
    assert!(reason.contains("0x41 on i2c-1"), "{lost:#}");
    assert_eq!(hat.lock().unwrap().watchdog, None);
    bus.plug(0x41);
    until(&admin, &sensor, state("Enabled")).await;
    let watched = hat.lock().unwrap().clone();
    assert_eq!(watched.watchdog, Some(10));
    assert!(watched.fed > 0);
}

#[tokio::test]
async fn a_ups_is_not_left_watching_an_agent_that_ends() {
    let blade = hats(|board| board).await;
    let admin = blade.admin();
    let bus = bus(&blade);
    let hat = ups(&blade);
    bus.unplug(0x41);
    let sensor = at("Sensors/ups_Input_Voltage");
    let lost = |it: &Value| it["Status"]["State"] == "UnavailableOffline";
    until(&admin, &sensor, lost).await;
    bus.plug(0x41);
    until(&admin, &sensor, |it| it["Status"]["State"] == "Enabled").await;
    assert_eq!(hat.lock().unwrap().watchdog, Some(10));
    assert!(blade.agent.stop().await, "all tasks end");
    assert_eq!(hat.lock().unwrap().watchdog, None);
}

#[tokio::test]
async fn the_fan_of_a_case_follows_its_sensor_and_a_person() {
    let blade = hats(|board| board).await;
    let admin = blade.admin();
    let part = Arc::new(Mutex::new(Argon::new(true)));
    bus(&blade).attach(0x1a, Arc::clone(&part));
    let control = at("Controls/argon");
    let it = admin.get(&control).await.body;
    let watched = &it["AssociatedSensors"][0]["@odata.id"];
    assert_eq!(*watched, at("Sensors/CPU_Temperature"));
    let body = json!({"ControlMode": "Manual", "SetPoint": 70});
    assert_eq!(admin.patch(&control, &body).await.status, 200);
    let fan = at("ThermalSubsystem/Fans/argon");
    let at_70 =
        |it: &Value| it["SpeedPercent"]["Reading"].as_f64() == Some(70.);
    until(&admin, &fan, at_70).await;
    assert_eq!(part.lock().unwrap().duty, 70);
    // Nobody knows how warm it is: full speed, whatever somebody said.
    let sensor = blade.agent.simulation().unwrap().part("CPU_Temperature");
    sensor.unplug();
    let full =
        |it: &Value| it["SpeedPercent"]["Reading"].as_f64() == Some(100.0);
    until(&admin, &fan, full).await;
    assert_eq!(part.lock().unwrap().duty, 100);
    assert!(!part.lock().unwrap().cut);
}

/// Presses the button for so long.
async fn press(of: &Blade, millis: u64) {
    let lines = of.agent.buses().gpio("gpio").unwrap().clone();
    lines.pull("GPIO4", true);
    // The bounds of the pulses are ten milliseconds away.
    #[expect(clippy::disallowed_methods, reason = "a pulse has its length")]
    std::thread::sleep(Duration::from_millis(millis));
    lines.pull("GPIO4", false);
    sleep(Duration::from_millis(400)).await;
}

#[tokio::test]
async fn a_long_press_shuts_down_where_it_may_and_only_there() {
    let noted = hats(|it| it.replace("button = \"act\"", "button = \"log\""));
    let noted = noted.await;
    press(&noted, 45).await;
    let admin = noted.admin();
    assert_eq!(admin.get(NODE).await.body["PowerState"], "On");

    let acting = hats(|board| {
        board.replace("button = \"act\"", "button = \"act\", cuts_power = true")
    });
    let acting = acting.await;
    let part = Arc::new(Mutex::new(Argon::new(true)));
    bus(&acting).attach(0x1a, Arc::clone(&part));
    press(&acting, 45).await;
    let admin = acting.admin();
    until(&admin, NODE, |it| it["PowerState"] == "PoweringOff").await;
    assert!(!part.lock().unwrap().cut, "the power is cut last");
    until(&admin, NODE, |it| it["PowerState"] == "Off").await;
    let cut = async {
        while !part.lock().unwrap().cut {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), cut).await.expect("cut");
}

#[tokio::test]
async fn noise_on_the_line_of_the_button_is_no_press() {
    let acting = hats(|board| board).await;
    let admin = acting.admin();
    let lines = acting.agent.buses().gpio("gpio").unwrap().clone();
    // Each of them has the length of a shutdown, and none stands alone.
    for high in [true, false].into_iter().cycle().take(40) {
        lines.pull("GPIO4", high);
        sleep(Duration::from_millis(45)).await;
    }
    sleep(Duration::from_millis(600)).await;
    assert_eq!(admin.get(NODE).await.body["PowerState"], "On");
    // A machine that is busy makes a press longer than it was meant.
    for _ in 0..20 {
        press(&acting, 45).await;
        if admin.get(NODE).await.body["PowerState"] != "On" {
            return;
        }
    }
    panic!("a press is heard when the noise is over");
}

#[tokio::test]
async fn what_a_hat_cannot_be_told_is_told_with_the_value() {
    for (from, to, said) in [
        ("firmware = \"registers\", ", "", "say `firmware`: \"legacy\""),
        ("below_percent = 25", "below_percent = 250", "is 250, not 0 to 100"),
        ("minutes = 10", "minutes = 3", "is 3, not 4 to 180"),
    ] {
        let board = include_str!("../../boards/sim-hats.toml");
        assert!(board.contains(from), "{from}");
        let error = refused(&board.replace(from, to)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn a_ups_keeps_the_schedule_and_what_it_wants_is_done() {
    let blade = hats(|board| board).await;
    let admin = blade.admin();
    let chassis = admin.get(CHASSIS).await.body;
    let expected = json!([{
        "Id": "1", "KeptBy": "UPS", "ResetType": "GracefulShutdown",
        "TimeOfDay": "22:30:00Z", "EnabledDaysOfWeek": ["Friday"],
    }, {
        "Id": "2", "KeptBy": "UPS", "ResetType": "On",
        "TimeOfDay": "05:00:00Z", "EnabledDaysOfWeek": ["Monday"],
    }]);
    assert_eq!(chassis["Oem"]["OnPrem"]["PowerSchedules"], expected);
    // A HAT that is put on later, with something else in mind.
    bus(&blade).unplug(0x41);
    let sensor = at("Sensors/ups_Battery_Charge");
    until(&admin, &sensor, |it| it["Status"]["Health"] == "Critical").await;
    let hat = ups(&blade);
    hat.lock().unwrap().schedule.insert(7, [1; 9]);
    bus(&blade).plug(0x41);
    until(&admin, &sensor, |it| it["Status"]["Health"] == "OK").await;
    {
        let hat = hat.lock().unwrap();
        let events: Vec<_> = hat.schedule.iter().collect();
        let off = [1, 2, 0, 1, 60, 104, 1, 16, 3];
        let on = [1, 2, 0, 0, 70, 80, 1, 1, 1];
        assert_eq!(events, [(&1, &off), (&2, &on)]);
        assert_eq!(hat.safe_level, Some(25));
        let now = chrono::Utc::now().timestamp();
        let clock = i64::from(hat.clock.expect("the clock is set"));
        assert!((clock - now).abs() < 60, "{clock} is not {now}");
    }
    // Its schedule says that the system goes down: it is told when it is.
    hat.lock().unwrap().wants = Some(13);
    until(&admin, NODE, |it| it["PowerState"] == "PoweringOff").await;
    assert!(hat.lock().unwrap().confirmed.is_empty());
    let told = async {
        while hat.lock().unwrap().confirmed != [13] {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), told).await.expect("it is told");
    until(&admin, NODE, |it| it["PowerState"] == "Off").await;
}

#[tokio::test]
async fn a_schedule_that_nobody_named_is_told() {
    let blade = hats(|board| {
        let at = board.find(", schedule = [").unwrap();
        let end = at + board[at..].find(']').unwrap() + 1;
        // The days stand in brackets as well.
        let end = end + board[end..].find("\n] }").unwrap() + 2;
        format!("{}{}", &board[..at], &board[end..])
    })
    .await;
    let admin = blade.admin();
    let sensor = at("Sensors/ups_Battery_Charge");
    until(&admin, &sensor, |it| it["Status"]["Health"] == "OK").await;
    bus(&blade).unplug(0x41);
    until(&admin, &sensor, |it| it["Status"]["Health"] == "Critical").await;
    let hat = ups(&blade);
    hat.lock().unwrap().schedule.insert(3, [1; 9]);
    bus(&blade).plug(0x41);
    let told = |it: &Value| {
        let said = it["Status"]["Conditions"].to_string();
        said.contains("no board file names, 0b100")
    };
    let chassis = until(&admin, CHASSIS, told).await;
    assert_eq!(chassis["Oem"]["OnPrem"]["PowerSchedules"], Value::Null);
    assert_eq!(hat.lock().unwrap().schedule.len(), 1, "it is left alone");
}

#[tokio::test]
async fn a_schedule_that_no_ups_can_keep_is_refused() {
    let board = include_str!("../../boards/sim-hats.toml");
    for (from, to, said) in [
        (
            "\"On\"",
            "\"PowerCycle\"",
            "no action `PowerCycle`, but On, ForceOff",
        ),
        ("22:30", "24:30", "`at` is `24:30`"),
        ("[\"Fri\"]", "[]", "`days` is empty"),
        ("[\"Fri\"]", "[\"Freitag\"]", "`days` has `Freitag`"),
    ] {
        let error = refused(&board.replace(from, to)).await;
        assert!(error.contains(said), "{said}: {error}");
    }
}
