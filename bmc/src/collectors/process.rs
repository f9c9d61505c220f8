//! The agent's own process.

use std::fs;

use super::{
    Scrape,
    text::{Kind, Text},
};

pub(super) fn collect(scrape: &Scrape<'_>, text: &mut Text) {
    let uptime = scrape.now.duration_since(scrape.metrics.started);
    text.single(
        "onprem_agent_uptime_seconds",
        Kind::Gauge,
        "Time since the agent started.",
        uptime.as_secs(),
    );
    // The agent's own memory is no hardware: the kernel answers at once.
    let memory = fs::read_to_string("/proc/self/statm").ok();
    let pages = memory
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    if let Some(pages) = pages {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        text.single(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory of the agent that is in RAM.",
            pages * page,
        );
    }
    if let Some(seconds) = processor_seconds() {
        text.single(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time of the agent.",
            seconds,
        );
    }
}

/// User and system time of `/proc/self/stat`, which comes in hundredths of a
/// second; the fields follow the name in parentheses.
fn processor_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(f64::from(user + system) / 100.0)
}
