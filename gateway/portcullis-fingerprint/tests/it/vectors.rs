//! The conformance vectors: hellos with the prints that the reference tools give for them.

use std::path::Path;

/// One line of the vectors.
pub(crate) struct Vector {
    pub(crate) name: String,
    /// The records as sent, up to the end of the one that ends the hello.
    pub(crate) bytes: Vec<u8>,
    pub(crate) ja3: String,
    pub(crate) ja3_hash: String,
    /// The JA4s that are right: two where the tools and the written text differ.
    pub(crate) ja4: Vec<String>,
    pub(crate) ja4_r: String,
    pub(crate) tags: Vec<String>,
}

/// Every vector, or none where the file is not at hand: it is not part of the source tree.
pub(crate) fn all() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/clienthello.jsonl");
    if !Path::new(path).exists() {
        eprintln!("skipped: no vectors at {path}");
        return Vec::new();
    }
    let text = std::fs::read_to_string(path).expect("the vectors can be read");
    let vectors: Vec<Vector> = text.lines().map(vector).collect();
    assert!(vectors.len() > 100, "{} vectors are too few", vectors.len());
    vectors
}

fn vector(line: &str) -> Vector {
    let row: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
    let text = |key: &str| row[key].as_str().map(str::to_owned);
    let bytes = text("client_hello_hex").unwrap();
    let bytes = bytes
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).expect("the hello is in hex"));
    Vector {
        name: text("name").unwrap(),
        bytes: bytes.collect(),
        ja3: text("ja3").unwrap(),
        ja3_hash: text("ja3_hash").unwrap(),
        ja4: text("ja4").into_iter().chain(text("ja4_alt")).collect(),
        ja4_r: text("ja4_r").unwrap(),
        tags: row["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect(),
    }
}
