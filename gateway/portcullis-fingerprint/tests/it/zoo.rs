//! Every client of the zoo: its hellos, the frames that it opened HTTP/2 with, its header fields.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portcullis_fingerprint::{ClientHello, Http1Print, Http2Recorder, Prints, Recording, StablePrint};
use serde_json::Value;

use crate::frames::*;

#[test]
fn every_hello_gives_the_prints_that_the_reference_tools_give() {
    for row in rows() {
        let prints = Prints::of(&hello(&row));
        let name = &row["client"];
        assert_eq!(prints.ja3.text, row["ja3"], "{name}");
        assert_eq!(prints.ja3.hash.to_string(), row["ja3_hash"], "{name}");
        assert_eq!(prints.ja4.as_str(), row["ja4"], "{name}");
        assert_eq!(prints.ja4_r, row["ja4_r"], "{name}");
        assert_eq!(prints.ja4_o.a(), prints.ja4.a(), "{name}");
        assert_eq!(prints.stable.as_str().parse(), Ok(prints.stable), "{name}");
        let lists = |text: &str| text.split(['_', ',']).map(str::to_owned).collect::<BTreeSet<_>>();
        let without = |text: &str| {
            let mut lists = lists(text);
            lists.remove("0000");
            lists.remove("0010");
            lists
        };
        assert_eq!(without(&prints.ja4_ro), without(&prints.ja4_r), "{name}");
    }
}

/// A client that has several stacks of TLS in one, or tries several settings of it, by what it is set to: the version
/// that it speaks at most, its cipher suites, and its application protocols.
#[test]
fn one_client_keeps_its_stable_print_by_name_and_by_address_and_when_it_resumes() {
    let mut stacks: BTreeMap<String, Vec<(StablePrint, String, bool)>> = BTreeMap::new();
    for row in rows() {
        let hello = hello(&row);
        let ja4 = row["ja4"].as_str().unwrap();
        let suites = ja4.split('_').nth(1).unwrap();
        let alpn: Vec<_> = hello.alpn.iter().map(|name| name.escape_ascii().to_string()).collect();
        let stack = format!("{} {} {suites} {} {alpn:?}", row["client"], row["mode"], ja4.get(1..3).unwrap());
        let target = row["target"].as_str().unwrap().to_owned();
        stacks.entry(stack).or_default().push((StablePrint::of(&hello), target, hello.offers_psk()));
    }
    let (mut by_both, mut resumed, mut wrong) = (0, 0, Vec::new());
    for (stack, hellos) in &stacks {
        let distinct: BTreeSet<_> = hellos.iter().map(|(print, ..)| print).collect();
        // Scanners vary their hello on purpose; that is what they are for.
        if distinct.len() > 1 && !stack.contains("sslscan") && !stack.contains("sslyze") {
            wrong.push(format!("{stack}: {distinct:?}"));
        }
        by_both += usize::from(["name", "ip"].iter().all(|target| hellos.iter().any(|(_, found, _)| found == target)));
        resumed += usize::from([true, false].iter().all(|psk| hellos.iter().any(|(.., found)| found == psk)));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(stacks.is_empty() || by_both > 40 && resumed > 5, "{by_both} by name and address, {resumed} resumed");
}

#[test]
fn every_http2_opening_gives_its_print() {
    let mut checked = 0;
    for row in rows().iter().filter(|row| row["h2"].is_object()) {
        let (name, h2) = (&row["client"], &row["h2"]);
        let mut recorder = Http2Recorder::new();
        let Recording::Done(print) = recorder.feed(&opening(row)) else { panic!("{name}: no print") };
        assert_eq!(print.to_string(), h2["akamai"], "{name}");
        assert_eq!(u64::from(print.first_stream), h2["first_stream"].as_u64().unwrap(), "{name}");
        let weight = h2["headers_priority"]["weight"].as_u64();
        assert_eq!(print.headers_priority.map(|priority| u64::from(priority.weight)), weight, "{name}");
        checked += 1;
    }
    assert!(checked == 0 || checked > 200, "{checked}");
}

#[test]
fn every_http1_head_gives_its_names() {
    let mut checked = 0;
    for row in rows() {
        let Some(minor) = row["http_version"].as_str().and_then(|version| version.strip_prefix("1.")) else { continue };
        let fields: String = headers(&row).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{} / HTTP/1.{minor}\r\n{fields}\r\n", row["method"].as_str().unwrap());
        let print = Http1Print::of(head.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", row["client"]));
        assert_eq!(print.minor_version.map(|minor| minor.to_string()).as_deref(), Some(minor));
        let sent: Vec<_> = headers(&row).into_iter().map(|(name, _)| name.as_bytes()).collect();
        assert!(print.header_names.iter().copied().eq(sent), "{}: {print}", row["client"]);
        checked += 1;
    }
    assert!(checked == 0 || checked > 100, "{checked}");
}

/// The frames of a row, as far as they can be made again: the header block has other bytes.
fn opening(row: &Value) -> Vec<u8> {
    let h2 = &row["h2"];
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let priority = |value: &Value| {
        let dependency = number(&value["exclusive"]) << 31 | number(&value["dep"]);
        [&dependency.to_be_bytes()[..], &[u8::try_from(number(&value["weight"]) - 1).unwrap()]].concat()
    };
    let pairs = h2["settings"].as_array().unwrap().iter();
    let pairs: Vec<_> = pairs.map(|pair| (u16::try_from(number(&pair[0])).unwrap(), number(&pair[1]))).collect();
    let mut bytes = [PREFACE, &settings(&pairs)].concat();
    if let Some(increment) = h2["window_update"].as_u64().filter(|increment| *increment > 0) {
        bytes.extend(frame(WINDOW_UPDATE, 0, 0, &u32::try_from(increment).unwrap().to_be_bytes()));
    }
    for value in h2["priority"].as_array().unwrap() {
        bytes.extend(frame(PRIORITY, 0, number(&value["stream"]), &priority(value)));
    }
    let pseudo = h2["pseudo_order"].as_array().unwrap().iter().map(|name| (name.as_str().unwrap(), "x"));
    let others = headers(row).into_iter().filter(|(name, _)| !name.starts_with(':'));
    let block = literals(pseudo.chain(others));
    let (flags, front) = match &h2["headers_priority"] {
        Value::Null => (0, Vec::new()),
        value => (HAS_PRIORITY, priority(value)),
    };
    let stream = number(&h2["first_stream"]);
    bytes.extend(frame(HEADERS, END_HEADERS | flags, stream, &[front, block].concat()));
    bytes
}

fn headers(row: &Value) -> Vec<(&str, &str)> {
    let pairs = row["headers"].as_array().unwrap().iter();
    pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect()
}

fn hello(row: &Value) -> ClientHello {
    let bytes: Vec<u8> = row["client_hello_hex"]
        .as_str()
        .unwrap()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    ClientHello::from_records(&bytes).unwrap_or_else(|error| panic!("{}: {error}", row["client"]))
}

/// Every line of the zoo, or none where the file is not at hand: it is not part of the source tree.
fn rows() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/zoo/clients.jsonl");
    if !Path::new(path).exists() {
        eprintln!("skipped: no zoo at {path}");
        return Vec::new();
    }
    let text = std::fs::read_to_string(path).expect("the zoo can be read");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(rows.len() > 500, "{} lines are too few", rows.len());
    rows
}
