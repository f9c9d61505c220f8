//! Instruments: what they record is a resource, with its values to download.

use std::time::Duration;

use http::Method;
use onprem_bmc::sim::{
    bitscope_capture::{Scope, Trouble},
    serial::Pty,
};
use onprem_redfish::check;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    client::{Blade, Client, Reply},
    tasks::end,
};

const CHASSIS: &str = "/redfish/v1/Chassis/blade";
const CAPTURE: &str =
    "/redfish/v1/Chassis/blade/Actions/Oem/OnPremChassis.Capture";
const DATA: &str = "/redfish/v1/TelemetryService/TelemetryData";

async fn bench() -> Blade {
    Blade::with_board(|_| include_str!("../../boards/sim-capture.toml").into())
        .await
}

async fn capture(client: &Client, parameters: Value) -> Reply {
    let reply = client.post(CAPTURE, &parameters).await;
    assert_eq!(reply.status, 202, "{}", reply.body);
    end(client, reply.header("location")).await
}

/// The table that a CSV file is, without its head.
fn table(text: &Value) -> (String, Vec<Vec<f64>>) {
    let mut lines = text.as_str().unwrap().lines();
    let head = lines.next().unwrap().to_owned();
    let rows = lines.map(|line| {
        line.split(',').map(|number| number.parse().unwrap()).collect()
    });
    (head, rows.collect())
}

#[tokio::test]
async fn a_capture_is_a_task_a_resource_and_files() {
    let blade = bench().await;
    let admin = blade.admin();
    let chassis = admin.get(CHASSIS).await.body;
    assert_eq!(check(&chassis), []);
    let instrument = &chassis["Oem"]["OnPrem"]["Instruments"][0];
    assert_eq!(instrument["Id"], "scope");
    assert_eq!(instrument["Health"], "OK");
    let action = &chassis["Actions"]["Oem"]["#OnPremChassis.Capture"];
    assert_eq!(action["target"], CAPTURE);
    let info = action["@Redfish.ActionInfo"].as_str().unwrap();
    let info = admin.get(info).await.body;
    assert_eq!(info["Parameters"].as_array().unwrap().len(), 22);

    let done = capture(
        &admin,
        json!({"Channels": ["A", "B", "L0", "L3"], "SampleRateHz": 100_000,
            "Samples": 1000, "PreTriggerSamples": 250, "RangeVolts": 5.2,
            "TriggerSource": "A", "TriggerLevelVolts": 1.0,
            "GeneratorFunction": "Square", "GeneratorFrequencyHz": 500,
            "GeneratorLevelVolts": 1.0}),
    )
    .await;
    assert_eq!(done.status, 201, "{}", done.body);
    let uri = done.header("location").to_owned();
    let made = admin.get(&uri).await.body;
    assert_eq!(check(&made), []);
    assert_eq!(made["Name"], "Capture of A, B, L0, L3");
    let about = &made["Oem"]["OnPrem"]["Capture"];
    assert_eq!(about["TraceMode"], "MixedChop");
    assert_eq!(about["Series"], json!(["A", "B", "L0", "L3"]));
    assert_eq!(
        (&about["Values"], &about["TriggerValue"]),
        (&1000.into(), &250.into())
    );
    assert_eq!(about["Triggered"], true);

    let csv = about["CSVDataURI"].as_str().unwrap();
    let text = admin.get(csv).await;
    assert_eq!(text.header("content-type"), "text/csv");
    let length = text.body.as_str().unwrap().len();
    assert_eq!(about["CSVDataSizeBytes"], length);
    let (head, rows) = table(&text.body);
    assert_eq!(head, "seconds,A (V),B (V),L0,L3");
    assert_eq!(rows.len(), 1000);
    assert!((rows[0][0] + 0.0025).abs() < 1e-9);
    assert!(rows[247][1] < 1.0 && rows[253][1] > 1.0);
    let high = rows.iter().filter(|row| row[2] > 2.0).count();
    assert!((480..=520).contains(&high), "{high}");
    // The lowest bit of the counter changes each 100 µs.
    let changes =
        rows.windows(2).filter(|two| (two[0][3] - two[1][3]).abs() > 0.5);
    assert!((98..=101).contains(&changes.count()));

    let session = made["AdditionalDataURI"].as_str().unwrap();
    let bytes = admin.send(Method::HEAD, session, "").await;
    assert_eq!(bytes.header("content-type"), "application/octet-stream");
    let length: i64 = bytes.header("content-length").parse().unwrap();
    assert_eq!(made["AdditionalDataSizeBytes"], length);

    let blade = blade.restarted().await;
    let admin = blade.admin();
    assert_eq!(admin.get(csv).await.body, text.body);
    let reader = blade.account("reader", "ReadOnly").await;
    assert_eq!(reader.get(csv).await.status, 200);
    assert_eq!(reader.delete(&uri).await.status, 403);
    assert_eq!(reader.post(CAPTURE, &json!({})).await.status, 403);
    assert_eq!(blade.stranger().get(csv).await.status, 401);
    assert_eq!(admin.delete(csv).await.status, 405);
    assert_eq!(admin.delete(&uri).await.status, 204);
    assert_eq!(admin.get(csv).await.status, 404);
    assert_eq!(admin.get(DATA).await.body["Members@odata.count"], 0);
    let left = std::fs::read_dir(blade.state.path().join("captures"));
    assert_eq!(left.unwrap().count(), 1, "the index alone");
}

