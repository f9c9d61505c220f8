//! Load: many clients, each with one connection, and what they see.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::TlsConnector;

/// A stream with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What is asked of whom.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The certificate in PEM that the server shows; plain HTTP without.
    pub(crate) certificate: Option<Arc<[u8]>>,
    /// The request, as it goes over the wire.
    pub(crate) request: Arc<[u8]>,
}

impl Target {
    /// A GET of `path`, in the session of `token` where there is one.
    pub(crate) fn get(
        address: SocketAddr,
        certificate: Option<&Arc<[u8]>>,
        path: &str,
        token: &str,
    ) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: \
             application/json\r\nX-Auth-Token: {token}\r\n\r\n"
        );
        let request = request.into_bytes().into();
        Self { address, certificate: certificate.cloned(), request }
    }

    pub(crate) async fn connect(&self) -> Box<dyn Stream> {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let Some(certificate) = &self.certificate else {
            return Box::new(tcp);
        };
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
        roots.add(certificate).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(self.address.ip());
        let tls = TlsConnector::from(Arc::new(config));
        Box::new(tls.connect(name, tcp).await.unwrap())
    }
}

/// What the clients saw.
pub(crate) struct Seen {
    pub(crate) requests: usize,
    pub(crate) took: Duration,
    /// Sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Seen {
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.took.as_secs_f64()
    }

    /// In microseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() - 1) * percent / 100;
        self.latencies[at].as_secs_f64() * 1e6
    }
}

/// `clients` ask for `length`, each for the next answer when it has one.
pub(crate) async fn load(
    target: &Target,
    clients: usize,
    length: Duration,
) -> Seen {
    let mut streams = Vec::new();
    for _ in 0..clients {
        let mut stream = target.connect().await;
        // The first answer is not measured: it may have to be made.
        answer(&mut stream, &target.request, &mut Vec::new()).await;
        streams.push(stream);
    }
    let begin = Instant::now();
    let mut all = JoinSet::new();
    for mut stream in streams {
        let request = Arc::clone(&target.request);
        all.spawn(async move {
            let mut buffer = Vec::with_capacity(64 << 10);
            let mut latencies = Vec::new();
            while begin.elapsed() < length {
                let sent = Instant::now();
                answer(&mut stream, &request, &mut buffer).await;
                latencies.push(sent.elapsed());
            }
            latencies
        });
    }
    let mut latencies: Vec<Duration> =
        all.join_all().await.into_iter().flatten().collect();
    let took = begin.elapsed();
    latencies.sort_unstable();
    Seen { requests: latencies.len(), took, latencies }
}

/// The body of the answer to `request`.
pub(crate) async fn body(target: &Target) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut stream = target.connect().await;
    let head = answer(&mut stream, &target.request, &mut buffer).await;
    buffer.split_off(head)
}

/// Reads a whole answer into `buffer`; how long its head is.
async fn answer(
    stream: &mut Box<dyn Stream>,
    request: &[u8],
    buffer: &mut Vec<u8>,
) -> usize {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    buffer.clear();
    let mut head = None;
    loop {
        if let Some((head, whole)) = head
            && buffer.len() >= whole
        {
            assert_eq!(buffer.len(), whole, "one answer a request");
            return head;
        }
        let more = stream.read_buf(buffer).await.unwrap();
        assert_ne!(more, 0, "the server hangs up");
        if head.is_none() {
            head = sizes(buffer);
        }
    }
}

/// The length of the head, and of head and body.
fn sizes(buffer: &[u8]) -> Option<(usize, usize)> {
    let end = buffer.windows(4).position(|at| at == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&buffer[..end]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length =
        lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.unwrap().1.trim().parse().unwrap();
    Some((end, end + length))
}
