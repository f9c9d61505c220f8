//! The connection to the fleet as somebody wants it: where it leads, and
//! whether it shall be there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use onprem_link::{
    enrol::JoinToken,
    file::{read_if_present, store},
    log::Chain,
    task::Tasks as _,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::config::is_fleet_url;

use super::{
    Handler, Options, State,
    enrolment::{Enrolment, Papers},
    keeper::Keeper,
};

/// What was set while the agent ran.
const FILE: &str = "line.json";
/// The join token that came with it.
const TOKEN: &str = "join-token";
/// What makes the machine a member; its key is its own.
const MEMBERSHIP: &[&str] = &["device.json", "cert.pem", "ca.pem", TOKEN];
/// How long a fleet that was left may take to be gone.
const LEAVING: Duration = Duration::from_secs(5);

/// Why the connection is not as somebody wants it.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// There is one already, or there was a moment ago.
    #[error("there is a connection to a fleet already")]
    Taken,
    /// There is none.
    #[error("there is no connection to a fleet")]
    Absent,
    /// What should be an address of a fleet is none.
    #[error("`{0}` is no address of a fleet: https://host:port expected")]
    Address(String),
    /// What should be a join token is none.
    #[error("the join token cannot be read")]
    Token,
    /// It cannot be kept.
    #[error("cannot keep the connection to the fleet")]
    Keep(#[from] io::Error),
}

/// Where the connection leads, and whether it shall be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The fleet's device listener.
    pub fleet_url: String,
    /// Whether the fleet is to be called.
    pub enabled: bool,
    /// A client set it; its join token is kept beside it.
    own_token: bool,
}

/// The content of [`FILE`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Kept {
    /// The fleet that was configured then: another one counts more.
    configured: Option<String>,
    /// The fleet, unless the machine has left it.
    fleet_url: Option<String>,
    enabled: bool,
    own_token: bool,
}

/// The connection to the fleet.
#[derive(Debug)]
pub struct Line {
    options: Options,
    configured: Option<String>,
    wanted: watch::Sender<Option<Wanted>>,
    state: watch::Sender<State>,
    /// Held while somebody changes it.
    changing: Mutex<()>,
}

impl Line {
    /// The connection as it was left, or as `configured`; `options` say all
    /// but where it leads.
    ///
    /// # Errors
    /// What was kept of it cannot be read.
    pub fn open(
        options: Options,
        configured: Option<String>,
    ) -> io::Result<Self> {
        let wanted = match kept(&options.folder)? {
            Some(kept) if kept.configured == configured => {
                kept.fleet_url.map(|fleet_url| Wanted {
                    fleet_url,
                    enabled: kept.enabled,
                    own_token: kept.own_token,
                })
            }
            _ => configured.clone().map(|fleet_url| Wanted {
                fleet_url,
                enabled: true,
                own_token: false,
            }),
        };
        if let Ok(Some(member)) = Enrolment::load(&options.folder) {
            options.papers.store(Some(member.papers));
        }
        let state = state_of(wanted.as_ref());
        Ok(Self {
            options,
            configured,
            wanted: watch::Sender::new(wanted),
            state: watch::Sender::new(state),
            changing: Mutex::default(),
        })
    }

    /// Calls the fleet whenever it is wanted, until `stop`, and serves it with
    /// `handler`.
    pub fn start(
        self: &Arc<Self>,
        handler: Handler,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) {
        let line = Arc::clone(self);
        let tracked = tasks.clone();
        tasks.start(async move { line.run(handler, tracked, stop).await });
    }

