//! The requests, prepared as far as they are the same.

use std::cell::Cell;
use std::error::Error;
use std::net::Ipv4Addr;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

/// What Chrome says it is.
pub(crate) const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// The headers of a request that a page in Chrome makes to its own host, without `Host`,
/// `Connection` and `User-Agent`.
const CHROME_HEADERS: [(&str, &str); 10] = [
    ("sec-ch-ua-platform", "\"Windows\""),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("Accept", "*/*"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
    ("Referer", "https://shop.example/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9"),
];

/// Makes requests that differ only in `X-Forwarded-For`.
///
/// It walks over 10,000 addresses from 11.0.0.0 up to 99.253.19.207, each in a network of its own, so that
/// neither a cache of one address nor of one prefix helps. They are only written down, never connected to.
pub(crate) struct Requests {
    before_address: Vec<u8>,
    uri: Uri,
    headers: HeaderMap,
    addresses: Vec<(String, HeaderValue)>,
    next: Cell<usize>,
}

impl Requests {
    pub(crate) fn new(host: &str, path: &str, agent: &str, more: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut lines = vec![("Host", host), ("Connection", "keep-alive")];
        let mut fields = vec![("User-Agent", agent)];
        fields.extend(CHROME_HEADERS);
        for header in more {
            fields
                .push(header.split_once(": ").ok_or_else(|| format!("expected `name: value`, but found `{header}`"))?);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        lines.extend(fields);
        let mut before_address = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in lines {
            before_address.push_str(&format!("{name}: {value}\r\n"));
        }
        before_address.push_str("X-Forwarded-For: ");
        let addresses = (0..ADDRESSES)
            .map(|index| {
                let text = Ipv4Addr::from_bits(FIRST_ADDRESS + index * ADDRESS_STEP).to_string();
                let value = HeaderValue::from_str(&text)?;
                Ok((text, value))
            })
            .collect::<Result<_, http::Error>>()?;
        Ok(Self {
            before_address: before_address.into_bytes(),
            uri: format!("https://{host}{path}").parse()?,
            headers,
            addresses,
            next: Cell::new(0),
        })
    }

    /// Writes the next request over what `bytes` held.
    pub(crate) fn write_next(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&self.before_address);
        if let Some((text, _)) = self.next_address() {
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n\r\n");
    }

    /// The next request, for HTTP/2.
    pub(crate) fn next_request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some((_, value)) = self.next_address() {
            request.headers_mut().insert("x-forwarded-for", value.clone());
        }
        request
    }

    fn next_address(&self) -> Option<&(String, HeaderValue)> {
        let index = self.next.get();
        self.next.set(if index + 1 == self.addresses.len() { 0 } else { index + 1 });
        self.addresses.get(index)
    }
}

const ADDRESSES: u32 = 10_000;
const FIRST_ADDRESS: u32 = 11 << 24;
/// 10,000 steps end below 100.64.0.0/10, the first range of special use above the first address. It is
/// odd, so that the last byte varies too.
const ADDRESS_STEP: u32 = 149_313;
