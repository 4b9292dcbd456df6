//! A proxy as companies have one, and behind it the service's own name over TLS: what HTTPS_PROXY and AWS_CA_BUNDLE are for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// The name that the certificate is for.
pub const HOST: &str = "ssmmessages.eu-west-1.amazonaws.com";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// The authority that signed it.
pub fn ca_bundle() -> PathBuf {
    fixture("ca.pem")
}

/// The open proxy.
#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Ends TLS for [`HOST`] and passes everything on to this port. `refuses`: connects nobody.
    pub fn open(to: u16, refuses: bool) -> Proxy {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (sender, port) = std::sync::mpsc::channel();
        let of_thread = Arc::clone(&heads);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port can be had");
                sender.send(listener.local_addr().expect("an address").port()).expect("somebody waits");
                let acceptor = acceptor();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(pass_on(stream, to, refuses, acceptor.clone(), Arc::clone(&of_thread)));
                }
            });
        });
        Proxy { port: port.recv().expect("the proxy starts"), heads }
    }

    /// The requests that it got.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(fixture("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

async fn pass_on(mut stream: TcpStream, to: u16, refuses: bool, tls: TlsAcceptor, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    heads.lock().expect("no panic").push(String::from_utf8_lossy(&head).into_owned());
    if refuses {
        let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
    let Ok(mut secured) = tls.accept(stream).await else { return };
    let Ok(mut there) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let _ = tokio::io::copy_bidirectional(&mut secured, &mut there).await;
}
