//! The corpus tests: what the fuzz targets are given to start from, and small changes of it.

use std::path::Path;

use portcullis_fingerprint::{
    HpackError, Http1Error, Http1Print, Http2GiveUp, Http2Recorder, Prints, Recording, header_order, read_any,
    walk_header_block,
};

#[test]
fn every_seed_is_read() {
    for (name, bytes) in seeds("client_hello") {
        read_any(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_prints_of_the_seeds_are_these() {
    let check = |name: &str, ja4: &str, ja3_hash: &str| {
        let prints = read_any(&seed("client_hello", name)).unwrap();
        assert_eq!((prints.ja4.as_str(), &*prints.ja3.hash.to_string()), (ja4, ja3_hash), "{name}");
    };
    check("chromium", "t13d1517h2_8daaf6152771_cb7bf5808d99", CHROMIUM_JA3);
    check("curl", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6", CURL_JA3);
    check("openssl-many-ciphers-psk", "t13d991100_68a224e92d01_a11995863d32", MANY_CIPHERS_JA3);
}

#[test]
fn a_hello_has_the_same_prints_whole_in_six_records_and_bare() {
    let prints = |name: &str| -> Prints { read_any(&seed("client_hello", name)).unwrap() };
    assert_eq!(prints("curl-six-records"), prints("curl"));
    assert_eq!(prints("curl-bare"), prints("curl"));
}

#[test]
fn a_seed_with_any_byte_changed_does_not_panic() {
    each_change("client_hello", |bytes| drop(read_any(bytes)));
    each_change("http2_print", |bytes| drop(Http2Recorder::new().feed(bytes)));
    each_change("hpack_walk", |bytes| {
        let _ = walk_header_block(bytes, |_| {});
    });
    each_change("header_print", |bytes| drop(Http1Print::of(bytes).map(|print| print.to_string())));
}

#[test]
fn the_http2_prints_of_the_seeds_are_these() {
    let check = |name: &str, print: &str| {
        let bytes = seed("http2_print", name);
        let Recording::Done(found) = Http2Recorder::new().feed(&bytes) else { panic!("{name}: no print") };
        assert_eq!(found.to_string(), print, "{name}");
        for end in 0..bytes.len() {
            assert_eq!(Http2Recorder::new().feed(&bytes[..end]), Recording::NeedMore, "{name}, {end} bytes");
        }
    };
    check("chromium", CHROMIUM_HTTP2);
    check("chromium-continued-padded", CHROMIUM_HTTP2);
    check("firefox", "1:65536;2:0;4:131072;5:16384|12517377|0|m,p,a,s");
    check("curl", "3:100;4:33554432;2:0|33488897|0|m,p,s,a");
    check("nghttp-priorities", "3:100;4:65535|00|3:0:0:201,5:0:0:101,7:0:0:1,9:0:7:1,11:0:3:1|m,p,s,a");
}

#[test]
fn the_header_blocks_of_the_seeds_have_these_orders() {
    for (name, order) in [
        ("chromium", CHROMIUM_ORDER),
        ("firefox", FIREFOX_ORDER),
        ("curl", "user-agent,accept"),
        ("nghttp-priorities", "accept,accept-encoding,user-agent"),
    ] {
        let mut names: Vec<Vec<u8>> = Vec::new();
        walk_header_block(&seed("hpack_walk", name), |name| names.push(name.to_vec())).unwrap();
        let fields = names.iter().map(Vec::as_slice).filter(|name| !name.starts_with(b":"));
        assert_eq!(header_order(fields), order, "{name}");
    }
}

#[test]
fn the_hostile_http2_seeds_are_given_up() {
    for (name, reason) in [
        ("http1", Http2GiveUp::NotHttp2),
        ("continuation-flood", Http2GiveUp::TooManyFrames),
        ("chromium-padding-too-long", Http2GiveUp::BadFrame),
    ] {
        assert_eq!(Http2Recorder::new().feed(&seed("http2_print", name)), Recording::GaveUp(reason), "{name}");
    }
}

#[test]
fn the_header_blocks_of_the_seeds_are_walked_or_refused() {
    for (name, answer) in [
        ("chromium", Ok(17)),
        ("full-table", Ok(22)),
        ("bad-huffman", Err(HpackError::BadHuffman)),
        ("endless-integer", Err(HpackError::IntegerTooLarge)),
        ("name-bomb", Err(HpackError::NamesTooLong)),
    ] {
        let mut fields = 0;
        let found = walk_header_block(&seed("hpack_walk", name), |_| fields += 1).map(|()| fields);
        assert_eq!(found, answer, "{name}");
    }
}

#[test]
fn the_heads_of_the_seeds_have_these_prints() {
    let print = |name: &str| Http1Print::of(&seed("header_print", name)).map(|print| print.to_string());
    assert_eq!(print("apache-bench").unwrap(), "1.0|ttt|-|Host,User-Agent,Accept");
    assert_eq!(print("every-oddity").unwrap(), "1.1|ttul|bfewns|Host,Accept,TE,te");
    assert_eq!(print("no-colon"), Err(Http1Error::NoColon));
}

/// Calls `read` with every seed, every beginning of each, and each with any byte changed.
fn each_change(folder: &str, read: impl Fn(&[u8])) {
    for (_, bytes) in seeds(folder) {
        // The longest seeds are of one byte over and over.
        let step = (bytes.len() / 2048).max(1);
        for place in (0..bytes.len()).step_by(step) {
            read(&bytes[..place]);
            for value in [0x00, 0x01, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                read(&changed);
            }
        }
    }
}

#[test]
fn a_bare_seed_with_a_byte_cut_out_is_refused() {
    let bare = seed("client_hello", "curl-bare");
    for place in 0..bare.len() {
        let mut cut = bare.clone();
        cut.remove(place);
        assert!(read_any(&cut).is_err(), "without byte {place}");
    }
}

fn seeds(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = std::fs::read_dir(Path::new(SEEDS).join(folder))
        .expect("the seeds are part of the source tree")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    names.into_iter().map(|name| (name.clone(), seed(folder, &name))).collect()
}

fn seed(folder: &str, name: &str) -> Vec<u8> {
    std::fs::read(Path::new(SEEDS).join(folder).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");
const MANY_CIPHERS_JA3: &str = "9fc333cede0753c9acd5787ccfe144f8";
const CHROMIUM_JA3: &str = "5ba14ead8e9ebfb93cf4d4385b1120a3";
const CURL_JA3: &str = "0149f47eabf9a20d0893e2a44e5a6323";
const CHROMIUM_HTTP2: &str = "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p";
const CHROMIUM_ORDER: &str = "sec-ch-ua,sec-ch-ua-mobile,sec-ch-ua-platform,upgrade-insecure-requests,user-agent,accept,\
sec-fetch-site,sec-fetch-mode,sec-fetch-user,sec-fetch-dest,accept-encoding,accept-language,priority";
const FIREFOX_ORDER: &str = "user-agent,accept,accept-language,accept-encoding,upgrade-insecure-requests,\
sec-fetch-dest,sec-fetch-mode,sec-fetch-site,sec-fetch-user,priority";
