//! Fetches an image over HTTP or HTTPS, within bounds.

use std::{io, path::Path, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Buf as _, Bytes};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::verifier::{Shown, Verifier, provider};

/// How often one is sent elsewhere.
const REDIRECTS: usize = 3;
/// How long a connection, an answer or the next piece may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URI is not one to fetch from.
    #[error("`{uri}` is no URI of an image: {reason}")]
    Uri {
        /// The URI.
        uri: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The server cannot be reached.
    #[error("cannot connect to `{host}`")]
    Connect {
        /// Host and port.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The server answers with something else.
    #[error("`{host}` answered {status}")]
    Status {
        /// Host and port.
        host: String,
        /// What it answered.
        status: StatusCode,
    },
    /// The transfer broke.
    #[error("the transfer from `{host}` broke off")]
    Transfer {
        /// Host and port.
        host: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It sends too much.
    #[error("the image has more than {limit} bytes")]
    TooLarge {
        /// What is taken at most.
        limit: u64,
    },
    /// The certificates of those to be trusted cannot be read.
    #[error("cannot read the certificates in `{path}`")]
    Roots {
        /// The file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file cannot be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
}

/// A name and a password for the server of an image.
#[derive(Clone)]
pub struct Credentials(http::HeaderValue);

impl Credentials {
    /// As HTTP's Basic authentication has them (RFC 7617).
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        let text = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let value = http::HeaderValue::from_str(&format!("Basic {text}"));
        // Base64 is always a value.
        let empty = http::HeaderValue::from_static("");
        let mut value = value.unwrap_or(empty);
        value.set_sensitive(true);
        Self(value)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// How servers prove who they are.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// By a certificate that leads to one of those in the PEM file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, or has none.
    pub fn roots(path: &Path) -> Result<Self, FetchError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            FetchError::Roots { path: path.display().to_string(), source }
        };
        let mut roots = RootCertStore::empty();
        let found = CertificateDer::pem_file_iter(path)
            .map_err(|error| failed(error.into()))?;
        roots.add_parsable_certificates(found.flatten());
        if roots.is_empty() {
            return Err(failed("there is none in it".into()));
        }
        let config = builder().with_root_certificates(roots);
        Ok(Self(Arc::new(config.with_no_client_auth())))
    }

    /// By nothing there is: nobody is trusted.
    #[must_use]
    pub fn nobody() -> Self {
        let config = builder().with_root_certificates(RootCertStore::empty());
        Self(Arc::new(config.with_no_client_auth()))
    }

    /// Not at all: what is fetched vouches for itself.
    #[must_use]
    pub fn anyone() -> Self {
        let config = builder().dangerous().with_custom_certificate_verifier(
            Verifier::new(provider(), |_: Shown<'_>| Ok(())),
        );
        Self(Arc::new(config.with_no_client_auth()))
    }
}

/// What a URI must be to be fetched from: absolute, with a host, and without
/// a name and a password in it.
///
/// # Errors
/// What it is not.
pub fn check(text: &str) -> Result<Uri, FetchError> {
    let wrong = |reason| FetchError::Uri { uri: shown(text), reason };
    let uri: Uri = text.parse().map_err(|_| wrong("it cannot be parsed"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("`http` or `https` is expected"));
    }
    let authority = uri.authority().map_or("", |it| it.as_str());
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it has no host"));
    }
    if authority.contains('@') {
        return Err(wrong("a name or password in it would be seen by others"));
    }
    Ok(uri)
}

/// Fetches `uri` into `file`, at most `limit` bytes; `came` hears how much
/// there is, and of how much if that is known.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(
    mut uri: Uri,
    trust: &Trust,
    mut credentials: Option<Credentials>,
    limit: u64,
    file: &mut File,
    mut came: impl FnMut(u64, Option<u64>),
) -> Result<(), FetchError> {
    for _ in 0..=REDIRECTS {
        let host = host(&uri);
        let broken =
            |source| FetchError::Transfer { host: host.clone(), source };
        let (response, _connection) =
            ask(&uri, trust, credentials.as_ref()).await?;
        if response.status().is_redirection() {
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|it| it.to_str().ok());
            let to = elsewhere(&uri, location.unwrap_or_default())?;
            if to.authority() != uri.authority() {
                // They are for the one they were given for.
                credentials = None;
            }
            uri = to;
            continue;
        }
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(FetchError::Status { host, status });
        }
        let length = response.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            return Err(FetchError::TooLarge { limit });
        }
        let mut body = response.into_body();
        let mut total = 0;
        loop {
            let frame = timeout(PATIENCE, body.frame()).await;
            let frame = frame.map_err(|error| broken(error.into()))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| broken(error.into()))?;
            let Ok(data) = frame.into_data() else { continue };
            total += data.remaining() as u64;
            if total > limit {
                return Err(FetchError::TooLarge { limit });
            }
            file.write_all(&data).await.map_err(FetchError::Write)?;
            came(total, length);
        }
        return file.flush().await.map_err(FetchError::Write);
    }
    let reason = "it is sent elsewhere too often";
    Err(FetchError::Uri { uri: shown(&uri.to_string()), reason })
}

