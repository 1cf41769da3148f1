//! Requests that cannot be read, and who answers them.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use portcullis::accept::{ConnInfo, HEAD_BYTES, Unjudged, Unread, UnreadAnswer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gate::{Gate, bound, get};

/// Gives one answer to all, and keeps what it was shown.
#[derive(Debug)]
struct Desk {
    answer: Option<Bytes>,
    shown: Mutex<Vec<Vec<u8>>>,
}

impl Unread for Desk {
    fn answer(&self, _: &ConnInfo, head: &[u8]) -> Option<UnreadAnswer> {
        self.shown.lock().push(head.to_vec());
        self.answer.clone().map(|bytes| UnreadAnswer { bytes, is_judged: true })
    }
}

fn gate(answer: Option<Bytes>) -> (Gate, Arc<Desk>) {
    let desk = Arc::new(Desk { answer, shown: Mutex::default() });
    let unread = Arc::clone(&desk);
    (Gate::start(|spec| spec.unread = Some(unread)), desk)
}

/// Sends these pieces behind a request that is served, and reads what comes back.
async fn send(gate: &Gate, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = gate.connect().await;
    get(&mut stream).await;
    for piece in pieces {
        bound(stream.write_all(piece)).await.unwrap();
    }
    let mut bytes = Vec::new();
    // A reset behind the answer is as good as an end.
    let _ = bound(stream.read_to_end(&mut bytes)).await;
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_any_length_goes_out_whole_and_nothing_of_the_other() {
    let answer = Bytes::from((0..8_000_000_u32).map(|at| at.to_le_bytes()[0]).collect::<Vec<u8>>());
    let (gate, desk) = gate(Some(answer.clone()));
    assert!(send(&gate, &[b"GET / HTTP/9.9\r\n\r\n"]).await == answer);
    assert_eq!(desk.shown.lock().as_slice(), [b"GET / HTTP/9.9\r\n\r\n"]);
    assert_eq!(gate.stats.unjudged.count(Unjudged::BadRequest), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_pingora_does_and_it_is_counted() {
    let (gate, _) = gate(None);
    assert!(send(&gate, &[b"GET / HTTP/9.9\r\n\r\n"]).await.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
    assert_eq!(gate.stats.unjudged.count(Unjudged::BadRequest), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_long_head_is_shown_whatever_its_pieces() {
    let (gate, desk) = gate(Some(Bytes::from_static(b"no")));
    let head = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(3 * HEAD_BYTES) + "\0");
    let pieces: Vec<&[u8]> = head.as_bytes().chunks(700).collect();
    assert_eq!(send(&gate, &pieces).await, b"no");
    assert_eq!(desk.shown.lock().as_slice(), [&head.as_bytes()[..HEAD_BYTES]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_served_is_not_shown() {
    let (gate, desk) = gate(Some(Bytes::from_static(b"no")));
    let connect = b"CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n";
    assert!(send(&gate, &[connect]).await.starts_with(b"HTTP/1.1 405 "));
    assert!(desk.shown.lock().is_empty());
    assert_eq!(gate.stats.unjudged.count(Unjudged::MethodNotAllowed), 1);
}
