//! Redfish requests, by method and class of status.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, StatusCode};

use super::{
    Scrape,
    text::{Kind, Text},
};

const METHODS: [&str; 7] =
    ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts requests.
#[derive(Debug, Default)]
pub struct Requests {
    counts: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    renders: AtomicU64,
}

impl Requests {
    /// Counts a request by `method` that was answered with `status`.
    pub fn count(&self, method: &Method, status: StatusCode) {
        let known = METHODS.iter().position(|m| *m == method.as_str());
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        let row = self.counts.get(known.unwrap_or(METHODS.len() - 1));
        if let Some(count) = row.and_then(|row| row.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a resource that was made anew.
    pub fn count_render(&self) {
        self.renders.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn collect(scrape: &Scrape<'_>, text: &mut Text) {
    let name = "onprem_redfish_requests_total";
    text.begin(name, Kind::Counter, "Redfish requests that were answered.");
    let rows = METHODS.iter().zip(&scrape.metrics.requests.counts);
    for (method, row) in rows {
        for (class, count) in CLASSES.iter().zip(row) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = [("method", *method), ("status", *class)];
                text.line(name, &labels, count);
            }
        }
    }
    let renders = scrape.metrics.requests.renders.load(Ordering::Relaxed);
    text.single(
        "onprem_redfish_renders_total",
        Kind::Counter,
        "Redfish resources that were made anew; others were kept.",
        renders,
    );
}
