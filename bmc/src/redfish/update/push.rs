//! The multipart push of an image (DSP0266, "Multipart HTTP push updates"):
//! streamed to disk, within bounds of size and time.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::BodyExt as _;
use multer::{Constraints, Field, Multipart, SizeLimit};
use onprem_redfish::message::{Message, base};
use serde_json::{Map, Value};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt as _, task::spawn_blocking, time::timeout};

use super::{Order, Source, Updater, work::TRANSFER};
use crate::{
    redfish::{
        Body, error::Error, exchange::Exchange, incoming::Incoming,
        router::Route, uri,
    },
    update::image::MAX_IMAGE,
};

/// The part that says how, and the part that says what.
const PARAMETERS: &str = "UpdateParameters";
const FILE: &str = "UpdateFile";
/// The largest part that is no image, in bytes.
const MAX_PARAMETERS: u64 = 16 << 10;
/// What the frame of the parts may add to the image, in bytes.
const MAX_FRAME: u64 = 64 << 10;
/// How long the next piece may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Exchange<'_> {
    /// Takes an image in, and starts the update.
    pub(in crate::redfish) async fn push(
        &self,
        body: Incoming,
    ) -> Result<Response<Body>, Error> {
        let service = self.service;
        let found = service.routes.find(uri::UPDATE_SERVICE);
        let Some((Route::Resource(entry), ids)) = found else {
            return Err(Error::internal());
        };
        self.holds(entry, &ids, entry.needs(&Method::POST, None))?;
        if self.parts.method != Method::POST {
            let allow = HeaderValue::from_static("POST");
            return Err(Error::method_not_allowed(allow));
        }
        let updater = &service.updater;
        let turn = updater.begin()?;
        let headers = &self.parts.headers;
        let kind = headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default());
        let boundary = boundary.map_err(|_| {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Error::header(status, "Content-Type")
        })?;
        let announced = headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|it| it.to_str().ok()?.parse().ok());
        if announced.is_some_and(|it: u64| it > MAX_IMAGE + MAX_FRAME) {
            return Err(Error::too_large());
        }
        let limit = SizeLimit::new()
            .whole_stream(MAX_IMAGE + MAX_FRAME)
            .per_field(MAX_PARAMETERS)
            .for_field(FILE, MAX_IMAGE);
        let parts = Multipart::with_constraints(
            pieces(body),
            boundary,
            Constraints::new().size_limit(limit),
        );
        let received = timeout(TRANSFER, receive(updater, parts)).await;
        let received = received.unwrap_or_else(|_| Err(too_slow()))?;
        let Received { image, file, parameters } = received;
        let force = force(updater, &parameters)?;
        let source = Source::File(file);
        let order = Order { image, source, force, turn };
        self.start(updater.work(order), None).await
    }
}

/// What came in.
struct Received {
    image: String,
    file: NamedTempFile,
    parameters: Map<String, Value>,
}

async fn receive(
    updater: &Updater,
    mut parts: Multipart<'_>,
) -> Result<Received, Error> {
    let mut parameters = None;
    let mut image = None;
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match part.name() {
            Some(PARAMETERS) if parameters.is_none() => {
                let bytes = part.bytes().await.map_err(broken)?;
                let Ok(Value::Object(object)) = serde_json::from_slice(&bytes)
                else {
                    return Err(Error::malformed());
                };
                parameters = Some(object);
            }
            Some(FILE) if image.is_none() => {
                let name = part.file_name().unwrap_or("image");
                let name: String = name
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(100)
                    .collect();
                image = Some((name, save(updater, part).await?));
            }
            // Nothing of ours; those of others may be there.
            Some(name) if name.starts_with("Oem") => {}
            name => {
                let name = name.unwrap_or("without a name").to_owned();
                return Err(malformed(&format!(
                    "There is a part `{name}` that is unknown or twice there: \
                     send {PARAMETERS} and {FILE}, each once."
                )));
            }
        }
    }
    let missing = |name| {
        malformed(&format!("The part {name} is missing: send it as well."))
    };
    let parameters = parameters.ok_or_else(|| missing(PARAMETERS))?;
    let (image, file) = image.ok_or_else(|| missing(FILE))?;
    Ok(Received { image, file, parameters })
}

/// Writes the image as it comes.
async fn save(
    updater: &Updater,
    mut part: Field<'_>,
) -> Result<NamedTempFile, Error> {
    let slots = updater.slots.clone();
    let opened = spawn_blocking(move || {
        let incoming = slots.incoming()?;
        let file = incoming.reopen()?;
        Ok::<_, io::Error>((incoming, file))
    });
    let opened = opened.await.map_err(|_| Error::internal())?;
    let (incoming, file) = opened.map_err(|error| unwritten(&error))?;
    let mut file = tokio::fs::File::from_std(file);
    while let Some(chunk) = part.chunk().await.map_err(broken)? {
        file.write_all(&chunk).await.map_err(|error| unwritten(&error))?;
    }
    file.flush().await.map_err(|error| unwritten(&error))?;
    Ok(incoming)
}

/// Whether the update is to be forced; the parameters are then all known.
fn force(
    updater: &Updater,
    parameters: &Map<String, Value>,
) -> Result<bool, Error> {
    let mut force = false;
    let mut wrong: Vec<Message> = Vec::new();
    for (name, value) in parameters {
        match (&**name, value) {
            ("ForceUpdate", Value::Bool(value)) => force = *value,
            ("Targets", Value::Array(targets)) => {
                let targets: Vec<String> = targets
                    .iter()
                    .map(|it| match it.as_str() {
                        Some(target) => target.to_owned(),
                        None => it.to_string(),
                    })
                    .collect();
                if let Err(other) = updater.check_targets(&targets) {
                    let it = base::property_value_not_in_list(other, name);
                    wrong.push(it.about("/Targets"));
                }
            }
            ("ForceUpdate" | "Targets", value) => {
                let value = value.to_string();
                let it = base::property_value_type_error(value, name);
                wrong.push(it.about(format!("/{name}")));
            }
            ("Oem", _) => {}
            _ => wrong.push(base::property_unknown(name)),
        }
    }
    if wrong.is_empty() { Ok(force) } else { Err(Error::bad(wrong)) }
}

/// The pieces of a body, none of which may take long.
fn pieces(body: Incoming) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        loop {
            let frame = match timeout(PATIENCE, body.frame()).await {
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
                Ok(None) => return None,
                Ok(Some(frame)) => frame,
            };
            match frame.map(http_body::Frame::into_data) {
                Err(error) => return Some((Err(error), None)),
                Ok(Err(_)) => {}
                Ok(Ok(data)) => return Some((Ok(data), Some(body))),
            }
        }
    })
}

fn broken(error: multer::Error) -> Error {
    match error {
        multer::Error::StreamSizeExceeded { .. }
        | multer::Error::FieldSizeExceeded { .. } => Error::too_large(),
        multer::Error::StreamReadFailed(cause)
            if cause.downcast_ref::<io::Error>().is_some_and(|cause| {
                cause.kind() == io::ErrorKind::TimedOut
            }) =>
        {
            too_slow()
        }
        other => malformed(&format!("The parts cannot be read: {other}.")),
    }
}

fn malformed(resolution: &str) -> Error {
    let message = base::missing_or_malformed_part();
    Error::bad(vec![message.resolved_by(resolution.to_owned())])
}

fn too_slow() -> Error {
    Error::new(StatusCode::REQUEST_TIMEOUT, base::operation_timeout())
}

fn unwritten(error: &io::Error) -> Error {
    tracing::warn!(%error, "an image is not written");
    Error::unstored(error)
}
