//! A server of feeds over TLS, that answers as a test tells it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use portcullis_testkit::TestCertificate;
use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A connection of a client, after its handshake.
pub type Stream = StreamOwned<ServerConnection, TcpStream>;

/// What is done with a request: its header as text, and where to write the answer.
type Answer = dyn Fn(&str, &mut Stream) -> io::Result<()> + Send + Sync;

/// A server on the loopback address. Each connection is one request; it stops on drop.
pub struct FeedServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FeedServer {
    pub fn start(
        certificate: &TestCertificate,
        answer: impl Fn(&str, &mut Stream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let chain =
            CertificateDer::pem_slice_iter(certificate.certificate_pem().as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (config, answer): (_, Arc<Answer>) = (Arc::new(config), Arc::new(answer));
        let (seen, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (config, answer, seen) = (Arc::clone(&config), Arc::clone(&answer), Arc::clone(&seen));
                // Ends with its client, who has a bound.
                thread::spawn(move || serve(stream, config, &*answer, &seen));
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    /// A server that answers every request with 200 and this text.
    pub fn of(certificate: &TestCertificate, text: &'static str) -> Self {
        Self::start(certificate, move |_, stream| ok(stream, "", text))
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.address.port())
    }

    /// The headers of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for FeedServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: &Answer, seen: &Mutex<Vec<String>>) {
    let Ok(connection) = ServerConnection::new(config) else { return };
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    seen.lock().unwrap().push(head.clone());
    // Who closes first is told here, which is no fault.
    let _ = answer(&head, &mut stream);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// Answers 200 with a text and these header fields, each of which ends in a line feed.
pub fn ok(stream: &mut Stream, fields: &str, text: &str) -> io::Result<()> {
    let length = text.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n{fields}\r\n{text}")?;
    stream.flush()
}

/// Answers nothing more until the client goes.
pub fn hang(stream: &mut Stream) -> io::Result<()> {
    stream.flush()?;
    let mut byte = [0];
    stream.read(&mut byte).map(drop)
}
