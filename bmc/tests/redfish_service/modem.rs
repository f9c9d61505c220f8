//! Cellular modems: what they say, and what is told when they lose something.

use std::sync::{Arc, Mutex};

use onprem_bmc::sim::{
    modem::{Maker, Modem},
    serial::Pty,
};
use onprem_redfish::check;
use serde_json::{Value, json};

use crate::{
    client::{self, Blade, Client, LOOK},
    support::wait,
    tasks::end,
};

const CHASSIS: &str = "/redfish/v1/Chassis/blade";
const MODEM: &str = "/redfish/v1/Chassis/blade/NetworkAdapters/modem";
const RESTART: &str =
    "/redfish/v1/Chassis/blade/Actions/Oem/OnPremChassis.RestartModem";
const BOARD: &str = include_str!("../../boards/sim-cellular.toml");

/// What the modem says, once it `fits`; what the standard has no words for
/// stands among the rest.
async fn until(client: &Client, fits: impl Fn(&Value) -> bool) -> Value {
    let look = async || {
        let mut modem = client.get(MODEM).await.body;
        assert_eq!(check(&modem), []);
        let oem = modem["Oem"]["OnPrem"].take();
        let all = modem.as_object_mut().unwrap();
        all.extend(oem.as_object().unwrap().clone());
        modem
    };
    wait::until(MODEM, LOOK, look, fits).await
}

#[tokio::test]
async fn a_modem_says_how_it_is_and_what_it_loses_is_an_event() {
    let blade = Blade::with_board(|_| BOARD.to_owned()).await;
    let admin = blade.admin();
    let modem = until(&admin, |it| it["Registration"] == "Home").await;
    assert_eq!(modem["Manufacturer"], "Quectel");
    assert_eq!(modem["Model"], "EC25");
    assert_eq!(modem["IMEI"], "***********4567");
    assert_eq!(modem["SIMState"], "Ready");
    assert_eq!(modem["Operator"], "Testnet, North");
    assert_eq!(modem["SignalStrengthDBm"], -71);
    assert_eq!(modem["AccessPoints"], json!(["internet", "ims"]));
    assert_eq!(modem["Status"], json!({"State": "Enabled", "Health": "OK"}));
    let controller = &modem["Controllers"][0];
    assert!(controller["FirmwarePackageVersion"].is_string(), "{modem:#}");
    let adapters = admin.get(&format!("{CHASSIS}/NetworkAdapters")).await.body;
    let members = adapters["Members"].as_array().unwrap();
    let listed = members.iter().any(|it| it["@odata.id"] == MODEM);
    assert!(listed, "{adapters:#}");
    // Its radio is no port that the standard knows.
    let ports = admin.get(&format!("{MODEM}/Ports")).await;
    assert_eq!(ports.status, 404);
    let signal = format!("{CHASSIS}/Sensors/modem_Signal");
    let signal = admin.get(&signal).await.body;
    assert_eq!(check(&signal), []);
    assert_eq!(signal["Reading"].as_f64(), Some(-71.0));
    assert_eq!(signal["ReadingUnits"], "dB[mW]");

    let far = blade.agent.buses().part::<Modem>("modem").unwrap();
    {
        let mut far = far.lock().unwrap();
        (far.has_sim, far.registration) = (false, 2);
    }
    let modem = until(&admin, |it| it["Status"]["Health"] == "Critical").await;
    assert_eq!(modem["SIMState"], "Absent");
    assert_eq!(modem["Registration"], "Searching");
    let told = async |id: &str, sensor: &str| {
        let uri = "/redfish/v1/Managers/bmc/LogServices/EventLog/Entries";
        let fits = |entry: &Value| {
            let entry = entry.to_string();
            entry.contains(id) && entry.contains(sensor)
        };
        let told =
            |log: &Value| log["Members"].as_array().unwrap().iter().any(fits);
        client::until(&admin, uri, told).await;
    };
    for sensor in ["modem_Network", "modem_SIM"] {
        told("ReadingBelowLowerCriticalThreshold", sensor).await;
    }
    {
        let mut far = far.lock().unwrap();
        (far.has_sim, far.registration) = (true, 5);
    }
    until(&admin, |it| it["Registration"] == "Roaming").await;
    for sensor in ["modem_Network", "modem_SIM"] {
        told("SensorReadingNormalRange", sensor).await;
    }
}

#[tokio::test]
async fn a_modem_is_started_anew_by_those_who_may() {
    let blade = Blade::with_board(|_| BOARD.to_owned()).await;
    let admin = blade.admin();
    until(&admin, |it| it["Model"] == "EC25").await;
    let far = blade.agent.buses().part::<Modem>("modem").unwrap();
    let reply = admin.post(RESTART, &json!({})).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    assert_eq!(end(&admin, reply.header("location")).await.status, 200);
    assert_eq!(far.lock().unwrap().restarts, 1);
    let cut = json!({"Modem": "modem", "ResetType": "PowerCycle"});
    let reply = admin.post(RESTART, &cut).await;
    let gpio = blade.agent.buses().gpio("gpio").unwrap().clone();
    wait::seen("the power key", || gpio.is_high("GPIO26")).await;
    assert_eq!(end(&admin, reply.header("location")).await.status, 200);
    assert!(!gpio.is_high("GPIO26"));
    for (parameters, message) in [
        (json!({"Modem": "other"}), "ActionParameterValueNotInList"),
        (json!({"ResetType": "Kick"}), "ActionParameterValueNotInList"),
    ] {
        let reply = admin.post(RESTART, &parameters).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.messages(), [message]);
    }
    let reader = blade.account("reader", "ReadOnly").await;
    assert_eq!(reader.post(RESTART, &json!({})).await.status, 403);
}

#[tokio::test]
async fn a_modem_on_a_port_is_lost_and_found() {
    let far = Arc::new(Mutex::new(Modem::new(Maker::Thales)));
    let pty = Pty::serve(Box::new(Arc::clone(&far))).unwrap();
    let port = format!("serial = \"{}\"", pty.path());
    let blade = Blade::with_board(|_| {
        let board = BOARD.replace("serial = \"/dev/ttyUSB2\"", &port);
        let board = board.replacen("simulated = true", "", 1);
        board.replace(", maker = \"quectel\"", "")
    })
    .await;
    let admin = blade.admin();
    until(&admin, |it| it["Manufacturer"] == "Thales").await;
    far.lock().unwrap().silent = true;
    let modem = until(&admin, |it| it["Status"]["Health"] == "Critical").await;
    assert_eq!(modem.get("Model"), None);
    assert_eq!(modem["Registration"], "Unknown");
    *far.lock().unwrap() = Modem::new(Maker::Telit);
    until(&admin, |it| it["Manufacturer"] == "Telit").await;
}
