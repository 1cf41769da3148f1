//! An HTTP/1.1 client that sends the bytes it is given.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use rustls::{ClientConnection, StreamOwned};

use crate::message::{Framing, RawResponse, first, split_head, take_body, take_head};
use crate::tls::{Tls, TlsFacts};

/// One connection. Reads and writes block, up to the bound of the [`crate::Client`].
#[derive(Debug)]
pub struct Http1 {
    transport: Transport,
    /// Received and not yet taken.
    buffer: Vec<u8>,
    host: String,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Http1 {
    pub(crate) fn over(mut stream: TcpStream, tls: Option<&Tls>, host: &str) -> io::Result<Self> {
        let transport = match tls {
            None => Transport::Plain(stream),
            Some(tls) => {
                let mut connection = ClientConnection::new(tls.config.clone(), tls.name.clone())
                    .map_err(|fault| io::Error::new(ErrorKind::InvalidInput, fault))?;
                while connection.is_handshaking() {
                    connection.complete_io(&mut stream).map_err(in_time)?;
                }
                Transport::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        };
        Ok(Self { transport, buffer: Vec::new(), host: host.to_owned() })
    }

    /// Writes these bytes and nothing else.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transport.write_all(bytes)?;
        self.transport.flush()
    }

    /// Writes these bytes, then reads one response.
    ///
    /// # Errors
    ///
    /// As [`Http1::write`] and [`Http1::read_response`].
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<RawResponse> {
        self.write(bytes)?;
        match bytes.starts_with(b"HEAD ") {
            true => self.read_response_to("HEAD"),
            false => self.read_response(),
        }
    }

    /// Sends a GET with these headers, after `Host` unless they name one.
    ///
    /// # Errors
    ///
    /// As [`Http1::request`].
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<RawResponse> {
        self.request("GET", path, headers, b"")
    }

    /// Sends a request with these headers, after `Host` unless they name one, and with
    /// `Content-Length` when there is a body.
    ///
    /// # Errors
    ///
    /// As [`Http1::write`] and [`Http1::read_response`].
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<RawResponse> {
        let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            bytes.extend(format!("Host: {}\r\n", self.host).bytes());
        }
        for (name, value) in headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        if !body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.write(&bytes)?;
        self.read_response_to(method)
    }

    /// Reads the next response to anything but a HEAD request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`] when the connection ends before the response does,
    /// [`ErrorKind::TimedOut`] when it does not arrive in time, [`ErrorKind::InvalidData`] when it
    /// is not HTTP/1.1, and what the system says.
    pub fn read_response(&mut self) -> io::Result<RawResponse> {
        self.read_response_to("GET")
    }

    fn read_response_to(&mut self, method: &str) -> io::Result<RawResponse> {
        let mut interim = Vec::new();
        loop {
            let head = loop {
                match take_head(&mut self.buffer) {
                    Some(head) => break head,
                    None => self.fill()?,
                }
            };
            let (line, headers) = split_head(&head).map_err(invalid)?;
            let status = status_of(&line).map_err(invalid)?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let body = match method == "HEAD" || matches!(status, 101 | 204 | 304) {
                true => Vec::new(),
                false => self.read_body(&headers)?,
            };
            return Ok(RawResponse { status, headers, body, trailers: Vec::new(), interim, head });
        }
    }

    fn read_body(&mut self, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
        let framing = Framing::declared(headers).map_err(invalid)?.unwrap_or(Framing::UntilClose);
        if framing == Framing::UntilClose {
            return self.read_to_close();
        }
        loop {
            if let Some(body) = take_body(&mut self.buffer, framing).map_err(invalid)? {
                return Ok(body);
            }
            self.fill()?;
        }
    }

    /// Reads all bytes until the other side closes, in whatever way it does so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] when the connection stays open without a byte for the whole bound.
    pub fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(fault) if is_close(&fault) => return Ok(std::mem::take(&mut self.buffer)),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// What the handshake agreed on, when this connection speaks TLS.
    #[must_use]
    pub fn tls(&self) -> Option<TlsFacts> {
        match &self.transport {
            Transport::Plain(_) => None,
            Transport::Tls(stream) => TlsFacts::of(&stream.conn).ok(),
        }
    }

    /// The address and port that the other side sees.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.transport.socket().local_addr()
    }

    /// Says that nothing more will be written, and leaves the reading side open.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn finish_writing(&mut self) -> io::Result<()> {
        if let Transport::Tls(stream) = &mut self.transport {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.transport.socket().shutdown(Shutdown::Write)
    }

    /// Whether this response leaves the connection open for the next request.
    #[must_use]
    pub fn stays_open_after(response: &RawResponse) -> bool {
        !first(&response.headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let count = self.transport.read(&mut chunk).map_err(in_time)?;
        if count == 0 {
            let waiting = String::from_utf8_lossy(&self.buffer).into_owned();
            let message = format!("the connection was closed after: {waiting:?}");
            return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
        }
        self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(())
    }
}

impl Transport {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A socket's read timeout shows as `WouldBlock`; callers look for `TimedOut`.
fn in_time(fault: io::Error) -> io::Error {
    match fault.kind() {
        ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "nothing arrived within the bound"),
        _ => fault,
    }
}

fn is_close(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

fn invalid(fault: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, fault)
}

fn status_of(line: &str) -> Result<u16, String> {
    line.strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))
        .and_then(|rest| rest.split(' ').next())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("expected a status line, but found `{line}`"))
}
