//! `Power` and `Thermal`, which DMTF deprecated, for clients that want them.

use onprem_redfish::check;

use crate::client::Blade;

const CHASSIS: &str = "/redfish/v1/Chassis/blade";

#[tokio::test]
async fn old_clients_get_the_same_values_under_the_old_names() {
    let blade = Blade::for_old_clients().await;
    let admin = blade.admin();
    let chassis = admin.get(CHASSIS).await.body;
    let power = chassis["Power"]["@odata.id"].as_str().unwrap();
    let thermal = chassis["Thermal"]["@odata.id"].as_str().unwrap();
    let power = admin.get(power).await.body;
    assert_eq!(check(&power), []);
    let control = &power["PowerControl"][0];
    assert!(control["PowerConsumedWatts"].as_f64() > Some(1.0), "{control}");
    assert_eq!(control["PowerCapacityWatts"].as_f64(), Some(15.0));
    let volts = &power["Voltages"][0];
    assert!((4.0..6.0).contains(&volts["ReadingVolts"].as_f64().unwrap()));
    let thermal = admin.get(thermal).await.body;
    assert_eq!(check(&thermal), []);
    let warm = thermal["Temperatures"].as_array().unwrap();
    assert_eq!(warm.len(), 3);
    assert_eq!(warm[0]["UpperThresholdCritical"].as_f64(), Some(85.0));
    assert!(warm[0]["ReadingCelsius"].is_number());
    assert_eq!(thermal["Fans"][0]["ReadingUnits"], "RPM");
}

#[tokio::test]
async fn nobody_else_sees_them() {
    let blade = Blade::simulated().await;
    let admin = blade.admin();
    let chassis = admin.get(CHASSIS).await.body;
    for name in ["Power", "Thermal"] {
        assert_eq!(chassis.get(name), None);
        let gone = admin.get(&format!("{CHASSIS}/{name}")).await;
        assert_eq!(gone.status, 404, "{name}");
    }
}
