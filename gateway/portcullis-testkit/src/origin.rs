//! An origin that records what the gateway sent to it, byte for byte.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};

use crate::message::{Framing, all, first, split_head, take_body, take_head};
use crate::wait::wait_until;

/// An HTTP/1.1 server on a loopback port, in a thread of its own, with keep-alive.
///
/// It stops, and closes its connections, on drop.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    record: Arc<Mutex<Record>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts on a free port; `answer` is asked for every request.
    ///
    /// # Panics
    ///
    /// When no port or thread is to be had.
    pub fn start(answer: impl Fn(&RecordedRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_on(0, answer)
    }

    /// Starts on this port of 127.0.0.1, for instance to come back where an earlier one stopped.
    ///
    /// # Panics
    ///
    /// When the port is taken or no thread is to be had.
    pub fn start_on(port: u16, answer: impl Fn(&RecordedRequest) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the origin's port is free");
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        let record = Arc::new(Mutex::new(Record::default()));
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Service { answer: Box::new(answer), record: Arc::clone(&record) });
        let thread = thread::Builder::new()
            .name(format!("origin {}", address.port()))
            .spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
                runtime.block_on(async {
                    tokio::select! {
                        () = service.accept(listener) => {},
                        _ = stopped => {},
                    }
                });
            })
            .expect("a thread can be started");
        Self { address, record, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests since the start or the last [`Origin::take_requests`], in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.record).requests.clone()
    }

    /// As [`Origin::requests`], and forgets them.
    #[must_use]
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut lock(&self.record).requests)
    }

    /// Waits until `count` requests are recorded.
    ///
    /// # Panics
    ///
    /// When there are fewer after ten seconds.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        let what = format!("{count} requests at the origin");
        wait_until(&what, Duration::from_secs(10), || lock(&self.record).requests.len() >= count);
    }

    /// What arrived and was not HTTP/1.1, with the fault that was found.
    #[must_use]
    pub fn malformed(&self) -> Vec<String> {
        lock(&self.record).malformed.clone()
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        lock(&self.record).connections
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the answering closure has been printed by its own thread.
            drop(thread.join());
        }
    }
}

/// One request as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordedRequest {
    /// The connection it arrived on, counted from 1.
    pub connection: u64,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The method.
    pub method: String,
    /// The request target, exactly as on the wire (bytes that are not UTF-8 are replaced).
    pub target: String,
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// Names and values in the order and case of the wire.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The request line and the fields, byte for byte.
    pub head: Vec<u8>,
}

impl RecordedRequest {
    /// The first value of this header, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// All values of this header in their order, whatever its case.
    #[must_use]
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        all(&self.headers, name)
    }
}

/// What the origin does with a request.
#[derive(Clone, Debug)]
pub struct Answer {
    action: Action,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    held_by: Option<Gate>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Respond(u16),
    SendBody,
    HangUp,
    Echo,
}

impl Answer {
    /// Status 200 with this body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::of(Action::Respond(200)) }
    }

    /// This status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::of(Action::Respond(status))
    }

    /// These bytes in place of a response, and then the connection is closed.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: bytes.into(), ..Self::of(Action::SendBody) }
    }

    /// Closes the connection without a response.
    #[must_use]
    pub fn hang_up() -> Self {
        Self::of(Action::HangUp)
    }

    /// Status 101, and from then on every byte is sent back.
    #[must_use]
    pub fn upgrade_and_echo() -> Self {
        Self::of(Action::Echo)
    }

    /// Adds a header. `Content-Length` is added by itself, unless framing is given here.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the body. With `Transfer-Encoding` among the headers it is sent as one chunk.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Holds the answer back until the gate opens. The request is already recorded then.
    #[must_use]
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.held_by = Some(gate.clone());
        self
    }

    fn of(action: Action) -> Self {
        Self { action, headers: Vec::new(), body: Vec::new(), held_by: None }
    }

    fn bytes(&self, status: u16, method: &str) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {status} Test\r\n").into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        let chunked = first(&self.headers, "transfer-encoding").is_some();
        let bodiless = matches!(status, 101 | 204 | 304);
        if !chunked && !bodiless && first(&self.headers, "content-length").is_none() {
            bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        if method == "HEAD" || bodiless {
            return bytes;
        }
        if chunked && !self.body.is_empty() {
            bytes.extend(format!("{:x}\r\n", self.body.len()).bytes());
            bytes.extend_from_slice(&self.body);
            bytes.extend_from_slice(b"\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        if chunked {
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        bytes
    }
}

/// Holds answers back until a test opens it. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// A gate that is closed.
    #[must_use]
    pub fn closed() -> Self {
        Self { state: Arc::new(watch::Sender::new(false)) }
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.state.send_replace(true);
    }

    async fn passed(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as this gate, so the only end of the wait is an open gate.
        drop(state.wait_for(|open| *open).await);
    }
}

