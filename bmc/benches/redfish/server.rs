//! Those who are asked: the agent, a bare hyper and nginx, each a process of
//! its own.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// A process that serves, and ends with its value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The agent on the board in `folder`; how long it took to listen.
    pub(crate) fn agent(folder: &Path) -> (Self, Duration) {
        let begin = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_onprem-bmc"))
            .args(["--listen", "127.0.0.1:0"])
            .args(["--metrics-listen", "127.0.0.1:0"])
            .arg("--board")
            .arg(folder.join("board.toml"))
            .arg("--state-dir")
            .arg(folder.join("state"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("scrapes") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it listens");
        }
        let took = begin.elapsed();
        // Someone has to read what it logs.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let text = fs::read(folder.join("state/addresses.json")).unwrap();
        let all: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let url = all["redfish"].as_str().unwrap();
        let address = url.trim_start_matches("https://").parse().unwrap();
        (Self { child, address }, took)
    }

    /// The process `child`, which serves at `address`.
    pub(crate) fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// This program, as a bare hyper that answers with what is in `body`.
    pub(crate) fn hyper(body: &Path, keys: Option<&Keys>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--peer").arg(body).stdout(Stdio::piped());
        if let Some(Keys { certificate, key }) = keys {
            command.arg(certificate).arg(key);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// nginx with one file, `None` where there is no nginx.
    pub(crate) async fn nginx(
        folder: &Path,
        keys: &Keys,
        port: u16,
    ) -> Option<Self> {
        let folder = folder.display();
        let Keys { certificate, key } = keys;
        let (certificate, key) = (certificate.display(), key.display());
        let configuration = format!(
            "daemon off; worker_processes 2; pid {folder}/nginx.pid;\n\
             error_log {folder}/nginx.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{ access_log off; keepalive_requests 1000000;\n\
             sendfile on; tcp_nodelay on;\n\
             types {{ application/json json; }}\n\
             server {{ listen 127.0.0.1:{port} ssl; root {folder}/www;\n\
             ssl_certificate {certificate}; ssl_certificate_key {key};\n\
             ssl_protocols TLSv1.3; }} }}\n"
        );
        let file = format!("{folder}/nginx.conf");
        fs::write(&file, configuration).unwrap();
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"];
        let nginx = nginx.iter().find(|path| Path::new(path).exists())?;
        let child = Command::new(nginx).args(["-c", &file]).spawn().ok()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = Self { child, address };
        for _ in 0..100 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(server);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// The processor time that it and its children took, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let of = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let fields: Vec<f64> = stat
                .rsplit_once(')')
                .unwrap()
                .1
                .split_whitespace()
                .skip(11)
                .take(2)
                .map(|field| field.parse().unwrap())
                .collect();
            fields.iter().sum::<f64>() / ticks
        };
        let pid = self.child.id();
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().map(|c| c.parse().unwrap());
        of(pid) + children.map(of).sum::<f64>()
    }

    /// Its resident memory, in megabytes.
    pub(crate) fn memory(&self) -> f64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx has to end its workers.
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = rustix::process::Signal::TERM;
        let _ = rustix::process::kill_process(pid, signal);
        let _ = self.child.wait();
    }
}

/// What a server shows for TLS.
pub(crate) struct Keys {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Serves the bytes in the file `body` until it is ended: what hyper can do
/// when nothing is asked of it.
pub(crate) async fn peer(body: &str, keys: Option<(&str, &str)>) {
    let body = Bytes::from(fs::read(body).unwrap());
    let acceptor = keys.map(|(certificate, key)| {
        let certificate = CertificateDer::from_pem_file(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let tasks = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tasks.spawn(bare(stream, acceptor.clone(), body.clone()));
    }
}

async fn bare(stream: TcpStream, acceptor: Option<TlsAcceptor>, body: Bytes) {
    stream.set_nodelay(true).unwrap();
    let service = service_fn(|_: Request<Incoming>| {
        let mut response = Response::new(Full::new(body.clone()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        std::future::ready(Ok::<_, std::convert::Infallible>(response))
    });
    let http = http1::Builder::new();
    let _ = match acceptor {
        None => http.serve_connection(TokioIo::new(stream), service).await,
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            http.serve_connection(TokioIo::new(stream), service).await
        }
    };
}
