//! `SerialConsole.WebSocket` of a system (DSP0266, "WebSocket inbound
//! access"; RFC 6455, and RFC 8441 over HTTP/2), and what came before.
//!
//! Whoever may read the system may look; to type takes what a change of the
//! system takes.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use onprem_link::{log::Chain, task::Tasks as _};
use onprem_redfish::{
    message::base,
    privilege::{Privilege, Privileges},
};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::{
    Body, ODATA_VERSION, Origin, Service,
    error::Error,
    exchange::{Exchange, is_write},
    identity::is_from_elsewhere,
    resource::Caller,
    router::Route,
    uri,
};
use crate::{
    accounts::Book,
    console::{Console, Guest, Manner, Rights, attend},
    model::{Id, PowerState},
};

const WEBSOCKET: &str = "websocket";
/// What RFC 6455, section 1.3, has both sides know.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How much of what came before one gets who does not say.
const HISTORY: usize = 8 << 10;
/// The most that is asked for at once.
const MOST: usize = 2 << 20;
/// To type takes any of these.
const TYPE: Privileges = Privileges::of(&[Privilege::ConfigureComponents]);

/// A request for a WebSocket over HTTP/2, as it would be over HTTP/1.1: a GET.
pub(super) fn as_get<B>(mut request: Request<B>) -> Request<B> {
    let protocol = request.extensions().get::<Protocol>();
    let is_socket = protocol.is_some_and(|it| it.as_str() == WEBSOCKET);
    if *request.method() == Method::CONNECT && is_socket {
        *request.method_mut() = Method::GET;
    }
    request
}

/// What the query asks for.
#[derive(Debug, Default)]
struct Wish {
    manner: Manner,
    tail: Option<usize>,
}

impl Wish {
    fn parse(query: &str) -> Result<Self, Error> {
        let manner = Manner { history: HISTORY, ..Manner::default() };
        let mut wish = Self { manner, tail: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = || {
                let value: String = value.chars().take(64).collect();
                let message =
                    base::query_parameter_value_format_error(value, &*name);
                Error::bad(vec![message])
            };
            let flag = || value.parse().map_err(|_| wrong());
            let size = || {
                let size = value.parse::<usize>().map_err(|_| wrong())?;
                Ok::<_, Error>(size.min(MOST))
            };
            match &*name {
                "control" => wish.manner.control = flag()?,
                "readOnly" => wish.manner.read_only = flag()?,
                "take" => wish.manner.take = flag()?,
                "history" => wish.manner.history = size()?,
                "from" => {
                    let from = value.parse().map_err(|_| wrong())?;
                    wish.manner.from = Some(from);
                }
                "tail" => wish.tail = Some(size()?),
                _ => {
                    let name: String = name.chars().take(64).collect();
                    let message = base::query_parameter_unsupported(name);
                    return Err(Error::bad(vec![message]));
                }
            }
        }
        Ok(wish)
    }
}

