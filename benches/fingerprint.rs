//! What does reading a ClientHello and making all its prints cost?
//!
//! Once a connection, before TLS answers. Two hellos, captured on the loopback address: a browser's with a
//! post-quantum key share (2 KB), and a command line tool's (0.5 KB).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench of a hello that does not read is stopped")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use portcullis_fingerprint::record::scan;
use portcullis_fingerprint::{ClientHello, HelloLimits, Ja3, Ja3Hash, Ja4, Prints, Scan, ja4_r};

const HELLOS: [(&str, &[u8]); 3] = [
    ("chromium", include_bytes!("../fuzz/seeds/client_hello/chromium")),
    ("curl", include_bytes!("../fuzz/seeds/client_hello/curl")),
    ("curl in six records", include_bytes!("../fuzz/seeds/client_hello/curl-six-records")),
];

fn fingerprint(c: &mut Criterion) {
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
        group.bench_function("ja4", |b| b.iter(|| Ja4::of(black_box(&hello))));
        group.bench_function("ja4 and its stable form", |b| b.iter(|| Ja4::pair(black_box(&hello))));
        group.bench_function("ja4_r", |b| b.iter(|| ja4_r(black_box(&hello))));
        group.bench_function("read and all prints", |b| {
            b.iter(|| ClientHello::from_records(black_box(bytes)).map(|hello| Prints::of(&hello)));
        });
        group.finish();
    }
}

criterion_group!(benches, fingerprint);
criterion_main!(benches);
