//! `ManagerDiagnosticData`: how the agent and its machine are doing.

use std::sync::PoisonError;

use onprem_redfish::schema::manager_diagnostic_data::{
    self, MemoryStatistics, ProcessStatistics, ProcessorStatistics,
};

use super::{With as _, number};
use crate::{
    drivers::own::{self, Ticks},
    redfish::{
        resource::{Answer, Freshness, Resource, View, answer},
        uri,
    },
};

/// `…/ManagerDiagnosticData`
pub(crate) struct ManagerDiagnosticData;

impl Resource for ManagerDiagnosticData {
    fn uri(&self) -> &'static str {
        uri::MANAGER_DIAGNOSTIC_DATA
    }

    fn kind(&self) -> &'static str {
        "ManagerDiagnosticData"
    }

    fn freshness(&self) -> Freshness {
        Freshness::Second
    }

    fn get(&self, view: &View<'_>, ids: &[&str]) -> Option<Answer> {
        view.manager(ids)?;
        let service = view.service;
        let uptime = service.up.elapsed().as_secs_f64();
        let body = manager_diagnostic_data::ManagerDiagnosticData::new(
            "",
            "ManagerDiagnosticData",
            "Diagnostic data",
        )
        .description(
            "Memory and processors are those of the machine that the agent \
             runs on, the process is the agent.",
        )
        .with(number(uptime.floor()), |body, uptime| {
            body.service_root_uptime_seconds(uptime)
        })
        .with(memory(), manager_diagnostic_data::ManagerDiagnosticData::memory_statistics)
        .with(processors(view), manager_diagnostic_data::ManagerDiagnosticData::processor_statistics)
        .with(own::free_bytes(&service.state_dir), |body, bytes| {
            body.free_storage_space_ki_b(signed(bytes >> 10))
        })
        .with(agent(uptime), |body, agent| body.top_processes([agent]));
        // All of it changes by itself.
        Some(answer(body).volatile(&[
            "ServiceRootUptimeSeconds",
            "MemoryStatistics",
            "ProcessorStatistics",
            "FreeStorageSpaceKiB",
            "TopProcesses",
        ]))
    }
}

fn memory() -> Option<MemoryStatistics> {
    let it = own::memory()?;
    let used = it.total.saturating_sub(it.free + it.buffers_and_cache);
    Some(
        MemoryStatistics::new()
            .total_bytes(signed(it.total))
            .used_bytes(signed(used))
            .free_bytes(signed(it.free))
            .shared_bytes(signed(it.shared))
            .buffers_and_cache_bytes(signed(it.buffers_and_cache))
            .available_bytes(signed(it.available)),
    )
}

/// What processors did since the last look that is a second ago, since the
/// machine started at first.
fn processors(view: &View<'_>) -> Option<ProcessorStatistics> {
    let now = own::ticks()?;
    let since = {
        let kept = &view.service.ticks;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let since = kept.1;
        if now.total.saturating_sub(kept.0.total) >= own::SECOND {
            *kept = (now, kept.0);
        }
        since
    };
    let Ticks { user, kernel, total } = now;
    let total = total.saturating_sub(since.total).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a share of a whole")]
    let percent = |ticks: u64| {
        number((ticks as f64 * 1000.0 / total as f64).round() / 10.0)
    };
    let statistics = ProcessorStatistics::new()
        .with(percent(user.saturating_sub(since.user)), |it, share| {
            it.user_percent(share)
        });
    Some(statistics.with(
        percent(kernel.saturating_sub(since.kernel)),
        ProcessorStatistics::kernel_percent,
    ))
}

fn agent(uptime: f64) -> Option<ProcessStatistics> {
    let it = own::process()?;
    Some(
        ProcessStatistics::new()
            .command_line(it.command)
            .resident_set_size_bytes(signed(it.resident))
            .with(number(uptime.floor()), ProcessStatistics::uptime_seconds)
            .with(number(it.user_seconds), ProcessStatistics::user_time_seconds)
            .with(
                number(it.kernel_seconds),
                ProcessStatistics::kernel_time_seconds,
            ),
    )
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
