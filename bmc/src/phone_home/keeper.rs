//! Keeps the tunnel to the fleet: join, dial, serve, wait, again.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use onprem_link::{
    backoff::{Backoff, STABLE},
    clock::FleetClock,
    enrol::{
        EnrolRequest, EnrolResponse, Fingerprint, JoinToken, Refusal,
        RenewRequest,
    },
    executor::Tracked,
    grant::GrantChecker,
    id::Xid,
    log::Chain,
    tunnel::{ENROL_PATH, RENEW_PATH},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    Handler, Options, State,
    dial::{CallError, Dialer, Opened},
    enrolment::{DeviceKey, Enrolment, KeepError, join_token},
    serve,
};

/// The shortest time between two renewals of the certificate.
const RENEWAL_PAUSE: Duration = Duration::from_mins(1);

/// Why there is no tunnel now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "there is neither a certificate nor a join token: {}; \
         `onprem token create` makes one",
        missing(.0.as_deref())
    )]
    NoToken(Option<PathBuf>),
    #[error("there is no certificate, and the join token cannot be used")]
    BadToken(#[source] KeepError),
    #[error("the fleet waits for somebody to approve this device")]
    Waiting { device: Xid, retry_after: Option<Duration> },
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Why there is no join token.
fn missing(file: Option<&Path>) -> String {
    match file {
        None => "`join_token_file` is not set".to_owned(),
        Some(file) if file.exists() => {
            format!("`join_token_file` {} is empty", file.display())
        }
        Some(file) => {
            format!("there is no `join_token_file` {}", file.display())
        }
    }
}

/// What to wait for before the next try.
enum Pause {
    For(Duration),
    /// As long, or until there is another join token.
    ForToken(Duration),
}

/// The task that keeps the tunnel.
pub(super) struct Keeper {
    options: Options,
    handler: Handler,
    state: watch::Sender<State>,
    tasks: TaskTracker,
    backoff: Backoff,
    /// The join token that was tried last, hashed.
    tried: Option<Fingerprint>,
    /// What was last said in the log.
    said: String,
}

/// All that a connection needs.
struct Member {
    dialer: Dialer,
    key: DeviceKey,
    enrolment: Enrolment,
}

impl Keeper {
    pub(super) fn new(
        options: Options,
        handler: Handler,
        state: watch::Sender<State>,
        tasks: TaskTracker,
    ) -> Self {
        let backoff = options.backoff.clone();
        let (tried, said) = (None, String::new());
        Self { options, handler, state, tasks, backoff, tried, said }
    }

    /// Keeps the tunnel until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let Some(connected) =
                stop.run_until_cancelled(self.connect()).await
            else {
                return;
            };
            let pause = match connected {
                Ok((member, opened)) => self.serve(member, opened, &stop).await,
                Err(failure) => self.failed(&failure),
            };
            stop.run_until_cancelled(self.pause(pause)).await;
        }
    }

    async fn connect(&mut self) -> Result<(Member, Opened), Failure> {
        let dialer = Dialer::new(
            &self.options.fleet_url,
            self.options.patience,
            self.tracked(),
        )?;
        let key = DeviceKey::open(&self.options.folder)?;
        let kept = Enrolment::load(&self.options.folder)?;
        let enrolment = match (kept, self.token()) {
            (None, Ok(None)) => {
                let file = self.options.join_token_file.clone();
                return Err(Failure::NoToken(file));
            }
            (None, Err(error)) => return Err(Failure::BadToken(error)),
            (None, Ok(Some(token))) => {
                self.enrol(&dialer, &key, &token).await?
            }
            (Some(kept), Ok(Some(token)))
                if token.hash() != kept.token
                    && Some(token.hash()) != self.tried =>
            {
                // Somebody wants this device to join anew.
                match self.enrol(&dialer, &key, &token).await {
                    Err(Failure::Call(error)) if is_final(&error) => {
                        warn!(
                            error = %Chain(&error),
                            "new join token refused, staying where we are"
                        );
                        kept
                    }
                    enrolled => enrolled?,
                }
            }
            (Some(kept), _) => kept,
        };
        let mut member = Member { dialer, key, enrolment };
        let opened = match member.open().await {
            Err(error)
                if error.refusal() == Some(Refusal::ExpiredCertificate) =>
            {
                member.renew(&self.options).await?;
                member.open().await?
            }
            opened => opened?,
        };
        Ok((member, opened))
    }

    async fn enrol(
        &mut self,
        dialer: &Dialer,
        key: &DeviceKey,
        token: &JoinToken,
    ) -> Result<Enrolment, Failure> {
        let message = EnrolRequest {
            token: token.reveal(),
            request: key.request()?,
            uuid: self.options.uuid,
            facts: self.options.facts.clone(),
        };
        let answered =
            dialer.tell(ENROL_PATH, &message, token.ca(), None).await;
        if answered.as_ref().is_err_and(is_final) {
            self.tried = Some(token.hash());
        }
        let answered = answered?;
        match answered.response {
            EnrolResponse::Accepted { device, certificate, ca } => {
                info!(%device, "joined the fleet");
                Ok(Enrolment::keep(
                    &self.options.folder,
                    device,
                    token.hash(),
                    &certificate,
                    &ca,
                )?)
            }
            EnrolResponse::Waiting { device } => Err(Failure::Waiting {
                device,
                retry_after: answered.retry_after,
            }),
        }
    }

    async fn serve(
        &mut self,
        mut member: Member,
        opened: Opened,
        stop: &CancellationToken,
    ) -> Pause {
        let device = member.enrolment.device;
        info!(%device, fleet = %self.options.fleet_url, "connected to the fleet");
        self.said.clear();
        self.options.papers.store(Some(member.enrolment.papers.clone()));
        let peer = opened.peer;
        self.state.send_replace(State::Connected { device, peer });
        let started = Instant::now();
        let clock = FleetClock::new(opened.now_ms);
        let checker = GrantChecker::new(
            self.options.uuid,
            opened.grant_key,
            crate::verifier::provider(),
            clock.clone(),
        );
        let tracked = self.tracked();
        let ended = {
            let _cut = tracked.stop.clone().drop_guard();
            let served = serve::serve(
                Box::new(TokioIo::new(opened.io)),
                self.handler.clone(),
                checker,
                self.options.keep_alive,
                tracked,
                stop,
            );
            tokio::select! {
                ended = served => ended,
                never = member.keep_renewing(&self.options, &clock) => {
                    match never {}
                }
            }
        };
        self.state.send_replace(State::Connecting { problem: None });
        match ended {
            Ok(()) => info!(%device, "the connection to the fleet ended"),
            Err(error) => info!(
                %device, error = %Chain(&error),
                "the connection to the fleet was lost"
            ),
        }
        if started.elapsed() >= STABLE {
            self.backoff.reset();
        } else {
            self.backoff.ease();
        }
        Pause::For(self.backoff.next_wait())
    }

    fn failed(&mut self, failure: &Failure) -> Pause {
        let connecting =
            || State::Connecting { problem: Some(Chain(failure).to_string()) };
        let (state, pause) = match failure {
            Failure::NoToken(_) | Failure::BadToken(_) => {
                (State::NoToken, Pause::ForToken(Duration::MAX))
            }
            Failure::Waiting { device, retry_after } => {
                // No failure: whoever approves is watching.
                let wait = retry_after.unwrap_or(self.options.token_wait);
                let wait = wait.min(self.options.refused_wait);
                let wait = wait + (wait / 4).mul_f64(rand::random());
                (State::Waiting { device: *device }, Pause::For(wait))
            }
            Failure::Call(error) if is_final(error) => {
                let wait = self.options.refused_wait;
                let wait = wait / 2 + (wait / 2).mul_f64(rand::random());
                let message = match error {
                    CallError::Refused { body, .. } => body.message.clone(),
                    _ => String::new(),
                };
                (State::Refused { message }, Pause::ForToken(wait))
            }
            Failure::Call(CallError::Refused {
                retry_after: Some(wait),
                ..
            }) => {
                let wait = self.backoff.next_wait_after(*wait);
                (connecting(), Pause::For(wait))
            }
            Failure::Call(_) | Failure::Keep(_) => {
                (connecting(), Pause::For(self.backoff.next_wait()))
            }
        };
        self.say(failure, &state);
        self.state.send_replace(state);
        pause
    }

    /// Logs a failure once, not at each try.
    fn say(&mut self, failure: &Failure, state: &State) {
        let text = Chain(failure).to_string();
        if text == self.said {
            debug!(state = state.name(), error = text, "still no tunnel");
            return;
        }
        let fleet = &self.options.fleet_url;
        match state {
            State::Waiting { device } => {
                info!(%device, fleet, "waiting for approval by the fleet");
            }
            State::NoToken | State::Refused { .. } => {
                let file = self.options.join_token_file.as_deref();
                let file = file.unwrap_or("join_token_file".as_ref());
                warn!(
                    fleet, error = text, join_token_file = %file.display(),
                    "not in the fleet; a new join token in the file is needed"
                );
            }
            _ => warn!(fleet, error = text, "no tunnel to the fleet"),
        }
        self.said = text;
    }

    async fn pause(&self, pause: Pause) {
        match pause {
            Pause::For(wait) => sleep(wait).await,
            Pause::ForToken(wait) => {
                let hash = || Some(self.token().ok()??.hash());
                let before = hash();
                let start = Instant::now();
                while start.elapsed() < wait && hash() == before {
                    sleep(self.options.token_wait).await;
                }
            }
        }
    }

    /// The join token, if there is one.
    fn token(&self) -> Result<Option<JoinToken>, KeepError> {
        let file = self.options.join_token_file.as_deref();
        file.map_or(Ok(None), join_token)
    }

    fn tracked(&self) -> Tracked {
        let stop = CancellationToken::new();
        Tracked { tasks: self.tasks.clone(), stop }
    }
}

