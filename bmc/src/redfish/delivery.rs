//! Events on their way to a subscriber.

use std::{
    error::Error as StdError,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::broadcast::{Receiver, error::RecvError},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::event::{Event, Subscription};

/// How often one event is tried.
pub(crate) const ATTEMPTS: u32 = 3;
/// The time between two attempts.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// How long an attempt may take.
const DEADLINE: Duration = Duration::from_secs(10);

type Failure = Box<dyn StdError + Send + Sync>;

/// Posts to `uri` what `subscription` wants to hear, until `stop`. What cannot
/// be delivered in [`ATTEMPTS`] is dropped.
pub(crate) async fn deliver(
    subscription: Subscription,
    uri: String,
    mut events: Receiver<Arc<Event>>,
    failing: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let work = async {
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(uri, lost, "events not delivered");
                    continue;
                }
                Err(RecvError::Closed) => return,
            };
            if !subscription.wants(&event) {
                continue;
            }
            let payload = event.payload(subscription.context.as_deref());
            let payload = Bytes::from(payload);
            let mut delivered = false;
            for attempt in 0..ATTEMPTS {
                if attempt > 0 {
                    sleep(INTERVAL).await;
                }
                match timeout(DEADLINE, post(&uri, payload.clone())).await {
                    Ok(Ok(())) => {
                        delivered = true;
                        break;
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(uri, %error, "event not delivered");
                    }
                    Err(_) => tracing::debug!(uri, "no answer to an event"),
                }
            }
            let failed_before = failing.swap(!delivered, Ordering::Relaxed);
            if !delivered && !failed_before {
                tracing::warn!(uri, event = event.id, "event not delivered");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn post(uri: &str, payload: Bytes) -> Result<(), Failure> {
    let uri: Uri = uri.parse()?;
    let host = uri.host().ok_or("no host")?.to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let tcp = TcpStream::connect((bare.as_str(), port)).await?;
    tcp.set_nodelay(true)?;
    if secure {
        let name = ServerName::try_from(bare)?;
        let connector = TlsConnector::from(client());
        send(connector.connect(name, tcp).await?, &uri, payload).await
    } else {
        send(tcp, &uri, payload).await
    }
}

async fn send<S>(stream: S, uri: &Uri, payload: Bytes) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |it| it.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header("odata-version", "4.0")
        .body(Full::new(payload))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status().is_success() {
            Ok(())
        } else {
            let text = format!("answered {}", response.status());
            Err(Failure::from(io::Error::other(text)))
        }
    };
    tokio::select! {
        answer = answer => answer,
        ended = connection => {
            ended?;
            Err("the connection ended".into())
        }
    }
}

/// TLS to a subscriber whose certificate nobody gave us: `VerifyCertificate`
/// of the subscription says that it is not checked.
fn client() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions();
    let builder = builder.unwrap_or_else(|_| ClientConfig::builder());
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
