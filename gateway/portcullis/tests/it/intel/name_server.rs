//! A real name server that says what a test tells it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, AAAA, PTR};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::runtime::Runtime;

/// A name server that knows some records, and has no answer to some questions.
#[derive(Clone, Default)]
pub(super) struct Zone {
    records: HashMap<(Name, RecordType), Vec<Record>>,
    failures: HashMap<Name, Failure>,
    /// How many questions there were.
    pub(super) asked: Arc<AtomicU32>,
}

#[derive(Clone, Copy)]
pub(super) enum Failure {
    /// No answer at all.
    Silent,
    /// It says that it cannot.
    Refused,
}

impl Zone {
    /// Says that an address has this name.
    pub(super) fn ptr(mut self, address: &str, host: &str) -> Self {
        let name = reverse(address);
        let record = Record::from_rdata(name.clone(), 300, RData::PTR(PTR(host.parse().unwrap())));
        self.records.entry((name, RecordType::PTR)).or_default().push(record);
        self
    }

    /// Says that a name leads to this address.
    pub(super) fn host(mut self, host: &str, address: &str) -> Self {
        let name: Name = host.parse().unwrap();
        let (kind, data) = match address.parse().unwrap() {
            IpAddr::V4(ip) => (RecordType::A, RData::A(A(ip))),
            IpAddr::V6(ip) => (RecordType::AAAA, RData::AAAA(AAAA(ip))),
        };
        self.records.entry((name.clone(), kind)).or_default().push(Record::from_rdata(name, 300, data));
        self
    }

    /// Answers on a port of the loopback address, for as long as the runtime lives.
    pub(super) fn serve(self, runtime: &Runtime) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        runtime.spawn(async move {
            let mut server = Server::new(self);
            server.register_socket(tokio::net::UdpSocket::from_std(socket).unwrap());
            server.block_until_done().await
        });
        address
    }

    /// Does not answer to a name.
    pub(super) fn fails(mut self, name: Name, failure: Failure) -> Self {
        self.failures.insert(name, failure);
        self
    }
}

pub(super) fn reverse(address: &str) -> Name {
    Name::from(address.parse::<IpAddr>().unwrap())
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let info = request.request_info().unwrap();
        let (name, kind) = (Name::from(info.query.name().clone()), info.query.query_type());
        let builder = MessageResponseBuilder::from_message_request(request);
        let sent = match (self.failures.get(&name), self.records.get(&(name, kind))) {
            (Some(Failure::Silent), _) => std::future::pending().await,
            (Some(Failure::Refused), _) => {
                handle.send_response(builder.error_msg(info.metadata, ResponseCode::ServFail)).await
            }
            (None, Some(records)) => {
                let metadata = Metadata::response_from_request(info.metadata);
                handle.send_response(builder.build(metadata, records, [], [], [])).await
            }
            (None, None) => handle.send_response(builder.error_msg(info.metadata, ResponseCode::NXDomain)).await,
        };
        sent.unwrap()
    }
}
