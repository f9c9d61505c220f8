//! What devices can ask of the listener: enrol, renew, open the tunnel.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use onprem_link::{
    enrol::{
        EnrolRequest, EnrolResponse, JoinToken, Refusal, RefusalBody,
        RenewRequest,
    },
    id::Xid,
    log::Chain,
    tunnel::{self, GRANT_KEY_HEADER, MAX_MESSAGE, TIME_HEADER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    Admission, Authority, Directory, DirectoryError, Enrolment, ListenOptions,
    Standing, Tunnels,
    authority::ProvedKey,
    registry::Opened,
    verifier::{GRACE_S, Shown},
};

/// Devices that enrol or renew at the same time.
const MAX_SIGNING: usize = 64;

/// Who is on the line.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) peer: SocketAddr,
    pub(super) shown: Option<Shown>,
    /// The place of the connection among those that the listener takes.
    pub(super) place: Arc<OwnedSemaphorePermit>,
}

/// Answers devices.
pub(super) struct Endpoints<D> {
    authority: Arc<Authority>,
    directory: Arc<D>,
    tunnels: Tunnels,
    tasks: TaskTracker,
    stop: CancellationToken,
    signing: Semaphore,
    patience: Duration,
    retry_after: Duration,
    approval_wait: Duration,
}

/// A refusal with a text for people.
struct Refused(Refusal, String);

impl Refused {
    fn new(code: Refusal, message: impl Into<String>) -> Self {
        Self(code, message.into())
    }
}

impl From<Refusal> for Refused {
    fn from(code: Refusal) -> Self {
        let message = match code {
            Refusal::UnknownToken => "there is no such join token",
            Refusal::ExpiredToken => "the join token has expired",
            Refusal::UsedToken => "another device joined with this token",
            Refusal::UnknownDevice => "the fleet does not know this device",
            Refusal::ExpiredCertificate => "the certificate has expired",
            Refusal::ForgottenCertificate => {
                "the certificate expired too long ago to be renewed"
            }
            Refusal::NoCertificate => "a client certificate is needed",
            Refusal::BadRequest => "the request cannot be understood",
            Refusal::Unavailable => "the fleet cannot answer now",
        };
        Self::new(code, message)
    }
}

type Answer = Response<Full<Bytes>>;

impl<D: Directory> Endpoints<D> {
    pub(super) fn new(
        authority: Arc<Authority>,
        directory: Arc<D>,
        tunnels: Tunnels,
        tasks: TaskTracker,
        stop: CancellationToken,
        options: &ListenOptions,
    ) -> Self {
        Self {
            authority,
            directory,
            tunnels,
            tasks,
            stop,
            signing: Semaphore::new(MAX_SIGNING),
            patience: options.patience,
            retry_after: options.retry_after,
            approval_wait: options.approval_wait,
        }
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Caller,
    ) -> Answer {
        let peer = caller.peer;
        let answered = match (request.method(), request.uri().path()) {
            (&Method::POST, tunnel::ENROL_PATH) => {
                self.enrol(request, &caller).await
            }
            (&Method::POST, tunnel::RENEW_PATH) => {
                self.renew(request, &caller).await
            }
            (&Method::GET, tunnel::TUNNEL_PATH) => {
                self.tunnel(request, caller).await
            }
            (method, path) => Err(Refused::new(
                Refusal::BadRequest,
                format!("devices have no business with {method} {path}"),
            )),
        };
        let mut answer = answered.unwrap_or_else(|Refused(code, message)| {
            info!(%peer, ?code, message, "device refused");
            self.json(status(code), &RefusalBody { code, message })
        });
        let now = self.tunnels.clock().now_ms();
        answer.headers_mut().insert(TIME_HEADER, now.into());
        answer
    }

