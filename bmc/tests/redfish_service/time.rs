//! The clock: told to all, set by nobody without permission.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use onprem_bmc::clock::Clock;
use serde_json::json;
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

use crate::client::Blade;

const MANAGER: &str = "/redfish/v1/Managers/bmc";
const PROTOCOL: &str = "/redfish/v1/Managers/bmc/NetworkProtocol";

#[tokio::test]
async fn the_clock_is_not_set_without_permission() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let told = admin.get(MANAGER).await.body;
    let time = told["DateTime"].as_str().unwrap();
    let time = DateTime::parse_from_rfc3339(time).unwrap();
    assert!((time.to_utc() - Utc::now()).abs() < TimeDelta::seconds(5));
    let offset = told["DateTimeLocalOffset"].as_str().unwrap();
    assert_eq!(time.format("%:z").to_string(), offset);
    for (wrong, status, message) in [
        (json!("2030-01-01T00:00:00Z"), 403, "ServiceDisabled"),
        (json!("2030-01-01T00:00:00"), 400, "PropertyValueFormatError"),
        (json!("2030-02-30T00:00:00Z"), 400, "PropertyValueFormatError"),
        (json!("now"), 400, "PropertyValueFormatError"),
        (json!(1_900_000_000), 400, "PropertyValueTypeError"),
        (json!("1999-01-01T00:00:00Z"), 400, "PropertyValueOutOfRange"),
        (json!("9999-01-01T00:00:00Z"), 400, "PropertyValueOutOfRange"),
    ] {
        let reply = admin.patch(MANAGER, &json!({"DateTime": wrong})).await;
        assert_eq!(reply.status, status, "{wrong}: {}", reply.body);
        assert_eq!(reply.messages(), [message], "{wrong}");
    }
    let set = json!({"DateTime": "2030-01-01T00:00:00Z"});
    let refused = admin.patch(MANAGER, &set).await.body;
    let info = &refused["error"]["@Message.ExtendedInfo"][0];
    let advice = info["Resolution"].as_str().unwrap();
    assert!(advice.contains("allow_set_clock"), "{advice}");
    assert!(Utc::now() - time.to_utc() < TimeDelta::minutes(5));
    let operator = blade.account("olga", "Operator").await;
    let refused = operator.patch(MANAGER, &set).await;
    assert_eq!(refused.messages(), ["InsufficientPrivilege"]);
}

#[tokio::test]
async fn time_servers_are_kept_but_not_asked_without_permission() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let set = json!({"NTP": {"NTPServers": ["192.0.2.1", "ntp.example"]}});
    assert_eq!(admin.patch(PROTOCOL, &set).await.status, 200);
    let ask = json!({"NTP": {"ProtocolEnabled": true}});
    let refused = admin.patch(PROTOCOL, &ask).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(refused.messages(), ["ServiceDisabled"]);
    let not = json!({"NTP": {"ProtocolEnabled": false}});
    assert_eq!(admin.patch(PROTOCOL, &not).await.status, 200);
    let blade = blade.restarted().await;
    let now = blade.admin().get(PROTOCOL).await.body;
    assert_eq!(now["NTP"]["ProtocolEnabled"], false);
    assert_eq!(now["NTP"]["NTPServers"], set["NTP"]["NTPServers"]);
    assert_eq!(now["NTP"]["Port"], 123);
}

/// What a clock was set to.
type Sets = Arc<Mutex<Vec<DateTime<Utc>>>>;

/// A clock that is none: it notes what it is set to.
fn noting() -> (Clock, Sets) {
    let sets = Sets::default();
    let noted = Arc::clone(&sets);
    let clock = Clock::new(move |to| {
        noted.lock().unwrap().push(to);
        Ok(())
    });
    (clock, sets)
}

