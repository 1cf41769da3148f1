//! The corpus test: what the fuzz target is given to start from, and small changes of it.

use std::path::Path;

use portcullis_fingerprint::{Prints, read_any};

#[test]
fn every_seed_is_read() {
    for (name, bytes) in seeds() {
        read_any(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_prints_of_the_seeds_are_these() {
    let check = |name: &str, ja4: &str, ja3_hash: &str| {
        let prints = read_any(&seed(name)).unwrap();
        assert_eq!((prints.ja4.as_str(), &*prints.ja3.hash.to_string()), (ja4, ja3_hash), "{name}");
    };
    check("chromium", "t13d1517h2_8daaf6152771_cb7bf5808d99", CHROMIUM_JA3);
    check("curl", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6", CURL_JA3);
    check("openssl-many-ciphers-psk", "t13d991100_68a224e92d01_a11995863d32", MANY_CIPHERS_JA3);
}

#[test]
fn a_hello_has_the_same_prints_whole_in_six_records_and_bare() {
    let prints = |name: &str| -> Prints { read_any(&seed(name)).unwrap() };
    assert_eq!(prints("curl-six-records"), prints("curl"));
    assert_eq!(prints("curl-bare"), prints("curl"));
}

#[test]
fn a_seed_with_any_byte_changed_does_not_panic() {
    for (_, bytes) in seeds() {
        for place in 0..bytes.len() {
            for value in [0x00, 0x01, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                let _ = read_any(&changed);
            }
        }
    }
}

#[test]
fn a_bare_seed_with_a_byte_cut_out_is_refused() {
    let bare = seed("curl-bare");
    for place in 0..bare.len() {
        let mut cut = bare.clone();
        cut.remove(place);
        assert!(read_any(&cut).is_err(), "without byte {place}");
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = std::fs::read_dir(SEEDS)
        .expect("the seeds are part of the source tree")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 10, "{names:?}");
    names.into_iter().map(|name| (name.clone(), seed(&name))).collect()
}

fn seed(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(SEEDS).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/client_hello");
const MANY_CIPHERS_JA3: &str = "9fc333cede0753c9acd5787ccfe144f8";
const CHROMIUM_JA3: &str = "5ba14ead8e9ebfb93cf4d4385b1120a3";
const CURL_JA3: &str = "0149f47eabf9a20d0893e2a44e5a6323";