impl Member {
    async fn open(&self) -> Result<Opened, CallError> {
        self.dialer.open(&self.enrolment, &self.key).await
    }

    async fn renew(&mut self, options: &Options) -> Result<(), Failure> {
        let message = RenewRequest { request: self.key.request()? };
        let ca = self.enrolment.ca;
        let member = Some((&self.enrolment, &self.key));
        let answered =
            self.dialer.tell(RENEW_PATH, &message, ca, member).await?;
        match answered.response {
            EnrolResponse::Accepted { device, certificate, ca } => {
                self.enrolment = Enrolment::keep(
                    &options.folder,
                    device,
                    self.enrolment.token,
                    &certificate,
                    &ca,
                )?;
                options.papers.store(Some(self.enrolment.papers.clone()));
                info!(%device, "certificate renewed");
                Ok(())
            }
            EnrolResponse::Waiting { device } => {
                Err(Failure::Waiting { device, retry_after: None })
            }
        }
    }

    /// Renews the certificate at half its life, again and again.
    async fn keep_renewing(
        &mut self,
        options: &Options,
        clock: &FleetClock,
    ) -> Infallible {
        let mut backoff = options.backoff.clone();
        loop {
            let wait = self.enrolment.renew_in_s(clock.now_s());
            sleep(Duration::from_secs(wait)).await;
            let wait = match self.renew(options).await {
                Ok(()) => {
                    backoff.reset();
                    RENEWAL_PAUSE
                }
                Err(error) => {
                    warn!(error = %Chain(&error), "certificate not renewed");
                    RENEWAL_PAUSE + backoff.next_wait()
                }
            };
            sleep(wait).await;
        }
    }
}

/// Whether trying again will not help until somebody does something.
fn is_final(error: &CallError) -> bool {
    matches!(
        error.refusal(),
        Some(
            Refusal::UnknownToken
                | Refusal::ExpiredToken
                | Refusal::UsedToken
                | Refusal::UnknownDevice
                | Refusal::ForgottenCertificate
        )
    )
}
