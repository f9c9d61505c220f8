//! One update, as a task: fetch, verify, install, and hand over to the trial.

use std::sync::Arc;

use http::{StatusCode, Uri};
use onprem_link::{file::is_full, log::Chain};
use onprem_redfish::message::{Message, base, update};
use tempfile::NamedTempFile;
use tokio::{task::spawn_blocking, time::timeout};
use tracing::{info, warn};

use super::{Turn, Updater};
use crate::{
    leave::Leave,
    redfish::{
        error::Error,
        task::{Ended, Progress, Work},
    },
    update::{
        PRODUCT,
        fetch::{self, Credentials, FetchError, Trust},
        image::{Header, MAX_IMAGE},
        probe,
        slots::{InstallError, Policy, Unpacked},
    },
};

/// How long the whole transfer of an image may take.
pub(super) const TRANSFER: std::time::Duration =
    std::time::Duration::from_mins(10);

/// Where an image comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// It has to be fetched.
    Uri(Uri, Option<Credentials>),
    /// It is here.
    File(NamedTempFile),
}

/// An update that somebody asked for.
#[derive(Debug)]
pub(crate) struct Order {
    /// What people call the image: the name of its file.
    pub(crate) image: String,
    pub(crate) source: Source,
    /// Whether a version that is not newer is wanted as well.
    pub(crate) force: bool,
    pub(crate) turn: Turn,
}

impl Updater {
    /// The work that carries `order` out.
    pub(crate) fn work(self: &Arc<Self>, order: Order) -> Work {
        let updater = Arc::clone(self);
        Work::new("Firmware update", move |progress| async move {
            updater.carry_out(order, &progress).await
        })
    }

    async fn carry_out(
        &self,
        order: Order,
        progress: &Progress,
    ) -> Result<Ended, Error> {
        let Order { image, source, force, turn: _turn } = order;
        let target = Self::target();
        progress.say(&update::target_determined(&target, &image));
        let file = match source {
            Source::File(file) => file,
            Source::Uri(uri, credentials) => {
                let say = update::transferring_to_component(&image, &target);
                progress.say(&say);
                self.transfer(uri, credentials, progress)
                    .await
                    .map_err(|error| refuse_transfer(&image, &target, &error))?
            }
        };
        progress.percent(60);
        progress.say(&update::verifying_at_component(&image, &target));
        let unpacked = self.unpack(file, force).await;
        let unpacked = match unpacked {
            Ok(unpacked) => unpacked,
            Err(error) => return Err(refuse(&image, &target, &error)),
        };
        progress.percent(80);
        if let Err(reason) = is_itself(&unpacked).await {
            let message = update::verification_failed(&image, &target);
            return Err(bad(message.resolved_by(reason)));
        }
        progress.no_way_back()?;
        progress.say(&update::installing_on_component(&image, &target));
        let version = unpacked.header.version.clone();
        let slots = self.slots.clone();
        let task = progress.id().to_owned();
        let placed = spawn_blocking(move || {
            let slot = slots.place(unpacked)?;
            slots.begin_trial(slot, Some(task))
        });
        let placed = placed.await.map_err(|_| Error::internal())?;
        if let Err(error) = placed {
            let message = update::apply_failed(&image, &target);
            return Err(failed(message, &error));
        }
        progress.percent(90);
        progress.say(&update::applying_on_component(&image, &target));
        progress.hand_over().await;
        info!(version, "an update is installed, and is to be tried");
        if let Err(error) =
            self.commands.leave(&self.manager, Leave::default()).await
        {
            warn!(%error, "the agent does not restart for its update");
            self.call_off().await;
            return Err(error.into());
        }
        Ok(Ended::Later)
    }