#[tokio::test]
async fn the_clock_is_set_where_that_is_allowed() {
    let (clock, sets) = noting();
    let blade = Blade::with_clock(clock).await;
    let admin = blade.admin();
    for wrong in ["2030-02-30T00:00:00Z", "1999-01-01T00:00:00Z"] {
        let told = admin.patch(MANAGER, &json!({"DateTime": wrong})).await;
        assert_eq!(told.status, 400, "{wrong}: {}", told.body);
    }
    assert!(sets.lock().unwrap().is_empty(), "nothing was set");
    let noon = json!({"DateTime": "2030-01-01T12:00:00+02:00"});
    let operator = blade.account("olga", "Operator").await;
    assert_eq!(operator.patch(MANAGER, &noon).await.status, 403);
    let set = admin.patch(MANAGER, &noon).await;
    assert_eq!(set.status, 200, "{}", set.body);
    let expected = "2030-01-01T10:00:00Z".parse::<DateTime<Utc>>().unwrap();
    assert_eq!(*sets.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn a_kernel_that_refuses_is_told_with_what_it_wants() {
    let kernel = |_| Err(io::ErrorKind::PermissionDenied.into());
    let blade = Blade::with_clock(Clock::new(kernel)).await;
    let set = json!({"DateTime": "2030-01-01T00:00:00Z"});
    let refused = blade.admin().patch(MANAGER, &set).await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(refused.messages(), ["ServiceDisabled"]);
    assert!(refused.body.to_string().contains("CAP_SYS_TIME"));
}

/// Answers those who ask for the time with that in `ahead`, and notes it.
async fn time_server(server: &UdpSocket, ahead: TimeDelta, asked: &Mutex<u32>) {
    let mut question = [0; 100];
    loop {
        let (_, from) = server.recv_from(&mut question).await.unwrap();
        let now = Utc::now() + ahead;
        let seconds = u64::try_from(now.timestamp() + 2_208_988_800).unwrap();
        let part =
            (u64::from(now.timestamp_subsec_nanos()) << 32) / 1_000_000_000;
        let stamp = ((seconds << 32) | part).to_be_bytes();
        let mut answer = [0; 48];
        (answer[0], answer[1]) = (0b00_100_100, 2);
        answer[24..32].copy_from_slice(&question[40..48]);
        answer[32..40].copy_from_slice(&stamp);
        answer[40..48].copy_from_slice(&stamp);
        *asked.lock().unwrap() += 1;
        server.send_to(&answer, from).await.unwrap();
    }
}

#[tokio::test]
async fn a_time_server_is_believed_where_the_clock_is_far_off() {
    let [_, b, c, d] = rand::random::<[u8; 4]>();
    let address = Ipv4Addr::new(127, b, c, d.clamp(2, 250));
    let Ok(server) = UdpSocket::bind((address, 123)).await else {
        eprintln!("not tested: only root may answer where time is asked for");
        return;
    };
    for (ahead, steps) in [(TimeDelta::hours(1), 1), (TimeDelta::zero(), 0)] {
        let (clock, sets) = noting();
        let blade = Blade::with_clock(clock).await;
        let admin = blade.admin();
        let asked = Mutex::new(0);
        let set = json!({"NTP": {"ProtocolEnabled": true,
            "NTPServers": [address.to_string()]}});
        let followed = async {
            let reply = admin.patch(PROTOCOL, &set).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            while *asked.lock().unwrap() == 0
                || sets.lock().unwrap().len() < steps
            {
                sleep(Duration::from_millis(20)).await;
            }
            // Two do not set one clock.
            let body = json!({"DateTime": "2030-01-01T00:00:00Z"});
            let refused = admin.patch(MANAGER, &body).await;
            assert_eq!(refused.status, 409, "{}", refused.body);
            assert_eq!(refused.messages(), ["PropertyValueConflict"]);
        };
        tokio::select! {
            () = time_server(&server, ahead, &asked) => {}
            it = timeout(Duration::from_secs(30), followed) => it.unwrap(),
        }
        let sets = sets.lock().unwrap().clone();
        assert_eq!(sets.len(), steps, "{sets:?}");
        for set in sets {
            let off = set - Utc::now() - ahead;
            assert!(off.abs() < TimeDelta::seconds(30), "{set}");
        }
    }
}
