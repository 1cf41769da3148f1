//! What the fuzz targets call, over their seeds and every beginning of each.

use std::fs;
use std::path::Path;

fn every_prefix(folder: &str, read: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(folder);
    let seeds: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(seeds.len() >= 3, "{}", folder.display());
    for seed in seeds {
        let bytes = fs::read(&seed).unwrap();
        let step = (bytes.len() / 256).max(1);
        for end in (0..bytes.len()).step_by(step) {
            read(&bytes[..end]);
        }
        read(&bytes);
    }
}

#[test]
fn every_beginning_of_a_proxy_header_is_read_or_refused() {
    every_prefix("proxy_header", |bytes| {
        let _ = portcullis::accept::proxy_protocol::parse(bytes);
    });
}

#[test]
fn every_beginning_of_a_head_that_cannot_be_read_has_a_fault() {
    every_prefix("request_head", |bytes| assert!(portcullis::gateway::name_any_fault(bytes).is_some()));
}

#[test]
fn every_beginning_of_a_rules_file_is_compiled_or_explained() {
    every_prefix("rules_text", |bytes| drop(portcullis_policy::compile_any(bytes)));
}

#[test]
fn every_beginning_of_an_expression_is_worked_out_or_refused() {
    every_prefix("expression", |bytes| drop(portcullis_policy::expression_any(bytes)));
}

#[test]
fn every_beginning_of_a_capture_is_read_or_refused() {
    every_prefix("pcap", |bytes| drop(portcullis::capture::read(bytes, |_| Ok(()))));
}

#[test]
fn a_capture_with_any_byte_changed_is_read_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/pcap");
    for seed in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&seed).unwrap();
        // The headers of the file and of its first packets, then here and there.
        let places = (0..bytes.len().min(200)).chain((200..bytes.len()).step_by(37));
        for place in places {
            for value in [0x00, 0x01, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[place] = value;
                drop(portcullis::capture::read(&changed[..], |_| Ok(())));
            }
        }
    }
}
