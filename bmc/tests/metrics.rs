//! A full scrape.

mod support;

use std::time::Duration;

use http::{Method, StatusCode};
use onprem_bmc::{
    boards::{Board, Naming, Scan, assembly::Assembly, buses::Tapes},
    collectors::Exporter,
    drivers::tree::Tree,
    model::{Amperes, Celsius, Model, Percent, Rpm, Sample, Settings, Vitals},
};
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn a_scrape_says_what_the_agent_knows() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
    let (naming, tree) = (Naming::default(), Tree::new("/".as_ref()));
    let board = Assembly::load(
        file.as_ref(),
        &naming,
        &tree,
        Tapes::default(),
        |_| unreachable!(),
    );
    let mut board = board.unwrap();
    let Scan { inventory, .. } = board.scan();
    let model = Model::new(inventory, Settings::default());
    let good_for = Duration::from_secs(4);
    model.post(vec![
        Sample::good(
            &"CPU_Temperature".into(),
            Celsius(48.312).into(),
            good_for,
        ),
        Sample::good(&"Fan_Speed".into(), Rpm(1042.0).into(), good_for),
        Sample::good(&"Fan_Duty".into(), Percent(20.784).into(), good_for),
        Sample::good(&"Input_Current".into(), Amperes(0.598).into(), good_for),
        Sample::failed(&"Intake_Temperature".into(), "no such device"),
    ]);
    let vitals = Vitals {
        uptime: Duration::from_hours(1),
        load: [0.5, 0.25, 0.0],
        memory_total: 8 << 30,
        memory_available: 6 << 30,
    };
    model.post_vitals(&"node".into(), vitals);
    let exporter = Exporter::new(model);
    let requests = &exporter.metrics().requests;
    requests.count(&Method::GET, StatusCode::OK);
    requests.count(&Method::GET, StatusCode::OK);
    requests.count(&Method::PATCH, StatusCode::BAD_REQUEST);
    requests.count(&Method::TRACE, StatusCode::NOT_IMPLEMENTED);
    advance(Duration::from_secs(2)).await;
    // What the process takes is different each time.
    let scrape: String = exporter
        .render()
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((name, _)) if name.starts_with("process_") => {
                format!("{name} …\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    expectorate::assert_contents("tests/metrics.txt", &scrape);
}
