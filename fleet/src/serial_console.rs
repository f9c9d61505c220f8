//! The serial consoles of a device's systems, through its tunnel.
//!
//! What is spoken on a console is a WebSocket from end to end, between whoever
//! looks and the agent: the fleet opens the way to it, with a grant that says
//! who looks, and passes bytes on for as long as they may.

use std::{fmt, io, time::Duration};

use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::{ext::Protocol, upgrade};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    time::{interval, timeout},
};

use crate::{
    Fleet,
    api::{DeviceConsole, SerialConsole},
    auth::Caller,
    error::Error,
    live::{CONSOLE as URI, Live, link, reason, text, word},
    tunnel::{self, TunnelError},
};

/// Bytes on their way in one direction.
const BUFFER: usize = 8 << 10;
/// How often it is looked whether the caller may still look.
const LOOK: Duration = Duration::from_secs(2);
/// The largest answer of a device that refuses.
const REFUSAL: usize = 64 << 10;
/// How long a refusal may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open way to a console.
pub(crate) struct Way {
    io: TokioIo<upgrade::Upgraded>,
    /// It counts as one of the device's requests.
    _answer: Response<tunnel::Incoming>,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Way")
    }
}

impl Live {
    /// The serial consoles.
    ///
    /// # Errors
    /// The device cannot be asked.
    pub(crate) async fn consoles(&self) -> Result<Vec<DeviceConsole>, Error> {
        let systems = self.members("/redfish/v1/Systems").await?;
        Ok(systems.iter().filter_map(console).collect())
    }

    /// The serial console of a system, by its id or name, with the last
    /// `tail` bytes that came on it.
    ///
    /// # Errors
    /// The device cannot be asked, or has no such console.
    pub(crate) async fn console(
        &self,
        system: &str,
        tail: u32,
    ) -> Result<SerialConsole, Error> {
        let resource = self.system_of(system).await?;
        let found = console(&resource);
        let Some(console) = found else {
            return Err(Error::not_found("console", system));
        };
        let uri = "/Oem/OnPrem/SerialConsoleHistoryURI";
        let output = match text(&resource, uri) {
            Some(uri) if is_own(&uri) => {
                let uri = format!("{uri}?tail={tail}");
                Some(self.bytes(&uri).await?)
            }
            _ => None,
        };
        let output = output.map(|it| String::from_utf8_lossy(&it).into_owned());
        let DeviceConsole { id, name, power_state, sessions } = console;
        Ok(SerialConsole { id, name, power_state, sessions, output })
    }

    /// Opens the way to the console of a system; `query` says how.
    ///
    /// # Errors
    /// The device cannot be asked, has no such console, or refuses.
    pub(crate) async fn console_way(
        &self,
        system: &str,
        query: &str,
        request_id: &str,
    ) -> Result<Way, Error> {
        let resource = self.system_of(system).await?;
        let uri = text(&resource, URI).filter(|uri| is_own(uri));
        let uri = uri.ok_or_else(|| Error::not_found("console", system))?;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("{uri}?{query}"))
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header("x-request-id", request_id)
            .extension(Protocol::from_static("websocket"))
            .body(tunnel::empty());
        let request = request.map_err(|error| self.failed(error.into()))?;
        let mut answer = self.ask(request).await?;
        if !answer.status().is_success() {
            let status = answer.status();
            let body = Limited::new(answer.into_body(), REFUSAL).collect();
            let body = timeout(PATIENCE, body).await;
            let body = body.ok().and_then(Result::ok);
            let body = body.map(Collected::to_bytes).unwrap_or_default();
            let value: Value =
                serde_json::from_slice(&body).unwrap_or_default();
            return Err(self.refused(status, reason(&value)));
        }
        let on = upgrade::on(&mut answer).await;
        let lost = |error| self.failed(TunnelError::Lost(error));
        let io = TokioIo::new(on.map_err(lost)?);
        Ok(Way { io, _answer: answer })
    }

    /// The system with this id, else the one with this name.
    async fn system_of(&self, word: &str) -> Result<Value, Error> {
        let mut systems = self.members("/redfish/v1/Systems").await?;
        let at = |pointer: &str| {
            let is = |it: &Value| text(it, pointer).as_deref() == Some(word);
            let mut found = (0..).zip(&systems).filter(|(_, it)| is(it));
            let first = found.next();
            first.filter(|_| found.next().is_none()).map(|(at, _)| at)
        };
        let found: Option<usize> = at("/Id").or_else(|| at("/Name"));
        let found = found.map(|at| systems.swap_remove(at));
        found.ok_or_else(|| Error::not_found("console", word))
    }
}

fn console(system: &Value) -> Option<DeviceConsole> {
    text(system, URI).filter(|uri| is_own(uri))?;
    let sessions = system.pointer("/SerialConsole/MaxConcurrentSessions");
    let sessions = sessions.and_then(Value::as_u64);
    Some(DeviceConsole {
        id: text(system, "/Id")?,
        name: text(system, "/Name").unwrap_or_default(),
        power_state: word(system, "/PowerState"),
        sessions: sessions.and_then(|it| u32::try_from(it).ok()),
    })
}

/// Whether what a device says is a path of its Redfish service.
fn is_own(uri: &str) -> bool {
    link(&serde_json::json!({ "@odata.id": uri }), "").is_some_and(|uri| {
        uri.starts_with("/redfish/v1/") && !uri.contains('?')
    })
}

/// Passes on what both sides say until one of them leaves, the caller may not
/// look any more, or the fleet stops.
pub(crate) async fn pass(
    fleet: Fleet,
    caller: Caller,
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut way: Way,
) -> io::Result<()> {
    let mut tick = interval(LOOK);
    let watch = async {
        loop {
            tick.tick().await;
            if !fleet.auth().still_may(&caller) {
                return;
            }
        }
    };
    tokio::select! {
        passed = copy_bidirectional_with_sizes(
            &mut client, &mut way.io, BUFFER, BUFFER,
        ) => passed.map(drop),
        () = watch => Ok(()),
        () = fleet.stop().cancelled() => Ok(()),
    }
}