impl Exchange<'_> {
    /// The console of the system with these ids, if the caller may see it.
    fn console_of(
        &self,
        path: &str,
        ids: &[&str],
    ) -> Result<Arc<Console>, Error> {
        let of = uri::of(uri::SYSTEM, ids);
        let Some((Route::Resource(entry), _)) = self.service.routes.find(&of)
        else {
            return Err(Error::internal());
        };
        let allow = HeaderValue::from_static("GET");
        if is_write(&self.parts.method) || self.parts.method == Method::HEAD {
            return Err(Error::method_not_allowed(allow));
        }
        self.authorize(entry, ids, None)?;
        self.must_exist(entry, &of, ids)?;
        let system = ids.first().copied().unwrap_or_default();
        let console = self.service.consoles.of(system);
        console.cloned().ok_or_else(|| Error::not_found(path))
    }

    /// What came on the console.
    pub(super) async fn console_history(
        &self,
        path: &str,
        ids: &[&str],
    ) -> Result<Response<Body>, Error> {
        let console = self.console_of(path, ids)?;
        let wish = Wish::parse(self.parts.uri.query().unwrap_or_default())?;
        let bytes = console.tail(wish.tail.unwrap_or(RECENT)).await;
        let mut response = Response::new(Body::from(Bytes::from(bytes)));
        let headers = response.headers_mut();
        // Whatever the far end says, it is no page.
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
        Ok(response)
    }

    /// Makes of the connection a WebSocket, at which the console is.
    pub(super) fn console(
        &self,
        path: &str,
        ids: &[&str],
    ) -> Result<Response<Body>, Error> {
        let console = self.console_of(path, ids)?;
        let wish = Wish::parse(self.parts.uri.query().unwrap_or_default())?;
        // A browser adds a password or a certificate that it knows to what a
        // page of another site asks for, and lets the page have the answer.
        let tunnelled = matches!(self.origin, Origin::Tunnel(_));
        if !tunnelled && is_from_elsewhere(self.parts) {
            return Err(Error::forbidden());
        }
        let mut response = switching(self.parts)?;
        let on = self.parts.extensions.get::<OnUpgrade>().cloned();
        let on = on.ok_or_else(|| upgrade_required("Upgrade"))?;
        let service = self.service.itself.upgrade();
        let service = service.ok_or_else(Error::internal)?;
        let caller = self.caller.clone().ok_or_else(Error::unauthorized)?;
        let guest = self.guest(&service, caller, &console.system);
        let may_type = (guest.rights)() == Rights::Type;
        let typist = may_type && !wish.manner.read_only;
        let seat = service.consoles.seat(&console, typist);
        let seat = seat.ok_or_else(|| Error::busy(30))?;
        let stop = service.consoles.stop();
        service.tasks.start(async move {
            let io = match stop.run_until_cancelled(on).await {
                Some(Ok(io)) => TokioIo::new(io),
                Some(Err(error)) => {
                    tracing::debug!(error = %Chain(&error), "no WebSocket");
                    return;
                }
                None => return,
            };
            attend(io, seat, guest, wish.manner, stop).await;
        });
        let headers = response.headers_mut();
        headers.insert(ODATA_VERSION, HeaderValue::from_static("4.0"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    fn guest(
        &self,
        service: &Arc<Service>,
        caller: Caller,
        system: &Id,
    ) -> Guest {
        let (who, by) = (caller.known_as(), self.by(StatusCode::OK));
        let logs = Arc::clone(service);
        let accounts = Arc::clone(&service.accounts);
        let (model, system) = (service.model.clone(), system.clone());
        Guest {
            who,
            off: Box::new(move || {
                let state = model.snapshot().seen_power(&system);
                state == Some(PowerState::Off)
            }),
            rights: Box::new(move || rights(&caller, &accounts.book())),
            note: Box::new(move |text| logs.audit.note(by.clone(), text)),
        }
    }
}

/// How much of what came one gets who does not say.
const RECENT: usize = 64 << 10;

/// What the caller may do now. A grant of the fleet was checked when it came;
/// the fleet ends what it is not good for any more.
fn rights(caller: &Caller, book: &Book) -> Rights {
    let held = if caller.account {
        let account = book.accounts.get(&caller.name);
        let account = account.filter(|it| it.enabled && it.key == caller.key);
        match account {
            Some(account) => book.privileges(&account.role),
            None => return Rights::None,
        }
    } else {
        caller.privileges
    };
    if !Privileges::of(&[Privilege::Login]).met_by(held) {
        Rights::None
    } else if TYPE.met_by(held) {
        Rights::Type
    } else {
        Rights::Look
    }
}

/// The answer that makes of the connection a WebSocket.
fn switching(parts: &http::request::Parts) -> Result<Response<Body>, Error> {
    let headers = &parts.headers;
    let mut response = Response::new(Body::default());
    if headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|it| it != "13") {
        let mut error = upgrade_required("Sec-WebSocket-Version");
        let version = HeaderValue::from_static("13");
        error.headers.push((SEC_WEBSOCKET_VERSION, version));
        return Err(error);
    }
    if parts.extensions.get::<Protocol>().is_some() {
        return Ok(response);
    }
    if !has_word(headers, CONNECTION, "upgrade")
        || !has_word(headers, UPGRADE, WEBSOCKET)
        || !headers.contains_key(SEC_WEBSOCKET_VERSION)
    {
        return Err(upgrade_required("Upgrade"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let is_key = |key: &&HeaderValue| {
        BASE64_STANDARD.decode(key).is_ok_and(|it| it.len() == 16)
    };
    let Some(key) = key.filter(is_key) else {
        let status = StatusCode::BAD_REQUEST;
        return Err(Error::header(status, "Sec-WebSocket-Key"));
    };
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(GUID);
    let accept = BASE64_STANDARD.encode(digest.finish());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    headers.insert(SEC_WEBSOCKET_ACCEPT, super::render::header(&accept));
    Ok(response)
}

/// There is nothing here but a WebSocket.
fn upgrade_required(header: &str) -> Error {
    let mut error = Error::header(StatusCode::UPGRADE_REQUIRED, header);
    let websocket = HeaderValue::from_static(WEBSOCKET);
    error.headers.push((UPGRADE, websocket));
    error
}

/// Whether a list of words in a header has this one.
fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut words = values.flat_map(|value| value.split(','));
    words.any(|it| it.trim().eq_ignore_ascii_case(word))
}
