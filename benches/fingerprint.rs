//! What does reading the opening of a connection and making all its prints cost?
//!
//! Once a connection: a ClientHello before TLS answers, and with HTTP/2 the frames up to the first request. The
//! hellos were captured on the loopback address: a browser's with a post-quantum key share (2 KB), and a command
//! line tool's (0.5 KB). The HTTP/2 openings are rebuilt from captures, with the header block of another encoder.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench of bytes that do not read is stopped")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_fingerprint::record::scan;
use portcullis_fingerprint::{
    ClientHello, Grease, HelloLimits, Http1Print, Http2Recorder, Ja3, Ja3Hash, Ja4, ListedPrints, Prints, Recording,
    Scan, StablePrint, ja4_r, walk_header_block,
};

const HELLOS: [(&str, &[u8]); 3] = [
    ("chromium", include_bytes!("../fuzz/seeds/client_hello/chromium")),
    ("curl", include_bytes!("../fuzz/seeds/client_hello/curl")),
    ("curl in six records", include_bytes!("../fuzz/seeds/client_hello/curl-six-records")),
];

const OPENINGS: [(&str, &[u8]); 3] = [
    ("http/2 of chromium", include_bytes!("../fuzz/seeds/http2_print/chromium")),
    ("http/2 of firefox", include_bytes!("../fuzz/seeds/http2_print/firefox")),
    ("http/2 of curl", include_bytes!("../fuzz/seeds/http2_print/curl")),
];

fn hellos(c: &mut Criterion) {
    for (client, bytes) in HELLOS {
        let Ok(Scan::Complete { handshake, .. }) = scan(bytes, HelloLimits::default()) else {
            panic!("{client}'s hello is not whole");
        };
        let hello = ClientHello::parse(&handshake).unwrap();
        let mut group = c.benchmark_group(client);
        group.bench_function("scan", |b| b.iter(|| scan(black_box(bytes), HelloLimits::default())));
        group.bench_function("parse", |b| b.iter(|| ClientHello::parse(black_box(&handshake))));
        group.bench_function("ja3 hash", |b| b.iter(|| Ja3Hash::of(black_box(&hello))));
        group.bench_function("ja3", |b| b.iter(|| Ja3::of(black_box(&hello))));
        group.bench_function("ja3n", |b| b.iter(|| Ja3::normalized(black_box(&hello))));
        group.bench_function("ja4", |b| b.iter(|| Ja4::of(black_box(&hello))));
        group.bench_function("ja3 hash and ja4", |b| b.iter(|| ListedPrints::of(black_box(&hello))));
        group.bench_function("ja4_o", |b| b.iter(|| Ja4::original(black_box(&hello))));
        group.bench_function("ja4_r", |b| b.iter(|| ja4_r(black_box(&hello))));
        group.bench_function("stable", |b| b.iter(|| StablePrint::of(black_box(&hello))));
        group.bench_function("grease", |b| b.iter(|| Grease::of(black_box(&hello))));
        group.bench_function("read and all prints", |b| {
            b.iter(|| ClientHello::from_records(black_box(bytes)).map(|hello| Prints::of(&hello)));
        });
        group.finish();
    }
}

fn http2(c: &mut Criterion) {
    for (client, bytes) in OPENINGS {
        let Recording::Done(print) = Http2Recorder::new().feed(bytes) else { panic!("{client} has no print") };
        let mut group = c.benchmark_group(client);
        group.bench_function("record", |b| b.iter(|| Http2Recorder::new().feed(black_box(bytes))));
        group.bench_function("record in three reads", |b| {
            let (preface, rest) = bytes.split_at(24);
            let (settings, request) = rest.split_at(30);
            b.iter(|| {
                let mut recorder = Http2Recorder::new();
                let _ = recorder.feed(black_box(preface));
                let _ = recorder.feed(black_box(settings));
                recorder.feed(black_box(request))
            });
        });
        group.bench_function("hash", |b| b.iter(|| black_box(&print).hash()));
        group.bench_function("record and hash", |b| {
            b.iter(|| match Http2Recorder::new().feed(black_box(bytes)) {
                Recording::Done(print) => Some((print.hash(), print)),
                _ => None,
            });
        });
        group.finish();
    }
    let block: &[u8] = include_bytes!("../fuzz/seeds/hpack_walk/chromium");
    c.bench_function("header block of chromium", |b| {
        b.iter(|| {
            let mut bytes = 0;
            walk_header_block(black_box(block), |name| bytes += name.len()).map(|()| bytes)
        });
    });
    // The most work for its bytes: names and values that must be decoded, and a table that is always full.
    let hostile: &[u8] = include_bytes!("../fuzz/seeds/hpack_walk/full-table");
    c.bench_function("header block that fills the table", |b| b.iter(|| walk_header_block(black_box(hostile), |_| {})));
}

fn http1(c: &mut Criterion) {
    let head: &[u8] = include_bytes!("../fuzz/seeds/header_print/node-fetch");
    let print = Http1Print::of(head).unwrap();
    let mut group = c.benchmark_group("http/1 of node");
    group.bench_function("read", |b| b.iter(|| Http1Print::of(black_box(head))));
    group.bench_function("header order hash", |b| b.iter(|| black_box(&print).header_order_hash()));
    group.finish();
}

criterion_group!(benches, hellos, http2, http1);
criterion_main!(benches);
