//! What the TLS port does below HTTP.

use std::{sync::Arc, time::Duration};

use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, version,
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::client::{Blade, ROOT};

async fn connect(
    blade: &Blade,
    tls: Arc<ClientConfig>,
) -> TlsStream<TcpStream> {
    let address = blade.agent.redfish_address();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(tls).connect(name, tcp).await.unwrap()
}

async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = format!(
        "GET {ROOT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_session_is_taken_up_again() {
    let blade = Blade::simulated().await;
    let tls = Arc::new(ClientConfig::clone(blade.stranger().tls()));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut stream = connect(&blade, Arc::clone(&tls)).await;
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn tls_1_2_is_the_oldest_and_has_forward_secrecy() {
    let blade = Blade::simulated().await;
    let pem = std::fs::read(blade.state.path().join("tls/cert.pem"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem.unwrap()).unwrap()).unwrap();
    let old = ClientConfig::builder_with_protocol_versions(&[&version::TLS12])
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = connect(&blade, Arc::new(old)).await;
    let tls = stream.get_ref().1;
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let suite = format!("{:?}", tls.negotiated_cipher_suite().unwrap());
    assert!(suite.contains("TLS_ECDHE_ECDSA_WITH_"), "{suite}");
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
}

/// A client of TLS 1.1, a hello that ends too early, and no TLS at all.
#[tokio::test]
async fn what_is_no_tls_gets_an_alert_and_the_end() {
    let blade = Blade::simulated().await;
    let mut tls_1_1 = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    tls_1_1.extend([7; 32]);
    // No session, AES-128-CBC-SHA, no compression.
    tls_1_1.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let records: [&[u8]; 4] = [
        &tls_1_1,
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x16; 64],
        &[0x16, 3, 1, 0xff, 0xff, 1, 2, 3],
    ];
    for junk in records {
        let address = blade.agent.redfish_address();
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(junk).await.unwrap();
        tcp.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = tcp.read_to_end(&mut answer);
        // The other end may reset what it does not read.
        let _ = timeout(Duration::from_secs(5), read).await.expect("the end");
        assert!(answer.first().is_none_or(|kind| *kind == 0x15));
    }
    assert_eq!(blade.admin().get("/redfish/v1/Systems").await.status, 200);
}