    async fn transfer(
        &self,
        uri: Uri,
        credentials: Option<Credentials>,
        progress: &Progress,
    ) -> Result<NamedTempFile, FetchError> {
        let verify = self.settings().verify_server;
        let secure = uri.scheme_str() == Some("https");
        let ca_file = self.config.ca_file.clone();
        let slots = self.slots.clone();
        let prepared = spawn_blocking(move || {
            let trust = if verify {
                match Trust::roots(&ca_file) {
                    // Plain HTTP needs none, and may lead to HTTPS.
                    Err(_) if !secure => Trust::nobody(),
                    roots => roots?,
                }
            } else {
                Trust::anyone()
            };
            let incoming = slots.incoming().map_err(FetchError::Write)?;
            let file = incoming.reopen().map_err(FetchError::Write)?;
            Ok((trust, incoming, file))
        });
        let prepared = prepared
            .await
            .map_err(|error| FetchError::Write(std::io::Error::other(error)))?;
        let (trust, incoming, file) = prepared?;
        let mut file = tokio::fs::File::from_std(file);
        let host = uri.authority().map(ToString::to_string);
        let fetched = fetch::fetch(
            uri,
            &trust,
            credentials,
            MAX_IMAGE,
            &mut file,
            |came, of| {
                let of = of.unwrap_or(MAX_IMAGE).max(1);
                let percent = came.saturating_mul(60) / of;
                progress.percent(u8::try_from(percent.min(60)).unwrap_or(60));
            },
        );
        match timeout(TRANSFER, fetched).await {
            Ok(fetched) => fetched.map(|()| incoming),
            Err(error) => {
                let host = host.unwrap_or_default();
                Err(FetchError::Transfer { host, source: error.into() })
            }
        }
    }

    async fn unpack(
        &self,
        mut file: NamedTempFile,
        force: bool,
    ) -> Result<Unpacked, InstallError> {
        let slots = self.slots.clone();
        let trusted = self.trusted.clone();
        let policy =
            Policy { force, allow_downgrade: self.config.allow_downgrade };
        let unpacked = spawn_blocking(move || {
            slots.unpack(file.as_file_mut(), &trusted, policy)
        });
        unpacked.await.unwrap_or_else(|error| {
            let path = self.slots.folder().to_owned();
            let source = std::io::Error::other(error);
            Err(InstallError::Write { path, source })
        })
    }

    /// Takes back a trial that will not be.
    async fn call_off(&self) {
        let slots = self.slots.clone();
        let called_off = spawn_blocking(move || {
            let mut record = slots.record();
            record.trial = None;
            slots.keep(&record)
        });
        if let Ok(Err(error)) = called_off.await {
            warn!(%error, "a trial is not called off");
        }
    }
}

/// Does the program say of itself what its image says of it?
async fn is_itself(unpacked: &Unpacked) -> Result<(), String> {
    let Header { version, .. } = &unpacked.header;
    let expected = format!("{PRODUCT} {version}");
    match probe::version(unpacked.program()).await {
        Ok(said) if said == expected => Ok(()),
        Ok(said) => Err(format!(
            "The program says that it is `{said}`, and its image says \
             `{expected}`: make the image anew."
        )),
        Err(error) => {
            Err(format!("The program of the image cannot be run: {error}."))
        }
    }
}

fn bad(message: Message) -> Error {
    Error::new(StatusCode::BAD_REQUEST, message)
}

fn failed(message: Message, error: &std::io::Error) -> Error {
    warn!(%error, "update not installed");
    let full = is_full(error);
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let mut answer = Error::new(status, message);
    if full {
        answer.status = StatusCode::INSUFFICIENT_STORAGE;
        answer.messages.push(base::insufficient_storage());
    }
    answer
}

fn refuse(image: &str, target: &str, error: &InstallError) -> Error {
    let reason = Chain(error).to_string();
    warn!(reason, "update refused");
    let reason = format!("Nothing was changed: {reason}.");
    let message = match error {
        InstallError::Write { source, .. } => {
            let message = update::apply_failed(image, target);
            return failed(message.resolved_by(reason), source);
        }
        InstallError::Image(_) if error.is_full() => {
            let message = update::apply_failed(image, target);
            let full = std::io::ErrorKind::StorageFull.into();
            return failed(message.resolved_by(reason), &full);
        }
        InstallError::Image(_) => update::verification_failed(image, target),
        InstallError::Policy { .. } => {
            update::update_not_applicable(image, target)
        }
        InstallError::Trial(_) => update::update_in_progress(),
    };
    bad(message.resolved_by(reason))
}

fn refuse_transfer(image: &str, target: &str, error: &FetchError) -> Error {
    let reason = Chain(error).to_string();
    warn!(reason, "image not fetched");
    let message = update::transfer_failed(image, target)
        .resolved_by(format!("Nothing was changed: {reason}."));
    match error {
        FetchError::Write(source) => failed(message, source),
        _ => bad(message),
    }
}
