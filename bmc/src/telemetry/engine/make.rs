//! How reports are made of values, and which of them are kept.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::Utc;
use tokio::time::Instant;

use super::{Active, Engine, lock};
use crate::{
    model::Snapshot,
    redfish::uri,
    telemetry::{
        Host, NEW_REPORTS, Shared, VALUES,
        config::{Definition, Kind, ReportUpdates, Trigger, span},
        report::{Entry, Report},
        value::Reader,
    },
};

impl Engine {
    /// Shows the reports that there have to be, and no others.
    pub(super) fn publish(&mut self) {
        let mut collectors = HashMap::new();
        let mut reports = lock(&self.shared.reports);
        let mut keep = HashSet::new();
        for Active { config, collector, .. } in &self.active {
            if config.kind == Kind::OnRequest {
                let collector = Arc::clone(collector);
                collectors.insert(config.id.clone(), collector);
            } else if config.keeps_reports() {
                keep.insert(config.id.clone());
                if config.report_updates != ReportUpdates::NewReport {
                    reports
                        .entry(config.id.clone())
                        .or_insert_with(|| Arc::new(Report::of(config, None)));
                }
            }
        }
        reports.retain(|_, report| {
            report.definition.as_ref().is_some_and(|id| keep.contains(id))
        });
        drop(reports);
        *lock(&self.shared.collectors) = collectors;
    }

    pub(super) fn on_change(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
        at: usize,
        now: Instant,
    ) {
        let Some(active) = self.active.get_mut(at) else { return };
        if active.config.kind != Kind::OnChange || !active.config.enabled {
            return;
        }
        let entries = collect(&self.shared, active, host, snapshot, now);
        let same = entries.iter().map(|entry| &entry.value).eq(&active.last);
        if !same {
            self.make(host, at, entries, now);
        }
    }

    /// Makes a report now.
    pub(super) fn generate(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
        at: usize,
        now: Instant,
    ) {
        let Some(active) = self.active.get_mut(at) else { return };
        let entries = collect(&self.shared, active, host, snapshot, now);
        self.make(host, at, entries, now);
    }

    /// Makes the reports that `trigger` is linked to.
    pub(super) fn start(
        &mut self,
        host: &dyn Host,
        snapshot: &Snapshot,
        trigger: &Trigger,
        now: Instant,
    ) {
        for link in &trigger.links.metric_report_definitions {
            let id = link.uri.rsplit('/').next().unwrap_or_default();
            let at = self.active.iter().position(|it| it.config.id == id);
            let Some(at) = at else { continue };
            let Some(active) = self.active.get(at) else { continue };
            let config = &active.config;
            if config.enabled && config.kind != Kind::OnRequest {
                self.generate(host, snapshot, at, now);
            }
        }
    }

    /// Makes a report of these values.
    fn make(
        &mut self,
        host: &dyn Host,
        at: usize,
        mut entries: Vec<Entry>,
        now: Instant,
    ) {
        let Some(active) = self.active.get_mut(at) else { return };
        let config = Arc::clone(&active.config);
        let suppresses = config.suppress_repeated_metric_value;
        let mut last = Vec::new();
        if suppresses || config.kind == Kind::OnChange {
            let values = entries.iter().map(|entry| entry.value.clone());
            last = std::mem::replace(&mut active.last, values.collect());
        }
        if suppresses {
            let heartbeat =
                span(config.metric_report_heartbeat_interval.as_ref());
            let beat = heartbeat
                .is_some_and(|it| now.duration_since(active.whole) >= it);
            if beat || last.len() != active.last.len() {
                active.whole = now;
            } else {
                let mut last = last.iter();
                entries.retain(|entry| last.next() != Some(&entry.value));
            }
        }
        active.made += 1;
        let most = config.max_occurrences();
        let mut ended = most.is_some_and(|most| active.made >= most);
        self.reports += 1;
        let wall = Utc::now();
        if config.sends_reports() {
            let mut report = Report::of(&config, None);
            report.at = wall;
            report.entries = entries.clone().into();
            host.report(&report);
        }
        if config.keeps_reports() {
            ended |= !self.store(host, &config, entries, wall);
        }
        if ended {
            if let Some(active) = self.active.get_mut(at) {
                active.next = None;
            }
            self.ended.push(config.id.clone());
        }
    }

    /// Puts values where they can be read; whether more can come.
    fn store(
        &self,
        host: &dyn Host,
        config: &Definition,
        entries: Vec<Entry>,
        at: chrono::DateTime<Utc>,
    ) -> bool {
        let mut reports = lock(&self.shared.reports);
        if config.report_updates != ReportUpdates::NewReport {
            let report = reports
                .entry(config.id.clone())
                .or_insert_with(|| Arc::new(Report::of(config, None)));
            // A copy only while somebody reads it.
            let report = Arc::make_mut(report);
            report.number = self.reports;
            let timespan = span(config.report_timespan.as_ref());
            return report.update(config, entries, at, timespan);
        }
        let id = format!("{}_{}", config.id, at.format("%Y%m%dT%H%M%S%3fZ"));
        let mut report = Report::of(config, Some(id.clone()));
        report.number = self.reports;
        report.update(config, entries, at, None);
        reports.insert(id.clone(), Arc::new(report));
        let is_new = |report: &&Arc<Report>| {
            report.definition.as_ref().is_some_and(|of| *of != report.id)
        };
        let mut gone = Vec::new();
        loop {
            let all = || reports.values().filter(is_new);
            let count = all().count();
            let values: usize = all().map(|it| it.entries.len()).sum();
            if count <= 1 || count <= NEW_REPORTS && values <= VALUES {
                break;
            }
            let oldest = all().min_by_key(|it| it.number);
            let Some(oldest) = oldest.map(|it| it.id.clone()) else { break };
            reports.remove(&oldest);
            gone.push(oldest);
        }
        drop(reports);
        for oldest in gone {
            host.removed(&uri::of(uri::METRIC_REPORT, &[oldest]));
        }
        host.created(&uri::of(uri::METRIC_REPORT, &[id]));
        true
    }
}

fn collect(
    shared: &Shared,
    active: &Active,
    host: &dyn Host,
    snapshot: &Snapshot,
    now: Instant,
) -> Vec<Entry> {
    let mut reader = Reader::new(host, snapshot);
    let since_start = lock(&shared.since_start);
    lock(&active.collector).collect(&mut reader, &since_start, now)
}
