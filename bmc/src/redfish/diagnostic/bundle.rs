//! What is in a collection of diagnostic data: what the service shows of the
//! manager and its machine, its logs, its configuration, and what the kernel
//! says of both.
//!
//! Secrets are in none of these: the configuration has paths in their place,
//! and no resource shows one. Accounts, sessions and subscriptions are left
//! out, since they are about people.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io::Read as _,
};

use chrono::{SecondsFormat, Utc};
use onprem_link::task::blocking;
use serde_json::{Map, Value, json};
use tokio::task::yield_now;

use crate::{
    log::{Kind, Log},
    redfish::{Service, router::Route, task::Progress, uri},
};

/// The most that one collection takes, in bytes.
pub(super) const MAX: usize = 4 << 20;
/// What its resources may take without line breaks, in bytes.
const RESOURCES: usize = 1 << 20;
/// How many resources are in it.
const MOST: usize = 1000;
/// What each log may take without line breaks, in bytes.
const LOG: usize = 256 << 10;
/// How many entries of each log are in it, the newest.
const ENTRIES: usize = 200;
/// How much of a file of the kernel is in it, in bytes.
const FILE: u64 = 16 << 10;

/// Where it begins to look; what these lead to below themselves is in it.
const ROOTS: [&str; 6] = [
    uri::MANAGERS,
    uri::SYSTEMS,
    uri::CHASSIS_ALL,
    uri::AUTOMATION_NODES,
    uri::UPDATE_SERVICE,
    uri::TASK_SERVICE,
];
/// The logs it has the ends of.
const LOGS: [Kind; 3] = [Kind::Journal, Kind::Event, Kind::Hardware];
/// What the kernel is asked.
const KERNEL: [&str; 7] = [
    "/proc/version",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/self/status",
    "/proc/self/limits",
];

/// Collects what `service` knows.
pub(super) async fn collect(service: &Service, progress: &Progress) -> Value {
    let kernel = blocking(kernel).await.unwrap_or_default();
    progress.percent(10);
    let (resources, left_out) = resources(service).await;
    progress.percent(70);
    let mut logs: Map<_, _> = LOGS
        .iter()
        .map(|kind| (kind.id().to_owned(), log(service.logs.of(*kind))))
        .collect();
    for (system, other) in service.logs.others() {
        logs.insert(format!("{}/{system}", Kind::Hardware.id()), log(other));
    }
    let time = |at: chrono::DateTime<Utc>| {
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    json!({
        "Collected": time(Utc::now()),
        "Agent": {
            "Name": crate::update::PRODUCT,
            "Version": env!("CARGO_PKG_VERSION"),
            "Started": time(service.started),
            "UptimeSeconds": service.up.elapsed().as_secs(),
            "ProcessId": std::process::id(),
        },
        "Configuration": service.configuration,
        "Fleet": service.fleet_shown(),
        "Kernel": kernel,
        "Resources": resources,
        "ResourcesLeftOut": left_out,
        "Logs": logs,
    })
}

/// The text of a collection: with line breaks, if they fit.
pub(super) fn text(bundle: &Value) -> Vec<u8> {
    let text = serde_json::to_vec_pretty(bundle).unwrap_or_default();
    if text.len() <= MAX {
        return text;
    }
    serde_json::to_vec(bundle).unwrap_or_default()
}

fn kernel() -> Map<String, Value> {
    let read = |path: &str| {
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(FILE).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.lines().collect::<Vec<_>>().into())
    };
    let told = |path: &str| Some((path.to_owned(), read(path)?));
    KERNEL.iter().filter_map(|path| told(path)).collect()
}

/// The end of a log, the newest first.
fn log(of: &Log) -> Value {
    let mut left = LOG;
    let entries = of.page(0, ENTRIES).into_iter();
    let entries = entries.map_while(|entry| {
        let entry = serde_json::to_value(entry).ok()?;
        left = left.checked_sub(entry.to_string().len())?;
        Some(entry)
    });
    entries.collect()
}

/// What can be reached from the roots, by URI, and how much of it is left
/// out.
async fn resources(service: &Service) -> (Map<String, Value>, usize) {
    let roots = ROOTS.map(str::to_owned);
    let mut seen: HashSet<String> = roots.iter().cloned().collect();
    let mut waiting = VecDeque::from(roots);
    let (mut found, mut left_out) = (Map::new(), 0);
    let mut left = RESOURCES;
    while let Some(path) = waiting.pop_front() {
        let Some((Route::Resource(entry), ids)) = service.routes.find(&path)
        else {
            continue;
        };
        let Some((mut body, ..)) = service.object(entry.resource, &path, &ids)
        else {
            continue;
        };
        // What somebody sent is theirs.
        body.remove("Payload");
        let body = Value::Object(body);
        let length = path.len() + body.to_string().len();
        if found.len() >= MOST || length > left {
            left_out += 1;
            continue;
        }
        left -= length;
        links(&body, &mut |link| {
            if is_wanted(link) && seen.insert(link.to_owned()) {
                waiting.push_back(link.to_owned());
            }
        });
        found.insert(path, body);
        // Others want to be served meanwhile.
        yield_now().await;
    }
    (found, left_out)
}

/// Is it below a root, and not in here another way?
fn is_wanted(link: &str) -> bool {
    let below = |root: &str| {
        link.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
    };
    ROOTS.iter().any(|root| below(root))
        && !link.contains('#')
        && !link.contains("/Entries")
        && !link.ends_with("ActionInfo")
}

fn links(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(link) if name == "@odata.id" => found(link),
                    _ => links(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|it| links(it, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_with_line_breaks_goes_without() {
        let few = json!({"a": [1]});
        assert!(text(&few).contains(&b'\n'));
        let many = json!(vec![0; MAX / 3]);
        let text = text(&many);
        assert!(text.len() <= MAX && !text.contains(&b'\n'));
    }

    #[test]
    fn people_are_left_out() {
        for (link, wanted) in [
            ("/redfish/v1/Systems/node", true),
            ("/redfish/v1/SystemsOfOthers/node", false),
            ("/redfish/v1/AccountService/Accounts/admin", false),
            ("/redfish/v1/Systems/node/LogServices/SEL", true),
            ("/redfish/v1/Systems/node/LogServices/SEL/Entries", false),
            ("/redfish/v1/Systems/node/ResetActionInfo", false),
            ("/redfish/v1/Chassis/c/Power#/PowerSupplies/0", false),
        ] {
            assert_eq!(is_wanted(link), wanted, "{link}");
        }
    }
}
