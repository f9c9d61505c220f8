//! The systems: what they are, whether they are on, and what their operating
//! systems say.

use super::{
    Scrape,
    text::{Kind, Text},
};
use crate::model::{Health, PowerState, System, Vitals};

pub(super) fn collect(scrape: &Scrape<'_>, text: &mut Text) {
    info(scrape, text);
    gauge(
        scrape,
        text,
        "onprem_system_power_on",
        "Whether the system is on: 1, else 0.",
        |scrape, system| {
            let state = scrape.snapshot.power_state(&system.id);
            Some(f64::from(u8::from(state == PowerState::On)))
        },
    );
    gauge(
        scrape,
        text,
        "onprem_system_health",
        "Health of the system: 0 well, 1 warning, 2 critical.",
        |scrape, system| {
            Some(match scrape.snapshot.system_health(system) {
                Health::Ok => 0.0,
                Health::Warning => 1.0,
                Health::Critical => 2.0,
            })
        },
    );
    gauge(
        scrape,
        text,
        "onprem_system_uptime_seconds",
        "Time since the operating system started.",
        |s, system| vitals(s, system).map(|v| v.uptime.as_secs_f64().floor()),
    );
    for (name, index) in [("load1", 0), ("load5", 1), ("load15", 2)] {
        gauge(
            scrape,
            text,
            &format!("onprem_system_{name}"),
            "Runnable tasks, averaged over the minutes of the name.",
            |s, system| vitals(s, system)?.load.get(index).copied(),
        );
    }
    gauge(
        scrape,
        text,
        "onprem_system_memory_total_bytes",
        "Memory the operating system has.",
        |s, system| vitals(s, system).map(|v| bytes(v.memory_total)),
    );
    gauge(
        scrape,
        text,
        "onprem_system_memory_available_bytes",
        "Memory that programs can still have.",
        |s, system| vitals(s, system).map(|v| bytes(v.memory_available)),
    );
}

fn info(scrape: &Scrape<'_>, text: &mut Text) {
    let name = "onprem_system_info";
    text.begin(name, Kind::Gauge, "What the system is; always 1.");
    for system in &scrape.snapshot.inventory.systems {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let labels = [
            ("system", &*system.id),
            ("name", &system.name),
            ("manufacturer", &word(&system.board.manufacturer)),
            ("model", &word(&system.board.model)),
            ("serial_number", &word(&system.board.serial_number)),
            ("uuid", &system.uuid.to_string()),
        ];
        text.line(name, &labels, 1);
    }
}

fn vitals<'a>(scrape: &'a Scrape<'_>, system: &System) -> Option<&'a Vitals> {
    scrape.snapshot.vitals.get(&system.id)
}

fn gauge(
    scrape: &Scrape<'_>,
    text: &mut Text,
    name: &str,
    help: &str,
    value: impl Fn(&Scrape<'_>, &System) -> Option<f64>,
) {
    text.begin(name, Kind::Gauge, help);
    for system in &scrape.snapshot.inventory.systems {
        if let Some(value) = value(scrape, system) {
            text.line(name, &[("system", &*system.id)], value);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a float is what Prometheus stores; 2^53 bytes are enough"
)]
fn bytes(number: u64) -> f64 {
    number as f64
}