#[tokio::test]
async fn parameters_are_refused_before_there_is_a_task() {
    let blade = bench().await;
    let admin = blade.admin();
    for (parameters, pointer, said) in [
        (
            json!({"Channels": ["C"]}),
            "/Channels",
            "Channels is C: name some of A, B and L0 to L7.",
        ),
        (
            json!({"SampleRateHz": 50e6}),
            "/SampleRateHz",
            "8000000 to 20000000 in mode AnalogShot; the nearest is 20000000.",
        ),
        (
            json!({"Samples": 20000}),
            "/Samples",
            "Samples is 20000: mode Analog has 1 to 12288.",
        ),
        (
            json!({"RangeVolts": 3}),
            "/RangeVolts",
            "RangeVolts is 3: one of 1.1, 3.5, 5.2, 11.",
        ),
        (
            json!({"Instrument": "other"}),
            "/Instrument",
            "Instrument is other: one of scope.",
        ),
        (
            json!({"TriggerSource": "A", "TriggerTimeoutSeconds": 61}),
            "/TriggerTimeoutSeconds",
            "TriggerTimeoutSeconds is 61: 0 to 60.",
        ),
        (
            json!({"TriggerSource": "A", "TriggerLevelVolts": 6}),
            "/TriggerLevelVolts",
            "TriggerLevelVolts is 6: -5.5 to 5.5 in this range.",
        ),
        (
            json!({"GeneratorFunction": "Sine", "GeneratorLevelVolts": 5}),
            "/GeneratorLevelVolts",
            "GeneratorLevelVolts is 5: more than 0 and up to 3.33.",
        ),
        (
            json!({"TriggerLevelVolts": 1}),
            "",
            "TriggerLevelVolts has no meaning without TriggerSource.",
        ),
    ] {
        let reply = admin.post(CAPTURE, &parameters).await;
        assert_eq!(reply.status, 400, "{parameters}: {}", reply.body);
        let info = &reply.body["error"]["@Message.ExtendedInfo"][0];
        let advice = info["Resolution"].as_str().unwrap();
        assert!(advice.ends_with(said), "{advice}");
        if !pointer.is_empty() {
            assert_eq!(info["RelatedProperties"][0], format!("#{pointer}"));
        }
    }
    for (parameters, message) in [
        (json!({"DumpMode": "Loud"}), "ActionParameterValueNotInList"),
        (json!({"Volume": 11}), "ActionParameterUnknown"),
        (json!({"Samples": "many"}), "ActionParameterValueTypeError"),
        (json!({"Samples": -1}), "ActionParameterValueOutOfRange"),
        (
            json!({"TriggerSource": "Logic", "TriggerPattern": "2"}),
            "ActionParameterValueFormatError",
        ),
        (json!({"TriggerSource": "Logic"}), "ActionParameterMissing"),
    ] {
        let reply = admin.post(CAPTURE, &parameters).await;
        assert_eq!(reply.status, 400, "{parameters}");
        assert_eq!(reply.messages(), [message], "{parameters}");
    }
    assert_eq!(admin.get(DATA).await.body["Members@odata.count"], 0);
    let other = Blade::simulated().await;
    let reply = other.admin().post(CAPTURE, &json!({})).await;
    assert_eq!(reply.messages(), ["ActionNotSupported"]);
}

