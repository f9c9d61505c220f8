//! The simulated board, asked as its drivers are, in paused time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use onprem_bmc::{
    boards::{Board, Naming, Scan, assembly::Assembly, buses::Tapes},
    commands::ResetType,
    drivers::{Driver, tree::Tree},
    model::{Model, PowerState, Settings},
    sim::Simulation,
};
use tokio::time::advance;

struct Bench {
    model: Model,
    drivers: Vec<Box<dyn Driver>>,
    simulation: Simulation,
    board: Assembly,
}

impl Bench {
    fn new() -> Self {
        let file =
            concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim-blade.toml");
        let naming = Naming::default();
        let tree = Tree::new("/".as_ref());
        let mut board = Assembly::load(
            file.as_ref(),
            &naming,
            &tree,
            Tapes::default(),
            |_| unreachable!(),
        )
        .unwrap();
        let simulation = board.simulation().unwrap().clone();
        let Scan { inventory, drivers, .. } = board.scan();
        let model = Model::new(inventory, Settings::default());
        Self { model, drivers, simulation, board }
    }

    async fn after(&mut self, seconds: u64) {
        for _ in 0..seconds {
            advance(Duration::from_secs(1)).await;
            for driver in &mut self.drivers {
                let batch = driver.poll();
                self.model.post(batch.samples);
                for (system, state) in batch.power {
                    self.model.post_power(&system, state);
                }
            }
        }
    }

    fn value(&self, sensor: &str) -> f64 {
        self.model.snapshot().reading(sensor).unwrap().number().unwrap()
    }

    fn power(&self) -> PowerState {
        self.model.snapshot().power_state("node")
    }
}

#[tokio::test(start_paused = true)]
async fn the_fan_follows_the_heat_and_keeps_the_processor_well() {
    let mut bench = Bench::new();
    let (mut coolest, mut hottest) = (f64::MAX, f64::MIN);
    let (mut slowest, mut fastest) = (f64::MAX, f64::MIN);
    for _ in 0..480 {
        bench.after(1).await;
        let temperature = bench.value("CPU_Temperature");
        let speed = bench.value("Fan_Speed");
        coolest = coolest.min(temperature);
        hottest = hottest.max(temperature);
        slowest = slowest.min(speed);
        fastest = fastest.max(speed);
    }
    assert!(hottest - coolest > 5.0, "{coolest}..{hottest}");
    assert!(hottest < 80.0, "{hottest}");
    assert!(fastest > 1.3 * slowest.max(1.0), "{slowest}..{fastest}");
    let watts = bench.value("Input_Voltage") * bench.value("Input_Current");
    assert!((watts - bench.value("Input_Power")).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_fan_is_seen_at_its_tachometer_and_in_the_heat() {
    let mut bench = Bench::new();
    bench.after(120).await;
    let before = bench.value("CPU_Temperature");
    bench.simulation.part("Fan").stick();
    bench.after(20).await;
    assert!(bench.value("Fan_Speed").abs() < 1e-9);
    assert!(bench.value("Fan_Duty") > 20.0);
    assert!(bench.value("CPU_Temperature") > before + 1.0);
    bench.simulation.part("Fan").mend();
    bench.after(20).await;
    assert!(bench.value("Fan_Speed") > 1000.0);
}

#[tokio::test(start_paused = true)]
async fn what_is_switched_off_cools_down_and_its_fan_stops() {
    let mut bench = Bench::new();
    bench.after(5).await;
    let power = bench.board.power();
    let state = power.reset(&"node".into(), ResetType::ForceOff).unwrap();
    assert_eq!(state, Some(PowerState::Off));
    bench.after(600).await;
    assert_eq!(bench.power(), PowerState::Off);
    assert!(bench.value("CPU_Temperature") < 28.0);
    assert!(bench.value("Fan_Speed").abs() < 1e-9);
    assert!(bench.value("Input_Power") < 1.0);
    power.reset(&"node".into(), ResetType::On).unwrap();
    bench.after(1).await;
    assert_eq!(bench.power(), PowerState::PoweringOn);
    bench.after(5).await;
    assert_eq!(bench.power(), PowerState::On);
}

#[test]
fn no_two_boards_that_ship_are_the_same_machine() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/boards");
    // What `./dev up` starts has its own names.
    let up = include_str!("../../dev");
    let mut seen = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let said = text.lines().find_map(|line| line.split_once("--name "));
        let said = said.map(|(_, said)| said.split_whitespace().collect());
        let mut known: Vec<&str> = said.unwrap_or_default();
        known.retain(|it| !it.starts_with("--"));
        assert!(known.iter().all(|it| !up.contains(it)), "{path:?}: {known:?}");
        let numbers = text.split("serial_number = \"").skip(1);
        known.extend(numbers.filter_map(|it| it.split('"').next()));
        known.retain(|it| !it.is_empty());
        for it in known {
            let before = seen.insert(it.to_owned(), path.clone());
            let other = before.is_some_and(|before| before != path);
            assert!(!other, "{it} is of {path:?} and another board");
        }
    }
    assert!(seen.len() > 12, "{seen:?}");
}