#[derive(Debug, Default)]
struct Record {
    requests: Vec<RecordedRequest>,
    malformed: Vec<String>,
    connections: u64,
}

struct Service {
    answer: Box<dyn Fn(&RecordedRequest) -> Answer + Send + Sync>,
    record: Arc<Mutex<Record>>,
}

impl Service {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the runtime takes the listener");
        while let Ok((stream, peer)) = listener.accept().await {
            let connection = {
                let mut record = lock(&self.record);
                record.connections += 1;
                record.connections
            };
            let service = Arc::clone(&self);
            tokio::spawn(async move { service.serve(stream, peer, connection).await });
        }
    }

    async fn serve(&self, mut stream: TcpStream, peer: SocketAddr, connection: u64) {
        let mut buffer = Vec::new();
        loop {
            let request = match read_request(&mut stream, &mut buffer, peer, connection).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(fault) => {
                    lock(&self.record).malformed.push(fault);
                    drop(
                        stream.write_all(b"HTTP/1.1 400 Test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await,
                    );
                    return;
                }
            };
            lock(&self.record).requests.push(request.clone());
            let answer = (self.answer)(&request);
            if !carry_out(&answer, &request, &mut stream).await {
                return;
            }
        }
    }
}

/// Does what the answer says; `false` ends the connection.
async fn carry_out(answer: &Answer, request: &RecordedRequest, stream: &mut TcpStream) -> bool {
    if let Some(gate) = &answer.held_by {
        gate.passed().await;
    }
    match answer.action {
        Action::HangUp => false,
        Action::SendBody => {
            drop(stream.write_all(&answer.body).await);
            false
        }
        Action::Echo => {
            if stream.write_all(&answer.bytes(101, &request.method)).await.is_ok() {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            }
            false
        }
        Action::Respond(status) => {
            let asked_to_close =
                |headers| first(headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let written = stream.write_all(&answer.bytes(status, &request.method)).await.is_ok();
            written && !asked_to_close(&request.headers) && !asked_to_close(&answer.headers)
        }
    }
}

async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    peer: SocketAddr,
    connection: u64,
) -> Result<Option<RecordedRequest>, String> {
    let head = loop {
        if let Some(head) = take_head(buffer) {
            break head;
        }
        if !fill(stream, buffer).await {
            return match buffer.is_empty() {
                true => Ok(None),
                false => Err(format!("the connection ended within a head: {:?}", String::from_utf8_lossy(buffer))),
            };
        }
    };
    let fault = |fault: String| format!("{fault}, in {:?}", String::from_utf8_lossy(&head));
    let (line, headers) = split_head(&head).map_err(fault)?;
    let mut words = line.splitn(3, ' ').map(str::to_owned);
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(fault("expected a method, a target and a version".to_owned()));
    };
    if first(&headers, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|io| fault(io.to_string()))?;
    }
    let framing = Framing::declared(&headers).map_err(fault)?.unwrap_or(Framing::Length(0));
    let body = loop {
        if let Some(body) = take_body(buffer, framing).map_err(fault)? {
            break body;
        }
        if !fill(stream, buffer).await {
            return Err(fault("the connection ended within a body".to_owned()));
        }
    };
    Ok(Some(RecordedRequest { connection, peer, method, target, version, headers, body, head }))
}

/// Reads what has arrived; `false` at the end of the connection.
async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(buffer).await, Ok(count) if count > 0)
}

/// A panic of the answering closure must not hide what was recorded before it.
fn lock(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