#[tokio::test]
async fn a_capture_without_a_trigger_fails_and_another_can_be_cancelled() {
    let blade = bench().await;
    let admin = blade.admin();
    let never = json!({"TriggerSource": "A", "TriggerLevelVolts": 5,
        "TriggerTimeoutSeconds": 0.1});
    let done = capture(&admin, never).await;
    assert_eq!(done.status, 504);
    assert_eq!(done.messages(), ["OperationTimeout"]);
    let text = done.body.to_string();
    assert!(text.contains("there was no trigger within 0.1 s"), "{text}");

    let long = json!({"TriggerSource": "A", "TriggerLevelVolts": 5,
        "TriggerTimeoutSeconds": 60});
    let reply = admin.post(CAPTURE, &long).await;
    let monitor = reply.header("location").to_owned();
    // Nobody else has the instrument meanwhile.
    let busy = async {
        loop {
            let second = capture(&admin, json!({})).await;
            if second.status == 503 {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), busy).await.expect("busy");
    assert_eq!(admin.delete(&monitor).await.status, 204);
    let free = async {
        while capture(&admin, json!({})).await.status != 201 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), free).await.expect("free again");
}

#[tokio::test]
async fn an_instrument_on_a_port_fails_and_comes_back() {
    let scope = std::sync::Arc::new(std::sync::Mutex::new(Scope::default()));
    let far = std::sync::Arc::clone(&scope);
    let pty = Pty::serve(Box::new(far)).unwrap();
    let board = include_str!("../../boards/sim-capture.toml");
    let (board, _) = board.split_once("[part.options.inputs]").unwrap();
    let port = format!("serial = \"{}\"", pty.path());
    let blade = Blade::with_board(|_| {
        board
            .replace("serial = \"/dev/ttyUSB0\"", &port)
            .replace("simulated = true", "")
    })
    .await;
    let admin = blade.admin();
    assert!(blade.agent.buses().part::<Scope>("scope").is_none());
    let until = |state: &'static str| {
        let admin = admin.clone();
        async move {
            let sensor = format!("{CHASSIS}/Sensors/scope_A");
            let looking = async {
                while admin.get(&sensor).await.body["Status"]["State"] != state
                {
                    sleep(Duration::from_millis(100)).await;
                }
            };
            timeout(Duration::from_secs(30), looking).await.expect(state);
        }
    };
    until("Enabled").await;
    scope.lock().unwrap().trouble = Some(Trouble::ShortDump(1));
    let done = capture(&admin, json!({})).await;
    assert_eq!(done.status, 500);
    let text = done.body.to_string();
    assert!(text.contains("999 bytes of 1000 came"), "{text}");
    until("UnavailableOffline").await;
    let chassis = admin.get(CHASSIS).await.body;
    let instrument = &chassis["Oem"]["OnPrem"]["Instruments"][0];
    assert_eq!(instrument["Health"], "Critical");
    scope.lock().unwrap().trouble = None;
    assert_eq!(capture(&admin, json!({})).await.status, 201);
    until("Enabled").await;
}