/// The status of an answer from an agent on this very machine, whose
/// certificate says nothing that we do not know.
pub(super) async fn status(uri: &Uri) -> Result<StatusCode, FetchError> {
    let (response, _connection) = ask(uri, &Trust::anyone(), None).await?;
    Ok(response.status())
}

/// Where a redirection leads; never from HTTPS to HTTP.
fn elsewhere(from: &Uri, location: &str) -> Result<Uri, FetchError> {
    let absolute = if location.starts_with('/') {
        let scheme = from.scheme_str().unwrap_or_default();
        format!("{scheme}://{}{location}", host(from))
    } else {
        location.to_owned()
    };
    let to = check(&absolute)?;
    if from.scheme_str() == Some("https") && to.scheme_str() == Some("http") {
        let reason = "it leads away from HTTPS";
        return Err(FetchError::Uri { uri: shown(&absolute), reason });
    }
    Ok(to)
}

/// The URI without what may be a secret in it: a query often is a signature.
fn shown(uri: &str) -> String {
    uri.split(['?', '#']).next().unwrap_or_default().to_owned()
}

fn host(uri: &Uri) -> String {
    uri.authority().map_or_else(String::new, ToString::to_string)
}

async fn ask(
    uri: &Uri,
    trust: &Trust,
    credentials: Option<&Credentials>,
) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), FetchError> {
    let name = uri.host().unwrap_or_default();
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let failed = |source| FetchError::Connect { host: host(uri), source };
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| {
        FetchError::Transfer { host: host(uri), source }
    };
    let connected = timeout(PATIENCE, TcpStream::connect((name, port))).await;
    let tcp = connected.map_err(|e| failed(e.into()))?.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let asked = async {
        if secure {
            let name = ServerName::try_from(name.to_owned());
            let name = name.map_err(io::Error::other).map_err(failed)?;
            let connector = TlsConnector::from(Arc::clone(&trust.0));
            let tls = connector.connect(name, tcp).await.map_err(failed)?;
            send(tls, uri, credentials).await.map_err(|e| broken(e.into()))
        } else {
            send(tcp, uri, credentials).await.map_err(|e| broken(e.into()))
        }
    };
    let asked = timeout(PATIENCE, asked).await;
    asked.map_err(|error| failed(error.into()))?
}

async fn send<S>(
    stream: S,
    uri: &Uri,
    credentials: Option<&Credentials>,
) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the handle.
    let connection = tokio_util::task::TaskTracker::new().spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection for an image ended");
        }
    });
    let connection = AbortOnDropHandle::new(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(host) = host(uri).parse() {
        headers.insert(header::HOST, host);
    }
    let accept = http::HeaderValue::from_static("*/*");
    headers.insert(header::ACCEPT, accept);
    if let Some(Credentials(value)) = credentials {
        headers.insert(header::AUTHORIZATION, value.clone());
    }
    Ok((sender.send_request(request).await?, connection))
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions();
    builder.unwrap_or_else(|_| ClientConfig::builder())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_address_is_fetched_from() {
        assert!(check("https://images.example/a.img?x=1").is_ok());
        assert!(check("http://[::1]:8080/a.img").is_ok());
        for bad in ["/a", "ftp://h/a", "https://u:p@h/a", "https:///a", ""] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let from = check("https://a/x").unwrap();
        let refused = elsewhere(&from, "http://b/x?sig=1").unwrap_err();
        assert!(!refused.to_string().contains("sig"), "{refused}");
        let to = elsewhere(&from, "/y").unwrap();
        assert_eq!(to.to_string(), "https://a/y");
    }
}
