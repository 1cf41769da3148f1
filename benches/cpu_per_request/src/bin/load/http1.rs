//! HTTP/1.1 connections.

use std::error::Error;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::tls::server_name;
use crate::{Outcome, Side};

/// Sends requests on one plaintext connection until the load stops.
pub(crate) async fn keep_plain(side: &Side) -> Outcome {
    keep(side, connect(side).await?).await
}

/// Sends requests on one TLS connection until the load stops.
pub(crate) async fn keep_tls(side: &Side) -> Outcome {
    keep(side, connect_tls(side).await?).await
}

/// Sends one request on each of many TLS connections, one after the other, until the load stops.
pub(crate) async fn connect_each_time(side: &Side) -> Outcome {
    let (mut request, mut response) = (Vec::new(), Vec::new());
    while side.turn().await {
        let mut stream = connect_tls(side).await?;
        exchange(side, &mut stream, &mut request, &mut response).await?;
        stream.shutdown().await?;
        side.done();
    }
    Ok(())
}

/// A new TLS connection.
pub(crate) async fn connect_tls(side: &Side) -> Result<TlsStream<TcpStream>, Box<dyn Error>> {
    let stream = side.load.tls.connect(server_name()?, connect(side).await?).await?;
    side.note_handshake(stream.get_ref().1);
    Ok(stream)
}

async fn connect(side: &Side) -> Result<TcpStream, Box<dyn Error>> {
    let stream = TcpStream::connect(side.target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn keep<S: AsyncRead + AsyncWrite + Unpin>(side: &Side, mut stream: S) -> Outcome {
    let (mut request, mut response) = (Vec::new(), Vec::new());
    while side.turn().await {
        exchange(side, &mut stream, &mut request, &mut response).await?;
        side.done();
    }
    Ok(())
}

/// Sends one request and reads its whole response.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    side: &Side,
    stream: &mut S,
    request: &mut Vec<u8>,
    response: &mut Vec<u8>,
) -> Outcome {
    side.load.requests.write_next(request);
    stream.write_all(request).await?;
    stream.flush().await?;
    response.clear();
    let head = loop {
        if stream.read_buf(response).await? == 0 {
            return Err(format!("the connection was closed after: {}", String::from_utf8_lossy(response)).into());
        }
        if let Some(head) = Head::read(response)? {
            break head;
        }
    };
    while response.len() < head.response_len {
        if stream.read_buf(response).await? == 0 {
            return Err("the connection was closed within a body".into());
        }
    }
    if response.len() > head.response_len {
        return Err(format!("more than the response arrived: {}", String::from_utf8_lossy(response)).into());
    }
    side.count(head.status, || String::from_utf8_lossy(response).into_owned())
}

struct Head {
    status: u16,
    /// Bytes of the head and the body.
    response_len: usize,
}

impl Head {
    /// Reads a head that has arrived in whole; nothing before that. A response has `Content-Length`.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Box<dyn Error>> {
        let Some((head, _)) = memmem::find(bytes, b"\r\n\r\n").and_then(|end| bytes.split_at_checked(end + 4)) else {
            return Ok(None);
        };
        let describe = || String::from_utf8_lossy(head).into_owned();
        let status = head
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| rest.first_chunk::<3>())
            .and_then(|digits| number(digits))
            .ok_or_else(|| format!("expected a status line, but found {}", describe()))?;
        let length = head
            .split(|&byte| byte == b'\n')
            .find_map(|line| {
                let (name, value) = line.split_at_checked(LENGTH_NAME.len())?;
                name.eq_ignore_ascii_case(LENGTH_NAME).then(|| number(value.trim_ascii()))?
            })
            .ok_or_else(|| format!("expected a content-length, but found {}", describe()))?;
        Ok(Some(Self { status: u16::try_from(status)?, response_len: head.len() + length }))
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

const LENGTH_NAME: &[u8] = b"content-length:";
