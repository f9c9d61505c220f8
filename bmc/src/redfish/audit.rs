//! The audit log: who wrote what, with which result.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use tokio::sync::Mutex;

/// At this size the log becomes `audit.log.1`, whose predecessor goes.
const LIMIT: u64 = 1 << 20;

/// One line of the log.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) who: &'a str,
    /// `basic`, `session`, `fleet` or `none`.
    pub(crate) via: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The fleet's id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) status: u16,
}

/// Appends to `audit.log`.
#[derive(Debug)]
pub(crate) struct Audit {
    path: Arc<Path>,
    /// One line at a time.
    turn: Mutex<()>,
}

impl Audit {
    pub(crate) fn new(state_dir: &Path) -> Self {
        let path = state_dir.join("audit.log");
        Self { path: path.into(), turn: Mutex::default() }
    }

    /// Returns when the line is in the file.
    pub(crate) async fn write(&self, entry: &Entry<'_>) {
        let mut line = serde_json::json!({
            "at": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        });
        if let (Some(line), Ok(serde_json::Value::Object(entry))) =
            (line.as_object_mut(), serde_json::to_value(entry))
        {
            line.extend(entry);
        }
        let path = Arc::clone(&self.path);
        // Strangers must not wear the disk out.
        let sync = !entry.who.is_empty();
        let _turn = self.turn.lock().await;
        let done = tokio::task::spawn_blocking(move || {
            append(&path, &format!("{line}\n"), sync)
        });
        if let Ok(Err(error)) = done.await {
            tracing::error!(%error, path = %self.path.display(),
                "audit log not written");
        }
    }
}

fn append(path: &Path, line: &str, sync: bool) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() >= LIMIT) {
        let mut old = PathBuf::from(path).into_os_string();
        old.push(".1");
        fs::rename(path, old)?;
    }
    let mut file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all(line.as_bytes())?;
    if sync { file.sync_data() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_does_not_grow_beyond_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let line = "x".repeat(1 << 19);
        for _ in 0..5 {
            append(&path, &line, true).unwrap();
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 19);
        let old = folder.path().join("audit.log.1");
        assert_eq!(fs::metadata(old).unwrap().len(), 2 << 19);
    }
}