    async fn enrol(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Result<Answer, Refused> {
        let message: EnrolRequest = self.read(request).await?;
        let _turn = self.turn().await?;
        let token: JoinToken = message
            .token
            .parse()
            .map_err(|_| Refused::from(Refusal::UnknownToken))?;
        let key = prove(&message.request)?;
        let enrolment = Enrolment {
            token: token.hash(),
            uuid: message.uuid,
            key: key.fingerprint(),
            facts: message.facts,
            peer: caller.peer,
        };
        let uuid = enrolment.uuid;
        match self
            .directory
            .enrol(enrolment)
            .await
            .map_err(|e| unavailable(&e))?
        {
            Admission::Accepted { device } => {
                info!(%device, %uuid, peer = %caller.peer, "device joined");
                self.certificate(device, &key)
            }
            Admission::Waiting { device } => {
                // The directory told of it at the first time.
                debug!(
                    %device, %uuid, peer = %caller.peer,
                    "device waits for approval of its new key"
                );
                let waiting = EnrolResponse::Waiting { device };
                let mut answer = self.json(StatusCode::ACCEPTED, &waiting);
                let seconds = self.approval_wait.as_secs().into();
                answer.headers_mut().insert(RETRY_AFTER, seconds);
                Ok(answer)
            }
            Admission::Refused(code) => Err(code.into()),
        }
    }

    async fn renew(
        &self,
        request: Request<Incoming>,
        caller: &Caller,
    ) -> Result<Answer, Refused> {
        let shown = caller.shown.ok_or(Refusal::NoCertificate)?;
        if shown.until + GRACE_S < self.tunnels.clock().now_s() {
            return Err(Refusal::ForgottenCertificate.into());
        }
        self.standing(shown).await?;
        let message: RenewRequest = self.read(request).await?;
        let _turn = self.turn().await?;
        let key = prove(&message.request)?;
        if key.fingerprint() != shown.key {
            return Err(Refused::new(
                Refusal::BadRequest,
                "the key is not the one of the present certificate",
            ));
        }
        debug!(device = %shown.device, "certificate renewed");
        self.certificate(shown.device, &key)
    }

    async fn tunnel(
        &self,
        mut request: Request<Incoming>,
        caller: Caller,
    ) -> Result<Answer, Refused> {
        let asked = request.headers().get(UPGRADE);
        if asked.is_none_or(|protocol| protocol != tunnel::UPGRADE) {
            return Err(Refused::new(
                Refusal::BadRequest,
                format!("`Upgrade: {}` is needed", tunnel::UPGRADE),
            ));
        }
        let shown = caller.shown.ok_or(Refusal::NoCertificate)?;
        let now = self.tunnels.clock().now_s();
        if shown.until + GRACE_S < now {
            return Err(Refusal::ForgottenCertificate.into());
        }
        let uuid = self.standing(shown).await?;
        if shown.until < now {
            return Err(Refusal::ExpiredCertificate.into());
        }
        if !self.tunnels.has_room_for(shown.device) {
            return Err(Refusal::Unavailable.into());
        }
        let upgrade = hyper::upgrade::on(&mut request);
        let (tunnels, directory) =
            (self.tunnels.clone(), Arc::clone(&self.directory));
        let (tasks, stop) = (self.tasks.clone(), self.stop.child_token());
        let patience = self.patience;
        self.tasks.spawn(async move {
            let Caller { peer, place, .. } = caller;
            let device = shown.device;
            let Ok(Ok(io)) = timeout(patience, upgrade).await else {
                debug!(%device, %peer, "the device did not open its tunnel");
                return;
            };
            let belongs = async {
                let standing = directory.standing(device, shown.key).await;
                // A store that cannot answer says nothing against the device.
                !matches!(standing, Ok(Standing::Unknown))
            };
            let opened = Opened { device, uuid, peer, io, tasks, stop };
            let kept = tunnels.keep(opened, belongs);
            if let Err(error) = kept.await {
                info!(%device, error = %Chain(&error), "tunnel ended");
            }
            drop(place);
        });
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(tunnel::UPGRADE));
        let key = self.tunnels.grant_key().to_string();
        let key = HeaderValue::try_from(key)
            .map_err(|_| Refused::from(Refusal::Unavailable))?;
        headers.insert(GRANT_KEY_HEADER, key);
        Ok(answer)
    }

    /// A turn to be signed for; those who wait too long come back later.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refused> {
        match timeout(self.patience, self.signing.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Refusal::Unavailable.into()),
        }
    }

    async fn standing(&self, shown: Shown) -> Result<Uuid, Refused> {
        let standing = self.directory.standing(shown.device, shown.key).await;
        match standing.map_err(|e| unavailable(&e))? {
            Standing::Accepted { uuid } => Ok(uuid),
            Standing::Unknown => Err(Refusal::UnknownDevice.into()),
        }
    }

    fn certificate(
        &self,
        device: Xid,
        key: &ProvedKey,
    ) -> Result<Answer, Refused> {
        let now_s = self.tunnels.clock().now_s();
        let signed = self.authority.sign_device(device, key, now_s);
        let certificate = signed.map_err(|error| {
            warn!(%device, error = %Chain(&error), "certificate not signed");
            Refused::from(Refusal::Unavailable)
        })?;
        let ca = self.authority.pem().to_owned();
        let accepted = EnrolResponse::Accepted { device, certificate, ca };
        Ok(self.json(StatusCode::OK, &accepted))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: Request<Incoming>,
    ) -> Result<T, Refused> {
        let bad = |text: String| Refused::new(Refusal::BadRequest, text);
        let body = Limited::new(request.into_body(), MAX_MESSAGE).collect();
        let body = timeout(self.patience, body)
            .await
            .map_err(|_| bad("the body did not arrive in time".into()))?
            .map_err(|error| bad(error.to_string()))?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|error| bad(error.to_string()))
    }

    fn json(&self, status: StatusCode, body: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(body).unwrap_or_default();
        let mut answer = Response::new(Full::from(body));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = self.retry_after.as_secs();
            headers.insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}

fn prove(request_pem: &str) -> Result<ProvedKey, Refused> {
    ProvedKey::read(request_pem).map_err(|error| {
        Refused::new(Refusal::BadRequest, Chain(&error).to_string())
    })
}

fn unavailable(error: &DirectoryError) -> Refused {
    warn!(error = %Chain(error), "device told to come back");
    Refusal::Unavailable.into()
}

fn status(code: Refusal) -> StatusCode {
    match code {
        Refusal::UnknownToken
        | Refusal::ExpiredToken
        | Refusal::UsedToken
        | Refusal::UnknownDevice
        | Refusal::ForgottenCertificate => StatusCode::FORBIDDEN,
        Refusal::ExpiredCertificate | Refusal::NoCertificate => {
            StatusCode::UNAUTHORIZED
        }
        Refusal::BadRequest => StatusCode::BAD_REQUEST,
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}