    /// Where it leads, where there is one.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        self.wanted.borrow().clone()
    }

    /// How things stand, and how they change.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// What the two ends know each other by, once the machine is a member.
    #[must_use]
    pub fn papers(&self) -> Option<Arc<Papers>> {
        self.options.papers.load_full()
    }

    /// Joins the fleet at `fleet_url` with `token`; it is called at once if it
    /// is `enabled`.
    ///
    /// # Errors
    /// [`LineError`]; nothing has changed then.
    pub async fn join(
        &self,
        fleet_url: &str,
        token: &str,
        enabled: bool,
    ) -> Result<(), LineError> {
        let _changing = self.changing.lock().await;
        if self.wanted().is_some() {
            return Err(LineError::Taken);
        }
        if !is_fleet_url(fleet_url) {
            return Err(LineError::Address(fleet_url.to_owned()));
        }
        let token: JoinToken = token.parse().map_err(|_| LineError::Token)?;
        // What was left has to be gone first.
        let mut states = self.states();
        let gone = states.wait_for(|state| *state == State::Absent);
        if timeout(LEAVING, gone).await.is_err() {
            return Err(LineError::Taken);
        }
        let path = self.options.folder.join(TOKEN);
        store(&path, token.reveal().into()).await?;
        let wanted = self.want(Some(Wanted {
            fleet_url: fleet_url.to_owned(),
            enabled,
            own_token: true,
        }));
        let wanted = wanted.await;
        if wanted.is_err() {
            // It is a secret, and of no use now.
            let _ = fs::remove_file(&path);
        }
        wanted
    }

    /// Calls the fleet from now on, or does not.
    ///
    /// # Errors
    /// [`LineError::Absent`], [`LineError::Keep`]
    pub async fn enable(&self, enabled: bool) -> Result<(), LineError> {
        let _changing = self.changing.lock().await;
        let wanted = self.wanted().ok_or(LineError::Absent)?;
        if wanted.enabled == enabled {
            return Ok(());
        }
        self.want(Some(Wanted { enabled, ..wanted })).await
    }

    /// Leaves the fleet: what made the machine a member is forgotten as soon
    /// as the connection has ended.
    ///
    /// # Errors
    /// [`LineError::Absent`], [`LineError::Keep`]
    pub async fn leave(&self) -> Result<(), LineError> {
        let _changing = self.changing.lock().await;
        self.wanted().ok_or(LineError::Absent)?;
        self.want(None).await
    }

    async fn want(&self, wanted: Option<Wanted>) -> Result<(), LineError> {
        let configured = self.configured.clone();
        let kept = match wanted.clone() {
            Some(Wanted { fleet_url, enabled, own_token }) => Kept {
                configured,
                fleet_url: Some(fleet_url),
                enabled,
                own_token,
            },
            None => Kept { configured, ..Kept::default() },
        };
        let text = serde_json::to_vec(&kept).map_err(io::Error::other)?;
        store(&self.options.folder.join(FILE), text).await?;
        self.wanted.send_replace(wanted);
        Ok(())
    }

    async fn run(
        &self,
        handler: Handler,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) {
        let mut wishes = self.wanted.subscribe();
        loop {
            let wanted = wishes.borrow_and_update().clone();
            if wanted.is_none() {
                self.forget();
            }
            self.state.send_replace(state_of(wanted.as_ref()));
            let end = stop.child_token();
            let calling = async {
                let Some(wanted) = wanted.filter(|it| it.enabled) else {
                    return end.cancelled().await;
                };
                let mut options = self.options.clone();
                if wanted.own_token {
                    let token = options.folder.join(TOKEN);
                    options.join_token_file = Some(token);
                }
                options.fleet_url = wanted.fleet_url;
                let keeper = Keeper::new(
                    options,
                    handler.clone(),
                    self.state.clone(),
                    tasks.clone(),
                );
                keeper.run(end.clone()).await;
            };
            let changed = async {
                let changed = wishes.changed().await;
                end.cancel();
                changed
            };
            let ((), changed) = tokio::join!(calling, async {
                tokio::select! {
                    changed = changed => changed.is_ok(),
                    () = stop.cancelled() => false,
                }
            });
            if !changed {
                return;
            }
        }
    }

    /// Forgets what made the machine a member of the fleet that it left.
    fn forget(&self) {
        let folder = &self.options.folder;
        match kept(folder) {
            Ok(Some(kept)) if kept.fleet_url.is_none() => {}
            // No fleet is configured any more: it may be again.
            _ => return,
        }
        self.options.papers.store(None);
        for name in MEMBERSHIP {
            match fs::remove_file(folder.join(name)) {
                Ok(()) => info!(file = name, "the fleet was left"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    warn!(file = name, %error, "not forgotten");
                }
            }
        }
    }
}

fn state_of(wanted: Option<&Wanted>) -> State {
    match wanted {
        None => State::Absent,
        Some(Wanted { enabled: false, .. }) => State::Disabled,
        Some(_) => State::Connecting { problem: None },
    }
}

fn kept(folder: &Path) -> io::Result<Option<Kept>> {
    let path: PathBuf = folder.join(FILE);
    let Some(text) = read_if_present(&path)? else { return Ok(None) };
    let kept = serde_json::from_slice(&text).inspect_err(|error| {
        warn!(
            error = %Chain(error), file = %path.display(),
            "cannot understand how the fleet was set: as configured"
        );
    });
    Ok(kept.ok())
}

#[cfg(test)]
mod tests {
    use onprem_link::enrol::Fingerprint;
    use uuid::Uuid;

    use super::*;

    fn open(folder: &Path, configured: Option<&str>) -> Line {
        let options =
            Options::new(String::new(), folder.to_owned(), Uuid::nil());
        Line::open(options, configured.map(str::to_owned)).unwrap()
    }

    fn leads_to(line: &Line) -> Option<String> {
        line.wanted().map(|wanted| wanted.fleet_url)
    }

    #[tokio::test]
    async fn what_was_set_last_counts() {
        let (one, two) = (Some("https://one:1"), Some("https://two:2"));
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        open(folder, one).leave().await.unwrap();
        assert_eq!(leads_to(&open(folder, one)), None, "it was left");
        let line = open(folder, two);
        assert_eq!(leads_to(&line).as_deref(), two, "another is configured");
        line.enable(false).await.unwrap();
        assert!(!open(folder, two).wanted().unwrap().enabled);
        assert!(open(folder, one).wanted().unwrap().enabled);
    }

    #[tokio::test]
    async fn a_damaged_note_is_as_configured() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{").unwrap();
        let one = Some("https://one:1");
        let line = open(folder.path(), one);
        assert_eq!(leads_to(&line).as_deref(), one);
        let token = JoinToken::new(Fingerprint::of(b"a CA")).reveal();
        let more = line.join("https://two:2", &token, true).await;
        assert!(matches!(more, Err(LineError::Taken)), "{more:?}");
    }
}
